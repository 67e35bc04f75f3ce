"""Reading Pascal VOC."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.data.building import RecordsBuilder
from pellucid.data.dataset import Holding
from pellucid.data.defects import Defects
from pellucid.data.formats import Options
from pellucid.data.images import ImageFinder, inside, oriented_size
from pellucid.data.markup import (
    Corners,
    Counting,
    Marked,
    MarkupError,
    NumberedItems,
    add_objects,
    read_marked,
    stated_size,
)
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.data.tables import names_in
from pellucid.data.voc.classes import classes_of, listed_classes, with_background
from pellucid.data.voc.layout import Layout, Place, find_layout, listed
from pellucid.data.voc.maps import ObjectMasks, SemanticMaps, labels_of_indices
from pellucid.errors import PellucidError, nearest
from pellucid.structures import Classes
from pellucid.structures.photo import SUFFIXES

COUNTINGS = ("auto", "1-based", "0-based")


def from_one(corners: Corners, size: tuple[int, int]) -> Corners:
    """VOC's own: pixels are counted from 1, and both corners are inside.

    Pixel i reaches from i − 1 to i, so that a box begins at xmin − 1 and ends at xmax (Everingham and Winn, The PASCAL
    VOC2007 Development Kit, section 8).
    """
    x1, y1, x2, y2 = corners
    return x1 - 1, y1 - 1, x2, y2


def from_zero(corners: Corners, size: tuple[int, int]) -> Corners:
    """What CVAT and many converters write: continuous coordinates, from 0."""
    return corners


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of a split.

    Classes, and whether pixels are counted from 0 or 1, are found in the files of all splits, so that splits agree.
    Raises PellucidError where nothing at all can be read.
    """
    counting = options.get("boxes", "auto")
    if counting not in COUNTINGS:
        raise PellucidError(
            f"voc: boxes='{counting}' is unknown{nearest(counting, COUNTINGS)}; give one of {', '.join(COUNTINGS)}"
        )
    layout = find_layout(path, options)
    if split is not None:
        split = split_named(split, layout.splits, path)
    names = listed_classes(layout.root, options)
    place = layout.place(split)
    source = str(layout.lists[split]) if layout.lists and split is not None else place.annotations
    stems = _checked(listed(layout, split), source, defects)
    said = _Said(wanted={os.path.join(place.annotations, place.stems[stem]) for stem in stems if stem in place.stems})
    said.read(layout if names is None or counting == "auto" else None)
    starts_at_zero = counting == "0-based" or (counting == "auto" and said.zeros > said.ones)
    chosen = classes_of(said.names, names)
    return _made(layout, place, stems, source, said.marked, chosen, from_zero if starts_at_zero else from_one, defects)


def _checked(stems: list[str], source: str, defects: Defects) -> list[str]:
    """Each once, without those that lead out of the folder."""
    checked: dict[str, None] = {}
    for stem in stems:
        if not inside(stem):
            defects.add("outside folder", source, repr(stem[:80]), "is no plain path in the folder", "dropped")
        elif stem in checked:
            defects.add("duplicate image", source, stem, "is listed twice", "dropped")
        else:
            checked[stem] = None
    return list(checked)


@dataclass
class _Said:
    """What XML files say: the ``wanted`` ones in full, the others only for class names and where counting begins."""

    wanted: set[str]
    marked: dict[str, Marked | MarkupError] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    zeros: int = 0
    ones: int = 0

    def read(self, all_of: Layout | None) -> None:
        files = self.wanted
        if all_of is not None:
            places = all_of.places.values()
            files = files | {os.path.join(place.annotations, name) for place in places for name in place.stems.values()}
        for file in sorted(files):
            try:
                marked = read_marked(file)
            except MarkupError as error:
                if file in self.wanted:
                    self.marked[file] = error
                continue
            if file in self.wanted:
                self.marked[file] = marked
            for name, corners, _, _ in marked.objects:
                self.names.add(name)
                if corners is not None:
                    x, y = corners[:2]
                    self.zeros += (x == 0) + (y == 0)
                    self.ones += (x == 1) + (y == 1)
        self.names.discard("")


