"""Channel attribution: which channels of a layer an objective's value rests on, and where."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.blocks.reading import Reading, read_layer
from pellucid.explain.objectives import Asked
from pellucid.explain.subject import Subject
from pellucid.structures import Photo, Placement


@dataclass(frozen=True)
class ChannelAttribution:
    """What each channel of a layer adds to an objective's value, to first order.

    ``attributions``: (C,) float64, gradient × activation summed over positions, in the objective's own units: above
    zero for it, below against it. ``maps``: (C, h, w) float64, the same position by position. ``signs``: (C,) int64 +1
    or −1, the side of zero on which the channel was where it counted: a channel of a layer without an activation
    function may speak by being negative. ``value``: the objective's value. ``placement``: where the frame that the
    grid covers lies on the photo.
    """

    layer: str
    target: str
    value: float
    attributions: Tensor
    maps: Tensor
    signs: Tensor
    placement: Placement

    def supporting(self, count: int) -> list[int]:
        """The channels that add most to the objective, the strongest first; fewer where fewer add anything."""
        return self._first(self.attributions, count)

    def opposing(self, count: int) -> list[int]:
        """The channels that take most from the objective, the strongest first."""
        return self._first(-self.attributions, count)

    @staticmethod
    def _first(values: Tensor, count: int) -> list[int]:
        if count < 0:
            raise PellucidError(f"{count} channels cannot be listed; give 0 or more")
        order = values.argsort(descending=True, stable=True)[:count]
        return [int(i) for i in order if values[i] > 0]


def channel_attribution(
    model: nn.Module, photo: Photo, objective: Asked, layer: str | None = None
) -> ChannelAttribution:
    """What each channel of a layer adds to an objective at one photo: gradient × activation, summed over positions.

    ``model``: what ``pellucid.load`` returns, or any module that maps (N, 3, H, W) to predictions. ``objective``: an
    Objective, a class, or a function of the predictions. ``layer``: a layer's name, 'last conv' by default: in most
    CNNs what follows it is linear, and there the attributions sum to the class's logit less its bias. Elsewhere they
    are a first-order estimate, and the deeper the network goes on after the layer, the rougher. One forward pass, and
    backpropagation to the layer only.

    Source: Olah et al. 2018, "How are concepts assembled?". Raises PellucidError for an unknown layer or class, a layer
    without positions, an objective that does not depend on the layer, and NaN.
    """
    return channels_of(read_layer(Subject(model, photo), layer, objective))


def channels_of(reading: Reading) -> ChannelAttribution:
    """As :func:`channel_attribution`, of a reading that was made with an objective."""
    maps = reading.evidence()
    assert reading.target is not None
    assert reading.value is not None
    leaning = (reading.activation.double() * maps.abs()).flatten(1).sum(1)
    return ChannelAttribution(
        layer=reading.layer,
        target=reading.target,
        value=reading.value,
        attributions=maps.flatten(1).sum(1),
        maps=maps,
        signs=torch.where(leaning < 0, -1, 1),
        placement=reading.placement,
    )
