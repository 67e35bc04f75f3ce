"""The rules of panoptic quality in one image: which segments match, which are missed, which are too many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.metrics.panoptic.overlaps import Overlaps
from pellucid.structures import Segment

Kind = Literal["match", "false positive", "false negative"]
KINDS: tuple[Kind, ...] = ("match", "false positive", "false negative")
MATCH, FALSE_POSITIVE, FALSE_NEGATIVE = range(3)

OUTCOME = np.dtype([("kind", "u1"), ("label", "i4"), ("truth", "i8"), ("prediction", "i8"), ("iou", "f8")])
"""What became of one segment: ``kind`` as its place in ``KINDS``, the class, both ids (0 for none), and their IoU."""


@dataclass(frozen=True)
class PanopticError:
    """What became of one segment of an image: matched, too many (false positive), or missed (false negative).

    ``label``: the class index; of a missed or surplus segment, its own. ``truth_id``, ``prediction_id``: the segments.
    A missed segment names the predicted one that shares most pixels with it, of whatever class, a surplus one the truth
    segment that does; None where it meets none. ``iou``: of the two, as the matching counts it; 0 where there is one.
    """

    image: str
    kind: Kind
    label: int
    truth_id: int | None
    prediction_id: int | None
    iou: float


def match(
    truth: Sequence[Segment], prediction: Sequence[Segment], shared: Overlaps, ious: NDArray[np.float64]
) -> NDArray[np.void]:
    """What became of the segments of an image: an array of ``OUTCOME``, matches first.

    ``shared``: the pairs that overlap; ``ious``: (N,) the IoU of each. A pair matches where the classes are the same,
    the truth is no crowd, and the IoU is more than 0.5. A truth segment without a match is missed, unless a crowd. A
    predicted one without a match is too many, unless more than half of it lies on void and on the crowd of its class.
    Of several crowds of a class in an image only the last counts, as in the reference, which keeps one a class.

    Kirillov et al., Panoptic Segmentation (2019), section 4, with the rules of COCO's own evaluation.
    """
    truth_ids, truth_labels, crowd = _columns(truth)
    prediction_ids, prediction_labels, _ = _columns(prediction)
    t, p = shared.truth, shared.prediction
    hit = (truth_labels[t] == prediction_labels[p]) & ~crowd[t] & (ious > 0.5)
    made = [_outcomes(MATCH, truth_labels[t[hit]], truth_ids[t[hit]], prediction_ids[p[hit]], ious[hit])]

    ignored = shared.void.copy()
    last_crowd = {segment.label: place for place, segment in enumerate(truth) if segment.crowd}
    of_last = np.zeros(len(truth), dtype=bool)
    of_last[list(last_crowd.values())] = True
    on_crowd = of_last[t] & (truth_labels[t] == prediction_labels[p])
    ignored[p[on_crowd]] += shared.pixels[on_crowd]  # a class has one crowd here, so that no place stands twice

    surplus = 2 * ignored <= shared.prediction_areas
    surplus[p[hit]] = False
    missed = ~crowd
    missed[t[hit]] = False
    for kind, rows, own_ids, labels, own, other, other_ids in (
        (FALSE_POSITIVE, np.flatnonzero(surplus), prediction_ids, prediction_labels, p, t, truth_ids),
        (FALSE_NEGATIVE, np.flatnonzero(missed), truth_ids, truth_labels, t, p, prediction_ids),
    ):
        best = _most_shared(own, other, shared.pixels, len(own_ids))[rows]
        met = best >= 0
        their = np.zeros(len(rows), dtype=np.int64)
        their[met] = other_ids[other[best[met]]]
        iou = np.zeros(len(rows))
        iou[met] = ious[best[met]]
        true, said = (their, own_ids[rows]) if kind == FALSE_POSITIVE else (own_ids[rows], their)
        made.append(_outcomes(kind, labels[rows], true, said, iou))
    return np.concatenate(made)


def _columns(segments: Sequence[Segment]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    ids = np.array([s.id for s in segments], dtype=np.int64)
    labels = np.array([s.label for s in segments], dtype=np.int64)
    return ids, labels, np.array([s.crowd for s in segments], dtype=bool)


def _most_shared(
    own: NDArray[np.int64], other: NDArray[np.int64], pixels: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """For each of ``count`` segments the pair with most pixels, −1 for none; of equals the one with the first other."""
    order = np.lexsort((other, -pixels, own))
    segments, first = np.unique(own[order], return_index=True)
    best = np.full(count, -1, dtype=np.int64)
    best[segments] = order[first]
    return best


def _outcomes(
    kind: int,
    labels: NDArray[np.int64],
    truth_ids: NDArray[np.int64],
    prediction_ids: NDArray[np.int64],
    ious: NDArray[np.float64],
) -> NDArray[np.void]:
    made = np.zeros(len(labels), dtype=OUTCOME)
    columns = (kind, labels, truth_ids, prediction_ids, ious)
    for field, values in zip(OUTCOME.names or (), columns, strict=True):
        made[field] = values
    return made
