"""How far figures would move with other images: bootstrap intervals over images, without matching again."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection import bootstrap_kernels, kernels
from pellucid.metrics.detection.averaging import INTERPOLATIONS, limits_of
from pellucid.metrics.detection.bootstrap_kernels import LANES
from pellucid.metrics.detection.matching import Matches
from pellucid.metrics.detection.protocol import Figure
from pellucid.metrics.detection.score import DetectionScore, frequency_of
from pellucid.metrics.score import plain
from pellucid.threads import in_threads

Draw = Callable[[int], NDArray[np.uint8]]
"""How often each image counts in the replicates of a block: uint8 (N, 64)."""


@dataclass(frozen=True)
class Interval:
    """A figure and how sure it is.

    ``value``: of all images. ``low``, ``high``: see ``bootstrap``. ``standard_error``: the standard deviation of the
    replicates. ``bias``: their mean less the value. NaN where undefined; replicates in which the figure is undefined
    are left out.
    """

    value: float
    low: float
    high: float
    standard_error: float
    bias: float

    def record(self) -> dict[str, float | None]:
        """As JSON takes it, null for NaN."""
        return plain(vars(self))


@dataclass(frozen=True)
class Intervals:
    """Bootstrap intervals of a score.

    ``figures``: of each figure of the summary. ``per_class``: class name → figure → interval. ``values``: the
    replicates of each figure of the summary, float64 (R,), as they were drawn, NaN where undefined.
    """

    figures: dict[str, Interval]
    per_class: dict[str, dict[str, Interval]]
    level: float
    seed: int
    values: dict[str, NDArray[np.float64]] = field(repr=False)

    def record(self) -> dict[str, Any]:
        """As JSON takes it, without the replicates."""
        return {
            "level": self.level,
            "seed": self.seed,
            "replicates": len(next(iter(self.values.values()))),
            "figures": {name: interval.record() for name, interval in self.figures.items()},
            "per_class": {
                name: {figure: interval.record() for figure, interval in row.items()}
                for name, row in self.per_class.items()
            },
        }


@dataclass(frozen=True)
class Replicates:
    """A score's figures under R weightings of its images.

    ``figures``: figure → float64 (R,). ``per_class``: figure → (R, K), for those that are not of some classes alone.
    NaN where undefined.
    """

    figures: dict[str, NDArray[np.float64]]
    per_class: dict[str, NDArray[np.float64]]


def bootstrap(score: DetectionScore, replicates: int = 1000, *, level: float = 0.95, seed: int = 0) -> Intervals:
    """Intervals of all figures of a score, from images drawn anew with replacement, as many as there are.

    ``level``: the share of replicates between ``low`` and ``high``, percentiles after the replicates' mean was moved
    onto the value. That move matters. Average precision gains from chance, since its envelope takes the best of what
    follows, and copies of images give it more chance: replicates of it lie above the value, over many classes by
    several standard errors, so that plain percentiles miss what they should hold. The interval is about what other
    test sets of this size would give. AP of a larger one would be lower, by about ``bias``; recall has no such bias.

    A class without a truth that counts in a replicate is undefined there and left out of its means. A single image says
    nothing of others: with fewer than two, intervals are NaN. The same seed gives the same replicates on any number of
    cores. Raises PellucidError for numbers that make no interval. Source: Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapters 6, 10 and 13.

    A detection of an image that is drawn w times counts w times in its place among the scores. So a replicate is the
    score of a data set with w copies of the image, provided that no two scores of an image and class tie.
    """
    check(replicates, level, seed)
    made = replicated(score, replicates, drawn(images_of(score), seed))
    rows = {name: intervals(of_classes(score, name), values, level) for name, values in made.per_class.items()}
    return Intervals(
        {name: interval(score.summary[name], values, level) for name, values in made.figures.items()},
        {of: {name: row[k] for name, row in rows.items()} for k, of in enumerate(score.classes.names)},
        level,
        seed,
        made.figures,
    )


def weighted(score: DetectionScore, weights: NDArray[np.integer[Any]]) -> Replicates:
    """A score's figures where each image counts as often as its weight says.

    ``weights``: (R, N) whole numbers from 0 to 255, the images in the order of ``score.matches.part.names``. Raises
    PellucidError for others.
    """
    weights = np.asarray(weights)
    N = images_of(score)
    whole = weights.ndim == 2 and weights.shape[1] == N and np.issubdtype(weights.dtype, np.integer)
    if not whole or (weights.size and (weights.min() < 0 or weights.max() > 255)):
        raise PellucidError(f"weights of images: give whole numbers from 0 to 255, {N} in a row, an image each")

    def draw(block: int) -> NDArray[np.uint8]:
        lanes = np.zeros((N, LANES), dtype=np.uint8)
        some = weights[block * LANES : (block + 1) * LANES]
        lanes[:, : len(some)] = some.T
        return lanes

    return replicated(score, len(weights), draw)


def check(replicates: int, level: float, seed: int) -> None:
    """Raises PellucidError for numbers that make no bootstrap."""
    if replicates < 2:
        raise PellucidError(f"bootstrap: {replicates} replicates; give 2 or more, 1,000 for an interval of 95 %")
    if not 0 < level < 1:
        raise PellucidError(f"bootstrap: level {level}; give a share between 0 and 1, such as 0.95")
    if seed < 0:
        raise PellucidError(f"bootstrap: seed {seed}; give 0 or more")


def images_of(score: DetectionScore) -> int:
    """How many images a score is of. Raises PellucidError where it does not hold its matches."""
    if score.matches is None:
        raise PellucidError(f"{score.title}: this score holds no matches; score the detections again")
    return len(score.matches.part)


def drawn(images: int, seed: int) -> Draw:
    """Images drawn with replacement, block by block, so that threads may take blocks in any order."""

    def draw(block: int) -> NDArray[np.uint8]:
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block,)))
        lanes = np.empty((images, LANES), dtype=np.uint8)
        for lane in range(LANES):
            # An image is drawn once on average; that one of 256 or more is drawn 256 times has no probability at all.
            lanes[:, lane] = np.bincount(generator.integers(images, size=images), minlength=images)
        return lanes

    return draw


def replicated(score: DetectionScore, replicates: int, draw: Draw) -> Replicates:
    """All figures under the weightings that ``draw`` gives, 64 at a time, in threads; NaN for fewer than two images."""
    protocol, figures = score.rules, score.rules.figures
    K, R = score.matches.classes, replicates
    average: Callable[..., None] = bootstrap_kernels.average_weighted
    arguments = _prepared(score.matches)
    shape = (len(protocol.areas), len(protocol.thresholds), K)
    tags = frequency_of(score.classes)
    chosen = {f.name: slice(None) if f.frequency is None else tags == f.frequency for f in figures}
    made = Replicates(
        {figure.name: np.full(R, np.nan) for figure in figures},
        {figure.name: np.full((R, K), np.nan) for figure in figures if figure.frequency is None},
    )

    def work(begin: int, end: int) -> None:
        precisions = np.empty((*shape, LANES))
        recalls = np.empty((*shape, len(protocol.limits), LANES))
        for block in range(begin, end):
            average(draw(block), *arguments, precisions, recalls)
            rows = slice(block * LANES, min((block + 1) * LANES, R))
            for figure in figures:
                of_classes = _of_classes(score, figure, precisions, recalls)[:, : rows.stop - rows.start]
                made.figures[figure.name][rows] = _mean_defined(of_classes[chosen[figure.name]])
                if figure.name in made.per_class:
                    made.per_class[figure.name][rows] = of_classes.T

    if images_of(score) > 1:
        in_threads(work, -(-R // LANES), least=1)
    return made


def _prepared(matches: Matches) -> tuple[Any, ...]:
    """What the kernel wants to know beside the weights."""
    protocol, truths = matches.protocol, matches.part.truths
    limits = limits_of(protocol)
    under = matches.ranks < limits[-1]
    if not under.all():
        raise PellucidError(f"{protocol.title}: these matches hold detections beyond its limit; match them anew")
    states = np.ascontiguousarray(matches.states)
    kinds = np.empty(states.shape[:2], dtype=np.uint8)
    in_threads(lambda begin, end: bootstrap_kernels.kinds_of(states, begin, end, kinds), len(states), least=100_000)
    rows, first = kernels.sort_into_groups(np.arange(len(truths.labels)), truths.labels, matches.classes)
    return (
        matches.first, matches.images, states, kinds, np.searchsorted(limits, matches.ranks, side="right"), first,
        truths.images[rows], np.ascontiguousarray(matches.counted[:, rows].T), INTERPOLATIONS[protocol.interpolation],
        protocol.epsilon,
    )  # fmt: skip


def _of_classes(
    score: DetectionScore, figure: Figure, precisions: NDArray[np.float64], recalls: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A figure of each class, the mean over its thresholds: (K, 64)."""
    protocol = score.rules
    a = list(protocol.areas).index(figure.area)
    tables = precisions if figure.of == "AP" else recalls[..., protocol.limits.index(figure.limit), :]
    if figure.threshold is not None:
        return tables[a, protocol.thresholds.index(figure.threshold)]
    # Whether a class is defined hangs on its truths alone: all thresholds are, or none.
    return tables[a].mean(0)


