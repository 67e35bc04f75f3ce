"""Regions, what they are measured by, and their hierarchy (Uijlings et al. 2013, section 3)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.ops.selective_search.merge_kernels import grouped
from pellucid.ops.selective_search.region_kernels import COLOUR_BINS, colour_bins, measured, texture_bins, touching
from pellucid.ops.selective_search.smoothing import derivatives
from pellucid.ops.selective_search.strategies import Similarity


@dataclass(frozen=True)
class Bins:
    """Histogram bins of each pixel: ``colours`` uint8 (H, W, C), ``textures`` uint8 (H, W, C × 8)."""

    colours: NDArray[np.uint8]
    textures: NDArray[np.uint8]

    @classmethod
    def of(cls, channels: NDArray[np.float32]) -> "Bins":
        """Of an image (C, H, W) in [0, 255]. Texture: gaussian derivatives, σ = 1, in eight directions."""
        return cls(colour_bins(channels), texture_bins(*derivatives(channels, sigma=1.0)))


@dataclass(frozen=True)
class Regions:
    """The first regions of an image of ``pixels`` pixels, and which of them touch.

    ``sizes``: int64 (n,), pixels. ``boxes``: int32 (n, 4), xyxy. ``histograms``: float32 (n, ·), up to ``split`` of
    colour, then of texture, each part with the sum 1. ``neighbours``: int32 (E, 2), each pair once.
    """

    pixels: int
    sizes: NDArray[np.int64]
    boxes: NDArray[np.int32]
    histograms: NDArray[np.float32]
    split: int
    neighbours: NDArray[np.int32]

    @classmethod
    def of(cls, labels: NDArray[np.int32], count: int, bins: Bins) -> "Regions":
        """Of the regions 0 … count − 1 of ``labels`` (H, W)."""
        sizes, boxes, histograms = measured(labels, count, bins.colours, bins.textures)
        codes = np.unique(touching(labels, count))
        neighbours = np.stack(np.divmod(codes, count), axis=1).astype(np.int32)
        return cls(labels.size, sizes, boxes, histograms, bins.colours.shape[2] * COLOUR_BINS, neighbours)


@dataclass(frozen=True)
class Hierarchy:
    """All regions of a grouping, as they came about: the first n, then one for each merger, the whole image last.

    ``boxes``: int32 (2n − 1, 4), xyxy. ``parts``: int32 (n − 1, 2), the regions that each merger joined.
    """

    boxes: NDArray[np.int32]
    parts: NDArray[np.int32]

    @classmethod
    def of(cls, regions: Regions, similarity: Similarity) -> "Hierarchy":
        """The most similar neighbours join, until one region is left. Of equally similar ones the older join first."""
        measures = np.array([similarity.colour, similarity.texture, similarity.size, similarity.fill])
        boxes, parts = grouped(
            regions.sizes,
            regions.boxes,
            regions.histograms,
            regions.split,
            regions.neighbours,
            measures,
            regions.pixels,
        )
        return cls(boxes, parts)
