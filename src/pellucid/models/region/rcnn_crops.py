"""Warped crops: what R-CNN's network sees of a proposal."""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import roi_align

from pellucid.errors import PellucidError

CONTEXT = 16 / 227
"""The border of a crop that shows what lies around the box, as a share of the crop's side: 16 of 227 pixels."""


def regions_of(boxes: Tensor, context: float = CONTEXT) -> Tensor:
    """What of the photo crops of boxes (N, 4) show: xyxy (N, 4), at least a pixel wide and tall.

    The box fills the crop but for a border of ``context`` times the crop's side, so that it grows by
    1 / (1 − 2 · context) about its centre, in width and height each, and may reach beyond the photo.
    Source: Girshick et al., 'Rich feature hierarchies', CVPR 2014, section 2.1 and appendix A ('warp').
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = (boxes[:, 2:] - boxes[:, :2]) / (1 - 2 * context)
    halves = sides.clamp(min=1) / 2
    return torch.cat((centres - halves, centres + halves), 1)


class Crops:
    """Cuts warped squares out of a photo; differentiable with respect to the photo.

    ``image``: (3, H, W) in which 0 is the mean colour, that of everything beyond the photo; at its border they blend
    within a pixel. ``size``: a crop's side in pixels. ``context``: as ``regions_of`` takes it.
    Each pixel of a crop is the mean of as many bilinear samples as it covers pixels. Where a region's shorter side has
    two pixels or more for each of the crop, the photo is halved first, by means over 2 × 2, as often as that holds.
    """

    def __init__(self, image: Tensor, size: int, context: float = CONTEXT) -> None:
        if not 0 <= context < 0.5:
            raise PellucidError(f"crops: a context of {context} of the crop's side; give 0 or more, below 0.5")
        if size < 1:
            raise PellucidError(f"crops: a side of {size} pixels; give 1 or more")
        self.size = size
        self.context = context
        self._levels = [image[None]]

    def __call__(self, boxes: Tensor) -> Tensor:
        """Crops (N, 3, size, size) of boxes (N, 4), in the photo's continuous pixels."""
        image = self._levels[0]
        regions = regions_of(boxes.detach().to(image), self.context)
        made = image.new_empty(len(regions), 3, self.size, self.size)
        shorter = (regions[:, 2:] - regions[:, :2]).amin(1)
        levels = (shorter / self.size).clamp(min=1).log2().floor().long()
        for level in levels.unique().tolist():
            rows = (levels == level).nonzero().flatten()
            crops = self._cut(regions[rows], level)
            made = crops if len(rows) == len(regions) else made.index_copy(0, rows, crops)
        return made

    def _cut(self, regions: Tensor, level: int) -> Tensor:
        while len(self._levels) <= level:
            self._levels.append(F.avg_pool2d(self._levels[-1], 2, ceil_mode=True))
        image = self._levels[level]
        # RoIAlign would repeat the outermost pixels: it gets a border of the mean colour
        padded = F.pad(image.float(), (1, 1, 1, 1))
        rois = torch.cat((regions.new_zeros(len(regions), 1), regions / 2**level + 1), 1)
        crops: Tensor = roi_align(padded, rois.float(), self.size, sampling_ratio=-1, aligned=True)
        return crops.to(image.dtype)


def batches(count: int, largest: int) -> list[slice]:
    """Cuts 0 … count into slices of about one length, none longer than ``largest``."""
    parts = max(1, math.ceil(count / largest))
    cuts = [count * i // parts for i in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(cuts)]
