"""Necks: what lies between a backbone's feature maps and the heads."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePyramid(nn.Module):
    """Feature maps of one depth at every stride: the coarser are upsampled and added to the finer.

    ``in_channels``: of the backbone's maps, finest first. ``channels``: of every map that is given. Upsampling is to
    the nearest; after the finest levels comes one more, the coarsest at every second position (P6).
    Source: Lin et al., 'Feature Pyramid Networks', CVPR 2017, section 3; P6: section 4.1.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(depth, channels, 1) for depth in in_channels)
        self.output = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels)
        self.channels = channels
        for conv in (*self.lateral, *self.output):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    @torch.no_grad()
    def balance(self, maps: Sequence[Tensor]) -> None:
        """Divides the lateral weights by how strong the backbone's maps are, given an example of each.

        Backbones differ by orders of magnitude, and so do levels; a pyramid that begins at about unit strength learns
        at the rates that others learn at.
        """
        for layer, x in zip(self.lateral, maps, strict=True):
            strength = float(x.square().mean().sqrt())
            if strength > 0:
                layer.get_parameter("weight").div_(strength)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Feature maps (N, c, h, w), finest first, to as many and one of (N, channels, h, w)."""
        laterals = [layer(x) for layer, x in zip(self.lateral, maps, strict=True)]
        merged = [laterals[-1]]
        for finer in reversed(laterals[:-1]):
            merged.insert(0, finer + F.interpolate(merged[0], size=finer.shape[-2:], mode="nearest"))
        made = [layer(x) for layer, x in zip(self.output, merged, strict=True)]
        return [*made, F.max_pool2d(made[-1], 1, stride=2)]
