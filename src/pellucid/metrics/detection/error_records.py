"""A record of every false positive and every missed object, kept as columns."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError, nearest

KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
"""The types of error, in the order in which TIDE lists them."""


@dataclass(frozen=True)
class ErrorRecord:
    """One detection that is wrong, or one object that was missed.

    ``image``: its name. ``kind``: one of ``KINDS``. ``label``, ``box`` (x1, y1, x2, y2 in pixels) and ``number``: of
    the detection, for 'Miss' of the truth; ``number`` is its place in its image as given, from 0. ``score``: NaN for
    'Miss'. ``partner`` and ``partner_label``: the place and label of the truth that the detection belongs with, for
    'Miss' of the detection that overlaps most; None where there is none. ``iou``: with the partner; without one the
    highest there is.
    """

    image: str
    kind: str
    label: int
    score: float
    box: tuple[float, float, float, float]
    number: int
    partner: int | None
    partner_label: int | None
    iou: float

    def record(self) -> dict[str, Any]:
        """As JSON takes it, with null for NaN."""
        return asdict(self) | {"box": list(self.box), "score": None if math.isnan(self.score) else self.score}


@dataclass(frozen=True, eq=False)
class ErrorRecords(Sequence[ErrorRecord]):
    """N records as columns: an ``ErrorRecord`` where one is asked for by its index, some of them for a slice.

    ``names``: of all images. ``images``: int64 (N,), indices into them. ``kinds``: uint8 (N,), 1 for the first of
    ``KINDS``. ``labels``, ``numbers``: int64 (N,). ``scores``, ``ious``: float64 (N,). ``boxes``: float64 (N, 4), x1 y1
    x2 y2. ``partners``, ``partner_labels``: int64 (N,), −1 for none. They stand by image, in each by falling score,
    missed objects last.
    """

    names: Sequence[str]
    images: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    numbers: NDArray[np.int64]
    partners: NDArray[np.int64]
    partner_labels: NDArray[np.int64]
    ious: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> ErrorRecord: ...
    @overload
    def __getitem__(self, index: slice) -> "ErrorRecords": ...
    def __getitem__(self, index: int | slice) -> "ErrorRecord | ErrorRecords":
        if isinstance(index, slice):
            return self.rows(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        x1, y1, x2, y2 = self.boxes[index].tolist()
        partner = int(self.partners[index])
        return ErrorRecord(
            self.names[int(self.images[index])],
            KINDS[int(self.kinds[index]) - 1],
            int(self.labels[index]),
            float(self.scores[index]),
            (x1, y1, x2, y2),
            int(self.numbers[index]),
            partner if partner >= 0 else None,
            int(self.partner_labels[index]) if partner >= 0 else None,
            float(self.ious[index]),
        )

    def __iter__(self) -> Iterator[ErrorRecord]:
        return (self[i] for i in range(len(self)))

    def rows(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "ErrorRecords":
        """Some of them, by index or as bool (N,)."""
        return ErrorRecords(
            self.names, **{name: column[rows] for name, column in vars(self).items() if name != "names"}
        )

    def of(self, kind: str) -> "ErrorRecords":
        """Those of a kind. Raises PellucidError for an unknown one."""
        if kind not in KINDS:
            raise PellucidError(f"unknown kind of error '{kind}'{nearest(kind, KINDS)}; there are {', '.join(KINDS)}")
        return self.rows(self.kinds == KINDS.index(kind) + 1)

    def of_class(self, label: int) -> "ErrorRecords":
        """Those whose detection, or whose missed object, is of a class."""
        return self.rows(self.labels == label)

    def of_image(self, name: str) -> "ErrorRecords":
        """Those of an image; none for one without errors. Raises PellucidError for an unknown one."""
        if name not in self.names:
            raise PellucidError(f"no image '{name}' was scored{nearest(name, self.names)}")
        i = self.names.index(name)
        return self[int(np.searchsorted(self.images, i)) : int(np.searchsorted(self.images, i, side="right"))]

    def worst(self, k: int) -> "ErrorRecords":
        """The ``k`` with the highest scores, highest first; missed objects, which have none, come last."""
        return self.rows(np.argsort(-self.scores, kind="stable")[: max(k, 0)])
