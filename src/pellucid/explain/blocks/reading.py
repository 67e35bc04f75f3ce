"""A layer at one photo: its activation, and how an objective's value leans on it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.attribution import resolve_layer
from pellucid.explain.forward import layer_gradients
from pellucid.explain.grids import as_grid, grid_shape, last_conv
from pellucid.explain.objectives import Objective, as_objective
from pellucid.explain.subject import Subject, untouched
from pellucid.explain.watching import first_tensor, watch
from pellucid.structures import Placement

FINE = 10
"""The rows and columns from which on a grid shows where things are."""

Asked = Objective | Callable[[Any], Tensor] | str | int


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


@dataclass(frozen=True)
class _Returned:
    name: str
    call: int
    rows: int
    columns: int

    @property
    def positions(self) -> int:
        return self.rows * self.columns


def fine_layer(subject: Subject) -> str:
    """The layer whose grid is shown by default: deep, and fine enough to show where things are.

    'last conv' where its grid has at least 10 rows and columns; else the last stage before the grid became that coarse,
    which is the outermost of the layers with the next finer grid, and the last of these ('blocks.4' of the embedded
    network, 'layer3' of a ResNet). Raises PellucidError where no layer covers the image.
    """
    last = last_conv(subject)
    returned, calls = _returned(subject)
    name, _, call = last.partition("#")
    at = next(i for i, r in enumerate(returned) if r.name == name and r.call == int(call or 0))
    if min(returned[at].rows, returned[at].columns) >= FINE:
        return last
    finer = [r for r in returned[:at] if r.positions > returned[at].positions]
    if not finer:
        return last
    next_finer = min(r.positions for r in finer)
    stages = [r for r in finer if r.positions == next_finer]
    depth = min(r.name.count(".") for r in stages)
    chosen = [r for r in stages if r.name.count(".") == depth][-1]
    return chosen.name if calls[chosen.name] == 1 else f"{chosen.name}#{chosen.call}"


def _returned(subject: Subject) -> tuple[list[_Returned], dict[str, int]]:
    """Every return of a layer that covers the image, in order, and how often each layer was called."""
    h, w = subject.frame.shape[-2:]
    returned: list[_Returned] = []
    calls: dict[str, int] = {}

    def noting(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            call = calls[name] = calls.get(name, -1) + 1
            tensor = first_tensor(output)
            grid = None if tensor is None else grid_shape(tensor.shape, h / w)
            if grid is not None:
                returned.append(_Returned(name, call, grid[1], grid[2]))

        return note

    handles = [module.register_forward_hook(noting(n)) for n, module in subject.network.named_modules() if n]
    try:
        with untouched(subject.model), torch.no_grad():
            subject.run(subject.frame[:1])
    finally:
        for handle in handles:
            handle.remove()
    return returned, {name: last + 1 for name, last in calls.items()}
