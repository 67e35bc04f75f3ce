"""Compiled loops over the detections and truths of an image, whatever their classes: error types and confusion."""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled
from pellucid.metrics.detection.kernels import GIVEN, IGNORED, RIGHT, area_under, box_overlap

CLS, LOC, BOTH, DUPE, BKG, MISS = 1, 2, 3, 4, 5, 6
"""What the kernels call a type; 0 where there is none."""


@compiled
def fill_overlaps(
    values: NDArray,
    d0: int,
    d1: int,
    t0: int,
    t1: int,
    kind: int,
    d_boxes: NDArray,
    d_given: NDArray,
    t_boxes: NDArray,
    t_columns: NDArray,
    t_ignored: NDArray,
    given: NDArray,
) -> None:
    """Writes the overlaps of an image's detections with its truths into ``values``.

    Of an ignored truth's box it is intersection over the detection's own area. ``d_given``: where a detection's
    overlaps begin in ``given``, ``t_columns``: where a truth stands among them.
    """
    for d in range(d0, d1):
        for g in range(t0, t1):
            if kind == GIVEN:
                values[d - d0, g - t0] = given[d_given[d] + t_columns[g]]
            else:
                values[d - d0, g - t0] = box_overlap(d_boxes[d], t_boxes[g], kind, t_ignored[g])


@compiled
def type_errors(
    begin: int,
    end: int,
    d_first: NDArray,
    t_first: NDArray,
    kind: int,
    d_boxes: NDArray,
    d_labels: NDArray,
    d_spared: NDArray,
    d_given: NDArray,
    t_boxes: NDArray,
    t_labels: NDArray,
    t_numbers: NDArray,
    t_columns: NDArray,
    t_ignored: NDArray,
    given: NDArray,
    foreground: float,
    background: float,
    type_ignored: bool,
    states: NDArray,
    types: NDArray,
    partners: NDArray,
    ious: NDArray,
    takers: NDArray,
    claimants: NDArray,
    nearest: NDArray,
    nearest_ious: NDArray,
) -> None:
    """What became of each detection of the images from ``begin`` to ``end``, and of each truth (Bolya et al. 2020).

    Detections stand by image, in each by falling score. ``d_spared``: those that are ignored unless they are right.
    ``type_ignored``: ignored detections get a type too. Written for each detection: ``states``; ``types``;
    ``partners``, the truth it belongs with, −1 for none; ``ious``, with that truth, or the highest of all. For each
    truth: ``takers`` and ``claimants``, the detection that is right about it, or would be once repaired; ``nearest``,
    the one that overlaps most, and ``nearest_ious``; −1 for none.
    """
    most_d, most_t = 0, 0
    for i in range(begin, end):
        most_d = max(most_d, d_first[i + 1] - d_first[i])
        most_t = max(most_t, t_first[i + 1] - t_first[i])
    values = np.empty((most_d, most_t))
    for i in range(begin, end):
        d0, d1, t0, t1 = d_first[i], d_first[i + 1], t_first[i], t_first[i + 1]
        fill_overlaps(values, d0, d1, t0, t1, kind, d_boxes, d_given, t_boxes, t_columns, t_ignored, given)
        for d in range(d0, d1):
            best, chosen, inside = 0.0, -1, d_spared[d]
            for g in range(t0, t1):
                value = values[d - d0, g - t0]
                if t_ignored[g]:
                    inside |= t_labels[g] == d_labels[d] and value > foreground
                    continue
                if value > nearest_ious[g]:
                    nearest[g], nearest_ious[g] = d, value
                if t_labels[g] == d_labels[d] and takers[g] < 0 and value > best:
                    best, chosen = value, g
            if chosen >= 0 and best >= foreground:
                states[d], partners[d], ious[d] = RIGHT, chosen, best
                takers[chosen] = d
            elif inside:
                states[d] = IGNORED
        for d in range(d0, d1):
            if states[d] == RIGHT or (states[d] == IGNORED and not type_ignored):
                continue
            own, other, whole = 0.0, 0.0, 0.0
            own_g, other_g, whole_g = -1, -1, -1
            for g in range(t0, t1):
                value = values[d - d0, g - t0]
                if t_ignored[g] or value <= 0:
                    continue
                if value > whole:
                    whole, whole_g = value, g
                if t_labels[g] != d_labels[d]:
                    if value > other and not _is_copy(g, d_labels[d], t0, t1, t_labels, t_numbers):
                        other, other_g = value, g
                elif value > own:
                    own, own_g = value, g
            if background <= own <= foreground:
                types[d], partners[d], ious[d] = LOC, own_g, own
            elif other >= foreground:
                types[d], partners[d], ious[d] = CLS, other_g, other
            elif own > foreground:  # which is taken, else the detection were right
                types[d], partners[d], ious[d] = DUPE, own_g, own
            elif whole <= background:
                types[d], partners[d], ious[d] = BKG, -1, whole
            else:
                types[d], partners[d], ious[d] = BOTH, whole_g, whole
            if types[d] == LOC or types[d] == CLS:
                g = partners[d]
                if takers[g] < 0 and claimants[g] < 0:
                    claimants[g] = d


