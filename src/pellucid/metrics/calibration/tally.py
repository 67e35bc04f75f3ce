"""Counts and sums by confidence bin, and the reliability curve they make."""

import math
from dataclasses import dataclass, field

import numpy as np

from pellucid.errors import PellucidError


def bin_edges(bins: int) -> np.ndarray:
    """float64 (bins + 1,): the doubles nearest to k / bins. Raises PellucidError for no positive whole number."""
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or bins < 1:
        raise PellucidError(f"bins: {bins!r}; give a whole number, 1 or more")
    # Neither k · (1 / bins) nor linspace: they put 3 / 10 at 0.30000000000000004.
    return np.arange(bins + 1) / bins


def bin_of(confidences: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each confidence in [0, 1]: k where k / bins < confidence ≤ (k + 1) / bins, and 0 for confidence 0.

    A confidence lies on an edge if it is the number nearest to that edge in its own precision: 0.6 as float32 is
    0.60000002, but it is still the upper end of a bin.
    """
    edges = bin_edges(bins).astype(confidences.dtype)
    return np.maximum(np.searchsorted(edges, confidences, side="left") - 1, 0)


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """Accuracy against confidence, by equal bins (low, high] of confidence; the first takes confidence 0 as well.

    ``edges``: float64 (B + 1,). ``counts``: int64 (B,), samples. ``accuracy``: float64 (B,), the share that is right.
    ``confidence``: float64 (B,), its mean. The last two are NaN where a bin is empty.
    """

    edges: np.ndarray
    counts: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray

    @property
    def gaps(self) -> np.ndarray:
        """float64 (B,): accuracy − mean confidence, below 0 where the network is too sure; NaN in empty bins."""
        return self.accuracy - self.confidence

    @property
    def ece(self) -> float:
        """The expected calibration error: the mean gap, weighted by the bins' samples; NaN without samples."""
        filled = self.counts > 0
        if not filled.any():
            return math.nan
        return math.fsum(self.counts[filled] * np.abs(self.gaps[filled])) / int(self.counts.sum())

    @property
    def mce(self) -> float:
        """The maximum calibration error: the largest gap of a bin that is not empty; NaN without samples."""
        filled = self.counts > 0
        return float(np.abs(self.gaps[filled]).max()) if filled.any() else math.nan


@dataclass
class Tally:
    """What calibration needs of the samples seen so far; two of them add up with ``take``.

    Sums of floats are kept as lists of parts and added up by ``math.fsum``, which rounds once: neither the order of the
    parts nor how they were shared out changes a digit. ``losses``: a name with its parts, such as 'NLL'.
    """

    bins: int
    counts: np.ndarray = field(init=False)
    correct: np.ndarray = field(init=False)
    confidence: list[list[float]] = field(init=False)
    losses: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bins = len(bin_edges(self.bins)) - 1
        self.counts = np.zeros(self.bins, np.int64)
        self.correct = np.zeros(self.bins, np.int64)
        self.confidence = [[] for _ in range(self.bins)]

    def add(self, confidences: np.ndarray, correct: np.ndarray, losses: dict[str, float] | None = None) -> None:
        """Adds samples: confidences float (N,) in [0, 1], whether each is right bool (N,), and the sums of losses."""
        place = bin_of(confidences, self.bins)
        self.counts += np.bincount(place, minlength=self.bins)
        self.correct += np.bincount(place[correct], minlength=self.bins)
        for k in np.unique(place).tolist():
            self.confidence[k].append(math.fsum(confidences[place == k].tolist()))
        for name, value in (losses or {}).items():
            self.losses.setdefault(name, []).append(value)

    def take(self, other: "Tally") -> None:
        """Adds all that another, of as many bins, holds."""
        self.counts += other.counts
        self.correct += other.correct
        for mine, theirs in zip(self.confidence, other.confidence, strict=True):
            mine.extend(theirs)
        for name, parts in other.losses.items():
            self.losses.setdefault(name, []).extend(parts)

    @property
    def samples(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """The share that is right; NaN without samples."""
        return int(self.correct.sum()) / self.samples if self.samples else math.nan

    @property
    def mean_confidence(self) -> float:
        """NaN without samples."""
        parts = (part for parts in self.confidence for part in parts)
        return math.fsum(parts) / self.samples if self.samples else math.nan

    def loss(self, name: str) -> float:
        """The mean of a loss over the samples; NaN without samples."""
        return math.fsum(self.losses.get(name, [])) / self.samples if self.samples else math.nan

    def curve(self) -> ReliabilityCurve:
        """The reliability curve."""
        filled = self.counts > 0
        accuracy, confidence = np.full(self.bins, np.nan), np.full(self.bins, np.nan)
        sums = np.array([math.fsum(parts) for parts in self.confidence])
        accuracy[filled] = self.correct[filled] / self.counts[filled]
        confidence[filled] = sums[filled] / self.counts[filled]
        return ReliabilityCurve(bin_edges(self.bins), self.counts.copy(), accuracy, confidence)
