"""Rules: how the output of each tensor operation depends on the image, given how its inputs do."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.explain.receptive.axes import BIG, Axis, union
from pellucid.explain.receptive.calls import Call

Look = Callable[[Tensor | None], Axis | None]
"""From an input tensor to how it depends on the image; None where it does not."""


def axes_of(call: Call, known: dict[int, Axis | None]) -> list[Axis | None]:
    """The axis of each output of an operation, given those of its tensors by their id."""

    def look(tensor: Tensor | None) -> Axis | None:
        return known.get(id(tensor))

    try:
        made = rule_for(call)(call, look)
    except (LookupError, TypeError, ValueError):  # an overload that its rule was not made for
        made = spread(call, look)
    return made if isinstance(made, list) else [made] * len(call.outputs)


def rule_for(call: Call) -> Callable[[Call, Look], Any]:
    """How an operation's output depends on the image, given how its inputs do."""
    first = call.outputs[0] if call.outputs else None
    # An operation that changes a tensor's shape in place has done so already, and its rule would be misled.
    if not isinstance(first, Tensor) or "::" in call.name or torch.Tag.inplace_view in call.func.tags:
        return spread
    if call.name in _RULES:
        return _RULES[call.name]
    if torch.Tag.pointwise in call.func.tags:
        return _elementwise
    if call.name.lstrip("_").startswith("upsample_"):
        return _resized
    if "keepdim" in call.arguments and "dim" in call.arguments:
        return _reduced
    return spread


def spread(call: Call, look: Look) -> Axis | None:
    """Every output depends on all that any input depends on: true of every operation."""
    return union(axis and axis.everywhere for axis in map(look, call.tensors))


def _elementwise(call: Call, look: Look) -> Axis | None:
    return union(_broadcast(look(tensor), tensor.shape, call.shape) for tensor in call.tensors)


def _broadcast(axis: Axis | None, shape: torch.Size, out: torch.Size) -> Axis | None:
    if axis is None or axis.dim is None:
        return axis
    dim = axis.dim + len(out) - len(shape)
    return axis.moved(None if dim < 0 or shape[axis.dim] != out[dim] else dim)


def _copied(call: Call, look: Look) -> Axis | None:
    """``copy_``: what was there is gone."""
    return _broadcast(look(call["src"]), call["src"].shape, call["self"].shape)


def _unchanged(call: Call, look: Look) -> Axis | None:
    return look(call["self"])


def _channels_shuffled(call: Call, look: Look) -> Axis | None:
    axis = look(call["self"])
    return axis and axis.mixed([1])


def _independent(call: Call, look: Look) -> None:
    """Made in a tensor's shape, not of its values."""


def _source(call: Call) -> Tensor:
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


def _convolution(call: Call, look: Look) -> Axis | None:
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
    return union([axis, *weights])


def _pooled(dims: int) -> Callable[[Call, Look], Axis | None]:
    def rule(call: Call, look: Look) -> Axis | None:
        axis, at = look(call["self"]), _last(call, look, dims)
        if axis is None or axis.dim is None or at < 0:
            return axis
        kernel = _number(call["kernel_size"], at)
        stride = _number(call["stride"], at, call["kernel_size"])
        padding, dilation = _number(call["padding"], at), _number(call.arguments.get("dilation", 1), at)
        return axis.gathered(_windows(call.shape[axis.dim], kernel, stride, padding, dilation))

    return rule


def _last(call: Call, look: Look, dims: int) -> int:
    """Which of the last ``dims`` dimensions of the input the axis lies along, counted from 0; -1: none of them."""
    axis = look(_source(call))
    if axis is None or axis.dim is None:
        return -1
    return max(-1, axis.dim - (_source(call).ndim - dims))


def _adaptively_pooled(dims: int) -> Callable[[Call, Look], Axis | None]:
    def rule(call: Call, look: Look) -> Axis | None:
        axis = look(call["self"])
        if axis is None or axis.dim is None or _last(call, look, dims) < 0:
            return axis
        n, m = len(axis.spans), call.shape[axis.dim]
        first, last = np.arange(m) * n // m, -(-(np.arange(m) + 1) * n // m)
        index = np.arange(n)[None].repeat(m, 0)
        return axis.gathered(index, (index >= first[:, None]) & (index < last[:, None]))

    return rule


def _padded(call: Call, look: Look) -> Axis | None:
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


def _resized(call: Call, look: Look) -> Axis | None:
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


def _reduced(call: Call, look: Look) -> Axis | None:
    source = _source(call)
    axis, dims = look(source), call["dim"]
    dims = [dims] if isinstance(dims, int) else list(dims or range(source.ndim))
    if axis is None or axis.dim is None:
        return axis
    gone = {dim % source.ndim for dim in dims}
    kept = axis.mixed(gone)
    return kept if kept.dim is None or call["keepdim"] else kept.moved(kept.dim - sum(d < kept.dim for d in gone))


