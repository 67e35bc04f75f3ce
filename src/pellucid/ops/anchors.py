"""Anchors: boxes laid out in a grid over a feature map, and box sizes learned from data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import PellucidError


@dataclass(frozen=True)
class AnchorConvention:
    """Where projects differ about anchors.

    ``rounded``: corners of a cell's anchors are rounded to whole pixels, half to even. ``offset``: where the first
    cell's centre lies, in strides. ``sizes_first``: a cell's anchors run through all ratios of the first size, then
    of the second; otherwise through all sizes of the first ratio. The order decides which channel predicts which
    anchor.
    """

    rounded: bool
    offset: float
    sizes_first: bool

    @classmethod
    def torchvision(cls) -> "AnchorConvention":
        """Rounded, from 0, ratio by ratio."""
        return cls(rounded=True, offset=0.0, sizes_first=False)

    @classmethod
    def detectron2(cls) -> "AnchorConvention":
        """Not rounded, from 0, size by size."""
        return cls(rounded=False, offset=0.0, sizes_first=True)


def cell_anchors(sizes: Sequence[float], aspect_ratios: Sequence[float], convention: AnchorConvention) -> Tensor:
    """The anchors of one cell around the origin: float32 (sizes · ratios, 4), xyxy in pixels.

    ``sizes``: square roots of areas, in pixels; ``aspect_ratios``: height / width. Raises PellucidError where one of
    them is not a positive number, or none is given.
    """
    for name, values in (("sizes", sizes), ("aspect ratios", aspect_ratios)):
        if not values or not all(math.isfinite(v) and v > 0 for v in values):
            raise PellucidError(f"anchors: {name} {tuple(values)}; give one positive number or more")
    # In float32 and this order of operations: the last bit decides which way a half is rounded.
    side = torch.tensor(sizes, dtype=torch.float32)
    tall = torch.tensor(aspect_ratios, dtype=torch.float32).sqrt()
    w, h = (1 / tall)[:, None] * side, tall[:, None] * side
    if convention.sizes_first:
        w, h = w.T, h.T
    w, h = w.flatten(), h.flatten()
    corners = torch.stack((-w, -h, w, h), 1) / 2
    return corners.round() if convention.rounded else corners


def grid_anchors(cells: Tensor, size: tuple[int, int], stride: int | tuple[int, int], offset: float = 0.0) -> Tensor:
    """A cell's anchors (C, 4) repeated over a feature map: (H · W · C, 4), row by row, cell by cell.

    ``size``: (H, W) of the feature map. ``stride``: pixels of the image from one cell to the next, or (down, across).
    ``offset``: of the first cell's centre, in strides. On the device and in the kind of number of ``cells``.
    """
    H, W = size
    down, across = (stride, stride) if isinstance(stride, int) else stride
    y = (torch.arange(H, device=cells.device) + offset).to(cells.dtype) * down
    x = (torch.arange(W, device=cells.device) + offset).to(cells.dtype) * across
    ys, xs = torch.meshgrid(y, x, indexing="ij")
    centres = torch.stack((xs, ys, xs, ys), -1)
    return (centres[:, :, None] + cells).reshape(-1, 4)


def level_anchors(
    cells: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[int | tuple[int, int]],
    offset: float = 0.0,
) -> list[Tensor]:
    """The anchors of several feature maps, one tensor a level, each as ``grid_anchors`` gives them.

    Raises PellucidError where cells, sizes and strides are not as many.
    """
    if not len(cells) == len(sizes) == len(strides):
        raise PellucidError(
            f"anchors: cells for {len(cells)} levels, {len(sizes)} feature maps and {len(strides)} strides; "
            "give one of each a level"
        )
    return [grid_anchors(*level, offset) for level in zip(cells, sizes, strides, strict=True)]


def learned_anchors(sizes: Tensor, k: int, seed: int = 0) -> Tensor:
    """The k box sizes that stand best for those of a data set: float32 (k, 2), width and height, smallest area first.

    k-means with the distance 1 − IoU of boxes that share their centre; four starts (k-means++), and of all the steps
    the one with the highest ``mean_best_iou``. The same seed gives the same sizes. ``sizes``: (N, 2), width and height,
    in any unit. Where fewer than k sizes differ, the last ones are repeated. Raises PellucidError for no sizes, sizes
    that are not positive numbers, and k < 1.
    Source: Redmon and Farhadi, 'YOLO9000', CVPR 2017, section 2.
    """
    if k < 1:
        raise PellucidError(f"learned anchors: {k} of them; give 1 or more")
    different, counts = torch.unique(_checked(sizes), dim=0, return_counts=True)
    weights = counts.double()
    if len(different) <= k:
        found = torch.cat((different, different[-1:].expand(k - len(different), 2)))
    else:
        generator = torch.Generator().manual_seed(seed)
        tries = [_clustered(different, weights, _start(different, weights, k, generator)) for _ in range(4)]
        found = max(tries, key=lambda one: one[0])[1]
    return found[found.prod(1).argsort(stable=True)].float()


def mean_best_iou(sizes: Tensor, anchors: Tensor) -> float:
    """Mean over the sizes (N, 2) of the IoU with the best of the anchors' sizes (k, 2), centres together: 0 to 1.

    Raises PellucidError as ``learned_anchors`` does. Source: 'YOLO9000', table 1.
    """
    return float(_overlaps(_checked(sizes), _checked(anchors)).amax(1).mean())


def _checked(sizes: Tensor) -> Tensor:
    if sizes.ndim != 2 or sizes.shape[1] != 2 or len(sizes) == 0:
        raise PellucidError(f"box sizes of shape {tuple(sizes.shape)}; give (N, 2) widths and heights, one or more")
    wrong = ~(sizes.isfinite() & (sizes > 0)).all(1)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise PellucidError(
            f"box sizes: row {row} is {sizes[row].tolist()}, one of {int(wrong.sum())} that are not "
            "two positive numbers; leave them out"
        )
    return sizes.detach().cpu().double()


def _overlaps(sizes: Tensor, centres: Tensor) -> Tensor:
    """IoU (N, k) of boxes that share their centre."""
    shared = torch.minimum(sizes[:, None, 0], centres[:, 0]) * torch.minimum(sizes[:, None, 1], centres[:, 1])
    return shared / (sizes.prod(1)[:, None] + centres.prod(1) - shared)


def _start(sizes: Tensor, weights: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k different sizes, far from one another: each is drawn in proportion to its squared distance from the others."""
    chosen = [_drawn(weights, generator)]
    far = torch.ones(len(sizes), dtype=torch.float64)
    while len(chosen) < k:
        far = torch.minimum(far, 1 - _overlaps(sizes, sizes[chosen[-1:]])[:, 0])
        far[chosen] = 0
        chosen.append(_drawn(weights * far**2, generator))
    return sizes[chosen]


