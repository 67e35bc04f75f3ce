"""Robustness transforms: an image is moved a little before each step, so that only what survives it is strengthened.

Padding, jitter, scale and rotation are all affine. A list of them, in any order, becomes one matrix an image and one
resampling for the whole batch, whatever the list's length.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError

GREY = 0.5
"""What lies beyond the image's edges."""


@dataclass(frozen=True)
class Pad:
    """A border of ``pixels`` grey pixels on every side."""

    pixels: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of what comes out."""
        return height + 2 * self.pixels, width + 2 * self.pixels

    def matrices(self, random: Tensor) -> Tensor:
        return torch.eye(3).repeat(len(random), 1, 1)


@dataclass(frozen=True)
class Jitter:
    """A crop that is ``pixels`` smaller, at a random place: a shift of at most half of it either way."""

    pixels: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of what comes out."""
        return height - self.pixels, width - self.pixels

    def matrices(self, random: Tensor) -> Tensor:
        matrices = torch.eye(3).repeat(len(random), 1, 1)
        # whole pixels: a shift alone costs no sharpness
        matrices[:, :2, 2] = (random[:, :2] * (self.pixels + 1)).floor().clamp(max=self.pixels) - self.pixels / 2
        return matrices


@dataclass(frozen=True)
class Scale:
    """Enlarges or reduces by a factor drawn evenly from [least, most]."""

    least: float
    most: float

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of what comes out."""
        return height, width

    def matrices(self, random: Tensor) -> Tensor:
        factor = self.least + (self.most - self.least) * random[:, 0]
        matrices = torch.eye(3).repeat(len(random), 1, 1)
        matrices[:, 0, 0] = matrices[:, 1, 1] = 1 / factor
        return matrices


@dataclass(frozen=True)
class Rotate:
    """Turns by an angle drawn evenly from ±``degrees``, and one time in five not at all."""

    degrees: float

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of what comes out."""
        return height, width

    def matrices(self, random: Tensor) -> Tensor:
        angle = math.radians(self.degrees) * (2 * random[:, 0] - 1)
        angle = torch.where(random[:, 1] < 0.2, torch.zeros_like(angle), angle)
        matrices = torch.eye(3).repeat(len(random), 1, 1)
        matrices[:, 0, 0] = matrices[:, 1, 1] = angle.cos()
        matrices[:, 0, 1], matrices[:, 1, 0] = -angle.sin(), angle.sin()
        return matrices


Transform = Pad | Jitter | Scale | Rotate
LUCID: tuple[Transform, ...] = (Pad(12), Jitter(8), Scale(0.9, 1.1), Rotate(10), Jitter(4))
"""Lucid's defaults: pad 12, jitter 8, scale 0.9 to 1.1, rotate ±10°, jitter 4."""

STANDARD: tuple[Transform, ...] = (Pad(6), *LUCID[1:])
"""The same with half the padding, so that the network is shown images of the size asked for: some take no other."""

DRAWS = 2
"""How many random numbers a transform uses for an image."""


def parse_transforms(text: str) -> tuple[Transform, ...]:
    """Transforms from text: ``pad=6,jitter=8,scale=0.9:1.1,rotate=10,jitter=4``; 'standard'; 'lucid'; 'none'.

    Raises PellucidError for what is not understood.
    """
    if text.strip().lower() in ("", "none"):
        return ()
    if text.strip().lower() in ("standard", "lucid"):
        return STANDARD if text.strip().lower() == "standard" else LUCID
    return tuple(_parse(part.strip()) for part in text.split(","))


def _parse(part: str) -> Transform:
    name, _, value = part.partition("=")
    try:
        if name in ("pad", "jitter"):
            pixels = int(value)
            if 0 <= pixels <= 4096:
                return Pad(pixels) if name == "pad" else Jitter(pixels)
        if name == "rotate" and 0 <= float(value) <= 180:
            return Rotate(float(value))
        if name == "scale":
            least, _, most = value.partition(":")
            if 0.05 <= float(least) <= float(most or least) <= 20:
                return Scale(float(least), float(most or least))
    except ValueError:
        pass
    raise PellucidError(
        f"transform '{part}': give pad=PIXELS, jitter=PIXELS, scale=LEAST:MOST or rotate=DEGREES, with commas between "
        "them, or 'standard', 'lucid' or 'none'"
    )


class Warp:
    """A list of transforms as one resampling; ``size``: (h, w) of what comes out of images of a given size."""

    def __init__(self, transforms: Sequence[Transform], height: int, width: int) -> None:
        self.transforms = tuple(transforms)
        self.source = (height, width)
        size = (height, width)
        for transform in self.transforms:
            size = transform.size(*size)
        if min(size) < 1:
            raise PellucidError(f"transforms: they leave nothing of a {width}×{height} image; jitter less, or pad more")
        self.size = size

    def draws(self, generator: torch.Generator, steps: int) -> Tensor:
        """(steps, transforms, 2) random numbers in [0, 1): all that one image needs, whatever batch it is in."""
        return torch.rand(steps, len(self.transforms), DRAWS, generator=generator)

    def matrices(self, random: Tensor) -> Tensor:
        """(N, 3, 3): from pixels of the result to pixels of the image, both counted from the middle.

        ``random``: (N, transforms, 2) of :meth:`draws`.
        """
        combined = torch.eye(3).repeat(len(random), 1, 1)
        for i, transform in enumerate(self.transforms):
            combined = combined @ transform.matrices(random[:, i])
        return combined

    def __call__(self, images: Tensor, random: Tensor) -> Tensor:
        """Images (N, 3, h, w) moved, each in its own way, on a grey ground: (N, 3, *size)."""
        if not self.transforms:
            return images
        (h, w), (height, width) = self.source, self.size
        matrices = self.matrices(random)
        # grid_sample counts from −1 to 1 across each image
        matrices[:, 0, :2] *= torch.tensor([width / w, height / w])
        matrices[:, 1, :2] *= torch.tensor([width / h, height / h])
        matrices[:, 0, 2] *= 2 / w
        matrices[:, 1, 2] *= 2 / h
        theta = matrices[:, :2].to(images)
        grid = F.affine_grid(theta, [len(images), 3, height, width], align_corners=False)
        return F.grid_sample(images - GREY, grid, mode="bilinear", align_corners=False) + GREY
