"""What can be chosen about a detector of regions."""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from pellucid.errors import PellucidError, nearest
from pellucid.models.region.conventions import convention_named

Neck = Literal["fpn", "none"]
Head = Literal["mlp", "stage"]
Proposals = Literal["learned", "external"]
Pooling = Literal["align", "pool"]
Suppression = Literal["nms", "soft-linear", "soft-gaussian"]
_WORDS: dict[str, Any] = {
    "neck": Neck,
    "head": Head,
    "proposals": Proposals,
    "pooling": Pooling,
    "suppression": Suppression,
}


STRUCTURE = (
    *("convention", "neck", "strides", "channels", "proposals", "anchor_sizes", "anchor_ratios", "pooling"),
    *("pool_size", "head", "box_features", "masks", "mask_channels", "keypoints", "keypoint_channels"),
)
"""The settings that weights were learned with: what the network is made of, and what its numbers mean."""


@dataclass(frozen=True)
class RegionSettings:
    """The settings of every detector of regions; a recipe is a choice of them.

    **Photo.** ``min_side``, ``max_side``: the shorter side is resized to the first unless the longer becomes more than
    the second. ``convention``: pellucid, torchvision, torchvision-mobilenet or detectron2.

    **Trunk.** ``neck``: 'fpn' (strides 4 to 64, ``channels`` deep) or 'none' (the map of stride 16). ``strides``: of
    the backbone's maps that the pyramid takes. ``norm``: 'frozen' or 'batch'. ``frozen_stages``: that do not learn.

    **Proposals.** 'learned' (a region proposal network) or 'external' (selective search). ``anchor_sizes``: square
    roots of areas, a tuple a level; ``anchor_ratios``: height / width. ``proposals_before``, ``proposals_after``:
    how many before (a level) and after suppression at ``proposal_iou``; the ``training_`` ones while learning.
    ``proposal_score``: the least probability. ``crossing_anchors``: whether anchors that cross the border teach.
    ``anchor_samples`` an image, ``anchor_positives`` their largest share of positives; ``external_limit``: how
    many boxes selective search gives.

    **Heads.** ``pooling``: 'align' or 'pool'. ``pool_size``: of a region's features. ``head``: 'mlp' (two layers of
    ``box_features``) or 'stage' (the backbone's last stage). ``masks``, ``keypoints``: whether there are these heads;
    ``mask_channels``, ``keypoint_channels``: their width. ``region_samples`` an image, ``region_positives`` their
    largest share; ``positive_iou``: from which overlap a region is positive, and from ``negative_iou`` up to it
    negative. ``alternating``: the proposal network and the rest learn in turn, in four steps, instead of jointly.

    **Result.** ``score_threshold``; ``suppression`` at ``iou_threshold``; at most ``detections`` an image.

    Raises PellucidError for a value that a setting cannot have.
    """

    min_side: int = 800
    max_side: int = 1333
    convention: str = "pellucid"
    neck: Neck = "fpn"
    strides: tuple[int, ...] = (4, 8, 16, 32)
    channels: int = 256
    norm: str = "frozen"
    frozen_stages: int = 2
    proposals: Proposals = "learned"
    anchor_sizes: tuple[tuple[float, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    proposals_before: int = 1000
    proposals_after: int = 1000
    training_proposals_before: int = 2000
    training_proposals_after: int = 1000
    proposal_iou: float = 0.7
    proposal_score: float = 0.0
    crossing_anchors: bool = True
    anchor_samples: int = 256
    anchor_positives: float = 0.5
    external_limit: int = 2000
    pooling: Pooling = "align"
    pool_size: int = 7
    head: Head = "mlp"
    box_features: int = 1024
    masks: bool = False
    mask_channels: int = 256
    keypoints: bool = False
    keypoint_channels: int = 512
    region_samples: int = 512
    region_positives: float = 0.25
    positive_iou: float = 0.5
    negative_iou: float = 0.0
    alternating: bool = False
    score_threshold: float = 0.05
    suppression: Suppression = "nms"
    iou_threshold: float = 0.5
    detections: int = 100

    def __post_init__(self) -> None:
        for name, words in _WORDS.items():
            if getattr(self, name) not in get_args(words):
                raise PellucidError(f"{name} '{getattr(self, name)}': give {' or '.join(get_args(words))}")
        for one in fields(self):
            value, default = getattr(self, one.name), one.default
            if isinstance(default, bool):
                right = isinstance(value, bool)
            elif isinstance(default, (int, float)):
                right = isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
                right = right and (isinstance(default, float) or value == int(value))
            else:
                right = isinstance(value, (str, tuple, list))
            if not right:
                raise PellucidError(f"{one.name} {value!r}: give a value like {default!r}")
        for name in ("min_side", "max_side", "channels", "pool_size", "anchor_samples", "region_samples", "detections"):
            if getattr(self, name) < 1:
                raise PellucidError(f"{name} {getattr(self, name)}: give 1 or more")
        for name in ("proposal_iou", "anchor_positives", "region_positives", "positive_iou", "iou_threshold"):
            if not 0 < getattr(self, name) <= 1:
                raise PellucidError(f"{name} {getattr(self, name)}: give a number above 0, up to 1")
        if self.max_side < self.min_side:
            raise PellucidError(f"max_side {self.max_side} is less than min_side {self.min_side}; give more")
        object.__setattr__(self, "strides", tuple(self.strides))
        object.__setattr__(self, "anchor_ratios", tuple(self.anchor_ratios))
        sizes = tuple((one,) if isinstance(one, (int, float)) else tuple(one) for one in self.anchor_sizes)
        object.__setattr__(self, "anchor_sizes", sizes)
        levels = len(self.strides) + 1 if self.neck == "fpn" else 1
        if self.proposals == "learned" and len(sizes) != levels:
            raise PellucidError(f"anchor_sizes for {len(sizes)} levels, but there are {levels}; give sizes for each")
        if self.head == "stage" and self.neck == "fpn":
            raise PellucidError("head 'stage' takes the backbone's last stage, which the neck 'fpn' needs; neck 'none'")
        convention_named(self.convention)

    def changes(self, defaults: "RegionSettings") -> dict[str, Any]:
        """What differs from the defaults, by name."""
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if getattr(self, one.name) != getattr(defaults, one.name)
        }


def settled(recipe: str, defaults: RegionSettings, given: dict[str, Any]) -> RegionSettings:
    """The defaults of a recipe with what was given. Raises PellucidError for an unknown setting."""
    known = [one.name for one in fields(RegionSettings)]
    for name in given:
        if name not in known:
            raise PellucidError(f"{recipe}: has no setting '{name}'{nearest(name, known)}; it has {', '.join(known)}")
    return RegionSettings(**{**{name: getattr(defaults, name) for name in known}, **given})
