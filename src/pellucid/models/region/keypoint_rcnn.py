"""Keypoint R-CNN: the keypoints of each region, each a one-hot map."""

from dataclasses import replace
from typing import Any

from pellucid.models.catalogue import EMBEDDED
from pellucid.models.region import faster_rcnn as before
from pellucid.models.region.model import RegionModel, assembled
from pellucid.structures import Classes

DEFAULTS = replace(before.DEFAULTS, keypoints=True)
"""Faster R-CNN with a head that places keypoints."""


def keypoint_rcnn(
    classes: Classes, backbone: str = EMBEDDED, *, pretrained: bool = True, **settings: Any
) -> RegionModel:
    """Keypoint R-CNN. Source: He et al., 'Mask R-CNN', ICCV 2017, section 5."""
    return assembled("keypoint_rcnn", classes, backbone, pretrained, settings, DEFAULTS)
