"""Features inside boxes, as a grid of one size for every box: RoIAlign, RoIPool, and which level a box is read from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torchvision
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.ops import pooling_cpu

Size = int | tuple[int, int]


@dataclass(frozen=True)
class LevelRule:
    """Which level of a feature pyramid a box is read from: ⌊level + log2(s / size + inner) + outer⌋, s its √area.

    ``canonical_size``: in pixels, of the box that is read from ``canonical_level``. ``inner`` and ``outer``: the
    small number that lifts a box on the border of two levels; projects differ in where they add it.
    Source: Lin et al., 'Feature Pyramid Networks', CVPR 2017, equation 1.
    """

    inner: float
    outer: float
    canonical_size: float = 224.0
    canonical_level: int = 4

    @classmethod
    def torchvision(cls) -> "LevelRule":
        """1e-6 added to the level."""
        return cls(inner=0.0, outer=1e-6)

    @classmethod
    def detectron2(cls) -> "LevelRule":
        """1e-8 added to the ratio of sizes."""
        return cls(inner=1e-8, outer=0.0)


def levels_of(boxes: Tensor, count: int, rule: LevelRule, lowest: int = 2) -> Tensor:
    """Which of ``count`` feature maps each box (N, 4) is read from: int64 (N,), 0 for that of level ``lowest``.

    A box without area is read from the first. Raises PellucidError for other shapes and for no feature map.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or count < 1:
        raise PellucidError(
            f"levels: boxes {tuple(boxes.shape)} for {count} feature maps; give (N, 4) boxes and one map or more"
        )
    sides = (boxes[:, 2:] - boxes[:, :2]).detach()
    sides = sides.to(torch.promote_types(sides.dtype, torch.float32)).clamp(min=0)
    size = (sides[:, 0] * sides[:, 1]).sqrt() / rule.canonical_size
    level = torch.floor(rule.canonical_level + torch.log2(size + rule.inner) + rule.outer)
    return level.clamp(lowest, lowest + count - 1).to(torch.int64) - lowest


def roi_align(
    features: Tensor, boxes: Tensor, images: Tensor, scale: float, size: Size, sampling_ratio: int, aligned: bool
) -> Tensor:
    """The mean of bilinear samples in each bin of each box: (R, C, h, w); differentiable for the features, once.

    ``features`` (N, C, H, W); ``boxes`` (R, 4) xyxy in pixels of the image, of the images ``images`` int64 (R,), 0 to
    N − 1; ``scale``: cells a pixel. ``size``: bins, or (h, w). ``sampling_ratio``: samples a bin along each side; 0
    takes as many as the bin has cells. ``aligned``: a cell's value lies at its centre; otherwise at its corner, and a
    box is at least one cell wide. Raises PellucidError for other shapes, boxes that are not finite, images not there.
    Source: He et al., 'Mask R-CNN', ICCV 2017, section 3.
    """
    found = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
    return _aligned([features], boxes, images, [scale], _pair(size), sampling_ratio, aligned, found)


def roi_pool(features: Tensor, boxes: Tensor, images: Tensor, scale: float, size: Size) -> Tensor:
    """The highest value in each bin of each box, rounded to whole cells: (R, C, h, w); differentiable once.

    Arguments and errors as ``roi_align`` has them. A bin without cells has 0.
    Source: Girshick, 'Fast R-CNN', ICCV 2015, section 2.1.
    """
    _check([features], boxes, images, [scale])
    boxes, wide = boxes.detach(), _wide(features)
    if features.device.type == "cpu":
        return pooling_cpu.pool(wide, boxes.to(wide.dtype), images, scale, _pair(size)).to(features.dtype)
    return torchvision.ops.roi_pool(wide, _with_images(boxes, images, wide), _pair(size), scale).to(features.dtype)


