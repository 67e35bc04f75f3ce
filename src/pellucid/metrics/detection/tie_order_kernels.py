"""Loops over the orders of tied detections in an image and class, compiled: what they lead to at best and at worst.

A *level* is a run of detections with the same score in an image and class.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled
from pellucid.metrics.detection.kernels import IGNORED, RIGHT, WRONG
from pellucid.metrics.detection.tie_kernels import key_of


@compiled
def try_orders(
    groups: NDArray,
    places: NDArray,
    labels: NDArray,
    ends: NDArray,
    tried: NDArray,
    still: NDArray,
    limits: NDArray,
    best: NDArray,
    worst: NDArray,
    gains: NDArray,
    single: NDArray,
    together: NDArray,
    together_recall: NDArray,
) -> None:
    """What the orders of tied detections in an image and class lead to, at best and at worst.

    ``groups``: int (G, 4): where the group begins in ``places``, how many detections it has, where its orders begin in
    ``tried``, how many there are. ``places``: where each detection stands in ``best`` and ``worst`` (M, A, T), the
    states to write. ``ends``: int, beside ``places``: where a detection's level ends in its group. ``tried``: states
    (D, A, T), order after order. ``still``: bool (D,), detections that reach no truth: they may stand anywhere in their
    level, and stand at its end here. ``gains``: int (2, A, T, K, L), right ones at each limit, at least and at most,
    added to. ``single`` (A, T, K), ``together`` (A, K), ``together_recall`` (A, K, L): made False where no order leads
    to all that was written.

    From level to level the most right and the fewest wrong ones that any order gives so far are written: no order can
    do better, and where one does as well, and has them in their order, it is exact.
    """
    areas, steps = tried.shape[1], tried.shape[2]
    for g in range(len(groups)):
        begin, n, start, orders = groups[g]
        k = labels[g]
        fits = np.empty((steps, orders), dtype=np.bool_)
        rights, wrongs = np.empty((orders, n), dtype=np.int64), np.empty((orders, n), dtype=np.int64)
        found = np.empty((steps, orders), dtype=np.int64)
        goal_right, goal_wrong = np.empty((steps, n), dtype=np.int64), np.empty((steps, n), dtype=np.int64)
        for upper in (False, True):
            written = best if upper else worst
            sign = 1 if upper else -1
            for a in range(areas):
                for s in range(steps):
                    for o in range(orders):
                        right, wrong = 0, 0
                        for i in range(n):
                            state = tried[start + o * n + i, a, s]
                            right += state == RIGHT
                            wrong += state == WRONG
                            rights[o, i], wrongs[o, i] = right, wrong
                    for i in range(n):
                        last = ends[begin + i] - 1
                        goal_right[s, i] = sign * (sign * rights[:, last]).max()
                        goal_wrong[s, i] = -sign * (-sign * wrongs[:, last]).max()
                    for o in range(orders):
                        fits[s, o] = True
                        passed = False  # whether one was seen after which none of the first kind may come
                        for i in range(n):
                            if i > 0 and ends[begin + i] != ends[begin + i - 1]:
                                passed = False
                            last = ends[begin + i] - 1
                            if rights[o, last] != goal_right[s, i] or wrongs[o, last] != goal_wrong[s, i]:
                                fits[s, o] = False
                            if still[start + o * n + i]:
                                continue
                            state = tried[start + o * n + i, a, s]
                            if state == (WRONG if upper else RIGHT):
                                passed = True
                            elif passed and state == (RIGHT if upper else WRONG):
                                fits[s, o] = False
                    if not fits[s].any():
                        single[a, s, k] = False
                chosen = -1
                for o in range(orders):
                    if fits[:, o].all() and _ordered(tried, still, ends, begin, start + o * n, n, a, upper):
                        chosen = o
                        break
                if chosen < 0:
                    together[a, k] = False
                for s in range(steps):
                    right, wrong = 0, 0
                    for i in range(n):
                        place = places[begin + i]
                        if chosen >= 0:
                            written[place, a, s] = tried[start + chosen * n + i, a, s]
                        elif upper:
                            written[place, a, s] = (
                                RIGHT if right < goal_right[s, i] else WRONG if wrong < goal_wrong[s, i] else IGNORED
                            )
                        else:
                            written[place, a, s] = (
                                WRONG if wrong < goal_wrong[s, i] else RIGHT if right < goal_right[s, i] else IGNORED
                            )
                        right += written[place, a, s] == RIGHT
                        wrong += written[place, a, s] == WRONG
                for b in range(len(limits)):
                    for s in range(steps):
                        for o in range(orders):
                            found[s, o] = 0
                            for i in range(n):
                                # At worst those that reach no truth stand before all others of their level.
                                rank = i if upper else i + _still(still, ends, begin, start + o * n, i)
                                if tried[start + o * n + i, a, s] == RIGHT and rank < limits[b]:
                                    found[s, o] += 1
                        gains[int(upper), a, s, k, b] += sign * (sign * found[s]).max()
                    served = False
                    for o in range(orders):
                        all_of_them = True
                        for s in range(steps):
                            if found[s, o] != sign * (sign * found[s]).max():
                                all_of_them = False
                        served = served or all_of_them
                    if not served:
                        together_recall[a, k, b] = False


@compiled
def _still(still: NDArray, ends: NDArray, begin: int, start: int, i: int) -> int:
    """How many that reach no truth come after detection ``i`` in its level."""
    count = 0
    for j in range(i + 1, ends[begin + i]):
        count += still[start + j]
    return count


@compiled
def _ordered(
    tried: NDArray, still: NDArray, ends: NDArray, begin: int, start: int, n: int, a: int, upper: bool
) -> bool:
    """Whether an order has its keys in order, level by level, so that it can be kept among those of other images."""
    before, end = 0, -1
    for i in range(n):
        if still[start + i]:
            continue
        key = key_of(tried, start + i, a)
        if ends[begin + i] == end and (key > before if upper else key < before):
            return False
        before, end = key, ends[begin + i]
    return True


@compiled
def bound_orders(
    groups: NDArray,
    places: NDArray,
    labels: NDArray,
    ends: NDArray,
    alone: NDArray,
    reaches: NDArray,
    matched: NDArray,
    truths: NDArray,
    limits: NDArray,
    best: NDArray,
    worst: NDArray,
    gains: NDArray,
    single: NDArray,
    together: NDArray,
    single_recall: NDArray,
    together_recall: NDArray,
) -> None:
    """Bounds, surely wide enough, for groups with more orders than can be tried; what is written is as above.

    ``groups``: int (G, 4): where the group begins in ``places``, how many detections count, where they begin in
    ``alone``, how many of them there are: more than count where the limit cuts through its last level. ``alone``:
    states (D, A, T) of each detection by itself. ``reaches``: bool (D, T), whether it reaches a truth. ``matched``:
    the states (M, A, T) that are. ``truths``: int (G, A), how many truths count.

    Up to the first level in which two detections reach a truth all is as matched. After it a detection that may be
    right by itself may become anything, one that may be ignored may be wrong, the others stay what they are.
    """
    areas, steps = matched.shape[1], matched.shape[2]
    early = np.empty(len(limits), dtype=np.int64)
    for g in range(len(groups)):
        begin, n, start, candidates = groups[g]
        k = labels[g]
        together[:, k] = False
        together_recall[:, k, :] = False
        for s in range(steps):
            free = n  # where the first level begins whose order matters
            i = 0
            while i < n and free == n:
                end = ends[begin + i]
                whole = candidates if end == n else end
                count = 0
                for j in range(i, whole):
                    count += reaches[start + j, s]
                if count > 1 or whole > end:
                    free = i
                i = end
            for a in range(areas):
                right = 0
                early[:] = 0
                for i in range(free):
                    state = matched[places[begin + i], a, s]
                    best[places[begin + i], a, s] = state
                    worst[places[begin + i], a, s] = state
                    if state == RIGHT:
                        # No other of its level reaches a truth: it may stand anywhere in it.
                        right += 1
                        first = i
                        while first > 0 and ends[begin + first - 1] == ends[begin + i]:
                            first -= 1
                        for b in range(len(limits)):
                            gains[0, a, s, k, b] += ends[begin + i] - 1 < limits[b]
                            early[b] += first < limits[b]
                if free < n:
                    single[a, s, k] = False
                    single_recall[a, s, k] = False
                later = 0
                i = free
                while i < n:
                    end = ends[begin + i]
                    whole = candidates if end == n else end
                    could, wrong, never = 0, 0, 0
                    for j in range(i, whole):
                        state = alone[start + j, a, s]
                        could += state == RIGHT
                        wrong += state == WRONG
                        never += state == IGNORED and not reaches[start + j, s]
                    could = min(could, end - i, truths[g, a] - right - later)
                    wrong = max(wrong - (whole - end), 0)
                    for j in range(i, end):
                        place = places[begin + j]
                        best[place, a, s] = RIGHT if j - i < could else WRONG if j - i < could + wrong else IGNORED
                        worst[place, a, s] = WRONG if j - i < whole - i - never else IGNORED
                    later += could
                    i = end
                for b in range(len(limits)):
                    gains[1, a, s, k, b] += min(early[b] + later, limits[b])
