"""Neuron groups: a layer's activation at one photo as a few directions, each with the places where it occurs."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.blocks.reading import Reading, read_layer
from pellucid.explain.objectives import Asked
from pellucid.explain.subject import Subject
from pellucid.structures import Photo, Placement

ITERATIONS = 400


@dataclass(frozen=True)
class NeuronGroups:
    """A layer's activation as Σ_k maps_k ⊗ directions_k + a residual; groups that add most to the objective first.

    ``maps``: (K, h, w) float32 ≥ 0, in the activation's units. ``directions``: (K, C) float32, of length 1 (0 for a
    group that is empty). ``shares``: (K,) float64, of the activation's squared length; with ``residual_share`` they sum
    to 1. ``attributions``: (K,) float64, Σ over positions of gradient · (map × direction), in the objective's units;
    with ``residual_attribution`` they sum to the layer's whole gradient × activation. Without an objective both are
    None and the groups stand by share, largest first. ``target``, ``value``: the objective in words, and its value.
    """

    layer: str
    maps: Tensor
    directions: Tensor
    shares: Tensor
    residual_share: float
    placement: Placement
    target: str | None = None
    value: float | None = None
    attributions: Tensor | None = None
    residual_attribution: float | None = None

    def __len__(self) -> int:
        return len(self.maps)


def neuron_groups(
    model: nn.Module,
    photo: Photo,
    layer: str | None = None,
    groups: int = 6,
    objective: Asked | None = None,
    seed: int = 0,
) -> NeuronGroups:
    """Groups a layer's neurons by what fires together at one photo: non-negative matrix factorisation.

    What is factorised is positions × channels. So that layers without an activation function keep both signs, each
    channel stands in it twice, as max(A, 0) and as max(−A, 0); a group's direction is the one half less the other.
    ``layer``: as for ``channel_attribution``. ``groups``: how many. ``objective``: what their attributions are to; then
    they are ordered by it, the most supporting first, else by size. ``seed``: the same seed gives the same groups.

    Source: Olah et al. 2018, "Making things human-scale". Raises PellucidError for an unknown layer or class, a layer
    without positions or that is zero everywhere, more groups than positions or channels, and NaN.
    """
    return groups_of(read_layer(Subject(model, photo), layer, objective), groups, seed)


def check_groups(groups: int, shape: tuple[int, ...] | torch.Size, layer: str) -> None:
    """Raises PellucidError unless a layer of shape (C, h, w) can be split into so many groups."""
    channels, rows, columns = shape
    most = min(channels, rows * columns)
    if not 1 <= groups <= most:
        raise PellucidError(
            f"{groups} groups: layer '{layer}' has {rows} × {columns} positions and {channels} channels; "
            f"give 1 to {most}{', or choose a layer before the pooling' if rows * columns == 1 else ''}"
        )


def groups_of(reading: Reading, groups: int = 6, seed: int = 0) -> NeuronGroups:
    """As :func:`neuron_groups`, of a layer that was read already."""
    check_groups(groups, reading.activation.shape, reading.layer)
    activation = reading.activation.double().flatten(1).T  # positions × channels
    maps, directions = _factorised(activation, groups, reading.layer, seed)
    # rounded first: what is said of the groups is said of what the caller gets
    maps, directions = maps.float(), directions.float()
    squared = activation.square().sum()
    shares = _along(activation, maps, directions) / squared
    found = NeuronGroups(
        layer=reading.layer,
        maps=maps.unflatten(1, reading.activation.shape[1:]),
        directions=directions,
        shares=shares,
        residual_share=float(1 - shares.sum()),
        placement=reading.placement,
    )
    order = shares.argsort(descending=True, stable=True)
    if reading.gradient is None:
        return _ordered(found, order)
    gradient = reading.gradient.double().flatten(1).T
    attributions = _along(gradient, maps, directions)
    residual = activation - maps.double().T @ directions.double()
    order = attributions.argsort(descending=True, stable=True)
    return _ordered(found, order, reading, attributions, float((gradient * residual).sum()))


def _along(weights: Tensor, maps: Tensor, directions: Tensor) -> Tensor:
    """(K,): Σ over positions and channels of weights × map × direction, for each group."""
    return torch.einsum("pc,kp,kc->k", weights, maps.double(), directions.double())


def _ordered(
    found: NeuronGroups,
    order: Tensor,
    reading: Reading | None = None,
    attributions: Tensor | None = None,
    residual: float | None = None,
) -> NeuronGroups:
    return NeuronGroups(
        layer=found.layer,
        maps=found.maps[order],
        directions=found.directions[order],
        shares=found.shares[order],
        residual_share=found.residual_share,
        placement=found.placement,
        target=None if reading is None else reading.target,
        value=None if reading is None else reading.value,
        attributions=None if attributions is None else attributions[order],
        residual_attribution=residual,
    )


def _factorised(activation: Tensor, groups: int, layer: str, seed: int) -> tuple[Tensor, Tensor]:
    """(K, positions) maps and (K, C) directions of length 1, float64, of an activation (positions, C)."""
    from sklearn.decomposition import NMF  # takes half a second, and only groups need it
    from sklearn.exceptions import ConvergenceWarning

    largest = activation.abs().max()
    if largest == 0:
        raise PellucidError(f"layer '{layer}' is zero everywhere at this photo: there is nothing to group")
    scaled = activation / largest  # the solver's stopping rule knows no units
    halves = torch.cat([scaled.clamp(min=0), (-scaled).clamp(min=0)], 1)
    solver = NMF(groups, init="nndsvda", max_iter=ITERATIONS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what is left over is the residual's, which is reported
        occurrence = solver.fit_transform(halves.numpy())
    maps = torch.from_numpy(np.ascontiguousarray(occurrence.T)) * largest
    positive, negative = torch.from_numpy(solver.components_).chunk(2, dim=1)
    directions = positive - negative
    lengths = directions.norm(dim=1, keepdim=True)
    return maps * lengths, directions / lengths.where(lengths > 0, 1)
