"""COCO's segmentations: kept as the JSON text they are, decoded one by one when a sample is asked for."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.structures import Mask, Polygons, RunLengths


class Segmentations:
    """The segmentations of M annotations: JSON texts in one string of bytes, from ``starts`` to ``ends``.

    Called with a row and the image's size it gives the mask, None where the annotation has none or it is broken;
    ``read`` raises PellucidError for a broken one instead.
    """

    def __init__(
        self, texts: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], file: str, ids: NDArray[np.int64]
    ) -> None:
        self.texts, self.starts, self.ends, self.file, self.ids = texts, starts, ends, file, ids

    def any(self) -> bool:
        """Whether any annotation has a segmentation: longer than ``null`` or ``[]``."""
        return bool((self.ends - self.starts > 4).any())

    def __call__(self, row: int, size: tuple[int, int]) -> Mask | None:
        try:
            return self.read(row, size)
        except PellucidError:
            return None

    def read(self, row: int, size: tuple[int, int]) -> Mask | None:
        """The mask of an annotation, None where it has none."""
        try:
            value = json.loads(self.texts[self.starts[row] : self.ends[row]])
        except (ValueError, RecursionError) as error:  # its bytes were not looked at before
            raise PellucidError("a segmentation is no JSON text") from error
        if value is None or value == [] or value == {}:
            return None
        return as_mask(value, size)


def as_mask(value: Any, size: tuple[int, int]) -> Mask:
    """A mask from COCO's JSON: a list of polygons, or run lengths, compressed or not.

    Raises PellucidError for what is neither, and for run lengths of another size.
    """
    if isinstance(value, list):
        return Polygons.from_lists(value, size)
    if not isinstance(value, dict) or "counts" not in value:
        raise PellucidError("a segmentation is neither polygons nor run lengths")
    told = value.get("size", list(size))
    if not isinstance(told, list) or [*told] != [*size]:
        raise PellucidError(f"run lengths are of size {str(told)[:40]}, their image of {list(size)}")
    counts = value["counts"]
    if isinstance(counts, str):
        return RunLengths.from_text(counts, size)
    if isinstance(counts, list):
        return RunLengths.from_counts(counts, size)
    raise PellucidError("run lengths have counts that are neither text nor a list")
