"""The shapes of generated scenes: signed distances to their outlines, and their keypoints.

A shape lives in coordinates of its own, x to the right and y down, with a radius of about 1. Its distance is negative
inside. Outside a sharp corner it may be too small, since sides are taken as whole lines: the corner stays sharp.
Left and right are the image's where the shape stands upright; a figure faces the viewer, so its left hand is
on the image's right.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.data.scenes.draws import Draws
from pellucid.structures import KeypointNames

Array = NDArray[np.floating[Any]]
Distance = Callable[[Array, Array], Array]
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Form:
    """One shape as drawn: its distance, and its keypoints (K of x, y)."""

    distance: Distance
    points: Points


@dataclass(frozen=True)
class Shape:
    """A class of shapes.

    ``form``: makes one, given the length of a pixel in the shape's coordinates. ``reach``: how far from the centre
    it goes. ``colour``: of the class in drawings, not of the objects. ``turns``: False where turning changes nothing,
    so that keypoints keep their names' directions. ``outline``: keypoints lie on the outline, not inside.
    """

    form: Callable[[Draws, float], Form]
    keypoints: KeypointNames
    colour: tuple[int, int, int]
    reach: float = 1.0
    turns: bool = True
    outline: bool = True


_DIRECTIONS: Points = ((0, -1), (1, 0), (0, 1), (-1, 0))


def _fixed(distance: Distance, points: Points) -> Callable[[Draws, float], Form]:
    """A class whose shapes are all alike."""
    form = Form(distance, points)
    return lambda draws, pixel: form


def _circle(x: Array, y: Array) -> Array:
    return np.sqrt(x * x + y * y) - 1


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.82


def _triangle(x: Array, y: Array) -> Array:
    return np.maximum(y, math.sqrt(0.75) * np.abs(x) - 0.5 * y) - 0.5


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 1, np.minimum(x, y) - 0.34)


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.sqrt(x * x + y * y) - 0.72) - 0.28


def _arrow(x: Array, y: Array) -> Array:
    x = np.abs(x)
    slope, half = 0.95, 0.78  # of the head: its height and half its width
    length = math.hypot(slope, half)
    head = np.maximum(y - (slope - 1), slope / length * x - half / length * (y + 1))
    return np.minimum(head, np.maximum(x - 0.27, np.abs(y - 0.2) - 0.8))


_NOTCH = 0.47  # a star's inner radius
_TIP = math.pi / 5  # between a tip and the notch next to it


def _star(x: Array, y: Array) -> Array:
    # Mirrored until all of the plane lies in the sector between one tip and the notch beside it: one side is left.
    x, y = np.abs(x), -y
    a, b = math.cos(_TIP), math.sin(_TIP)
    for _ in range(2):
        beyond = np.maximum(a * x - b * y, 0)
        x, y = np.abs(x - 2 * a * beyond), y + 2 * b * beyond
    rise, run = 1 - _NOTCH * a, _NOTCH * b
    length = math.hypot(rise, run)
    return rise / length * x + run / length * (y - 1)


def _star_tips() -> Points:
    return tuple((math.sin(k * 2 * _TIP), -math.cos(k * 2 * _TIP)) for k in range(5))


_FIGURE = (
    *("head", "neck", "left_elbow", "right_elbow", "left_hand", "right_hand"),
    *("hips", "left_knee", "right_knee", "left_foot", "right_foot"),
)
_LIMBS = ((1, 6), (1, 2), (2, 4), (1, 3), (3, 5), (6, 7), (7, 9), (6, 8), (8, 10))
_HEAD = 0.25


def _figure(draws: Draws, pixel: float) -> Form:
    """A person of thick limbs in a pose of its own; limbs are never thinner than a pixel and a half."""
    lean = draws.between(-0.08, 0.08)
    points: dict[str, tuple[float, float]] = {"head": (0, -0.77), "neck": (0, -0.42), "hips": (lean, 0.18)}
    for side, sign in (("left", 1), ("right", -1)):
        upper = draws.between(-0.5, 1.25)  # an arm's angle to the horizontal, down positive
        lower = upper + draws.between(-1.4, 0.5)
        points[f"{side}_elbow"] = _step(points["neck"], upper, 0.42, sign)
        points[f"{side}_hand"] = _step(points[f"{side}_elbow"], lower, 0.4, sign)
        thigh = draws.between(0.75, 1.45)
        shin = min(thigh + draws.between(-0.1, 0.6), 1.75)
        points[f"{side}_knee"] = _step(points["hips"], thigh, 0.42, sign)
        points[f"{side}_foot"] = _step(points[f"{side}_knee"], shin, 0.42, sign)
    joints = tuple(points[name] for name in _FIGURE)
    thick = max(0.11, 0.75 * pixel)

    def distance(x: Array, y: Array) -> Array:
        head = joints[0]
        found = np.sqrt((x - head[0]) ** 2 + (y - head[1]) ** 2) - _HEAD
        for number, (start, end) in enumerate(_LIMBS):
            width = 1.5 * thick if number == 0 else thick
            np.minimum(found, _limb(x, y, joints[start], joints[end], width), out=found)
        return found

    return Form(distance, joints)


def _step(start: tuple[float, float], angle: float, length: float, sign: int) -> tuple[float, float]:
    return start[0] + sign * length * math.cos(angle), start[1] + length * math.sin(angle)


def _limb(x: Array, y: Array, start: tuple[float, float], end: tuple[float, float], thick: float) -> Array:
    """The distance to a line of round ends."""
    ax, ay = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * ax + py * ay) * (1 / (ax * ax + ay * ay)), 0, 1)
    px -= along * ax
    py -= along * ay
    return np.sqrt(px * px + py * py) - thick


_SIDES = KeypointNames(("top", "right", "bottom", "left"), ((0, 1), (1, 2), (2, 3), (3, 0)))
_CORNERS: Points = ((-0.82, -0.82), (0.82, -0.82), (0.82, 0.82), (-0.82, 0.82))

SHAPES: dict[str, Shape] = {
    "circle": Shape(_fixed(_circle, _DIRECTIONS), _SIDES, (230, 75, 70), turns=False),
    "square": Shape(
        _fixed(_square, _CORNERS),
        KeypointNames(("top_left", "top_right", "bottom_right", "bottom_left"), ((0, 1), (1, 2), (2, 3), (3, 0))),
        (245, 150, 50),
        reach=1.16,
    ),
    "triangle": Shape(
        _fixed(_triangle, ((0, -1), (math.sqrt(0.75), 0.5), (-math.sqrt(0.75), 0.5))),
        KeypointNames(("top", "right_corner", "left_corner"), ((0, 1), (1, 2), (2, 0))),
        (250, 205, 60),
    ),
    "star": Shape(
        _fixed(_star, _star_tips()),
        KeypointNames(
            ("top", "upper_right", "lower_right", "lower_left", "upper_left"),
            ((0, 2), (2, 4), (4, 1), (1, 3), (3, 0)),
        ),
        (150, 95, 200),
    ),
    "ring": Shape(
        _fixed(_ring, tuple((0.72 * x, 0.72 * y) for x, y in _DIRECTIONS)),
        _SIDES,
        (50, 180, 190),
        turns=False,
        outline=False,
    ),
    "cross": Shape(
        _fixed(_cross, _DIRECTIONS),
        KeypointNames(_SIDES.names, ((0, 2), (1, 3))),
        (230, 110, 170),
        reach=1.06,
    ),
    "arrow": Shape(
        _fixed(_arrow, ((0, -1), (0, 1), (0.78, -0.05), (-0.78, -0.05))),
        KeypointNames(("tip", "tail", "right_barb", "left_barb"), ((0, 1), (0, 2), (0, 3))),
        (70, 130, 225),
        reach=1.04,
    ),
    "figure": Shape(_figure, KeypointNames(_FIGURE, ((0, 1), *_LIMBS)), (105, 70, 60), reach=1.22, outline=False),
}
"""Every class of shapes, by its name."""
