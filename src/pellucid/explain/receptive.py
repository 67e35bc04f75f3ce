"""Receptive fields, exact: which rows and columns of the image each unit of a layer depends on.

The network itself is run once, on one image, and every tensor operation that it makes is followed beside it: of each
tensor it is known along which of its dimensions the image's rows (and columns) lie, and which interval of them
each index there depends on. So whatever a network computes (padding, strides, dilation, branches, gates) is taken as
it is computed, and no layer needs a rule of its own. An operation without a rule spreads all that its inputs depend on
over all of its output: too large at worst, never too small.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from pellucid.explain.grids import grid_shape
from pellucid.explain.subject import is_framed, untouched
from pellucid.explain.watching import watch

_BIG = 2**62

Spans = NDArray[np.int64]
"""(n, 2): the half-open interval [first, last) of the image's rows, or columns, for each index; (_BIG, 0) is empty."""


@dataclass(frozen=True)
class ReceptiveField:
    """What each unit of a layer depends on, within the network's frame.

    ``rows``: (h, 2) int64, for each row of the layer's grid the half-open interval [first, last) of the frame's rows;
    ``columns``: (w, 2), the same across. The receptive field of the unit at (row, column) is exactly their product:
    the smallest box that holds every pixel the unit depends on, clipped to the frame. A layer without positions has
    one row and one column. A unit that reads nothing but padding has an empty interval [0, 0).
    """

    rows: Tensor
    columns: Tensor

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """x1, y1, x2, y2 of a unit's receptive field in the frame's pixels."""
        (y1, y2), (x1, x2) = self.rows[row].tolist(), self.columns[column].tolist()
        return x1, y1, x2, y2


def receptive_fields(model: nn.Module, size: tuple[int, int], layers: str | Iterable[str]) -> dict[str, ReceptiveField]:
    """The receptive fields of layers for a frame of ``size`` (h, w), by one forward pass of one image.

    ``model``: one of Pellucid's own, whose frame its network's input is, or any module that maps (N, 3, h, w) to
    something. ``layers``: names or globs, see ``match_layers``. Exact for convolutions of every kind, pooling, padding,
    resizing, gates, branches and the reshaping between them, whatever their sizes; a layer whose channels differ gets
    the smallest interval that holds them all. Attention counts as reading every token that it may read. Source: the
    recursion of Araujo et al. 2019 ("Computing Receptive Fields of Convolutional Neural Networks"), on intervals.
    Raises PellucidError for an unknown layer and one that is not reached.
    """
    network: nn.Module = model.network if is_framed(model) else model
    parameter = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(0))
    frame = torch.full((1, 3, *size), 0.5, dtype=parameter.dtype, device=parameter.device)
    tracer = _Tracer(size)
    with untouched(model), torch.no_grad(), tracer:
        tracer.begin(frame)
        with watch(network, layers, keep=lambda name, activation: tracer.field(activation)) as seen:
            found: dict[str, Any] = seen(frame, through=model.from_frame if is_framed(model) else model)
    return found


@dataclass(frozen=True)
class _Axis:
    """How a tensor depends on the image's rows (or columns): along which dimension they lie, and what each index sees.

    ``dim``: None where every element sees the same, ``spans`` (1, 2).
    """

    dim: int | None
    spans: Spans

    @property
    def everywhere(self) -> "_Axis":
        """All that any element depends on, for every element."""
        return _Axis(None, np.array([[self.spans[:, 0].min(), self.spans[:, 1].max()]]))

    def moved(self, dim: int | None) -> "_Axis":
        """The same along another dimension; None: the dimension is gone."""
        return self.everywhere if dim is None else replace(self, dim=dim)

    def mixed(self, dims: Iterable[int]) -> "_Axis":
        """After an operation in which all indices along ``dims`` come together."""
        return self.everywhere if self.dim in set(dims) else self

    def gathered(self, index: NDArray[np.int64], valid: NDArray[np.bool_] | None = None) -> "_Axis":
        """Output m reads the inputs ``index[m]`` (m, taps); those that are not ``valid`` lie in the padding."""
        inside = (index >= 0) & (index < len(self.spans))
        inside = inside if valid is None else inside & valid
        safe = np.where(inside, index, 0)
        first = np.where(inside, self.spans[safe, 0], _BIG).min(1, initial=_BIG)
        last = np.where(inside, self.spans[safe, 1], 0).max(1, initial=0)
        return replace(self, spans=np.stack([first, last], 1))


