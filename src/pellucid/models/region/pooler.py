"""The features of regions: which map each is read from, a grid of one size for all, and the way back of a gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.models.region.conventions import Convention
from pellucid.models.region.settings import RegionSettings
from pellucid.ops.pooling import levels_of, pool_levels, roi_align, roi_pool

_MARGIN = 3
"""Cells around a box that its samples may touch: they read the next cell, and unaligned ones lie half a cell off."""


@dataclass(frozen=True)
class Spread:
    """A gradient of a region's features as one of the map of a level: (C, a, b) from ``top`` and ``left`` on."""

    level: int
    gradient: Tensor
    top: int
    left: int


class Pooler(nn.Module):
    """RoIAlign or RoIPool from the level that suits each box; without weights, so that every region has its own row.

    ``strides``: of the maps, finest first.
    """

    def __init__(self, strides: Sequence[int], settings: RegionSettings, convention: Convention) -> None:
        super().__init__()
        self.strides = list(strides)
        if self.strides[0] == self.strides[-1]:  # two maps of one stride: which one a region is of would mean nothing
            self.strides = self.strides[:1]
        self.method = settings.pooling
        self.convention = convention

    def forward(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], size: int) -> Tensor:
        """The features (R, C, size, size) of the boxes (xyxy in the frame) of each image, one image after another."""
        rows = torch.cat([torch.full((len(b),), i, dtype=torch.int64, device=b.device) for i, b in enumerate(boxes)])
        return pool_levels(
            maps[: len(self.strides)],
            torch.cat([b.detach() for b in boxes]),
            rows,
            [1 / stride for stride in self.strides],
            size,
            method=self.method,
            sampling_ratio=self.convention.sampling,
            aligned=self.convention.aligned,
            level_rule=self.convention.level_rule,
            lowest=self.lowest,
        )

    @property
    def lowest(self) -> int:
        """The number of the finest level, by the paper's count: 2 for stride 4."""
        return self.strides[0].bit_length() - 1

    def levels(self, boxes: Tensor) -> Tensor:
        """From which map each box (R, 4) is read: int64 (R,), 0 for the finest."""
        return levels_of(boxes, len(self.strides), self.convention.level_rule, self.lowest)

    def spread(self, maps: Sequence[Tensor], boxes: Tensor, gradients: Tensor) -> list[Spread]:
        """What gradients (R, C, s, s) of the features of one image's boxes (R, 4) are on its maps (C, h, w).

        Exactly what backpropagation gives, but for each box by itself, and only where the box is.
        """
        return [
            self._spread(maps[level], level, box, own)
            for level, box, own in zip(self.levels(boxes).tolist(), boxes.detach(), gradients, strict=True)
        ]

    def _spread(self, map_: Tensor, level: int, box: Tensor, gradient: Tensor) -> Spread:
        h, w = map_.shape[-2:]
        scale = 1 / self.strides[level]
        x1, y1, x2, y2 = (float(v) * scale for v in box)
        # never across the map's border, where samples are cut off; a box without extent is read as one cell
        left, right = (min(max(0, int(x1) - _MARGIN), w - 1), max(1, min(w, int(max(x2, x1 + 1)) + 1 + _MARGIN)))
        top, bottom = (min(max(0, int(y1) - _MARGIN), h - 1), max(1, min(h, int(max(y2, y1 + 1)) + 1 + _MARGIN)))
        # its values matter to the highest of a bin alone
        window = map_[None, :, top:bottom, left:right].detach().clone().requires_grad_()
        stride = self.strides[level]
        moved = (box - box.new_tensor((left, top, left, top)) * stride)[None]
        first, size = moved.new_zeros(1, dtype=torch.int64), tuple(gradient.shape[-2:])
        with torch.enable_grad():
            if self.method == "align":
                c = self.convention
                pooled = roi_align(window, moved, first, scale, size, c.sampling, c.aligned)  # type: ignore[arg-type]
            else:
                pooled = roi_pool(window, moved, first, scale, size)  # type: ignore[arg-type]
            (found,) = torch.autograd.grad(pooled, window, gradient[None].to(pooled))
        return Spread(level, found[0], top, left)
