// What the pointer is on, and what a click or a drawn box asks.

import { explainMissed, explainObject, explainPixel } from "./asking.js";
import { $ } from "./dom.js";
import { change, state } from "./state.js";
import { showUnitsAt } from "./units.js";

const NEAR = { mouse: 6, pen: 8, touch: 12 }; // pixels of the screen
const DRAG = 6;

let start = null; // where a box is being drawn from
let drawn = null;

/** Where an event is, in the photo's pixels, and how many of them are one of the screen. */
function placeOf(event) {
  const { left, top, width, height } = $("stage").getBoundingClientRect();
  const { photo } = state;
  const x = Math.min(Math.max(((event.clientX - left) / width) * photo.width, 0), photo.width);
  const y = Math.min(Math.max(((event.clientY - top) / height) * photo.height, 0), photo.height);
  return { x, y, scale: photo.width / width };
}

/** The edge of a box that lies within `near` of a place, or null. */
export function edgeAt([x1, y1, x2, y2], x, y, near) {
  const along = x >= x1 - near && x <= x2 + near && y >= y1 - near && y <= y2 + near;
  if (!along) return null;
  const gaps = { left: Math.abs(x - x1), top: Math.abs(y - y1), right: Math.abs(x - x2), bottom: Math.abs(y - y2) };
  const [edge, gap] = Object.entries(gaps).sort((a, b) => a[1] - b[1])[0];
  return gap <= near ? edge : null;
}

const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
const inside = ([x1, y1, x2, y2], x, y) => x >= x1 && x <= x2 && y >= y1 && y <= y2;

/** The smallest object whose box holds a place, or null. */
export const objectAt = (objects, x, y) =>
  objects.filter((object) => inside(object.box, x, y)).sort((a, b) => area(a.box) - area(b.box))[0] ?? null;

function under(event) {
  const { x, y, scale } = placeOf(event);
  const selected = state.objects[state.selected];
  const near = NEAR[event.pointerType] ?? NEAR.mouse;
  const edge = selected && state.boxesOn && !state.mode ? edgeAt(selected.box, x, y, near * scale) : null;
  const explains = edge && state.model.parts.includes(edge) ? edge : null;
  return { x, y, edge: explains, object: state.boxesOn ? objectAt(state.objects, x, y) : null };
}

function clicked(event) {
  const { x, y, edge, object } = under(event);
  const selected = state.objects[state.selected];
  if (state.mode === "place") return showUnitsAt([x, y]);
  if (state.mode === "pixel" && selected && inside(selected.box, x, y)) {
    return explainPixel(selected.number, [Math.floor(x), Math.floor(y)]);
  }
  if (edge) return explainObject(selected.number, edge);
  if (object) return explainObject(object.number);
  if (state.model.parts.length) return explainMissed({ point: [x, y] });
  return undefined;
}

function moved(event) {
  if (!state.photo) return;
  if (start) {
    const far = Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > DRAG;
    if ((far || drawn) && state.model.parts.length && !state.mode) {
      const [a, b] = [placeOf(start), placeOf(event)];
      drawn = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)];
      change({ step: drawn, hovered: null, edge: null });
    }
    return;
  }
  if (event.pointerType === "touch") return;
  const { edge, object } = under(event);
  const hovered = edge ? null : (object?.number ?? null);
  if (hovered !== state.hovered || edge !== state.edge) change({ hovered, edge });
  $("stage").classList.toggle("pointing", Boolean(edge || object));
}

function released(event) {
  const box = drawn;
  const began = start;
  start = null;
  drawn = null;
  if (!began) return;
  if (!box) return void clicked(event);
  change({ step: null });
  if (box[2] - box[0] >= 1 && box[3] - box[1] >= 1) explainMissed({ box });
}

function left() {
  start = null;
  if (drawn) change({ step: null });
  drawn = null;
  if (state.hovered !== null || state.edge) change({ hovered: null, edge: null });
}

export function makePointing() {
  const stage = $("stage");
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary || !state.photo) return;
    start = event;
    if (event.pointerType !== "touch") {
      stage.setPointerCapture(event.pointerId);
      event.preventDefault(); // no picture is dragged, no text selected
    }
  });
  stage.addEventListener("pointermove", moved);
  stage.addEventListener("pointerup", released);
  stage.addEventListener("pointercancel", left);
  stage.addEventListener("pointerleave", () => start || left());
}
