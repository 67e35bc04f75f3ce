"""The pictures of a microscope: contact sheets of crops, and synthesised images, as JPEG."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from pellucid.files import written_whole
from pellucid.report.colours import ACCENT, PAPER, Pixels
from pellucid.report.tiles import Box, resized
from pellucid.structures import read_photo

CELL = 112
"""Pixels of a crop's side on a contact sheet."""

CONTEXT = 1 / 7
"""The smallest crop, as a share of the photo's shorter side: a receptive field of a few pixels shows nothing alone."""

_GROUND = 136
_REMEMBERED = 256 * 2**20


class Photos:
    """Photos by path, the last ones read remembered: neighbouring channels like the same ones."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    def __getitem__(self, path: str) -> Tensor:
        """uint8 (3, H, W); raises PellucidError where it cannot be read."""
        if path in self._known:
            self._known.move_to_end(path)
            return self._known[path]
        photo = read_photo(path)
        if photo.is_floating_point():
            photo = (photo * 255).round().byte()
        self._known[path] = photo
        while len(self._known) > 1 and sum(p.numel() for p in self._known.values()) > _REMEMBERED:
            self._known.popitem(last=False)
        return photo


def crop(photo: Tensor, box: Box, side: int = CELL) -> Pixels:
    """A square around a receptive field, as (side, side, 3) uint8.

    ``box``: x1 y1 x2 y2 on the photo (3, H, W). A small one is shown within its surroundings, outlined; what lies
    beyond the photo is grey.
    """
    H, W = photo.shape[1:]
    x1, y1, x2, y2 = box
    width = max(x2 - x1, y2 - y1, CONTEXT * min(H, W), 1.0)
    left, top = _start((x1 + x2 - width) / 2, width, W), _start((y1 + y2 - width) / 2, width, H)
    inside = (max(left, 0.0), max(top, 0.0), min(left + width, float(W)), min(top + width, float(H)))
    scale = side / width
    a, b = round((inside[0] - left) * scale), round((inside[1] - top) * scale)
    across = max(1, min(side - a, round((inside[2] - inside[0]) * scale)))
    down = max(1, min(side - b, round((inside[3] - inside[1]) * scale)))
    made = np.full((side, side, 3), _GROUND, dtype=np.uint8)
    made[b : b + down, a : a + across] = resized(photo, inside, (across, down))
    if max(x2 - x1, y2 - y1) < 0.7 * width:
        _outline(made, [round((v - o) * scale) for v, o in zip(box, (left, top, left, top), strict=True)])
    return made


def _start(start: float, length: float, limit: int) -> float:
    """Where a stretch begins so that it lies within [0, limit], or around it where it is longer."""
    return (limit - length) / 2 if length >= limit else min(max(start, 0.0), limit - length)


def _outline(picture: Pixels, box: Sequence[int]) -> None:
    """Draws a frame of two lines around a box, the outer one white, so that it is seen on any photo."""
    side = picture.shape[0]
    x1, y1, x2, y2 = box
    for grow, colour in ((2, PAPER), (1, ACCENT)):
        a, b = max(0, x1 - grow), max(0, y1 - grow)
        c, d = min(side, max(x2, x1 + 1) + grow) - 1, min(side, max(y2, y1 + 1) + grow) - 1
        picture[b : d + 1, [a, c]] = colour
        picture[[b, d], a : c + 1] = colour


def contact_sheet(crops: Sequence[Pixels], columns: int, rows: int) -> Pixels:
    """Square crops of one size side by side, row by row; what is left over is grey."""
    side = crops[0].shape[0] if crops else CELL
    made = np.full((rows * side, columns * side, 3), _GROUND, dtype=np.uint8)
    for i, picture in enumerate(crops):
        y, x = i // columns * side, i % columns * side
        made[y : y + side, x : x + side] = picture
    return made


def write_jpeg(path: Path, picture: Pixels, quality: int) -> int:
    """Writes a picture, whole or not at all; returns the size of the file in bytes."""
    with written_whole(path) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=quality, optimize=True)
    return path.stat().st_size