@compiled
def _is_copy(g: int, label: int, t0: int, t1: int, t_labels: NDArray, t_numbers: NDArray) -> bool:
    """Whether the same object stands among the truths with a label too: of a hierarchy it has a copy a class above."""
    for h in range(t0, t1):  # noqa: SIM110 - compiled
        if t_labels[h] == label and t_numbers[h] == t_numbers[g]:
            return True
    return False


@compiled
def precision_of_classes(first: NDArray, right: NDArray, totals: NDArray, points: NDArray, precisions: NDArray) -> None:
    """Average precision of each class, 0 where it has no truth. ``right``: bool, class by class in the order of scores.

    ``first``: (K + 1,), the range of each class. ``totals``: (K,), its truths. ``precisions``: (K,), written.
    """
    curve = np.empty(len(right) + 1)
    for k in range(len(totals)):
        found = 0
        for m in range(first[k], first[k + 1]):
            if right[m]:
                curve[found] = (found + 1) / (m - first[k] + 1)
                found += 1
        precisions[k] = area_under(curve, found, totals[k], 0, points) if totals[k] else 0.0


@compiled
def count_confusions(
    d_first: NDArray,
    t_first: NDArray,
    kind: int,
    d_boxes: NDArray,
    d_labels: NDArray,
    d_spared: NDArray,
    d_given: NDArray,
    t_boxes: NDArray,
    t_labels: NDArray,
    t_columns: NDArray,
    t_ignored: NDArray,
    given: NDArray,
    threshold: float,
    matrix: NDArray,
) -> None:
    """Adds up a confusion matrix: each detection takes the free truth with the highest overlap, whatever its class.

    ``matrix``: int64 (K + 1, K + 1), truth by prediction, the last of each for nothing; ``d_spared`` as above.
    """
    K = len(matrix) - 1
    most_d, most_t = 0, 0
    for i in range(len(d_first) - 1):
        most_d = max(most_d, d_first[i + 1] - d_first[i])
        most_t = max(most_t, t_first[i + 1] - t_first[i])
    values = np.empty((most_d, most_t))
    free = np.empty(most_t, dtype=np.bool_)
    for i in range(len(d_first) - 1):
        d0, d1, t0, t1 = d_first[i], d_first[i + 1], t_first[i], t_first[i + 1]
        fill_overlaps(values, d0, d1, t0, t1, kind, d_boxes, d_given, t_boxes, t_columns, t_ignored, given)
        free[: t1 - t0] = True
        for d in range(d0, d1):
            best, chosen, inside = -1.0, -1, d_spared[d]
            for g in range(t0, t1):
                value = values[d - d0, g - t0]
                if value < threshold:
                    continue
                if t_ignored[g]:
                    inside = True
                elif free[g - t0]:
                    own = t_labels[g] == d_labels[d] and chosen >= 0 and t_labels[chosen] != d_labels[d]
                    if value > best or (value == best and own):
                        best, chosen = value, g
            if chosen >= 0:
                free[chosen - t0] = False
                matrix[t_labels[chosen], d_labels[d]] += 1
            elif not inside:
                matrix[K, d_labels[d]] += 1
        for g in range(t0, t1):
            if free[g - t0] and not t_ignored[g]:
                matrix[t_labels[g], K] += 1
