// Requests to the server: one at a time in each slot, so that a new one cancels the one that it replaces.

import { $, h } from "./dom.js";
import { change, state } from "./state.js";

const CLIENT = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const GONE = "The server does not answer. Is pellucid serve still running?";
const FORGOTTEN = "The server no longer has this photo. Drop it again.";

class Fault extends Error {}

const slots = new Map();
const words = new Map(); // slot → {word, since}

export function cancel(...names) {
  for (const name of names) {
    slots.get(name)?.abort();
    slots.delete(name);
  }
}

export const cancelAll = () => cancel(...slots.keys());

export const photoPath = (rest = "", id = state.photo.id) => `api/photos/${encodeURIComponent(id)}${rest}`;

function showProgress() {
  const waiting = [...words.values()].at(-1);
  const seconds = waiting ? Math.floor((performance.now() - waiting.since) / 1000) : 0;
  change({ progress: waiting ? waiting.word + (seconds >= 3 ? ` ${seconds} s` : "") : "" });
}
setInterval(() => words.size && showProgress(), 1000);

async function faultOf(response, path) {
  let line = "";
  try {
    line = (await response.json()).error ?? "";
  } catch {
    line = "";
  }
  if (response.status === 404 && (await isForgotten(path))) return new Fault(FORGOTTEN);
  return new Fault(line || `The server says ${response.status} ${response.statusText}.`);
}

/** Whether a 404 below a photo means that the photo itself is gone. */
async function isForgotten(path) {
  if (!state.photo || !path.startsWith(photoPath("/"))) return false;
  const asked = await fetch(photoPath("/objects"), { headers: { "X-Client": CLIENT } });
  return asked.status === 404;
}

/**
 * Asks the server. Returns what it says, or undefined where the request was replaced or failed; a failure is shown.
 * `slot`: what it replaces. `word`: shown while it lasts. `as`: "json" or "blob".
 */
export async function ask(path, { slot = path, word = "", method = "GET", body = null, form = null, as = "json" } = {}) {
  cancel(slot);
  const controller = new AbortController();
  slots.set(slot, controller);
  const headers = { "X-Client": CLIENT, ...(body ? { "Content-Type": "application/json" } : {}) };
  const mine = { word, since: performance.now() };
  if (word) words.set(slot, mine);
  showProgress();
  try {
    const sent = { method, headers, body: form ?? (body && JSON.stringify(body)), signal: controller.signal };
    const response = await fetch(path, sent);
    if (!response.ok) throw await faultOf(response, path);
    return await response[as]();
  } catch (fault) {
    if (controller.signal.aborted) return undefined;
    say(fault instanceof Fault ? fault.message : GONE);
    return undefined;
  } finally {
    if (words.get(slot) === mine) words.delete(slot);
    if (slots.get(slot) === controller) slots.delete(slot);
    showProgress();
  }
}

/** Tells the server to forget a photo; also while the page is being closed. */
export function forget(id) {
  fetch(photoPath("", id), { method: "DELETE", headers: { "X-Client": CLIENT }, keepalive: true }).catch(() => {});
}

/** One line that can be dismissed; "" takes it away. */
export function say(line) {
  const dismiss = h("button", { type: "button", class: "plain", onclick: () => say("") }, "Dismiss");
  $("alert-place").replaceChildren(...(line ? [h("div", { class: "alert" }, h("p", {}, line), dismiss)] : []));
}
