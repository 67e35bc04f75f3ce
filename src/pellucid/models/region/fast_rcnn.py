"""Fast R-CNN: regions that something else proposes, pooled from one feature map and judged by one network."""

from typing import Any

from pellucid.models.catalogue import EMBEDDED
from pellucid.models.region.model import RegionModel, assembled
from pellucid.models.region.settings import RegionSettings
from pellucid.structures import Classes

DEFAULTS = RegionSettings(
    min_side=600,
    max_side=1000,
    neck="none",
    proposals="external",
    pooling="pool",
    region_samples=64,
    negative_iou=0.1,
    iou_threshold=0.3,
)
"""Regions of selective search, RoIPool over the map of stride 16, class and box learned together."""


def fast_rcnn(classes: Classes, backbone: str = EMBEDDED, *, pretrained: bool = True, **settings: Any) -> RegionModel:
    """Fast R-CNN, with ``DEFAULTS`` but for the ``settings`` given; see ``RegionSettings``.

    Source: Girshick, 'Fast R-CNN', ICCV 2015.
    """
    return assembled("fast_rcnn", classes, backbone, pretrained, settings, DEFAULTS)
