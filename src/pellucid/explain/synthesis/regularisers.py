"""Regularisers: what an image is charged for, so that the ascent keeps to images with little noise.

Each is a mean over an image's pixels, so that a weight means the same at every size.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError, nearest


def total_variation(images: Tensor) -> Tensor:
    """(N,): the mean |difference| between neighbours, right and below (Mahendran & Vedaldi 2015, with β = 1)."""
    down = (images[:, :, 1:] - images[:, :, :-1]).abs().flatten(1).sum(1)
    right = (images[:, :, :, 1:] - images[:, :, :, :-1]).abs().flatten(1).sum(1)
    return (down + right) / images[0].numel()


def l1(images: Tensor) -> Tensor:
    """(N,): the mean |difference| from grey."""
    return (images - 0.5).abs().flatten(1).mean(1)


def l2(images: Tensor) -> Tensor:
    """(N,): the mean squared difference from grey (Simonyan et al. 2014, section 2)."""
    return (images - 0.5).square().flatten(1).mean(1)


def blur(images: Tensor) -> Tensor:
    """(N,): half the mean squared difference from the image blurred a little (after Yosinski et al. 2015).

    The blurred image is a constant to the gradient: descending this draws the image towards it.
    """
    kernel = torch.tensor([0.25, 0.5, 0.25]).to(images)
    with torch.no_grad():
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        smooth = F.conv2d(padded, (kernel[:, None] * kernel).expand(3, 1, 3, 3), groups=3)
    return (images - smooth).square().flatten(1).mean(1) / 2


REGULARISERS: dict[str, Callable[[Tensor], Tensor]] = {"tv": total_variation, "l1": l1, "l2": l2, "blur": blur}
"""Every regulariser by the name that weights are given for."""


def penalty(images: Tensor, weights: Mapping[str, float]) -> Tensor:
    """(N,): the weighted sum of the named regularisers."""
    total = images.new_zeros(len(images))
    for name, weight in weights.items():
        total = total + weight * REGULARISERS[name](images)
    return total


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises PellucidError for a regulariser that there is not, and for a weight that is no number ≥ 0."""
    for name, weight in weights.items():
        if name not in REGULARISERS:
            hint = nearest(name, REGULARISERS)
            raise PellucidError(f"unknown regulariser '{name}'{hint}; there are {', '.join(REGULARISERS)}")
        if not 0 <= weight < float("inf"):
            raise PellucidError(f"regulariser {name}={weight}: give a weight from 0 up")
