"""Defects of objects' masks: broken, empty, beside their box, of another area than annotated."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from pellucid.data.building import LateMasks
from pellucid.data.checking.boxes import ious
from pellucid.data.checking.places import told, unwrapped
from pellucid.data.coco.segmentations import Segmentations
from pellucid.data.defects import Defects
from pellucid.data.records import Records
from pellucid.errors import PellucidError
from pellucid.structures import FLAG_BITS, Mask, Polygons
from pellucid.structures.masks import as_run_lengths

OVERLAP = 0.5
APART = 4.0
"""A mask misses its box where their IoU is below ``OVERLAP`` and one side is more than ``APART`` pixels off. All 2901
masks of the COCO samples pass: annotators draw boxes of thin objects a few pixels wide of the mark."""

_POLYGONS = (16.0, 0.1)
_PIXELS = (1.0, 0.01)
"""By how many pixels, and by what share, an area may differ from the mask's. Rasterising polygons costs small objects
many of their pixels; run lengths are exact."""


class Areas:
    """Objects whose area is exactly their box's, as many exporters write it: noted once, not one by one."""

    def __init__(self) -> None:
        self.boxes = 0
        self.first = ""

    def add(self, item: str) -> None:
        """Counts one."""
        self.boxes += 1
        self.first = self.first or item

    def check(self, records: Records, defects: Defects) -> None:
        """Notes them."""
        if self.boxes:
            what = f"{self.boxes:,} objects with masks have the area of their box, or none, such as {self.first}"
            defects.add("area disagrees", records.said_of(0), "", what)


def in_files(records: Records) -> bool:
    """Whether masks are read from image files of their own."""
    reader, _ = unwrapped(records.mask, 0) if len(records.labels) else (records.mask, 0)
    if isinstance(reader, Segmentations):
        return False
    return not isinstance(reader, LateMasks)


def check_masks(records: Records, image: int, size: tuple[int, int], areas: Areas, defects: Defects) -> None:
    """Notes what is wrong with the masks of an image."""
    if records.mask is None:
        return
    broken: set[str] = set()
    for row in range(int(records.first[image]), int(records.first[image + 1])):
        file, item = records.place(image, row)
        try:
            mask = _read(records, row, size)
        except PellucidError as error:
            file, what = told(error, file)
            if what not in broken:  # one file may hold the masks of all objects
                broken.add(what)
                defects.add("bad mask", file, item, what)
            continue
        if mask is None:
            continue
        box, area = extent(mask)
        if area == 0:
            defects.add("empty mask", file, item, "its mask has no pixel")
            continue
        check_extent(records.boxes[row], box, (file, item), defects)
        if records.areas is not None:
            _check_area(records, row, (float(area), isinstance(mask, Polygons)), (file, item), areas, defects)


def _read(records: Records, row: int, size: tuple[int, int]) -> Mask | None:
    """The mask of an object. Raises PellucidError where it is broken, or an empty list."""
    reader, at = unwrapped(records.mask, row)
    if isinstance(reader, Segmentations):
        if reader.texts[reader.starts[at] : reader.ends[at]].strip() in (b"[]", b"{}"):
            return Polygons(size, ())
        return reader.read(at, size)
    mask: Mask | None = reader(at, size)
    if mask is None and isinstance(reader, LateMasks) and reader.masks[at] is not None:
        raise PellucidError("its outline is no polygon")
    return mask


def extent(mask: Mask) -> tuple[NDArray[np.float64], int]:
    """The tight box around a mask's pixels, xyxy, and how many they are."""
    runs: Any = as_run_lengths(mask).for_pycocotools
    x, y, w, h = coco.toBbox(runs)
    return np.array((x, y, x + w, y + h), dtype=np.float64), int(coco.area(runs))


def check_extent(
    box: NDArray[np.float64], tight: NDArray[np.float64], place: tuple[str, str], defects: Defects
) -> None:
    """Notes a mask that lies elsewhere than its box."""
    overlap = float(ious(box[None], tight[None])[0, 0])
    if overlap < OVERLAP and np.abs(box - tight).max() > APART:
        spans = [f"x {b[0]:g} to {b[2]:g}, y {b[1]:g} to {b[3]:g}" for b in (tight, box)]
        what = f"its mask spans {spans[0]}, its box {spans[1]} (IoU {overlap:.2f})"
        defects.add("mask misses box", *place, what)


def _check_area(
    records: Records, row: int, mask: tuple[float, bool], place: tuple[str, str], areas: Areas, defects: Defects
) -> None:
    pixels, polygons = mask
    assert records.areas is not None
    said = float(records.areas[row])
    apart, share = _POLYGONS if polygons else _PIXELS
    if not np.isfinite(said) or abs(said - pixels) <= max(apart, share * pixels):
        return
    x1, y1, x2, y2 = records.boxes[row].tolist()
    if abs(said - (x2 - x1) * (y2 - y1)) <= 1e-6 * said:
        areas.add(place[1])
        return
    crowd = " (a crowd)" if records.flags[row] & FLAG_BITS["crowd"] else ""
    what = f"its area is given as {said:,.0f}, its mask has {pixels:,.0f} pixels{crowd}"
    defects.add("area disagrees", *place, what)
