"""Where the objects of a scene lie: placed from front to back, so that what is seen of each is settled at once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.data.scenes.draws import Draws
from pellucid.data.scenes.settings import SceneSettings
from pellucid.data.scenes.shapes import SHAPES, Array, Form

SMALLEST = 7.0
"""The least diameter of an object in pixels: below, its shape can no longer be told."""
_TRIES = 12
_LEAST_INSIDE = 0.3
"""The least share of an object that lies in the image."""
_CROWD_LEAST = 4


@dataclass
class Drawing:
    """One shape as it lies in the image.

    ``centre``: x and y. ``radius``: in pixels. ``turn``: cos and sin of the angle, clockwise. ``corner``: the image's
    row and column where the window begins, which lies inside the image. ``distance``: float32 (h, w) of the window, to
    the outline in pixels. ``full``: pixels of the whole shape, in the image or not. ``inside``: pixels in the image.
    """

    form: Form
    centre: tuple[float, float]
    radius: float
    turn: tuple[float, float]
    corner: tuple[int, int]
    distance: Array
    full: int
    inside: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Where the window lies in the image."""
        (y, x), (h, w) = self.corner, self.distance.shape
        return slice(y, y + h), slice(x, x + w)

    def local(self) -> tuple[Array, Array]:
        """The shape's own coordinates of the window's pixels, float32 (h, w) each."""
        return _local(self.corner, self.distance.shape, self.centre, self.radius, self.turn)

    def points(self, inset: float) -> NDArray[np.float32]:
        """Its keypoints in the image: (K, 2), moved ``inset`` pixels towards its centre."""
        cos, sin = self.turn
        made = []
        for u, v in self.form.points:
            length = math.hypot(u, v) * self.radius
            factor = self.radius * (max(0.0, length - inset) / length if length else 1)
            made.append((self.centre[0] + factor * (cos * u - sin * v), self.centre[1] + factor * (sin * u + cos * v)))
        return np.array(made, np.float32).reshape(-1, 2)


@dataclass
class Thing:
    """An object, or a crowd of many: its class by name, its drawings from front to back, and how many of its pixels
    others hide."""

    name: str
    drawings: list[Drawing]
    crowd: bool
    visible: int

    @property
    def inside(self) -> int:
        """Pixels in the image; in a crowd, where one hides the other, those that are seen."""
        return self.visible if self.crowd else self.drawings[0].inside


def place(settings: SceneSettings, draws: Draws) -> tuple[list[Thing], NDArray[np.int64]]:
    """The objects of one scene, front to back, and a map (H, W) of which is seen where: 1 for the first, 0 for none."""
    seen = np.zeros(settings.size, np.int64)
    things: list[Thing] = []
    if draws.chance(settings.empty):
        return things, seen
    crowded, count = draws.chance(settings.crowded), draws.whole(*settings.things)
    if crowded:
        crowd = _crowd(settings, draws, seen)
        things += [crowd] if crowd else []
    for _ in range(count):
        thing = _single(settings, draws, seen, len(things) + 1)
        things += [thing] if thing else []
    return things, seen


def _single(settings: SceneSettings, draws: Draws, seen: NDArray[np.int64], number: int) -> Thing | None:
    """One object behind all that are there, marked in the map; None where no place was found."""
    H, W = settings.size
    name = draws.one_of(settings.classes)
    shape = SHAPES[name]
    low, high = (share * min(H, W) / 2 for share in settings.scale)
    # Small and large in equal measure: the logarithm is uniform.
    radius = low * (high / low) ** draws.number()
    turn = _turn(settings, draws, shape.turns)
    cut = draws.chance(settings.cut)
    for _ in range(_TRIES):
        radius = max(radius, SMALLEST / 2)
        margin = radius * (draws.between(-0.1, 0.7) if cut else shape.reach) + (0 if cut else 1)
        centre = tuple(_within(margin, length, draws.number()) for length in (W, H))
        if _covered(seen, centre, radius) <= settings.overlap + 0.2:
            drawing = _drawn(shape.form(draws, 1 / radius), shape.reach, (centre[0], centre[1]), radius, turn, (H, W))
            part = seen[drawing.window]
            free = (drawing.distance <= 0) & (part == 0)
            visible = int(np.count_nonzero(free))
            enough = visible >= settings.min_visible and visible >= (1 - settings.overlap) * drawing.inside
            if enough and drawing.inside >= _LEAST_INSIDE * drawing.full:
                part[free] = number
                return Thing(name, [drawing], False, visible)
        radius = max(low, radius * 0.85)
    return None


