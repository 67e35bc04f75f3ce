"""Attribution by gradients with respect to the image.

Every function takes a subject and objectives, and returns for each objective one map of the frame: (N, h, w) or (N, 3,
h, w).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.forward import followed, input_gradients, quick
from pellucid.explain.objectives import Objective
from pellucid.explain.rectifiers import Rule
from pellucid.explain.subject import Subject

BATCH = 8
"""Images in one forward pass of the methods that need many."""


def saliency(subject: Subject, objectives: Sequence[Objective]) -> list[Tensor]:
    """max over channels of |∂S/∂x|: (N, h, w) (Simonyan et al. 2014, section 3)."""
    return [gradient.abs().amax(1) for gradient in input_gradients(subject, subject.frame, objectives)[1]]


def input_x_gradient(subject: Subject, objectives: Sequence[Objective]) -> list[Tensor]:
    """x ⊙ ∂S/∂x: (N, 3, h, w) (Shrikumar et al. 2016)."""
    return [subject.frame * gradient for gradient in input_gradients(subject, subject.frame, objectives)[1]]


def smooth_grad(
    subject: Subject, objectives: Sequence[Objective], *, samples: int = 25, noise: float = 0.15, seed: int = 0
) -> list[Tensor]:
    """The gradient averaged over noisy copies of the image: (N, 3, h, w), signed (Smilkov et al. 2017, section 3).

    ``samples``: copies. ``noise``: standard deviation of the gaussian noise, as a share of each image's max − min.
    """
    _at_least_one("samples", samples)
    generator = torch.Generator().manual_seed(seed)
    spread = (subject.frame.amax((1, 2, 3)) - subject.frame.amin((1, 2, 3))).view(-1, 1, 1, 1) * noise
    n = len(subject.frame)
    totals = [torch.zeros_like(subject.frame) for _ in objectives]
    objectives = followed(subject, subject.frame, objectives)
    for some in _chunks(samples, max(1, BATCH // n)):
        # Drawn on the CPU, so that a seed gives the same map on every device.
        drawn = torch.randn((len(some), *subject.frame.shape), generator=generator).to(subject.frame)
        noisy = (subject.frame + drawn * spread).flatten(0, 1)
        for total, gradient in zip(totals, input_gradients(subject, quick(noisy), objectives)[1], strict=True):
            total += gradient.unflatten(0, (len(some), n)).sum(0) / samples
    return totals


def integrated_gradients(
    subject: Subject, objectives: Sequence[Objective], *, steps: int = 32, baseline: float | Tensor = 0.0
) -> list[Tensor]:
    """(x − x₀) ⊙ the gradient averaged along the straight path from the baseline x₀ to x.

    (N, 3, h, w) (Sundararajan et al. 2017, section 3).

    The map's sum approaches S(x) − S(x₀). ``steps``: points of the Gauss-Legendre rule on the path. ``baseline``: a
    value (0: black, where the frame is in [0, 1]) or an image (3, h, w) of the frame's size.
    """
    _at_least_one("steps", steps)
    frame = subject.frame
    x0 = torch.as_tensor(baseline, dtype=frame.dtype, device=frame.device)
    if x0.ndim and x0.shape[-3:] != frame.shape[-3:]:
        raise PellucidError(
            f"baseline of shape {tuple(x0.shape)}: give a number or an image of shape {tuple(frame.shape[-3:])}"
        )
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = (points + 1) / 2, weights / 2
    totals = [torch.zeros_like(frame) for _ in objectives]
    objectives = followed(subject, frame, objectives)
    for some in _chunks(steps, max(1, BATCH // len(frame))):
        alphas = torch.as_tensor(points[some.start : some.stop]).to(frame).view(-1, 1, 1, 1, 1)
        shares = torch.as_tensor(weights[some.start : some.stop]).to(frame).view(-1, 1, 1, 1, 1)
        on_path = (x0 + alphas * (frame - x0)).flatten(0, 1)
        for total, gradient in zip(totals, input_gradients(subject, quick(on_path), objectives)[1], strict=True):
            total += (gradient.unflatten(0, (len(some), len(frame))) * shares).sum(0)
    return [(frame - x0) * total for total in totals]


def deconvnet(subject: Subject, objectives: Sequence[Objective]) -> list[Tensor]:
    """The gradient with every ReLU passing on only what is positive.

    (N, 3, h, w) (Zeiler & Fergus 2014, section 2.1).
    """
    return _by_rule(subject, objectives, "deconvnet")


def guided_backprop(subject: Subject, objectives: Sequence[Objective]) -> list[Tensor]:
    """The gradient with every ReLU passing on only what is positive, where it was active.

    (N, 3, h, w) (Springenberg et al. 2015, section 3.4).
    """
    return _by_rule(subject, objectives, "guided_backprop")


def _by_rule(subject: Subject, objectives: Sequence[Objective], rule: Rule) -> list[Tensor]:
    return input_gradients(subject, subject.frame, objectives, rule=rule)[1]


def _chunks(total: int, size: int) -> list[range]:
    return [range(start, min(start + size, total)) for start in range(0, total, size)]


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise PellucidError(f"{name}={value}: give at least 1")
