"""Is one set of predictions better than another, or was it the images, or the order of equal scores?"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection.bootstrap import (
    Draw,
    centred,
    check,
    drawn,
    images_of,
    intervals,
    of_classes,
    replicated,
)
from pellucid.metrics.detection.score import DetectionScore
from pellucid.metrics.detection.ties import Range, tie_range
from pellucid.metrics.score import plain

Verdict = Literal["better", "worse", "undecided", "tie order"]
"""Of b against a. 'tie order': the difference is no larger than what the order of equal scores can make."""


@dataclass(frozen=True)
class Difference:
    """A figure of two scores on the same images.

    ``difference``: b − a, in the figure's own unit; ``low``, ``high``: its interval. ``p_value``: two-sided, the share
    of replicates in which the difference has the other sign, doubled. ``tie_a``, ``tie_b``: what each can be by the
    order of equal scores alone; ``within_ties``: whether the two overlap; None for figures of single classes. NaN where
    undefined.
    """

    a: float
    b: float
    difference: float
    low: float
    high: float
    p_value: float
    verdict: Verdict
    tie_a: Range | None = None
    tie_b: Range | None = None
    within_ties: bool | None = None

    def record(self) -> dict[str, Any]:
        """As JSON takes it, null for NaN."""
        made: dict[str, Any] = dict(plain({name: getattr(self, name) for name in _NUMBERS}))
        made["verdict"] = self.verdict
        if self.tie_a is not None and self.tie_b is not None:
            made |= {"tie_a": self.tie_a.record(), "tie_b": self.tie_b.record(), "within_ties": self.within_ties}
        return made


_NUMBERS = ("a", "b", "difference", "low", "high", "p_value")


@dataclass(frozen=True)
class Comparison:
    """Two scores on the same images. ``figures``: of the summary. ``per_class``: class name → figure → difference."""

    figures: dict[str, Difference]
    per_class: dict[str, dict[str, Difference]]
    replicates: int
    level: float
    seed: int

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "level": self.level,
            "replicates": self.replicates,
            "seed": self.seed,
            "figures": {name: found.record() for name, found in self.figures.items()},
            "per_class": {
                of: {name: found.record() for name, found in row.items()} for of, row in self.per_class.items()
            },
        }


def compare(
    a: DetectionScore, b: DetectionScore, *, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> Comparison:
    """Whether b is better than a, by a paired bootstrap: both are scored anew on the same drawings of the images.

    A figure is 'tie order' where another order of equal scores could make up for the difference; else it is 'better' or
    'worse' where ``p_value`` is under 1 − ``level``, and 'undecided' where it is not. p-values are of one figure each:
    of a hundred classes without a difference five will seem to have one at a level of 0.95. Intervals are those of
    ``bootstrap``. Raises PellucidError for scores of different images, truths, classes or protocols. Source: Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16.
    """
    check(replicates, level, seed)
    draw = drawn(images_of(a), seed)
    ours, theirs = replicated(a, replicates, draw), replicated(b, replicates, _reordered(draw, same_images(a, b)))
    ties = tie_range(a), tie_range(b)
    figures = {
        name: paired([a.summary[name]], [b.summary[name]], values[:, None], theirs.figures[name][:, None], level)[0]
        for name, values in ours.figures.items()
    }
    rows = {
        name: paired(of_classes(a, name), of_classes(b, name), values, theirs.per_class[name], level)
        for name, values in ours.per_class.items()
    }
    return Comparison(
        {name: with_ties(found, ties[0][name], ties[1][name]) for name, found in figures.items()},
        {of: {name: row[k] for name, row in rows.items()} for k, of in enumerate(a.classes.names)},
        replicates,
        level,
        seed,
    )


def paired(
    a: ArrayLike, b: ArrayLike, values_a: NDArray[np.float64], values_b: NDArray[np.float64], level: float
) -> list[Difference]:
    """The differences of K figures from replicates of both, (R, K), drawn together. Figures of any score will do.

    The replicates' mean is moved onto the difference, as in ``bootstrap``: b may gain more from chance than a.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    differences = values_b - values_a
    found = intervals(b - a, differences, level, least=-1.0)
    moved, _, counts = centred(b - a, differences)
    fewer = np.minimum((moved <= 0).sum(0), (moved >= 0).sum(0))
    made = []
    for k, interval in enumerate(found):
        defined = not math.isnan(interval.low)
        p_value = min(1.0, 2 * (int(fewer[k]) + 1) / (int(counts[k]) + 1)) if defined else math.nan
        verdict: Verdict = "undecided"
        if p_value < 1 - level:
            verdict = "better" if interval.value > 0 else "worse"
        made.append(Difference(float(a[k]), float(b[k]), interval.value, interval.low, interval.high, p_value, verdict))
    return made


def with_ties(found: Difference, tie_a: Range, tie_b: Range) -> Difference:
    """A difference beside the ranges of both figures over orders of equal scores."""
    within = tie_a.low <= tie_b.high and tie_b.low <= tie_a.high
    only_ties = within and found.difference != 0 and not math.isnan(found.difference)
    verdict: Verdict = "tie order" if only_ties else found.verdict
    return replace(found, tie_a=tie_a, tie_b=tie_b, within_ties=within, verdict=verdict)


def same_images(a: DetectionScore, b: DetectionScore) -> NDArray[np.int64]:
    """Where each image of b stands among those of a. Raises PellucidError where the two cannot be compared."""
    images_of(a)
    images_of(b)
    if a.rules != b.rules:
        raise PellucidError(f"scores by different protocols, '{a.protocol}' and '{b.protocol}'; score both by one")
    if a.classes.names != b.classes.names:
        raise PellucidError("scores of different classes; score both against the same truth")
    place = {name: i for i, name in enumerate(a.matches.part.names)}
    names = b.matches.part.names
    odd = [name for name in names if name not in place] or sorted(set(place) - set(names))
    if odd:
        raise PellucidError(f"image '{odd[0]}' is in one of the scores alone; score the same images in both")
    order = np.array([place[name] for name in names], dtype=np.int64)
    known = np.arange(len(order))
    for ours, theirs in zip(_truths(a, known), _truths(b, order), strict=True):
        if not np.array_equal(ours, theirs):
            shared = min(len(ours), len(theirs))
            apart = np.append(np.flatnonzero(ours[:shared] != theirs[:shared]), shared)[0]
            first = min(int(side[apart]) for side in (ours, theirs) if apart < len(side))
            image = a.matches.part.names[first // a.matches.classes]
            raise PellucidError(f"image '{image}' has different truths in the two; score both against the same")
    return order


def _truths(score: DetectionScore, order: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The truths that count in each area: image · classes + class of each, in order; images as in ``order``."""
    truths = score.matches.part.truths
    number = order[truths.images] * score.matches.classes + truths.labels
    return [np.sort(number[counted]) for counted in score.matches.counted]


def _reordered(draw: Draw, order: NDArray[np.int64]) -> Draw:
    return lambda block: draw(block)[order]
