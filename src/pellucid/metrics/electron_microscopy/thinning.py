"""Membranes thinned to one pixel, so that their width does not count."""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled
from pellucid.metrics.electron_microscopy.rand import cells

LINE = -1
WAITING = -2


def thinned_cells(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The cells of a mask, grown until lines of one pixel part them: int32 (H, W), 0 on the lines.

    ``mask``: bool (H, W), True in cells. A watershed of level ground, flooded from all 4-connected cells at once at one
    speed along rows and columns, so that a line runs in the middle of the membrane that was there; pixels equally far
    come in the order in which they were reached, beginning row by row. A membrane that parts nothing is flooded;
    without any cell all of it remains.
    """
    H, W = mask.shape
    # A rim of line spares the flood all tests of where the image ends.
    ground = np.full((H + 2, W + 2), LINE, dtype=np.int32)
    ground[1:-1, 1:-1] = cells(mask)
    _flood(ground.reshape(-1), W + 2, H * W)
    return np.maximum(ground[1:-1, 1:-1], 0)


@compiled
def _flood(ground: NDArray[np.int32], stride: int, pixels: int) -> None:  # pragma: no cover
    """Labels each zero of ``ground`` (flat, in place) like what reaches it first, or as line where two labels meet."""
    steps = (-stride, -1, 1, stride)
    queue = np.empty(pixels, dtype=np.int64)
    end = 0
    for at in range(len(ground)):
        if ground[at] == 0:
            for step in steps:
                if ground[at + step] > 0:
                    queue[end] = at
                    end += 1
                    break
    for i in range(end):
        ground[queue[i]] = WAITING
    start = 0
    while start < end:
        at = queue[start]
        start += 1
        label = 0
        for step in steps:
            beside = ground[at + step]
            if beside > 0:
                if label == 0:
                    label = beside
                elif beside != label:
                    label = LINE
        ground[at] = label
        if label > 0:
            for step in steps:
                if ground[at + step] == 0:
                    ground[at + step] = WAITING
                    queue[end] = at + step
                    end += 1
