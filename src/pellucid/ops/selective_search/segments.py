"""The first regions: efficient graph-based segmentation (Felzenszwalb and Huttenlocher, IJCV 2004)."""

import numpy as np
from numpy.typing import NDArray

from pellucid.ops.selective_search.segment_kernels import grid_edges, in_order, joined
from pellucid.ops.selective_search.smoothing import smoothed

SIGMA = 0.8
"""The blur before segmentation, in pixels: it takes the camera's noise away and no edge."""


def segmented(
    channels: NDArray[np.float32], k: float, min_size: int, sigma: float = SIGMA
) -> tuple[NDArray[np.int32], int]:
    """Regions of an image: int32 (H, W), contiguous from 0 as a reader meets them; and how many there are.

    ``channels``: (C, H, W), in the scale of 0–255. ``k``: two regions join where the weight of the edge between them is
    at most either's largest inner weight plus k / its size; larger k, larger regions. ``min_size``: smaller regions
    join a neighbour afterwards, over the lightest edges first. Every region is connected, in eight directions.
    Section 3 of the paper; the weight is the distance of two neighbouring pixels' colours, after a blur of ``sigma``.
    """
    if sigma > 0:
        channels = smoothed(channels, sigma)
    first, second, weights = grid_edges(channels)
    _, H, W = channels.shape
    labels, count = joined(H * W, first, second, weights, in_order(weights), k, min_size)
    return labels.reshape(H, W), count
