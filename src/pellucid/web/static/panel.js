// The explanation beside the photo: what is asked, by which method, what was answered, and the test of it.

import * as asking from "./asking.js";
import { colourOf } from "./colours.js";
import { checkShown } from "./curves.js";
import { $, chooser, h, number, percent } from "./dom.js";
import { change, state, watch } from "./state.js";

const PARTS = {
  score: "Score", mask: "Mask", keypoint: "Keypoint", left: "Left", top: "Top", right: "Right", bottom: "Bottom",
};

const EDGES = ["left", "top", "right", "bottom"];

const known = (value) => value !== null && value !== undefined;

const others = (name) => state.model.classes.filter((one) => one !== name);

function title() {
  const { target } = state;
  const object = state.objects[state.selected];
  if (target?.kind === "missed") return ["What was missed here?"];
  if (target?.kind === "class") return [`Why ${target.class}?`];
  if (target?.kind === "instead") return [`Why ${target.class} and not ${target.other}?`];
  if (!object) return ["Ask"];
  const colour = colourOf(object.class, state.model.classes);
  return [h("i", { class: "swatch", "--colour": colour }), ` ${object.class} ${number(object.score)}`];
}

function parts(object) {
  const { target, model, mode } = state;
  const fits = (part) => (part === "mask" ? object.has_mask : part !== "keypoint" || object.keypoints?.length);
  const button = (part) => {
    const pressed = target?.kind === "object" && target.part === part && !target.pixel;
    const label = EDGES.includes(part) ? `${PARTS[part]} edge` : null;
    const attributes = { type: "button", "data-part": part, title: label, "aria-label": label, "aria-pressed": String(pressed) };
    return h("button", { ...attributes, onclick: () => asking.explainObject(object.number, part) }, PARTS[part]);
  };
  const made = model.parts.filter((part) => part in PARTS && fits(part)).map(button);
  if (object.has_mask && model.parts.includes("mask")) {
    const toggle = () => change({ mode: mode === "pixel" ? null : "pixel" });
    const pressed = String(mode === "pixel" || Boolean(target?.pixel));
    made.push(h("button", { type: "button", "data-part": "pixel", "aria-pressed": pressed, onclick: toggle }, "Pixel"));
  }
  return h("div", { class: "buttons", role: "group", "aria-label": "What of it is explained" }, made);
}

function keypoints(object) {
  const { target, model } = state;
  if (target?.part !== "keypoint" || !object.keypoints) return null;
  const options = object.keypoints.map((_, index) => h("option", { value: index }, model.keypoints?.[index] ?? `Keypoint ${index}`));
  const select = h("select", { onchange: () => asking.explainKeypoint(object.number, Number(select.value)) }, options);
  select.value = target.keypoint;
  return h("label", { class: "field" }, h("span", {}, "Which one"), select);
}

function showQuestion() {
  const { target, model } = state;
  const object = state.objects[state.selected];
  $("ways").hidden = Boolean(target);
  $("close").hidden = !target;
  $("why-title").replaceChildren(...title());
  const asked = [];
  if (target?.kind === "missed") {
    const choose = (name) => asking.explainMissed(target, name || null);
    asked.push(chooser("Of class", model.classes, "any class", target.class, choose));
  }
  if (object && target?.kind !== "missed") asked.push(parts(object), keypoints(object));
  const focused = $("question").contains(document.activeElement) && document.activeElement.dataset.part;
  $("question").replaceChildren(...asked.filter(Boolean));
  if (focused) $("question").querySelector(`[data-part="${focused}"]`)?.focus();
}

function showInstead() {
  const { target, model } = state;
  const object = state.objects[state.selected];
  const name = object?.class ?? target?.class;
  $("instead").replaceChildren();
  if (name && target && target.kind !== "missed" && model.classes.length > 1) {
    const choose = (other) => {
      if (other) asking.explainInstead(object ? object.number : null, name, other);
      else if (object) asking.explainObject(object.number);
      else asking.explainClass(name);
    };
    $("instead").append(chooser("Why this and not", others(name), "choose a class", target.other ?? "", choose));
  }
}

function stepShown({ name, text, box, score }) {
  const over = (on) => () => box && change({ step: on ? box : null });
  const events = { onpointerenter: over(true), onpointerleave: over(false), onfocus: over(true), onblur: over(false) };
  const scored = known(score) ? h("span", { class: "score" }, number(score)) : null;
  const said = [h("strong", {}, name), h("span", {}, text), scored];
  return h("li", {}, box ? h("button", { type: "button", class: "step", ...events }, said) : h("div", { class: "step" }, said));
}

function figures({ inside, pointing, title: method, layer, seconds, waited }) {
  const pairs = [
    known(inside) && ["Heat inside the box", percent(inside)],
    known(pointing) && ["Hottest place", pointing ? "inside the box" : "outside the box"],
  ].filter(Boolean);
  const small = [
    method,
    layer && `at ${layer}`,
    `${number(seconds, seconds < 10 ? 2 : 0)} s`,
    waited >= 0.1 && `after ${number(waited, 1)} s of waiting`,
  ];
  return [
    pairs.length ? h("dl", { class: "figures" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))) : null,
    h("p", { class: "quiet small" }, small.filter(Boolean).join(", ")),
  ];
}

function showAnswer() {
  const { explanation, explaining } = state;
  if (!explanation) return $("answer").replaceChildren(...(explaining ? [h("p", { class: "sentence waiting" }, "looking…")] : []));
  const steps = explanation.steps?.length
    ? [h("h3", {}, "The way back"), h("ol", { class: "steps" }, explanation.steps.map(stepShown))]
    : [];
  return $("answer").replaceChildren(h("p", { class: "sentence" }, explanation.sentence), ...figures(explanation).filter(Boolean), ...steps);
}

function showCheck() {
  const { explanation, checking, check } = state;
  if (!explanation) return $("check").replaceChildren();
  if (check) return $("check").replaceChildren(h("h3", {}, "Is it true of the model?"), checkShown(check));
  const button = h("button", { type: "button", id: "check-button", disabled: checking, onclick: asking.check }, checking ? "testing…" : "Test it");
  const does = "Takes the hottest places out of the photo, and puts them back alone: does the model mind more than by chance?";
  const about = h("p", { class: "quiet small" }, `${does} Some seconds.`);
  return $("check").replaceChildren(h("h3", {}, "Is it true of the model?"), button, about);
}

function showMethod() {
  const method = state.model?.methods.find((one) => one.name === state.method);
  $("method").value = state.method;
  $("method-about").textContent = method?.about ?? "";
}

export function makePanel(model) {
  for (const [label, quick] of [["Quick", true], ["Slower", false]]) {
    const some = model.methods.filter((one) => one.quick === quick);
    if (some.length) $("method").append(h("optgroup", { label }, some.map((one) => h("option", { value: one.name }, one.title))));
  }
  $("method").addEventListener("change", () => {
    change({ method: $("method").value });
    if (state.target) asking.explain(state.target, state.selected);
  });
  $("close").addEventListener("click", asking.stopAsking);
  watch(["target", "selected", "mode", "objects"], showQuestion);
  watch(["target", "selected", "objects"], showInstead);
  watch(["explanation", "explaining"], showAnswer);
  watch(["explanation", "check", "checking"], showCheck);
  watch(["method", "model"], showMethod);
}
