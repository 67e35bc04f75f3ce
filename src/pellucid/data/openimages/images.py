"""The images of a split of Open Images: which ones, where, and of what size."""

import os
from pathlib import Path

from pellucid.data.defects import Defects
from pellucid.data.images import ImageFinder, inside, oriented_size, photos_in
from pellucid.data.markup import MAX_SIDE
from pellucid.data.numbers import number
from pellucid.data.openimages.layout import Layout
from pellucid.data.tables import read_table
from pellucid.errors import PellucidError


class Images:
    """The images that tables name, in the order in which they do, each with an index.

    ``index`` is −1 for those of no use, which are noted: of unknown size, or with an id that leads out of the folder.
    """

    def __init__(self, layout: Layout, split: str, defects: Defects) -> None:
        self.defects = defects
        self.own = layout.own_folders(split)
        folders = layout.image_folders(split)
        self.finder = ImageFinder(folders)
        self.there = any(photos_in(folder) for folder in folders)
        self.taken: set[str] = set()
        self.index: dict[str, int] = {}
        self.ids: list[str] = []
        self.files: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.stated = self._stated(layout.tables["sizes"].get(split))

    def _stated(self, table: Path | None) -> dict[str, tuple[int, int]]:
        """(H, W) by id, as the table of sizes says; its images are of the split even where nothing else names them."""
        found: dict[str, tuple[int, int]] = {}
        if table is None:
            return found

        def broken(line: int, what: str) -> None:
            self.defects.add("malformed", table, f"line {line}", what, "dropped")

        for lines, (ids, widths, heights) in read_table(table, ("ImageID", "Width", "Height"), broken=broken):
            for line, id, *texts in zip(lines, ids, heights, widths, strict=True):
                H, W = map(number, texts)
                if 1 <= H <= MAX_SIDE and 1 <= W <= MAX_SIDE:
                    if id in found:
                        self.defects.add("duplicate image", table, f"line {line}", f"{id} stands twice", "dropped")
                    else:
                        found[id] = int(H), int(W)
                else:
                    broken(line, f"{id[:80]} is said to be {texts[1][:20]} × {texts[0][:20]} pixels")
        return found

    def add(self, id: str, source: Path) -> int:
        """The index of an image, which is looked for when it is first named; −1 for one that is of no use."""
        known = self.index.get(id)
        if known is not None:
            return known
        at = -1
        if not inside(id) or "/" in id or "\\" in id:
            self.defects.add("outside folder", source, repr(id[:80]), "is no plain image id", "dropped")
        else:
            file = self.finder.find(f"{id}.jpg") if self.there else ""
            if file and file in self.taken:
                self.defects.add("duplicate image", source, id, f"{file} has another id already", "dropped")
            elif (size := self.stated.get(id) or self._measured(id, file, source)) is not None:
                at = len(self.ids)
                self.taken.add(file)
                self.ids.append(id)
                self.files.append(file)
                self.sizes.append(size)
        self.index[id] = at
        return at

    def _measured(self, id: str, file: str, source: Path) -> tuple[int, int] | None:
        if not file:
            self.defects.add("missing image", source, id, "no such image file", "dropped")
            return None
        try:
            return oriented_size(Path(file))
        except PellucidError as error:
            self.defects.add("damaged image", file, "", str(error).removeprefix(f"{file}: "), "dropped")
            return None

    def names(self) -> list[str]:
        """The samples' names: the files' own, in their folder."""
        return [os.path.basename(file) or f"{id}.jpg" for id, file in zip(self.ids, self.files, strict=True)]

    def unnamed(self) -> list[str]:
        """The image files of the split's own folders that no table names."""
        return [
            name for folder in self.own for name in photos_in(folder) if os.path.splitext(name)[0] not in self.index
        ]
