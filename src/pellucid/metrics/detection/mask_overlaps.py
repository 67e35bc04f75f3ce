"""Intersections of masks as run lengths, compiled."""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled
from pellucid.structures.run_tables import RunTable
from pellucid.threads import in_threads


@compiled
def intersections(
    begin: int, end: int, rows: NDArray, others: NDArray, ours: tuple, theirs: tuple, shared: NDArray
) -> None:
    """The pixels that mask ``rows[p]`` of ours shares with mask ``others[p]`` of theirs, for p from ``begin`` to
    ``end``.

    ``ours``, ``theirs``: ``first``, ``begins`` and ``ends`` of two tables.
    """
    our_first, our_begins, our_ends = ours
    their_first, their_begins, their_ends = theirs
    for p in range(begin, end):
        a, a_end = our_first[rows[p]], our_first[rows[p] + 1]
        b, b_end = their_first[others[p]], their_first[others[p] + 1]
        total = 0
        if a < a_end and b < b_end:
            # Masks fill few of an image's columns: what lies before the other's first run is leapt over.
            if our_ends[a] <= their_begins[b]:
                a += np.searchsorted(our_ends[a:a_end], their_begins[b], side="right")
            elif their_ends[b] <= our_begins[a]:
                b += np.searchsorted(their_ends[b:b_end], our_begins[a], side="right")
        while a < a_end and b < b_end:
            low, high = max(our_begins[a], their_begins[b]), min(our_ends[a], their_ends[b])
            if low < high:
                total += high - low
            if our_ends[a] < their_ends[b]:
                a += 1
            else:
                b += 1
        shared[p] = total


def mask_overlaps(
    ours: RunTable, theirs: RunTable, rows: NDArray[np.int64], others: NDArray[np.int64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU of mask ``rows[p]`` of ours with ``others[p]`` of theirs, for every p; with a crowd, in shares of ours."""
    shared = np.zeros(len(rows), dtype=np.int64)
    one, other = ((table.first, table.begins, table.ends) for table in (ours, theirs))
    in_threads(lambda begin, end: intersections(begin, end, rows, others, one, other, shared), len(rows))
    own, there = ours.areas[rows], theirs.areas[others]
    whole = np.where(crowd, own, own + there - shared)
    return np.where(shared > 0, shared / np.maximum(whole, 1), 0.0)
