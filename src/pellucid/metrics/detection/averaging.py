"""Average precision and recall of every class, threshold and area, and the figures that a protocol makes of them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.metrics.detection import kernels
from pellucid.metrics.detection.matching import Matches
from pellucid.metrics.detection.protocol import Figure, Interpolation, Protocol
from pellucid.threads import in_threads

POINTS = np.linspace(0, 1, 101)
"""The points of recall at which COCO reads precision, as doubles."""

INTERPOLATIONS: dict[Interpolation, int] = {"101 points": 0, "11 points": 1, "all points": 2}
"""What the kernels call an interpolation."""

NO_LIMIT = 2**62


@dataclass
class Averages:
    """``precision``: average precision, float64 (A, T, K). ``recall``: the final one, (A, T, K, L), at each limit.

    NaN for a class without a truth that counts.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]


def limits_of(protocol: Protocol) -> NDArray[np.int64]:
    """The protocol's limits as numbers."""
    return np.array([NO_LIMIT if limit is None else limit for limit in protocol.limits], dtype=np.int64)


def averages(matches: Matches) -> Averages:
    """Of all classes at once."""
    protocol = matches.protocol
    _, A, T = matches.states.shape
    limits = limits_of(protocol)
    made = Averages(np.full((A, T, matches.classes), np.nan), np.full((A, T, matches.classes, len(limits)), np.nan))
    arguments = (
        matches.first, matches.states, matches.ranks, matches.positives, limits, int(limits[-1]),
        INTERPOLATIONS[protocol.interpolation], POINTS, protocol.epsilon,
    )  # fmt: skip

    def work(begin: int, end: int) -> None:
        kernels.average(*arguments, begin, end, made.precision, made.recall)

    in_threads(work, matches.classes, least=4)
    return made


def figure_of(figure: Figure, protocol: Protocol, made: Averages, classes: NDArray[np.int64] | None = None) -> float:
    """One figure: the mean over thresholds and classes (or over some ``classes``), NaN where nothing is defined."""
    a = list(protocol.areas).index(figure.area)
    chosen = slice(None) if figure.threshold is None else [protocol.thresholds.index(figure.threshold)]
    if figure.of == "AP":
        values = made.precision[a, chosen]
    else:
        values = made.recall[a, chosen][:, :, protocol.limits.index(figure.limit)]
    if classes is not None:
        values = values[:, classes]
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def per_class(protocol: Protocol, made: Averages, figures: tuple[Figure, ...], k: int) -> dict[str, float]:
    """The figures of one class."""
    one = np.array([k])
    return {_of_class(figure): figure_of(figure, protocol, made, one) for figure in figures}


def _of_class(figure: Figure) -> str:
    return "AP" if figure.name == "mAP" else figure.name


def curve(matches: Matches, k: int, threshold: int = 0, area: int = 0) -> tuple[NDArray[np.float64], ...]:
    """Recall, precision and score after each detection of a class that counts: three arrays (N,).

    Without interpolation; empty recall (NaN) where the class has no truth that counts.
    """
    rows = slice(int(matches.first[k]), int(matches.first[k + 1]))
    states = matches.states[rows, area, threshold]
    counts = states != kernels.IGNORED
    limit = limits_of(matches.protocol)[-1]
    counts &= matches.ranks[rows] < limit
    right = np.cumsum(states[counts] == kernels.RIGHT)
    total = int(matches.positives[area, k])
    recall = right / total if total else np.full(len(right), np.nan)
    return recall, right / np.arange(1, len(right) + 1), matches.scores[rows][counts]


def interpolated(
    recall: NDArray[np.float64], precision: NDArray[np.float64], interpolation: Interpolation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The precision that a protocol reads off a curve, at which recalls: the points whose mean, or area, is the AP."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1] if len(precision) else precision
    if interpolation == "all points":
        return recall, envelope
    points = POINTS if interpolation == "101 points" else np.linspace(0, 1, 11)
    at = np.searchsorted(recall, points - 1e-12)
    return points, np.where(at < len(recall), np.append(envelope, 0.0)[np.minimum(at, len(recall))], 0.0)


def best_f1(matches: Matches, k: int, threshold: int = 0, area: int = 0) -> dict[str, float]:
    """The operating point with the highest F1 of a class: ``F1``, ``precision``, ``recall``, ``score`` (its threshold).

    Only scores at which no tie is cut apart are operating points. NaN where the class has no truth that counts; without
    any detection F1 is 0 and the score NaN.
    """
    recall, precision, scores = curve(matches, k, threshold, area)
    if matches.positives[area, k] == 0:
        return dict.fromkeys(("F1", "precision", "recall", "score"), math.nan)
    if len(scores) == 0:
        return {"F1": 0.0, "precision": math.nan, "recall": 0.0, "score": math.nan}
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros(len(total)), where=total > 0)
    cut = np.append(scores[1:] != scores[:-1], True)
    best = int(np.argmax(np.where(cut, f1, -1)))
    return {
        "F1": float(f1[best]),
        "precision": float(precision[best]),
        "recall": float(recall[best]),
        "score": float(scores[best]),
    }
