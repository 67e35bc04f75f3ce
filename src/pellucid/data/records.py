"""What a reader found, in columns: a hundred thousand images in little memory, and a sample when it is asked for."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data.dataset import Dataset, Holding
from pellucid.data.defects import Defects
from pellucid.data.images import oriented_size, read_sized
from pellucid.errors import PellucidError
from pellucid.structures import (
    Annotations,
    Classes,
    Instances,
    Mask,
    Masks,
    ObjectColumns,
    Panoptic,
    Polygons,
    Sample,
)

Size = tuple[int, int]


@dataclass
class Records:
    """The annotations of N images with M objects, the objects of an image in neighbouring rows.

    ``names``: the samples' names. ``files``: the images' files, '' where there is none. ``sizes``: int32 (N, 2),
    height and width, 0 where the source does not say. ``said_by``: the file that speaks of each image (or one for
    all), for messages. ``first``: int64 (N + 1,), image i has rows first[i] to first[i + 1]. ``boxes``: float64 (M,
    4) xyxy pixels. ``extents``: float64 (M, 2), width and height, where the source gives them: x2 − x1 may miss
    them by a last bit, which decides ties in COCO's scores. ``flags``: uint8 (M,), see ``FLAG_BITS``. ``items``:
    what messages call a row; its number in the image by default. ``mask``, ``semantic`` and ``panoptic`` read on
    demand, given the row or the image's index and the image's size. ``panoptic_as_annotated`` is the same without
    mending. A ``mask`` of None leaves the object without pixels.
    """

    classes: Classes
    holds: frozenset[Holding]
    names: list[str]
    files: list[str]
    sizes: NDArray[np.int32]
    said_by: str | list[str]
    first: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    flags: NDArray[np.uint8]
    image_ids: Sequence[int | str] | None = None
    extents: NDArray[np.float64] | None = None
    ids: NDArray[np.int64] | None = None
    areas: NDArray[np.float64] | None = None
    scores: NDArray[np.float64] | None = None
    keypoints: NDArray[np.float64] | None = None
    items: Callable[[int], str] | None = None
    mask: Callable[[int, Size], Mask | None] | None = None
    semantic: Callable[[int, Size], Tensor] | None = None
    panoptic: Callable[[int, Size], Panoptic] | None = None
    panoptic_as_annotated: Callable[[int, Size], Panoptic] | None = None
    present: dict[int, tuple[int, ...]] = field(default_factory=dict)
    absent: dict[int, tuple[int, ...]] = field(default_factory=dict)
    unexhausted: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def images(self) -> NDArray[np.int64]:
        """int64 (M,): the image of each row."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.first))

    def said_of(self, image: int) -> str:
        """The file that speaks of an image."""
        return self.said_by if isinstance(self.said_by, str) else self.said_by[image]

    def item(self, row: int) -> str:
        """What messages call a row."""
        if self.items is not None:
            return self.items(row)
        image = int(np.searchsorted(self.first, row, side="right")) - 1
        return f"object {row - int(self.first[image]) + 1} ({self.classes[int(self.labels[row])]})"

    def place(self, image: int, row: int | None = None) -> tuple[str, str]:
        """The file that speaks of an image, and what that calls the image, or one of its objects."""
        file, name = self.said_of(image), self.names[image]
        if row is None:
            return file, name
        item = self.item(row)
        return file, f"{name}, {item}" if isinstance(self.said_by, str) else item

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """Removes the rows that are False in ``keep``, bool (M,)."""
        if keep.all():
            return
        rows = np.flatnonzero(keep)
        self._choose(rows, np.bincount(self.images[rows], minlength=len(self.names)))

    def _choose(self, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Takes some rows, of which each image has so many."""
        self.first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        for name in ("boxes", "extents", "labels", "flags", "ids", "areas", "scores", "keypoints"):
            column = getattr(self, name)
            if column is not None:
                setattr(self, name, column[rows])
        if self.mask is not None:
            self.mask = AtRows(self.mask, rows)
        if self.items is not None:
            self.items = _Items(self.items, rows)

    def keep_images(self, images: Sequence[int]) -> None:
        """Keeps the images at some indices, in their order, and their rows."""
        counts = np.diff(self.first)[images]
        rows = np.concatenate([np.arange(self.first[i], self.first[i + 1]) for i in images] or [np.zeros(0, np.int64)])
        present, absent, unexhausted = self.present, self.absent, self.unexhausted
        chosen = np.array(images, dtype=np.int64)
        self.names = [self.names[i] for i in images]
        self.files = [self.files[i] for i in images]
        self.sizes = self.sizes[chosen]
        self.said_by = self.said_by if isinstance(self.said_by, str) else [self.said_by[i] for i in images]
        self.image_ids = None if self.image_ids is None else [self.image_ids[i] for i in images]
        self.present = {new: present[old] for new, old in enumerate(images) if old in present}
        self.absent = {new: absent[old] for new, old in enumerate(images) if old in absent}
        self.unexhausted = {new: unexhausted[old] for new, old in enumerate(images) if old in unexhausted}
        self._choose(rows, counts)
        if self.semantic is not None:
            self.semantic = AtRows(self.semantic, chosen)
        if self.panoptic is not None:
            self.panoptic = AtRows(self.panoptic, chosen)


class AtRows:
    """A reader by row, after rows were removed."""

    def __init__(self, read: Callable[[int, Size], Any], rows: NDArray[np.int64]) -> None:
        self.read, self.rows = read, rows

    def __call__(self, row: int, size: Size) -> Any:
        return self.read(int(self.rows[row]), size)


class _Items:
    """What messages call a row, after rows were removed."""

    def __init__(self, items: Callable[[int], str], rows: NDArray[np.int64]) -> None:
        self.items, self.rows = items, rows

    def __call__(self, row: int) -> str:
        return self.items(int(self.rows[row]))


class RecordDataset(Dataset):
    """The data set that stands in files of some format."""

    def __init__(
        self,
        records: Records,
        *,
        title: str,
        format: str,
        split: str | None,
        root: Path,
        defects: Defects,
        inclusive: bool = False,
    ) -> None:
        super().__init__(
            title,
            records.classes,
            records.holds,
            format=format,
            split=split,
            root=root,
            defects=defects,
            inclusive=inclusive,
        )
        self.records = records

    @property
    def names(self) -> Sequence[str]:
        return self.records.names

    @property
    def ids(self) -> Sequence[int | str | None]:
        known = self.records.image_ids
        return [None] * len(self) if known is None else known

    def __len__(self) -> int:
        return len(self.records)

    @property
    def without_images(self) -> bool:
        return not any(self.records.files)

    def sample(self, index: int) -> Sample:
        records = self.records
        file = records.files[index]
        known = records.image_ids
        return Sample(
            records.names[index],
            image=_Later(self.image, index),
            annotations=_Later(self.annotations, index),
            path=Path(file) if file else None,
            id=None if known is None else known[index],
        )

    def size(self, index: int) -> Size:
        """(H, W): as annotated, else from the image's header. Raises PellucidError where neither is there."""
        H, W = self.records.sizes[index].tolist()
        if H < 1 or W < 1:
            file = self.records.files[index]
            if not file:
                raise self._missing(index, "its size is not annotated and ")
            H, W = oriented_size(Path(file))
            self.records.sizes[index] = H, W
        return H, W

    def columns(self) -> ObjectColumns:
        records = self.records
        corners = records.boxes[:, :2]
        extents = records.boxes[:, 2:] - corners if records.extents is None else records.extents
        return ObjectColumns(
            records.classes,
            records.names,
            records.sizes.astype(np.int64),
            records.first,
            np.concatenate((corners, extents), 1),
            records.labels,
            records.flags,
            ids=records.image_ids,
            scores=records.scores,
            areas=records.areas,
            keypoints=records.keypoints,
            mask=None if records.mask is None else _RowMasks(self),
            item=records.item,
            present=records.present,
            absent=records.absent,
            unexhausted=records.unexhausted,
            inclusive=self.inclusive,
            source=self.title,
        )

    def image(self, index: int) -> Tensor:
        """The pixels of an image: uint8 (3, H, W)."""
        file = self.records.files[index]
        if not file:
            raise self._missing(index)
        return read_sized(Path(file), self.size(index), self.records.said_of(index))

    def _missing(self, index: int, why: str = "") -> PellucidError:
        name = self.records.names[index]
        return PellucidError(f"{self.title}: {name}: {why}no such image was found in {self.root}; restore the file")

    def annotations(self, index: int, only: Collection[Holding] | None = None) -> Annotations:
        records, size = self.records, self.size(index)
        wanted: Collection[Holding] = get_args(Holding) if only is None else only
        boxed = "boxes" in records.holds and "boxes" in wanted
        mapped = "semantic" in wanted and records.semantic is not None
        segmented = "panoptic" in wanted and records.panoptic is not None
        return Annotations(
            size,
            records.classes,
            instances=self._instances(index, size, masks="masks" in wanted) if boxed else None,
            semantic=records.semantic(index, size) if mapped and records.semantic else None,
            panoptic=records.panoptic(index, size) if segmented and records.panoptic else None,
            present=records.present.get(index, ()),
            absent=records.absent.get(index, ()),
        )

    def _instances(self, index: int, size: Size, *, masks: bool) -> Instances:
        records = self.records
        rows = slice(int(records.first[index]), int(records.first[index + 1]))
        found = None
        if masks and records.mask is not None:
            read = (records.mask(row, size) for row in range(rows.start, rows.stop))
            found = Masks([Polygons(size, ()) if mask is None else mask for mask in read], size)
        known = {name: getattr(records, name) for name in ("scores", "keypoints", "areas", "ids")}
        return Instances.from_arrays(
            records.boxes[rows],
            records.labels[rows],
            records.flags[rows],
            found,
            **{name: None if column is None else column[rows] for name, column in known.items()},
        )


class _RowMasks:
    """The mask of a row, read when it is asked for."""

    def __init__(self, dataset: RecordDataset) -> None:
        self.dataset = dataset
        assert dataset.records.mask is not None
        self.read = dataset.records.mask

    def _size(self, row: int) -> Size:
        return self.dataset.size(int(np.searchsorted(self.dataset.records.first, row, side="right")) - 1)

    def __call__(self, row: int) -> Mask | None:
        return self.read(row, self._size(row))

    def compressed(self) -> list[Any] | None:
        """The compressed run lengths of all rows, where the format has them as they stand; else None."""
        read = getattr(self.read, "compressed", None)
        if read is None:
            return None
        counts = np.diff(self.dataset.records.first).tolist()
        return list(read([size for i, n in enumerate(counts) if n for size in [self.dataset.size(i)] * n]))


class _Later:
    """A call to be made when its result is asked for."""

    def __init__(self, call: Callable[[int], Any], index: int) -> None:
        self.call, self.index = call, index

    def __call__(self) -> Any:
        return self.call(self.index)
