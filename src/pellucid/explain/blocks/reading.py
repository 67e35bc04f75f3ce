"""A layer at one photo: its activation, and how an objective's value leans on it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.attribution import resolve_layer
from pellucid.explain.forward import layer_gradients
from pellucid.explain.grids import as_grid, grid_shape, last_conv
from pellucid.explain.objectives import Asked, as_objective
from pellucid.explain.returns import record_returns
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.watching import watch
from pellucid.structures import Placement

FINE = 10
"""The rows and columns from which on a grid shows where things are."""


@dataclass(frozen=True)
class Reading:
    """What one forward pass (and the way back to the layer) found at a layer, on the CPU.

    ``activation``: (C, h, w), whatever the layer's own layout; tokens that stand for no position are left out.
    ``gradient``: (C, h, w) of the objective's value with respect to it, None where no objective was asked for, as are
    ``target`` (the objective in words) and ``value``. ``placement``: where the frame that the grid covers lies on the
    photo.
    """

    layer: str
    activation: Tensor
    placement: Placement
    target: str | None = None
    value: float | None = None
    gradient: Tensor | None = None

    def evidence(self) -> Tensor:
        """(C, h, w) float64: gradient × activation, a linear estimate of what each unit adds to the objective."""
        if self.gradient is None:
            raise ValueError("this reading was made without an objective")
        return self.gradient.double() * self.activation.double()


def read_layer(subject: Subject, layer: str | None = None, objective: Asked | None = None) -> Reading:
    """Reads a layer at a subject's photo: one forward pass, and with an objective one way back to the layer.

    ``layer``: a name or glob of one layer, 'last conv' by default. Raises PellucidError for an unknown layer or class,
    a layer without positions, an objective that does not depend on the layer, NaN, and several photos.
    """
    if len(subject.frame) != 1:
        raise PellucidError(f"{len(subject.frame)} photos were given; the building blocks are of one photo at a time")
    name = resolve_layer(subject, layer)
    h, w = subject.frame.shape[-2:]
    placement = subject.placements[0]
    if objective is None:
        with untouched(subject.model), torch.no_grad(), watch(subject.network, [name]) as seen:
            activation = seen(subject.frame, through=subject.run)[name]
        return Reading(name, _plain(as_grid(activation, h / w, name), name), placement)
    asked = as_objective(objective)
    values, activation, gradients = layer_gradients(subject, subject.frame, [asked], layer=name)
    return Reading(
        layer=name,
        activation=_plain(as_grid(activation, h / w, name), name),
        placement=placement,
        target=str(asked),
        value=float(values[0][0]),
        gradient=_plain(as_grid(gradients[0], h / w, name), name),
    )


def _plain(grid: Tensor, layer: str) -> Tensor:
    grid = grid[0].detach().cpu()
    if not torch.isfinite(grid).all():
        raise PellucidError(f"layer '{layer}' holds NaN or infinite values; check the network's weights and its input")
    return grid.to(torch.promote_types(grid.dtype, torch.float32))


def fine_layer(subject: Subject) -> str:
    """The layer whose grid is shown by default: deep, and fine enough to show where things are.

    'last conv' where its grid has at least 10 rows and columns; else the last stage before the grid became that coarse,
    which is the outermost of the layers with the next finer grid, and the last of these ('blocks.4' of the embedded
    network, 'layer3' of a ResNet). Raises PellucidError where no layer covers the image.
    """
    last = last_conv(subject)
    h, w = subject.frame.shape[-2:]
    recorded = record_returns(subject)
    grids = [(one, grid) for one in recorded.returns if (grid := grid_shape(one.shape, h / w))]
    at = next(i for i, (one, _) in enumerate(grids) if last in (one.name, f"{one.name}#{one.call}"))
    _, rows, columns, _ = grids[at][1]
    if min(rows, columns) >= FINE:
        return last
    finer = [(one, grid[1] * grid[2]) for one, grid in grids[:at] if grid[1] * grid[2] > rows * columns]
    if not finer:
        return last
    next_finer = min(positions for _, positions in finer)
    stages = [one for one, positions in finer if positions == next_finer]
    depth = min(one.name.count(".") for one in stages)
    return recorded.text([one for one in stages if one.name.count(".") == depth][-1])
