"""Following a forward pass: every tensor operation beside what it computes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from pellucid.explain.grids import grid_shape
from pellucid.explain.receptive.axes import Axis
from pellucid.explain.receptive.calls import Call
from pellucid.explain.receptive.field import ReceptiveField
from pellucid.explain.receptive.rules import axes_of


class Tracer(TorchDispatchMode):
    """Follows every operation on tensors that depend on one image."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.whole = tuple(Axis(None, np.array([[0, n]])) for n in size)
        self.axes = WeakTensorKeyDictionary()  # tensor: its (rows, columns)
        # Every storage that some tensor known to depend on the image lies in: how many of them, and whether one of
        # them was overwritten, so that the others are not what they were. The weak reference keeps its number its own.
        self.storages: dict[int, tuple[StorageWeakRef, int, bool]] = {}
        self.lost = False  # a number was read off a tensor: from there on anything may depend on anything

    def begin(self, frame: Tensor) -> None:
        """``frame`` (1, 3, h, w) is the image."""
        every = [np.stack([np.arange(n), np.arange(n) + 1], 1) for n in self.size]
        self._record(frame, (Axis(2, every[0]), Axis(3, every[1])))

    def known(self, tensor: Tensor) -> tuple[Axis, ...] | None:
        """Rows and columns that a tensor depends on; None where it does not depend on the image."""
        store = self._store(tensor)
        if store is None:
            return None
        _, _, overwritten = store
        return self.whole if overwritten else self.axes.get(tensor, self.whole)

    def field(self, tensor: Tensor) -> ReceptiveField:
        """The receptive field of an activation's grid."""
        axes = None if self.lost else self.known(tensor)
        grid = grid_shape(tensor.shape, self.size[0] / self.size[1])
        rows, columns = (_on_grid(axis, tensor, grid, which) for which, axis in enumerate(axes or self.whole))
        return ReceptiveField(rows, columns)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        self._follow(Call.of(func, args, kwargs or {}, out))
        return out

    def _follow(self, call: "Call") -> None:
        found = [self.known(tensor) for tensor in call.tensors]
        if all(axes is None for axes in found):
            return
        if call.outputs and call.outputs[0] is not None and not isinstance(call.outputs[0], Tensor):
            self.lost = True
        by_direction = [
            axes_of(call, {id(t): axes[which] if axes else None for t, axes in zip(call.tensors, found, strict=True)})
            for which in range(2)
        ]
        for tensor, *axes in zip(call.outputs, *by_direction, strict=True):
            if isinstance(tensor, Tensor) and axes[0] is not None and axes[1] is not None:
                fitting = tuple(
                    self._fitting(axis, tensor, whole) for axis, whole in zip(axes, self.whole, strict=True)
                )
                if any(tensor is written for written in call.written):
                    self._overwrite(tensor, fitting)
                else:
                    self._record(tensor, fitting)
        for tensor in call.written:
            if not any(tensor is part for part in call.outputs):
                self._overwrite(tensor, self.whole)

    @staticmethod
    def _fitting(axis: Axis, tensor: Tensor, whole: Axis) -> Axis:
        """The axis, or the whole image where it is not of the tensor's shape: a rule met what it was not made for."""
        fits = axis.dim is None or (axis.dim < tensor.ndim and tensor.shape[axis.dim] == len(axis.spans) > 0)
        return axis if fits else whole

    def _store(self, tensor: Tensor) -> tuple[StorageWeakRef, int, bool] | None:
        return self.storages.get(_storage_number(tensor))

    def _record(self, tensor: Tensor, axes: tuple[Axis, ...]) -> None:
        reference, views, overwritten = self._store(tensor) or (StorageWeakRef(tensor.untyped_storage()), 0, False)
        self.storages[_storage_number(tensor)] = (reference, views + (tensor not in self.axes), overwritten)
        self.axes[tensor] = axes

    def _overwrite(self, tensor: Tensor, axes: tuple[Axis, ...]) -> None:
        """An in-place operation: other tensors in the same memory now hold something else as well."""
        before, store = self.axes.get(tensor), self._store(tensor)
        if store is not None and not (store[1] == 1 and before is not None):
            same = before is not None and all(
                a.dim == b.dim and np.array_equal(a.spans, b.spans) for a, b in zip(before, axes, strict=True)
            )
            if not same:
                self.storages[_storage_number(tensor)] = (store[0], store[1], True)
        self._record(tensor, axes)


def _storage_number(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _on_grid(axis: Axis, tensor: Tensor, grid: tuple[str, int, int, int] | None, which: int) -> Tensor:
    """The spans of each row (``which`` 0) or column (1) of an activation's grid: (n, 2) int64."""
    spans = axis.everywhere.spans
    if grid is not None:
        kind, *counts, _ = grid
        if kind == "tokens" and axis.dim == 1:
            at = axis.spans[len(axis.spans) - counts[0] * counts[1] :].reshape(counts[0], counts[1], 2)
            spans = np.stack([at[..., 0].min(1 - which), at[..., 1].max(1 - which)], 1)
        elif kind != "tokens" and axis.dim == {"maps": 2, "channels last": 1}[kind] + which:
            spans = axis.spans
        else:
            spans = spans.repeat(counts[which], 0)
    return torch.from_numpy(np.where(spans[:, :1] < spans[:, 1:], spans, 0))
