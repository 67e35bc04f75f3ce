"""The IoU of segments' boundaries, for Boundary PQ."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from pellucid.metrics.boundary import boundary, boundary_distance
from pellucid.metrics.panoptic.overlaps import Overlaps, overlaps


def boundary_ious(
    truth: NDArray[np.int64], prediction: NDArray[np.int64], shared: Overlaps, ratio: float
) -> NDArray[np.float64]:
    """(N,) the IoU of the boundaries of every pair in ``shared``.

    ``truth``, ``prediction``: int64 (H, W), each pixel's segment as its place plus 1, 0 for void. ``ratio``: the
    boundaries' width as a part of the image's diagonal. As with whole segments, the union leaves out what the predicted
    boundary has on void truth. Cheng et al., Boundary IoU (2021).
    """
    S, P = len(shared.truth_areas), len(shared.prediction_areas)
    edges = _edges(truth, S, ratio), _edges(prediction, P, ratio)
    found = overlaps(edges[0], edges[1], np.arange(1, S + 1), np.arange(1, P + 1))
    # Boundaries only meet where segments do, and both lists of pairs are in rising order.
    pixels = np.zeros(len(shared.pixels), dtype=np.int64)
    pixels[np.searchsorted(shared.truth * P + shared.prediction, found.truth * P + found.prediction)] = found.pixels
    unions = found.truth_areas[shared.truth] + found.prediction_areas[shared.prediction] - pixels
    made: NDArray[np.float64] = pixels / (unions - found.void[shared.prediction])
    return made


def _edges(at: NDArray[np.int64], count: int, ratio: float) -> NDArray[np.int64]:
    """The map of places with the insides of all segments as an id that no segment has; void stays void."""
    distance = boundary_distance((at.shape[0], at.shape[1]), ratio)
    edges = np.where(at == 0, 0, count + 1)
    for place, window in enumerate(find_objects(at, count), 1):
        if window is not None:  # outside its window a segment has no pixel: the same as outside the image
            edges[window][boundary(at[window] == place, distance)] = place
    return edges
