"""Class activation mapping: a layer's activation, weighted by the gradient that reaches it.

Every function returns for each objective one map (N, h, w) ≥ 0 of the frame, upsampled bilinearly from the layer's
grid.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.explain.attribution.gradients import guided_backprop
from pellucid.explain.forward import layer_gradients
from pellucid.explain.grids import as_grid
from pellucid.explain.objectives import Objective
from pellucid.explain.subject import Subject


def grad_cam(subject: Subject, objectives: Sequence[Objective], *, layer: str) -> list[Tensor]:
    """ReLU(Σ_k α_k A_k), α_k the spatial mean of ∂S/∂A_k (Selvaraju et al. 2017, section 3)."""
    return _cam(subject, objectives, layer, lambda A, g: torch.einsum("nc,nchw->nhw", g.mean((2, 3)), A))


def grad_cam_plus_plus(subject: Subject, objectives: Sequence[Objective], *, layer: str) -> list[Tensor]:
    """ReLU(Σ_k w_k A_k), w_k the α-weighted spatial sum of ReLU(∂S/∂A_k).

    (Chattopadhay et al. 2018, equations 10 and 19.)

    The second and third derivatives are the powers of the first, as for exp(S) in the paper.
    """

    def combine(A: Tensor, g: Tensor) -> Tensor:
        # In double: third powers of small gradients underflow in single precision.
        A, g = A.double(), g.double()
        denominator = 2 * g**2 + A.sum((2, 3), keepdim=True) * g**3
        alpha = (g**2 / denominator.where(denominator != 0, 1)) * (g != 0)
        return ((alpha * g.relu()).sum((2, 3), keepdim=True) * A).sum(1)

    return _cam(subject, objectives, layer, combine)


def layer_cam(subject: Subject, objectives: Sequence[Objective], *, layer: str) -> list[Tensor]:
    """ReLU(Σ_k ReLU(∂S/∂A_k) ⊙ A_k): each position has its own weight (Jiang et al. 2021, equation 5)."""
    return _cam(subject, objectives, layer, lambda A, g: (g.relu() * A).sum(1))


def guided_grad_cam(subject: Subject, objectives: Sequence[Objective], *, layer: str) -> list[Tensor]:
    """Guided backpropagation × the Grad-CAM map: (N, 3, h, w) (Selvaraju et al. 2017, section 3.2)."""
    maps = grad_cam(subject, objectives, layer=layer)
    guided = guided_backprop(subject, objectives)
    return [g * m[:, None] for g, m in zip(guided, maps, strict=True)]


def _cam(
    subject: Subject, objectives: Sequence[Objective], layer: str, combine: Callable[[Tensor, Tensor], Tensor]
) -> list[Tensor]:
    _, activation, gradients = layer_gradients(subject, subject.frame, objectives, layer)
    h, w = subject.frame.shape[-2:]
    A = as_grid(activation, h / w, layer)
    maps = []
    for gradient in gradients:
        cam = combine(A, as_grid(gradient, h / w, layer)).relu().float()
        maps.append(F.interpolate(cam[:, None], (h, w), mode="bilinear", align_corners=False)[:, 0])
    return maps
