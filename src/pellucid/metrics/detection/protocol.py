"""What a detection benchmark lays down: a protocol is data, and one engine reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from pellucid.errors import PellucidError

Geometry: TypeAlias = Literal["boxes", "masks", "boundaries", "keypoints"]
"""What is compared: boxes, masks, masks by the smaller of mask IoU and boundary IoU, or keypoints by OKS."""

Matching: TypeAlias = Literal["best free", "best", "own threshold"]
"""Which truth of its class a detection may take, going down the scores.

'best free': of those still free the one with the highest IoU, if it reaches the threshold; truths that do not count
come after those that do (COCO). 'best': the one with the highest IoU, taken or not; if that is taken, the detection is
wrong (VOC). 'own threshold': of the free ones whose own threshold is reached the one with the highest IoU (ILSVRC).
"""

Interpolation: TypeAlias = Literal["101 points", "11 points", "all points"]

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""The doubles that COCO's code uses: the ninth is 0.8999999999999999."""

COCO_AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 1024.0),
    "medium": (1024.0, 9216.0),
    "large": (9216.0, 1e10),
}
"""In square pixels, both ends included."""


@dataclass(frozen=True)
class Figure:
    """One line of a summary: mean AP or AR over classes, at some thresholds, an area and a limit of detections."""

    name: str
    of: Literal["AP", "AR"]
    threshold: float | None = None
    area: str = "all"
    limit: int | None = None
    frequency: str | None = None


@dataclass(frozen=True)
class Protocol:
    """How detections are scored.

    ``name``, ``title``: what it is called. ``geometry``: what is compared. ``thresholds``: of IoU (of OKS for
    keypoints), each reached with ≥. ``generalised``: GIoU in place of IoU. ``matching``: see ``Matching``.
    ``later_wins``: at equal IoU the later truth is taken, else the first. ``inclusive``: sides of boxes count pixels,
    x2 − x1 + 1. ``difficult`` and ``crowd``: what becomes of truths marked so: 'ignored' (they count neither way) or
    'counted'. ``areas``: ranges of area that are scored apart, both ends included. ``limits``: how many detections of
    an image and class count, ascending; the last is the limit for AP. ``per_image``: how many of an image over all
    classes. ``interpolation``: of precision. ``epsilon``: what COCO adds to the denominator of precision.
    ``small_boxes``: ILSVRC's smaller thresholds for small truths. ``groups``: Open Images' boxes around groups.
    ``hierarchy``: truths are copied to the classes above theirs. ``verified``: a detection counts only where its class
    was verified in the image. ``federated``: LVIS' rules on negative and unexhausted classes. ``figures``: the summary.
    ``official``: whose figures they are.
    """

    name: str
    title: str
    figures: tuple[Figure, ...]
    geometry: Geometry = "boxes"
    thresholds: tuple[float, ...] = (0.5,)
    generalised: bool = False
    matching: Matching = "best free"
    later_wins: bool = False
    inclusive: bool = False
    difficult: Literal["ignored", "counted"] = "counted"
    crowd: Literal["ignored", "counted"] = "counted"
    areas: Mapping[str, tuple[float, float]] = field(default_factory=lambda: {"all": (0.0, np.inf)})
    limits: tuple[int | None, ...] = (None,)
    per_image: int | None = None
    interpolation: Interpolation = "all points"
    epsilon: float = 0.0
    small_boxes: bool = False
    groups: Literal["as any", "absorb", "ignore"] = "as any"
    hierarchy: bool = False
    verified: bool = False
    federated: bool = False
    empty: Literal["keep", "drop"] = "keep"
    official: str = ""

    def __post_init__(self) -> None:
        if not self.thresholds or not all(-1 <= t <= 1 for t in self.thresholds):
            raise PellucidError(f"protocol {self.name}: thresholds {self.thresholds}; give one or more from 0 to 1")
        if self.generalised and self.geometry != "boxes":
            raise PellucidError(f"protocol {self.name}: GIoU is of boxes, not of {self.geometry}")
        for figure in self.figures:
            if figure.area not in self.areas:
                raise PellucidError(f"protocol {self.name}: figure {figure.name} is of area '{figure.area}', unknown")
            if figure.threshold is not None and figure.threshold not in self.thresholds:
                raise PellucidError(f"protocol {self.name}: figure {figure.name}: {figure.threshold} is no threshold")
            if figure.limit is not None and figure.limit not in self.limits:
                raise PellucidError(f"protocol {self.name}: figure {figure.name}: {figure.limit} is no limit")

    @property
    def limit(self) -> int | None:
        """How many detections of an image and class count for AP; None for all."""
        return self.limits[-1]
