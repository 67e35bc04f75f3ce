"""Reading ImageNet."""

import os
from pathlib import Path

from pellucid.data.building import RecordsBuilder
from pellucid.data.dataset import Holding
from pellucid.data.defects import Defects
from pellucid.data.formats import Options
from pellucid.data.imagenet.classes import WNID, mapped_classes, unmapped_classes
from pellucid.data.imagenet.layout import Layout, files_below, find_layout, members
from pellucid.data.imagenet.solutions import read_solutions
from pellucid.data.images import ImageFinder, inside
from pellucid.data.markup import (
    Corners,
    Marked,
    MarkedObject,
    MarkupError,
    NumberedItems,
    add_objects,
    read_marked,
    stated_size,
)
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.data.tables import folders_in
from pellucid.errors import PellucidError
from pellucid.structures import Classes


def from_zero_inside(corners: Corners, size: tuple[int, int]) -> Corners:
    """ImageNet's: pixels are counted from 0, and both corners are inside, so that a box ends at xmax + 1.

    No document says so. But its boxes begin at 0 where they touch the border, which VOC's never do, and mostly end at
    width − 1 there; those that end at the width itself mean the border too, and would else lie a pixel beyond it.
    """
    x1, y1, x2, y2 = corners
    H, W = size
    return x1, y1, x2 if x2 == W > 0 else x2 + 1, y2 if y2 == H > 0 else y2 + 1


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of a split.

    Labels of an image: the classes of its boxes and, in CLS-LOC, the class by whose id its folder is called. Images
    without an XML file are kept where that is how ImageNet means it: where the folder says the class, and in DET's
    training images, which then show no object. Raises PellucidError where nothing at all can be read.
    """
    layout = find_layout(path, options)
    if split is not None:
        split = split_named(split, layout.splits, path)
    elif not layout.lists and len(layout.splits) > 1:
        raise PellucidError(f"{path}: holds several splits; name one of them: {', '.join(layout.splits)}")
    return _Reading(layout, split, defects).records()


class _Reading:
    def __init__(self, layout: Layout, split: str | None, defects: Defects) -> None:
        self.layout, self.split, self.defects = layout, split, defects
        self.annotations = layout.folder(layout.annotations, split)
        self.images = layout.folder(layout.images, split)
        self.source = str(layout.lists.get(split or "", self.annotations or self.images or layout.root))
        self.solutions: dict[str, list[MarkedObject]] = {}
        self.solved_by = ""
        for name, table in layout.solutions.items():
            if split is None or split.split("_")[0] == name:
                self.solutions |= read_solutions(table, defects)
                self.solved_by = str(table)
        self.classes = mapped_classes(layout.roots, layout.task) or self.found_classes()
        self.index = {str(wnid): label for label, wnid in enumerate(self.classes.source_ids)}

    def found_classes(self) -> Classes:
        """Those whose ids name folders, whatever the split, else those of which any file speaks."""
        layout = self.layout
        wnids: set[str] = set()
        for base in (layout.annotations, layout.images):
            for folder in (base, layout.folder(base, "train")):
                wnids |= {name for name in folders_in(folder) if WNID.fullmatch(name)} if folder is not None else set()
        if wnids and layout.task == "CLS-LOC":
            return unmapped_classes(wnids)
        wnids = {found.name for objects in self.solutions.values() for found in objects}
        if layout.annotations is not None:
            for name in files_below(layout.annotations, (".xml",)):
                try:
                    wnids |= {found.name for found in read_marked(os.path.join(layout.annotations, name)).objects}
                except MarkupError:
                    continue  # noted where the split that it is in is read
        return unmapped_classes(wnids - {""})

    def records(self) -> Records:
        listed = members(self.layout, self.split)
        if not listed:
            listed = [self.in_folder(name) for name in self.solutions]
        names = self.checked(listed)
        files = [os.path.join(self.annotations, f"{name}.xml") if self.annotations else "" for name in names]
        files = [file if file and os.path.exists(file) else "" for file in files]
        solved = [self.solutions.get(name.rpartition("/")[2]) for name in names]
        annotated = any(files) or any(objects is not None for objects in solved)
        finder = ImageFinder([folder for folder in (self.images, self.layout.root) if folder is not None])
        builder, numbers, boxed = RecordsBuilder(), list[int](), False
        for name, file, objects in zip(names, files, solved, strict=True):
            said = Marked()
            speaks = file or (self.solved_by if objects is not None else self.source)
            if file:
                try:
                    said = read_marked(file)
                except MarkupError as error:
                    self.defects.add(error.kind, file, "", str(error), "dropped")
                    continue
            elif objects is not None:
                said.objects = objects
            elif annotated and not self.needs_none(name):
                self.defects.add("missing annotation", self.source, name, f"has no {name}.xml", "dropped")
                continue
            image = finder.find(f"{name}.JPEG")
            shown = name.rpartition("/")[0] + "/" if "/" in name else ""
            shown += os.path.basename(image) if image else f"{name.rpartition('/')[2]}.JPEG"
            size = stated_size(said, file, image, self.defects) if file else (0, 0)
            present = self.present(name, said)
            if not (image or file or present or objects is not None):
                what = "neither its image nor an annotation is there"
                self.defects.add("missing image", self.source, name, what, "dropped")
                continue
            boxed |= bool(file or objects is not None) and said.boxed
            builder.image(shown, image, speaks, size, present=present)
            numbers += add_objects(builder, said, self.index, from_zero_inside, speaks, self.defects, size)
        return self.finished(builder, numbers, boxed, annotated)

    def finished(self, builder: RecordsBuilder, numbers: list[int], boxed: bool, annotated: bool) -> Records:
        holds: set[Holding] = {"boxes"} if boxed else set()
        if annotated or builder.present:
            holds.add("labels")
        labels = builder.labels
        records = builder.finish(self.classes, holds)
        records.items = NumberedItems(numbers, labels, self.classes)
        return records

    def checked(self, names: list[str]) -> list[str]:
        """Each once, without those that lead out of the folder."""
        checked: dict[str, None] = {}
        for name in names:
            if not inside(name):
                self.defects.add("outside folder", self.source, repr(name[:80]), "is no plain path in it", "dropped")
            elif name in checked:
                self.defects.add("duplicate image", self.source, name, "is listed twice", "dropped")
            else:
                checked[name] = None
        return list(checked)

    def needs_none(self, name: str) -> bool:
        """Whether an image is meant to have no XML file."""
        if self.layout.task == "DET":
            return self.split is not None and self.split.startswith("train")
        return self.folder_class(name) is not None

    def folder_class(self, name: str) -> int | None:
        """The class by whose id the image's folder is called."""
        return self.index.get(name.split("/")[-2]) if "/" in name and self.layout.task == "CLS-LOC" else None

    def present(self, name: str, said: Marked) -> list[int]:
        """The labels of an image."""
        folder = self.folder_class(name)
        found = [] if folder is None else [folder]
        found += [self.index[label] for label in said.labels if label in self.index]
        found += [self.index[name] for name in dict.fromkeys(o.name for o in said.objects) if name in self.index]
        return found

    def in_folder(self, name: str) -> str:
        """The path of an image that a table names: training images lie in the folder of their class."""
        wnid = name.split("_")[0]
        return f"{wnid}/{name}" if WNID.fullmatch(wnid) else name
