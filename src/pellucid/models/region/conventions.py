"""Where projects differ about detectors of regions: numbers that weights were trained with, and that must be kept."""

from dataclasses import dataclass

from pellucid.errors import PellucidError, nearest
from pellucid.ops.anchors import AnchorConvention
from pellucid.ops.pasting import PasteConvention
from pellucid.ops.pooling import LevelRule


@dataclass(frozen=True)
class Convention:
    """The numeric conventions of a source of weights.

    ``antialias``: photos are resized with a filter as wide as the reduction asks for. ``rounded_sizes``: resized sides
    are rounded to the nearest, otherwise down. ``anchors``: how they are laid out. ``exact_strides``: anchors step by
    the level's stride, otherwise by the frame's side over the map's, rounded down. ``stride_in_1x1``: the first
    convolution of a bottleneck strides, not the second. ``norm_eps``: of frozen batch normalisation, None for the
    backbone's own. ``aligned`` and ``sampling``: of RoIAlign. ``level_rule``: from which level a region is pooled.
    ``smallest_proposal``, ``smallest_box``: sides, in pixels, of what is kept. ``proposal_beta``, ``box_beta``: where
    smooth L1 turns linear, 0 for L1. ``paste``: how a mask is laid into the image. ``mean``, ``std``: of the colours,
    RGB on the scale of [0, 1]; None for the backbone's own.
    """

    antialias: bool
    rounded_sizes: bool
    anchors: AnchorConvention
    exact_strides: bool
    stride_in_1x1: bool
    norm_eps: float | None
    aligned: bool
    sampling: int
    level_rule: LevelRule
    smallest_proposal: float
    smallest_box: float
    proposal_beta: float
    box_beta: float
    paste: PasteConvention
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    @classmethod
    def torchvision(cls, norm_eps: float | None = 0.0) -> "Convention":
        """Of torchvision's detectors, version 1; ``norm_eps`` is 0 for ResNet, 1e-5 for MobileNet."""
        return cls(
            antialias=False,
            rounded_sizes=False,
            anchors=AnchorConvention.torchvision(),
            exact_strides=False,
            stride_in_1x1=False,
            norm_eps=norm_eps,
            aligned=False,
            sampling=2,
            level_rule=LevelRule.torchvision(),
            smallest_proposal=1e-3,
            smallest_box=1e-2,
            proposal_beta=1 / 9,
            box_beta=1 / 9,
            paste=PasteConvention.torchvision(),
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        )

    @classmethod
    def detectron2(cls) -> "Convention":
        """Of detectron2's model zoo."""
        return cls(
            antialias=True,
            rounded_sizes=True,
            anchors=AnchorConvention.detectron2(),
            exact_strides=True,
            stride_in_1x1=True,
            norm_eps=1e-5,
            aligned=True,
            sampling=0,
            level_rule=LevelRule.detectron2(),
            smallest_proposal=0.0,
            smallest_box=0.0,
            proposal_beta=0.0,
            box_beta=0.0,
            paste=PasteConvention.detectron2(),
            mean=(123.675 / 255, 116.28 / 255, 103.53 / 255),
            std=(1 / 255, 1 / 255, 1 / 255),
        )

    @classmethod
    def pellucid(cls) -> "Convention":
        """Our own: detectron2's, but for a fixed number of samples, which is faster, and the backbone as it comes."""
        return cls(
            antialias=True,
            rounded_sizes=True,
            anchors=AnchorConvention.detectron2(),
            exact_strides=True,
            stride_in_1x1=False,
            norm_eps=None,
            aligned=True,
            sampling=2,
            level_rule=LevelRule.detectron2(),
            smallest_proposal=1e-3,
            smallest_box=1e-2,
            proposal_beta=0.0,
            box_beta=0.0,
            paste=PasteConvention.detectron2(),
        )


_NAMED = {
    "pellucid": Convention.pellucid,
    "torchvision": Convention.torchvision,
    "torchvision-mobilenet": lambda: Convention.torchvision(norm_eps=1e-5),
    "detectron2": Convention.detectron2,
}


def convention_named(name: str) -> Convention:
    """A convention by name. Raises PellucidError for an unknown one."""
    if name not in _NAMED:
        raise PellucidError(f"unknown convention '{name}'{nearest(name, _NAMED)}; there are {', '.join(_NAMED)}")
    return _NAMED[name]()
