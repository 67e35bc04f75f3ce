"""The look of a scene's objects: colour, pattern, shading and shadow, painted over each other from back to front."""

import math
from collections.abc import Callable

import numpy as np

from pellucid.data.scenes.draws import Draws
from pellucid.data.scenes.placing import Drawing, Thing, shadow_reach
from pellucid.data.scenes.shapes import Array
from pellucid.data.scenes.textures import crop

_PALETTE: tuple[tuple[int, int, int], ...] = (
    *((222, 66, 60), (240, 132, 48), (248, 196, 64), (128, 190, 76), (44, 156, 112), (42, 172, 186)),
    *((58, 128, 214), (92, 82, 194), (152, 88, 192), (228, 104, 158), (246, 240, 226), (60, 64, 78)),
)
_FAINT = 45.0
"""Below this distance in RGB from what lies under it an object is hard to see."""
_CLEAR = 115.0
"""From this distance in RGB on a colour stands out from what lies under it."""
_SHADOW = 0.45


def paint(canvas: Array, things: list[Thing], contrast: float, textured: float, draws: Draws) -> list[bool]:
    """Paints things, given front to back, over the ground, float32 (3, H, W). Gives for each whether it is faint."""
    light = (draws.one_of((-1.0, 1.0)) * draws.between(0.4, 0.8), -draws.between(0.5, 0.85))
    faint = []
    for thing in reversed(things):
        colour = _chosen(canvas, thing.drawings[0], draws)
        pattern = _pattern(thing.drawings[0], draws) if draws.chance(textured) else None
        far = 0.0
        for drawing in reversed(thing.drawings):
            own = colour
            if thing.crowd:
                own = np.clip(colour * np.float32(draws.between(0.8, 1.12)), 0, 255)
            far = max(far, _paint_one(canvas, drawing, own, pattern, contrast, light))
        faint.append(far < _FAINT)
    return faint[::-1]


def _under(canvas: Array, drawing: Drawing) -> Array:
    """The mean colour where a drawing goes: float32 (3,)."""
    rows, columns = drawing.window
    step = max(1, (rows.stop - rows.start) // 8)
    mean: Array = canvas[:, rows, columns][:, ::step, ::step].mean((1, 2))
    return mean


def _chosen(canvas: Array, drawing: Drawing, draws: Draws) -> Array:
    """A colour of the palette that stands out from what is there."""
    under = _under(canvas, drawing)
    some = [np.array(draws.one_of(_PALETTE), np.float32) for _ in range(4)]
    far = [math.sqrt(float(((colour - under) ** 2).sum())) for colour in some]
    # The first that is far enough, not the farthest: that would make nearly everything blue or yellow.
    best = next((colour for colour, d in zip(some, far, strict=True) if d > _CLEAR), some[far.index(max(far))])
    tone = draws.between(0.9, 1.06)
    shifts = np.array([draws.between(-10, 10) for _ in range(3)], np.float32)
    return np.clip(best * np.float32(tone) + shifts, 0, 255)


Pattern = Callable[[Array, Array], Array]


def _pattern(drawing: Drawing, draws: Draws) -> Pattern | None:
    """How much lighter (up to 1) or darker (down to −1) each place of a shape is, given its own coordinates."""
    kind = draws.one_of(("stripes", "bands", "dots", "checks", "grain", "grain"))
    amount = np.float32(draws.one_of((-1.0, 1.0)) * draws.between(0.5, 1))
    if kind == "grain":
        name, corner, level = draws.one_of(("wood", "gravel", "clouds")), (draws.number(), draws.number()), 1

        def grained(u: Array, v: Array) -> Array:
            return crop(name, level, corner, (u.shape[0], u.shape[1]), False) * np.float32(1.5)

        return grained
    period = max(2 / draws.between(2.5, 5.5), 4.5 / drawing.radius)
    per, shift = np.float32(1 / period), np.float32(draws.number())
    sharp = np.float32(period * drawing.radius)  # so that an edge is a pixel wide

    def wave(x: Array) -> Array:
        """A triangle wave of one period, from −0.25 to 0.25."""
        x = x * per + shift
        x -= np.floor(x)
        x -= np.float32(0.5)
        return np.abs(x, out=x) - np.float32(0.25)

    def patterned(u: Array, v: Array) -> Array:
        if kind == "stripes":
            field = wave(u)
        elif kind == "bands":
            field = wave(v)
        elif kind == "checks":
            a, b = wave(u), wave(v)
            field = np.where((a < 0) == (b < 0), 1, -1) * np.minimum(np.abs(a), np.abs(b))
        else:
            a, b = wave(u) + np.float32(0.25), wave(v) + np.float32(0.25)
            field = np.float32(0.27) - np.sqrt(a * a + b * b)
        return np.clip(field * sharp + np.float32(0.5), 0, 1) * amount

    return patterned


def _paint_one(
    canvas: Array,
    drawing: Drawing,
    colour: Array,
    pattern: Pattern | None,
    contrast: float,
    light: tuple[float, float],
) -> float:
    """Paints one shape with its shadow. Gives the distance of its colour from what lay under it."""
    rows, columns = drawing.window
    _cast_shadow(canvas, drawing, light)
    place = canvas[:, rows, columns]
    under = _under(canvas, drawing)
    if contrast < 1:
        colour = under + np.float32(contrast) * (colour - under)
    distance = drawing.distance
    cover = np.clip(np.float32(0.5) - distance, 0, 1)
    u, v = drawing.local()
    cos, sin = drawing.turn
    # Lit from one side: brighter towards the light, darker in a rim along the outline.
    towards_u, towards_v = light[0] * cos + light[1] * sin, light[1] * cos - light[0] * sin
    shade = u * np.float32(0.17 * towards_u)
    shade += v * np.float32(0.17 * towards_v)
    rim = max(1.5, 0.16 * drawing.radius)
    edge = np.clip(distance * np.float32(1 / rim) + np.float32(1), 0, 1)
    shade -= np.float32(0.2) * edge * edge
    shade += np.float32(1.03)
    if pattern is not None:
        tone = pattern(u, v)
        shade *= np.float32(1) + np.float32(0.32) * tone
    painted = colour[:, None, None] * shade
    np.minimum(painted, 255, out=painted)
    painted -= place
    painted *= cover
    place += painted
    return math.sqrt(float(((colour - under) ** 2).sum()))


def _cast_shadow(canvas: Array, drawing: Drawing, light: tuple[float, float]) -> None:
    """Darkens what lies behind a shape, away from the light. The shadow is the shape's own distance, moved whole
    pixels, with a soft edge."""
    reach = shadow_reach(drawing.radius)
    dy, dx = round(-light[1] * 0.5 * reach), round(-light[0] * 0.5 * reach)
    soft = 0.7 * reach
    distance = drawing.distance
    h, w = distance.shape
    if h <= abs(dy) or w <= abs(dx):
        return
    source = distance[max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)]
    top, left = drawing.corner[0] + max(0, dy), drawing.corner[1] + max(0, dx)
    dark = np.clip(np.float32(0.5) - source * np.float32(1 / soft), 0, 1)
    dark *= np.float32(-_SHADOW)
    dark += np.float32(1)
    canvas[:, top : top + source.shape[0], left : left + source.shape[1]] *= dark
