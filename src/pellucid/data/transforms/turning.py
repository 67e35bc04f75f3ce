"""Flips, rotation and elastic deformation."""

from dataclasses import dataclass

import torch
from torch.nn.functional import interpolate

from pellucid.data.transforms.base import Geometric, chance, uniform
from pellucid.data.transforms.moves import Affine, Displacement
from pellucid.errors import PellucidError
from pellucid.structures import Annotations

_STEEPEST = 0.75
"""The slope of a displacement from which on it is scaled down: at 1 the picture would fold over itself."""


@dataclass(frozen=True)
class HorizontalFlip(Geometric):
    """Mirrors left and right with probability ``p``; left and right keypoints change places."""

    p: float = 0.5

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine | None:
        return Affine.flip(annotations.size, horizontally=True) if chance(generator, self.p) else None


@dataclass(frozen=True)
class VerticalFlip(Geometric):
    """Mirrors top and bottom with probability ``p``.

    Left and right keypoints change places here too: what stands upside down in a mirror is still mirrored.
    """

    p: float = 0.5

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine | None:
        return Affine.flip(annotations.size, horizontally=False) if chance(generator, self.p) else None


@dataclass(frozen=True)
class Rotate(Geometric):
    """Rotates about the centre, on the same canvas, by an angle between −``degrees`` and ``degrees``, or two bounds.

    Positive angles go counter-clockwise. A box becomes the hull of the rotated one, or its mask's where it has one.
    """

    degrees: float | tuple[float, float]

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        low, high = self.degrees if isinstance(self.degrees, tuple) else (-self.degrees, self.degrees)
        return Affine.rotation(annotations.size, uniform(generator, low, high))


@dataclass(frozen=True)
class Elastic(Geometric):
    """Deforms elastically, with probability ``p``: random displacements of a coarse grid, interpolated bicubically.

    ``std``: of the displacements, in pixels. ``grid``: how many of them along each side. They are scaled down where the
    picture would fold otherwise, as on small images. Source: Ronneberger 2015 (U-Net), section 3.1.
    """

    std: float = 10.0
    grid: int = 3
    p: float = 1.0

    def __post_init__(self) -> None:
        if self.grid < 2:
            raise PellucidError(f"Elastic: a grid of {self.grid} has no inside; give 2 or more")

    def move(self, annotations: Annotations, generator: torch.Generator) -> Displacement | None:
        if not chance(generator, self.p):
            return None
        coarse = torch.randn((1, 2, self.grid, self.grid), generator=generator, dtype=torch.float64) * self.std
        field = interpolate(coarse, annotations.size, mode="bicubic", align_corners=True)[0]
        along_y, along_x = (field.diff(dim=dim).square().sum(0) for dim in (1, 2))
        # The Frobenius norm bounds the slope in any direction; the largest of each axis bounds their sum.
        steepest = sum(float(s.max()) for s in (along_y, along_x) if s.numel()) ** 0.5
        field = field * min(1.0, _STEEPEST / max(steepest, 1e-12))
        return Displacement(annotations.size, annotations.size, field.permute(1, 2, 0).contiguous())
