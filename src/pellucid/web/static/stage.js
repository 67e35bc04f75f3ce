// The photo with what is drawn on it: heat, boxes, outlines, keypoints, tags, and what is asked.

import { photoPath } from "./api.js";
import { colourOf } from "./colours.js";
import { $, h, number, s } from "./dom.js";
import { placeTags } from "./labels.js";
import { state, watch } from "./state.js";

const NARROW = 560; // pixels of the screen: below, tags tell the score alone
const EDGES = { left: [0, 1, 0, 3], top: [0, 1, 2, 1], right: [2, 1, 2, 3], bottom: [0, 3, 2, 3] };

function showPhoto() {
  const { photo } = state;
  if (!photo) return;
  $("work").style.setProperty("--w", photo.width);
  $("work").style.setProperty("--h", photo.height);
  $("picture").src = photoPath("/picture");
  $("picture").alt = `The photo ${photo.name}`;
  $("shapes").setAttribute("viewBox", `0 0 ${photo.width} ${photo.height}`);
}

function showHeat() {
  const source = state.unit?.heat ?? state.explanation?.heat ?? null;
  const on = Boolean(source) && state.heatOn;
  if (source && $("heat").getAttribute("src") !== source) $("heat").src = source;
  $("heat").hidden = !on;
  $("heat").alt = on ? "Where it matters, as heat over the photo" : "";
  $("stage").style.setProperty("--heat", on ? state.opacity : 0);
  $("stage").classList.toggle("with-heat", on);
}

const rectangle = ([x1, y1, x2, y2], attributes) =>
  s("rect", { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), ...attributes });

function edgeLine(box, edge, kind) {
  const [x1, y1, x2, y2] = EDGES[edge].map((index) => box[index]);
  return s("line", { x1, y1, x2, y2, class: `edge ${kind}` });
}

const dot = ([x, y], kind) => s("path", { d: `M${x} ${y}h0`, class: `dot ${kind}` });

function drawObject(object) {
  const outline = state.outlines[object.number];
  const kind = [
    "object",
    outline && "masked",
    state.hovered === object.number && "hovered",
    state.selected === object.number && "selected",
  ].filter(Boolean).join(" ");
  return s(
    "g",
    { class: kind, "data-number": object.number, "--colour": colourOf(object.class, state.model.classes) },
    outline ? s("path", { d: outline, class: "outline" }) : null,
    rectangle(object.box, { class: "halo" }),
    rectangle(object.box, { class: "box" }),
    (object.keypoints ?? []).flatMap((point) => [dot(point, "halo"), dot(point, "point")]),
  );
}

/** What is asked of: an edge, a pixel, a keypoint, the place where something was missed, a step's box. */
function drawAsked() {
  const { target, step, edge, units } = state;
  const object = state.objects[state.selected];
  const drawn = [];
  if (object && edge) drawn.push(edgeLine(object.box, edge, "offered"));
  if (object && target && target.part in EDGES) drawn.push(edgeLine(object.box, target.part, "asked"));
  if (target?.pixel) drawn.push(dot(target.pixel, "halo"), dot(target.pixel, "asked"));
  if (object?.keypoints && target?.part === "keypoint") drawn.push(dot(object.keypoints[target.keypoint], "asked"));
  if (target?.kind === "missed") {
    const place = target.box ?? state.explanation?.box;
    if (place) drawn.push(rectangle(place, { class: "halo" }), rectangle(place, { class: "missed" }));
    if (target.point) drawn.push(dot(target.point, "halo"), dot(target.point, "asked"));
  }
  if (units?.place) drawn.push(dot(units.place, "halo"), dot(units.place, "asked"));
  if (step) drawn.push(rectangle(step, { class: "halo" }), rectangle(step, { class: "pointed" }));
  return drawn;
}

const inOrder = () => [...state.objects].sort((a, b) => rank(a) - rank(b) || b.number - a.number);
const rank = (object) => (object.number === state.hovered ? 2 : object.number === state.selected ? 1 : 0);

function showShapes() {
  const shapes = $("shapes");
  shapes.classList.toggle("asking", state.selected !== null || state.target !== null);
  shapes.replaceChildren(...(state.boxesOn ? inOrder().map(drawObject) : []), ...drawAsked());
  showTags();
}

const ruler = document.createElement("canvas").getContext("2d");

/** How wide a tag is, with its padding. */
function widthOf(text) {
  ruler.font = `550 12px ${getComputedStyle(document.body).fontFamily}`;
  return Math.ceil(ruler.measureText(text).width) + 11;
}

/** Tags at the scale of the screen, so that letters keep their size. */
function showTags() {
  const { width, height } = $("stage").getBoundingClientRect();
  if (!state.boxesOn || !state.photo || !width) return $("labels").replaceChildren();
  const scale = width / state.photo.width;
  const shown = inOrder().reverse().filter((object) => !state.target || rank(object));
  const wanted = shown.map((object) => {
    const short = width < NARROW && !rank(object); // the colour tells the class
    const text = short ? number(object.score) : `${object.class} ${number(object.score)}`;
    return { object, text, box: object.box.map((value) => value * scale), width: widthOf(text), forced: rank(object) > 0 };
  });
  const places = placeTags(wanted, width, height);
  const tags = wanted.map(({ object, text }, index) => places[index] && h(
    "span",
    {
      class: "tag",
      "--x": `${places[index].x}px`,
      "--y": `${places[index].y}px`,
      "--colour": colourOf(object.class, state.model.classes),
    },
    text,
  ));
  return $("labels").replaceChildren(...tags.filter(Boolean).reverse());
}

const HINTS = {
  pixel: "Click a pixel of the object: why does it belong to it?",
  place: "Click a place: which units see it?",
  edges: "Click an edge of the box: what holds it there?",
};

function showHint() {
  const edges = state.selected !== null && state.model.parts.includes("left");
  $("hint").textContent = HINTS[state.mode ?? (edges ? "edges" : "")] ?? "";
  $("stage").classList.toggle("aiming", Boolean(state.mode));
}

function showControls() {
  $("boxes-toggle").setAttribute("aria-pressed", state.boxesOn);
  $("heat-toggle").setAttribute("aria-pressed", state.heatOn);
  $("boxes-toggle").hidden = state.classes.length > 0 && !state.objects.length;
  const none = !(state.explanation || state.unit?.heat);
  $("heat-toggle").disabled = none;
  $("opacity").disabled = none || !state.heatOn;
}

export function makeStage() {
  watch(["photo"], showPhoto);
  watch(["explanation", "unit", "heatOn", "opacity"], showHeat);
  const drawn = ["photo", "objects", "outlines", "hovered", "selected", "boxesOn"];
  const asked = ["target", "explanation", "step", "edge", "units"];
  watch([...drawn, ...asked], showShapes);
  watch(["mode", "selected", "photo", "model"], showHint);
  watch(["explanation", "unit", "heatOn", "boxesOn", "objects", "classes"], showControls);
  new ResizeObserver(showTags).observe($("stage"));
}
