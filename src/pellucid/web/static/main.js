// The page: asks what the model is, and puts its parts to work.

import { ask } from "./api.js";
import { $, h } from "./dom.js";
import { makeIntake } from "./intake.js";
import { makeKeys } from "./keys.js";
import { makeObjects } from "./objects.js";
import { makePanel } from "./panel.js";
import { makePointing } from "./pointing.js";
import { makeSliders } from "./sliders.js";
import { makeStage } from "./stage.js";
import { change, state, watch } from "./state.js";
import { makeUnits } from "./units.js";

const DOES = {
  classification: "says what a photo shows",
  localization: "says what a photo shows, and where",
  detection: "finds objects and draws boxes round them",
  instances: "finds objects and outlines them",
  keypoints: "finds objects and their keypoints",
};

const CLICKS = {
  objects: [
    ["Click an object", "why was it found?"],
    ["Click an edge of its box", "what holds the edge there?"],
    ["Click empty ground, or draw a box", "what was missed there?"],
    ["Move a slider", "other thresholds, at once"],
  ],
  classes: [["Click a class", "what in the photo speaks for it?"]],
};

function introduce(model) {
  const some = model.classes.slice(0, 8);
  const rest = model.classes.length - some.length;
  const names = some.join(", ") + (rest > 0 ? `, and ${rest.toLocaleString("en")} more` : "");
  $("model-name").textContent = model.name;
  $("about-model").replaceChildren(h("strong", {}, model.name), ` ${DOES[model.task] ?? "looks at photos"}. It knows ${names}.`);
  document.title = `${model.name}, Pellucid`;
  const clicks = CLICKS[model.parts.length ? "objects" : "classes"];
  for (const id of ["ways", "help-ways"]) {
    $(id).replaceChildren(...clicks.map(([act, asks]) => h("div", {}, h("dt", {}, act), h("dd", {}, asks))));
  }
}

async function begin() {
  const invitation = $("invitation").textContent;
  watch(["progress"], () => {
    $("progress").textContent = state.progress;
    $("invitation").textContent = state.progress || invitation;
  });
  const model = await ask("api/model");
  if (!model) return;
  introduce(model);
  makeSliders(model);
  makeObjects();
  makePanel(model);
  makeUnits();
  makeStage();
  makePointing();
  makeKeys();
  makeIntake();
  change({ model, method: model.default_method });
}

begin();
