"""Faster R-CNN: the network proposes its regions itself."""

from dataclasses import replace
from typing import Any

from pellucid.models.catalogue import EMBEDDED
from pellucid.models.region import fast_rcnn as before
from pellucid.models.region.model import RegionModel, assembled
from pellucid.structures import Classes

DEFAULTS = replace(
    before.DEFAULTS,
    min_side=800,
    max_side=1333,
    proposals="learned",
    neck="fpn",
    pooling="align",
    region_samples=512,
    negative_iou=0.0,
    iou_threshold=0.5,
)
"""A region proposal network; a feature pyramid, from which RoIAlign pools."""

C4 = {"neck": "none", "head": "stage", "anchor_sizes": ((32, 64, 128, 256, 512),)}
"""The settings of the single-scale detector before the pyramid: the map of stride 16, the last stage as head."""


def faster_rcnn(classes: Classes, backbone: str = EMBEDDED, *, pretrained: bool = True, **settings: Any) -> RegionModel:
    """Faster R-CNN on a feature pyramid; with ``C4`` on one map, with ``alternating=True`` trained in four steps.

    Source: Ren et al., 'Faster R-CNN', NeurIPS 2015; Lin et al., 'Feature Pyramid Networks', CVPR 2017.
    """
    if settings.get("neck") == "none":
        settings = {"anchor_sizes": C4["anchor_sizes"], **settings}
    return assembled("faster_rcnn", classes, backbone, pretrained, settings, DEFAULTS)
