"""Where the files of a VOC data set lie: the devkit's folders, and the flat ones that annotators' tools write."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.data.formats import Options
from pellucid.data.images import photos_in
from pellucid.data.tables import folders_in, names_in, read_lines
from pellucid.errors import PellucidError, nearest
from pellucid.structures.photo import SUFFIXES

ORDER = ("train", "val", "valid", "validation", "test", "trainval")
"""The order in which splits are named; others follow. ``trainval`` is train and val once more."""

KINDS = ("detection", "segmentation")

_ANNOTATIONS = ("annotations", "annotation", "xmls", "xml", "labels")
_IMAGES = ("jpegimages", "images", "imgs", "img", "image")


@dataclass
class Place:
    """A folder of annotations, '' where there is none, and the folders in which the images may be."""

    annotations: str
    images: list[Path]
    stems: dict[str, str] = field(default_factory=dict)
    """The XML files by their names without the suffix."""


@dataclass
class Layout:
    """What lies where. ``places``: under '' where one holds all splits, else one a split. ``lists``: the files that
    list the images of the splits, and ``kind`` what for. ``maps`` and ``objects``: the folders of segmentations, None
    where there is none."""

    root: Path
    places: dict[str, Place]
    lists: dict[str, Path]
    kind: str = "detection"
    maps: Path | None = None
    objects: Path | None = None

    @property
    def splits(self) -> list[str]:
        """The names of the splits, in order."""
        names = self.lists or [name for name in self.places if name]
        return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def place(self, split: str | None) -> Place:
        """Where the files of a split are. Raises PellucidError where they are in several places and none is named."""
        if "" in self.places:
            return self.places[""]
        if split is None and len(self.places) == 1:
            return next(iter(self.places.values()))
        if split not in self.places:
            raise PellucidError(f"{self.root}: holds several splits; name one of them: {', '.join(self.splits)}")
        return self.places[split]


def looks_like_voc(path: Path) -> bool:
    """Whether a folder, or one just below, has XML annotations or the lists of a VOC data set."""
    return bool(_candidates(path)) or bool(_flat(path))


def find_layout(path: Path, options: Options) -> Layout:
    """Finds out. Raises PellucidError where nothing looks like VOC, or several years do and none is named."""
    kind = options.get("kind", "")
    if kind and kind not in KINDS:
        raise PellucidError(f"voc: kind '{kind}' is unknown{nearest(kind, KINDS)}; give one of {', '.join(KINDS)}")
    found = _candidates(path)
    year = options.get("year")
    if year is not None and not (len(found) == 1 and found[0] == path):
        chosen = [folder for folder in found if folder.name.lower() in (year.lower(), f"voc{year}".lower())]
        if not chosen:
            there = ", ".join(folder.name for folder in found) or "none"
            raise PellucidError(f"{path}: has no year '{year}'; there are {there}")
        found = chosen
    if len(found) > 1:
        names = [folder.name for folder in found]
        raise PellucidError(f"{path}: holds {', '.join(names)}; name one of them: year={names[0].upper()[3:]}")
    if found:
        return _devkit(found[0], kind)
    flat = _flat(path)
    if flat:
        return Layout(path, flat, {})
    raise PellucidError(
        f"{path}: no VOC data set: neither a folder Annotations nor XML files were found; check the path"
    )


def _candidates(path: Path) -> list[Path]:
    """The folder itself, else the year folders in it or in its VOCdevkit."""
    if _is_devkit(path):
        return [path]
    for above in (path, path / "VOCdevkit"):
        years = [above / name for name in folders_in(above) if re.fullmatch(r"(?i)voc\d{4}.{0,20}", name)]
        years = [folder for folder in years if _is_devkit(folder)]
        if years:
            return years
    return []


def _is_devkit(path: Path) -> bool:
    folders = {name.lower(): name for name in folders_in(path)}
    known = [folders[name] for name in _ANNOTATIONS[:4] if name in folders]
    if any(_xml_folder(path / name) is not None for name in known):
        return True
    has_lists = "imagesets" in folders and {"main", "segmentation"} & {
        name.lower() for name in folders_in(path / folders["imagesets"])
    }
    return bool(has_lists) and bool({"jpegimages", "segmentationclass"} & folders.keys())


def _xml_folder(folder: Path) -> Path | None:
    """The folder itself if it has XML files, or the one named xmls in it."""
    for candidate in (folder, folder / "xmls"):
        if any(name.lower().endswith(".xml") for name in names_in(candidate)):
            return candidate
    return None


def _devkit(path: Path, kind: str) -> Layout:
    folders = {name.lower(): path / name for name in folders_in(path)}
    annotations = next(
        (found for name in _ANNOTATIONS[:4] if name in folders and (found := _xml_folder(folders[name])) is not None),
        None,
    )
    images = [folders[name] for name in _IMAGES if name in folders] or [path]
    lists: dict[str, Path] = {}
    used = ""
    above = folders.get("imagesets")
    if above is not None:
        sets = {name.lower(): above / name for name in folders_in(above)}
        wanted = {"detection": ["main"], "segmentation": ["segmentation"]}.get(kind, ["main", "segmentation"])
        for name in wanted:
            if not lists and name in sets:
                lists, used = _lists_in(sets[name]), name
        if not kind and not lists:
            lists, used = _lists_in(above), ""
    if kind and not lists:
        raise PellucidError(f"{path}: has no lists for kind={kind}, which stand in ImageSets; leave it out")
    return Layout(
        path,
        {"": _place(annotations, images)},
        lists,
        kind="segmentation" if used == "segmentation" and lists else "detection",
        maps=folders.get("segmentationclass"),
        objects=folders.get("segmentationobject"),
    )


def _flat(path: Path) -> dict[str, Place]:
    """XML files beside their images: here, or in a folder for each split."""
    here = _beside(path)
    if here is not None:
        return {"": here}
    found = {name: place for name in folders_in(path) if (place := _beside(path / name)) is not None}
    splits = {name: place for name, place in found.items() if name.lower() in ORDER}
    return splits or (found if 0 < len(found) <= 20 else {})


def _beside(folder: Path) -> Place | None:
    if any(name.lower().endswith(".xml") for name in names_in(folder)):
        return _place(folder, [folder]) if _is_annotated(folder) else None
    folders = {name.lower(): folder / name for name in folders_in(folder)}
    for name in _ANNOTATIONS:
        if name in folders and _is_annotated(folders[name]):
            return _place(folders[name], [folders[i] for i in _IMAGES if i in folders] or [folder])
    return None


def _is_annotated(folder: Path) -> bool:
    """Whether one of the first XML files in a folder looks like an annotation: others lie in many folders."""
    names = [name for name in names_in(folder) if name.lower().endswith(".xml")]
    for name in names[:5]:
        try:
            if (folder / name).is_file():
                with open(folder / name, "rb") as file:
                    if b"annotation" in file.read(2048).replace(b"\0", b""):
                        return True
        except (OSError, ValueError):
            continue
    return False


def _place(annotations: Path | None, images: list[Path]) -> Place:
    if annotations is None:
        return Place("", images)
    stems = {name[:-4]: name for name in reversed(names_in(annotations)) if name.lower().endswith(".xml")}
    return Place(str(annotations), images, dict(sorted(stems.items())))


def _lists_in(folder: Path) -> dict[str, Path]:
    """The lists of splits, without those that say for one class of each image whether it is there."""
    found = {name[:-4]: folder / name for name in names_in(folder) if name.lower().endswith(".txt")}
    return {name: path for name, path in found.items() if not ("_" in name and _says_of_class(path, name, found))}


def _says_of_class(path: Path, name: str, known: dict[str, Path]) -> bool:
    tail = name.rpartition("_")[2]
    if tail not in known and tail not in ORDER:
        return False
    try:
        lines = read_lines(path)[:20]
    except PellucidError:
        return False
    return bool(lines) and all(re.search(r"\s-?[01]$", line) for line in lines)


def listed(layout: Layout, split: str | None) -> list[str]:
    """The names of a split's images without suffix, as its list gives them; all that there are where it has none.

    Raises PellucidError where the list cannot be read.
    """
    place = layout.place(split)
    if layout.lists:
        if split is None:
            every = [listed(layout, name) for name in layout.splits]
            return list(dict.fromkeys(stem for stems in every for stem in stems))
        return [_stem(line, place) for line in read_lines(layout.lists[split])]
    photos = [name for folder in place.images for name in photos_in(folder)]
    stems = dict.fromkeys([*place.stems, *(os.path.splitext(name)[0] for name in photos if name not in place.stems)])
    return sorted(stems)


def _stem(line: str, place: Place) -> str:
    if line in place.stems:
        return line
    line = re.sub(r"\s+-?[01]$", "", line)
    return os.path.splitext(line)[0] if line.lower().endswith((*SUFFIXES, ".xml")) else line