def pool_levels(
    features: Sequence[Tensor],
    boxes: Tensor,
    images: Tensor,
    scales: Sequence[float],
    size: Size,
    *,
    method: Literal["align", "pool"] = "align",
    sampling_ratio: int = 2,
    aligned: bool = False,
    level_rule: LevelRule | None = None,
    lowest: int = 2,
) -> Tensor:
    """Each box from the level that suits its size: (R, C, h, w), row by row as the boxes are.

    ``features``: (N, C, H, W) a level, finest first, ``lowest`` the number of the first; ``scales``: cells a pixel of
    each. ``level_rule``: torchvision's, unless given. Without boxes the result still hangs on every feature map's
    graph. Raises PellucidError as ``roi_align`` does, and for another method.
    """
    _check(features, boxes, images, scales)
    found = levels_of(boxes, len(features), level_rule or LevelRule.torchvision(), lowest)
    if method == "align":
        return _aligned(features, boxes, images, scales, _pair(size), sampling_ratio, aligned, found)
    if method != "pool":
        raise PellucidError(f"pooling method {method!r}; take 'align' or 'pool'")
    rows = [(found == level).nonzero().flatten() for level in range(len(features))]
    parts = [
        roi_pool(map_, boxes[mine], images[mine], scale, size)
        for map_, mine, scale in zip(features, rows, scales, strict=True)
    ]
    return _in_order(parts, rows)


def _aligned(
    features: Sequence[Tensor],
    boxes: Tensor,
    images: Tensor,
    scales: Sequence[float],
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
    found: Tensor,
) -> Tensor:
    _check(features, boxes, images, scales)
    kind = features[0].dtype
    wide = [_wide(map_) for map_ in features]
    boxes = boxes.detach()
    if boxes.device.type == "cpu":
        return pooling_cpu.align(
            wide, boxes.to(wide[0].dtype), images, scales, size, sampling_ratio, aligned, found
        ).to(kind)
    parts, rows = [], []
    for level, (map_, scale) in enumerate(zip(wide, scales, strict=True)):
        mine = (
            (found == level).nonzero().flatten() if len(features) > 1 else torch.arange(len(boxes), device=boxes.device)
        )
        regions = _with_images(boxes[mine], images[mine], map_)
        parts.append(torchvision.ops.roi_align(map_, regions, size, scale, sampling_ratio, aligned))
        rows.append(mine)
    return _in_order(parts, rows).to(kind)


def _check(features: Sequence[Tensor], boxes: Tensor, images: Tensor, scales: Sequence[float]) -> None:
    if not features or len(features) != len(scales):
        raise PellucidError(f"pooling: {len(features)} feature maps and {len(scales)} scales; give one of each a level")
    N, C = features[0].shape[:2]
    if any(map_.ndim != 4 or map_.shape[:2] != (N, C) or map_.dtype != features[0].dtype for map_ in features):
        raise PellucidError(
            f"pooling: feature maps {[tuple(map_.shape) for map_ in features]}; "
            "give (N, C, H, W) ones that share N, C and their kind of number"
        )
    if boxes.ndim != 2 or boxes.shape[1] != 4 or images.shape != boxes.shape[:1]:
        raise PellucidError(
            f"pooling: boxes {tuple(boxes.shape)} and images {tuple(images.shape)}; give (R, 4) boxes and (R,) images"
        )
    # On a GPU the question would make it wait.
    if boxes.device.type == "cpu" and len(boxes):
        if not bool(boxes.isfinite().all()):
            row = int((~boxes.isfinite()).any(1).nonzero()[0])
            raise PellucidError(f"pooling: box {row} is {boxes[row].tolist()}; leave out what is not finite")
        if int(images.min()) < 0 or int(images.max()) >= N:
            raise PellucidError(f"pooling: boxes of images {int(images.min())} to {int(images.max())}, of {N} images")


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _wide(features: Tensor) -> Tensor:
    """At least float32: half precision would place the samples wrongly."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


def _with_images(boxes: Tensor, images: Tensor, features: Tensor) -> Tensor:
    """As torchvision's operators take boxes: (R, 5), the image first."""
    return torch.cat((images[:, None].to(features.dtype), boxes.to(features.dtype)), 1)


def _in_order(parts: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
    """Parts one after another, put back where their rows were."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(list(parts))[torch.cat(list(rows)).argsort()]
