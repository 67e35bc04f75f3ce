"""Heads: what is said of each region, from its pooled features alone."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class DenseHead(nn.Module):
    """Two fully connected layers over the pooled features (R, C, s, s): (R, features).

    Source: Girshick, 'Fast R-CNN', ICCV 2015, section 2.1 (fc6 and fc7).
    """

    def __init__(self, channels: int, pool_size: int, features: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(channels * pool_size**2, features)
        self.fc7 = nn.Linear(features, features)
        self.features = features

    def forward(self, pooled: Tensor) -> Tensor:
        return F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1)), inplace=True)), inplace=True)


class StageHead(nn.Module):
    """The last stage of a backbone over the pooled features, then the mean over space: (R, features).

    Source: He et al., 'Deep Residual Learning', CVPR 2016, appendix A (the C4 detector).
    """

    def __init__(self, stage: nn.Module, features: int) -> None:
        super().__init__()
        self.stage = stage
        self.features = features

    def forward(self, pooled: Tensor) -> Tensor:
        out: Tensor = self.stage(pooled)
        return out.mean((2, 3))


class BoxPredictor(nn.Module):
    """Class logits (R, K + 1), the background last, and box deltas for each class (R, K, 4)."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.logits = nn.Linear(features, classes + 1)
        self.deltas = nn.Linear(features, 4 * classes)
        nn.init.normal_(self.logits.weight, std=0.01)
        nn.init.normal_(self.deltas.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)
        nn.init.zeros_(self.deltas.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(features), self.deltas(features).reshape(len(features), self.classes, 4)


class MaskHead(nn.Module):
    """Four convolutions, upsampling by two and a mask for each class: (R, C, s, s) to logits (R, K, 2s, 2s).

    Source: He et al., 'Mask R-CNN', ICCV 2017, figure 4.
    """

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_convs(channels, [width] * 4))
        self.upsample = nn.ConvTranspose2d(width, width, 2, 2)
        self.logits = nn.Conv2d(width, classes, 1)
        for layer in (self.upsample, self.logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        for conv in self.convs:
            pooled = F.relu(conv(pooled), inplace=True)
        out: Tensor = self.logits(F.relu(self.upsample(pooled)))
        return out


class KeypointHead(nn.Module):
    """Eight convolutions, and upsampling by four: (R, C, s, s) to logits (R, K, 4s, 4s), a map for each keypoint.

    Source: He et al., 'Mask R-CNN', ICCV 2017, section 5.
    """

    def __init__(self, channels: int, width: int, keypoints: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_convs(channels, [width] * 8))
        self.logits = nn.ConvTranspose2d(width, keypoints, 4, stride=2, padding=1)
        nn.init.kaiming_normal_(self.logits.weight, mode="fan_out", nonlinearity="relu")
        assert self.logits.bias is not None
        nn.init.zeros_(self.logits.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        for conv in self.convs:
            pooled = F.relu(conv(pooled), inplace=True)
        return F.interpolate(self.logits(pooled), scale_factor=2.0, mode="bilinear", align_corners=False)


def _convs(channels: int, widths: Sequence[int]) -> list[nn.Conv2d]:
    made = []
    for width in widths:
        conv = nn.Conv2d(channels, width, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        made.append(conv)
        channels = width
    return made
