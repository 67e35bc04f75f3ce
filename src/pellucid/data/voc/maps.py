"""VOC's segmentations: PNGs whose pixels are indices into a palette, of classes or of the objects of a file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pellucid.data.voc.classes import background_index
from pellucid.errors import PellucidError
from pellucid.structures import IGNORE, Classes
from pellucid.structures.masks import Mask
from pellucid.structures.photo import opened_photo

VOID = 255
"""The index of pixels that belong to nothing: the borders of objects, and what is too hard to tell."""

MOST_CLASSES = 254
"""How many classes other than the background have an index."""


def palette() -> NDArray[np.uint8]:
    """VOC's colours, uint8 (256, 3): the bits of an index, dealt in turn to red, green and blue from the top down."""
    indices = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = indices >> (3 * level + channel) & 1
            colours[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return colours


def read_indices(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The indices of a segmentation, uint8 (H, W), whatever colours its palette has.

    A picture in colours is read by VOC's own; a colour that is none of them is void. Raises PellucidError for what
    cannot be read, has another form, or is not of ``size`` (H, W).
    """
    with opened_photo(path) as image:
        width, height = image.size
        if (height, width) != tuple(size):
            raise PellucidError(
                f"{path}: is {width} × {height} pixels, but its image {size[1]} × {size[0]}; restore the file"
            )
        if image.mode in ("P", "L"):
            return np.array(image, dtype=np.uint8)
        if image.mode in ("RGB", "RGBA"):
            return _from_colours(np.array(image.convert("RGB")))
        raise PellucidError(f"{path}: is of mode {image.mode}; save it with a palette, or with 8 bits of gray")


def _from_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    codes = palette().astype(np.int64) @ (65536, 256, 1)
    order = np.argsort(codes)
    found = pixels.astype(np.int64) @ (65536, 256, 1)
    at = np.searchsorted(codes[order], found).clip(max=255)
    return np.where(codes[order][at] == found, order[at], VOID).astype(np.uint8)


def write_indices(path: Path, indices: NDArray[np.uint8]) -> None:
    """Writes a segmentation with VOC's palette. Raises PellucidError where that fails."""
    image = Image.fromarray(indices)
    image.putpalette(palette().tobytes())  # makes it a palette image
    try:
        image.save(path, format="PNG")
    except OSError as error:
        raise PellucidError(f"{path}: cannot be written ({error.strerror or error}); is the disk full?") from error


def labels_of_indices(classes: Classes) -> NDArray[np.int64]:
    """What the indices 0 to 255 mean: 0 is the background, k the k-th of the other classes, the rest is ignored."""
    background = background_index(classes.names)
    others = [label for label in range(len(classes)) if label != background]
    table = np.full(256, IGNORE, dtype=np.int64)
    table[0] = IGNORE if background is None else background
    others = others[:MOST_CLASSES]
    table[1 : len(others) + 1] = others
    return table


def indices_of_labels(classes: Classes) -> NDArray[np.uint8]:
    """The other way round, for labels 0 to 255; what is no class becomes void.

    Raises PellucidError for more classes than there are indices.
    """
    background = background_index(classes.names)
    others = [label for label in range(len(classes)) if label != background]
    if len(others) > MOST_CLASSES:
        raise PellucidError(
            f"voc: a semantic map of {len(others)} classes does not fit, {MOST_CLASSES} do; write another format"
        )
    table = np.full(256, VOID, dtype=np.uint8)
    table[others] = np.arange(1, len(others) + 1)
    if background is not None:
        table[background] = 0
    return table


@dataclass(frozen=True)
class SemanticMaps:
    """Reads the semantic map of an image: ``files`` of all images, ``labels`` of the indices."""

    files: list[str]
    labels: NDArray[np.int64]

    def __call__(self, image: int, size: tuple[int, int]) -> Tensor:
        return torch.from_numpy(self.labels[read_indices(Path(self.files[image]), size)])


@dataclass
class ObjectMasks:
    """Reads the mask of an object: ``images`` and ``numbers`` say of which image, and which in its file, a row is."""

    files: list[str]
    images: NDArray[np.int64]
    numbers: list[int]
    _last: tuple[Any, NDArray[np.uint8]] | None = field(default=None, repr=False)

    def __call__(self, row: int, size: tuple[int, int]) -> Mask | None:
        if self.numbers[row] >= VOID - 1:
            return None
        key = (int(self.images[row]), tuple(size))
        last = self._last  # the objects of an image come one after another: its file is read once
        if last is None or last[0] != key:
            last = key, read_indices(Path(self.files[key[0]]), size)
            self._last = last
        return last[1] == self.numbers[row] + 1
