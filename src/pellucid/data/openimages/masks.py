"""Open Images' masks: a table that gives each a box, and a PNG of its own resolution, read when it is asked for."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pellucid.data.defects import Defects
from pellucid.data.images import ImageFinder, inside
from pellucid.data.openimages.boxes import Boxes, numbers
from pellucid.data.openimages.images import Images
from pellucid.data.tables import read_table
from pellucid.errors import PellucidError
from pellucid.structures import Classes
from pellucid.structures.masks import Mask
from pellucid.structures.photo import opened_photo

CORNERS = ("BoxXMin", "BoxYMin", "BoxXMax", "BoxYMax")

_NEAR = 2e-3
"""How far the corners of a mask's box may lie from the box that it is of: the two tables round differently."""


@dataclass
class ObjectMasks:
    """Reads the mask of an object. ``paths``: of each row, '' where it has none."""

    paths: list[str]
    folders: list[Path]
    source: str
    _finder: ImageFinder | None = field(default=None, repr=False)

    def __call__(self, row: int, size: tuple[int, int]) -> Mask | None:
        name = self.paths[row]
        if not name:
            return None
        if self._finder is None:
            self._finder = ImageFinder(self.folders)
        file = self._finder.find(name)
        if not file:
            raise PellucidError(f"{self.source}: {name}: no such mask was found beside it; restore the file")
        return read_mask(Path(file), size)


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of a mask, bool (H, W), resized to its image's ``size`` by the nearest pixel.

    Raises PellucidError for what cannot be read.
    """
    H, W = size
    with opened_photo(path) as image:
        gray = image.convert("L")
        if gray.size != (W, H):
            gray = gray.resize((W, H), Image.Resampling.NEAREST)
        return np.array(gray) > 0


def match_masks(path: Path, classes: Classes, images: Images, boxes: Boxes, defects: Defects) -> list[str]:
    """For each row of ``boxes`` the path of its mask, '' where it has none.

    A mask belongs to the box of its image and class whose corners are nearest; each box has one at most. What finds no
    box is noted. Raises PellucidError where the table cannot be read.
    """
    index = {str(mid): label for label, mid in enumerate(classes.source_ids)}
    rows_of: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for row, key in enumerate(zip(boxes.images.tolist(), boxes.labels.tolist(), strict=True)):
        rows_of[key].append(row)
    paths = [""] * len(boxes.labels)

    def broken(line: int, what: str) -> None:
        defects.add("malformed", path, f"line {line}", what, "dropped")

    wanted = ("MaskPath", "ImageID", "LabelName", *CORNERS)
    for lines, (names, ids, mids, *texts) in read_table(path, wanted, (), broken):
        corners = np.stack([numbers(column) for column in texts], 1)
        for line, name, id, mid, own in zip(lines, names, ids, mids, corners, strict=True):
            image = images.index.get(id)
            if image == -1:
                continue  # noted already
            if not inside(name):
                defects.add("outside folder", path, f"line {line}", f"{name[:80]!r} is no plain path", "dropped")
                continue
            if image is None:
                defects.add("unknown image", path, f"line {line}", f"the image {id[:80]} has no boxes", "dropped")
                continue
            free = [row for row in rows_of.get((image, index.get(mid, -1)), ()) if not paths[row]]
            if free:
                apart = np.abs(boxes.boxes[free] - own).max(1)
                nearest = int(np.argmin(np.where(np.isnan(apart), np.inf, apart)))
                if apart[nearest] <= _NEAR:
                    paths[free[nearest]] = name
                    continue
            defects.add("bad mask", path, f"line {line}", f"{name[:80]} is of no box of the table of boxes", "dropped")
    return paths
