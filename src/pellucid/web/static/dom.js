// Elements made from values. Text is always set as text, never parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element. `attributes`: names beginning with "on" are listeners, with "--" custom properties. */
export const h = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

/** A choice of names: a list to open for a few, a field that completes for many. `chosen(name)` is called with "" for `none`. */
export function chooser(label, names, none, value, chosen) {
  if (names.length <= 40) {
    const options = [h("option", { value: "" }, none), ...names.map((name) => h("option", { value: name }, name))];
    const select = h("select", { onchange: () => chosen(select.value) }, options);
    select.value = value ?? "";
    return h("label", { class: "field" }, h("span", {}, label), select);
  }
  const known = new Set(names);
  const list = h("datalist", { id: `names-${label.replace(/\W+/g, "-")}` }, names.map((name) => h("option", { value: name })));
  const take = () => (known.has(input.value) || !input.value) && input.value !== (value ?? "") && chosen(input.value);
  const input = h("input", { type: "text", list: list.id, placeholder: none, autocomplete: "off", onchange: take });
  input.value = value ?? "";
  return h("label", { class: "field" }, h("span", {}, label), input, list);
}

export const number = (value, digits = 2) => Number(value).toFixed(digits);
export const signed = (value) => number(value).replace("-", "−");
export const percent = (share) => `${Math.round(100 * share)} %`;
