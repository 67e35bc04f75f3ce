"""Deletion and insertion: an objective as pixels are taken from an image, or put back, in an order.

Petsiuk et al., 'RISE: Randomized input sampling for explanation of black-box models', BMVC 2018, section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from pellucid.errors import PellucidError
from pellucid.explain.attribution.explanation import Explanation
from pellucid.explain.attribution.gradients import BATCH
from pellucid.explain.forward import followed, objective_values
from pellucid.explain.objectives import Objective
from pellucid.explain.subject import Subject

_PIXELS_AT_ONCE = 2**20
"""The most pixels of changed images in one pass: a detector takes some 300 bytes and more for each of them."""


@dataclass(frozen=True)
class Curve:
    """An objective's value as pixels are deleted or inserted in a map's order, the strongest first.

    ``shares``: the share of pixels done, 0 to 1. ``values``: its probability, of a class, a detection or a mask; for
    other objectives the value, scaled so that the whole image is 1 and the image with everything hidden 0.
    """

    shares: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def area(self) -> float:
        """The area under the curve by the trapezoid rule."""
        steps = zip(self.shares, self.shares[1:], self.values, self.values[1:], strict=False)
        return sum((b - a) * (u + v) / 2 for a, b, u, v in steps)


class ChangedImages:
    """One photo with pixels hidden, and what objectives are on it: each means the object that it meant of the photo.

    ``frame``: (1, 3, h, w). The objectives are followed once, and the photo as it is and with everything hidden are
    read once, for all of them.
    """

    def __init__(self, subject: Subject, objectives: Sequence[Objective]) -> None:
        self.subject = subject
        self.frame = subject.frame[:1]
        self.objectives = followed(subject, self.frame, objectives)
        self._numbers = {str(objective): number for number, objective in enumerate(objectives)}
        self._whole: Tensor | None = None
        self._nothing: dict[bool, Tensor] = {}

    def whole(self) -> Tensor:
        """(K,) values on the photo as it is; without a pass where the subject keeps what the model says of it."""
        if self._whole is None:
            values = objective_values(self.subject, self.frame, self.objectives, probabilities=True)
            self._whole = values[0]
        return self._whole

    def curve(self, name: str, order: Tensor, steps: int, *, insert: bool) -> Curve:
        """The curve of the objective of a name for an order of its own: ``steps`` − 1 passes."""
        return self._curves([self._numbers[name]], order, steps, insert)[0]

    def curves(self, order: Tensor, steps: int, *, insert: bool) -> dict[str, Curve]:
        """The curves of all objectives by name for one order, which share the ``steps`` − 1 passes."""
        made = self._curves(list(self._numbers.values()), order, steps, insert)
        return dict(zip(self._numbers, made, strict=True))

    def read(self, numbers: Sequence[int], shown: Tensor, *, insert: bool) -> Tensor:
        """(S, K) values of some objectives where of the frame only ``shown`` (S, 1, h, w) can be seen.

        The rest is the photo's mean colour, or for ``insert`` the blurred photo.
        """
        hidden = blurred(self.frame) if insert else self.frame.mean((2, 3), keepdim=True)
        asked = [self.objectives[number] for number in numbers]
        values = [
            objective_values(
                self.subject, torch.where(some.to(self.frame.device), self.frame, hidden), asked, probabilities=True
            )
            for some in shown.split(at_once(self.frame))
        ]
        return torch.cat(values)

    def _curves(self, numbers: Sequence[int], order: Tensor, steps: int, insert: bool) -> list[Curve]:
        if steps < 1:
            raise PellucidError(f"steps={steps}: give at least 1")
        rank = self.rank(order)
        done = (torch.arange(steps + 1) * rank.numel() / steps).round()
        changed = rank < done[1:-1].view(-1, 1, 1, 1)
        if insert not in self._nothing:
            every = list(self._numbers.values())
            self._nothing[insert] = self.read(every, torch.zeros_like(rank, dtype=torch.bool)[None], insert=insert)[0]
        whole, nothing = self.whole()[numbers], self._nothing[insert][numbers]
        first, last = (nothing, whole) if insert else (whole, nothing)
        between = [self.read(numbers, changed if insert else ~changed, insert=insert)] if steps > 1 else []
        values = torch.cat([first[None], *between, last[None]])
        for column, number in enumerate(numbers):
            if self.objectives[number].probability is None:  # no natural scale
                span = float(whole[column] - nothing[column])
                shifted = values[:, column] - nothing[column]
                values[:, column] = shifted / span if span else torch.zeros_like(shifted)
        shares = tuple((done / rank.numel()).tolist())
        return [Curve(shares, tuple(column.tolist())) for column in values.T]

    def rank(self, order: Tensor) -> Tensor:
        """(1, h, w): at which place of an order (h·w,) each pixel of the frame comes."""
        h, w = self.frame.shape[-2:]
        if len(order) != h * w:
            raise PellucidError(
                f"the map has {len(order)} pixels, the network's frame {w}×{h}; explain and check the same photo"
            )
        rank = torch.empty(h * w, dtype=torch.long)
        rank[order] = torch.arange(h * w)
        return rank.view(1, h, w)


def at_once(frame: Tensor) -> int:
    """How many changed images of a frame (1, 3, h, w) go through a network in one pass."""
    return max(1, min(BATCH, _PIXELS_AT_ONCE // (frame.shape[-2] * frame.shape[-1])))


def strength_of_one(explanation: Explanation) -> Tensor:
    """(h, w): a map's strength. Raises PellucidError for the maps of a batch."""
    strength = explanation.strength()
    if strength.ndim != 2:
        raise PellucidError(f"a map of shape {tuple(strength.shape)} can't be checked; check one image at a time")
    return strength


def strongest_first(explanation: Explanation) -> Tensor:
    """Pixel indices (h·w,) of the frame, strongest first; equal ones in reading order."""
    return strength_of_one(explanation).flatten().argsort(descending=True, stable=True).cpu()


def by_chance(frame: Tensor, seed: int) -> Tensor:
    """Pixel indices (h·w,) of a frame (1, 3, h, w) in random order."""
    h, w = frame.shape[-2:]
    return torch.randperm(h * w, generator=torch.Generator().manual_seed(seed))


def blurred(image: Tensor) -> Tensor:
    """An image (1, 3, h, w) blurred by a Gaussian of about 10 pixels' deviation, less in small images."""
    side = min(image.shape[-2:])
    kernel = min(51, side - 1 + side % 2)
    return gaussian_blur(image, [kernel, kernel], [kernel / 5, kernel / 5]) if kernel >= 3 else image
