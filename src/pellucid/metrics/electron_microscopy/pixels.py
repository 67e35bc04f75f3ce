"""Pixel error: in how many pixels truth and proposal differ."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.metrics.electron_microscopy.rand import check_sizes


class PixelCounts(NamedTuple):
    """Pixels by what they are in truth and proposal, cells positive; they add up over slices."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def error(self) -> float:
        """The share that differs; NaN without pixels."""
        total = sum(self)
        return (self.false_positives + self.false_negatives) / total if total else math.nan

    @property
    def F(self) -> float:  # noqa: N802  the field's name
        """The F-score of the cells; NaN where neither truth nor proposal has one."""
        whole = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / whole if whole else math.nan


def pixel_counts(truth_cells: NDArray[np.bool_], proposal_cells: NDArray[np.bool_]) -> PixelCounts:
    """Counts the pixels of one slice, both bool (H, W). Raises PellucidError for maps of different sizes."""
    check_sizes(truth_cells, proposal_cells)
    both, true, said = (int(np.count_nonzero(m)) for m in (truth_cells & proposal_cells, truth_cells, proposal_cells))
    return PixelCounts(both, said - both, true - both, truth_cells.size - true - said + both)


def pixel_error(truth_cells: NDArray[np.bool_], proposal_cells: NDArray[np.bool_]) -> float:
    """The share of pixels that are cell in one and membrane in the other: 0 to 1. Both bool (H, W).

    Raises PellucidError for maps of different sizes.
    """
    return pixel_counts(truth_cells, proposal_cells).error
