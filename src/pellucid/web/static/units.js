// Which units of the network see a place, what each of them looks for, and where else it is active.

import { ask, cancel, photoPath } from "./api.js";
import { $, h, number } from "./dom.js";
import { change, state, watch } from "./state.js";

const COUNT = 12;
const EXPLAINED = " is most excited by this picture. The heat shows where it is active in your photo.";

/** The hottest place of the explanation, in the photo's pixels; the middle where it is cold everywhere. */
async function hottest() {
  const { explanation, photo } = state;
  const picture = new Image();
  picture.src = explanation.heat;
  await picture.decode();
  const { naturalWidth: width, naturalHeight: height } = picture;
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  let best = 4 * (Math.floor(height / 2) * width + Math.floor(width / 2)) + 3;
  for (let index = 3; index < data.length; index += 4) if (data[index] > data[best]) best = index;
  const pixel = (best - 3) / 4;
  return [(((pixel % width) + 0.5) / width) * photo.width, ((Math.floor(pixel / width) + 0.5) / height) * photo.height];
}

/** The units that are strongest at a place [x, y] of the photo; at the hottest one without. */
export async function showUnitsAt(place = null) {
  const { explanation } = state;
  if (!explanation?.unit_layer) return;
  cancel("unit-heat", "unit-picture");
  const [x, y] = place ?? (await hottest());
  if (state.explanation !== explanation) return;
  const layer = explanation.unit_layer;
  change({ units: { layer, place: [x, y], list: null }, unit: null, mode: null });
  const asked = new URLSearchParams({ layer, x: number(x, 1), y: number(y, 1), count: COUNT });
  const answer = await ask(photoPath(`/units?${asked}`), { slot: "units", word: "looking…" });
  if (state.explanation !== explanation) return;
  change({ units: answer ? { layer: answer.layer, place: [x, y], list: answer.units } : null });
}

async function showUnit(channel) {
  cancel("unit-heat", "unit-picture");
  if (state.unit?.channel === channel) return change({ unit: null });
  const { layer } = state.units;
  const unit = { channel, heat: null, picture: null };
  change({ unit, heatOn: true });
  const name = `${encodeURIComponent(layer)}/${channel}`;
  const heat = await ask(photoPath(`/units/${name}/heat`), { slot: "unit-heat" });
  if (state.unit !== unit) return undefined;
  change({ unit: Object.assign(unit, { heat: heat?.heat ?? null }) });
  const drawn = await ask(`api/units/${name}/picture`, { slot: "unit-picture", word: "drawing…", as: "blob" });
  if (state.unit !== unit) return undefined;
  return change({ unit: Object.assign(unit, { picture: drawn ? URL.createObjectURL(drawn) : null, failed: !drawn }) });
}

let shown = null;

function unitShown(unit) {
  if (shown && shown !== unit.picture) URL.revokeObjectURL(shown);
  shown = unit.picture;
  const picture = unit.picture
    ? h("img", { src: unit.picture, alt: `What unit ${unit.channel} looks for`, width: 160, height: 160 })
    : h("div", { class: "pending" }, unit.failed ? "No picture" : "drawing…");
  return h(
    "figure", { class: "unit" }, picture,
    h("figcaption", {}, h("strong", {}, `Unit ${unit.channel}`), EXPLAINED),
  );
}

function unitButton({ channel, activation }, strongest) {
  const pressed = state.unit?.channel === channel;
  const label = `Unit ${channel}, activation ${number(activation)}`;
  return h(
    "button",
    {
      type: "button",
      class: "chip",
      "aria-pressed": String(pressed),
      "aria-label": label,
      "data-channel": channel,
      "--share": strongest > 0 ? activation / strongest : 0,
      onclick: () => showUnit(channel),
    },
    h("span", {}, channel), h("span", { class: "quiet" }, number(activation, 1)),
  );
}

function show() {
  const { explanation, units, unit, mode } = state;
  const place = $("units");
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset : null;
  if (!explanation?.unit_layer) return place.replaceChildren();
  const head = h("h3", {}, "Which units see this?");
  const buttons = h(
    "div", { class: "buttons" },
    h("button", { type: "button", "data-name": "hottest", onclick: () => showUnitsAt() }, "At the hottest place"),
    h(
      "button",
      {
        type: "button",
        "data-name": "place",
        "aria-pressed": String(mode === "place"),
        onclick: () => change({ mode: mode === "place" ? null : "place" }),
      },
      "At a place that I click",
    ),
  );
  const list = units?.list;
  const all = list?.map((one) => unitButton(one, list[0].activation));
  const chips = list && h("div", { class: "chips", role: "group", "aria-label": "Strongest units" }, all);
  const note = list && h("p", { class: "quiet small" }, `The strongest of layer ${units.layer} there. Choose one to see what it looks for.`);
  place.replaceChildren(head, buttons, ...[chips, note, unit && unitShown(unit)].filter(Boolean));
  const same = (one) => one.dataset.name === focused.name && one.dataset.channel === focused.channel;
  if (focused) [...place.querySelectorAll("button")].find(same)?.focus();
  return undefined;
}

export function makeUnits() {
  watch(["explanation", "units", "unit", "mode"], show);
}
