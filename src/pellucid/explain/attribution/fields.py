"""What CAM methods look at: a layer's activation over the image, and an objective's gradient there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.explain.attribution.separate import separate_gradients
from pellucid.explain.forward import layer_gradients
from pellucid.explain.grids import as_grid
from pellucid.explain.objectives import Objective
from pellucid.explain.subject import Subject
from pellucid.structures import Placement


@dataclass(frozen=True, eq=False)
class Field:
    """An activation (N, C, h, w) of ``layer`` and an objective's gradient there.

    ``window``: the gradient (N, C, a, b) from row ``top`` and column ``left`` of the map on; it is 0 everywhere else.
    ``placement``: where the map lies in the frame.
    """

    layer: str
    activation: Tensor
    window: Tensor
    top: int
    left: int
    placement: Placement

    @cached_property
    def gradient(self) -> Tensor:
        """(N, C, h, w)."""
        if self.window.shape == self.activation.shape:
            return self.window
        full = torch.zeros_like(self.activation)
        a, b = self.window.shape[-2:]
        full[..., self.top : self.top + a, self.left : self.left + b] = self.window
        return full

    @property
    def weights(self) -> Tensor:
        """(N, C): the mean of the gradient over the map."""
        return self.window.sum((2, 3)) / (self.activation.shape[-2] * self.activation.shape[-1])

    def on_frame(self, maps: Tensor) -> Tensor:
        """Maps (N, h, w) upsampled bilinearly: (N, H, W) of the frame; 0 where the map does not lie."""
        h, w = self.placement.photo
        if self.placement.box == (0.0, 0.0, float(w), float(h)):
            return F.interpolate(maps[:, None], (h, w), mode="bilinear", align_corners=False)[:, 0]
        return self.placement.to_photo(maps)


def fields_of(subject: Subject, objectives: Sequence[Objective], layer: str | None) -> list[Field]:
    """The field of each objective at a layer; without one, where each objective's own candidate read its features.

    Raises PellucidError for an unknown layer, one without positions, and where an objective does not depend on it.
    """
    h, w = subject.frame.shape[-2:]
    if layer is None:
        return [
            Field(p.layer, p.map[None], p.gradient[None], p.top, p.left, p.placement)
            for p in separate_gradients(subject, objectives)
        ]
    _, activation, gradients = layer_gradients(subject, subject.frame, objectives, layer)
    A = as_grid(activation, h / w, layer)
    at = Placement((h, w), (A.shape[-2], A.shape[-1]), (0.0, 0.0, float(w), float(h)))
    return [Field(layer, A, as_grid(gradient, h / w, layer), 0, 0, at) for gradient in gradients]
