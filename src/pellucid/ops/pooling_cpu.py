"""RoIAlign and RoIPool on the processor: in threads, channel by channel, so that no two of them write the same cell."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from pellucid.threads import in_threads

Taps = tuple[NDArray, NDArray, NDArray]

_RUN = 16
"""From so many channels on they are taken as runs, where they lie together."""


def align(
    features: Sequence[Tensor],
    boxes: Tensor,
    images: Tensor,
    scales: Sequence[float],
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
    found: Tensor,
) -> Tensor:
    """RoIAlign of each box (R, 4) from the level ``found`` (R,) for it, everything float32 or everything float64."""
    plans = []
    for level, (map_, scale) in enumerate(zip(features, scales, strict=True)):
        rows = (found == level).nonzero().flatten()
        plans.append(_plan(boxes[rows], images[rows], rows, map_.shape[2:], scale, size, sampling_ratio, aligned))
    together = all(map_.is_contiguous(memory_format=torch.channels_last) for map_ in features)
    how = _AlignRuns if together and features[0].shape[1] >= _RUN else _Align
    return how.apply(plans, (len(boxes), features[0].shape[1], *size), *features)


def crop(planes: NDArray, boxes: Tensor, images: Tensor, size: tuple[int, int]) -> Tensor:
    """RoIAlign of planes of any kind of number (N, H, W) with as many samples as a bin has cells: float32 (R, h, w)."""
    from pellucid.ops.pooling_kernels import align_planes

    plan = _plan(boxes, images, torch.arange(len(boxes)), planes.shape[1:], 1.0, size, 0, False)
    out = np.empty((len(boxes), 1, *size), np.float32)

    def work(begin: int, end: int) -> None:
        images_of, rows, y, x, spans = plan.part(begin, end)
        align_planes(0, 1, planes[:, None], images_of, rows, y, x, spans, out)

    in_threads(work, len(boxes), least=8)
    return torch.from_numpy(out[:, 0])


def pool(features: Tensor, boxes: Tensor, images: Tensor, scale: float, size: tuple[int, int]) -> Tensor:
    """RoIPool of each box (R, 4)."""
    # In float64 the half that is added does not round; halves go away from zero.
    placed = (boxes * scale).double()
    cells = (placed.sign() * (placed.abs() + 0.5).floor()).clamp(-(2**30), 2**30).to(torch.int64)
    return _Pool.apply(features, cells.numpy(), images.detach().numpy(), size)


class _Plan:
    """Where the boxes of one level read: the taps of their bins down and across."""

    def __init__(self, images: NDArray, rows: NDArray, y: Taps, x: Taps, spans: NDArray) -> None:
        self.images, self.rows, self.y, self.x, self.spans = images, rows, y, x, spans

    def part(self, begin: int, end: int) -> tuple[Any, ...]:
        """That of the boxes ``begin`` to ``end``, as the kernels take it."""
        cut = slice(begin, end)
        y, x = (tuple(one[cut] for one in side) for side in (self.y, self.x))
        return self.images[cut], self.rows[cut], y, x, self.spans[cut]


def _plan(
    boxes: Tensor,
    images: Tensor,
    rows: Tensor,
    shape: Sequence[int],
    scale: float,
    size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> _Plan:
    from pellucid.ops.pooling_kernels import place_in_spans

    placed = boxes.numpy() * boxes.numpy().dtype.type(scale) - boxes.numpy().dtype.type(0.5 if aligned else 0.0)
    sides = placed[:, 2:] - placed[:, :2]
    if not aligned:
        sides = np.maximum(sides, 1)
    x, y = (
        _taps(placed[:, axis].copy(), sides[:, axis].copy(), shape[1 - axis], size[1 - axis], sampling_ratio)
        for axis in (0, 1)
    )
    spans = np.empty((len(boxes), 2), np.int64)
    place_in_spans(*x[:2], shape[1], spans)
    return _Plan(images.numpy(), rows.numpy(), y, x, spans)


def _taps(starts: NDArray, sides: NDArray, length: int, count: int, sampling_ratio: int) -> Taps:
    from pellucid.ops.pooling_kernels import fill_fours, tap_side

    R = len(starts)
    bins = sides / sides.dtype.type(count)
    grids = np.full(R, sampling_ratio) if sampling_ratio > 0 else np.ceil(bins).clip(0).astype(np.int64)
    # Samples of a box that runs forwards share their taps, so that there are no more of them than cells.
    most = 2 * grids if sampling_ratio > 0 else np.minimum(2 * grids, length)
    width = max(-(-int(most.max(initial=0)) // 4) * 4, 4)
    taps = (
        np.empty((R, count), np.int64),
        np.empty((R, count, width), np.int64),
        np.empty((R, count, width), bins.dtype),
    )
    tap_side(starts, bins, grids, length, *taps)
    fill_fours(*taps)
    return taps


class _Align(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plans: list[_Plan], shape: tuple[int, ...], *features: Tensor) -> Tensor:
        from pellucid.ops.pooling_kernels import align_planes

        ctx.plans, ctx.shapes = plans, [map_.shape for map_ in features]
        out = features[0].new_empty(shape)
        for map_, plan in zip(features, plans, strict=True):
            planes = map_.detach().contiguous().numpy()
            everything = (planes, *plan.part(0, len(plan.images)), out.numpy())
            _by_channels(align_planes, everything, shape[1])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from pellucid.ops.pooling_kernels import spread_planes

        given = gradient.contiguous().numpy()
        made = []
        for shape, plan in zip(ctx.shapes, ctx.plans, strict=True):
            planes = gradient.new_zeros(shape)
            everything = (given, *plan.part(0, len(plan.images)), planes.numpy())
            _by_channels(spread_planes, everything, shape[1])
            made.append(planes)
        return None, None, *made


class _AlignRuns(torch.autograd.Function):
    """The same of maps whose channels lie together, and so is what it gives."""

    @staticmethod
    def forward(ctx: Any, plans: list[_Plan], shape: tuple[int, ...], *features: Tensor) -> Tensor:
        from pellucid.ops.pooling_last_kernels import align_runs

        ctx.plans, ctx.shapes = plans, [map_.shape for map_ in features]
        R, C, h, w = shape
        out = features[0].new_empty((R, h, w, C))
        for map_, plan in zip(features, plans, strict=True):
            everything = (map_.detach().permute(0, 2, 3, 1).numpy(), *plan.part(0, len(plan.images)), out.numpy())
            in_threads(partial(_called, align_runs, everything), len(plan.images), least=16)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from pellucid.ops.pooling_last_kernels import spread_runs

        given = gradient.permute(0, 2, 3, 1).contiguous().numpy()
        made = []
        for (N, C, H, W), plan in zip(ctx.shapes, ctx.plans, strict=True):
            maps = gradient.new_zeros((N, H, W, C))
            _by_channels(spread_runs, (given, *plan.part(0, len(plan.images)), maps.numpy()), C)
            made.append(maps.permute(0, 3, 1, 2))
        return None, None, *made


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, cells: NDArray, images: NDArray, size: tuple[int, int]) -> Tensor:
        from pellucid.ops.pooling_kernels import bin_edges, pool_planes

        out = features.new_empty((len(cells), features.shape[1], *size))
        best = np.empty(out.shape, np.int32)
        y, x = np.empty((len(cells), size[0], 2), np.int64), np.empty((len(cells), size[1], 2), np.int64)
        for axis, edges in ((1, y), (0, x)):
            first, last = cells[:, axis].copy(), cells[:, axis + 2].copy()
            bin_edges(first, last, features.shape[3 - axis], edges, out.numpy())
        everything = (features.detach().contiguous().numpy(), images, y, x, out.numpy(), best)
        _by_channels(pool_planes, everything, features.shape[1])
        ctx.best, ctx.images, ctx.shape = best, images, features.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from pellucid.ops.pooling_kernels import unpool_planes

        planes = gradient.new_zeros(ctx.shape)
        everything = (gradient.contiguous().numpy(), ctx.images, ctx.best, planes.flatten(2).numpy())
        _by_channels(unpool_planes, everything, ctx.shape[1])
        return planes, None, None, None


def _by_channels(kernel: Any, everything: tuple[Any, ...], channels: int) -> None:
    in_threads(partial(_called, kernel, everything), channels, least=8)


def _called(kernel: Any, everything: tuple[Any, ...], begin: int, end: int) -> None:
    kernel(begin, end, *everything)
