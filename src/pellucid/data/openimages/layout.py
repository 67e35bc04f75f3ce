"""Where the tables and images of an Open Images data set lie, under the names of its releases."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.data.formats import Options
from pellucid.data.images import inside
from pellucid.data.tables import folders_in, names_in
from pellucid.errors import PellucidError, nearest

ORDER = ("train", "validation", "val", "test")

HIERARCHY = "bbox_labels_600_hierarchy.json"

_RELEASE = r"(?:oidv\d+-|challenge-\d{4}-)?"
_TABLES = {
    # The first pattern that a file fits says what it is; of several files that say the same, the first pattern's wins.
    "boxes": (rf"{_RELEASE}(.+?)-annotations-bbox\.csv", r"challenge-\d{4}-(.+?)-detection-bbox\.csv"),
    "labels": (
        rf"{_RELEASE}(.+?)-annotations-human-imagelabels-boxable\.csv",
        rf"{_RELEASE}(.+?)-annotations-human-imagelabels\.csv",
        r"challenge-\d{4}-(.+?)-detection-human-imagelabels\.csv",
    ),
    "masks": (
        rf"{_RELEASE}(.+?)-annotations-object-segmentation\.csv",
        r"challenge-\d{4}-(.+?)-segmentation-masks\.csv",
    ),
    "sizes": (r"(.+?)-image-sizes\.csv",),
}
_DESCRIPTIONS = (
    r"(oidv\d+-)?class-descriptions-boxable\.csv",
    r"challenge-\d{4}-classes-description-\d+\.csv",
    r"(oidv\d+-)?class-descriptions.*\.csv",
)
_PLACES = ("", "annotations", "labels", "metadata", "csv")


@dataclass
class Layout:
    """What lies where. ``tables``: of each kind (boxes, labels, masks, sizes), by split."""

    root: Path
    tables: dict[str, dict[str, Path]]
    descriptions: Path | None = None
    hierarchy: Path | None = None
    folders: list[Path] = field(default_factory=list)

    @property
    def splits(self) -> list[str]:
        """The names of the splits, in order."""
        names = {name for kind in ("boxes", "labels", "masks") for name in self.tables[kind]}
        return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def own_folders(self, split: str) -> list[Path]:
        """Where images of this split alone may be."""
        root = self.root
        known = (root / split, root / "images" / split, root / split / "images", root / split / "data")
        return [folder for folder in known if folder.is_dir()]

    def image_folders(self, split: str) -> list[Path]:
        """Where a split's images may be, the likeliest first."""
        shared = (self.root / "images", self.root / "data", self.root)
        return [*self.own_folders(split), *(folder for folder in shared if folder.is_dir())]

    def mask_folders(self, split: str) -> list[Path]:
        """Where a split's masks may be: the release's archives hold those of one first character each."""
        root = self.root
        bases = [root / "masks" / split, root / f"{split}-masks", root / split / "masks", root / "masks"]
        found = [folder for folder in bases if folder.is_dir()]
        inner = [folder / name for folder in (*found, root) for name in folders_in(folder)]
        return [*found, *(folder for folder in inner if re.match(rf"{re.escape(split)}-masks", folder.name))]


def _described(path: Path) -> tuple[dict[str, dict[str, Path]], list[Path]]:
    """The tables in a folder and those of its folders that may hold them, and these folders."""
    tables: dict[str, dict[str, Path]] = {kind: {} for kind in _TABLES}
    there = {name.lower(): name for name in folders_in(path)}
    folders = [path, *(path / there[name] for name in _PLACES if name in there)]
    names = [(folder, name) for folder in folders for name in names_in(folder) if name.lower().endswith(".csv")]
    for kind, patterns in _TABLES.items():
        for pattern in patterns:
            for folder, name in names:
                match = re.fullmatch(pattern, name)
                if match and (folder / name).is_file():
                    tables[kind].setdefault(match[1], folder / name)
    return tables, folders


def looks_like_openimages(path: Path) -> bool:
    """Whether a folder holds tables named as Open Images names them."""
    tables, _ = _described(path)
    return any(tables[kind] for kind in ("boxes", "labels", "masks"))


def find_layout(path: Path, options: Options) -> Layout:
    """Finds out. Raises PellucidError where no table is there, and for an option that names no file."""
    tables, folders = _described(path)
    if not any(tables[kind] for kind in ("boxes", "labels", "masks")):
        raise PellucidError(
            f"{path}: no Open Images data set: no table such as validation-annotations-bbox.csv there; check the path"
        )
    found = Layout(path, tables, folders=folders)
    named = [(folder, name) for folder in folders for name in names_in(folder) if (folder / name).is_file()]
    for pattern in _DESCRIPTIONS:
        for folder, name in named:
            if found.descriptions is None and re.fullmatch(pattern, name):
                found.descriptions = folder / name
    for folder, name in named:
        if found.hierarchy is None and re.fullmatch(r"(bbox_labels_\d+_hierarchy|.*hierarchy.*)\.json", name):
            found.hierarchy = folder / name
    if "classes" in options:
        found.descriptions = _asked(path, "classes", options["classes"])
    if "sizes" in options:
        asked = _asked(path, "sizes", options["sizes"])
        found.tables["sizes"] = dict.fromkeys(found.splits, asked)
    return found


def _asked(root: Path, option: str, name: str) -> Path:
    if not inside(name):
        raise PellucidError(f"{root}: {option}='{name}' lies outside; give a file in the data set's folder")
    if not (root / name).is_file():
        raise PellucidError(f"{root / name}: no such file{nearest(name, names_in(root))}; give {option}=FILE in {root}")
    return root / name
