"""Colours that tell things apart: a fixed cycle, shared out so that neighbours and objects of one class differ."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pellucid.report.colours import INK, PAPER, Colour
from pellucid.structures import Classes

CYCLE = 20
"""How many colours are shared out among the objects of one image."""

VOID: Colour = (58, 62, 70)
"""What belongs to no class."""

# The first ones are chosen by eye; light enough for dark photos, full enough for light ones.
_FIRST: tuple[Colour, ...] = (
    (40, 190, 255),
    (255, 140, 40),
    (70, 214, 110),
    (255, 82, 82),
    (200, 120, 255),
    (255, 200, 30),
    (20, 214, 200),
    (255, 110, 190),
    (170, 220, 40),
    (110, 150, 255),
)
_NEAR = 0.11
"""The distance in OKLab within which two colours are taken for each other at a glance."""


def to_oklab(colours: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
    """sRGB (..., 3), 0 to 255, in OKLab (..., 3), where equal distances look equal (Ottosson 2020)."""
    share = np.asarray(colours, dtype=np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    made: NDArray[np.float64] = np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )
    return made


@cache
def distinct(count: int) -> tuple[Colour, ...]:
    """``count`` colours, each as far as can be from those before it; a longer list begins with the shorter."""
    made = list(_FIRST[:count])
    steps = np.arange(0, 256, 15)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    lab = to_oklab(grid)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    fit = (lab[:, 0] > 0.64) & (lab[:, 0] < 0.9) & (chroma > 0.08) & (chroma < 0.21)
    grid, lab = grid[fit], lab[fit]
    apart = np.full(len(grid), np.inf)
    for colour in made:
        apart = np.minimum(apart, np.linalg.norm(lab - to_oklab(np.array(colour)), axis=1))
    while len(made) < count:
        best = int(apart.argmax())
        made.append((int(grid[best, 0]), int(grid[best, 1]), int(grid[best, 2])))
        apart = np.minimum(apart, np.linalg.norm(lab - lab[best], axis=1))
        if apart.max() == 0:  # every colour of the grid is used: begin again
            apart[:] = np.inf
    return tuple(made)


def class_colours(classes: Classes) -> tuple[Colour, ...]:
    """A colour for each class: the data set's own where it has them, else distinct ones."""
    return classes.colours or distinct(len(classes))


def drawing_order(boxes: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.intp]:
    """Large objects first; independent of the order in which they are given. ``boxes``: (N, 4). ``labels``: (N,)."""
    areas = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
    return np.lexsort((labels, boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -areas))


def instance_colours(
    boxes: NDArray[np.floating], labels: NDArray[np.integer], beside: Sequence[Colour] = ()
) -> list[Colour]:
    """A colour for each object, from the fixed cycle.

    Objects near to one another differ most, then those of one class, then the rest. The order in which they are given
    does not matter. ``boxes``: finite (N, 4). ``labels``: (N,). ``beside``: colours that the picture shows already.
    """
    count = len(labels)
    cycle = distinct(CYCLE)
    lab = to_oklab(np.array(cycle))
    alike = np.exp(-((np.linalg.norm(lab[:, None] - lab[None], axis=2) / _NEAR) ** 2))
    penalty = np.tile(1e-4 * np.arange(CYCLE), (count, 1))
    if beside:
        others = to_oklab(np.array(beside))
        penalty += 0.5 * np.exp(-((np.linalg.norm(lab[:, None] - others[None], axis=2) / _NEAR) ** 2)).max(1)
    sides = np.sqrt(np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1))
    chosen = np.zeros(count, dtype=np.intp)
    for i in drawing_order(boxes, labels):
        chosen[i] = penalty[i].argmin()
        gaps = np.maximum(np.maximum(boxes[:, :2] - boxes[i, 2:], boxes[i, :2] - boxes[:, 2:]), 0)
        near = np.exp(-np.hypot(gaps[:, 0], gaps[:, 1]) / (0.5 * (sides + sides[i])))
        penalty += (3 * near + (labels == labels[i]) + 0.1)[:, None] * alike[chosen[i]]
    return [cycle[i] for i in chosen]


def luminance(colour: Colour) -> float:
    """Relative luminance, 0 to 1 (WCAG 2)."""
    share = np.array(colour) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def letters_on(colour: Colour) -> Colour:
    """Dark or light letters, whichever has the higher contrast on a colour (WCAG 2)."""
    ground = luminance(colour) + 0.05
    return INK if ground / (luminance(INK) + 0.05) >= (luminance(PAPER) + 0.05) / ground else PAPER
