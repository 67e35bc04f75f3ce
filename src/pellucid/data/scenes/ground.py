"""Stuff: the grounds of a generated scene, and the regions that they fill."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.data.scenes.draws import Draws
from pellucid.data.scenes.textures import SIDE, Array, crop

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Stuff:
    """A class of stuff.

    ``dark`` and ``light``: the colours between which its texture runs. ``top``: what ``dark`` is at the upper border of
    the image, where it changes downwards. ``colour``: of the class in drawings. ``strength``: of the texture.
    """

    texture: str
    dark: Colour
    light: Colour
    colour: Colour
    top: Colour | None = None
    strength: float = 1.0


STUFF = {
    "sky": Stuff("clouds", (178, 212, 238), (255, 255, 255), (135, 190, 235), top=(84, 146, 214), strength=1.2),
    "grass": Stuff("grass", (44, 84, 28), (160, 190, 84), (110, 165, 70)),
    "gravel": Stuff("gravel", (84, 80, 78), (204, 200, 194), (150, 150, 150)),
    "brick": Stuff("brick", (108, 44, 34), (220, 158, 132), (165, 85, 65)),
    "sand": Stuff("sand", (186, 150, 100), (246, 226, 182), (235, 210, 155)),
    "wood": Stuff("wood", (92, 54, 28), (222, 170, 112), (190, 140, 85)),
    "water": Stuff("water", (14, 62, 96), (150, 212, 222), (45, 120, 165), top=(38, 98, 132), strength=0.9),
}
"""Every class of stuff, by its name. Grass, gravel and brick are photographs in tinted grey; the others are made."""


@dataclass
class Ground:
    """``canvas``: float32 (3, H, W), 0 to 255. ``stuff``: int64 (H, W), for every pixel an index into ``names``."""

    canvas: Array
    stuff: NDArray[np.int64]
    names: list[str]


def make_ground(
    names: Sequence[str], regions: tuple[int, int], clutter: float, size: tuple[int, int], draws: Draws
) -> Ground:
    """The ground of one scene: the first stuff everywhere, and each further one beyond a border of its own."""
    chosen = draws.some_of(names, draws.whole(*regions))
    if "sky" in chosen and draws.chance(0.9):
        # Sky is what lies behind everything: the others are laid over it, from below.
        chosen.remove("sky")
        chosen.insert(0, "sky")
    canvas = _filled(STUFF[chosen[0]], clutter, size, draws)
    stuff = np.zeros(size, np.int64)
    horizon = draws.between(0.25, 0.55) if len(chosen) > 1 else 0.0
    for number, name in enumerate(chosen[1:], 1):
        upright = number > 1 and draws.chance(0.4)
        share = draws.between(0.3, 0.7) if upright else horizon
        beyond = _beyond(size, share, upright, draws)
        horizon += (1 - horizon) * draws.between(0.35, 0.6)
        if upright:  # what lies beside the rest lies below the horizon, too
            beyond = np.minimum(beyond, stuff > 0)
        canvas += beyond * (_filled(STUFF[name], clutter, size, draws) - canvas)
        stuff[beyond >= 0.5] = number
    return Ground(canvas, stuff, chosen)


def _filled(kind: Stuff, clutter: float, size: tuple[int, int], draws: Draws) -> Array:
    """One stuff all over: float32 (3, H, W)."""
    # A texture of 512 pixels is seen at about a quarter to the half of that by an image of 128.
    coarse = max(0, (SIDE // max(min(size), 1)).bit_length() - 2)
    level = coarse + draws.whole(0, 1)
    grey = crop(kind.texture, level, (draws.number(), draws.number()), size, draws.chance(0.5))
    tone = draws.between(0.88, 1.1)
    dark, light = (_column(colour) * tone for colour in (kind.dark, kind.light))
    for channel in range(3):
        shade = draws.between(0.95, 1.05)
        dark[channel] *= shade
        light[channel] *= shade
    if kind.top is not None:
        down = np.linspace(0, 1, size[0], dtype=np.float32)[None, :, None]
        dark = _column(kind.top) * tone * (1 - down) + dark * down
        middle = dark + 0.25 * (light - dark)
    else:
        middle = (dark + light) / 2
    filled: Array = middle + (light - dark) * (grey * np.float32(clutter * kind.strength))
    return filled


def _column(colour: Colour) -> Array:
    return np.array(colour, np.float32)[:, None, None]


def _beyond(size: tuple[int, int], share: float, upright: bool, draws: Draws) -> Array:
    """How much of each pixel lies below a border (right or left of it, if upright): float32 (H, W) in [0, 1].

    The border is straight, or a wave; it crosses the middle of the image at ``share`` of its height (or width).
    """
    across, along = size if not upright else size[::-1]
    t = np.linspace(-0.5, 0.5, along, dtype=np.float32)
    line = share + t * draws.between(-0.35, 0.35) * (2.0 if upright else 1.0)
    if draws.chance(0.6):
        for waves in (draws.between(0.6, 1.4), draws.between(1.8, 3.5)):
            line = line + draws.between(0.01, 0.07) / waves * np.sin(2 * np.pi * (waves * t + draws.number()))
    place = np.arange(across, dtype=np.float32)
    beyond: Array = np.clip(place[:, None] + 1 - (across * line).astype(np.float32)[None], 0, 1)
    if upright and draws.chance(0.5):
        beyond = 1 - beyond
    return np.ascontiguousarray(beyond.T) if upright else beyond
