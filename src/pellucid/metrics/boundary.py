"""Boundaries of masks, and how well two of them agree (Boundary IoU)."""

import math

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError

RATIO = 0.02
"""The boundary's width as a share of the image's diagonal, as the paper takes it for COCO and LVIS."""

CITYSCAPES_RATIO = 0.005
"""The same for Cityscapes, whose images are larger."""


def boundary_distance(size: tuple[int, int], ratio: float = RATIO) -> int:
    """How wide a boundary is in an image of ``size`` (H, W): max(1, round(ratio · diagonal)) pixels.

    Raises PellucidError for a ratio that is not a positive number.
    Source: Cheng et al., 'Boundary IoU', CVPR 2021, section 5.
    """
    if not (math.isfinite(ratio) and ratio > 0):
        raise PellucidError(f"boundary ratio {ratio}: give a share of the image's diagonal above 0, such as {RATIO}")
    return max(1, round(ratio * math.hypot(*size)))


def boundary(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """The pixels of a mask that lie within ``distance`` of its edge: bool (H, W).

    The mask minus the mask eroded ``distance`` times by a square of 3 × 3; outside the image there is no mask, so that
    a mask which touches the image's edge has a boundary there.
    Source: Cheng et al., 'Boundary IoU', CVPR 2021; the square is their program's, the paper has a distance.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"a mask of {mask.dtype} and shape {mask.shape}: give bool (H, W)")
    if distance < 1:
        raise ValueError(f"a boundary of {distance} pixels: give at least 1")
    made = mask.copy()
    rows = np.flatnonzero(mask.any(1))
    if len(rows) == 0:
        return made
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(mask[top:bottom].any(0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    side = 2 * distance + 1
    if bottom - top >= side and right - left >= side:
        # Nothing of the mask lies outside its box, so what the erosion leaves has the whole square within the box.
        inner = _all_of(_all_of(mask[top:bottom, left:right], side, 0), side, 1)
        made[top + distance : bottom - distance, left + distance : right - distance] &= ~inner
    return made


def boundary_iou(a: NDArray[np.bool_], b: NDArray[np.bool_], distance: int) -> float:
    """Intersection over union of the boundaries of two masks, bool (H, W): 0 to 1.

    NaN where neither mask has a pixel: neither protocol nor paper gives 0/0 a value (matching by COCO's rule wants 0).
    Raises PellucidError for masks of different sizes. Source: Cheng et al., 'Boundary IoU', CVPR 2021, section 4.
    """
    if a.shape != b.shape:
        raise PellucidError(f"masks of {a.shape} and {b.shape} pixels: a boundary IoU needs two of one size")
    first, second = boundary(a, distance), boundary(b, distance)
    shared = np.count_nonzero(first & second)
    union = np.count_nonzero(first) + np.count_nonzero(second) - shared
    return shared / union if union else math.nan


def _all_of(mask: NDArray[np.bool_], length: int, axis: int) -> NDArray[np.bool_]:
    """Whether all of ``length`` pixels from each one on are set, down the columns (axis 0) or along the rows (axis 1).

    Windows are doubled, so that a wide one costs little more than a narrow one.
    """
    width = 1
    while 2 * width <= length:
        mask = _both(mask, width, axis)
        width *= 2
    return _both(mask, length - width, axis) if length > width else mask


def _both(mask: NDArray[np.bool_], step: int, axis: int) -> NDArray[np.bool_]:
    return mask[:-step] & mask[step:] if axis == 0 else mask[:, :-step] & mask[:, step:]
