"""The parts of a detector of regions put together: from a batch to what is said of every region."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.models.backbones import Backbone
from pellucid.models.necks import FeaturePyramid
from pellucid.models.region.conventions import Convention
from pellucid.models.region.heads import BoxPredictor, DenseHead, KeypointHead, MaskHead, StageHead
from pellucid.models.region.pooler import Pooler
from pellucid.models.region.proposer import RegionProposer
from pellucid.models.region.settings import RegionSettings
from pellucid.ops.coding import BoxCoder

MASK_POOL = 14
"""The side of the features from which masks and keypoints are predicted."""


@dataclass
class Judged:
    """What the heads say of the regions of a batch: ``logits`` (R, K + 1), background last; ``deltas`` (R, K, 4)."""

    logits: Tensor
    deltas: Tensor


class RegionNetwork(nn.Module):
    """Backbone, neck, proposer and heads, as the settings choose them.

    ``backbone``; ``neck`` or None; ``proposer`` or None where proposals come from elsewhere; ``box_head`` and
    ``predictor``; ``mask_head`` and ``keypoint_head`` or None.
    """

    def __init__(
        self,
        backbone: str,
        classes: int,
        keypoints: int,
        settings: RegionSettings,
        convention: Convention,
        pretrained: bool,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.convention = convention
        strides = settings.strides if settings.neck == "fpn" else (16, 32)[: 2 if settings.head == "stage" else 1]
        self.backbone = Backbone(
            backbone,
            strides,
            pretrained=pretrained,
            norm=settings.norm,
            frozen_stages=settings.frozen_stages,
            norm_eps=convention.norm_eps,
            stride_in_1x1=convention.stride_in_1x1,
        )
        self.backbone.mean = convention.mean or self.backbone.mean
        self.backbone.std = convention.std or self.backbone.std
        stage = self.backbone.take_last_stage() if settings.head == "stage" else None
        self.neck: FeaturePyramid | None = None
        self.strides, channels = list(self.backbone.strides), self.backbone.channels[0]
        if settings.neck == "fpn":
            self.neck = FeaturePyramid(self.backbone.channels, settings.channels)
            self.strides, channels = [*self.strides, 2 * self.strides[-1]], settings.channels
            if pretrained:
                with torch.no_grad():
                    self.neck.balance(self.backbone(self.backbone.normalise(_example())))
        self.proposer: RegionProposer | None = None
        if settings.proposals == "learned":
            self.proposer = RegionProposer(channels, self.strides, settings, convention)
        # P6 proposes, but is not pooled from
        self.pooler = Pooler(self.strides[:-1] if self.neck is not None else self.strides, settings, convention)
        pool_size = settings.pool_size
        self.box_head: DenseHead | StageHead
        if stage is not None:
            self.box_head = StageHead(stage, self.backbone.stage_channels)
            pool_size = 2 * settings.pool_size  # the stage halves it
        else:
            self.box_head = DenseHead(channels, pool_size, settings.box_features)
        self.pool_size = pool_size
        self.predictor = BoxPredictor(self.box_head.features, classes)
        self.mask_head = MaskHead(channels, settings.mask_channels, classes) if settings.masks else None
        self.keypoint_head = (
            KeypointHead(channels, settings.keypoint_channels, keypoints) if settings.keypoints else None
        )
        self.coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
        self.to(memory_format=torch.channels_last)

    def features(self, batch: Tensor) -> list[Tensor]:
        """Feature maps of a batch (N, 3, h, w) in [0, 1]: those of the neck, finest first."""
        maps = self.backbone(self.backbone.normalise(batch))
        return self.neck(maps) if self.neck is not None else maps

    def pool(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], size: int) -> Tensor:
        """The features (R, C, size, size) of the boxes (xyxy in the frame) of each image."""
        out: Tensor = self.pooler(maps, boxes, size)
        return out

    def judge(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Judged:
        """What the box head says of boxes, all images one after another."""
        return self.judge_pooled(self.pool(maps, boxes, self.pool_size))

    def judge_pooled(self, pooled: Tensor) -> Judged:
        """What the box head says of regions by their features (R, C, s, s)."""
        return Judged(*self.predictor(self.box_head(pooled)))

    def mask_logits(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """(R, K, 28, 28) mask logits of boxes."""
        assert self.mask_head is not None
        out: Tensor = self.mask_head(self.pool(maps, boxes, MASK_POOL))
        return out

    def keypoint_logits(self, maps: Sequence[Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """(R, keypoints, 56, 56) keypoint logits of boxes."""
        assert self.keypoint_head is not None
        out: Tensor = self.keypoint_head(self.pool(maps, boxes, MASK_POOL))
        return out


def _example() -> Tensor:
    """A smooth picture of no particular thing, always the same: (1, 3, 256, 256)."""
    coarse = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, (256, 256), mode="bicubic", align_corners=False).clamp(0, 1)
