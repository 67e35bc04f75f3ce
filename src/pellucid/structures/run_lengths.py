"""COCO's run-length encoding of masks: its compressed text, its list of counts, and what keeps a bad one harmless."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from pellucid.errors import PellucidError

MOST_PIXELS = 2**31 - 1
"""Of a mask: pycocotools counts in 32 bits."""


@dataclass(frozen=True, slots=True)
class RunLengths:
    """One mask as run lengths, column by column, zeros first.

    ``size``: (H, W). ``counts``: COCO's compressed text as bytes. Made by the constructors below, which check that
    the runs cover the mask exactly: pycocotools reads beyond its memory where they do not.
    """

    size: tuple[int, int]
    counts: bytes

    @classmethod
    def from_counts(cls, counts: Sequence[int] | NDArray[np.integer], size: tuple[int, int]) -> "RunLengths":
        """From uncompressed counts. Raises PellucidError unless they are whole, not negative, and sum up to H × W."""
        try:
            values = np.asarray(counts)
        except (ValueError, OverflowError) as error:
            raise PellucidError("run lengths are not a list of numbers") from error
        if values.size == 0:
            values = np.zeros(0, dtype=np.int64)
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise PellucidError("run lengths are not a list of whole numbers")
        _check_runs(values.astype(np.int64), size)
        H, W = size
        made = coco.frPyObjects({"size": [H, W], "counts": values.tolist()}, H, W)
        return cls(size, made["counts"])

    @classmethod
    def from_text(cls, counts: str | bytes, size: tuple[int, int]) -> "RunLengths":
        """From COCO's compressed text. Raises PellucidError unless its runs sum up to H × W."""
        try:
            data = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
        except UnicodeEncodeError as error:
            raise PellucidError("compressed run lengths hold characters that COCO's text does not have") from error
        _check_runs(_decompressed(data), size)
        return cls(size, data)

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> "RunLengths":
        """From pixels: bool (H, W)."""
        made = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
        H, W = mask.shape
        return cls((H, W), made["counts"])

    @property
    def for_pycocotools(self) -> dict[str, object]:
        """The dictionary that ``pycocotools.mask`` takes."""
        return {"size": list(self.size), "counts": self.counts}

    def to_counts(self) -> NDArray[np.int64]:
        """The uncompressed counts, zeros first."""
        return _decompressed(self.counts)

    def to_mask(self) -> NDArray[np.bool_]:
        """The pixels: bool (H, W)."""
        return np.ascontiguousarray(coco.decode(self.for_pycocotools)).astype(bool)


def _decompressed(data: bytes) -> NDArray[np.int64]:
    """The counts in COCO's text: base 32, in ASCII from '0', low digits first; from the fourth on each is a difference
    to the last but one."""
    digits = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    if len(digits) == 0:
        return np.zeros(0, dtype=np.int64)
    if digits.min() < 0 or digits.max() > 63:
        raise PellucidError("compressed run lengths hold characters that COCO's text does not have")
    last = (digits & 0x20) == 0
    if not last[-1]:
        raise PellucidError("compressed run lengths are cut short")
    starts = np.concatenate(([0], np.flatnonzero(last)[:-1] + 1))
    place = np.arange(len(digits)) - np.repeat(starts, np.diff(np.append(starts, len(digits))))
    if place.max() > 6:  # 35 bits: more than any image's
        raise PellucidError("compressed run lengths hold a count that no image could have")
    values = np.add.reduceat((digits & 0x1F) << (5 * place), starts)
    ends = np.flatnonzero(last)
    negative = (digits[ends] & 0x10) != 0
    values[negative] -= 1 << (5 * (place[ends[negative]] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _check_runs(counts: NDArray[np.int64], size: tuple[int, int]) -> None:
    H, W = size
    if H * W > MOST_PIXELS:
        raise PellucidError(f"a mask of {H} × {W} pixels is larger than any image")
    if len(counts) and counts.min() < 0:
        raise PellucidError("run lengths hold a negative count")
    total = sum(counts.tolist())  # Python's own integers cannot overflow
    if total != H * W:
        raise PellucidError(f"run lengths cover {total:,} pixels, but the mask has {H} × {W} = {H * W:,}")
