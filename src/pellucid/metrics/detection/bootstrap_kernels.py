"""Average precision and recall of many weightings of the images at once, compiled: the inner loop of the bootstrap.

A weighting says how often each image counts. 64 of them stand side by side, so that what is done to one is done to all
with the processor's wide registers; sums are of whole numbers in doubles, hence exact.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled, compiled_as_numpy_divides
from pellucid.metrics.detection.kernels import IGNORED, RIGHT, WRONG

LANES = 64

MIXED = 3
"""Said of a detection in an area where its state is not the same at all thresholds, or right at all."""


@compiled
def kinds_of(states: NDArray, begin: int, end: int, kinds: NDArray) -> None:
    """uint8 (M, A): WRONG or IGNORED where a detection is so at every threshold, else MIXED. ``states``: (M, A, T)."""
    for m in range(begin, end):
        for a in range(states.shape[1]):
            kind = states[m, a, 0]
            for s in range(states.shape[2]):
                if states[m, a, s] != kind or states[m, a, s] == RIGHT:
                    kind = MIXED
                    break
            kinds[m, a] = kind


@compiled_as_numpy_divides
def _climb(sums: NDArray, row: NDArray, plain: NDArray, total: NDArray, interpolation: int, epsilon: float) -> None:
    """Takes a right detection off the sums of a threshold, (5, 64), and adds what it holds of the curve."""
    # Written out for each interpolation: a choice inside the loop over lanes would keep it from wide registers.
    if interpolation == 0:
        for r in range(LANES):
            sums[2, r] = max(sums[2, r], sums[0, r] / (max(plain[r] + sums[1, r], 1.0) + epsilon))
            sums[0, r] -= row[r]
            # In whole numbers a recall lies on a point or far from it; on it, the doubles decide, as in COCO's code.
            recall = sums[0, r] / total[r]
            point = np.floor(recall * 100.0 + 1e-9)
            points = point + 1.0 if point * 0.01 <= recall else point
            points = points if sums[0, r] > 0.0 else 0.0
            sums[4, r] += sums[2, r] * (sums[3, r] - points)
            sums[3, r] = points
    elif interpolation == 1:
        for r in range(LANES):
            sums[2, r] = max(sums[2, r], sums[0, r] / (max(plain[r] + sums[1, r], 1.0) + epsilon))
            sums[0, r] -= row[r]
            points = np.floor(10.0 * sums[0, r] / total[r] + 1e-9) + 1.0
            points = points if sums[0, r] > 0.0 else 0.0
            sums[4, r] += sums[2, r] * (sums[3, r] - points)
            sums[3, r] = points
    else:
        for r in range(LANES):
            sums[2, r] = max(sums[2, r], sums[0, r] / (max(plain[r] + sums[1, r], 1.0) + epsilon))
            sums[0, r] -= row[r]
            sums[4, r] += sums[2, r] * row[r] / total[r]


@compiled_as_numpy_divides
def _reached(right: float, total: float, interpolation: int) -> float:
    """How many points of recall so many right ones reach."""
    if right == 0.0 or interpolation == 2:
        return 0.0
    if interpolation == 1:
        return np.floor(10.0 * right / total + 1e-9) + 1.0
    point = np.floor(right / total * 100.0 + 1e-9)
    return point + 1.0 if point * 0.01 <= right / total else point


@compiled_as_numpy_divides
def average_weighted(
    weights: NDArray,
    first: NDArray,
    images: NDArray,
    states: NDArray,
    kinds: NDArray,
    bins: NDArray,
    truth_first: NDArray,
    truth_images: NDArray,
    counted: NDArray,
    interpolation: int,
    epsilon: float,
    precisions: NDArray,
    recalls: NDArray,
) -> None:
    """Average precision and final recall of every class under 64 weightings.

    ``weights``: uint8 (N, 64). ``first``, ``images``, ``states``: of the detections, class by class, by falling score.
    ``kinds``: see ``kinds_of``. ``bins``: int (M,), the first limit that a detection's rank is under. ``truth_first``,
    ``truth_images``, ``counted`` (G, A): of the truths, class by class. ``interpolation``: as in ``kernels.average``.
    ``precisions``: (A, T, K, 64), ``recalls``: (A, T, K, L, 64), written; NaN where no truth counts.

    Twice over the detections: down, for the sums at the end of the list, then up again, taking off, so that the
    envelope of precision is known when a detection is met and no curve is kept.
    """
    areas, steps, limits = states.shape[1], states.shape[2], recalls.shape[3]
    plain = np.empty(LANES)  # the weight so far of detections that are wrong at every threshold
    total = np.empty(LANES)
    right = np.empty((steps, limits, LANES))
    # By threshold: right, other counted ones, envelope, points reached, sum.
    sums = np.empty((steps, 5, LANES))
    for k in range(len(first) - 1):
        for a in range(areas):
            total[:] = 0.0
            for g in range(truth_first[k], truth_first[k + 1]):
                if counted[g, a]:
                    row = weights[truth_images[g]]
                    for r in range(LANES):
                        total[r] += row[r]
            plain[:] = 0.0
            right[:] = 0.0
            sums[:] = 0.0
            for m in range(first[k], first[k + 1]):
                kind = kinds[m, a]
                if kind == IGNORED:
                    continue
                row = weights[images[m]]
                if kind == WRONG:
                    for r in range(LANES):
                        plain[r] += row[r]
                    continue
                for s in range(steps):
                    state = states[m, a, s]
                    if state == IGNORED:
                        continue
                    for r in range(LANES):
                        sums[s, 1, r] += row[r]
                    if state == RIGHT:
                        b = bins[m]
                        for r in range(LANES):
                            right[s, b, r] += row[r]
            for s in range(steps):
                for b in range(limits):
                    for r in range(LANES):
                        sums[s, 0, r] += right[s, b, r]
                    for r in range(LANES):
                        recalls[a, s, k, b, r] = sums[s, 0, r] / total[r]
            for r in range(LANES):
                total[r] = max(total[r], 1.0)
            for s in range(steps):
                for r in range(LANES):
                    sums[s, 3, r] = _reached(sums[s, 0, r], total[r], interpolation)
            for m in range(first[k + 1] - 1, first[k] - 1, -1):
                kind = kinds[m, a]
                if kind == IGNORED:
                    continue
                row = weights[images[m]]
                if kind == WRONG:
                    for r in range(LANES):
                        plain[r] -= row[r]
                    continue
                for s in range(steps):
                    state = states[m, a, s]
                    if state == IGNORED:
                        continue
                    if state == RIGHT:
                        _climb(sums[s], row, plain, total, interpolation, epsilon)
                    for r in range(LANES):
                        sums[s, 1, r] -= row[r]
            parts = 101.0 if interpolation == 0 else 11.0 if interpolation == 1 else 1.0
            for s in range(steps):
                for r in range(LANES):
                    undefined = np.isnan(recalls[a, s, k, 0, r])
                    precisions[a, s, k, r] = np.nan if undefined else sums[s, 4, r] / parts
