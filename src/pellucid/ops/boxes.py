"""Overlaps of boxes, every one of the first with every one of the second."""

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.structures.boxes import box_areas


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of xyxy boxes (N, 4) and (M, 4): (N, M), 0 to 1; differentiable.

    A box without area overlaps nothing: its row is 0, with gradient 0, even where it meets itself (torchvision has
    NaN). Half precision is computed in float32. Raises PellucidError for other shapes.
    """
    intersection, union = _intersection_and_union(*_checked(first, second))
    return intersection / torch.where(union > 0, union, 1)


def pairwise_giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU of xyxy boxes (N, 4) and (M, 4): (N, M), −1 to 1; differentiable.

    IoU − |hull \\ union| / |hull|, where the hull is the smallest box around both. Two boxes without area have −1,
    wherever they lie (torchvision has NaN). Raises PellucidError for other shapes.
    Source: Rezatofighi et al., 'Generalized Intersection over Union', CVPR 2019, algorithm 1.
    """
    first, second = _checked(first, second)
    intersection, union = _intersection_and_union(first, second)
    a, b = first[:, None], second[None]
    sides = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    sides = sides.clamp(min=0)
    hull = sides[..., 0] * sides[..., 1]
    iou = intersection / torch.where(union > 0, union, 1)
    return iou - 1 + union / torch.where(hull > 0, hull, 1)


def _checked(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    for boxes in (first, second):
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise PellucidError(f"boxes of shape {tuple(boxes.shape)} have no overlaps; give xyxy boxes, (N, 4)")
    kind = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    return first.to(kind), second.to(kind)


def _intersection_and_union(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    a, b = first[:, None], second[None]
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    return intersection, box_areas(first)[:, None] + box_areas(second) - intersection
