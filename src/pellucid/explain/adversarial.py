"""Adversarial examples: a change too small to see that changes what the network says."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.objectives import class_index
from pellucid.explain.subject import Subject, is_framed, logits_of, untouched
from pellucid.structures import Photo, Placement, read_photo

LARGEST_SIDE = 1024
"""Photos with a longer side are reduced to this before the attack: the result is a picture of that size."""


@dataclass(frozen=True)
class Adversarial:
    """An adversarial example and what the network says before and after.

    ``original``, ``image``: (3, H, W) in [0, 1], the second within ``epsilon`` of the first, rounded to 8 bits where
    the photo was 8-bit. ``before``, ``after``: (K,) logits. ``goal``: the class aimed at, or None for any other than
    the first. ``size``: the perturbation's norm, in the units of epsilon.
    """

    original: Tensor
    image: Tensor
    before: Tensor
    after: Tensor
    method: str
    norm: str
    epsilon: float
    size: float
    goal: int | None

    @property
    def succeeded(self) -> bool:
        """Whether the network now says the class aimed at, or, with none, another class than before."""
        now = int(self.after.argmax())
        return now == self.goal if self.goal is not None else now != int(self.before.argmax())


def adversarial(
    model: nn.Module,
    photo: Photo,
    *,
    target: str | int | None = None,
    method: str = "pgd",
    norm: str = "linf",
    epsilon: float | None = None,
    steps: int = 20,
    step_size: float | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
) -> Adversarial:
    """Moves a photo within a small ball so that the network says something else, or says ``target``.

    ``method``: 'fgsm', one step along the gradient's sign (Goodfellow et al. 2015, section 4); 'pgd', ``steps``
    projected steps from a random start (Madry et al. 2018, section 2.1). ``norm``: 'linf' or 'l2'. ``epsilon``: the
    ball's radius, pixel values in [0, 1]; 4/255 by default, for L2 as far as two grey levels in every value (2/255 ·
    √(3HW)). ``step_size``: 2.5 · epsilon / steps by default. ``bounds``: the range of pixel values, for a bare module
    that is given normalised tensors. The attack works on the photo itself, through the model's resizing; the model is
    left bit-identical.

    Raises PellucidError for an unknown class, method or norm, for a photo outside the bounds, and for a network that
    gives NaN.
    """
    if method not in ("fgsm", "pgd"):
        raise PellucidError(f"unknown attack '{method}'; the attacks are fgsm and pgd")
    if norm not in ("linf", "l2"):
        raise PellucidError(f"unknown norm '{norm}'; the norms are linf and l2")
    x0, eight_bit = _original(model, photo)
    low, high = bounds
    if x0.min() < low or x0.max() > high:
        raise PellucidError(
            f"the image's values reach from {float(x0.min()):.3g} to {float(x0.max()):.3g}; give their range as bounds="
        )
    if epsilon is None:
        epsilon = 4 / 255 * (high - low) if norm == "linf" else 2 / 255 * (high - low) * math.sqrt(x0.numel())
    if not epsilon > 0 or steps < 1:
        raise PellucidError(f"epsilon={epsilon}, steps={steps}: epsilon must be above 0, steps at least 1")
    if method == "fgsm":
        steps, step_size = 1, epsilon
    step_size = step_size or 2.5 * epsilon / steps

    with untouched(model):
        before = _logits(model, x0)[0].detach()
        classes = getattr(model, "classes", None)
        goal = None if target is None else class_index(target, classes, len(before))
        away_from = torch.tensor([int(before.argmax()) if goal is None else goal], device=before.device)
        x = x0.clone()
        if method == "pgd":
            generator = torch.Generator().manual_seed(seed)
            start = torch.rand(x0.shape, generator=generator).to(x0) * 2 - 1
            x = _project(
                x0 + start * (epsilon if norm == "linf" else epsilon / math.sqrt(x0.numel())), x0, epsilon, norm, bounds
            )
        best, best_loss = x0, -math.inf
        for step in range(steps + 1):
            x = x.detach().requires_grad_(step < steps)
            with torch.set_grad_enabled(step < steps):
                loss = F.cross_entropy(_logits(model, x), away_from)
                loss = loss if goal is None else -loss
            if not torch.isfinite(loss):
                raise PellucidError("the network gives NaN or infinity for this photo; check its weights")
            reached = float(loss.detach())
            if step and reached > best_loss:
                best, best_loss = x.detach(), reached
            if step == steps:
                break
            (gradient,) = torch.autograd.grad(loss, x)
            way = gradient.sign() if norm == "linf" else gradient / gradient.norm().clamp(min=1e-30)
            x = _project(x.detach() + step_size * way, x0, epsilon, norm, bounds)
        result = _to_eight_bits(best, x0, epsilon, norm) if eight_bit else best
        after = _logits(model, result)[0].detach()
    difference = (result - x0).double()
    size = float(difference.abs().max() if norm == "linf" else difference.norm())
    return Adversarial(x0[0], result[0], before, after, method, norm, epsilon, size, goal)


def attacked_size(height: int, width: int) -> tuple[int, int]:
    """(H, W) at which a photo of a given size is attacked."""
    return Placement.whole(height, width).scaled(LARGEST_SIDE).photo


def _original(model: nn.Module, photo: Photo) -> tuple[Tensor, bool]:
    """The photo as (1, 3, H, W) float on the model's device, and whether it came as 8 bits."""
    if is_framed(model):
        image = read_photo(photo)
        eight_bit = not image.is_floating_point()
        x = image[None].float() / (255 if eight_bit else 1)
        parameter = next(model.network.parameters(), None)
        x = x.to(parameter.device) if parameter is not None else x
        small = attacked_size(*x.shape[-2:])
        if small != tuple(x.shape[-2:]):
            x = F.interpolate(x, small, mode="bilinear", antialias=True)
            x = (x * 255).round() / 255 if eight_bit else x
        return x, eight_bit
    subject = Subject(model, photo)
    if len(subject.frame) != 1:
        raise PellucidError(f"one photo at a time: this batch has {len(subject.frame)}")
    return subject.frame, not (isinstance(photo, Tensor) and photo.is_floating_point())


def _logits(model: nn.Module, x: Tensor) -> Tensor:
    with torch.set_grad_enabled(x.requires_grad):
        return logits_of(model(x.clone()))  # not on the leaf: a network may begin with an in-place operation


def _project(x: Tensor, centre: Tensor, epsilon: float, norm: str, bounds: tuple[float, float]) -> Tensor:
    """The nearest image within the ball and the range of pixel values."""
    change = x - centre
    if norm == "linf":
        change = change.clamp(-epsilon, epsilon)
    else:
        length = change.norm()
        change = change * (epsilon / length) if length > epsilon else change
    return (centre + change).clamp(*bounds)


def _to_eight_bits(x: Tensor, centre: Tensor, epsilon: float, norm: str) -> Tensor:
    """The perturbation in whole grey levels, never leaving the ball: what is saved as a PNG is what was tested."""
    levels = (x - centre) * 255
    rounded = levels.round()
    if norm == "linf":
        most = math.floor(epsilon * 255 + 1e-4)
        rounded = rounded.clamp(-most, most)
    elif float((rounded / 255).norm()) > epsilon:
        rounded = levels.trunc()  # towards zero: shorter in every value
    return (((centre * 255).round() + rounded) / 255).clamp(0, 1)
