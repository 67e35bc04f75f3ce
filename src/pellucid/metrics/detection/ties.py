"""How far figures hang on the order of equal scores, which no benchmark lays down and every code decides for itself."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection import averaging, tie_kernels, tie_order_kernels
from pellucid.metrics.detection.averaging import INTERPOLATIONS, POINTS, Averages, limits_of
from pellucid.metrics.detection.matching import Matches
from pellucid.metrics.detection.protocol import Figure
from pellucid.metrics.detection.score import DetectionScore, frequency_of
from pellucid.metrics.detection.tie_orders import ImageGroups, Rivals, ends_of_runs
from pellucid.threads import in_threads


@dataclass(frozen=True)
class Range:
    """What a figure can be, by the order of equal scores alone. ``exact``: whether both ends are certainly reached."""

    low: float
    value: float
    high: float
    exact: bool

    def record(self) -> dict[str, float | bool | None]:
        """As JSON takes it, null for NaN."""
        ends = {name: getattr(self, name) for name in ("low", "value", "high")}
        return {name: None if math.isnan(end) else end for name, end in ends.items()} | {"exact": self.exact}


def tie_range(score: DetectionScore) -> dict[str, Range]:
    """Figure → its range over all orders of the detections of a class that have the same score.

    Between images the order changes no match: precision is best with the right detections first among equals, worst
    with them last. Within an image and class it also decides which detection takes which truth and which are under the
    limits; there the matching is run anew on every order, up to 120 an image and class (all of five detections).

    ``exact``: no order leads further, and some order leads to each end. It is claimed where, in every image and class,
    one order is at every score as good (another as bad) as all others, with its right ones first (last) among equals,
    and, for a figure of several thresholds, one order of the class serves all of them. Else, and where there are more
    orders than were tried, the range is a bound: no order leads outside of it, and it may be too wide. The common case:
    of two detections of one truth with the same score the first is right, whatever the order, so that 'wrong ones
    first' cannot be had. Recall is exact wherever all orders were tried, and for several thresholds one of them serves
    all.

    LVIS' limit of 300 detections an image is applied before anything is kept: with so many in an image no range is
    exact, and it is that of the detections that are left. Without ties both ends are the value. Raises PellucidError
    for a score without matches.
    """
    if score.matches is None:
        raise PellucidError(f"{score.title}: this score holds no matches; score the detections again")
    ends = _Ends(score.matches)
    protocol, tags = score.rules, frequency_of(score.classes)
    made = {}
    for figure in protocol.figures:
        chosen = None if figure.frequency is None else np.flatnonzero(tags == figure.frequency)
        low, high = (averaging.figure_of(figure, protocol, averages, chosen) for averages in (ends.low, ends.high))
        made[figure.name] = Range(low, score.summary[figure.name], high, ends.exact(figure, chosen))
    return made


class _Ends:
    """The averages at worst and at best, ``low`` and ``high``, and which of them are reached.

    ``states``: (2, M, A, T), those of the worst and the best order. ``right``: (2, A, T, K, L), how many are right at
    each limit. ``single`` (A, T, K), ``together`` (A, K): whether AP of a threshold, or of all at once, is exact;
    ``single_recall`` (A, T, K), ``together_recall`` (A, K, L): the same of recall.
    """

    def __init__(self, matches: Matches) -> None:
        self.matches, self.protocol = matches, matches.protocol
        A, T = matches.states.shape[1:]
        K, L = matches.classes, len(self.protocol.limits)
        self.limits = limits_of(self.protocol)
        self.states = np.stack((matches.states, matches.states))
        self.right = np.zeros((2, A, T, K, L), dtype=np.int64)
        self.single, self.single_recall = np.ones((2, A, T, K), dtype=np.bool_)
        self.together, self.together_recall = np.ones((A, K), dtype=np.bool_), np.ones((A, K, L), dtype=np.bool_)
        if len(matches.rows):
            self._in_images()
        total = matches.positives[:, None, :, None]
        recalls = np.divide(self.right, total, out=np.full(self.right.shape, np.nan), where=total > 0)
        self.low, self.high = (
            Averages(self._precision(states, best), recall)
            for states, best, recall in zip(self.states, (False, True), recalls, strict=True)
        )

    def _in_images(self) -> None:
        """What the orders in each image and class come to."""
        groups = ImageGroups(self.matches)
        rivals = Rivals(groups)
        special = np.zeros(len(groups.begins), dtype=np.bool_)
        if len(rivals.groups):
            rivals.survey()
            special[rivals.groups[rivals.matter]] = True
            self._among(rivals)
        tie_kernels.count_right(
            groups.begins, groups.sizes, special, groups.places, groups.labels, groups.ends, self.matches.states,
            self.limits, self.right,
        )  # fmt: skip

    def _among(self, rivals: Rivals) -> None:
        """Where tied detections are rivals: by all their orders, or within bounds."""
        orders, many = rivals.split()
        groups = rivals.all
        worst, best = self.states
        if len(orders.layout):
            tie_order_kernels.try_orders(
                orders.layout, groups.places, orders.labels, groups.ends, orders.tried, orders.still, self.limits,
                best, worst, self.right, self.single, self.together, self.together_recall,
            )  # fmt: skip
        if len(many):
            tie_order_kernels.bound_orders(
                rivals.layout(many), groups.places, rivals.labels[many], groups.ends, rivals.alone, rivals.reaches,
                self.matches.states, rivals.truths(many), self.limits, best, worst, self.right, self.single,
                self.together, self.single_recall, self.together_recall,
            )  # fmt: skip

    def _precision(self, states: NDArray[np.uint8], best: bool) -> NDArray[np.float64]:
        """Average precision, (A, T, K), with the right ones first in all ties of a class, or last."""
        matches, protocol = self.matches, self.protocol
        precision = np.full(self.single.shape, np.nan)
        if len(matches.rows):
            labels = np.repeat(np.arange(matches.classes), np.diff(matches.first))
            levels = ends_of_runs((labels[1:] != labels[:-1]) | (matches.scores[1:] != matches.scores[:-1]))
        else:
            levels = np.zeros(0, dtype=np.int64)
        arguments = (
            matches.first, levels, states, matches.positives, INTERPOLATIONS[protocol.interpolation], POINTS,
            protocol.epsilon, best,
        )  # fmt: skip

        def work(begin: int, end: int) -> None:
            tie_kernels.extreme_precision(*arguments, begin, end, precision)
            tie_kernels.one_order_serves(matches.first, levels, states, begin, end, self.together)

        in_threads(work, matches.classes, least=4)
        return precision

    def exact(self, figure: Figure, chosen: NDArray[np.int64] | None) -> bool:
        """Whether both ends of a figure are reached by some order."""
        protocol, part = self.protocol, self.matches.part
        if protocol.per_image is not None and (np.diff(part.detections.first) >= protocol.per_image).any():
            return False
        a = list(protocol.areas).index(figure.area)
        if figure.threshold is not None or len(protocol.thresholds) == 1:
            s = 0 if figure.threshold is None else protocol.thresholds.index(figure.threshold)
            reached = (self.single if figure.of == "AP" else self.single_recall)[a, s]
        elif figure.of == "AP":
            reached = self.together[a]
        else:
            reached = self.together_recall[a, :, protocol.limits.index(figure.limit)]
        reached = reached | (self.matches.positives[a] == 0)
        return bool(reached.all() if chosen is None else reached[chosen].all())
