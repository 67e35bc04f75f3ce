// A colour for each class: the first ones chosen by eye, as in Pellucid's pictures; later ones go round the wheel.

const FIRST = [
  "#28beff", "#ff8c28", "#46d66e", "#ff5252", "#c878ff", "#ffc81e", "#14d6c8", "#ff6ebe", "#aadc28", "#6e96ff",
];

export function colourOf(name, classes) {
  const index = Math.max(classes.indexOf(name), 0);
  return index < FIRST.length ? FIRST[index] : `oklch(0.76 0.15 ${Math.round((index * 137.5) % 360)})`;
}
