"""Panoptic maps: every pixel belongs to one segment, a thing or a region of stuff, or to none."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.structures.classes import Classes
from pellucid.structures.instances import Instances
from pellucid.structures.masks import Masks

IGNORE = 255
"""The value of a semantic map's pixels that belong to no class."""


@dataclass(frozen=True)
class Segment:
    """One segment: its ``id`` in the map (1 or more), class index, whether it is a crowd, and a score if predicted."""

    id: int
    label: int
    crowd: bool = False
    score: float | None = None


@dataclass
class Panoptic:
    """``ids``: int64 (H, W), the segment of every pixel, 0 for none. ``segments``: what the ids mean.

    Raises PellucidError where two segments share an id, or one has an id below 1.
    """

    ids: Tensor
    segments: tuple[Segment, ...]
    _by_id: dict[int, Segment] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._by_id = {segment.id: segment for segment in self.segments}
        if len(self._by_id) != len(self.segments) or any(i < 1 for i in self._by_id):
            raise PellucidError("panoptic: each segment needs an id of its own, 1 or more")

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.ids.shape[0], self.ids.shape[1]

    def segment(self, id: int) -> Segment:
        """The segment of an id. Raises PellucidError where there is none."""
        if id not in self._by_id:
            raise PellucidError(f"panoptic: no segment has the id {id}")
        return self._by_id[id]

    def semantic(self) -> Tensor:
        """The class of every pixel: int64 (H, W), 255 where there is none, and in crowds their class."""
        labels = torch.tensor([s.label for s in self.segments] + [IGNORE], dtype=torch.int64)
        return labels[self._positions()]

    def areas(self) -> Tensor:
        """Pixels of every segment: int64 (S,)."""
        return torch.bincount(self._positions().flatten(), minlength=len(self.segments) + 1)[: len(self.segments)]

    def things(self, classes: Classes) -> Instances:
        """The segments of thing classes as instances, with the tight box, mask and area of each."""
        chosen = [s for s in self.segments if classes.is_thing(s.label)]
        masks = Masks.from_bool(np.stack([(self.ids == s.id).numpy() for s in chosen])) if chosen else None
        masks = masks or Masks.empty(self.size)
        scored = bool(chosen) and all(s.score is not None for s in chosen)
        return Instances(
            boxes=masks.boxes(),
            labels=torch.tensor([s.label for s in chosen], dtype=torch.int64),
            masks=masks,
            areas=masks.areas(),
            scores=torch.tensor([s.score for s in chosen], dtype=torch.float32) if scored else None,
            crowd=torch.tensor([s.crowd for s in chosen], dtype=torch.bool),
            ids=torch.tensor([s.id for s in chosen], dtype=torch.int64),
        )

    def _positions(self) -> Tensor:
        """For every pixel its segment's place in ``segments``, their number for void and unknown ids."""
        n = len(self.segments)
        known = torch.tensor(sorted(self._by_id), dtype=torch.int64)
        if n == 0:
            return torch.full_like(self.ids, 0, dtype=torch.int64)
        place = {s.id: i for i, s in enumerate(self.segments)}
        order = torch.tensor([place[int(i)] for i in known], dtype=torch.int64)
        at = torch.searchsorted(known, self.ids.contiguous()).clamp(max=n - 1)
        return torch.where(known[at] == self.ids, order[at], n)


def ids_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Ids below 2²⁴, (H, W), as COCO's panoptic PNG: uint8 (H, W, 3)."""
    return np.stack((ids % 256, ids // 256 % 256, ids // 65536), -1).astype(np.uint8)
