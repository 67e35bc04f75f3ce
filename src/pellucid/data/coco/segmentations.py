"""COCO's segmentations: kept as the JSON text they are, decoded one by one when a sample is asked for."""

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.structures import Mask, Polygons, RunLengths

Compressed: TypeAlias = tuple[bytes, tuple[int, int]]
"""COCO's text of a mask, and its size (H, W)."""


class _Compressed(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str


_COMPRESSED = msgspec.json.Decoder(_Compressed)


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

    def compressed(self, sizes: Sequence[tuple[int, int]]) -> "list[Compressed | None]":
        """The compressed run lengths of all annotations as they stand, unchecked, and their sizes.

        None for one that has others, none, or of another size than its image, which is given in ``sizes``.
        """
        made: list[Compressed | None] = []
        decode, texts = _COMPRESSED.decode, self.texts
        for start, end, size in zip(self.starts.tolist(), self.ends.tolist(), sizes, strict=True):
            try:
                found = decode(texts[start:end])
                made.append((found.counts.encode(), size) if found.size == size else None)
            except (msgspec.MsgspecError, UnicodeError):
                made.append(None)
        return made

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