def _union(axes: Iterable[_Axis | None]) -> _Axis | None:
    """What depends on all of them; None where none depends on the image."""
    known = [axis for axis in axes if axis is not None]
    if not known:
        return None
    dim = next((axis.dim for axis in known if axis.dim is not None), None)
    spans = [(axis if axis.dim == dim else axis.everywhere).spans for axis in known]
    first, last = spans[0][:, 0], spans[0][:, 1]
    for more in spans[1:]:
        first, last = np.minimum(first, more[:, 0]), np.maximum(last, more[:, 1])
    return _Axis(dim, np.stack([first, last], 1))


class _Tracer(TorchDispatchMode):
    """Follows every operation on tensors that depend on one image."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.whole = tuple(_Axis(None, np.array([[0, n]])) for n in size)
        self.axes = WeakTensorKeyDictionary()  # tensor: its (rows, columns)
        # Every storage that some tensor known to depend on the image lies in: how many of them, and whether one of
        # them was overwritten, so that the others are not what they were. The weak reference keeps its number its own.
        self.storages: dict[int, tuple[StorageWeakRef, int, bool]] = {}
        self.lost = False  # a number was read off a tensor: from there on anything may depend on anything

    def begin(self, frame: Tensor) -> None:
        """``frame`` (1, 3, h, w) is the image."""
        every = [np.stack([np.arange(n), np.arange(n) + 1], 1) for n in self.size]
        self._record(frame, (_Axis(2, every[0]), _Axis(3, every[1])))

    def known(self, tensor: Tensor) -> tuple[_Axis, ...] | None:
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
        self._follow(_Call.of(func, args, kwargs or {}, out))
        return out

    def _follow(self, call: "_Call") -> None:
        found = [self.known(tensor) for tensor in call.tensors]
        if all(axes is None for axes in found):
            return
        if call.outputs and call.outputs[0] is not None and not isinstance(call.outputs[0], Tensor):
            self.lost = True
        by_direction = [
            call.axes({id(t): axes[which] if axes else None for t, axes in zip(call.tensors, found, strict=True)})
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
    def _fitting(axis: _Axis, tensor: Tensor, whole: _Axis) -> _Axis:
        """The axis, or the whole image where it is not of the tensor's shape: a rule met what it was not made for."""
        fits = axis.dim is None or (axis.dim < tensor.ndim and tensor.shape[axis.dim] == len(axis.spans) > 0)
        return axis if fits else whole

    def _store(self, tensor: Tensor) -> tuple[StorageWeakRef, int, bool] | None:
        return self.storages.get(_storage_number(tensor))

    def _record(self, tensor: Tensor, axes: tuple[_Axis, ...]) -> None:
        reference, views, overwritten = self._store(tensor) or (StorageWeakRef(tensor.untyped_storage()), 0, False)
        self.storages[_storage_number(tensor)] = (reference, views + (tensor not in self.axes), overwritten)
        self.axes[tensor] = axes

    def _overwrite(self, tensor: Tensor, axes: tuple[_Axis, ...]) -> None:
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


def _on_grid(axis: _Axis, tensor: Tensor, grid: tuple[str, int, int, int] | None, which: int) -> Tensor:
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


Look = Callable[[Tensor | None], _Axis | None]


