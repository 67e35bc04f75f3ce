"""Transforms of colours alone: annotations stay as they are."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from pellucid.data.transforms.base import Pair, Transform, chance, uniform
from pellucid.structures import Annotations


class Photometric(Transform):
    """A transform of the pixels' colours."""

    @abstractmethod
    def pixels(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Another image of the same size: uint8 (3, H, W)."""

    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        return self.pixels(image, generator), annotations


@dataclass(frozen=True)
class Colour(Photometric):
    """Photometric distortion: brightness, contrast, saturation and hue, in a random order, each with probability ``p``.

    The first three are factors up to that far from 1; ``hue`` is the largest turn, as a share of the colour circle
    (at most 0.5). Source: Howard 2013; the defaults are near SSD's (Liu 2016).
    """

    brightness: float = 0.125
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.05
    p: float = 0.5

    def pixels(self, image: Tensor, generator: torch.Generator) -> Tensor:
        steps: list[tuple[Callable[[Tensor, float], Tensor], float, float]] = [
            (F.adjust_brightness, 1, self.brightness),
            (F.adjust_contrast, 1, self.contrast),
            (F.adjust_saturation, 1, self.saturation),
            (F.adjust_hue, 0, self.hue),
        ]
        for i in torch.randperm(len(steps), generator=generator).tolist():
            adjust, middle, most = steps[i]
            amount = uniform(generator, max(middle - most, 0) if middle else -most, middle + most)
            if chance(generator, self.p) and most > 0:
                image = adjust(image, amount)
        return image


@dataclass(frozen=True)
class Grey(Photometric):
    """Takes the colours away, with probability ``p``; three equal channels remain."""

    p: float = 0.1

    def pixels(self, image: Tensor, generator: torch.Generator) -> Tensor:
        return F.rgb_to_grayscale(image, num_output_channels=3) if chance(generator, self.p) else image


@dataclass(frozen=True)
class Blur(Photometric):
    """Blurs by a Gaussian of ``sigma`` pixels, drawn between two bounds, with probability ``p``."""

    sigma: tuple[float, float] = (0.1, 2.0)
    p: float = 0.5

    def pixels(self, image: Tensor, generator: torch.Generator) -> Tensor:
        sigma = uniform(generator, *self.sigma)
        if not chance(generator, self.p):
            return image
        # The border is mirrored, which reaches no further than the image.
        widths = [2 * min(math.ceil(3 * sigma), side - 1) + 1 for side in (image.shape[2], image.shape[1])]
        return F.gaussian_blur(image, widths, [sigma, sigma])


@dataclass(frozen=True)
class Noise(Photometric):
    """Adds Gaussian noise of up to ``std`` grey levels (of 255) to every value, with probability ``p``."""

    std: float = 10.0
    p: float = 0.5

    def pixels(self, image: Tensor, generator: torch.Generator) -> Tensor:
        std = uniform(generator, 0, self.std)
        if not chance(generator, self.p):
            return image
        noise = torch.randn(image.shape, generator=generator) * std
        return (image.float() + noise).round().clamp(0, 255).to(torch.uint8)
