"""Crops: what a unit saw of a photo, cut out as a square picture."""

from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid.explain.search.found import Hit
from pellucid.structures import Photo, Sample, read_photo

LEAST = 8
"""The least pixels of a photo that a crop shows across and down: of less nothing can be recognised."""

BACKGROUND = (244, 245, 248)


def crop(hit: Hit, size: int, photo: Photo | None = None) -> Tensor:
    """A hit's box cut out of its photo: uint8 (3, size, size), the aspect ratio kept, the rest pale grey.

    A box smaller than ``LEAST`` pixels is widened around its middle. ``photo``: where the hit's photo is no path and
    the search was read from a file.
    Raises PellucidError for a photo that cannot be read.
    """
    return _cut(_read(hit) if photo is None else read_photo(photo), hit, size)


def crops(hits: Iterable[Hit], size: int) -> list[Tensor]:
    """The crops of several hits, each photo read once and only one held at a time."""
    hits = list(hits)
    made: dict[int, Tensor] = {}
    for name, first in {hit.photo: hit for hit in reversed(hits)}.items():
        photo = _read(first)
        made.update({i: _cut(photo, hit, size) for i, hit in enumerate(hits) if hit.photo == name})
    return [made[i] for i in range(len(hits))]


def _read(hit: Hit) -> Tensor:
    if isinstance(hit.source, Sample):
        return hit.source.read_image()
    return read_photo(hit.photo if hit.source is None else hit.source)


def _cut(photo: Tensor, hit: Hit, size: int) -> Tensor:
    H, W = photo.shape[-2:]
    x1, x2 = _widened(hit.box[0], hit.box[2], W)
    y1, y2 = _widened(hit.box[1], hit.box[3], H)
    scale = size / max(x2 - x1, y2 - y1)
    width, height = (min(size, max(1, round(length * scale))) for length in (x2 - x1, y2 - y1))
    left, top, right, bottom = int(x1), int(y1), int(np.ceil(x2)), int(np.ceil(y2))
    part = photo[:, top:bottom, left:right].detach().cpu()
    if part.is_floating_point():
        part = (part.clamp(0, 1) * 255).round().to(torch.uint8)
    # A few pixels enlarged many times are shown as what they are, squares.
    method = Image.Resampling.NEAREST if scale > 6 else Image.Resampling.LANCZOS
    box = (x1 - left, y1 - top, min(x2 - left, part.shape[2]), min(y2 - top, part.shape[1]))
    picture = Image.fromarray(part.permute(1, 2, 0).contiguous().numpy()).resize((width, height), method, box=box)
    square = Image.new("RGB", (size, size), BACKGROUND)
    square.paste(picture, ((size - width) // 2, (size - height) // 2))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()


def _widened(low: float, high: float, limit: int) -> tuple[float, float]:
    least = min(LEAST, limit)
    if high - low >= least:
        return low, high
    low = min(max((low + high - least) / 2, 0.0), limit - least)
    return low, low + least
