"""The frame of a detector: photos resized to about one size, and laid together into a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.structures import Placement

_DIVISOR = 32
"""Sides of a batch are multiples of the coarsest stride."""


@dataclass(frozen=True)
class Frame:
    """How photos are resized: the shorter side to ``min_side``, unless the longer becomes more than ``max_side``.

    ``mean``: the colour of what is padded, right and below. ``antialias``, ``rounded``: see ``Convention``.
    Source: Girshick, 'Fast R-CNN', ICCV 2015, section 5.
    """

    min_side: int
    max_side: int
    mean: tuple[float, ...]
    antialias: bool
    rounded: bool

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) at which a photo is seen."""
        scale = min(self.min_side / min(height, width), self.max_side / max(height, width))
        sides = (int(side * scale + (0.5 if self.rounded else 0.0)) for side in (height, width))
        h, w = (max(1, side) for side in sides)
        return h, w

    def batch(self, photos: Sequence[Tensor]) -> tuple[Tensor, list[Placement]]:
        """Photos (3, H, W) in [0, 1] as one batch (N, 3, h, w), each in the upper left corner, and where each lies."""
        seen = [self._resize(photo) for photo in photos]
        height, width = (
            -(-max(side) // _DIVISOR) * _DIVISOR for side in zip(*(s.shape[-2:] for s in seen), strict=True)
        )
        colour = seen[0].new_tensor(self.mean)[:, None, None]
        batch, placements = [], []
        for photo, small in zip(photos, seen, strict=True):
            h, w = small.shape[-2:]
            # padded as a difference from the mean, so that it is exactly zero once normalised
            inside = F.pad(small.new_ones(1, h, w), (0, width - w, 0, height - h))
            padded = F.pad(small, (0, width - w, 0, height - h))
            batch.append(padded if inside.all() else torch.where(inside > 0, padded, colour))
            H, W = photo.shape[-2:]
            placements.append(Placement((H, W), (height, width), (0.0, 0.0, width * W / w, height * H / h)))
        return torch.stack(batch), placements

    def _resize(self, photo: Tensor) -> Tensor:
        size = self.resized(photo.shape[-2], photo.shape[-1])
        if photo.shape[-2:] == size:
            return photo
        out = F.interpolate(photo[None], size, mode="bilinear", align_corners=False, antialias=self.antialias)
        return out[0].clamp(0, 1)


def seen_size(placement: Placement) -> tuple[int, int]:
    """(h, w) of the part of a frame that the photo fills."""
    (H, W), (h, w), (x1, y1, x2, y2) = placement.photo, placement.frame, placement.box
    return round(h * H / (y2 - y1)), round(w * W / (x2 - x1))


def scale_to_photo(placement: Placement, like: Tensor) -> Tensor:
    """What boxes of the frame, xyxy, are multiplied by to be the photo's: (4,)."""
    (h, w), (x1, y1, x2, y2) = placement.frame, placement.box
    across, down = (x2 - x1) / w, (y2 - y1) / h
    return like.new_tensor((across, down, across, down))