@dataclass(frozen=True)
class _Call:
    """One operation: its name without overload and underscore, its arguments by name, and what it gave."""

    func: Any
    name: str
    arguments: dict[str, Any]
    outputs: list[Any]
    tensors: list[Tensor]
    written: list[Tensor]

    @classmethod
    def of(cls, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> "_Call":
        schema = func._schema.arguments
        arguments = {argument.name: argument.default_value for argument in schema}
        arguments.update(zip((argument.name for argument in schema), args, strict=False))
        arguments.update(kwargs)
        written = [
            tensor
            for argument in schema
            if argument.alias_info is not None and argument.alias_info.is_write
            for tensor in _tensors(arguments[argument.name])
        ]
        name = func._schema.name.removeprefix("aten::")
        name = name.removesuffix("_") if written else name
        outputs = list(out) if isinstance(out, (list, tuple)) else [out]
        return cls(func, name, arguments, outputs, list(_tensors(arguments.values())), written)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def shape(self) -> torch.Size:
        """Of the first output."""
        shape: torch.Size = self.outputs[0].shape
        return shape

    def axes(self, known: dict[int, "_Axis | None"]) -> "list[_Axis | None]":
        """Each output's axis, given those of the tensors by their id."""

        def look(tensor: Tensor | None) -> _Axis | None:
            return known.get(id(tensor))

        try:
            made = _rule(self)(self, look)
        except (LookupError, TypeError, ValueError):  # an overload that its rule was not made for
            made = _spread(self, look)
        return made if isinstance(made, list) else [made] * len(self.outputs)


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif not isinstance(value, str) and isinstance(value, Iterable):
        for part in value:
            yield from _tensors(part)


def _rule(call: _Call) -> Callable[[_Call, Look], Any]:
    """How an operation's output depends on the image, given how its inputs do."""
    first = call.outputs[0] if call.outputs else None
    # An operation that changes a tensor's shape in place has done so already, and its rule would be misled.
    if not isinstance(first, Tensor) or "::" in call.name or torch.Tag.inplace_view in call.func.tags:
        return _spread
    if call.name in _RULES:
        return _RULES[call.name]
    if torch.Tag.pointwise in call.func.tags:
        return _elementwise
    if call.name.lstrip("_").startswith("upsample_"):
        return _resized
    if "keepdim" in call.arguments and "dim" in call.arguments:
        return _reduced
    return _spread


def _spread(call: _Call, look: Look) -> _Axis | None:
    """Every output depends on all that any input depends on: true of every operation."""
    return _union(axis and axis.everywhere for axis in map(look, call.tensors))


def _elementwise(call: _Call, look: Look) -> _Axis | None:
    return _union(_broadcast(look(tensor), tensor.shape, call.shape) for tensor in call.tensors)


def _broadcast(axis: _Axis | None, shape: torch.Size, out: torch.Size) -> _Axis | None:
    if axis is None or axis.dim is None:
        return axis
    dim = axis.dim + len(out) - len(shape)
    return axis.moved(None if dim < 0 or shape[axis.dim] != out[dim] else dim)


def _copied(call: _Call, look: Look) -> _Axis | None:
    """``copy_``: what was there is gone."""
    return _broadcast(look(call["src"]), call["src"].shape, call["self"].shape)


def _unchanged(call: _Call, look: Look) -> _Axis | None:
    return look(call["self"])


def _channels_shuffled(call: _Call, look: Look) -> _Axis | None:
    axis = look(call["self"])
    return axis and axis.mixed([1])


def _independent(call: _Call, look: Look) -> None:
    """Made in a tensor's shape, not of its values."""


def _source(call: _Call) -> Tensor:
    """The tensor that an operation is about."""
    tensor: Tensor = call["self"] if "self" in call.arguments else call["input"]
    return tensor


def _number(values: Any, position: int, otherwise: Any = None) -> int:
    """A size of one spatial dimension, of a list that may hold one number for all of them."""
    values = [values] if isinstance(values, int) else list(values)
    values = values or ([otherwise] if isinstance(otherwise, int) else list(otherwise))
    return int(values[position] if len(values) > 1 else values[0])


def _windows(count: int, kernel: int, stride: int, padding: int, dilation: int) -> NDArray[np.int64]:
    """The inputs (count, kernel) that each output of a sliding window reads."""
    return np.arange(count)[:, None] * stride - padding + dilation * np.arange(kernel)


def _convolution(call: _Call, look: Look) -> _Axis | None:
    axis = look(call["input"])
    weights = [known and known.everywhere for known in (look(call["weight"]), look(call["bias"]))]
    if axis is not None and axis.dim is not None and axis.dim >= 2:
        at = axis.dim - 2
        kernel, count = call["weight"].shape[axis.dim], call.shape[axis.dim]
        stride, padding = _number(call["stride"], at), _number(call["padding"], at)
        dilation = _number(call["dilation"], at)
        if call["transposed"]:
            ahead = np.arange(count)[:, None] + padding - dilation * np.arange(kernel)
            axis = axis.gathered(ahead // stride, ahead % stride == 0)
        else:
            axis = axis.gathered(_windows(count, kernel, stride, padding, dilation))
    elif axis is not None:
        axis = axis.mixed([1])
    return _union([axis, *weights])


def _pooled(dims: int) -> Callable[[_Call, Look], _Axis | None]:
    def rule(call: _Call, look: Look) -> _Axis | None:
        axis, at = look(call["self"]), _last(call, look, dims)
        if axis is None or axis.dim is None or at < 0:
            return axis
        kernel = _number(call["kernel_size"], at)
        stride = _number(call["stride"], at, call["kernel_size"])
        padding, dilation = _number(call["padding"], at), _number(call.arguments.get("dilation", 1), at)
        return axis.gathered(_windows(call.shape[axis.dim], kernel, stride, padding, dilation))

    return rule


def _last(call: _Call, look: Look, dims: int) -> int:
    """Which of the last ``dims`` dimensions of the input the axis lies along, counted from 0; -1: none of them."""
    axis = look(_source(call))
    if axis is None or axis.dim is None:
        return -1
    return max(-1, axis.dim - (_source(call).ndim - dims))


def _adaptively_pooled(dims: int) -> Callable[[_Call, Look], _Axis | None]:
    def rule(call: _Call, look: Look) -> _Axis | None:
        axis = look(call["self"])
        if axis is None or axis.dim is None or _last(call, look, dims) < 0:
            return axis
        n, m = len(axis.spans), call.shape[axis.dim]
        first, last = np.arange(m) * n // m, -(-(np.arange(m) + 1) * n // m)
        index = np.arange(n)[None].repeat(m, 0)
        return axis.gathered(index, (index >= first[:, None]) & (index < last[:, None]))

    return rule


def _padded(call: _Call, look: Look) -> _Axis | None:
    """Constant, reflection and replication padding; negative padding crops."""
    axis, padding = look(call["self"]), call["pad"] if call.name == "constant_pad_nd" else call["padding"]
    if axis is None or axis.dim is None:
        return axis
    from_last = call["self"].ndim - 1 - axis.dim
    if 2 * from_last >= len(padding):
        return axis
    n, at = len(axis.spans), np.arange(call.shape[axis.dim]) - padding[2 * from_last]
    if call.name.startswith("reflection"):
        at = np.abs(at)
        at = np.where(at >= n, 2 * (n - 1) - at, at)
    elif call.name.startswith("replication"):
        at = at.clip(0, n - 1)
    return axis.gathered(at[:, None])


def _resized(call: _Call, look: Look) -> _Axis | None:
    """Asked of the operation itself: of channels with one NaN each, the NaNs show what each output reads."""
    source = _source(call)
    axis = look(source)
    if axis is None or axis.dim is None or axis.dim < 2:
        return axis
    n, beside = len(axis.spans), 2  # not 1: PyTorch's antialiasing is wrong for images of one column
    probe = torch.zeros(1, n, *(n if dim == axis.dim else beside for dim in range(2, source.ndim)), dtype=source.dtype)
    probe.movedim(axis.dim, 2)[0, range(n), range(n)] = math.nan
    arguments = dict(call.arguments)
    arguments["self" if "self" in arguments else "input"] = probe.to(source.device)
    if arguments.get("output_size") is not None:
        sizes = enumerate(arguments["output_size"], 2)
        arguments["output_size"] = [size if dim == axis.dim else beside for dim, size in sizes]
    touched = call.func(**arguments).isnan().movedim(axis.dim, 2).flatten(3).any(3)[0]  # (n, outputs)
    if touched.shape[1] != call.shape[axis.dim]:
        return axis.everywhere
    return axis.gathered(np.arange(n)[None].repeat(touched.shape[1], 0), touched.T.cpu().numpy())


def _reduced(call: _Call, look: Look) -> _Axis | None:
    source = _source(call)
    axis, dims = look(source), call["dim"]
    dims = [dims] if isinstance(dims, int) else list(dims or range(source.ndim))
    if axis is None or axis.dim is None:
        return axis
    gone = {dim % source.ndim for dim in dims}
    kept = axis.mixed(gone)
    return kept if kept.dim is None or call["keepdim"] else kept.moved(kept.dim - sum(d < kept.dim for d in gone))


def _mixing_one(call: _Call, look: Look) -> _Axis | None:
    """Softmax, sums along a dimension, sorting."""
    axis = look(call["self"])
    return axis and axis.mixed([call["dim"] % max(1, call["self"].ndim)])


def _layer_norm(call: _Call, look: Look) -> _Axis | None:
    source = _source(call)
    dims = range(source.ndim - len(call["normalized_shape"]), source.ndim)
    rest = (axis and axis.everywhere for axis in map(look, call.tensors[1:]))
    axis = look(source)
    return _union([axis and axis.mixed(dims), *rest])


def _batch_norm(call: _Call, look: Look) -> _Axis | None:
    axis, source = look(call["input"]), call["input"]
    if axis is not None and call.arguments.get("training", "no_training" not in call.name):
        axis = axis.mixed(d for d in range(source.ndim) if d != 1)
    return _union([axis, *(known and known.everywhere for known in map(look, call.tensors[1:]))])


def _group_norm(call: _Call, look: Look) -> _Axis | None:
    axis = look(call["input"])
    rest = (known and known.everywhere for known in map(look, call.tensors[1:]))
    return _union([axis and axis.mixed(range(1, call["input"].ndim)), *rest])


def _matrices(call: _Call, look: Look) -> _Axis | None:
    """``mm``, ``addmm``, ``bmm``, ``baddbmm``: (…, n, k) by (…, k, m), and a bias."""
    left, right = (call[name] for name in _FACTORS[call.name])
    a, b, n = look(left), look(right), left.ndim
    bias = _broadcast(look(call["self"]), call["self"].shape, call.shape) if call.name in ("addmm", "baddbmm") else None
    return _union([a and a.mixed([n - 1]), b and b.mixed([n - 2]), bias])


_FACTORS = {"mm": ("self", "mat2"), "addmm": ("mat1", "mat2"), "bmm": ("self", "mat2"), "baddbmm": ("batch1", "batch2")}


def _linear(call: _Call, look: Look) -> _Axis | None:
    axis = look(call["input"])
    rest = (known and known.everywhere for known in map(look, call.tensors[1:]))
    return _union([axis and axis.mixed([call["input"].ndim - 1]), *rest])


def _attention(call: _Call, look: Look) -> _Axis | None:
    """Scaled dot products of (…, tokens, width): a token reads its query and all keys and values of its window."""
    query, n = look(call["query"]), call["query"].ndim
    rest = [known and known.mixed([n - 2, n - 1]) for known in (look(call["key"]), look(call["value"]))]
    mask = look(call.arguments.get("attn_mask", call.arguments.get("attn_bias")))
    return _union([query and query.mixed([n - 1]), *rest, mask and mask.everywhere])


def _concatenated(call: _Call, look: Look) -> _Axis | None:
    tensors = [t for t in call["tensors"] if t.shape != (0,)]
    dim = call["dim"] % len(call.shape)
    axes = [look(tensor) for tensor in tensors]
    return _in_a_row(axes, [tensor.shape[dim] for tensor in tensors], dim)


def _in_a_row(axes: list[_Axis | None], sizes: list[int], dim: int) -> _Axis | None:
    """Tensors of some sizes along ``dim``, one after another."""
    along = any(axis is not None and axis.dim == dim for axis in axes)
    if not along and any(axis is not None and axis.dim is not None for axis in axes):
        return _union(axes)
    parts = []
    for axis, size in zip(axes, sizes, strict=True):
        spans = np.array([[_BIG, 0]]) if axis is None else axis.spans if axis.dim == dim else axis.everywhere.spans
        parts.append(spans if axis is not None and axis.dim == dim else spans.repeat(size, 0))
    joined = _Axis(dim, np.concatenate(parts))
    return joined if along or (joined.spans != joined.spans[0]).any() else joined.everywhere


def _stacked(call: _Call, look: Look) -> _Axis | None:
    dim = call["dim"] % len(call.shape)
    axes = [look(tensor) for tensor in call["tensors"]]
    moved = [a if a is None or a.dim is None else a.moved(a.dim + (a.dim >= dim)) for a in axes]
    return _in_a_row(moved, [1] * len(moved), dim)


def _repeated(call: _Call, look: Look) -> _Axis | None:
    axis = look(call["self"])
    if axis is None or axis.dim is None:
        return axis
    dim = axis.dim + len(call["repeats"]) - call["self"].ndim
    return _Axis(dim, np.tile(axis.spans, (call["repeats"][dim], 1)))


def _sliced(call: _Call, look: Look) -> _Axis | None:
    axis = look(call["self"])
    if axis is None or axis.dim != call["dim"] % call["self"].ndim:
        return axis
    return replace(axis, spans=axis.spans[slice(call["start"], call["end"], call["step"])])


def _selected(call: _Call, look: Look) -> _Axis | None:
    axis, dim = look(call["self"]), call["dim"] % call["self"].ndim
    if axis is None or axis.dim is None:
        return axis
    if axis.dim == dim:
        return _Axis(None, axis.spans[[call["index"]]])
    return axis.moved(axis.dim - (axis.dim > dim))


def _index_selected(call: _Call, look: Look) -> _Axis | None:
    axis, index = look(call["self"]), look(call["index"])
    if axis is None or index is not None or axis.dim != call["dim"] % call["self"].ndim:
        return _union([axis, index and index.everywhere])
    return replace(axis, spans=axis.spans[call["index"].reshape(-1).cpu().numpy()])


def _split(call: _Call, look: Look) -> list[_Axis | None]:
    axis, dim = look(call["self"]), call["dim"] % call["self"].ndim
    if axis is None or axis.dim != dim:
        return [axis] * len(call.outputs)
    ends = np.cumsum([part.shape[dim] for part in call.outputs])
    return [replace(axis, spans=spans) for spans in np.split(axis.spans, ends[:-1])]


def _unbound(call: _Call, look: Look) -> list[_Axis | None]:
    axis, dim = look(call["self"]), call["dim"] % call["self"].ndim
    if axis is not None and axis.dim == dim:
        return [_Axis(None, axis.spans[[i]]) for i in range(len(call.outputs))]
    moved = axis if axis is None or axis.dim is None else axis.moved(axis.dim - (axis.dim > dim))
    return [moved] * len(call.outputs)


def _reordered(call: _Call, look: Look) -> _Axis | None:
    """``permute``, ``transpose`` and ``t``."""
    axis, order = look(call["self"]), list(range(call["self"].ndim))
    if axis is None or axis.dim is None:
        return axis
    if call.name == "permute":
        order = [dim % len(order) for dim in call["dims"]]
    elif len(order) > 1:
        a, b = (0, 1) if call.name == "t" else (call["dim0"], call["dim1"])
        order[a], order[b] = order[b], order[a]
    return axis.moved(order.index(axis.dim))


def _unsqueezed(call: _Call, look: Look) -> _Axis | None:
    axis, dim = look(call["self"]), call["dim"] % len(call.shape)
    return axis if axis is None or axis.dim is None else axis.moved(axis.dim + (axis.dim >= dim))


def _rolled(call: _Call, look: Look) -> _Axis | None:
    axis, dims = look(call["self"]), [dim % call["self"].ndim for dim in call["dims"]]
    if axis is None or axis.dim is None or not dims:
        return axis and axis.everywhere
    shift = sum(s for s, dim in zip(call.arguments.get("shifts", dims), dims, strict=True) if dim == axis.dim)
    if call.name == "flip":
        return replace(axis, spans=axis.spans[::-1]) if axis.dim in dims else axis
    return replace(axis, spans=np.roll(axis.spans, shift, 0))


def _unfolded(call: _Call, look: Look) -> _Axis | None:
    axis = look(call["self"])
    if axis is None or axis.dim is None or axis.dim != call["dimension"] % call["self"].ndim:
        return axis
    return axis.gathered(_windows(call.shape[axis.dim], call["size"], call["step"], 0, 1))


def _shuffled(call: _Call, look: Look) -> _Axis | None:
    """``pixel_shuffle`` and its inverse."""
    axis = look(call["self"])
    if axis is None or axis.dim is None or _last(call, look, 2) < 0:
        return axis and axis.everywhere
    if call.name == "pixel_shuffle":
        return replace(axis, spans=axis.spans.repeat(call["upscale_factor"], 0))
    factor = call["downscale_factor"]
    return axis.gathered(_windows(call.shape[axis.dim], factor, factor, 0, 1))


def _viewed(call: _Call, look: Look) -> _Axis | None:
    """``view`` and its kin: dimensions merged and split, elements in the same order."""
    axis, before, after = look(call["self"]), call["self"].shape, call.shape
    if axis is None or axis.dim is None:
        return axis
    if before.numel() != after.numel() or not before.numel():
        return axis.everywhere
    n, step = before[axis.dim], math.prod(before[axis.dim + 1 :])
    if n == 1:
        return axis.everywhere
    steps = [math.prod(after[dim + 1 :]) for dim in range(len(after))]
    within: list[int] = []  # the new dimensions into which the old one is split
    for dim, (size, new) in enumerate(zip(after, steps, strict=True)):
        if size > 1 and step % new == 0 and (size * new) % (n * step) == 0:  # holds the old dimension, or is it
            return _Axis(dim, axis.spans[np.arange(size) * new // step % n])
        if size > 1 and new % step == 0 and (n * step) % (size * new) == 0:
            within.append(dim)
    if math.prod(after[dim] for dim in within) != n:
        return axis.everywhere
    spans = axis.spans.reshape([*(after[dim] for dim in within), 2])
    for place in range(len(within)):
        others = tuple(other for other in range(len(within)) if other != place)
        first, last = spans[..., 0].min(others), spans[..., 1].max(others)
        if (spans[..., 0].max(others) == first).all() and (spans[..., 1].min(others) == last).all():
            return _Axis(within[place], np.stack([first, last], 1))
    others = tuple(range(1, len(within)))
    return _Axis(within[0], np.stack([spans[..., 0].min(others), spans[..., 1].max(others)], 1))


_RULES: dict[str, Callable[[_Call, Look], Any]] = {
    **dict.fromkeys(("_to_copy", "detach", "alias", "lift", "lift_fresh", "clone", "contiguous"), _unchanged),
    **dict.fromkeys(("zero", "hardswish"), _unchanged),
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), _channels_shuffled),
    **dict.fromkeys(("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"), _independent),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"), _independent),
    **dict.fromkeys(("sort", "topk", "glu"), _mixing_one),
    **dict.fromkeys(("expand", "fill", "prelu", "_prelu_kernel", "rrelu_with_noise"), _elementwise),
    **dict.fromkeys(("view", "_unsafe_view", "_reshape_alias", "reshape", "squeeze"), _viewed),
    **dict.fromkeys(("permute", "transpose", "t"), _reordered),
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"), _split),
    **dict.fromkeys(("softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum", "cumprod"), _mixing_one),
    **dict.fromkeys(("native_layer_norm", "_fused_rms_norm", "rms_norm"), _layer_norm),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), _matrices),
    **dict.fromkeys(("roll", "flip"), _rolled),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _shuffled),
    **{f"{kind}_pad{n}d": _padded for kind in ("reflection", "replication") for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": _pooled(n) for n in (2, 3)},
    **{f"{backend}_max_pool{n}d": _pooled(n) for backend in ("mkldnn", "quantized") for n in (2, 3)},
    **{f"avg_pool{n}d": _pooled(n) for n in (2, 3)},
    **{f"_adaptive_avg_pool{n}d": _adaptively_pooled(n) for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": _adaptively_pooled(n) for n in (2, 3)},
    **{
        f"_scaled_dot_product_{kind}": _attention
        for kind in ("attention_math", "flash_attention", "flash_attention_for_cpu", "efficient_attention")
    },
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"), _batch_norm),
    **dict.fromkeys(("_native_batch_norm_legit_no_training", "miopen_batch_norm"), _batch_norm),
    "native_group_norm": _group_norm,
    "constant_pad_nd": _padded,
    "convolution": _convolution,
    "_convolution": _convolution,
    "linear": _linear,
    "cat": _concatenated,
    "stack": _stacked,
    "slice": _sliced,
    "select": _selected,
    "index_select": _index_selected,
    "unbind": _unbound,
    "unsqueeze": _unsqueezed,
    "unfold": _unfolded,
    "repeat": _repeated,
    "copy": _copied,
}
