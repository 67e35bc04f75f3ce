"""Scores of cells and membranes in electron microscopy: the figures of the ISBI 2012 challenge."""

from pellucid.metrics.electron_microscopy.evaluator import ElectronMicroscopyEvaluator
from pellucid.metrics.electron_microscopy.pixels import PixelCounts, pixel_counts, pixel_error
from pellucid.metrics.electron_microscopy.rand import (
    RandCounts,
    RandScore,
    cells,
    foreground_restricted_rand,
    rand_counts,
    rand_error,
)
from pellucid.metrics.electron_microscopy.thinning import thinned_cells
from pellucid.metrics.electron_microscopy.warping import warped, warping_error

__all__ = [
    "ElectronMicroscopyEvaluator",
    "PixelCounts",
    "RandCounts",
    "RandScore",
    "cells",
    "foreground_restricted_rand",
    "pixel_counts",
    "pixel_error",
    "rand_counts",
    "rand_error",
    "thinned_cells",
    "warped",
    "warping_error",
]
