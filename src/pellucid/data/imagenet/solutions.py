"""Kaggle's tables of ImageNet's boxes: an image a row, five numbers and ids a box."""

from pathlib import Path

from pellucid.data.defects import Defects
from pellucid.data.images import inside
from pellucid.data.markup import MarkedObject
from pellucid.data.numbers import number
from pellucid.data.tables import read_table
from pellucid.errors import PellucidError


def read_solutions(path: Path, defects: Defects) -> dict[str, list[MarkedObject]]:
    """The objects of every image in ``LOC_val_solution.csv`` and its like, by the image's name without suffix.

    A row that does not consist of an id and four numbers a box is noted and dropped, and so is a table that cannot be
    read.
    """
    found: dict[str, list[MarkedObject]] = {}

    def broken(line: int, what: str) -> None:
        defects.add("malformed", path, f"line {line}", what, "dropped")

    try:
        for lines, (names, texts) in read_table(path, ("ImageId", "PredictionString"), broken=broken):
            for line, name, text in zip(lines, names, texts, strict=True):
                parts = text.split()
                if not inside(name) or "/" in name:
                    defects.add("outside folder", path, f"line {line}", f"{name[:80]!r} is no plain name", "dropped")
                elif name in found:
                    defects.add("duplicate image", path, f"line {line}", f"{name} stands twice", "dropped")
                elif len(parts) % 5:
                    broken(line, f"{name} has {len(parts)} parts, which are no boxes of 5 (class and four numbers)")
                else:
                    found[name] = [
                        MarkedObject(wnid, (number(x1), number(y1), number(x2), number(y2)), 0, None)
                        for wnid, x1, y1, x2, y2 in zip(*(parts[at::5] for at in range(5)), strict=True)
                    ]
    except PellucidError as error:
        defects.add("unreadable", path, "", str(error).removeprefix(f"{path}: "), "dropped")
    return found