def _mixing_one(call: Call, look: Look) -> Axis | None:
    """Softmax, sums along a dimension, sorting."""
    axis = look(call["self"])
    return axis and axis.mixed([call["dim"] % max(1, call["self"].ndim)])


def _layer_norm(call: Call, look: Look) -> Axis | None:
    source = _source(call)
    dims = range(source.ndim - len(call["normalized_shape"]), source.ndim)
    rest = (axis and axis.everywhere for axis in map(look, call.tensors[1:]))
    axis = look(source)
    return union([axis and axis.mixed(dims), *rest])


def _batch_norm(call: Call, look: Look) -> Axis | None:
    axis, source = look(call["input"]), call["input"]
    if axis is not None and call.arguments.get("training", "no_training" not in call.name):
        axis = axis.mixed(d for d in range(source.ndim) if d != 1)
    return union([axis, *(known and known.everywhere for known in map(look, call.tensors[1:]))])


def _group_norm(call: Call, look: Look) -> Axis | None:
    axis = look(call["input"])
    rest = (known and known.everywhere for known in map(look, call.tensors[1:]))
    return union([axis and axis.mixed(range(1, call["input"].ndim)), *rest])


def _matrices(call: Call, look: Look) -> Axis | None:
    """``mm``, ``addmm``, ``bmm``, ``baddbmm``: (…, n, k) by (…, k, m), and a bias."""
    left, right = (call[name] for name in _FACTORS[call.name])
    a, b, n = look(left), look(right), left.ndim
    bias = _broadcast(look(call["self"]), call["self"].shape, call.shape) if call.name in ("addmm", "baddbmm") else None
    return union([a and a.mixed([n - 1]), b and b.mixed([n - 2]), bias])


_FACTORS = {"mm": ("self", "mat2"), "addmm": ("mat1", "mat2"), "bmm": ("self", "mat2"), "baddbmm": ("batch1", "batch2")}


def _linear(call: Call, look: Look) -> Axis | None:
    axis = look(call["input"])
    rest = (known and known.everywhere for known in map(look, call.tensors[1:]))
    return union([axis and axis.mixed([call["input"].ndim - 1]), *rest])


def _attention(call: Call, look: Look) -> Axis | None:
    """Scaled dot products of (…, tokens, width): a token reads its query and all keys and values of its window."""
    query, n = look(call["query"]), call["query"].ndim
    rest = [known and known.mixed([n - 2, n - 1]) for known in (look(call["key"]), look(call["value"]))]
    mask = look(call.arguments.get("attn_mask", call.arguments.get("attn_bias")))
    return union([query and query.mixed([n - 1]), *rest, mask and mask.everywhere])


def _concatenated(call: Call, look: Look) -> Axis | None:
    tensors = [t for t in call["tensors"] if t.shape != (0,)]
    dim = call["dim"] % len(call.shape)
    axes = [look(tensor) for tensor in tensors]
    return _in_a_row(axes, [tensor.shape[dim] for tensor in tensors], dim)


def _in_a_row(axes: list[Axis | None], sizes: list[int], dim: int) -> Axis | None:
    """Tensors of some sizes along ``dim``, one after another."""
    along = any(axis is not None and axis.dim == dim for axis in axes)
    if not along and any(axis is not None and axis.dim is not None for axis in axes):
        return union(axes)
    parts = []
    for axis, size in zip(axes, sizes, strict=True):
        spans = np.array([[BIG, 0]]) if axis is None else axis.spans if axis.dim == dim else axis.everywhere.spans
        parts.append(spans if axis is not None and axis.dim == dim else spans.repeat(size, 0))
    joined = Axis(dim, np.concatenate(parts))
    return joined if along or (joined.spans != joined.spans[0]).any() else joined.everywhere


def _stacked(call: Call, look: Look) -> Axis | None:
    dim = call["dim"] % len(call.shape)
    axes = [look(tensor) for tensor in call["tensors"]]
    moved = [a if a is None or a.dim is None else a.moved(a.dim + (a.dim >= dim)) for a in axes]
    return _in_a_row(moved, [1] * len(moved), dim)


def _repeated(call: Call, look: Look) -> Axis | None:
    axis = look(call["self"])
    if axis is None or axis.dim is None:
        return axis
    dim = axis.dim + len(call["repeats"]) - call["self"].ndim
    return Axis(dim, np.tile(axis.spans, (call["repeats"][dim], 1)))


def _sliced(call: Call, look: Look) -> Axis | None:
    axis = look(call["self"])
    if axis is None or axis.dim != call["dim"] % call["self"].ndim:
        return axis
    return replace(axis, spans=axis.spans[slice(call["start"], call["end"], call["step"])])


def _selected(call: Call, look: Look) -> Axis | None:
    axis, dim = look(call["self"]), call["dim"] % call["self"].ndim
    if axis is None or axis.dim is None:
        return axis
    if axis.dim == dim:
        return Axis(None, axis.spans[[call["index"]]])
    return axis.moved(axis.dim - (axis.dim > dim))


