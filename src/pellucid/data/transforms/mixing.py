"""Transforms that make one sample of several: Mosaic and MixUp."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pellucid.data.transforms.base import Pair, Transform, checked_size, enough, integer, uniform
from pellucid.data.transforms.moves import Affine, Fill, Size, colour
from pellucid.data.transforms.resizing import scaled_size
from pellucid.data.transforms.warping import MIN_VISIBLE, warp, warp_annotations
from pellucid.errors import PellucidError
from pellucid.structures import IGNORE, Annotations, Instances, Panoptic, Segment


@dataclass(frozen=True)
class Mosaic(Transform):
    """Four samples around a random point of a canvas of ``size``, (H, W) or one number for both.

    Each is resized to fit into the canvas times a factor from ``scale`` and touches the point with a corner; its
    quarter of the canvas cuts it. The point lies in the middle half. ``fill`` and ``min_visible`` as elsewhere.
    Image labels: present is what any of them shows, absent what is verified for all. Class scores are dropped.
    Source: Bochkovskiy 2020 (YOLOv4), section 3.3.
    """

    size: int | Size
    scale: tuple[float, float] = (0.5, 1.0)
    fill: Fill = 114
    min_visible: float = MIN_VISIBLE

    def __post_init__(self) -> None:
        if min(checked_size(self.size, "Mosaic")) < 2:
            raise PellucidError(f"Mosaic: four images do not fit into size {self.size}; give 2 pixels or more")

    @property
    def needs(self) -> int:
        return 3

    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        h, w = checked_size(self.size, "Mosaic")
        y = min(max(round(h * uniform(generator, 0.25, 0.75)), 1), h - 1)
        x = min(max(round(w * uniform(generator, 0.25, 0.75)), 1), w - 1)
        quarters = [(0, 0, x, y), (x, 0, w, y), (0, y, x, h), (x, y, w, h)]
        canvas = colour(self.fill).repeat(1, h, w)
        parts = []
        pairs = [(image, annotations), *enough(self, others)]
        for (x1, y1, x2, y2), (pixels, said) in zip(quarters, pairs, strict=True):
            H, W = said.size
            scaled = scaled_size((H, W), uniform(generator, *self.scale) * min(h / H, w / W))
            quarter = (y2 - y1, x2 - x1)
            left, top = (x - scaled[1] if x1 == 0 else 0), (y - scaled[0] if y1 == 0 else 0)
            into = Affine.placed((H, W), scaled, left, top, quarter)
            pixels, said = warp(pixels, said, into, fill=self.fill, min_visible=self.min_visible)
            canvas[:, y1:y2, x1:x2] = pixels
            parts.append(warp_annotations(said, Affine.crop(quarter, -x1, -y1, (h, w)), min_visible=0))
        return canvas, joined(parts)


@dataclass(frozen=True)
class MixUp(Transform):
    """Blends two samples: colours λ to 1 − λ, and the objects of both.

    λ is ``ratio``, or drawn from Beta(``alpha``, ``alpha``) where that is None. Both lie in the upper left corner of a
    canvas that holds them. A semantic map keeps what both say alike, else 255, and a panoptic map is dropped: neither
    can hold two things at one place. Image labels and class scores as in Mosaic.
    Source: Zhang 2018 (mixup), section 2; for objects Zhang 2019 (Bag of Freebies), section 3.1.
    """

    alpha: float = 1.5
    ratio: float | None = None
    fill: Fill = 114

    @property
    def needs(self) -> int:
        return 1

    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        pairs = [(image, annotations), *enough(self, others)]
        size = max(said.size[0] for _, said in pairs), max(said.size[1] for _, said in pairs)
        (first, said), (second, also) = (
            warp(pixels, a, Affine.crop(a.size, 0, 0, size), fill=self.fill, min_visible=0) for pixels, a in pairs
        )
        seed = integer(generator, 0, 2**31 - 1)
        share = float(np.random.default_rng(seed).beta(self.alpha, self.alpha)) if self.ratio is None else self.ratio
        blended = (share * first.float() + (1 - share) * second.float()).round().to(torch.uint8)
        made = joined([said, also])
        semantic = None
        if said.semantic is not None and also.semantic is not None:
            semantic = said.semantic.where(said.semantic == also.semantic, IGNORE)
        return blended, replace(made, semantic=semantic, panoptic=None)


def joined(parts: Sequence[Annotations]) -> Annotations:
    """What is said of several images that lie on one canvas, each in its place.

    Objects stand one after another; a column that one of them lacks is dropped. Maps: of every pixel what the first
    part says that says anything; segments get ids of their own.
    """
    objects = [part.instances for part in parts if part.instances is not None]
    filled = [instances for instances in objects if len(instances)] or objects[:1]
    semantic = None
    for part in reversed(parts):
        if part.semantic is not None:
            semantic = part.semantic if semantic is None else part.semantic.where(part.semantic != IGNORE, semantic)
    return Annotations(
        size=parts[0].size,
        classes=parts[0].classes,
        instances=Instances.joined(filled) if objects else None,
        semantic=semantic,
        panoptic=_joined_panoptic([part.panoptic for part in parts if part.panoptic is not None]),
        present=tuple(sorted({c for part in parts for c in part.present})),
        absent=tuple(sorted(set.intersection(*(set(part.absent) for part in parts)))),
    )


def _joined_panoptic(maps: list[Panoptic]) -> Panoptic | None:
    if not maps:
        return None
    ids = torch.zeros_like(maps[0].ids)
    segments: list[Segment] = []
    for panoptic in maps:
        for segment in panoptic.segments:
            new = replace(segment, id=len(segments) + 1)
            ids = torch.where((ids == 0) & (panoptic.ids == segment.id), new.id, ids)
            segments.append(new)
    return Panoptic(ids, tuple(segments))
