// Where name tags go: each tries the corners of its box, the surest object first; a tag with no room is left out.

const HEIGHT = 18;

const over = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

/**
 * Places for tags, in the pixels of the screen. `wanted`: [{box: [x1, y1, x2, y2], width, forced}], in order of claim;
 * a forced tag is placed even over others. Returns {x, y} or null for each.
 */
export function placeTags(wanted, width, height) {
  const taken = [];
  return wanted.map(({ box: [x1, y1, x2, y2], width: w, forced }) => {
    const spots = [
      [x1, y1 - HEIGHT], [x1, y1], [x2 - w, y1 - HEIGHT], [x1, y2], [x2 - w, y2 - HEIGHT], [x1, y2 - HEIGHT], [x2 - w, y1],
    ].map(([x, y]) => ({
      x: Math.min(Math.max(x, 0), Math.max(width - w, 0)),
      y: Math.min(Math.max(y, 0), height - HEIGHT),
      w,
      h: HEIGHT,
    }));
    const free = spots.find((spot) => !taken.some((other) => over(spot, other))) ?? (forced ? spots[0] : null);
    if (free) taken.push(free);
    return free;
  });
}
