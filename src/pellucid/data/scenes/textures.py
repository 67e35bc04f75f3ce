"""Grey textures of the ground, 512 pixels a side: photographs that scikit-image brings along, and made ones."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 512
_LEVELS = 4

Array = NDArray[np.floating[Any]]


@lru_cache(maxsize=64)
def texture(name: str, level: int) -> Array:
    """A texture, float32 (S, S) in [−0.5, 0.5] with mean 0, where S is 512 halved ``level`` times (0 to 3)."""
    if level:
        fine = texture(name, level - 1)
        half = len(fine) // 2
        made: Array = fine.reshape(half, 2, half, 2).mean((1, 3), dtype=np.float32)
        return made
    grey = _PHOTOS[name]() if name in _PHOTOS else _MADE[name]()
    # Whole grey levels, so that the last bits of a Fourier transform do not show in an image.
    whole = np.round(np.clip(grey, 0, 1) * 255).astype(np.float32)
    return (whole - np.round(whole.mean())) / 255


def crop(name: str, level: int, corner: tuple[float, float], size: tuple[int, int], flip: bool) -> Array:
    """A piece of a texture, float32 (h, w). ``corner``: where it begins, in shares of what can be. What is larger
    than the texture goes on mirrored."""
    whole = texture(name, min(level, _LEVELS - 1))
    for axis, (share, length) in enumerate(zip(corner, size, strict=True)):
        spare = whole.shape[axis] - length
        if spare >= 0:
            start = int(share * (spare + 1))
            whole = whole[start : start + length] if axis == 0 else whole[:, start : start + length]
        else:
            period = 2 * whole.shape[axis]
            at = (np.arange(length) + int(share * period)) % period
            whole = np.take(whole, np.minimum(at, period - 1 - at), axis)
    return whole[:, ::-1] if flip else whole


def _photo(name: str) -> Array:
    from skimage import data

    grey: Array = getattr(data, name)().astype(np.float32)
    # Stretched, since the photographs use half of their range; light and shade across them is taken out.
    low, high = np.percentile(grey, (1, 99))
    return (grey - low) / (high - low)


def _spectrum(seed: int, fall: float, stretch: float = 1.0, lowest: float = 1.0) -> Array:
    """Noise whose amplitude falls with the frequency to the power ``fall``, mean 0 and deviation 1; ``stretch`` times
    as long across as down; nothing slower than ``lowest`` cycles. It goes on seamlessly."""
    fy = np.fft.fftfreq(SIDE)[:, None] * SIDE
    fx = np.fft.rfftfreq(SIDE)[None] * SIDE
    frequency = np.sqrt((fx * stretch) ** 2 + fy**2)
    amplitude = np.where(frequency < lowest, 0, np.maximum(frequency, 1) ** -fall)
    generator = np.random.Generator(np.random.PCG64(seed))
    white = np.fft.rfft2(generator.standard_normal((SIDE, SIDE)))
    noise = np.fft.irfft2(white * amplitude, s=(SIDE, SIDE))
    return (noise / noise.std()).astype(np.float32)


def _clouds() -> Array:
    soft = _spectrum(1, 1.9, 1.8, 1.5)
    return np.clip(0.25 + 0.42 * soft, 0, 1) ** 1.3


def _water() -> Array:
    return 0.42 + 0.13 * _spectrum(2, 1.3, 6, 10) + 0.10 * np.maximum(_spectrum(3, 0.9, 5, 24), 0) ** 2


def _sand() -> Array:
    y = np.arange(SIDE, dtype=np.float32)[:, None] / SIDE
    drift = _spectrum(4, 2.0, 2, 1)
    ripples = np.sin(2 * np.pi * (13 * y + 0.55 * drift)).astype(np.float32)
    return 0.5 + 0.13 * ripples + 0.13 * _spectrum(5, 0.35, 1, 8) + 0.05 * drift


def _wood() -> Array:
    """Boards that lie across, each with a grain and a tone of its own."""
    boards = 8
    height = SIDE // boards
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
    generator = np.random.Generator(np.random.PCG64(6))
    # Every board is cut from another place of the same noise, so that the grain ends at its edge.
    shifts = generator.integers(0, SIDE, boards)
    slow, fine = (_shifted(noise, shifts, height) for noise in (_spectrum(7, 1.7, 8, 1), _spectrum(8, 0.7, 30, 6)))
    rings = np.sin(2 * np.pi * (22 * y + 1.6 * slow + 0.2 * x))
    tone = np.repeat(generator.uniform(-0.12, 0.12, boards), height)[:, None]
    grey = 0.56 + tone + 0.09 * rings + 0.09 * fine
    inside = np.minimum(np.arange(SIDE) % height, height - 1 - np.arange(SIDE) % height)[:, None]
    return (grey * np.clip(0.35 + 0.32 * inside, 0, 1)).astype(np.float32)


def _shifted(noise: Array, shifts: NDArray[np.int64], height: int) -> Array:
    rows = [np.roll(noise[k * height : (k + 1) * height], int(shift), 1) for k, shift in enumerate(shifts)]
    return np.concatenate(rows)


_PHOTOS = {
    "grass": lambda: _photo("grass"),
    "gravel": lambda: _photo("gravel"),
    "brick": lambda: _photo("brick").T,  # photographed with its courses upright
}
_MADE = {"clouds": _clouds, "water": _water, "sand": _sand, "wood": _wood}
