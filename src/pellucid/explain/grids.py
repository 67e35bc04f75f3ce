"""Activations as grids over the image: channel maps of CNNs, tokens of transformers, channels-last maps."""

import math
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.rectifiers import UndefinedMethodError
from pellucid.explain.returns import Return, record_returns
from pellucid.explain.subject import Subject


def grid_shape(shape: torch.Size | tuple[int, ...], aspect: float) -> tuple[str, int, int, int] | None:
    """How an activation of a given shape covers the image: (kind, rows, columns, channels), or None where it does not.

    Kinds: 'maps' (N, C, h, w); 'channels last' (N, h, w, C); 'tokens' (N, T, C), where T is rows × columns plus a few
    leading tokens (class, registers). ``aspect``: image height / width, which tells channels from positions.
    """
    if len(shape) == 4:
        _, a, b, c = shape
        last = not _covers(b, c, aspect) and _covers(a, b, aspect)
        return ("channels last", a, b, c) if last else ("maps", b, c, a)
    if len(shape) == 3:
        tokens = shape[1]
        for prefix in range(min(tokens, 17)):  # a class token, a distillation token, up to sixteen registers
            rows = round(math.sqrt((tokens - prefix) * aspect))
            if rows and (tokens - prefix) % rows == 0:
                columns = (tokens - prefix) // rows
                if columns > 1 and rows > 1 and abs(math.log(rows / columns / aspect)) < 0.05:
                    return ("tokens", rows, columns, shape[2])
    return None


def _covers(rows: int, columns: int, aspect: float) -> bool:
    """Whether a grid has the image's shape, but for a row or a column lost or won where strides were rounded."""
    return abs(rows - columns * aspect) <= 1 + 0.1 * rows or abs(columns - rows / aspect) <= 1 + 0.1 * columns


def as_grid(activation: Tensor, aspect: float, layer: str) -> Tensor:
    """An activation as (N, C, h, w), whatever its layout; its graph is kept.

    Raises PellucidError for an activation that has no positions.
    """
    found = grid_shape(activation.shape, aspect)
    if found is None:
        raise PellucidError(
            f"layer '{layer}' gives shape {tuple(activation.shape)}, which has no positions over the image; "
            "choose a layer before the pooling"
        )
    kind, rows, columns, _ = found
    if kind == "maps":
        return activation
    if kind == "channels last":
        return activation.permute(0, 3, 1, 2)
    patches = activation[:, activation.shape[1] - rows * columns :]
    return patches.transpose(1, 2).unflatten(2, (rows, columns))


@dataclass(frozen=True)
class _Step:
    """One module's return during a pass, and the grid of its output."""

    of: Return
    grid: tuple[str, int, int, int] | None

    @property
    def module(self) -> nn.Module:
        return self.of.module


_found: "weakref.WeakKeyDictionary[nn.Module, dict[tuple[object, ...], str]]" = weakref.WeakKeyDictionary()


def last_conv(subject: Subject) -> str:
    """The layer that CAM methods use by default: the last one whose activation still covers the image.

    For CNNs the last convolution that is run, with the normalisation, activation and shortcut that follow it before any
    pooling (Selvaraju et al. 2017, section 3); for transformers the normalised input of the last attention block, the
    last place where every patch still reaches the prediction. Found by one forward pass, once for a network and input
    size. Raises UndefinedMethodError where there is none.
    """
    known = _found.setdefault(subject.network, {})
    # With the layers themselves, since a person may replace some (a new head) between two questions.
    layers = ((name, type(module)) for name, module in subject.network.named_modules())
    key = (*subject.frame.shape[-2:], *layers)
    if key not in known:
        known[key] = _find_last_conv(subject)
    return known[key]


def _find_last_conv(subject: Subject) -> str:
    h, w = subject.frame.shape[-2:]
    recorded = record_returns(subject)
    steps = [_Step(one, grid_shape(one.shape, h / w)) for one in recorded.returns]
    # for each attention layer run: how many modules had returned when it began
    began = [before for module, before in recorded.entered if "attention" in type(module).__name__.lower()]
    step = _choose(steps, began)
    if step is None:
        raise UndefinedMethodError(
            "this network has no layer whose activation covers the image; name one with layer=, or take a method that "
            "needs none, such as saliency"
        )
    return recorded.text(step.of)


def _choose(steps: list[_Step], began: list[int]) -> _Step | None:
    maps = [i for i, s in enumerate(steps) if s.grid and s.grid[0] != "tokens" and s.grid[1] * s.grid[2] > 1]
    tokens = [i for i, s in enumerate(steps) if s.grid and s.grid[0] == "tokens"]
    if tokens and (not maps or tokens[-1] > maps[-1]):
        before_attention = [i for i in tokens if began and i < began[-1]]
        return steps[before_attention[-1] if before_attention else tokens[-1]]
    convolutions = [i for i in maps if isinstance(steps[i].module, (nn.Conv2d, nn.ConvTranspose2d))]
    if not convolutions:
        return steps[maps[-1]] if maps else None
    last = convolutions[-1]
    positions = _positions(steps[last])
    after = [steps[i] for i in maps if i > last and not _passes_on(steps[i].module)]
    coarser = [s for s in after if s.grid and s.grid[0] == "channels last" and _positions(s) != positions]
    if coarser:  # a windowed transformer: its only convolution embeds the patches
        return coarser[-1]
    chosen = steps[last]
    for step in after:
        if _positions(step) != positions:
            break
        chosen = step
    return chosen


def _positions(step: _Step) -> tuple[int, int]:
    assert step.grid is not None
    return step.grid[1:3]


def _passes_on(module: nn.Module) -> bool:
    """Whether a module only pools or hands on what another computed: never the layer that a person would name."""
    return isinstance(module, nn.Identity) or "pool" in type(module).__name__.lower()
