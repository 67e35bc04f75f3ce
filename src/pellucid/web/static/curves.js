// The two curves of the check as small pictures, each with its mean beside what chance gives.

import { h, number, s, signed } from "./dom.js";

const WIDTH = 150;
const HEIGHT = 84;
const LEGEND =
  "Left to right: more of the photo, the hottest places first. Dashed: the mean for places in a random order.";

function chart(name, curve, chance, better) {
  const top = Math.max(1e-9, chance, ...curve.values);
  const bottom = Math.min(0, chance, ...curve.values);
  const last = curve.shares.at(-1) || 1;
  const x = (share) => number((share / last) * WIDTH, 1);
  const y = (value) => number(HEIGHT - ((value - bottom) / (top - bottom)) * HEIGHT, 1);
  const line = curve.values.map((value, index) => `${index ? "L" : "M"}${x(curve.shares[index])} ${y(value)}`).join("");
  const drawn = s(
    "svg",
    {
      viewBox: `0 -3 ${WIDTH} ${HEIGHT + 6}`,
      role: "img",
      "aria-label": `${name}: mean ${signed(curve.area)}, by chance ${signed(chance)}`,
    },
    s("path", { d: `${line}L${x(curve.shares.at(-1))} ${y(bottom)}L${x(curve.shares[0])} ${y(bottom)}Z`, class: "under-curve" }),
    s("line", { x1: 0, x2: WIDTH, y1: y(bottom), y2: y(bottom), class: "axis" }),
    s("line", { x1: 0, x2: WIDTH, y1: y(chance), y2: y(chance), class: "chance" }),
    s("path", { d: line, class: "curve" }),
  );
  const caption = h(
    "figcaption", {},
    h("strong", {}, name), h("span", {}, `mean ${signed(curve.area)}`), h("span", { class: "by-chance" }, `chance ${signed(chance)}`),
    h("span", { class: "quiet" }, better),
  );
  return h("figure", { class: "chart" }, drawn, caption);
}

/** What a check found, as the API gives it. */
export function checkShown(found) {
  return h(
    "div",
    { class: found.passes ? "checked passes" : "checked fails" },
    h("p", { class: "verdict" }, h("strong", {}, found.passes ? "It passes. " : "It fails. "), found.sentence),
    h(
      "div", { class: "charts" },
      chart("Deletion", found.deletion, found.random_deletion, "lower is better"),
      chart("Insertion", found.insertion, found.random_insertion, "higher is better"),
    ),
    h("p", { class: "quiet small" }, LEGEND),
  );
}
