// What the page knows, in one place; parts of the page watch the names that they show.

export const state = {
  model: null,
  photo: null, // {id, name, width, height}
  thresholds: {}, // where the sliders stand
  objects: [],
  of: {}, // the thresholds that gave these objects
  classes: [],
  outlines: {},
  hovered: null, // number of an object
  selected: null, // number of an object
  target: null, // what is explained, as the API takes it
  method: null,
  explanation: null,
  explaining: false,
  check: null,
  checking: false,
  step: null, // box of the step that is pointed at
  edge: null, // edge of the selected object under the pointer
  mode: null, // "pixel" or "place": what the next click on the photo means
  units: null, // {layer, place, list}
  unit: null, // {channel, heat, picture}
  boxesOn: true,
  heatOn: true,
  opacity: 0.8,
  progress: "",
};

const watchers = [];
let changed = null;

/** Calls `show` after any of `names` was changed; once, however many were. */
export function watch(names, show) {
  watchers.push({ names, show });
}

/** Changes some of what the page knows. Watchers hear of it before the next frame is drawn. */
export function change(update) {
  Object.assign(state, update);
  if (!changed) {
    changed = new Set();
    queueMicrotask(() => {
      const names = changed;
      changed = null;
      for (const watcher of watchers) if (watcher.names.some((name) => names.has(name))) watcher.show(state);
    });
  }
  for (const name of Object.keys(update)) changed.add(name);
}

const NOTHING_ASKED = {
  selected: null, target: null, explanation: null, explaining: false, check: null, checking: false,
  step: null, edge: null, mode: null, units: null, unit: null,
};

/** Lets go of what was asked; `more` is changed with it. */
export const letGo = (more = {}) => change({ ...NOTHING_ASKED, ...more });
