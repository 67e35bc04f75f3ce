// The list beside the photo: objects, or the classes of a classifier, each with its score as a bar.

import { explainClass, explainObject } from "./asking.js";
import { colourOf } from "./colours.js";
import { $, h, number } from "./dom.js";
import { change, state, watch } from "./state.js";

const list = () => $("objects");
const rows = () => [...list().querySelectorAll("button")];

function makeRow(index) {
  const name = h("span", { class: "name" });
  const score = h("span", { class: "score" });
  const hover = (on) => () => state.objects.length && change({ hovered: on ? index : null });
  const events = { onpointerenter: hover(true), onpointerleave: hover(false), onfocus: hover(true), onblur: hover(false) };
  const bar = h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill" }));
  const button = h("button", { type: "button", ...events, onclick: () => chosen(index) }, h("i", {}), name, bar, score);
  return h("li", {}, button);
}

function chosen(index) {
  if (state.objects.length) explainObject(state.objects[index].number);
  else explainClass(state.classes[index].name);
}

function entries() {
  const known = state.model.classes;
  if (state.objects.length || !state.classes.length) {
    return state.objects.map((object) => ({ name: object.class, score: object.score, colour: colourOf(object.class, known) }));
  }
  return state.classes.map(({ name, probability }) => ({ name, score: probability, colour: null }));
}

function show() {
  const said = entries();
  while (list().children.length > said.length) list().lastChild.remove();
  while (list().children.length < said.length) list().append(makeRow(list().children.length));
  rows().forEach((button, index) => {
    const { name, score, colour } = said[index];
    if (colour) button.style.setProperty("--colour", colour);
    button.style.setProperty("--share", score);
    button.querySelector(".name").textContent = name;
    button.querySelector(".score").textContent = number(score);
  });
  const detects = state.objects.length > 0 || !state.classes.length;
  list().classList.toggle("classes", !detects);
  $("found-title").textContent = detects ? `Found ${said.length}` : "The model says";
  $("nothing").hidden = said.length > 0;
  $("nothing").textContent = "Nothing is as sure as that. Lower the score, or click the photo where something was missed.";
}

function mark() {
  rows().forEach((button, index) => {
    const asked = state.objects.length ? state.selected === index : state.classes[index]?.name === state.target?.class;
    button.classList.toggle("hovered", state.objects.length > 0 && state.hovered === index);
    button.toggleAttribute("data-selected", asked);
    if (asked) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  });
}

/** Focuses the next row, or the one before (`step` −1); the first where none is. */
export function move(step) {
  const all = rows();
  if (!all.length) return;
  const now = all.indexOf(document.activeElement);
  const from = now >= 0 ? now : state.selected ?? (step > 0 ? -1 : all.length);
  const next = all[Math.min(Math.max(from + step, 0), all.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

export function makeObjects() {
  watch(["objects", "classes", "photo"], show);
  watch(["objects", "classes", "hovered", "selected", "target"], mark);
}
