"""Colours of the pictures: the palette of a page, heat over a photo, and signed values around a neutral grey."""

from functools import cache

import matplotlib
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
Pixels = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB."""

PAPER: Colour = (255, 255, 255)
CARD: Colour = (244, 245, 248)
TRACK: Colour = (226, 229, 236)
QUIET: Colour = (152, 162, 179)
MUTED: Colour = (95, 105, 125)
INK: Colour = (24, 30, 42)
ACCENT: Colour = (37, 99, 205)
WARNING: Colour = (180, 55, 25)

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_LEVELS = 512


@cache
def _heat_table() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(512, 3) colours and (512, 1) opacities of heat 0 to 1.

    The darkest quarter of the map is left out: over a dimmed photo it would darken where heat begins.
    """
    heat = np.linspace(0, 1, _LEVELS)
    colours = matplotlib.colormaps["inferno"](0.25 + 0.75 * heat)[:, :3]
    return colours.astype(np.float32), (0.96 * heat**0.85).astype(np.float32)[:, None]


def muted(photo: Pixels) -> Pixels:
    """A photo (H, W, 3) as the dim greyscale that lies under heat, (H, W, 3) uint8."""
    grey = 14 + 0.57 * (photo.astype(np.float32) @ _LUMA)
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)


def overlay(photo: Pixels, heat: NDArray[np.floating]) -> Pixels:
    """Heat laid over a photo: (H, W, 3) uint8.

    ``photo``: (H, W, 3) uint8. ``heat``: (H, W), clipped to [0, 1]; NaN counts as 0. Where heat is 0 the muted photo
    shows alone; both lightness and opacity rise with heat.
    """
    colours, opacity = _heat_table()
    level = np.round(np.nan_to_num(np.clip(heat, 0, 1)) * (_LEVELS - 1)).astype(np.intp)
    alpha = opacity[level]
    return np.round((1 - alpha) * muted(photo) + 255 * alpha * colours[level]).astype(np.uint8)


def heat_rgba(heat: NDArray[np.floating]) -> Pixels:
    """Heat (H, W), clipped to [0, 1], as a layer to be laid over a picture: (H, W, 4) uint8, transparent where cold."""
    colours, opacity = _heat_table()
    level = np.round(np.nan_to_num(np.clip(heat, 0, 1)) * (_LEVELS - 1)).astype(np.intp)
    return np.round(255 * np.concatenate((colours, opacity), 1)[level]).astype(np.uint8)


def heat_ramp(width: int, height: int) -> Pixels:
    """The colour bar of ``overlay``: heat 0 at the left to 1 at the right, over mid-grey; (height, width, 3) uint8."""
    heat = np.broadcast_to(np.linspace(0, 1, width), (height, width))
    return overlay(np.full((height, width, 3), 110, dtype=np.uint8), heat)


def signed(values: NDArray[np.floating], limit: float | None = None) -> Pixels:
    """Signed values (H, W) as blue (−limit), near-white (0) and red (+limit): (H, W, 3) uint8.

    ``limit``: the largest |value| by default; all zeros give the neutral colour. NaN counts as 0.
    """
    values = np.nan_to_num(values)
    limit = float(np.abs(values).max(initial=0)) if limit is None else limit
    share = np.clip(values / limit, -1, 1) if limit > 0 else np.zeros(values.shape)
    # 257 entries, not the usual 256: only an odd table has an entry in the middle, so that zero is exactly neutral.
    table = matplotlib.colormaps["RdBu_r"].resampled(257)(np.arange(257))[:, :3]
    return np.round(255 * table[np.round(128 + 128 * share).astype(np.intp)]).astype(np.uint8)


def around_grey(values: NDArray[np.floating], limit: float | None = None) -> Pixels:
    """Signed RGB values (H, W, 3) around mid-grey: 0 is (128, 128, 128), ±limit is full range; (H, W, 3) uint8.

    ``limit``: the largest |value| by default; all zeros give plain grey. NaN counts as 0.
    """
    values = np.nan_to_num(values)
    limit = float(np.abs(values).max(initial=0)) if limit is None else limit
    share = np.clip(values / limit, -1, 1) if limit > 0 else np.zeros(values.shape)
    return np.round(128 + 127 * share).astype(np.uint8)


def faded(pixels: Pixels, towards: Colour = PAPER, share: float = 0.7) -> Pixels:
    """The same pixels blended towards a colour by ``share`` (0 to 1)."""
    return np.round((1 - share) * pixels + share * np.array(towards, dtype=np.float32)).astype(np.uint8)
