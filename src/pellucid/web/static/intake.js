// How a photo comes in: dropped anywhere, chosen, or pasted.

import { ask, cancelAll, forget, say } from "./api.js";
import { $ } from "./dom.js";
import { letGo, state } from "./state.js";
import { outline } from "./sliders.js";

async function take(file) {
  if (!file) return;
  say("");
  const { limits } = state.model;
  if (limits?.bytes && file.size > limits.bytes) {
    const [size, most] = [Math.ceil(file.size / 2 ** 20), Math.floor(limits.bytes / 2 ** 20)];
    say(`${file.name}: ${size} MiB; photos of up to ${most} MiB are taken`);
    return;
  }
  const form = new FormData();
  form.append("photo", file, file.name || "pasted.png");
  const old = state.photo;
  cancelAll();
  const found = await ask("api/photos", { slot: "photo", word: "looking…", method: "POST", form });
  if (!found) return;
  const { id, name, width, height, thresholds, objects, classes } = found;
  const photo = { id, name, width, height };
  letGo({ photo, thresholds, objects, of: thresholds, classes: classes ?? [], outlines: {}, hovered: null });
  $("welcome").hidden = true;
  $("work").hidden = false;
  $("open-label").hidden = false;
  $("photo-name").textContent = name;
  if (old) forget(old.id);
  outline();
}

const carriesFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function makeDrop() {
  let depth = 0; // dragenter and dragleave come for every element on the way
  const veil = (on) => document.body.classList.toggle("dropping", on);
  const heard = (name, act) => window.addEventListener(name, (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    act(event);
  });
  heard("dragenter", () => veil(++depth > 0));
  heard("dragleave", () => veil((depth = Math.max(depth - 1, 0)) > 0));
  heard("dragover", () => {});
  heard("drop", (event) => {
    depth = 0;
    veil(false);
    take(event.dataTransfer.files[0]);
  });
}

export function makeIntake() {
  makeDrop();
  for (const id of ["file", "file-again"]) {
    $(id).addEventListener("change", () => {
      const [file] = $(id).files;
      take(file);
      $(id).value = ""; // the same file may be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) take(file);
  });
  window.addEventListener("pagehide", (event) => {
    if (event.persisted) return;
    cancelAll();
    if (state.photo) forget(state.photo.id);
  });
}