def _mean_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the first axis of what is not NaN, NaN where nothing is."""
    defined = ~np.isnan(values)
    counts = defined.sum(0)
    sums = np.where(defined, values, 0.0).sum(0)
    return np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)


def of_classes(score: DetectionScore, name: str) -> NDArray[np.float64]:
    """A figure of every class, (K,), by its name in the summary."""
    known = "AP" if name == "mAP" else name
    return np.array([score.per_class[of].get(known, math.nan) for of in score.classes.names])


def interval(value: float, replicates: NDArray[np.float64], level: float, least: float = 0.0) -> Interval:
    """The interval of a figure from its replicates, (R,)."""
    return intervals(np.array([value]), replicates[:, None], level, least)[0]


def intervals(
    values: NDArray[np.float64], replicates: NDArray[np.float64], level: float, least: float = 0.0
) -> list[Interval]:
    """Centred percentile intervals of K figures at once, from ``least`` to 1.

    ``replicates``: (R, K), of which NaN are left out. NaN where fewer than two are left.
    """
    moved, biases, counts = centred(values, replicates)
    ordered = np.sort(moved, axis=0)
    last = np.maximum(counts - 1, 0)
    ends = []
    for share in ((1 - level) / 2, (1 + level) / 2):
        below = np.floor(share * last).astype(np.int64)
        low, high = (np.take_along_axis(ordered, i[None], 0)[0] for i in (below, np.minimum(below + 1, last)))
        ends.append(np.clip(low + (share * last - below) * (high - low), least, 1.0))
    squares = np.where(np.isnan(moved), 0.0, moved - values) ** 2
    errors = np.sqrt(squares.sum(0) / np.maximum(last, 1))
    columns = np.where((counts > 1) & ~np.isnan(values), np.stack((*ends, errors, biases)), np.nan)
    return [Interval(*figures) for figures in zip(values.tolist(), *columns.tolist(), strict=True)]


def centred(
    values: NDArray[np.float64], replicates: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Replicates, (R, K), with their means moved onto the values; by how much, and how many are defined, (K,)."""
    counts = (~np.isnan(replicates)).sum(0)
    biases = np.nansum(replicates - values, axis=0) / np.maximum(counts, 1)
    return replicates - biases, biases, counts
