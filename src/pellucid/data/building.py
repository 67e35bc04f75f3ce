"""Records made image by image and object by object, for readers of many small files."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pellucid.data.dataset import Holding
from pellucid.data.records import Records, Size
from pellucid.structures import Classes, Mask


class RecordsBuilder:
    """Makes ``Records`` image by image and object by object, for readers of many small files.

    What is no number becomes NaN, which cleaning drops and reports.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.files: list[str] = []
        self.sizes: list[Size] = []
        self.said_by: list[str] = []
        self.image_ids: list[int | str] = []
        self.counts: list[int] = []
        self.boxes: list[Sequence[float]] = []
        self.labels: list[int] = []
        self.flags: list[int] = []
        self.ids: list[int] = []
        self.areas: list[float] = []
        self.scores: list[float] = []
        self.keypoints: list[Sequence[Sequence[float]]] = []
        self.masks: list[Callable[[Size], Mask | None] | None] = []
        self.items: list[str] = []
        self.present: dict[int, tuple[int, ...]] = {}
        self.absent: dict[int, tuple[int, ...]] = {}

    def image(
        self,
        name: str,
        file: str,
        said_by: str,
        size: Size = (0, 0),
        *,
        id: int | str | None = None,
        present: Iterable[int] = (),
        absent: Iterable[int] = (),
    ) -> int:
        """Begins an image, to which the next objects belong; gives its index. ``size``: (H, W), zeros where unknown."""
        index = len(self.names)
        self.names.append(name)
        self.files.append(file)
        self.said_by.append(said_by)
        self.sizes.append(size)
        self.counts.append(0)
        if id is not None:
            self.image_ids.append(id)
        for found, column in (
            (tuple(dict.fromkeys(present)), self.present),
            (tuple(dict.fromkeys(absent)), self.absent),
        ):
            if found:
                column[index] = found
        return index

    def object(
        self,
        box: Sequence[float],
        label: int,
        flags: int = 0,
        *,
        id: int | None = None,
        area: float | None = None,
        score: float | None = None,
        keypoints: Sequence[Sequence[float]] | None = None,
        mask: Callable[[Size], Mask | None] | None = None,
        item: str = "",
    ) -> None:
        """Adds an object to the image last begun. ``box``: xyxy, pixels. ``mask``: reads it, given the image's size."""
        self.counts[-1] += 1
        self.boxes.append(box)
        self.labels.append(label)
        self.flags.append(flags)
        self.masks.append(mask)
        self.items.append(item)
        if id is not None:
            self.ids.append(id)
        if area is not None:
            self.areas.append(area)
        if score is not None:
            self.scores.append(score)
        if keypoints is not None:
            self.keypoints.append(keypoints)

    def finish(self, classes: Classes, holds: Iterable[Holding]) -> Records:
        """The records. Optional columns are kept where every object (every image) has a value."""
        M, N = len(self.labels), len(self.names)

        def column(values: list, dtype: type) -> NDArray | None:
            return np.array(values, dtype=dtype) if M and len(values) == M else None

        has_masks = any(mask is not None for mask in self.masks)
        return Records(
            classes=classes,
            holds=frozenset(holds),
            names=self.names,
            files=self.files,
            sizes=np.array(self.sizes, dtype=np.int32).reshape(-1, 2),
            said_by=self.said_by,
            first=np.concatenate(([0], np.cumsum(np.array(self.counts, dtype=np.int64)))).astype(np.int64),
            boxes=np.array(self.boxes, dtype=np.float64).reshape(-1, 4),
            labels=np.array(self.labels, dtype=np.int64),
            flags=np.array(self.flags, dtype=np.uint8),
            image_ids=self.image_ids if N and len(self.image_ids) == N else None,
            ids=column(self.ids, np.int64),
            areas=column(self.areas, np.float64),
            scores=column(self.scores, np.float64),
            keypoints=column(self.keypoints, np.float64),
            items=_Named(self.items) if any(self.items) else None,
            mask=LateMasks(self.masks) if has_masks else None,
            present=self.present,
            absent=self.absent,
        )


class _Named:
    def __init__(self, items: list[str]) -> None:
        self.texts = items

    def __call__(self, row: int) -> str:
        return self.texts[row]


class LateMasks:
    """The mask of each row, read when it is asked for."""

    def __init__(self, masks: list[Callable[[Size], Mask | None] | None]) -> None:
        self.masks = masks

    def __call__(self, row: int, size: Size) -> Mask | None:
        read = self.masks[row]
        return None if read is None else read(size)
