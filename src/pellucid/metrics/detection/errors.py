"""Error types: what kind of mistake each false positive and each miss is, and what AP each kind costs."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection import error_kernels, kernels
from pellucid.metrics.detection.across import Scored, Sides
from pellucid.metrics.detection.error_kernels import BKG, BOTH, CLS, DUPE, LOC, MISS
from pellucid.metrics.detection.error_records import KINDS, ErrorRecord, ErrorRecords
from pellucid.metrics.detection.kernels import IGNORED, RIGHT
from pellucid.metrics.score import plain
from pellucid.threads import in_threads

__all__ = ["KINDS", "ErrorAnalysis", "ErrorRecord", "ErrorRecords", "error_types"]

LIMIT = 100
"""How many detections of an image count, over all classes, where the protocol has no such limit of its own (LVIS)."""

POINTS = np.arange(101) / 100


@dataclass(frozen=True)
class ErrorAnalysis:
    """What went wrong and what it costs.

    ``average_precision``: TIDE's own, at ``foreground``, 0 to 1; NaN without truths and detections. ``counts``: kind →
    how many detections, or missed objects, are of it. ``cost``: kind → by how much AP would rise without such errors, 0
    to 1; besides the six kinds 'FP' (no detection is wrong) and 'FN' (no object is missed). Costs do not add up to the
    whole loss. NaN where nothing would remain to be scored. ``records``: each error.
    """

    average_precision: float
    counts: dict[str, int]
    cost: dict[str, float]
    records: ErrorRecords = field(repr=False)
    foreground: float = 0.5
    background: float = 0.1

    def record(self, worst: int = 0) -> dict[str, Any]:
        """As JSON takes it, null for NaN; with the ``worst`` records of each kind if any are asked for."""
        made: dict[str, Any] = {
            "foreground": self.foreground,
            "background": self.background,
            **plain({"average_precision": self.average_precision}),
            "counts": dict(self.counts),
            "cost": plain(self.cost),
        }
        if worst > 0:
            made["worst"] = {kind: [one.record() for one in self.records.of(kind).worst(worst)] for kind in KINDS}
        return made


def error_types(
    scored: Scored, *, foreground: float = 0.5, background: float = 0.1, as_tidecv: bool = False
) -> ErrorAnalysis:
    """Gives every false positive and every missed object a type, and each type its cost (TIDE, Bolya et al. 2020).

    ``scored``: an evaluator that was fed, its score, or its matches. Whatever its protocol, TIDE's rules hold:

    - The 100 best detections of an image count, over all classes (LVIS: 300). Each, by score, takes the free truth of
      its class with the highest IoU, if that is ≥ ``foreground``. Truths marked as crowd, difficult or group, and those
      without labelled keypoints, are ignored; so is an unmatched detection of their class of which more than
      ``foreground`` lies in one (of masks that is so with crowds alone, else the overlap itself must exceed it).
    - What is wrong has the first type that fits. 'Loc': IoU with its own class from ``background`` to ``foreground``.
      'Cls': IoU ≥ ``foreground`` with another class. 'Dupe': the same with a taken truth of its own. 'Bkg': IoU ≤
      ``background`` with everything. 'Both': the rest. 'Miss': a truth not found that no Loc or Cls error is about.
    - The cost of a type is by how much AP (101 points, mean over classes with truths or detections) rises when it is
      repaired, at least 0. Of the Loc and Cls errors about a truth not found, the best in score becomes right, the
      others vanish, as do Dupe, Bkg and Both; missed truths are taken out.

    From the protocol come the overlap (of masks, boundaries, keypoints, or boxes, plain or inclusive) and which truths
    and detections there are at all. ``as_tidecv``: to the last digit as tidecv 1.0.1 has it, which differs twice:
    ignored detections get a type too, may repair a truth, and are counted; and once a type is repaired, wrong
    detections stand before right ones of the same score, so that costs come out smaller where scores tie.

    Raises PellucidError unless 0 < ``background`` ≤ ``foreground`` ≤ 1, and where masks or keypoints were scored by an
    evaluator without ``errors=True``.
    """
    if not 0 < background <= foreground <= 1:
        raise PellucidError(
            f"error types: background {background:g}, foreground {foreground:g}; give 0 < background ≤ foreground ≤ 1"
        )
    found = _Found.of(Sides.of(scored, limit=LIMIT), foreground, background, as_tidecv)
    base = found.average_precision(found.order, found.labels, found.right, found.counted, found.totals)
    counted = {kind: int((found.types == i).sum()) for i, kind in enumerate(KINDS[:-1], 1)}
    return ErrorAnalysis(
        base,
        counted | {"Miss": int(found.missed.sum())},
        {kind: _at_least_zero(ap - base) for kind, ap in found.repaired(as_tidecv).items()},
        found.records(background),
        foreground,
        background,
    )


def _at_least_zero(cost: float) -> float:
    return cost if math.isnan(cost) else max(cost, 0.0)


@dataclass
class _Found:
    """What the kernel says of D detections and G truths; see ``error_kernels.type_errors``."""

    sides: Sides
    states: NDArray[np.uint8]
    types: NDArray[np.uint8]
    partners: NDArray[np.int64]
    ious: NDArray[np.float64]
    takers: NDArray[np.int64]
    claimants: NDArray[np.int64]
    nearest: NDArray[np.int64]
    nearest_ious: NDArray[np.float64]

    @classmethod
    def of(cls, sides: Sides, foreground: float, background: float, type_ignored: bool) -> "_Found":
        d, t, rows = sides.part.detections, sides.part.truths, sides.rows
        D, G = len(rows), len(t.labels)
        made = cls(
            sides,
            np.zeros(D, dtype=np.uint8), np.zeros(D, dtype=np.uint8), np.full(D, -1), np.zeros(D),
            np.full(G, -1), np.full(G, -1), np.full(G, -1), np.zeros(G),
        )  # fmt: skip
        arguments = (
            sides.d_first, t.first, sides.kind, d.boxes[rows], d.labels[rows], d.spared[rows], sides.starts, t.boxes,
            t.labels, t.numbers, sides.columns, sides.ignored, sides.part.given, foreground, background, type_ignored,
            made.states, made.types, made.partners, made.ious, made.takers, made.claimants, made.nearest,
            made.nearest_ious,
        )  # fmt: skip
        in_threads(lambda begin, end: error_kernels.type_errors(begin, end, *arguments), len(sides.part))
        return made

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """int64 (D,)."""
        return self.sides.part.detections.labels[self.sides.rows]

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """float64 (D,)."""
        return self.sides.part.detections.scores[self.sides.rows]

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """All detections by falling score, ties by image."""
        return np.argsort(-self.scores, kind="stable")

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool (D,)."""
        return self.states == RIGHT

    @property
    def counted(self) -> NDArray[np.bool_]:
        """bool (D,): the detections that are not ignored."""
        return self.states != IGNORED

    @property
    def unfound(self) -> NDArray[np.bool_]:
        """bool (G,): the truths that no detection is right about."""
        return ~self.sides.ignored & (self.takers < 0)

    @property
    def missed(self) -> NDArray[np.bool_]:
        """bool (G,): those that no detection would be right about once repaired."""
        return self.unfound & (self.claimants < 0)

    @cached_property
    def totals(self) -> NDArray[np.int64]:
        """int64 (K,): how many truths each class has that count."""
        return np.bincount(self.sides.part.truths.labels[~self.sides.ignored], minlength=self.sides.classes)

    def average_precision(
        self,
        order: NDArray[np.int64],
        labels: NDArray[np.int64],
        right: NDArray[np.bool_],
        counted: NDArray[np.bool_],
        totals: NDArray[np.int64],
    ) -> float:
        """The mean over classes with truths or detections, of the detections that count, in an order of scores."""
        rows, first = kernels.sort_into_groups(order[counted[order]], labels, len(totals))
        precisions = np.zeros(len(totals))
        error_kernels.precision_of_classes(first, right[rows], totals, POINTS, precisions)
        there = (np.diff(first) > 0) | (totals > 0)
        return float(precisions[there].mean()) if there.any() else math.nan

    def repaired(self, as_tidecv: bool) -> dict[str, float]:
        """AP without the errors of each kind."""
        order, right, counted, totals = self.order, self.right, self.counted, self.totals
        if as_tidecv:
            wrong_first = np.concatenate((np.flatnonzero(~right), np.flatnonzero(right)))
            order = wrong_first[np.argsort(-self.scores[wrong_first], kind="stable")]
        truths = self.sides.part.truths.labels

        def without(type: int) -> float:
            typed = self.types == type
            mended, labels = np.zeros_like(right), self.labels
            if type in (CLS, LOC):
                of = self.partners[typed]
                mended[typed] = self.claimants[of] == np.flatnonzero(typed)
                labels = self.labels.copy()
                labels[mended] = truths[self.partners[mended]]
            return self.average_precision(order, labels, right | mended, (counted & ~typed) | mended, totals)

        def less(lost: NDArray[np.bool_]) -> float:
            left = totals - np.bincount(truths[lost], minlength=len(totals))
            return self.average_precision(order, self.labels, right, counted, left)

        made = {kind: without(type) for kind, type in zip(KINDS, (CLS, LOC, BOTH, DUPE, BKG), strict=False)}
        right_first = np.concatenate((np.flatnonzero(right), np.flatnonzero(~right)))
        return made | {
            "Miss": less(self.missed),
            "FP": self.average_precision(right_first, self.labels, right, counted, totals),
            "FN": less(self.unfound),
        }

    def records(self, background: float) -> ErrorRecords:
        """Of every detection with a type, and every missed truth."""
        d, t = self.sides.part.detections, self.sides.part.truths
        wrong, lost = np.flatnonzero(self.types), np.flatnonzero(self.missed)
        rows = self.sides.rows[wrong]
        of = self.partners[wrong]
        near = np.where(self.nearest_ious[lost] >= background, self.nearest[lost], -1)
        near_rows = self.sides.rows[near] if len(self.sides.rows) else near
        images = np.concatenate((d.images[rows], t.images[lost]))
        by_image = np.argsort(images, kind="stable")

        def column(of_detections: NDArray, of_truths: NDArray) -> NDArray:
            return np.concatenate((of_detections, of_truths))[by_image]

        def named(values: NDArray[np.int64], at: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.int64]:
            return np.where(there >= 0, values[at], -1) if len(values) else np.full(len(at), -1)

        boxes = column(d.boxes[rows], t.boxes[lost])
        return ErrorRecords(
            self.sides.part.names,
            images[by_image],
            column(self.types[wrong], np.full(len(lost), MISS, dtype=np.uint8)),
            column(d.labels[rows], t.labels[lost]),
            column(d.scores[rows], np.full(len(lost), np.nan)),
            np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1),
            column(d.numbers[rows], t.numbers[lost]),
            column(named(t.numbers, of, of), named(d.numbers, near_rows, near)),
            column(named(t.labels, of, of), named(d.labels, near_rows, near)),
            column(self.ious[wrong], self.nearest_ious[lost]),
        )
