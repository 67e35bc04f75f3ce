"""Loops over tied detections, compiled: the best and the worst of a class over the orders of equal scores.

A *level* is a run of detections with the same score, of a class or of an image and class.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled
from pellucid.metrics.detection.kernels import RIGHT, WRONG, area_under


@compiled
def extreme_precision(
    first: NDArray,
    levels: NDArray,
    states: NDArray,
    positives: NDArray,
    interpolation: int,
    points: NDArray,
    epsilon: float,
    right_first: bool,
    begin: int,
    end: int,
    precisions: NDArray,
) -> None:
    """Average precision of the classes from ``begin`` to ``end`` with the right ones first, or last, in every level.

    ``levels``: int (M,), where each detection's level in its class ends. ``precisions``: (A, T, K), written; classes
    without positives are left as they are. The rest as in ``kernels.average``.
    """
    most = 0
    for k in range(begin, end):
        most = max(most, first[k + 1] - first[k])
    curve = np.empty(most + 1)
    for k in range(begin, end):
        for a in range(states.shape[1]):
            if positives[a, k] == 0:
                continue
            for s in range(states.shape[2]):
                right, counted = 0, 0
                at = first[k]
                while at < first[k + 1]:
                    good, bad = 0, 0
                    for m in range(at, levels[at]):
                        good += states[m, a, s] == RIGHT
                        bad += states[m, a, s] == WRONG
                    at = levels[at]
                    if not right_first:
                        counted += bad
                    for _ in range(good):
                        counted += 1
                        curve[right] = (right + 1) / (counted + epsilon)
                        right += 1
                    if right_first:
                        counted += bad
                precisions[a, s, k] = area_under(curve, right, positives[a, k], interpolation, points)


@compiled
def one_order_serves(first: NDArray, levels: NDArray, states: NDArray, begin: int, end: int, serves: NDArray) -> None:
    """Whether an order sets right before wrong in every level at all thresholds at once: bool (A, K), made False if
    not.

    Ordered by how often they are right, then by how seldom wrong, no detection may be wrong at a threshold where one
    that comes with or after it is right. Then the reverse sets all wrong ones first, too.
    """
    steps = states.shape[2]
    for k in range(begin, end):
        for a in range(states.shape[1]):
            at = first[k]
            while at < first[k + 1] and serves[a, k]:
                if levels[at] - at > 1:
                    for s in range(steps):
                        least, most = 2 * steps * steps, -steps
                        for m in range(at, levels[at]):
                            if states[m, a, s] == RIGHT:
                                least = min(least, key_of(states, m, a))
                            elif states[m, a, s] == WRONG:
                                most = max(most, key_of(states, m, a))
                        if least <= most:
                            serves[a, k] = False
                at = levels[at]


@compiled
def key_of(states: NDArray, m: int, a: int) -> int:
    """How early a detection should come for the best figures over all thresholds: more is earlier."""
    right, wrong = 0, 0
    for s in range(states.shape[2]):
        right += states[m, a, s] == RIGHT
        wrong += states[m, a, s] == WRONG
    return right * (states.shape[2] + 1) - wrong


@compiled
def count_right(
    begins: NDArray,
    sizes: NDArray,
    special: NDArray,
    places: NDArray,
    labels: NDArray,
    ends: NDArray,
    states: NDArray,
    limits: NDArray,
    gains: NDArray,
) -> None:
    """Counts the right ones at each limit of groups in which but one detection of a level, at most, reaches a truth.

    ``begins``, ``sizes``, ``special`` (left out): of the groups. ``labels``: their classes. The rest as in
    ``tie_order_kernels.try_orders``.
    """
    for g in range(len(begins)):
        if special[g]:
            continue
        start = 0
        for i in range(sizes[g]):
            if i > 0 and ends[begins[g] + i] != ends[begins[g] + i - 1]:
                start = i
            for a in range(states.shape[1]):
                for s in range(states.shape[2]):
                    if states[places[begins[g] + i], a, s] == RIGHT:
                        for b in range(len(limits)):
                            gains[0, a, s, labels[g], b] += ends[begins[g] + i] - 1 < limits[b]
                            gains[1, a, s, labels[g], b] += start < limits[b]