def _index_selected(call: Call, look: Look) -> Axis | None:
    axis, index = look(call["self"]), look(call["index"])
    if axis is None or index is not None or axis.dim != call["dim"] % call["self"].ndim:
        return union([axis, index and index.everywhere])
    return replace(axis, spans=axis.spans[call["index"].reshape(-1).cpu().numpy()])


def _split(call: Call, look: Look) -> list[Axis | None]:
    axis, dim = look(call["self"]), call["dim"] % call["self"].ndim
    if axis is None or axis.dim != dim:
        return [axis] * len(call.outputs)
    ends = np.cumsum([part.shape[dim] for part in call.outputs])
    return [replace(axis, spans=spans) for spans in np.split(axis.spans, ends[:-1])]


def _unbound(call: Call, look: Look) -> list[Axis | None]:
    axis, dim = look(call["self"]), call["dim"] % call["self"].ndim
    if axis is not None and axis.dim == dim:
        return [Axis(None, axis.spans[[i]]) for i in range(len(call.outputs))]
    moved = axis if axis is None or axis.dim is None else axis.moved(axis.dim - (axis.dim > dim))
    return [moved] * len(call.outputs)


def _reordered(call: Call, look: Look) -> Axis | None:
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


def _unsqueezed(call: Call, look: Look) -> Axis | None:
    axis, dim = look(call["self"]), call["dim"] % len(call.shape)
    return axis if axis is None or axis.dim is None else axis.moved(axis.dim + (axis.dim >= dim))


def _rolled(call: Call, look: Look) -> Axis | None:
    axis, dims = look(call["self"]), [dim % call["self"].ndim for dim in call["dims"]]
    if axis is None or axis.dim is None or not dims:
        return axis and axis.everywhere
    shift = sum(s for s, dim in zip(call.arguments.get("shifts", dims), dims, strict=True) if dim == axis.dim)
    if call.name == "flip":
        return replace(axis, spans=axis.spans[::-1]) if axis.dim in dims else axis
    return replace(axis, spans=np.roll(axis.spans, shift, 0))


def _unfolded(call: Call, look: Look) -> Axis | None:
    axis = look(call["self"])
    if axis is None or axis.dim is None or axis.dim != call["dimension"] % call["self"].ndim:
        return axis
    return axis.gathered(_windows(call.shape[axis.dim], call["size"], call["step"], 0, 1))


def _shuffled(call: Call, look: Look) -> Axis | None:
    """``pixel_shuffle`` and its inverse."""
    axis = look(call["self"])
    if axis is None or axis.dim is None or _last(call, look, 2) < 0:
        return axis and axis.everywhere
    if call.name == "pixel_shuffle":
        return replace(axis, spans=axis.spans.repeat(call["upscale_factor"], 0))
    factor = call["downscale_factor"]
    return axis.gathered(_windows(call.shape[axis.dim], factor, factor, 0, 1))


def _viewed(call: Call, look: Look) -> Axis | None:
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
            return Axis(dim, axis.spans[np.arange(size) * new // step % n])
        if size > 1 and new % step == 0 and (n * step) % (size * new) == 0:
            within.append(dim)
    if math.prod(after[dim] for dim in within) != n:
        return axis.everywhere
    spans = axis.spans.reshape([*(after[dim] for dim in within), 2])
    for place in range(len(within)):
        others = tuple(other for other in range(len(within)) if other != place)
        first, last = spans[..., 0].min(others), spans[..., 1].max(others)
        if (spans[..., 0].max(others) == first).all() and (spans[..., 1].min(others) == last).all():
            return Axis(within[place], np.stack([first, last], 1))
    others = tuple(range(1, len(within)))
    return Axis(within[0], np.stack([spans[..., 0].min(others), spans[..., 1].max(others)], 1))


_RULES: dict[str, Callable[[Call, Look], Any]] = {
    **dict.fromkeys(("_to_copy", "detach", "alias", "lift", "lift_fresh", "clone", "contiguous"), _unchanged),
    **dict.fromkeys(("zero", "hardswish"), _unchanged),
    **dict.fromkeys(("channel_shuffle", "native_channel_shuffle"), _channels_shuffled),
    **dict.fromkeys(("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"), _independent),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"), _independent),
    **dict.fromkeys(("sort", "topk", "glu"), _mixing_one),
    # Activations that PyTorch did not call pointwise before its version 2.5.
    **dict.fromkeys(
        ("hardtanh", "relu6", "hardsigmoid", "elu", "leaky_relu", "threshold", "mish", "softplus"), _elementwise
    ),
    **dict.fromkeys(
        ("celu", "selu", "native_dropout", "log_sigmoid_forward", "softshrink", "hardshrink"), _elementwise
    ),
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
