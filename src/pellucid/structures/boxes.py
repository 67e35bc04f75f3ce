"""Box formats: what the four numbers of a box mean, and how to go from one meaning to another."""

from typing import Literal, get_args

import torch
from torch import Tensor

from pellucid.errors import PellucidError, nearest

BoxFormat = Literal[
    "xyxy",
    "xywh",
    "cxcywh",
    "yxyx",
    "xxyy",
    "normalised xyxy",
    "normalised xywh",
    "normalised cxcywh",
    "normalised yxyx",
    "normalised xxyy",
]
"""Corners (``xyxy``, Pellucid's own), corner and size (``xywh``, COCO), centre and size (``cxcywh``, normalised in
YOLO), corners with y first (``yxyx``, TensorFlow), both x before both y (``xxyy``, normalised in Open Images).

Normalised boxes are in shares of the image's width and height."""

_FORMATS: tuple[str, ...] = get_args(BoxFormat)


def convert_boxes(boxes: Tensor, source: BoxFormat, to: BoxFormat, size: tuple[int, int] | None = None) -> Tensor:
    """The same boxes in another format; differentiable.

    ``boxes``: (..., 4) floating point. ``size``: (H, W) of the image in pixels, needed where one of the formats is
    normalised and the other is not. Coordinates are continuous: width = x2 − x1, and pixel i reaches from i to i + 1.
    Raises PellucidError for an unknown format and a missing size.
    """
    for name in (source, to):
        if name not in _FORMATS:
            raise PellucidError(
                f"box format '{name}' is unknown{nearest(name, _FORMATS)}; formats: {', '.join(_FORMATS)}"
            )
    if boxes.shape[-1:] != (4,):
        raise PellucidError(f"boxes of shape {tuple(boxes.shape)}: give four numbers a box, (..., 4)")
    relative, wanted_relative = source.startswith("normalised"), to.startswith("normalised")
    corners = _to_corners(boxes, source.removeprefix("normalised "))
    if relative != wanted_relative:
        if size is None:
            raise PellucidError(f"boxes from {source} to {to}: give the image's size, (H, W) in pixels")
        H, W = size
        scale = corners.new_tensor((W, H, W, H))
        corners = corners * scale if relative else corners / scale
    return _from_corners(corners, to.removeprefix("normalised "))


def _to_corners(boxes: Tensor, layout: str) -> Tensor:
    a, b, c, d = boxes.unbind(-1)
    if layout == "xywh":
        return torch.stack((a, b, a + c, b + d), -1)
    if layout == "cxcywh":
        return torch.stack((a - c / 2, b - d / 2, a + c / 2, b + d / 2), -1)
    if layout == "yxyx":
        return torch.stack((b, a, d, c), -1)
    if layout == "xxyy":
        return torch.stack((a, c, b, d), -1)
    return boxes


def _from_corners(corners: Tensor, layout: str) -> Tensor:
    x1, y1, x2, y2 = corners.unbind(-1)
    if layout == "xywh":
        return torch.stack((x1, y1, x2 - x1, y2 - y1), -1)
    if layout == "cxcywh":
        return torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), -1)
    if layout == "yxyx":
        return torch.stack((y1, x1, y2, x2), -1)
    if layout == "xxyy":
        return torch.stack((x1, x2, y1, y2), -1)
    return corners


def box_areas(boxes: Tensor) -> Tensor:
    """Areas of xyxy boxes (..., 4) in square pixels: (...); negative sides count as zero."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def clip_boxes(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """xyxy boxes (..., 4) cut at the borders of an image of ``size`` (H, W)."""
    H, W = size
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((x1.clamp(0, W), y1.clamp(0, H), x2.clamp(0, W), y2.clamp(0, H)), -1)
