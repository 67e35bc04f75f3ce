"""Warping error: what remains of the differences when the truth may move as long as its topology stays."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pellucid.compiled import compiled
from pellucid.metrics.electron_microscopy.rand import check_sizes


def warping_error(truth: NDArray[np.bool_], probability_map: NDArray[Any], threshold: float) -> float:
    """The share of pixels in which the warped truth still differs from the thresholded proposal: 0 to 1.

    Takes what ``warped`` takes. Every pixel that remains counts, as in the paper; the challenge classified what
    remains and counted clusters of splits and mergers alone.
    """
    remaining = int((warped(truth, probability_map, threshold) != above(probability_map, threshold)).sum())
    return remaining / truth.size


def warped(truth: NDArray[np.bool_], probability_map: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """The truth, moved towards the proposal as far as its topology allows: bool (H, W).

    ``truth``: bool (H, W), True in cells. ``probability_map``: float (H, W), the probability of a cell, which the
    proposal has where it is above ``threshold``. Pixels that differ are flipped where they are simple points: cells are
    4-connected, membrane is 8-connected, and all is membrane outside the image. Those furthest from the threshold come
    first, column by column at equal distance, again and again until none flips.

    Raises PellucidError for maps of different sizes.
    Source: Jain et al., 'Boundary learning by optimization with topological constraints', CVPR 2010; simple points:
    Bertrand and Malandain, Pattern Recognition Letters 1994.
    """
    check_sizes(truth, probability_map)
    H, W = truth.shape
    proposal = above(probability_map, threshold)
    columns, rows = np.nonzero((truth != proposal).T)
    distance = np.abs(probability_map[rows, columns].astype(np.float64) - threshold)
    order = np.argsort(-distance, kind="stable")
    positions = (rows[order] + 1) * (W + 2) + columns[order] + 1
    moved = np.zeros((H + 2, W + 2), dtype=np.uint8)
    moved[1:-1, 1:-1] = truth
    _flip(moved.reshape(-1), positions, W + 2, _simple_neighbourhoods())
    return moved[1:-1, 1:-1].astype(bool)


def above(probability_map: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Where a probability is above the threshold, compared as float64: bool (H, W)."""
    return probability_map.astype(np.float64, copy=False) > threshold


@compiled
def _flip(
    pixels: NDArray[np.uint8], positions: NDArray[np.int64], stride: int, simple: NDArray[np.bool_]
) -> None:  # pragma: no cover
    """Flips each of ``positions`` once it is simple, pass by pass, in place; ``pixels``: flat, with a rim of zeros."""
    waiting = positions.copy()
    count = len(waiting)
    while True:
        kept = 0
        for i in range(count):
            at = waiting[i]
            around = (
                pixels[at - stride - 1]
                | pixels[at - stride] << 1
                | pixels[at - stride + 1] << 2
                | pixels[at - 1] << 3
                | pixels[at + 1] << 4
                | pixels[at + stride - 1] << 5
                | pixels[at + stride] << 6
                | pixels[at + stride + 1] << 7
            )
            if simple[around]:
                pixels[at] = 1 - pixels[at]
            else:
                waiting[kept] = at
                kept += 1
        if kept == count:
            return
        count = kept


@cache
def _simple_neighbourhoods() -> NDArray[np.bool_]:
    """Whether a pixel with each of the 256 neighbourhoods is simple: bool (256,); bit 0 is above left, row by row.

    It is where one 4-connected part of the cells around touches it along an edge, and one 8-connected part of the
    membrane around touches it at all. Both are counted without the pixel, so that its own value does not matter.
    """
    simple = np.zeros(256, dtype=bool)
    edges = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    rim = np.ones((3, 3), dtype=bool)
    rim[1, 1] = False
    for code in range(256):
        around = np.zeros((3, 3), dtype=bool)
        around[rim] = [bool(code >> bit & 1) for bit in range(8)]
        parts = ndimage.label(around)[0]
        touching = np.unique(parts[edges & around])
        membranes = ndimage.label(rim & ~around, structure=np.ones((3, 3)))[1]
        simple[code] = len(touching) == 1 and membranes == 1
    return simple
