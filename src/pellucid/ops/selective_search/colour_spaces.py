"""The colour spaces that regions are found and compared in, every channel in 0–255."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.ops.selective_search.colour_kernels import to_hsv, to_lab

ColourSpace = Literal["hsv", "lab", "rgi", "hue", "intensity"]
"""Hue, saturation and value; CIE L*a*b*; red's and green's share, with intensity; hue alone; intensity alone."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def converted(image: NDArray[np.uint8], space: ColourSpace) -> NDArray[np.float32]:
    """An RGB image (3, H, W) in a colour space: float32 (C, H, W), C = 3 or 1, in [0, 255].

    Hue goes round once from 0 to 255 and is 0 for greys; L* 0–100 is stretched to 0–255, a* and b* are moved by 128.
    Of a black pixel red and green have a third each.
    """
    if space == "lab":
        return to_lab(image, _linear_light())
    if space in ("hsv", "hue"):
        hsv = to_hsv(image)
        return hsv if space == "hsv" else hsv[:1]
    intensity = np.tensordot(_LUMA, image.astype(np.float32), axes=1).clip(0, 255)
    if space == "intensity":
        return intensity[None]
    total = image.sum(0, dtype=np.float32)
    black = total == 0
    scale = np.float32(255) / np.where(black, np.float32(1), total)
    shares = [np.where(black, np.float32(85), image[c] * scale) for c in (0, 1)]
    return np.stack([*shares, intensity]).clip(0, 255)


def _linear_light() -> NDArray[np.float32]:
    s = np.arange(256) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4).astype(np.float32)
