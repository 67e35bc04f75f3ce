"""Selective search: every region of many hierarchies gives a box (Uijlings et al., IJCV 2013)."""

from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import PellucidError, nearest
from pellucid.ops.selective_search.colour_spaces import converted
from pellucid.ops.selective_search.merging import Bins, Hierarchy, Regions
from pellucid.ops.selective_search.segments import segmented
from pellucid.ops.selective_search.strategies import MODES, STRATEGIES, Mode, Strategies
from pellucid.threads import in_threads


def selective_search(
    image: Tensor | NDArray[np.uint8],
    mode: Mode = "fast",
    *,
    limit: int | None = None,
    seed: int = 0,
    min_side: float = 0,
) -> Tensor:
    """Boxes that may hold an object of any class, the best first: float32 (N, 4), xyxy, on the CPU.

    ``image``: uint8 RGB (3, H, W). Boxes are in continuous pixels (pixel i reaches from i to i + 1), each given once.
    ``mode``: ``fast`` groups by 8 strategies, about 2,000 boxes and half a second for a photo of 375 × 500;
    ``quality`` by 80, for four times of both. ``limit``: no more boxes than this. ``min_side``: boxes that are less
    wide or less tall are left out; by default all stay, the whole image among them. An image of one colour, or of
    fewer than 50 pixels, is one box.

    The order is a region's place in its hierarchy (the whole image is 1) times a random number in [0, 1), made from
    ``seed``: the same seed gives the same boxes, whatever the number of threads. Huge photos are slow, some 30 seconds
    and 200 bytes a pixel for 2000 × 3000, and 120 bytes a pixel more for each further thread: make them smaller first.
    Raises PellucidError for anything else than such an image and for an unknown mode.
    Source: Uijlings et al. 2013, sections 3 and 4, with the strategies of section 5.3.
    """
    if mode not in MODES:
        raise PellucidError(f"selective search: mode '{mode}' is unknown{nearest(mode, MODES)}; {' or '.join(MODES)}")
    if limit is not None and limit < 0:
        raise PellucidError(f"selective search: limit {limit}: give how many boxes to keep, 0 or more, or None for all")
    boxes, places = _grouped(_pixels(image), STRATEGIES[mode])
    ranks = places * np.random.default_rng(seed).random(len(places))
    boxes = boxes[np.argsort(ranks, kind="stable")]
    _, where = np.unique(boxes, axis=0, return_index=True)
    boxes = boxes[np.sort(where)]
    boxes = boxes[(boxes[:, 2:] - boxes[:, :2] >= min_side).all(axis=1)]
    return torch.from_numpy(boxes[:limit].astype(np.float32))


def _pixels(image: Any) -> NDArray[np.uint8]:
    pixels = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.size == 0:
        raise PellucidError(
            f"selective search: an image of shape {tuple(pixels.shape)} and type {pixels.dtype}: "
            "give uint8 RGB (3, H, W), with a pixel at least"
        )
    return np.ascontiguousarray(pixels)


def _grouped(image: NDArray[np.uint8], strategies: Strategies) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Boxes of all regions of all hierarchies, and the place of each in its own: 1 is the whole image."""
    spaces = strategies.colour_spaces
    images: list[Any] = [None] * len(spaces)

    def convert(begin: int, end: int) -> None:
        for i in range(begin, end):
            channels = converted(image, spaces[i])
            images[i] = channels, Bins.of(channels)

    first = list(product(range(len(spaces)), strategies.thresholds))
    found: list[list[NDArray[np.int32]]] = [[] for _ in first]

    def group(begin: int, end: int) -> None:
        for i in range(begin, end):
            space, k = first[i]
            channels, bins = images[space]
            regions = Regions.of(*segmented(channels, k, min_size=k), bins)
            found[i] = [Hierarchy.of(regions, similarity).boxes for similarity in strategies.similarities]

    in_threads(convert, len(spaces), least=1)
    in_threads(group, len(first), least=1)
    hierarchies = [boxes for some in found for boxes in some]
    return np.concatenate(hierarchies), np.concatenate([np.arange(len(boxes), 0, -1) for boxes in hierarchies])