def _drawn(shares: Tensor, generator: torch.Generator) -> int:
    """One row, in proportion to its share. By the cumulated sum: multinomial takes no more than 2²⁴ rows."""
    total = shares.cumsum(0)
    at = torch.rand(1, generator=generator, dtype=torch.float64) * total[-1]
    return min(int(torch.searchsorted(total, at, right=True)), len(shares) - 1)


def _clustered(sizes: Tensor, weights: Tensor, centres: Tensor) -> tuple[float, Tensor]:
    """The best mean IoU on the way of k-means from these centres, and the centres that have it.

    The mean size of a cluster need not have its highest mean IoU, so that the last step is not always the best.
    """
    best, found, before = -1.0, centres, None
    for _ in range(100):
        overlap, nearest = _overlaps(sizes, centres).max(1)
        value = float((overlap * weights).sum() / weights.sum())
        if value > best:
            best, found = value, centres
        # The last of many sizes change clusters for long, and the mean by nothing.
        if before is not None and int((nearest != before).sum()) * 1000 <= len(sizes):
            break
        before = nearest
        count = torch.zeros(len(centres), dtype=torch.float64).index_add_(0, nearest, weights)
        total = torch.zeros_like(centres).index_add_(0, nearest, sizes * weights[:, None])
        centres = torch.where(count[:, None] > 0, total / count.clamp(min=1)[:, None], centres)
    return best, found
