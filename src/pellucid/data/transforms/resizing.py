"""Resizing rules: to a size, by the shortest or longest side, into a letterbox."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from pellucid.data.transforms.base import Geometric, checked_size, integer
from pellucid.data.transforms.moves import Affine, Fill, Size
from pellucid.errors import PellucidError
from pellucid.structures import Annotations


def scaled_size(size: Size, scale: float) -> Size:
    """(H, W) times a number, rounded half up, at least one pixel each."""
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


@dataclass(frozen=True)
class Resize(Geometric):
    """Resizes to ``size``, (H, W) or one number for both, whatever the aspect ratio."""

    size: int | Size

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", checked_size(self.size, "Resize"))

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        return Affine.resize(annotations.size, checked_size(self.size, "Resize"))


@dataclass(frozen=True)
class ResizeShortest(Geometric):
    """Resizes so that the shortest side is ``size`` pixels, unless the longest would exceed ``longest``.

    With several sizes one is drawn for each image: training on several scales (Ren 2015, Faster R-CNN).
    """

    size: int | Sequence[int]
    longest: int | None = None

    def __post_init__(self) -> None:
        sizes = [self.size] if isinstance(self.size, int) else list(self.size)
        if not sizes:
            raise PellucidError("ResizeShortest: no size is given; give one or more, in pixels")
        for size in [*sizes, *([] if self.longest is None else [self.longest])]:
            checked_size(size, "ResizeShortest")

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        sizes = [self.size] if isinstance(self.size, int) else self.size
        wanted = sizes[integer(generator, 0, len(sizes) - 1)]
        scale = wanted / min(annotations.size)
        if self.longest is not None:
            scale = min(scale, self.longest / max(annotations.size))
        return Affine.resize(annotations.size, scaled_size(annotations.size, scale))


@dataclass(frozen=True)
class ResizeLongest(Geometric):
    """Resizes so that the longest side is ``size`` pixels."""

    size: int

    def __post_init__(self) -> None:
        checked_size(self.size, "ResizeLongest")

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        return Affine.resize(annotations.size, scaled_size(annotations.size, self.size / max(annotations.size)))


@dataclass(frozen=True)
class Letterbox(Geometric):
    """Resizes to fit into ``size``, (H, W) or one number for both, in the middle of a grey canvas of that size."""

    size: int | Size
    fill: Fill = field(default=114, kw_only=True)

    def __post_init__(self) -> None:
        checked_size(self.size, "Letterbox")

    def placement(self, size: Size) -> Affine:
        """The move of an image of a size; its ``inverse()`` brings boxes back."""
        h, w = checked_size(self.size, "Letterbox")
        scale = min(h / size[0], w / size[1])
        fitted = scaled_size(size, scale)
        fitted = min(fitted[0], h), min(fitted[1], w)
        return Affine.placed(size, fitted, (w - fitted[1]) // 2, (h - fitted[0]) // 2, (h, w))

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        return self.placement(annotations.size)
