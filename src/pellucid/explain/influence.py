"""Which classes a channel pushes: gradient × activation from a layer to all logits at once, in forward mode."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from pellucid.errors import PellucidError
from pellucid.explain.frozen import FrozenNormalisation
from pellucid.explain.grids import as_grid, grid_shape
from pellucid.explain.subject import Subject, is_framed, logits_of, untouched
from pellucid.explain.watching import LayerCall, _replace_first, first_tensor, match_layers
from pellucid.structures import Photo


def class_influence(
    model: nn.Module,
    photos: Sequence[Sequence[Photo]],
    layer: str,
    channels: Sequence[int],
    *,
    batch_size: int = 16,
) -> Tensor:
    """How far each channel pushes every class: its gradient × activation summed over positions, the mean over photos.

    ``photos``: for each channel the photos to look at, its strongest ones most often. ``channels``: of ``layer``, which
    is named as for ``watch`` and may have any layout; all tokens of a channel count, the class token too.
    Returns (len(channels), K) float32, Σ ∂logit_c/∂A · A, each row centred over the classes, since the softmax does not
    see what all logits have in common. Exact: the logits' directional derivative along the channel's own activation,
    for all classes by one forward pass in forward mode, or, where an operation has no such rule, by one backward pass
    a class. The first-order term of what removing the channel would take from each logit (Molchanov et al. 2017).
    Raises PellucidError for an unknown layer or channel, a layer not reached, and a network without class logits.
    """
    if len(photos) != len(channels):
        raise PellucidError(
            f"class_influence: {len(channels)} channels but {len(photos)} lists of photos; give one each"
        )
    if not channels or not all(len(some) for some in photos):
        raise PellucidError(f"class_influence: layer '{layer}' needs a channel, and a photo for each channel")
    name = _single(match_layers(model.network if is_framed(model) else model, layer), layer)
    frames = _Frames(model, photos)
    pairs = sorted(
        ((frames.key(photo), row) for row, some in enumerate(photos) for photo in some),
        key=lambda pair: tuple(frames[pair[0]].shape),  # what goes into one batch must have one size
    )
    sums: Tensor | None = None
    way: Callable[..., Tensor] = _forward_mode
    with untouched(model), torch.no_grad():
        for batch in _batches(pairs, batch_size, lambda pair: tuple(frames[pair[0]].shape)):
            images = torch.cat([frames[key] for key, _ in batch])
            rows = torch.tensor([row for _, row in batch])
            wanted = torch.tensor([channels[row] for _, row in batch])
            subject = Subject.of_frames(model, images)
            try:
                found = way(subject, name, wanted)
            except (NotImplementedError, RuntimeError) as error:
                if way is _backward or isinstance(error, torch.OutOfMemoryError):
                    raise
                way = _backward
                found = way(subject, name, wanted)
            found = found.detach().float().cpu()
            sums = torch.zeros(len(channels), found.shape[1]) if sums is None else sums
            sums.index_add_(0, rows, found)
    assert sums is not None
    means = sums / torch.tensor([[len(some)] for some in photos])
    if not torch.isfinite(means).all():
        raise PellucidError(f"layer '{layer}': its influence on the classes is NaN or infinite; check the weights")
    return means - means.mean(1, keepdim=True)


def _single(names: list[str], layer: str) -> str:
    if len(names) != 1:
        raise PellucidError(f"layer '{layer}' means {len(names)} layers, {', '.join(names[:3])} …; name one of them")
    return names[0]


class _Frames:
    """Every photo once, as the network sees it, whichever channels ask for it."""

    def __init__(self, model: nn.Module, photos: Sequence[Sequence[Photo]]) -> None:
        self._made: dict[object, Tensor] = {}
        for photo in (photo for some in photos for photo in some):
            if self.key(photo) not in self._made:
                self._made[self.key(photo)] = Subject(model, photo).frame[:1]

    @staticmethod
    def key(photo: Photo) -> object:
        """Paths by their text, all else by identity (the caller holds it meanwhile)."""
        return str(photo) if isinstance(photo, (str, Path)) else id(photo)

    def __getitem__(self, key: object) -> Tensor:
        return self._made[key]


def _batches(pairs: list[Any], size: int, kind: Callable[[Any], object]) -> list[list[Any]]:
    batches: list[list[Any]] = []
    for pair in pairs:
        if not batches or len(batches[-1]) == size or kind(batches[-1][0]) != kind(pair):
            batches.append([])
        batches[-1].append(pair)
    return batches


def _forward_mode(subject: Subject, layer: str, channels: Tensor) -> Tensor:
    """(N, K): the logits' tangents, each row's along its own channel of the layer."""
    with ExitStack() as within:
        within.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch's own forward rules use what it has deprecated itself
        within.enter_context(forward_ad.dual_level())
        within.enter_context(FrozenNormalisation())
        within.enter_context(sdpa_kernel(SDPBackend.MATH))  # the fused kernels have no forward rule

        def along(activation: Tensor) -> Tensor:
            mask = _mask(activation, channels, layer, subject.frame)
            # a copy: what runs in place after the layer must not change the tangent's own memory
            return forward_ad.make_dual(activation.clone(), activation * mask)

        within.enter_context(_replaced(subject.network, layer, along))
        logits, tangent = forward_ad.unpack_dual(logits_of(subject.run(subject.frame)))
    # no tangent: the logits do not depend on the layer, which pushes nothing
    return torch.zeros_like(logits) if tangent is None else tangent


def _backward(subject: Subject, layer: str, channels: Tensor) -> Tensor:
    """The same by backpropagation, once for every class."""
    seen: list[Tensor] = []

    def leaf(activation: Tensor) -> Tensor:
        seen.append(activation.detach().requires_grad_())
        return seen[0].clone()

    with torch.enable_grad(), FrozenNormalisation(), _replaced(subject.network, layer, leaf):
        logits = logits_of(subject.run(subject.frame))
        columns = logits.sum(0).unbind()
    mask = _mask(seen[0], channels, layer, subject.frame)
    found = torch.zeros_like(logits)
    for index, column in enumerate(columns):
        if column.requires_grad:
            (gradient,) = torch.autograd.grad(column, seen[0], retain_graph=True, allow_unused=True)
            if gradient is not None:
                found[:, index] = (gradient * seen[0] * mask).flatten(1).sum(1)
    return found


def _mask(activation: Tensor, channels: Tensor, layer: str, frame: Tensor) -> Tensor:
    """1 where a row's own channel is, broadcast over its positions."""
    aspect = frame.shape[-2] / frame.shape[-1]
    axis = 1
    if activation.ndim != 2:
        found = grid_shape(activation.shape, aspect)
        if found is None:
            as_grid(activation, aspect, layer)  # says what is wrong
        axis = 1 if found is not None and found[0] == "maps" else activation.ndim - 1
    count = activation.shape[axis]
    outside = [c for c in channels.tolist() if not 0 <= c < count]
    if outside:
        raise PellucidError(f"layer '{layer}': there is no channel {outside[0]}; it has {count}, 0 to {count - 1}")
    shape = [len(channels) if d == 0 else count if d == axis else 1 for d in range(activation.ndim)]
    picked = torch.nn.functional.one_hot(channels, count).to(activation)
    return picked.view(shape)


@contextmanager
def _replaced(network: nn.Module, layer: str, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within it the network goes on from a layer with what ``change`` makes of its output; then the hook is gone."""
    wanted = LayerCall.parse(layer)
    calls = 0

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        if wanted.call is None and calls > 1:
            return None
        if wanted.call is not None and calls - 1 != wanted.call:
            return None
        tensor = first_tensor(output)
        if tensor is None:
            raise PellucidError(f"layer '{layer}' gives no tensor; choose another layer")
        return _replace_first(output, change(tensor))

    handle = network.get_submodule(wanted.name).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if calls == 0:
        raise PellucidError(
            f"layer '{layer}' was not reached by the forward pass; choose a layer that the network runs"
        )
    if wanted.call is None and calls > 1:
        raise PellucidError(
            f"layer '{layer}' is called {calls} times in a pass; say which call: '{layer}#0' to '{layer}#{calls - 1}'"
        )
    if wanted.call is not None and calls <= wanted.call:
        raise PellucidError(f"layer '{layer}': '{wanted.name}' is called {calls} times in a pass, 0 to {calls - 1}")