def _crowd(settings: SceneSettings, draws: Draws, seen: NDArray[np.int64]) -> Thing | None:
    """Many small objects of one class, close together, marked as 1 in the map; None where too few find a place."""
    H, W = settings.size
    name = draws.one_of(settings.classes)
    shape = SHAPES[name]
    radius = max(SMALLEST / 2, draws.between(0.03, 0.05) * min(H, W))
    spread = radius * draws.between(2.0, 3.2)
    stretch = draws.between(0.8, 1.8)
    middle = [_within(spread * factor + radius, length, draws.number()) for factor, length in ((stretch, W), (1, H))]
    drawings: list[Drawing] = []
    for _ in range(draws.whole(10, 22)):
        angle, out = 2 * math.pi * draws.number(), spread * math.sqrt(draws.number())
        own = max(SMALLEST / 2, radius * draws.between(0.8, 1.25))
        x, y = middle[0] + stretch * out * math.cos(angle), middle[1] + out * math.sin(angle)
        centre = (min(max(x, 0.0), float(W)), min(max(y, 0.0), float(H)))
        turn = _turn(settings, draws, shape.turns)
        drawing = _drawn(shape.form(draws, 1 / own), shape.reach, centre, own, turn, (H, W))
        part = seen[drawing.window]
        free = (drawing.distance <= 0) & (part == 0)
        if 2 * np.count_nonzero(free) > drawing.inside:
            part[free] = 1
            drawings.append(drawing)
    visible = int(np.count_nonzero(seen))
    if len(drawings) < _CROWD_LEAST or visible < settings.min_visible:
        seen[:] = 0
        return None
    return Thing(name, drawings, True, visible)


def _turn(settings: SceneSettings, draws: Draws, turns: bool) -> tuple[float, float]:
    angle = math.radians(settings.rotation) * draws.between(-1, 1)
    return (math.cos(angle), math.sin(angle)) if turns else (1.0, 0.0)


def _within(margin: float, length: int, share: float) -> float:
    """A place between two margins; the middle where they meet."""
    margin = min(margin, length / 2)
    return margin + share * (length - 2 * margin)


def _covered(seen: NDArray[np.int64], centre: tuple[float, ...], radius: float) -> float:
    """About how much of an object would be hidden: the share of its middle that is taken."""
    x, y, half = int(centre[0]), int(centre[1]), max(1, int(0.6 * radius))
    middle = seen[max(0, y - half) : y + half + 1, max(0, x - half) : x + half + 1]
    return np.count_nonzero(middle) / max(1, middle.size)


def _drawn(
    form: Form,
    reach: float,
    centre: tuple[float, float],
    radius: float,
    turn: tuple[float, float],
    size: tuple[int, int],
) -> Drawing:
    """A shape's distances in the window around it, cut at the image's border."""
    half = reach * radius + 2 + shadow_reach(radius)
    x, y = centre
    top, left = math.floor(y - half), math.floor(x - half)
    shape = (math.ceil(y + half) - top, math.ceil(x + half) - left)
    u, v = _local((top, left), shape, centre, radius, turn)
    distance = form.distance(u, v)
    distance *= np.float32(radius)
    full = int(np.count_nonzero(distance <= 0))
    first, last = (max(0, top), max(0, left)), (min(size[0], top + shape[0]), min(size[1], left + shape[1]))
    cut = distance[first[0] - top : last[0] - top, first[1] - left : last[1] - left]
    inside = full if cut.shape == distance.shape else int(np.count_nonzero(cut <= 0))
    return Drawing(form, centre, radius, turn, first, cut, full, inside)


def shadow_reach(radius: float) -> float:
    """How far from an object its shadow may fall, in pixels."""
    return 1.5 + 0.16 * radius


def _local(
    corner: tuple[int, int],
    shape: tuple[int, ...],
    centre: tuple[float, float],
    radius: float,
    turn: tuple[float, float],
) -> tuple[Array, Array]:
    cos, sin = turn[0] / radius, turn[1] / radius
    y = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(corner[0] + 0.5 - centre[1])
    x = np.arange(shape[1], dtype=np.float32)[None] + np.float32(corner[1] + 0.5 - centre[0])
    return x * np.float32(cos) + y * np.float32(sin), y * np.float32(cos) - x * np.float32(sin)