class _Images:
    """Finds the image of each file and a name for it that no other has."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders = folders
        self.finder = ImageFinder(folders)
        self.taken: set[str] = set()

    def find(self, stem: str, filename: str) -> tuple[str, str]:
        """The name and the file, '' where it is missing. The XML's own name counts first: <filename> is often wrong."""
        file = self.finder.find(stem + ".jpg")
        if not file and stem.lower().endswith(SUFFIXES):
            file = self.finder.find(stem)
        if not file and filename and inside(filename):
            file = self.finder.find(filename)
        if file:
            folder = next(str(f) for f in self.folders if file.startswith(str(f) + os.sep))
            return file[len(folder) + 1 :], file
        suffix = os.path.splitext(filename)[1]
        return stem + (suffix if suffix.lower() in SUFFIXES else ".jpg"), ""


def _made(
    layout: Layout,
    place: Place,
    stems: list[str],
    source: str,
    marked: dict[str, Marked | MarkupError],
    class_names: list[str],
    counting: Counting,
    defects: Defects,
) -> Records:
    """The records of the images in ``stems``."""
    index = {name: label for label, name in enumerate(class_names)}
    annotated = any(stem in place.stems for stem in stems)
    builder, images = RecordsBuilder(), _Images(place.images)
    kept: list[str] = []
    numbers: list[int] = []
    for stem in stems:
        said: Marked | MarkupError = Marked()
        file = source
        if stem in place.stems:
            file = os.path.join(place.annotations, place.stems[stem])
            said = marked[file]
        elif annotated:
            what = f"has no {stem}.xml in {place.annotations}"
            defects.add("missing annotation", source, stem, what, "dropped")
            continue
        if isinstance(said, MarkupError):
            defects.add(said.kind, file, "", str(said), "dropped")
            continue
        filename = said.filename
        if filename and not inside(filename):
            defects.add("outside folder", file, f"<filename> {filename[:80]!r}", "is no plain path; not used", "mended")
            filename = ""
        name, image = images.find(stem, filename)
        if name in images.taken:
            defects.add("duplicate image", file, name, "is the image of another file too", "dropped")
            continue
        size = (0, 0)
        if annotated:
            size = stated_size(said, file, image, defects)
        elif not image and (size := _map_size(layout, stem)) == (0, 0):
            defects.add("missing image", file, stem, "neither its image nor an annotation is there", "dropped")
            continue
        images.taken.add(name)
        builder.image(name, image, file, size)
        numbers += add_objects(builder, said, index, counting, file, defects, size)
        kept.append(stem)
    return _finished(layout, builder, kept, numbers, class_names, annotated, source, defects)


def _finished(
    layout: Layout,
    builder: RecordsBuilder,
    stems: list[str],
    numbers: list[int],
    class_names: list[str],
    annotated: bool,
    source: str,
    defects: Defects,
) -> Records:
    """The records, with masks and maps where every image has them; lists of segmentations ask for that."""
    maps, objects = _having(layout.maps, stems), _having(layout.objects, stems)
    usable = list(range(len(stems)))
    if layout.kind == "segmentation" and (maps or objects):
        usable = sorted(maps or objects)
    found = [i for i in usable if builder.files[i]] or usable
    holds: set[Holding] = {"boxes"} if annotated else set()
    if found and maps.issuperset(found):
        holds.add("semantic")
    if found and annotated and objects.issuperset(found):
        holds.add("masks")
    classes = with_background(class_names) if "semantic" in holds else Classes(tuple(class_names))
    labels = builder.labels
    records = builder.finish(classes, holds)
    records.items = NumberedItems(numbers, labels, classes)
    if "masks" in holds:
        records.mask = ObjectMasks(_pngs(layout.objects, stems), records.images, numbers)
    if "semantic" in holds:
        records.semantic = SemanticMaps(_pngs(layout.maps, stems), labels_of_indices(classes))
    if len(usable) < len(stems):
        for i in sorted(set(range(len(stems))) - set(usable)):
            defects.add("missing annotation", source, stems[i], "has no segmentation", "dropped")
        records.keep_images(usable)
    return records


def _map_size(layout: Layout, stem: str) -> tuple[int, int]:
    """(H, W) of an image's semantic map, zeros where there is none."""
    try:
        return oriented_size(layout.maps / f"{stem}.png") if layout.maps is not None else (0, 0)
    except PellucidError:
        return 0, 0


def _pngs(folder: Path | None, stems: list[str]) -> list[str]:
    return [os.path.join(str(folder), f"{stem}.png") for stem in stems]


def _having(folder: Path | None, stems: list[str]) -> set[int]:
    """Which images have a file in a folder of segmentations."""
    if folder is None:
        return set()
    there = set(names_in(folder))
    return {i for i, stem in enumerate(stems) if f"{stem}.png" in there}
