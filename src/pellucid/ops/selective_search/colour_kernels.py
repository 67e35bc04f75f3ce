"""RGB to HSV and to L*a*b*, pixel by pixel, compiled."""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled


@compiled
def to_hsv(image: NDArray) -> NDArray:
    """Hue (a turn is 255), saturation and value of a uint8 RGB image: float32 (3, H, W) in [0, 255]."""
    _, H, W = image.shape
    hsv = np.empty((3, H, W), dtype=np.float32)
    for y in range(H):
        for x in range(W):
            r, g, b = np.float32(image[0, y, x]), np.float32(image[1, y, x]), np.float32(image[2, y, x])
            high = max(r, g, b)
            span = high - min(r, g, b)
            if span == 0:
                sixths = np.float32(0)
            elif high == r:
                sixths = (g - b) / span
                if sixths < 0:
                    sixths += np.float32(6)
            elif high == g:
                sixths = (b - r) / span + np.float32(2)
            else:
                sixths = (r - g) / span + np.float32(4)
            hsv[0, y, x] = sixths * np.float32(42.5)
            hsv[1, y, x] = span / high * np.float32(255) if high > 0 else np.float32(0)
            hsv[2, y, x] = high
    return hsv


@compiled
def to_lab(image: NDArray, linear: NDArray) -> NDArray:
    """L*a*b* of a uint8 sRGB image, white D65: float32 (3, H, W), L* × 2.55, a* + 128, b* + 128.

    ``linear``: (256,), the light of each value of a channel, in [0, 1].
    """
    _, H, W = image.shape
    lab = np.empty((3, H, W), dtype=np.float32)
    for y in range(H):
        for x in range(W):
            r, g, b = linear[image[0, y, x]], linear[image[1, y, x]], linear[image[2, y, x]]
            fx = _lightness((0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.950456)
            fy = _lightness(0.212671 * r + 0.715160 * g + 0.072169 * b)
            fz = _lightness((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.088754)
            lab[0, y, x] = min(255.0, max(0.0, 2.55 * (116 * fy - 16)))
            lab[1, y, x] = min(255.0, max(0.0, 500 * (fx - fy) + 128))
            lab[2, y, x] = min(255.0, max(0.0, 200 * (fy - fz) + 128))
    return lab


@compiled
def _lightness(t: float) -> float:
    return np.cbrt(t) if t > 0.008856451679035631 else t * 7.787037037037037 + 4 / 29
