"""The table of boxes, which may have fourteen million rows: read piece by piece into columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.data.defects import Defects
from pellucid.data.numbers import number
from pellucid.data.openimages.images import Images
from pellucid.data.tables import read_table
from pellucid.structures import FLAG_BITS, Classes

CORNERS = ("XMin", "YMin", "XMax", "YMax")

FLAG_COLUMNS = {
    "IsOccluded": "occluded",
    "IsTruncated": "truncated",
    "IsGroupOf": "group_of",
    "IsDepiction": "depiction",
    "IsInside": "inside",
}


@dataclass
class Boxes:
    """The rows of images and classes that are known, those of an image together, in the table's order.

    ``boxes``: float64 (M, 4), normalised xyxy. ``lines``: of the table. ``scores``: the column Confidence, which for
    annotations is 1 throughout, None then.
    """

    images: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    flags: NDArray[np.uint8]
    lines: NDArray[np.int64]
    scores: NDArray[np.float64] | None


def read_boxes(
    path: Path, classes: Classes, images: Images, defects: Defects, corners_in: Sequence[str] = CORNERS
) -> Boxes:
    """Reads a table of boxes, or one that has them in other columns. Raises PellucidError where it cannot be read."""
    index = {str(mid): label for label, mid in enumerate(classes.source_ids)}
    pieces: list[tuple[NDArray, ...]] = []

    def broken(line: int, what: str) -> None:
        defects.add("malformed", path, f"line {line}", what, "dropped")

    wanted = ("ImageID", "LabelName", *corners_in)
    for lines, columns in read_table(path, wanted, ("Confidence", *FLAG_COLUMNS), broken):
        ids, mids, *rest = columns
        at = np.array(_image_indices(ids, images, path), dtype=np.int64)
        get = index.get
        labels = np.array([get(mid, -1) for mid in mids], dtype=np.int64)
        keep = (at >= 0) & (labels >= 0)
        for row in np.flatnonzero((at >= 0) & (labels < 0)).tolist():
            what = f"the class '{mids[row][:80]}' of a box in {ids[row]} is not in the list"
            defects.add("unknown class", path, f"line {lines[row]}", what, "dropped")
        rows = np.flatnonzero(keep)
        flags = np.zeros(len(ids), dtype=np.uint8)
        for column, name in zip(rest[5:], FLAG_COLUMNS.values(), strict=True):
            if column:
                flags |= np.array([text == "1" for text in column], dtype=np.uint8) * np.uint8(FLAG_BITS[name])
        corners = np.stack([numbers(column) for column in rest[:4]], 1)
        scores = numbers(rest[4]) if rest[4] else np.ones(len(ids))
        found_lines = np.array(lines, dtype=np.int64)
        pieces.append(tuple(column[rows] for column in (at, labels, corners, flags, found_lines, scores)))
    if not pieces:
        empty = np.zeros(0, dtype=np.int64)
        return Boxes(empty, empty, np.zeros((0, 4)), np.zeros(0, dtype=np.uint8), empty, None)
    at, labels, corners, flags, found_lines, scores = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    order = np.argsort(at, kind="stable")
    plain = bool((scores == 1).all()) or not bool(np.isfinite(scores).all())
    return Boxes(
        at[order], labels[order], corners[order], flags[order], found_lines[order], None if plain else scores[order]
    )


def _image_indices(ids: Sequence[str], images: Images, path: Path) -> list[int]:
    known = images.index
    try:
        return [known[id] for id in ids]
    except KeyError:
        add = images.add
        return [known[id] if id in known else add(id, path) for id in ids]


def numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Texts as numbers, NaN where one is none."""
    try:
        found = np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
    except ValueError:
        return np.fromiter(map(number, texts), dtype=np.float64, count=len(texts))
    return found
