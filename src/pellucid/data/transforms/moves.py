"""Moves: where every point of an image goes, and how its pixels and maps are resampled there."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.transforms.v2 import functional as F

Size: TypeAlias = tuple[int, int]
"""(H, W) in pixels."""

Fill: TypeAlias = int | tuple[int, int, int]
"""The colour of pixels that the image does not reach, 0 to 255: grey, or red, green and blue."""

Window: TypeAlias = tuple[slice, slice]
"""Some rows and some columns."""

ALL: Window = (slice(None), slice(None))

_EXACT = 1e-6


@dataclass(frozen=True, eq=False)
class Move(ABC):
    """Where every point of an image of size ``source`` goes on one of size ``target``, in continuous pixels.

    ``mirrors``: whether left and right change places. ``straight``: whether boxes stay boxes. ``area_scale``: by how
    much areas grow.
    """

    source: Size
    target: Size

    mirrors = False
    straight = False
    area_scale = 1.0

    @abstractmethod
    def points(self, points: Tensor) -> Tensor:
        """Where points (..., 2), x and y, float64, go."""

    @abstractmethod
    def origins(self) -> Tensor:
        """The point of the source that each pixel centre of the target comes from: float64 (h, w, 2)."""

    def image(self, image: Tensor, fill: Fill) -> Tensor:
        """uint8 (3, H, W) resampled bilinearly: uint8 (3, h, w)."""
        return _sampled(image, self.origins(), fill)

    def maps(self, values: Tensor, fill: int, window: Window = ALL) -> Tensor:
        """A map (H, W) of any type resampled to the nearest pixel: (h, w), ``fill`` where the source does not reach.

        ``window``: the rows and columns of the target that are wanted.
        """
        nearest = self._nearest[window]
        return values.flatten()[nearest.clamp(min=0)].masked_fill(nearest < 0, fill)

    @cached_property
    def _nearest(self) -> Tensor:
        """Index into the flattened source for every pixel of the target, −1 beyond it."""
        origins = self.origins()
        x, y = origins.floor().long().unbind(-1)
        return torch.where(_inside(origins, self.source), y * self.source[1] + x, -1)


@dataclass(frozen=True, eq=False)
class Affine(Move):
    """A move by a matrix, float64 (3, 3), that takes (x, y, 1) of the source to the target."""

    matrix: NDArray[np.float64]

    @classmethod
    def straightly(
        cls, source: Size, target: Size, scale: tuple[float, float], offset: tuple[float, float]
    ) -> "Affine":
        """Scaled by (x, y), then shifted by (x, y) pixels of the target."""
        return cls(source, target, np.array(((scale[0], 0, offset[0]), (0, scale[1], offset[1]), (0, 0, 1.0))))

    @classmethod
    def resize(cls, source: Size, target: Size) -> "Affine":
        """The whole source onto the whole target."""
        return cls.straightly(source, target, (target[1] / source[1], target[0] / source[0]), (0, 0))

    @classmethod
    def placed(cls, source: Size, scaled: Size, left: int, top: int, target: Size) -> "Affine":
        """Resized to ``scaled``, its corner put at (left, top) of the target; where these are negative it is cut."""
        return cls.straightly(source, target, (scaled[1] / source[1], scaled[0] / source[0]), (left, top))

    @classmethod
    def crop(cls, source: Size, left: int, top: int, target: Size) -> "Affine":
        """The rectangle of size ``target`` whose corner is at (left, top); beyond the source it is padding."""
        return cls.straightly(source, target, (1, 1), (-left, -top))

    @classmethod
    def flip(cls, source: Size, horizontally: bool) -> "Affine":
        """Mirrored."""
        H, W = source
        scale, offset = ((-1, 1), (W, 0)) if horizontally else ((1, -1), (0, H))
        return cls.straightly(source, source, scale, offset)

    @classmethod
    def rotation(cls, source: Size, degrees: float) -> "Affine":
        """Rotated counter-clockwise about the centre, onto the same canvas."""
        H, W = source
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array(((c, s, 0), (-s, c, 0), (0, 0, 1.0)))  # y points down
        back, there = np.eye(3), np.eye(3)
        back[:2, 2], there[:2, 2] = (W / 2, H / 2), (-W / 2, -H / 2)
        matrix: NDArray[np.float64] = np.matmul(np.matmul(back, turn), there)
        return cls(source, source, matrix)

    def then(self, other: "Affine") -> "Affine":
        """Both, one after the other, as one move."""
        matrix: NDArray[np.float64] = np.matmul(other.matrix, self.matrix)
        return Affine(self.source, other.target, matrix)

    def inverse(self) -> "Affine":
        """The way back."""
        return Affine(self.target, self.source, np.linalg.inv(self.matrix).astype(np.float64))

    @property
    def mirrors(self) -> bool:  # type: ignore[override]
        return bool(np.linalg.det(self.matrix) < 0)

    @property
    def straight(self) -> bool:  # type: ignore[override]
        return bool(self.matrix[0, 1] == 0 and self.matrix[1, 0] == 0)

    @property
    def area_scale(self) -> float:  # type: ignore[override]
        return float(abs(np.linalg.det(self.matrix)))

    def points(self, points: Tensor) -> Tensor:
        matrix = torch.from_numpy(self.matrix)
        return points @ matrix[:2, :2].T + matrix[:2, 2]

    def origins(self) -> Tensor:
        return self.inverse().points(_centres(self.target))

    def image(self, image: Tensor, fill: Fill) -> Tensor:
        if self.straight:
            exact = self._by_whole_pixels(image, fill)
            if exact is not None:
                return exact
        # A smaller copy is made with antialiasing; what is left to sample does not shrink any more.
        H, W = self.source
        shrink = np.minimum(1, np.linalg.norm(self.matrix[:2, :2], axis=0))
        size = max(1, round(H * float(shrink[1]))), max(1, round(W * float(shrink[0])))
        if size == self.source:
            return _sampled(image, self.origins(), fill)
        smaller = Affine.resize(self.source, size)
        rest = smaller.inverse().then(self)
        return _sampled(_resized(image, size), rest.origins(), fill)

    def _by_whole_pixels(self, image: Tensor, fill: Fill) -> Tensor | None:
        """By flipping, resizing and cropping, where the resized image or the cut from it ends at whole pixels."""
        (H, W), (h, w) = self.source, self.target
        (a, _, c), (_, e, f) = self.matrix[:2].tolist()
        flips = [flip for flip, scale in ((F.horizontal_flip, a), (F.vertical_flip, e)) if scale < 0]
        cut = _whole(_edges((-c / a, (w - c) / a), (-f / e, (h - f) / e)))
        laid = _whole(_edges((c, c + a * W), (f, f + e * H)))
        # A cut within the image comes first: a small one may be enlarged to where the whole would not fit in memory.
        if cut is not None and (laid is None or (min(cut[:2]) >= 0 and cut[2] <= W and cut[3] <= H)):
            part = _placed(image, -cut[0], -cut[1], (cut[3] - cut[1], cut[2] - cut[0]), fill)
            return _flipped(_resized(part, (h, w)), flips)
        if laid is not None:
            image = _flipped(_resized(image, (laid[3] - laid[1], laid[2] - laid[0])), flips)
            return _placed(image, laid[0], laid[1], (h, w), fill)
        return None

    def maps(self, values: Tensor, fill: int, window: Window = ALL) -> Tensor:
        if not self.straight:
            return super().maps(values, fill, window)
        (columns, beyond_x), (rows, beyond_y) = self._axes
        taken = values[rows[window[0]]][:, columns[window[1]]]
        return taken.masked_fill(beyond_y[window[0], None] | beyond_x[window[1]], fill)

    @cached_property
    def _axes(self) -> list[tuple[Tensor, Tensor]]:
        """For x and y the source index of every pixel of the target, and whether it lies beyond the source."""
        made = []
        for axis, length in ((0, self.target[1]), (1, self.target[0])):
            limit = self.source[1 - axis]
            scale, offset = self.matrix[axis, axis], self.matrix[axis, 2]
            index = ((torch.arange(length, dtype=torch.float64) + 0.5 - offset) / scale).floor().long()
            made.append((index.clamp(0, limit - 1), (index < 0) | (index >= limit)))
        return made


@dataclass(frozen=True, eq=False)
class Displacement(Move):
    """A move by a field, float64 (H, W, 2): pixel p of the target comes from p + field(p) of the source.

    The field must not fold: its slope stays below one, so that each point has one place to go to.
    """

    field: Tensor

    def origins(self) -> Tensor:
        return _centres(self.target) + self.field

    def points(self, points: Tensor) -> Tensor:
        found = points
        # A fixed point, p = q + field(p): it converges since the slope is below one.
        for _ in range(200):
            last, found = found, points - self._at(found)
            if found.numel() == 0 or (found - last).abs().max() < 1e-4:
                break
        return found

    def _at(self, points: Tensor) -> Tensor:
        H, W = self.target
        grid = 2 * points.reshape(1, 1, -1, 2) / points.new_tensor((W, H)) - 1
        values = grid_sample(self.field.permute(2, 0, 1)[None], grid, padding_mode="border", align_corners=False)
        return values[0, :, 0].T.reshape(points.shape)


def _centres(size: Size) -> Tensor:
    """The centre of every pixel: float64 (H, W, 2)."""
    y, x = (torch.arange(side, dtype=torch.float64) + 0.5 for side in size)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def _inside(points: Tensor, size: Size) -> Tensor:
    x, y = points.unbind(-1)
    return (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0])


def colour(fill: Fill) -> Tensor:
    """uint8 (3, 1, 1)."""
    return torch.tensor((fill,) * 3 if isinstance(fill, int) else fill, dtype=torch.uint8)[:, None, None]


def _sampled(image: Tensor, origins: Tensor, fill: Fill) -> Tensor:
    H, W = image.shape[1:]
    grid = (2 * origins / origins.new_tensor((W, H)) - 1).float()
    # Interpolation repeats the border pixels, so that the edge of the image is as sharp as that of its masks.
    drawn = grid_sample(image[None].float(), grid[None], padding_mode="border", align_corners=False)[0]
    return torch.where(_inside(origins, (H, W)), drawn.round().to(torch.uint8), colour(fill))


def _edges(x: tuple[float, float], y: tuple[float, float]) -> tuple[float, float, float, float]:
    return min(x), min(y), max(x), max(y)


def _whole(edges: tuple[float, float, float, float]) -> tuple[int, ...] | None:
    """The rectangle in whole pixels, if it is one and has any."""
    rounded = tuple(round(edge) for edge in edges)
    if any(abs(r - e) > _EXACT * max(1, abs(e)) for r, e in zip(rounded, edges, strict=True)):
        return None
    return rounded if rounded[2] > rounded[0] and rounded[3] > rounded[1] else None


def _resized(image: Tensor, size: Size) -> Tensor:
    return image if image.shape[1:] == size else F.resize(image, list(size), antialias=True)


def _flipped(image: Tensor, flips: list[Callable[[Tensor], Tensor]]) -> Tensor:
    for flip in flips:
        image = flip(image)
    return image


def _placed(image: Tensor, left: int, top: int, size: Size, fill: Fill) -> Tensor:
    """The image with its corner at (left, top) of a canvas."""
    (H, W), (h, w) = image.shape[1:], size
    y1, y2, x1, x2 = max(top, 0), min(top + H, h), max(left, 0), min(left + W, w)
    canvas = colour(fill).repeat(1, h, w)
    if y2 > y1 and x2 > x1:
        canvas[:, y1:y2, x1:x2] = image[:, y1 - top : y2 - top, x1 - left : x2 - left]
    return canvas
