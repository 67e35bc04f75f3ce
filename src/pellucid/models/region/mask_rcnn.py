"""Mask R-CNN: a mask for each region, beside its class and its box."""

from dataclasses import replace
from typing import Any

from pellucid.models.catalogue import EMBEDDED
from pellucid.models.region import faster_rcnn as before
from pellucid.models.region.model import RegionModel, assembled
from pellucid.structures import Classes

DEFAULTS = replace(before.DEFAULTS, masks=True)
"""Faster R-CNN with a head that outlines."""


def mask_rcnn(classes: Classes, backbone: str = EMBEDDED, *, pretrained: bool = True, **settings: Any) -> RegionModel:
    """Mask R-CNN. Source: He et al., 'Mask R-CNN', ICCV 2017."""
    return assembled("mask_rcnn", classes, backbone, pretrained, settings, DEFAULTS)
