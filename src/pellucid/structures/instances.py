"""The objects of one image: boxes with labels, and whatever else is known of each."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.structures.masks import Masks

FLAGS = ("crowd", "difficult", "group_of", "truncated", "occluded", "depiction", "inside")
"""What an annotator may note of an object: a region of many (COCO), hard to see (VOC), a box around a group (Open
Images), cut by the border, hidden by another object, a drawing of it, seen from its inside."""

FLAG_BITS = {name: 1 << bit for bit, name in enumerate(FLAGS)}
"""The bit of each flag where all of them stand in one number."""


@dataclass
class Instances:
    """N objects, one a row.

    ``boxes``: float32 (N, 4), x1 y1 x2 y2 in continuous pixels. ``labels``: int64 (N,), class indices. Optional, None
    where nothing is known: ``scores`` float (N,) in [0, 1]; ``masks``; ``keypoints`` float32 (N, K, 3) with x, y and
    visibility (0 unlabelled, 1 hidden, 2 visible); ``areas`` float32 (N,), as annotated (COCO: of the mask); ``ids``
    int64 (N,), the source's own. Of predictions also, with their graph: ``logits`` (N, K), the class scores before the
    softmax or sigmoid, without background; ``mask_logits`` (N, M, M), of a grid over each box, before the sigmoid;
    ``keypoint_scores`` (N, K), how sure the network is of each. The flags (``FLAGS``) are bool (N,), False by default.

    Raises PellucidError where lengths or shapes disagree.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor | None = None
    masks: Masks | None = None
    keypoints: Tensor | None = None
    areas: Tensor | None = None
    ids: Tensor | None = None
    logits: Tensor | None = None
    mask_logits: Tensor | None = None
    keypoint_scores: Tensor | None = None
    crowd: Tensor = None  # type: ignore[assignment]
    difficult: Tensor = None  # type: ignore[assignment]
    group_of: Tensor = None  # type: ignore[assignment]
    truncated: Tensor = None  # type: ignore[assignment]
    occluded: Tensor = None  # type: ignore[assignment]
    depiction: Tensor = None  # type: ignore[assignment]
    inside: Tensor = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.boxes.shape != (n, 4):
            raise PellucidError(f"instances: boxes of shape {tuple(self.boxes.shape)} for {n} labels; give ({n}, 4)")
        for name in FLAGS:
            if getattr(self, name) is None:
                setattr(self, name, torch.zeros(n, dtype=torch.bool, device=self.boxes.device))
        for name, value in self._columns():
            if len(value) != n:
                raise PellucidError(f"instances: {len(value)} {name} for {n} boxes")
        if self.keypoints is not None and (self.keypoints.ndim != 3 or self.keypoints.shape[2] != 3):
            raise PellucidError(f"instances: keypoints of shape {tuple(self.keypoints.shape)}; give ({n}, K, 3)")

    def _columns(self) -> list[tuple[str, Any]]:
        """Every field that is known."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))
        return [(name, value) for name, value in named if value is not None]

    @classmethod
    def empty(cls) -> "Instances":
        """No object."""
        return cls(torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64))

    @classmethod
    def from_arrays(
        cls,
        boxes: NDArray[np.float64],
        labels: NDArray[np.int64],
        flags: NDArray[np.uint8],
        masks: Masks | None = None,
        **columns: NDArray[Any] | None,
    ) -> "Instances":
        """From rows of columns: boxes xyxy (N, 4), labels (N,), flags (N,) as ``FLAG_BITS``, others by name."""
        dtypes = {"ids": torch.int64}
        known: dict[str, Any] = {
            name: None if values is None else torch.tensor(values, dtype=dtypes.get(name, torch.float32))
            for name, values in columns.items()
        }
        return cls(
            boxes=torch.tensor(boxes, dtype=torch.float32),
            labels=torch.tensor(labels),
            masks=masks,
            **known,
            **{name: torch.from_numpy((flags & bit) != 0) for name, bit in FLAG_BITS.items()},
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> "Instances":
        """The objects of a slice, a list or tensor of indices, or a bool tensor; a number gives the one in it."""
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        if isinstance(index, list):
            index = torch.tensor(index, dtype=torch.int64)
        return Instances(**{name: value[index] for name, value in self._columns()})

    def to(self, device: torch.device | str) -> "Instances":
        """The same on another device; masks stay where they are, in compact form."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in self._columns() if isinstance(value, Tensor)}
        return replace(self, **moved)

    @classmethod
    def joined(cls, parts: list["Instances"]) -> "Instances":
        """The objects of several, of one image, one after another. A field that any of them lacks is dropped."""
        if not parts:
            return cls.empty()
        known = [dict(part._columns()) for part in parts]
        made: dict[str, Any] = {}
        for name in known[0]:
            if all(name in part for part in known):
                values = [part[name] for part in known]
                made[name] = Masks.joined(values) if name == "masks" else torch.cat(values)
        return cls(**made)
