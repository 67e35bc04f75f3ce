"""Small networks for the tests of explanations."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = 5


class Small(nn.Module):
    """conv → bn → act → conv → act → pool → linear, the activation given as a function."""

    def __init__(self, act: Callable[[Tensor], Tensor] = F.relu, channels: int = 6, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.fc = nn.Linear(channels, CLASSES)
        self.act = act
        with torch.no_grad():
            for tensor in (*self.parameters(), self.bn.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
            self.bn.running_var.fill_(1.5)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv1(x)))
        x = self.act(self.conv2(x))
        return self.fc(x.mean((2, 3)))


class Linear(nn.Module):
    """Scores w · x + b of a fixed image size, with no activation at all."""

    def __init__(self, height: int = 6, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(CLASSES, 3, height, width, generator=generator))
        self.bias = nn.Parameter(torch.randn(CLASSES, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", x, self.weight) + self.bias


class Quadrant(nn.Module):
    """Class 0 is the brightness of the top right quadrant, class 1 that of the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(4.0))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        inside = x[:, :, : h // 2, w // 2 :].mean((1, 2, 3))
        return torch.stack([self.gain * inside, x.mean((1, 2, 3))], 1)


def random_image(n: int = 1, height: int = 24, width: int = 32, seed: int = 0) -> Tensor:
    """(n, 3, height, width), normal."""
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(seed))
