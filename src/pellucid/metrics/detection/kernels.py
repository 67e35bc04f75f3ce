"""The matching engine: loops over detections and truths, compiled. Nothing here knows a protocol by its name.

States of a detection: 0 wrong, 1 right, 2 ignored. The kernels release the interpreter's lock, so that threads share
the groups; they are compiled at their first call and kept on disk.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled

WRONG, RIGHT, IGNORED = 0, 1, 2

IOU, INCLUSIVE_IOU, GIOU, GIVEN = 0, 1, 2, 3
"""How overlaps come about: from boxes xywh, from the same with both ends counted, generalised, or read from a table."""


@compiled
def box_overlap(d: NDArray, t: NDArray, kind: int, crowd: bool) -> float:
    """The overlap of a detection's box and a truth's, xywh. ``crowd``: intersection over the detection's area.

    The order of operations is that of COCO's code: the last bit decides ties.
    """
    plus = 1.0 if kind == INCLUSIVE_IOU else 0.0
    w = min(d[2] + d[0], t[2] + t[0]) - max(d[0], t[0]) + plus
    h = min(d[3] + d[1], t[3] + t[1]) - max(d[1], t[1]) + plus
    own = (d[2] + plus) * (d[3] + plus)
    shared = 0.0 if w <= 0 or h <= 0 else w * h
    if kind != GIOU:
        if shared == 0.0:
            return 0.0
        whole = own if crowd else own + (t[2] + plus) * (t[3] + plus) - shared
        return shared / whole
    union = own + t[2] * t[3] - shared
    hull_w = max(d[2] + d[0], t[2] + t[0]) - min(d[0], t[0])
    hull_h = max(d[3] + d[1], t[3] + t[1]) - min(d[1], t[1])
    hull = hull_w * hull_h
    if crowd:
        return shared / own if own > 0 else 0.0
    if union <= 0 or hull <= 0:
        return -1.0
    return shared / union - (hull - union) / hull


@compiled
def sort_into_groups(order: NDArray, groups: NDArray, count: int) -> tuple[NDArray, NDArray]:
    """The rows of ``order`` brought together by group, in their order within each; offsets, (count + 1,), as well."""
    first = np.zeros(count + 1, dtype=np.int64)
    for row in order:
        first[groups[row] + 1] += 1
    for g in range(count):
        first[g + 1] += first[g]
    free = first[:-1].copy()
    rows = np.empty(len(order), dtype=np.int64)
    for row in order:
        g = groups[row]
        rows[free[g]] = row
        free[g] += 1
    return rows, first


@compiled
def match_best_free(
    begin: int,
    end: int,
    pairs: NDArray,
    kind: int,
    later_wins: bool,
    d_boxes: NDArray,
    d_place: NDArray,
    d_overlaps: NDArray,
    t_boxes: NDArray,
    t_crowd: NDArray,
    t_ignored: NDArray,
    t_thresholds: NDArray,
    given: NDArray,
    states: NDArray,
    partners: NDArray,
) -> None:
    """Each detection, by score, takes the free truth with the highest IoU that reaches that truth's threshold.

    ``pairs``: int64 (P, 4), the groups with detections and truths, each the ranges of both. ``d_place``: where a
    detection stands in ``states`` (M, A, T). ``t_ignored``: bool (A, G). ``t_thresholds``: (G, T). A detection looks at
    ignored truths only where no other will do; crowds can be taken any number of times. ``d_overlaps``: where a
    detection's overlaps begin in ``given``, if they are. ``partners``: int32 (M, T) or (0, T): the truth that each
    detection takes, −1 for none, in the first area.
    """
    areas, steps = t_ignored.shape[0], t_thresholds.shape[1]
    most = 0
    for p in range(begin, end):
        most = max(most, pairs[p, 3] - pairs[p, 2])
    overlaps = np.empty(most)
    taken = np.empty((areas, steps, most), dtype=np.bool_)
    for p in range(begin, end):
        d0, d1, t0, t1 = pairs[p, 0], pairs[p, 1], pairs[p, 2], pairs[p, 3]
        n = t1 - t0
        lowest = 2.0
        for g in range(n):
            taken[:, :, g] = False
            for s in range(steps):
                lowest = min(lowest, t_thresholds[t0 + g, s])
        for d in range(d0, d1):
            best_of_all = -2.0
            for g in range(n):
                if kind == GIVEN:
                    overlaps[g] = given[d_overlaps[d] + g]
                else:
                    overlaps[g] = box_overlap(d_boxes[d], t_boxes[t0 + g], kind, t_crowd[t0 + g])
                best_of_all = max(best_of_all, overlaps[g])
            if not best_of_all >= lowest:
                continue
            place = d_place[d]
            for s in range(steps):
                for a in range(areas):
                    chosen = -1
                    for want_ignored in (False, True):
                        best = -2.0
                        for g in range(n):
                            if t_ignored[a, t0 + g] != want_ignored:
                                continue
                            if taken[a, s, g] and not t_crowd[t0 + g]:
                                continue
                            value = overlaps[g]
                            if value >= t_thresholds[t0 + g, s] and (value > best or (later_wins and value == best)):
                                best, chosen = value, g
                        if chosen >= 0:
                            break
                    if chosen < 0:
                        continue
                    taken[a, s, chosen] = True
                    states[place, a, s] = IGNORED if t_ignored[a, t0 + chosen] else RIGHT
                    if a == 0 and partners.shape[0] > 0:
                        partners[place, s] = t0 + chosen


@compiled
def match_best(
    begin: int,
    end: int,
    pairs: NDArray,
    kind: int,
    later_wins: bool,
    d_boxes: NDArray,
    d_place: NDArray,
    d_overlaps: NDArray,
    t_boxes: NDArray,
    t_crowd: NDArray,
    t_ignored: NDArray,
    t_thresholds: NDArray,
    given: NDArray,
    states: NDArray,
    partners: NDArray,
) -> None:
    """Each detection, by score, looks at the truth with the highest IoU alone, taken or not; arguments as above.

    Where that truth is ignored the detection is too, and where it is taken the detection is wrong.
    """
    areas, steps = t_ignored.shape[0], t_thresholds.shape[1]
    most = 0
    for p in range(begin, end):
        most = max(most, pairs[p, 3] - pairs[p, 2])
    taken = np.empty((areas, steps, most), dtype=np.bool_)
    for p in range(begin, end):
        d0, d1, t0, t1 = pairs[p, 0], pairs[p, 1], pairs[p, 2], pairs[p, 3]
        taken[:, :, : t1 - t0] = False
        for d in range(d0, d1):
            best, chosen = -2.0, -1
            for g in range(t1 - t0):
                if kind == GIVEN:
                    value = given[d_overlaps[d] + g]
                else:
                    value = box_overlap(d_boxes[d], t_boxes[t0 + g], kind, t_crowd[t0 + g])
                if value > best or (later_wins and value == best):
                    best, chosen = value, g
            if chosen < 0:
                continue
            place = d_place[d]
            for s in range(steps):
                if not best >= t_thresholds[t0 + chosen, s]:
                    continue
                for a in range(areas):
                    if t_ignored[a, t0 + chosen]:
                        states[place, a, s] = IGNORED
                    elif taken[a, s, chosen]:
                        continue
                    else:
                        taken[a, s, chosen] = True
                        states[place, a, s] = RIGHT
                    if a == 0 and partners.shape[0] > 0:
                        partners[place, s] = t0 + chosen


@compiled
def match_groups(
    begin: int,
    end: int,
    pairs: NDArray,
    absorb: bool,
    thresholds: NDArray,
    d_boxes: NDArray,
    d_place: NDArray,
    t_boxes: NDArray,
    states: NDArray,
    partners: NDArray,
) -> None:
    """What is not right may belong to a box around a group: intersection over its own area, the best such box.

    With ``absorb`` the first detection of a group is right and the others are ignored, else all of them are.
    ``t_boxes`` and the ranges of truths in ``pairs`` are of the boxes around groups.
    """
    areas, steps = states.shape[1], states.shape[2]
    most = 0
    for p in range(begin, end):
        most = max(most, pairs[p, 3] - pairs[p, 2])
    found = np.empty(most, dtype=np.bool_)
    for p in range(begin, end):
        d0, d1, t0, t1 = pairs[p, 0], pairs[p, 1], pairs[p, 2], pairs[p, 3]
        for a in range(areas):
            for s in range(steps):
                found[: t1 - t0] = False
                for d in range(d0, d1):
                    place = d_place[d]
                    if states[place, a, s] != WRONG:
                        continue
                    best, chosen = -1.0, -1
                    for g in range(t1 - t0):
                        value = box_overlap(d_boxes[d], t_boxes[t0 + g], IOU, True)
                        if value > best:
                            best, chosen = value, g
                    if chosen < 0 or not best >= thresholds[s]:
                        continue
                    states[place, a, s] = RIGHT if absorb and not found[chosen] else IGNORED
                    found[chosen] = True
                    if a == 0 and partners.shape[0] > 0:
                        partners[place, s] = -2 - (t0 + chosen)


@compiled
def average(
    first: NDArray,
    states: NDArray,
    ranks: NDArray,
    positives: NDArray,
    limits: NDArray,
    limit: int,
    interpolation: int,
    points: NDArray,
    epsilon: float,
    begin: int,
    end: int,
    precisions: NDArray,
    recalls: NDArray,
) -> None:
    """Average precision and final recall of the classes from ``begin`` to ``end``.

    ``first``: (K + 1,), the range of each class in the order of scores. ``states``: (M, A, T). ``ranks``: a detection's
    place in its image and class. ``positives``: (A, K). ``precisions``: (A, T, K), ``recalls``: (A, T, K, L), written;
    classes without positives are left as they are. ``interpolation``: 0 for ``points`` of recall, 1 for eleven, 2 for
    all.
    """
    areas, steps = states.shape[1], states.shape[2]
    most = 0
    for k in range(begin, end):
        most = max(most, first[k + 1] - first[k])
    curve = np.empty(most + 1)
    for k in range(begin, end):
        for a in range(areas):
            total = positives[a, k]
            if total == 0:
                continue
            for s in range(steps):
                right, counted = 0, 0
                recalls[a, s, k, :] = 0.0
                for m in range(first[k], first[k + 1]):
                    state = states[m, a, s]
                    if state == IGNORED:
                        continue
                    if ranks[m] < limit:
                        counted += 1
                    if state == RIGHT:
                        for i in range(len(limits)):
                            if ranks[m] < limits[i]:
                                recalls[a, s, k, i] += 1.0
                        if ranks[m] < limit:
                            curve[right] = (right + 1) / (counted + epsilon)
                            right += 1
                for i in range(len(limits)):
                    recalls[a, s, k, i] /= total
                precisions[a, s, k] = area_under(curve, right, total, interpolation, points)


@compiled
def area_under(curve: NDArray, right: int, total: int, interpolation: int, points: NDArray) -> float:
    """Average precision from the precision at each right detection, which is overwritten by its envelope.

    ``curve``: of ``right`` detections that are right, out of ``total`` truths.
    """
    for j in range(right - 2, -1, -1):
        curve[j] = max(curve[j], curve[j + 1])
    value = 0.0
    if interpolation == 0:
        j = 0
        for point in points:
            while j < right and (j + 1) / total < point:
                j += 1
            if j == right:
                break
            value += curve[j]
        return value / len(points)
    if interpolation == 1:
        # Recall is compared in whole numbers: 0.3, 0.6 and 0.7 have no exact double.
        for k in range(11):
            j = max((k * total + 9) // 10, 1) - 1
            if j < right:
                value += curve[j]
        return value / 11
    before = 0.0
    for j in range(right):
        recall = (j + 1) / total
        value += (recall - before) * curve[j]
        before = recall
    return value


@compiled
def repeats(rows: NDArray, first: NDArray, images: NDArray, scores: NDArray, boxes: NDArray) -> NDArray:
    """The places of detections that have the class, image, score and box of an earlier one.

    ``rows``: class by class in the order of scores, ``first`` the classes' ranges; ``images`` is in that order too.
    """
    found = []
    for k in range(len(first) - 1):
        for m in range(first[k], first[k + 1]):
            before = m - 1
            while before >= first[k] and images[before] == images[m] and scores[rows[before]] == scores[rows[m]]:
                if (boxes[rows[before]] == boxes[rows[m]]).all():
                    found.append(m)
                    break
                before -= 1
    return np.array(found, dtype=np.int64)
