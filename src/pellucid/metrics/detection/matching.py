"""From truths and detections in rows to what became of each detection, at every threshold and area."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pellucid.metrics.detection import kernels
from pellucid.metrics.detection.kernels import IGNORED, WRONG
from pellucid.metrics.detection.parts import Part, Rows
from pellucid.metrics.detection.protocol import Protocol
from pellucid.threads import in_threads


@dataclass
class Matches:
    """What became of M detections, class by class, in each by falling score (ties by image, then as given).

    ``rows``: which row of the detections each is. ``first``: (K + 1,), the range of each class. ``ranks``: its place
    among those of its image and class. ``states``: uint8 (M, A, T): 0 wrong, 1 right, 2 ignored. ``partners``: int32
    (M, T), the row of the truth that it takes (in the first area), −1 for none, −2 − row for a group that it belongs
    to; None unless asked for. ``counted``: bool (A, G), which truths count. ``positives``: (A, K), how many of a class
    do.
    """

    protocol: Protocol
    part: Part
    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    ranks: NDArray[np.int64]
    states: NDArray[np.uint8]
    partners: NDArray[np.int32] | None
    counted: NDArray[np.bool_]
    positives: NDArray[np.int64]

    @property
    def classes(self) -> int:
        """How many classes."""
        return len(self.first) - 1

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """float64 (M,)."""
        return self.part.detections.scores[self.rows]

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """int64 (M,): the image of each."""
        return self.part.detections.images[self.rows]

    def area(self, name: str) -> int:
        """The index of an area."""
        return list(self.protocol.areas).index(name)


def match(part: Part, protocol: Protocol, classes: int, *, partners: bool = False) -> Matches:
    """Matches all detections with all truths, by one protocol. ``partners``: whether to say who took whom."""
    d, t = part.detections, part.truths
    groups = len(part) * classes
    t_group = t.images * classes + t.labels
    t_rows, t_first = kernels.sort_into_groups(np.arange(len(t.labels)), t_group, groups)
    by_score = np.argsort(-d.scores, kind="stable")
    d_images = d.images
    d_group = d_images * classes + d.labels
    d_rows, d_first = kernels.sort_into_groups(by_score, d_group, groups)
    sizes = np.diff(d_first)
    ranks = np.arange(len(d_rows)) - np.repeat(d_first[:-1], sizes)
    rank_of = np.zeros(len(d.scores), dtype=np.int64)
    rank_of[d_rows] = ranks
    if protocol.limit is not None and len(sizes) and sizes.max() > protocol.limit:
        by_score = by_score[rank_of[by_score] < protocol.limit]
        d_rows, d_first = kernels.sort_into_groups(by_score, d_group, groups)
    rows, first = kernels.sort_into_groups(by_score, d.labels, classes)
    place = np.zeros(len(d.scores), dtype=np.int64)
    place[rows] = np.arange(len(rows))

    bounds = np.array(list(protocol.areas.values()), dtype=np.float64)
    ignored = t.ignored[None] | (t.areas[None] < bounds[:, :1]) | (t.areas[None] > bounds[:, 1:])
    outside = (d.areas[rows][None] < bounds[:, :1]) | (d.areas[rows][None] > bounds[:, 1:])
    states = np.empty((len(rows), len(bounds), len(protocol.thresholds)), dtype=np.uint8)
    states[:] = np.where(outside.T, IGNORED, WRONG)[:, :, None]
    told = np.full((len(rows) if partners else 0, len(protocol.thresholds)), -1, dtype=np.int32)

    inclusive = protocol.inclusive and not part.inclusive
    plain = t_rows if not t.group.any() else t_rows[~t.group[t_rows]]
    p_rows, p_first = (t_rows, t_first) if plain is t_rows else kernels.sort_into_groups(plain, t_group, groups)
    pairs = _pairs(d_first, p_first)
    work = kernels.match_best if protocol.matching == "best" else kernels.match_best_free
    kind = kernels.GIVEN if protocol.geometry != "boxes" else kernels.GIOU if protocol.generalised else kernels.IOU
    kind = kernels.INCLUSIVE_IOU if inclusive and kind == kernels.IOU else kind
    arguments = (
        pairs, kind, protocol.later_wins, d.boxes[d_rows], place[d_rows], d.overlaps[d_rows], t.boxes[p_rows],
        t.crowd[p_rows], ignored[:, p_rows], _thresholds(t, protocol, inclusive)[p_rows], part.given, states, told,
    )  # fmt: skip
    in_threads(lambda begin, end: work(begin, end, *arguments), len(pairs))
    if len(told):
        there = told >= 0
        told[there] = p_rows[told[there]]
    if t.group.any():
        _match_groups(part, protocol, (t_group, groups), (d_rows, d_first), place, (states, told))
    if d.spared.any():
        spared = d.spared[rows]
        states[spared] = np.where(states[spared] == WRONG, IGNORED, states[spared])
    counted = ~ignored if protocol.groups != "ignore" else ~ignored & ~t.group
    positives = np.stack([np.bincount(t.labels[chosen], minlength=classes) for chosen in counted])
    return Matches(protocol, part, rows, first, rank_of[rows], states, told if partners else None, counted, positives)


def _match_groups(
    part: Part,
    protocol: Protocol,
    grouping: tuple[NDArray[np.int64], int],
    sorted_rows: tuple[NDArray[np.int64], NDArray[np.int64]],
    place: NDArray[np.int64],
    written: tuple[NDArray[np.uint8], NDArray[np.int32]],
) -> None:
    d, t = part.detections, part.truths
    d_rows, d_first = sorted_rows
    states, told = written
    g_rows, g_first = kernels.sort_into_groups(np.flatnonzero(t.group), *grouping)
    pairs = _pairs(d_first, g_first)
    thresholds = np.array(protocol.thresholds)
    kernels.match_groups(
        0, len(pairs), pairs, protocol.groups == "absorb", thresholds, d.boxes[d_rows], place[d_rows], t.boxes[g_rows],
        states, told,
    )  # fmt: skip
    if len(told):
        there = told <= -2
        told[there] = -2 - g_rows[-2 - told[there]]


def _pairs(d_first: NDArray[np.int64], t_first: NDArray[np.int64]) -> NDArray[np.int64]:
    """The groups that have both: int64 (P, 4), the ranges of detections and of truths."""
    both = np.flatnonzero((np.diff(d_first) > 0) & (np.diff(t_first) > 0))
    return np.stack((d_first[both], d_first[both + 1], t_first[both], t_first[both + 1]), 1)


def _thresholds(t: Rows, protocol: Protocol, inclusive: bool) -> NDArray[np.float64]:
    """The overlap that each truth asks for: float64 (G, T)."""
    # As COCO's code has it: an overlap of 1 must reach a threshold of 1.
    made = np.tile(np.minimum(np.array(protocol.thresholds), 1 - 1e-10), (len(t.labels), 1))
    if protocol.small_boxes:
        plus = 1.0 if inclusive else 0.0
        w, h = t.boxes[:, 2] + plus, t.boxes[:, 3] + plus
        made = np.minimum(made, (w * h / ((w + 10) * (h + 10)))[:, None])
    return made
