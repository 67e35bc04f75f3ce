// The keyboard: through the list, explain, let go, heat, boxes, help.

import { explainObject, stopAsking } from "./asking.js";
import { $ } from "./dom.js";
import { move } from "./objects.js";
import { change, state } from "./state.js";

export const toggleHeat = () => change({ heatOn: !state.heatOn });
export const toggleBoxes = () => change({ boxesOn: !state.boxesOn });
export const showHelp = () => $("help").showModal();

function letGoOne() {
  if (state.mode) change({ mode: null });
  else if (state.unit) change({ unit: null });
  else stopAsking();
}

const onBody = () => document.activeElement === document.body || document.activeElement === null;

const KEYS = {
  ArrowDown: () => move(1),
  j: () => move(1),
  ArrowUp: () => move(-1),
  k: () => move(-1),
  Enter: () => {
    if (!onBody()) return false; // a focused button acts by itself
    const number = state.hovered ?? state.selected;
    if (number !== null) explainObject(number);
    return true;
  },
  Escape: letGoOne,
  h: toggleHeat,
  b: toggleBoxes,
  "?": showHelp,
};

const MOVES = new Set(["ArrowDown", "ArrowUp"]);

export function makeKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const at = event.target;
    const typing = at.matches?.("select, textarea, input:not([type=range]):not([type=file])");
    if ((typing && event.key !== "Escape") || (MOVES.has(event.key) && at.matches?.("input[type=range]"))) return;
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act && (state.photo || act === showHelp) && act() !== false) event.preventDefault();
  });
  $("help-button").addEventListener("click", showHelp);
  $("heat-toggle").addEventListener("click", toggleHeat);
  $("boxes-toggle").addEventListener("click", toggleBoxes);
  $("opacity").addEventListener("input", () => change({ opacity: Number($("opacity").value) }));
}
