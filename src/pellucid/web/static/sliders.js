// The thresholds: sliders act at once, on what the server keeps of the photo; no forward pass is made.

import { ask, photoPath } from "./api.js";
import { $, h, number } from "./dom.js";
import { change, letGo, state, watch } from "./state.js";

const TITLES = { score: "Score at least", overlap: "Boxes overlap at most" };
const LEAST = { score: 0, overlap: 0.01 }; // no overlap at all is no threshold
const REST = 180; // milliseconds that a slider lies still before outlines are fetched

const inputs = {};
let running = false;
let wanted = false;
let rest = 0;

const query = () => new URLSearchParams(state.thresholds).toString();
const keyOf = (object) => `${object.class} ${object.box.map((value) => value.toFixed(2)).join(" ")}`;

/** The same object in another list: its number there, or null. */
function again(found, old) {
  const index = old ? found.findIndex((object) => keyOf(object) === keyOf(old)) : -1;
  return index < 0 ? null : found[index].number;
}

/** Outlines and keypoints of objects that are still there; the rest comes when the slider rests. */
function kept(found) {
  const known = new Map(state.objects.map((object) => [keyOf(object), object]));
  const outlines = {};
  const objects = found.map((object) => {
    const old = known.get(keyOf(object));
    if (old && state.outlines[old.number]) outlines[object.number] = state.outlines[old.number];
    return { ...object, keypoints: object.keypoints ?? old?.keypoints ?? null };
  });
  return { objects, outlines };
}

function take({ objects: found, thresholds: of }) {
  const selected = again(found, state.objects[state.selected]);
  const update = { ...kept(found), of, hovered: again(found, state.objects[state.hovered]), selected };
  const lost = state.selected !== null && selected === null;
  if (state.target && state.target.number !== undefined && !lost) state.target.number = selected;
  (lost ? letGo : change)(update);
}

/** One request at a time, always with the newest values: an answer is never older than what it replaces. */
async function refresh() {
  if (running) return;
  running = true;
  while (wanted) {
    wanted = false;
    const { photo } = state;
    const answer = await ask(photoPath(`/objects?${query()}`), { slot: "objects" });
    if (answer && photo === state.photo) take(answer);
  }
  running = false;
  clearTimeout(rest);
  rest = setTimeout(outline, REST);
}

function moved() {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(refresh);
}

/** The outlines of the masks, and the keypoints, for the present thresholds. */
export async function outline() {
  const { photo } = state;
  const pointed = state.model.parts.includes("keypoint");
  if (!photo || running || !(pointed || state.objects.some((object) => object.has_mask))) return;
  const asked = query();
  const answer = await ask(photoPath(`/outlines?${asked}`), { slot: "outlines" });
  if (!answer || photo !== state.photo || asked !== query()) return;
  const { outlines, keypoints = {} } = answer;
  const objects = state.objects.map((one) => ({ ...one, keypoints: keypoints[one.number] ?? one.keypoints }));
  change({ outlines, objects });
}

function set(values) {
  change({ thresholds: { ...state.thresholds, ...values } });
  moved();
}

export function makeSliders(model) {
  const names = Object.keys(model.thresholds).filter((name) => TITLES[name]);
  for (const name of names) {
    const output = h("output", { for: `slider-${name}` });
    const input = h("input", { type: "range", id: `slider-${name}`, min: LEAST[name], max: 1, step: 0.01 });
    input.addEventListener("input", () => set({ [name]: Number(input.value) }));
    inputs[name] = { input, output };
    $("sliders").append(h("div", { class: "slider" }, h("label", { for: input.id }, TITLES[name]), output, input));
  }
  $("reset").addEventListener("click", () => set(model.thresholds));
  watch(["thresholds", "photo"], () => {
    for (const [name, { input, output }] of Object.entries(inputs)) {
      input.value = state.thresholds[name];
      output.textContent = number(state.thresholds[name]);
    }
    $("reset").hidden = names.every((name) => state.thresholds[name] === model.thresholds[name]);
  });
}
