"""Soft-NMS, compiled for the processor."""

import math

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled_as_numpy_divides

_GONE = -1.0


@compiled_as_numpy_divides
def _shared_areas(
    x1: NDArray, y1: NDArray, x2: NDArray, y2: NDArray, box: tuple[float, float, float, float], out: NDArray
) -> None:
    """The intersections of boxes with one, in a loop of its own: this one vectorises."""
    a, b, c, d = box
    for j in range(len(out)):
        right = x2[j] if x2[j] < c else c
        left = x1[j] if x1[j] > a else a
        bottom = y2[j] if y2[j] < d else d
        top = y1[j] if y1[j] > b else b
        w = right - left
        h = bottom - top
        w = w if w > 0.0 else 0.0
        h = h if h > 0.0 else 0.0
        out[j] = w * h


@compiled_as_numpy_divides
def _best(now: NDArray, first: NDArray, rows: NDArray, end: int, least: float) -> int:
    """Where the highest score is, of tied ones that of the earlier row; −1 where none reaches ``least``."""
    best, highest = -1, least
    for j in range(end):
        # No score rises, so that none further on can reach the best.
        if first[j] < highest:
            break
        if now[j] > highest or (now[j] == highest and (best < 0 or rows[j] < rows[best])):
            best, highest = j, now[j]
    return best


@compiled_as_numpy_divides
def _decay_group(
    boxes: NDArray, scores: NDArray, given: NDArray, gaussian: bool, limit: float, least: float, factors: NDArray
) -> None:
    """Writes the factors of one group. ``given``: its rows by falling score, the earlier first where they tie."""
    rows = given.copy()
    x1, y1, x2, y2 = boxes[rows, 0], boxes[rows, 1], boxes[rows, 2], boxes[rows, 3]
    areas = np.maximum(x2 - x1, 0.0) * np.maximum(y2 - y1, 0.0)
    first = scores[rows]
    now, factor, shared = first.copy(), np.ones(len(rows)), np.empty(len(rows))
    end, dead = len(rows), 0
    while end > 0 and first[end - 1] < least:
        end -= 1
    while end > 0:
        best = _best(now, first, rows, end, least)
        if best < 0:
            break
        factors[rows[best]] = factor[best]
        box, area = (x1[best], y1[best], x2[best], y2[best]), areas[best]
        now[best], x1[best] = _GONE, np.inf  # so that it shares nothing with any box
        dead += 1
        _shared_areas(x1[:end], y1[:end], x2[:end], y2[:end], box, shared[:end])
        for j in range(end):
            if shared[j] <= 0.0:
                continue
            iou = shared[j] / (area + areas[j] - shared[j])
            if gaussian:
                factor[j] *= math.exp(-(iou * iou) / limit)
            elif iou >= limit:
                factor[j] *= 1.0 - iou
            else:
                continue
            now[j] = first[j] * factor[j]
            if now[j] < least:
                factors[rows[j]] = factor[j]
                now[j], x1[j] = _GONE, np.inf
                dead += 1
        if 8 * dead > end:
            free = 0
            for j in range(end):
                if now[j] != _GONE:
                    x1[free], y1[free], x2[free], y2[free], areas[free] = x1[j], y1[j], x2[j], y2[j], areas[j]
                    first[free], now[free], factor[free], rows[free] = first[j], now[j], factor[j], rows[j]
                    free += 1
            end, dead = free, 0


@compiled_as_numpy_divides
def decay_factors(
    boxes: NDArray, scores: NDArray, order: NDArray, starts: NDArray, gaussian: bool, limit: float, least: float
) -> NDArray:
    """What soft-NMS multiplies each score by: float64 (N,). A box whose score falls under ``least`` decays no further.

    ``boxes``: float64 (N, 4) xyxy; ``scores``: float64 (N,); ``order``: int64 (N,), rows group by group, by falling
    score within each, the earlier first where they tie; ``starts``: int64 (G + 1,), where the groups begin in it.
    ``limit``: σ of the gaussian, or the IoU from which scores decay linearly.
    """
    factors = np.ones(len(scores))
    for g in range(len(starts) - 1):
        _decay_group(boxes, scores, order[starts[g] : starts[g + 1]], gaussian, limit, least, factors)
    return factors
