"""How many pixels every truth segment shares with every predicted one, counted in one pass over the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled

Counts = NDArray[np.int64]

MOST_CELLS = 2**22
"""The largest table that is counted into directly, 32 MiB; images with more pairs of segments are sorted instead."""


@dataclass(frozen=True)
class Overlaps:
    """What S truth segments and P predicted ones share, in pixels; each segment by its place in its list.

    ``truth``, ``prediction`` and ``pixels``: (N,) int64, one pair of overlapping segments a row, by rising truth, then
    prediction. ``truth_areas``: (S,). ``prediction_areas``: (P,). ``void``: (P,) pixels of each predicted segment
    where the truth is void. ``truth_unknown`` and ``prediction_unknown``: pixels whose id no segment has.
    """

    truth: Counts
    prediction: Counts
    pixels: Counts
    truth_areas: Counts
    prediction_areas: Counts
    void: Counts
    truth_unknown: int
    prediction_unknown: int

    def unions(self) -> Counts:
        """(N,) the pixels of either segment of a pair, less those of the predicted one on void truth."""
        areas = self.truth_areas[self.truth] + self.prediction_areas[self.prediction]
        made: Counts = areas - self.pixels - self.void[self.prediction]
        return made


def overlaps(truth: Counts, prediction: Counts, truth_ids: Counts, prediction_ids: Counts) -> Overlaps:
    """Counts two id maps, (H, W) int64 of one shape. ``*_ids``: each segment's id, unique, 1 or more."""
    known_truth, known_prediction = _lookup(truth_ids), _lookup(prediction_ids)
    S, P = len(truth_ids), len(prediction_ids)
    maps = np.ascontiguousarray(truth).reshape(-1), np.ascontiguousarray(prediction).reshape(-1)
    if (S + 2) * (P + 2) <= MOST_CELLS:
        table = np.zeros((S + 2, P + 2), dtype=np.int64)
        _count(*maps, *known_truth, *known_prediction, table)
        rows, columns = np.nonzero(table)
        pixels = table[rows, columns]
    else:
        pairs = _places(maps[0], *known_truth) * (P + 2) + _places(maps[1], *known_prediction)
        pairs, pixels = np.unique(pairs, return_counts=True)
        rows, columns = np.divmod(pairs, P + 2)
    truth_areas = _summed(rows, pixels, S + 2)
    prediction_areas = _summed(columns, pixels, P + 2)
    on_void = rows == 0
    void = _summed(columns[on_void], pixels[on_void], P + 2)
    both = (rows > 0) & (rows <= S) & (columns > 0) & (columns <= P)
    return Overlaps(
        rows[both] - 1,
        columns[both] - 1,
        pixels[both],
        truth_areas[1:-1],
        prediction_areas[1:-1],
        void[1:-1],
        int(truth_areas[-1]),
        int(prediction_areas[-1]),
    )


def places(ids: Counts, segment_ids: Counts) -> Counts:
    """Every pixel's segment as its place in the list plus 1; 0 for void, one more than there are for unknown ids."""
    return _places(np.ascontiguousarray(ids).reshape(-1), *_lookup(segment_ids)).reshape(ids.shape)


def _lookup(ids: Counts) -> tuple[Counts, Counts]:
    """Void and the segments' ids in rising order, and the place of each: 0 for void, then 1 for the first segment."""
    order = np.argsort(ids)
    zero = np.zeros(1, dtype=np.int64)
    return np.concatenate((zero, ids[order])), np.concatenate((zero, order + 1))


def _summed(where: Counts, pixels: Counts, length: int) -> Counts:
    made = np.zeros(length, dtype=np.int64)
    np.add.at(made, where, pixels)
    return made


@compiled
def _place(id, known, places):  # type: ignore[no-untyped-def]
    low, high = 0, len(known)
    while low < high:
        middle = (low + high) // 2
        if known[middle] < id:
            low = middle + 1
        else:
            high = middle
    return places[low] if low < len(known) and known[low] == id else len(known)


@compiled
def _count(truth, prediction, truth_known, truth_places, prediction_known, prediction_places, table):  # type: ignore[no-untyped-def]
    # Segments are wide: most pixels repeat the one before, and along a ragged outline two ids take turns. So the last
    # two ids of either map are remembered, and the others looked up.
    n = len(truth)
    if n == 0:
        return
    t, p = truth[0], prediction[0]
    row, column = _place(t, truth_known, truth_places), _place(p, prediction_known, prediction_places)
    last_t, last_p, last_row, last_column = t, p, row, column
    began = 0
    for i in range(1, n):
        if truth[i] != t or prediction[i] != p:
            table[row, column] += i - began
            began = i
            if truth[i] != t:
                t, last_t, row, last_row = last_t, t, last_row, row
                if truth[i] != t:
                    t = truth[i]
                    row = _place(t, truth_known, truth_places)
            if prediction[i] != p:
                p, last_p, column, last_column = last_p, p, last_column, column
                if prediction[i] != p:
                    p = prediction[i]
                    column = _place(p, prediction_known, prediction_places)
    table[row, column] += n - began


@compiled
def _places(ids, known, places):  # type: ignore[no-untyped-def]
    made = np.empty(len(ids), dtype=np.int64)
    if len(ids) == 0:
        return made
    last = ids[0]
    place = _place(last, known, places)
    for i in range(len(ids)):
        if ids[i] != last:
            last = ids[i]
            place = _place(last, known, places)
        made[i] = place
    return made
