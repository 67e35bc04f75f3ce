// What can be asked of the model: explanations, the check of one, and letting go.

import { ask, cancel, photoPath } from "./api.js";
import { change, letGo, state } from "./state.js";

/** Explains a target (as the API takes it) by the chosen method. */
export async function explain(target, selected = target.number ?? null) {
  cancel("check", "units", "unit-heat", "unit-picture");
  const pixelMode = state.mode === "pixel" && target.part === "mask" && selected === state.selected;
  letGo({ target, selected, explaining: true, heatOn: true, mode: pixelMode ? "pixel" : null });
  const body = { target, method: state.method, layer: null, thresholds: state.of };
  const explanation = await ask(photoPath("/explanations"), { slot: "explain", word: "looking…", method: "POST", body });
  if (state.target !== target) return;
  change({ explaining: false, explanation: explanation ?? null });
}

const has = (part) => state.model.parts.includes(part);

export function explainObject(number, part = "score") {
  if (!has(part)) return explainClass(state.objects[number].class);
  return explain({ kind: "object", number, part, pixel: null, keypoint: part === "keypoint" ? 0 : null });
}

export const explainKeypoint = (number, keypoint) =>
  explain({ kind: "object", number, part: "keypoint", pixel: null, keypoint });

export const explainPixel = (number, pixel) => explain({ kind: "object", number, part: "mask", pixel, keypoint: null });

/** `place`: {point} or {box}. `name`: a class, null for the likeliest there. */
export const explainMissed = (place, name = null) =>
  explain({ kind: "missed", box: place.box ?? null, point: place.point ?? null, class: name });

export const explainClass = (name) => explain({ kind: "class", class: name });

export const explainInstead = (number, name, other) =>
  explain({ kind: "instead", number, class: name, other }, number);

export async function check() {
  const { explanation } = state;
  change({ checking: true, check: null });
  const path = photoPath(`/explanations/${encodeURIComponent(explanation.id)}/check`);
  const found = await ask(path, { slot: "check", word: "testing…", method: "POST", body: {} });
  if (state.explanation === explanation) change({ checking: false, check: found ?? null });
}

export function stopAsking() {
  cancel("explain", "check", "units", "unit-heat", "unit-picture");
  letGo();
}
