"""What tolerant reading does with boxes that cannot be: clipped at the border or dropped, and counted."""

import numpy as np
from numpy.typing import NDArray

from pellucid.data.defects import Action, Defects
from pellucid.data.records import Records

SLACK = 0.5
"""By how many pixels a box may leave its image unreported: annotators' tools round. It is clipped all the same."""


def clean(records: Records, defects: Defects, *, inclusive: bool = False) -> None:
    """Drops boxes that are no numbers, of negative size, of zero area or off the image; clips what lies beyond it.

    Everything is noted in ``defects``. Boxes in images of unknown size are not clipped. ``inclusive``: the source
    counts pixels, so that a box from a pixel to the same pixel, one pixel in size, is how it writes a slip of the
    mouse: noted as of zero area, and kept.
    """
    if len(records.boxes) == 0:
        return
    boxes = records.boxes
    with np.errstate(invalid="ignore"):  # NaN and infinity are what is looked for
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    dropped = np.zeros(len(boxes), dtype=bool)

    def note(kind: str, found: NDArray[np.bool_], action: Action) -> None:
        rows = np.flatnonzero(found & ~dropped)
        for row, image in zip(rows.tolist(), images[rows].tolist(), strict=True):
            defects.add(kind, *records.place(image, row), _what(kind, records, row, image), action)
        if action == "dropped":
            dropped[rows] = True

    images = records.images
    finite = np.isfinite(boxes).all(1) & (np.abs(np.nan_to_num(boxes)).max(1) < 1e9)
    note("not a number", ~finite, "dropped")
    negative = (width < 0) | (height < 0)
    note("negative size", negative, "dropped")
    empty = (width == 0) | (height == 0)
    note("zero area", empty, "dropped")
    if inclusive:
        note("zero area", (width == 1) & (height == 1), "kept")
    H, W = records.sizes[images, 0], records.sizes[images, 1]
    known = (H > 0) & (W > 0)
    x1, y1, x2, y2 = boxes.T
    off = known & ((x1 >= W) | (y1 >= H) | (x2 <= 0) | (y2 <= 0))
    note("box off image", off, "dropped")
    beyond = known & ((x1 < -SLACK) | (y1 < -SLACK) | (x2 > W + SLACK) | (y2 > H + SLACK))
    note("box outside", beyond, "clipped")
    clip = known & ~dropped
    bound = np.stack((W, H, W, H), 1).astype(np.float64)
    clipped = np.clip(boxes[clip], 0, bound[clip])
    if records.extents is not None:
        moved = np.flatnonzero(clip)[(clipped != boxes[clip]).any(1)]
    boxes[clip] = clipped
    if records.extents is not None:
        records.extents[moved] = boxes[moved, 2:] - boxes[moved, :2]
    # A box that only touched the border may have nothing left.
    lost = clip & ((boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1]))
    note("box off image", lost, "dropped")
    records.keep_rows(~dropped)


def _what(kind: str, records: Records, row: int, image: int) -> str:
    x1, y1, x2, y2 = records.boxes[row].tolist()
    H, W = records.sizes[image].tolist()
    box = f"x {x1:g} to {x2:g}, y {y1:g} to {y2:g}"
    if kind in ("box outside", "box off image"):
        return f"box {box} in an image of {W} × {H}"
    if kind == "zero area" and x2 - x1 == 1 and y2 - y1 == 1:
        return f"box {box} is a single pixel: both its corners are the same"
    return f"box {box}"
