"""Crops, and canvases larger than the image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torchvision.ops import box_iou

from pellucid.data.transforms.base import Geometric, Pair, chance, checked_size, integer, uniform
from pellucid.data.transforms.moves import Affine, Fill, Size
from pellucid.data.transforms.resizing import scaled_size
from pellucid.data.transforms.warping import warp
from pellucid.structures import Annotations

MEAN_COLOUR = (123, 117, 104)
"""The mean colour of ImageNet's photos."""


@dataclass(frozen=True)
class RandomCrop(Geometric):
    """Cuts out a rectangle of ``size``, (H, W) or one number for both.

    A smaller image is padded to the right and below.
    """

    size: int | Size

    def __post_init__(self) -> None:
        checked_size(self.size, "RandomCrop")

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        (H, W), (h, w) = annotations.size, checked_size(self.size, "RandomCrop")
        top, left = integer(generator, 0, max(H - h, 0)), integer(generator, 0, max(W - w, 0))
        return Affine.crop((H, W), left, top, (h, w))


@dataclass(frozen=True)
class CentreCrop(Geometric):
    """Cuts out the middle, of ``size``, (H, W) or one number for both; a smaller image is padded all around."""

    size: int | Size

    def __post_init__(self) -> None:
        checked_size(self.size, "CentreCrop")

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        (H, W), (h, w) = annotations.size, checked_size(self.size, "CentreCrop")
        return Affine.crop((H, W), (W - w) // 2, (H - h) // 2, (h, w))


@dataclass(frozen=True)
class RandomResizedCrop(Geometric):
    """Cuts out a random rectangle and resizes it to ``size``, (H, W) or one number for both.

    ``scale``: the bounds of its share of the image's area. ``ratio``: the bounds of its width over its height, drawn
    evenly in the logarithm. Source: Szegedy 2015 (Inception), section 6.
    """

    size: int | Size
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        checked_size(self.size, "RandomResizedCrop")

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        H, W = annotations.size
        h, w = min(H, round(W / self.ratio[0])), min(W, round(H * self.ratio[1]))
        top, left = (H - h) // 2, (W - w) // 2
        for _ in range(10):
            area = H * W * uniform(generator, *self.scale)
            ratio = math.exp(uniform(generator, *map(math.log, self.ratio)))
            height, width = round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))
            if 0 < height <= H and 0 < width <= W:
                h, w = height, width
                top, left = integer(generator, 0, H - h), integer(generator, 0, W - w)
                break
        cut = Affine.crop((H, W), left, top, (h, w))
        return cut.then(Affine.resize((h, w), checked_size(self.size, "RandomResizedCrop")))


@dataclass(frozen=True)
class ScaleJitter(Geometric):
    """Large-scale jitter: fits the image into ``size`` times a factor from ``low`` to ``high``, then crops or pads it.

    ``size``: (H, W) of the result, or one number for both. A larger image is cut at random, a smaller one padded to the
    right and below. Source: Ghiasi 2021 (Copy-Paste), section 3: 0.1 to 2.
    """

    low: float
    high: float
    size: int | Size

    def __post_init__(self) -> None:
        checked_size(self.size, "ScaleJitter")

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine:
        (H, W), (h, w) = annotations.size, checked_size(self.size, "ScaleJitter")
        scaled = scaled_size((H, W), uniform(generator, self.low, self.high) * min(h / H, w / W))
        top, left = integer(generator, 0, max(scaled[0] - h, 0)), integer(generator, 0, max(scaled[1] - w, 0))
        return Affine.placed((H, W), scaled, -left, -top, (h, w))


@dataclass(frozen=True)
class CropKeepingBoxes(Geometric):
    """SSD's sampling: the whole image, or a patch that overlaps an object by at least an IoU drawn from ``ious``.

    A patch has sides of ``smallest`` to 1 times the image's and an aspect ratio between 1/2 and 2. An IoU of 0 stands
    for any patch that holds the centre of an object. Objects whose centre is outside are dropped. After ``attempts``
    patches that do not overlap so, the image stays whole. Source: Liu 2016 (SSD), section 2.2.
    """

    ious: tuple[float, ...] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)
    smallest: float = 0.3
    attempts: int = 50

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine | None:
        instances = annotations.instances
        if instances is None or len(instances) == 0:
            return None
        drawn = integer(generator, 0, len(self.ious))
        if drawn == len(self.ious):
            return None
        H, W = annotations.size
        boxes = instances.boxes.detach()
        for _ in range(self.attempts):
            h, w = (max(1, round(side * uniform(generator, self.smallest, 1))) for side in (H, W))
            top, left = integer(generator, 0, H - h), integer(generator, 0, W - w)
            patch = boxes.new_tensor((left, top, left + w, top + h))
            if not 0.5 <= w / h <= 2 or not bool(_centred(boxes, patch).any()):
                continue
            if bool(box_iou(boxes, patch[None]).max() >= self.ious[drawn]):
                return Affine.crop((H, W), left, top, (h, w))
        return None

    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        move = self.move(annotations, generator)
        if move is None or annotations.instances is None:
            return image, annotations
        left, top = (-move.matrix[:2, 2]).tolist()
        boxes = annotations.instances.boxes.detach()
        patch = boxes.new_tensor((left, top, left + move.target[1], top + move.target[0]))
        keep = _centred(boxes, patch)
        return warp(image, annotations, move, fill=self.fill, min_visible=self.min_visible, keep=keep)


def _centred(boxes: Tensor, patch: Tensor) -> Tensor:
    """Which boxes (N, 4) have their centre in the patch: bool (N,)."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return ((centres >= patch[:2]) & (centres < patch[2:])).all(1)


@dataclass(frozen=True)
class ZoomOut(Geometric):
    """Places the image somewhere on a canvas up to ``most`` times as long and wide, with probability ``p``.

    Source: Liu 2016 (SSD), section 3.6.
    """

    most: float = 4.0
    p: float = 0.5
    fill: Fill = field(default=MEAN_COLOUR, kw_only=True)

    def move(self, annotations: Annotations, generator: torch.Generator) -> Affine | None:
        if not chance(generator, self.p):
            return None
        H, W = annotations.size
        h, w = scaled_size((H, W), uniform(generator, 1, self.most))
        top, left = integer(generator, 0, h - H), integer(generator, 0, w - W)
        return Affine.crop((H, W), -left, -top, (h, w))
