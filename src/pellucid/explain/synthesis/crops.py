"""MACO's views of an image: many random crops a step, from half of it down to a twentieth, with noise."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Crops:
    """``count`` square crops of each image, resized to ``size`` (Fel et al. 2023, section 3 and appendix).

    A crop's side shrinks from ``largest`` to ``smallest`` of the image over the steps; centres are N(0.5, 0.15) across
    the image; ``noise`` is the deviation of the gaussian noise, and half the width of the uniform noise, that is added.
    """

    count: int = 32
    size: int = 128
    largest: float = 0.5
    smallest: float = 0.05
    noise: float = 0.08

    def __call__(self, images: Tensor, progress: float, generators: list[torch.Generator]) -> Tensor:
        """(N · count, 3, size, size), the crops of one image side by side, each image drawn from its own generator.

        ``progress``: 0 at the first step, 1 at the last.
        """
        side = self.largest + (self.smallest - self.largest) * progress
        half = side / 2
        crops = []
        for image, generator in zip(images, generators, strict=True):
            centres = (0.5 + 0.15 * torch.randn(self.count, 2, generator=generator)).clamp(half, 1 - half)
            theta = torch.zeros(self.count, 2, 3)
            theta[:, 0, 0] = theta[:, 1, 1] = side
            theta[:, :, 2] = 2 * centres - 1
            shape = (self.count, 3, self.size, self.size)
            grid = F.affine_grid(theta.to(images), list(shape), align_corners=False)
            seen = F.grid_sample(image.expand(self.count, -1, -1, -1), grid, align_corners=False, padding_mode="border")
            gaussian = torch.randn(shape, generator=generator) * self.noise
            uniform = (2 * torch.rand(shape, generator=generator) - 1) * self.noise
            crops.append(seen + (gaussian + uniform).to(images))
        return torch.cat(crops)
