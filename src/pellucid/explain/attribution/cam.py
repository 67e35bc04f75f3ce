"""Class activation mapping: a layer's activation, weighted by the gradient that reaches it.

Every function returns for each objective one map (N, h, w) ≥ 0 of the frame, upsampled bilinearly from the layer's
grid. ``fields``: activation and gradient for each objective.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from pellucid.explain.attribution.fields import Field
from pellucid.explain.attribution.gradients import guided_backprop
from pellucid.explain.objectives import Objective
from pellucid.explain.subject import Subject


def grad_cam(subject: Subject, objectives: Sequence[Objective], *, fields: Sequence[Field]) -> list[Tensor]:
    """ReLU(Σ_k α_k A_k), α_k the spatial mean of ∂S/∂A_k (Selvaraju et al. 2017, section 3)."""
    maps: dict[int, Tensor] = {}
    # objectives of one map together: it is read once
    for shared in dict.fromkeys(field.activation.data_ptr() for field in fields):
        mine = [i for i, field in enumerate(fields) if field.activation.data_ptr() == shared]
        weights = torch.stack([fields[i].weights for i in mine], 1)
        cams = torch.einsum("nkc,nchw->knhw", weights, fields[mine[0]].activation)
        maps |= {i: fields[i].on_frame(cam.relu().float()) for i, cam in zip(mine, cams, strict=True)}
    return [maps[i] for i in range(len(fields))]


def grad_cam_plus_plus(subject: Subject, objectives: Sequence[Objective], *, fields: Sequence[Field]) -> list[Tensor]:
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

    return _cam(fields, combine)


def layer_cam(subject: Subject, objectives: Sequence[Objective], *, fields: Sequence[Field]) -> list[Tensor]:
    """ReLU(Σ_k ReLU(∂S/∂A_k) ⊙ A_k): each position has its own weight (Jiang et al. 2021, equation 5)."""
    return _cam(fields, lambda A, g: (g.relu() * A).sum(1))


def odam(
    subject: Subject, objectives: Sequence[Objective], *, fields: Sequence[Field], smooth: float = 1.0
) -> list[Tensor]:
    """ReLU(Σ_k Φ(∂S/∂A_k) ⊙ A_k): what speaks for one object, where it does (Zhao & Chan 2023, equation 4).

    ``smooth``: the standard deviation, in cells, of the gaussian Φ over the gradient; 0 for none. RoIAlign reads a map
    at points some cells apart, and less shows that lattice.
    """

    def combine(A: Tensor, g: Tensor) -> Tensor:
        side = 2 * round(3 * smooth) + 1
        if smooth > 0 and side > 1 and side // 2 < min(g.shape[-2:]):
            g = gaussian_blur(g, [side, side], [smooth, smooth])
        return (g * A).sum(1)

    return _cam(fields, combine)


def guided_grad_cam(subject: Subject, objectives: Sequence[Objective], *, fields: Sequence[Field]) -> list[Tensor]:
    """Guided backpropagation × the Grad-CAM map: (N, 3, h, w) (Selvaraju et al. 2017, section 3.2)."""
    maps = grad_cam(subject, objectives, fields=fields)
    guided = guided_backprop(subject, objectives)
    return [g * m[:, None] for g, m in zip(guided, maps, strict=True)]


def _cam(fields: Sequence[Field], combine: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
    return [field.on_frame(combine(field.activation, field.gradient).relu().float()) for field in fields]
