"""Objectives: what is asked of a network, as one number an image.

An objective is the h_ij(θ, x) of the literature (Erhan et al. 2009, section 2): a scalar read off a layer's activation
or off the predictions. Attribution differentiates it at one image; synthesis climbs it; search ranks a data set by it.

>>> 2 * channel("blocks.3.1", 42) - 0.5 * class_logit("tabby")
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.grids import as_grid
from pellucid.explain.subject import each_image, logits_of, split_images
from pellucid.structures import Classes
from pellucid.structures.trace import Part, Trace


@dataclass(frozen=True)
class Pass:
    """What one forward pass left behind: all that an objective may read.

    ``activations``: the watched layers' outputs by name. ``predictions``: what the model said, None where the pass
    stopped at a layer. ``frame``: (N, 3, h, w), the images themselves. ``classes``: names for the class indices, if
    known.
    """

    activations: Mapping[str, Tensor]
    predictions: Any
    frame: Tensor
    classes: Classes | None

    def split(self, images: int) -> list["Pass"]:
        """Passes of ``images`` images each: what objectives read that are not the same for the whole batch."""
        count = len(self.frame) // images
        # split, not indexing: going back through it puts the pieces together once, not once for each piece
        activations = {name: tensor.split(len(tensor) // count) for name, tensor in self.activations.items()}
        predictions = [None] * count if self.predictions is None else split_images(self.predictions, count)
        frames = self.frame.split(images)
        return [
            Pass({name: pieces[i] for name, pieces in activations.items()}, predictions[i], frames[i], self.classes)
            for i in range(count)
        ]


@dataclass(frozen=True)
class Leaf:
    """What an objective reads of a trace: a part of a candidate, or of a detection (``structures.trace.Trace``).

    ``row_of``: the candidate's row, for the part 'class'; for others the detection's number. ``alone``: whether it
    reads nothing else, so that the gradient at the candidate's own features is all there is. ``box``: where the part is
    asked of a box (``Trace.said_at``); ``row_of`` then gives the candidate nearest to it.
    """

    part: Part
    row_of: Callable[[Trace], int]
    alone: bool = True
    box: tuple[float, ...] | None = None

    def candidate(self, trace: Trace) -> int:
        """The row of the candidate that it is about."""
        row = self.row_of(trace)
        return row if self.part == "class" or self.box is not None else int(trace.rows[row])

    def layer(self, trace: Trace) -> str | None:
        """The layer from which it is read; see ``Trace.layer``."""
        return trace.layer(self.part, self.row_of(trace) if self.box is None else self.box)


@dataclass(frozen=True)
class Objective:
    """A scalar for each image, with what it needs of the network.

    ``text``: the objective in words. ``layers``: the layers it reads. ``reads_predictions``: whether the pass must run
    to its end. ``value_of``: from a :class:`Pass` to (N,) values that carry their graph. ``traced``: whether it reads
    the model's trace. ``probability``: where the objective has one, 0 to 1, the same of a Pass. ``following``: where
    the objective means an object of one image, given the pass over that image, what means the same object in images
    that were changed. ``likeness``: the same, of what is reported alone: how like the object the reported one is that
    is most like it, 0 to 1. ``leaf``: where it depends on one candidate alone. Objectives add, subtract, negate and
    scale.
    """

    text: str
    layers: tuple[str, ...]
    reads_predictions: bool
    value_of: Callable[[Pass], Tensor]
    traced: bool = False
    probability: Callable[[Pass], Tensor] | None = None
    following: "Callable[[Pass], Objective] | None" = None
    likeness: "Callable[[Pass], Objective] | None" = None
    leaf: Leaf | None = None

    def __call__(self, forward: Pass) -> Tensor:
        """(N,) values, one an image."""
        values = self.value_of(forward)
        if values.shape != (len(forward.frame),):
            raise PellucidError(
                f"objective '{self.text}' gave shape {tuple(values.shape)}, not one number for each image"
            )
        return values

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: "Objective") -> "Objective":
        if not isinstance(other, Objective):
            return NotImplemented
        return _joined(f"{self} + {other}", (self, other), lambda a, b: a + b)

    def __radd__(self, other: object) -> "Objective":
        return self if other == 0 else NotImplemented  # what sum() begins with

    def __sub__(self, other: "Objective") -> "Objective":
        if not isinstance(other, Objective):
            return NotImplemented
        return _joined(f"{self} - {_bracketed(other)}", (self, other), lambda a, b: a - b)

    def __mul__(self, factor: float) -> "Objective":
        if isinstance(factor, bool) or not isinstance(factor, (int, float)):
            return NotImplemented
        return _joined(f"{factor:g}*{_bracketed(self)}", (self,), lambda a: factor * a)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Objective":
        return self * (1 / divisor)

    def __neg__(self) -> "Objective":
        return _joined(f"-{_bracketed(self)}", (self,), lambda a: -a)


def _bracketed(objective: Objective) -> str:
    return f"({objective})" if " + " in objective.text or " - " in objective.text else objective.text


def _joined(text: str, parts: tuple[Objective, ...], join: Callable[..., Tensor]) -> Objective:
    def following(forward: Pass) -> Objective:
        return _joined(text, tuple(part.following(forward) if part.following else part for part in parts), join)

    leaves = {part.leaf for part in parts}
    return Objective(
        text=text,
        layers=tuple(dict.fromkeys(layer for part in parts for layer in part.layers)),
        reads_predictions=any(part.reads_predictions for part in parts),
        value_of=lambda forward: join(*(part(forward) for part in parts)),
        traced=any(part.traced for part in parts),
        following=following if any(part.following for part in parts) else None,
        leaf=leaves.pop() if len(leaves) == 1 else None,
    )


def class_logit(name: str | int) -> Objective:
    """A class's score before the softmax, the class given by name or by index.

    Raises, when evaluated, PellucidError for an unknown class, and for a name where the model has no names.
    """

    def chosen(forward: Pass, values: Tensor) -> Tensor:
        return values[:, class_index(name, forward.classes, values.shape[1])]

    return Objective(
        str(name),
        (),
        True,
        lambda forward: chosen(forward, logits_of(forward.predictions)),
        probability=lambda forward: chosen(forward, logits_of(forward.predictions).softmax(1)),
    )


def class_index(name: str | int, classes: Classes | None, count: int) -> int:
    """The index of a class among ``count``, by name where names are known. Raises PellucidError."""
    if isinstance(name, str) and classes is None and not name.isdecimal():
        raise PellucidError(
            f"class '{name}': this network has no class names; give the class by its index, 0 to {count - 1}"
        )
    index = classes.index(name) if classes is not None else int(name)
    if not 0 <= index < count:
        raise PellucidError(f"class {index}: the network scores {count} classes, 0 to {count - 1}")
    return index


def neuron(layer: str, channel: int, y: int | None = None, x: int | None = None) -> Objective:
    """One unit of a layer: a channel at a position of its grid, the middle one by default.

    For (N, C) layers the channel itself.

    ``y``, ``x``: row and column of the layer's grid, counted from 0; negative ones count from the end.
    """

    def value(forward: Pass) -> Tensor:
        activation = _channels_first(layer, forward)
        column = _pick(activation, 1, channel, layer, "channel")
        if column.ndim == 1:
            return column
        h, w = column.shape[-2:]
        row = _pick(column, 1, h // 2 if y is None else y, layer, "row")
        return _pick(row, 1, w // 2 if x is None else x, layer, "column")

    return Objective(f"neuron {layer}:{channel}{_place(y, x)}", (layer,), False, value)


def channel(layer: str, index: int) -> Objective:
    """One channel of a layer, averaged over its positions (Olah et al. 2017)."""

    def value(forward: Pass) -> Tensor:
        column = _pick(_channels_first(layer, forward), 1, index, layer, "channel")
        return column.flatten(1).mean(1) if column.ndim > 1 else column

    return Objective(f"{layer}:{index}", (layer,), False, value)


def layer(name: str) -> Objective:
    """A whole layer: the mean of its squared activations (DeepDream, Mordvintsev et al. 2015)."""
    return Objective(
        f"layer {name}", (name,), False, lambda forward: _activation(name, forward).flatten(1).square().mean(1)
    )


def direction(
    layer: str, vector: Tensor, *, y: int | None = None, x: int | None = None, cosine_power: float = 0
) -> Objective:
    """A direction in a layer's channel space.

    The dot product with ``vector`` (C,), averaged over positions, or at one of them. ``cosine_power``: p of the factor
    max(0.1, cos)^p at each position, which keeps synthesis to the direction rather than to what is merely strong
    (Carter et al. 2019, Activation Atlas); 0 for the plain dot product.

    Raises, when evaluated, PellucidError where the layer has another number of channels.
    """
    vector = torch.as_tensor(vector).detach().float().flatten()

    def value(forward: Pass) -> Tensor:
        activation = _channels_first(layer, forward)
        if activation.shape[1] != len(vector):
            raise PellucidError(f"layer '{layer}' has {activation.shape[1]} channels, the direction has {len(vector)}")
        wanted = vector.to(activation)
        along = torch.einsum("nc...,c->n...", activation, wanted)
        if cosine_power:
            lengths = activation.norm(dim=1) * wanted.norm()
            along = along * (along / (lengths + 1e-6)).clamp(min=0.1) ** cosine_power
        if along.ndim == 1:
            return along
        if y is not None:
            along = _pick(along, 1, y, layer, "row")[:, None]
        if x is not None:
            along = _pick(along, along.ndim - 1, x, layer, "column")
        return along.flatten(1).mean(1) if along.ndim > 1 else along

    return Objective(f"direction in {layer}{_place(y, x)}", (layer,), False, value)


def of_predictions(function: Callable[[Any], Tensor], text: str | None = None) -> Objective:
    """Any function of what the model says of one image.

    An ``Annotations`` of our models, a row of a bare module's output.

    ``function`` returns a scalar tensor that carries its graph. ``text``: the objective in words (the function's name
    by default).
    """

    def value(forward: Pass) -> Tensor:
        images = each_image(forward.predictions, len(forward.frame))
        return torch.stack([torch.as_tensor(function(said)).reshape(()) for said in images])

    name = text or getattr(function, "__name__", "function").replace("<lambda>", "function of the predictions")
    return Objective(name, (), True, value)


Asked = Objective | Callable[[Any], Tensor] | str | int
"""What a person may ask of a network: see :func:`as_objective`."""


def as_objective(given: Asked) -> Objective:
    """An objective as it is; a class name or index as its logit; a plain function as a function of the predictions."""
    if isinstance(given, Objective):
        return given
    if isinstance(given, (str, int)):
        return class_logit(given)
    if callable(given):
        return of_predictions(given)
    raise PellucidError(f"{given!r} is no objective; give a class, an Objective, or a function of the predictions")


def _place(y: int | None, x: int | None) -> str:
    return "" if y is None and x is None else f"@{'' if y is None else y},{'' if x is None else x}"


def _activation(name: str, forward: Pass) -> Tensor:
    if name not in forward.activations:
        raise PellucidError(f"layer '{name}' was not recorded in this pass")
    return forward.activations[name]


def _channels_first(name: str, forward: Pass) -> Tensor:
    """(N, C, h, w), or (N, C) for a layer without positions."""
    activation = _activation(name, forward)
    if activation.ndim == 2:
        return activation
    h, w = forward.frame.shape[-2:]
    return as_grid(activation, h / w, name)


def _pick(values: Tensor, dim: int, index: int, layer: str, what: str) -> Tensor:
    size = values.shape[dim]
    if not -size <= index < size:
        raise PellucidError(f"layer '{layer}' has {size} {what}s, 0 to {size - 1}; there is no {what} {index}")
    return values.select(dim, index)
