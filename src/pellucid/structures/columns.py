"""The objects of many images, column by column: what scoring reads, without a structure for each image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes
from pellucid.structures.instances import FLAG_BITS, Instances
from pellucid.structures.masks import Mask, Masks


@dataclass
class ObjectColumns:
    """What is said of the objects of N images, M objects in all, those of an image in neighbouring rows.

    ``names`` and ``ids``: the images, as the data set calls them; ``ids`` is None where it has none. ``sizes``: int64
    (N, 2), height and width, 0 where unknown. ``first``: int64 (N + 1,), image i has the rows first[i] to first[i + 1].
    ``boxes``: float64 (M, 4), x, y, width, height: COCO's form, since its figures hang on the last bit of a width.
    ``labels``: int64 (M,). ``scores``, ``areas``: float64 (M,). ``flags``: uint8 (M,), see ``FLAG_BITS``.
    ``keypoints``: float64 (M, K, 3). ``numbers``: int64 (M,), an object's place in its image, where rows were removed
    or copied. ``mask`` reads the mask of a row. ``item`` says what messages call a row.
    ``present``, ``absent``: verified classes by image.
    ``unexhausted``: by image the classes of which not every object is marked (LVIS). ``inclusive``: whether the boxes
    come from a source that counts pixels, so that their widths already include the last one. ``source``: what messages
    call the whole.
    """

    classes: Classes
    names: Sequence[str]
    sizes: NDArray[np.int64]
    first: NDArray[np.int64]
    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    flags: NDArray[np.uint8]
    ids: Sequence[int | str] | None = None
    scores: NDArray[np.float64] | None = None
    areas: NDArray[np.float64] | None = None
    keypoints: NDArray[np.float64] | None = None
    numbers: NDArray[np.int64] | None = None
    mask: Callable[[int], Mask | None] | None = None
    item: Callable[[int], str] | None = None
    present: dict[int, tuple[int, ...]] = field(default_factory=dict)
    absent: dict[int, tuple[int, ...]] = field(default_factory=dict)
    unexhausted: dict[int, tuple[int, ...]] = field(default_factory=dict)
    inclusive: bool = False
    source: str = ""

    def __len__(self) -> int:
        """How many images."""
        return len(self.names)

    @property
    def images(self) -> NDArray[np.int64]:
        """int64 (M,): the image of each row."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.first))

    def numbered(self) -> "ObjectColumns":
        """The same with ``numbers``, so that a row can be traced to the object it was."""
        if self.numbers is not None:
            return self
        return replace(self, numbers=np.arange(len(self.labels)) - np.repeat(self.first[:-1], np.diff(self.first)))

    def place(self, row: int) -> str:
        """What messages call a row: its image, and the object in it."""
        image = int(np.searchsorted(self.first, row, side="right")) - 1
        named = self.item(row) if self.item is not None else f"object {row - int(self.first[image]) + 1}"
        return f"{self.names[image]}, {named}"

    def kept(self, keep: NDArray[np.bool_]) -> "ObjectColumns":
        """The rows that are True in ``keep``, bool (M,)."""
        if keep.all():
            return self
        rows = np.flatnonzero(keep)
        counts = np.bincount(self.images[rows], minlength=len(self.names))
        return replace(self.taken(rows), first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64))

    def taken(self, rows: NDArray[np.int64]) -> "ObjectColumns":
        """Some rows, in their order; ``first`` is left as it was."""
        made: dict[str, Any] = {}
        for name in ("boxes", "labels", "flags", "scores", "areas", "keypoints", "numbers"):
            column = getattr(self, name)
            made[name] = None if column is None else column[rows]
        for name in ("mask", "item"):
            read = getattr(self, name)
            # A table of masks has its own way, and stays a table.
            taken = getattr(read, "taken", None)
            made[name] = taken(rows) if taken is not None else None if read is None else _OfRows(read, rows)
        return replace(self, **made)

    def instances(self, image: int, size: tuple[int, int]) -> Instances:
        """The objects of an image of ``size`` (H, W), as one structure. Raises PellucidError for a broken mask."""
        rows = slice(int(self.first[image]), int(self.first[image + 1]))
        boxes, masks = self.boxes[rows], None
        if self.mask is not None:
            found = [self.mask(row) for row in range(rows.start, rows.stop)]
            whole = [mask for mask in found if mask is not None]
            masks = Masks(whole, size) if len(whole) == len(found) else None
        known = {name: getattr(self, name) for name in ("scores", "keypoints", "areas")}
        return Instances.from_arrays(
            np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1),
            self.labels[rows],
            self.flags[rows],
            masks,
            **{name: None if column is None else column[rows] for name, column in known.items()},
        )


class _OfRows:
    """A reader by row, after rows were removed."""

    def __init__(self, read: Callable[[int], object], rows: NDArray[np.int64]) -> None:
        self.read, self.rows = read, rows

    def __call__(self, row: int) -> object:
        return self.read(int(self.rows[row]))

    def compressed(self) -> list[Any] | None:
        """The compressed run lengths of the masks, where the reader has them as they stand."""
        read = getattr(self.read, "compressed", None)
        if read is None:
            return None
        found = read()
        return [found[row] for row in self.rows.tolist()]


def columns_of(
    classes: Classes,
    names: Sequence[str],
    annotations: Sequence[Annotations],
    *,
    ids: Sequence[int | str | None] | None = None,
    inclusive: bool = False,
    source: str = "",
) -> ObjectColumns:
    """The objects in the ``Annotations`` of N images. A column that any image with objects lacks is left out."""
    parts = [said.instances if said.instances is not None else Instances.empty() for said in annotations]
    counts = [len(part) for part in parts]
    some = [part for part in parts if len(part)]
    joined = Instances.joined([replace(part, masks=None) for part in some])
    corners = joined.boxes.detach().cpu().double().numpy()
    flags = np.zeros(len(joined), dtype=np.uint8)
    for name, bit in FLAG_BITS.items():
        flags |= getattr(joined, name).cpu().numpy().astype(np.uint8) * np.uint8(bit)
    masks = [mask for part in some if part.masks is not None for mask in part.masks]

    def column(values: Tensor | None) -> NDArray[np.float64] | None:
        return None if values is None else values.detach().cpu().double().numpy()

    return ObjectColumns(
        classes,
        names,
        np.array([said.size for said in annotations], dtype=np.int64).reshape(-1, 2),
        np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1),
        joined.labels.cpu().numpy().astype(np.int64),
        flags,
        ids=None if ids is None or None in ids else [id for id in ids if id is not None],
        scores=column(joined.scores),
        areas=column(joined.areas),
        keypoints=column(joined.keypoints),
        mask=masks.__getitem__ if some and len(masks) == len(joined) else None,
        present={i: said.present for i, said in enumerate(annotations) if said.present},
        absent={i: said.absent for i, said in enumerate(annotations) if said.absent},
        inclusive=inclusive,
        source=source,
    )


@runtime_checkable
class HasColumns(Protocol):
    """What can hand over the objects of all its images at once."""

    def columns(self) -> ObjectColumns: ...
