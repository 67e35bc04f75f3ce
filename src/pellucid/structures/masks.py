"""Masks of instances, each kept as it came: polygons, run lengths or pixels."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.structures.polygons import Polygons
from pellucid.structures.run_lengths import RunLengths

Mask: TypeAlias = Polygons | RunLengths | NDArray[np.bool_]
"""One mask: polygons, run lengths, or pixels, bool (H, W)."""


class Masks:
    """N masks of one image of ``size`` (H, W). Converted only when another form is asked for.

    Indexed by a number it gives one ``Mask``; by a slice, a list or tensor of indices, or a bool tensor, ``Masks``.
    Raises PellucidError where a mask is of another size.
    """

    def __init__(self, items: Iterable[Mask], size: tuple[int, int]) -> None:
        self.items: list[Mask] = list(items)
        self.size = size
        for index, item in enumerate(self.items):
            own = item.shape if isinstance(item, np.ndarray) else item.size
            if tuple(own) != tuple(size):
                raise PellucidError(f"mask {index} is of {tuple(own)} pixels, its image of {tuple(size)}")

    @classmethod
    def from_bool(cls, masks: Tensor | NDArray[np.bool_]) -> "Masks":
        """From pixels, bool (N, H, W)."""
        array = masks.detach().cpu().numpy() if isinstance(masks, Tensor) else masks
        if array.ndim != 3:
            raise PellucidError(f"masks of shape {tuple(array.shape)}: give (N, H, W)")
        return cls(list(array.astype(bool)), (array.shape[1], array.shape[2]))

    @classmethod
    def empty(cls, size: tuple[int, int]) -> "Masks":
        """No mask."""
        return cls([], size)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Mask]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (int, np.integer)):
            return self.items[index]
        if isinstance(index, slice):
            return Masks(self.items[index], self.size)
        if isinstance(index, Tensor):
            index = index.nonzero().flatten().tolist() if index.dtype == torch.bool else index.tolist()
        return Masks([self.items[i] for i in index], self.size)

    def run_lengths(self) -> list[RunLengths]:
        """Every mask as run lengths."""
        return [as_run_lengths(item) for item in self.items]

    def polygons(self) -> list[Polygons]:
        """Every mask as polygons; pixels and run lengths become the outlines of their pixels, exactly."""
        return [item if isinstance(item, Polygons) else Polygons.from_mask(as_pixels(item)) for item in self.items]

    def to_bool(self) -> Tensor:
        """Every mask as pixels: bool (N, H, W)."""
        if not self.items:
            return torch.zeros((0, *self.size), dtype=torch.bool)
        return torch.from_numpy(np.stack([as_pixels(item) for item in self.items]))

    def areas(self) -> Tensor:
        """Pixels in each: float32 (N,)."""
        counts = [float(coco.area(as_run_lengths(item).for_pycocotools)) for item in self.items]
        return torch.tensor(counts, dtype=torch.float32)

    def boxes(self) -> Tensor:
        """The tight box around the pixels of each, xyxy float32 (N, 4); zeros for a mask without pixels."""
        made = [coco.toBbox(as_run_lengths(item).for_pycocotools) for item in self.items]
        boxes = torch.from_numpy(np.array(made, dtype=np.float32).reshape(-1, 4))
        return torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)

    @classmethod
    def joined(cls, parts: Sequence["Masks"]) -> "Masks":
        """The masks of several, which are of one image, one after another."""
        if not parts:
            raise PellucidError("no masks to join; give at least one")
        return cls([item for part in parts for item in part.items], parts[0].size)


def as_run_lengths(mask: Mask) -> RunLengths:
    """One mask as run lengths."""
    if isinstance(mask, RunLengths):
        return mask
    return mask.to_run_lengths() if isinstance(mask, Polygons) else RunLengths.from_mask(mask)


def as_pixels(mask: Mask) -> NDArray[np.bool_]:
    """One mask as pixels, bool (H, W)."""
    return mask if isinstance(mask, np.ndarray) else mask.to_mask()
