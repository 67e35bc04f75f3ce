"""Rand scores: whether pairs of pixels lie in the same cell, in truth and proposal."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pellucid.errors import PellucidError


class RandScore(NamedTuple):
    """Foreground-restricted Rand score: each 0 to 1, NaN where the truth has no cell."""

    precision: float
    recall: float
    F: float


class RandCounts(NamedTuple):
    """The sums behind a Rand score, each times n², which makes them whole numbers; they add up over slices.

    ``truth``: n²A, ordered pairs of pixels in one true segment. ``proposal``: n²B, in one proposed segment.
    ``shared``: n²AB, in one of both.
    """

    truth: int
    proposal: int
    shared: int

    @property
    def score(self) -> RandScore:
        """Precision AB / B, recall AB / A, F = 2 AB / (A + B)."""
        if self.truth == 0:
            return RandScore(math.nan, math.nan, math.nan)
        F = 2 * self.shared / (self.truth + self.proposal)
        return RandScore(self.shared / self.proposal, self.shared / self.truth, F)


def foreground_restricted_rand(truth_cells: NDArray[np.bool_], proposal_cells: NDArray[np.bool_]) -> RandScore:
    """The foreground-restricted Rand score of a proposal: V_Rand, without thinning.

    Both bool (H, W), True where there is a cell and False on membranes; cells are their 4-connected components. Only
    the n pixels that are cell in the truth count. With p_ij the share of them in true cell i and proposed cell j, and
    p_i0 that on proposed membrane, where each pixel is a segment of its own, A = Σ_i p_i·², B = Σ_j p_·j² + Σ_i p_i0/n
    and AB = Σ_ij p_ij² + Σ_i p_i0/n, for i, j ≥ 1.

    Precision is AB / B, so mergers lower it; recall is AB / A, so splits lower it; F = 2 AB / (A + B). scikit-image's
    ``adapted_rand_error`` names the two the other way round, takes proposed membrane for one segment, and leaves out
    the pairs of a pixel with itself.

    Raises PellucidError for maps of different sizes.
    Source: Arganda-Carreras et al., 'Crowdsourcing the creation of image segmentation algorithms for connectomics',
    Frontiers in Neuroanatomy 2015.
    """
    return rand_counts(cells(truth_cells), cells(proposal_cells)).score


def cells(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The 4-connected components of a mask, numbered from 1: int32 (H, W), 0 on membranes."""
    return ndimage.label(mask)[0]


def rand_counts(truth: NDArray[Any], proposal: NDArray[Any]) -> RandCounts:
    """The sums behind the foreground-restricted Rand score, from numbered cells: int (H, W), 0 on membranes."""
    check_sizes(truth, proposal)
    inside = truth != 0
    first, second = truth[inside], proposal[inside]
    placed = second != 0
    on_membrane = int(first.size - np.count_nonzero(placed))
    both, other = _joint_sizes(first[placed], second[placed])
    return RandCounts(_squares(_sizes(first)), _squares(other) + on_membrane, _squares(both) + on_membrane)


def rand_error(
    a_labels: NDArray[np.integer], b_labels: NDArray[np.integer], mask: NDArray[np.bool_] | None = None
) -> float:
    """1 − the Rand index: the share of pairs of pixels that are together in one segmentation and apart in the other.

    ``a_labels``, ``b_labels``: int (H, W); every value, 0 as well, is a segment. ``mask``: bool (H, W), the pixels that
    count, if not all. 0 to 1; NaN where there is no pair. The order of the two does not matter, nor the values.
    Raises PellucidError for maps of different sizes.
    Source: Rand, 'Objective criteria for the evaluation of clustering methods', JASA 1971.
    """
    check_sizes(a_labels, b_labels)
    first, second = a_labels.ravel(), b_labels.ravel()
    if mask is not None:
        check_sizes(a_labels, mask)
        first, second = first[mask.ravel()], second[mask.ravel()]
    n = first.size
    if n < 2:
        return math.nan
    both, other = _joint_sizes(first, second)
    # Of the n² ordered pairs those of a pixel with itself agree, and cancel out here.
    return (_squares(_sizes(first)) + _squares(other) - 2 * _squares(both)) / (n * (n - 1))


def check_sizes(a: NDArray[Any], b: NDArray[Any]) -> None:
    """Raises PellucidError unless both are of one size."""
    if a.shape != b.shape:
        raise PellucidError(f"a truth of {a.shape} and a proposal of {b.shape} pixels: give both at one size")


def _joint_sizes(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many pixels each pair of segments shares, and how many each segment of b has."""
    if a.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    a, b = _from_zero(a), _from_zero(b)
    span = int(b.max()) + 1
    return _sizes(a * span + b), _sizes(b)


def _from_zero(values: NDArray[Any]) -> NDArray[np.int64]:
    """The same segments with small numbers, so that a pair of them fits into one."""
    low, high = int(values.min()), int(values.max())
    if high - low < 4 * values.size + 1024:
        return values.astype(np.int64) - low
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _sizes(values: NDArray[Any]) -> NDArray[np.int64]:
    """How often each value occurs."""
    if values.size == 0:
        return np.zeros(0, dtype=np.int64)
    if values.min() >= 0 and values.max() < 4 * values.size + 1024:
        return np.bincount(values)
    return np.unique(values, return_counts=True)[1]


def _squares(sizes: NDArray[np.int64]) -> int:
    return int(np.dot(sizes, sizes))
