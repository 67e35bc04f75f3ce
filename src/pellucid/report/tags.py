"""Tags: names beside the objects of a drawing, placed so that they stay readable and leave the picture to be seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.report.colours import Colour
from pellucid.report.ink import Ink, rectangle
from pellucid.report.lettering import shortened, width_of
from pellucid.report.palette import letters_on

Box = tuple[float, float, float, float]

PADDING = 4
"""Pixels between a tag's border and its letters, left and right."""

_SMALLEST = 8.0
_SHARE, _SHARE_OF_MANY = 0.2, 0.06
"""The share of a picture that tags may cover: those of few objects, and those of 150 and more."""
_FEW = 6
"""So many tags are always drawn where there is room, however small their objects."""


@dataclass(frozen=True)
class Wish:
    """A tag that an object asks for.

    ``box``: the object's box on the drawing. ``inner``: whether the tag belongs into its middle, as a region's does,
    not to its corner. ``mark``: what stands behind the name, and is never cut.
    """

    text: str
    mark: str
    colour: Colour
    box: Box
    inner: bool = False


@dataclass(frozen=True)
class Tag:
    """A tag with its place: the upper left corner, in pixels of the drawing."""

    wish: Wish
    text: str
    x: int
    y: int
    width: int
    height: int
    size: float

    def draw(self, ink: Ink) -> None:
        """Draws it: letters on a plate of the object's colour."""
        plate = rectangle(self.x, self.y, self.x + self.width, self.y + self.height)
        ink.fill(plate, self.wish.colour, snap=True)
        ink.write(
            self.x + PADDING,
            self.y + self.height - tag_descent(self.size),
            self.text,
            self.size,
            letters_on(self.wish.colour),
        )


def tag_height(size: float) -> int:
    """The height of a tag with letters of ``size`` pixels."""
    return round(1.5 * size) + 1


def tag_descent(size: float) -> int:
    """How far the letters' baseline lies above a tag's lower border."""
    return round(0.42 * size)


def letter_size(width: int, height: int) -> float:
    """The size of letters that suits a drawing: 10 to 14 pixels."""
    return float(min(14, max(10, round((width * height) ** 0.5 / 58))))


def place_tags(wishes: Sequence[Wish], width: int, height: int, size: float, taken: Sequence[Box] = ()) -> list[Tag]:
    """Places tags on a drawing of ``width`` × ``height`` pixels, the most important wish first.

    No tag leaves the drawing, none overlaps another or a rectangle that is ``taken``; one that finds no room is left
    out. Of many, letters are smaller, and left out are tags larger than their object, and those beyond the share of
    the picture that tags may cover: a fifth, less where objects are so many that tags would hide them.
    """
    size = max(_SMALLEST, size - (len(wishes) > 12) - 2 * (len(wishes) > 60))
    boxes = np.array([wish.box for wish in wishes], dtype=np.float64).reshape(-1, 4)
    placed: list[Tag] = []
    covered = np.array(taken, dtype=np.float64).reshape(-1, 4)
    left = float(np.interp(len(wishes), (30, 150), (_SHARE, _SHARE_OF_MANY))) * width * height
    for number, wish in enumerate(wishes):
        across = wish.box[2] - wish.box[0]
        most = min(width, max(across, 0.4 * width, 72.0)) - 2 * PADDING
        text = _fitted(wish, most, size)
        if not text:
            continue
        tall, wide = tag_height(size), int(np.ceil(width_of(text, size))) + 2 * PADDING
        if tall > height or wide > width:
            continue
        area = across * (wish.box[3] - wish.box[1])
        if len(placed) >= _FEW and (area < 0.9 * wide * tall or wide * tall > left):
            continue
        spots = _spots(wish, wide, tall, width, height)
        free = spots[_overlaps(spots, covered).sum(1) == 0]
        if len(free) == 0:
            continue
        # Among the free places the first that hides least of the other objects.
        others = np.delete(boxes, number, 0)
        hidden = _overlaps(free, others) / np.maximum((others[:, 2:] - others[:, :2]).prod(1), wide * tall)
        cost = np.minimum(hidden, 1).sum(1) + 0.02 * np.arange(len(free))
        x, y = (int(v) for v in free[int(cost.argmin()), :2])
        placed.append(Tag(wish, text, x, y, wide, tall, size))
        covered = np.concatenate((covered, [(x, y, x + wide, y + tall)]))
        left -= wide * tall
    return placed


def _fitted(wish: Wish, width: float, size: float) -> str:
    """The name, cut where it must be, and the mark; '' where not even a piece of the name has room."""
    mark = f" {wish.mark}" if wish.mark and wish.text else wish.mark
    name = shortened(wish.text, max(0.0, width - width_of(mark, size)), size)
    made = (name + mark).strip()
    return made if made not in ("", "…") and width_of(made, size) <= width else ""


def _spots(wish: Wish, wide: int, tall: int, width: int, height: int) -> NDArray[np.float64]:
    """Where a tag may stand, best first: (P, 4) rectangles inside the drawing."""
    x1, y1, x2, y2 = wish.box
    middle = ((x1 + x2 - wide) / 2, (y1 + y2 - tall) / 2)
    if wish.inner:
        corners = [(middle[0], middle[1] + step * tall) for step in (0, -1, 1, -2, 2)]
        corners += [(middle[0] + side * wide / 2, middle[1] + step * tall) for step in (0, -1, 1) for side in (-1, 1)]
    else:
        ys = (y1 - tall, y1, y2, y2 - tall)
        corners = [(x1, ys[0]), (x1, ys[1]), (x2 - wide, ys[0]), (x2 - wide, ys[1]), (x1, ys[2]), (x1, ys[3])]
        corners += [(x2 - wide, ys[2]), (x2 - wide, ys[3]), (middle[0], ys[0]), (middle[0], ys[1])]
        corners += [(middle[0], ys[2]), (x2, y1), (x1 - wide, y1), middle]
    spots = np.round(np.array(corners))
    spots = np.clip(spots, 0, (width - wide, height - tall))
    return np.concatenate((spots, spots + np.array((wide, tall))), 1)


def _overlaps(some: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that each of some rectangles (N, 4) shares with each of the others (M, 4): (N, M)."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    return np.maximum(high - low, 0).prod(2)
