"""Where the files of an ImageNet data set lie, of which there are often only some."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.data.formats import Options
from pellucid.data.imagenet.classes import MAPPING, WNID
from pellucid.data.tables import folders_in, names_in, read_lines
from pellucid.errors import PellucidError, nearest
from pellucid.structures.photo import SUFFIXES

TASKS = ("CLS-LOC", "DET")

ORDER = ("train", "train_loc", "train_cls", "val", "test")

_SOLUTION = re.compile(r"LOC_(\w+)_solution\.csv")


@dataclass
class Layout:
    """What lies where, each None or empty where it is not there.

    ``roots``: the folders in which mappings are looked for. ``annotations`` and ``images``: the folders below which a
    folder a split lies, or none. ``lists``: the lists of the splits' images. ``solutions``: Kaggle's tables.
    """

    root: Path
    task: str
    roots: list[Path]
    annotations: Path | None
    images: Path | None
    lists: dict[str, Path]
    solutions: dict[str, Path] = field(default_factory=dict)

    @property
    def splits(self) -> list[str]:
        """The names of the splits, in order."""
        names = set(self.lists)
        if not names:
            for base in (self.annotations, self.images):
                names |= {name for name in folders_in(base) if not WNID.match(name)} if base is not None else set()
        names = names or set(self.solutions)
        return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def folder(self, base: Path | None, split: str | None) -> Path | None:
        """The folder of a split below another: train for train_cls and train_loc. The other itself if it has none."""
        if base is None or split is None:
            return base
        for name in (split, split.split("_")[0]):
            if (base / name).is_dir():
                return base / name
        return base


def looks_like_imagenet(path: Path) -> bool:
    """Whether a folder has ImageNet's own folders, its tables, or XML files in folders named by WordNet ids.

    Folders of images alone are none of it, whatever they are called.
    """
    return bool(_bases(path)) or any(name == MAPPING or _SOLUTION.fullmatch(name) for name in names_in(path))


def find_layout(path: Path, options: Options) -> Layout:
    """Finds out. Raises PellucidError where nothing looks like ImageNet."""
    bases = _bases(path)
    if not bases and not looks_like_imagenet(path):
        raise PellucidError(
            f"{path}: no ImageNet data set: no Annotations/CLS-LOC or /DET, no LOC_*.csv, no XML files in folders "
            "named by WordNet ids; check the path"
        )
    base = bases[0] if bases else path
    found = {task for task in TASKS for part in ("Annotations", "Data", "ImageSets") if (base / part / task).is_dir()}
    known = {task.lower(): task for task in TASKS}
    asked = options.get("task", "").lower()
    if asked and asked not in known:
        raise PellucidError(
            f"imagenet: task '{asked}' is unknown{nearest(asked, known)}; give one of {', '.join(known)}"
        )
    if asked and found and known[asked] not in found:
        raise PellucidError(f"{path}: has no folders of {known[asked]}; leave task= out, or check the path")
    task = known[asked] if asked else ("DET" if found == {"DET"} else "CLS-LOC")
    roots = list(dict.fromkeys((path, base, path.parent if path.name.startswith("ILSVRC") else path)))
    tables = {
        match[1]: root / name for root in roots for name in names_in(root) if (match := _SOLUTION.fullmatch(name))
    }
    return Layout(
        base,
        task,
        roots,
        annotations=_first(base, "Annotations", "Annotation", task=task),
        images=_first(base, "Data", "Images", "images", task=task),
        lists=_lists_in(base / "ImageSets" / task),
        solutions=tables if task == "CLS-LOC" else {},
    )


def _bases(path: Path) -> list[Path]:
    """The folders, of this one and those named ILSVRC… in it, that hold ImageNet's own."""
    inner = [path / name for name in folders_in(path) if name.upper().startswith("ILSVRC")]
    return [folder for folder in (path, *inner) if _is_base(folder)]


def _is_base(folder: Path) -> bool:
    for part in ("Annotations", "Data", "ImageSets", "Annotation"):
        inner = folders_in(folder / part)
        if set(TASKS) & set(inner):
            return True
        if part.startswith("Annotation"):
            below = [folder / part, *(folder / part / name for name in inner if name in ("train", "val", "test"))]
            for place in below:
                wnids = [name for name in folders_in(place) if WNID.fullmatch(name)]
                if any(n.endswith(".xml") for wnid in wnids[:5] for n in names_in(place / wnid)):
                    return True
    return False


def _first(base: Path, *names: str, task: str) -> Path | None:
    """The first folder of some names that is there; in it that of the task, if it is there."""
    there = set(folders_in(base))
    for name in names:
        if name in there:
            return base / name / task if (base / name / task).is_dir() else base / name
    return None


def _lists_in(folder: Path) -> dict[str, Path]:
    """The lists of splits, without those of DET that say for one class of each image whether it is there."""
    names = [name for name in names_in(folder) if name.endswith(".txt")]
    return {name[:-4]: folder / name for name in names if not re.fullmatch(r"train_(pos_|part_|neg_)?\d+\.txt", name)}


def members(layout: Layout, split: str | None) -> list[str]:
    """The images of a split: their paths in its folder, without suffix. Empty where nothing lists or has them.

    Raises PellucidError where a list cannot be read.
    """
    if layout.lists and split is None:
        return list(dict.fromkeys(name for each in layout.splits for name in members(layout, each)))
    if split is not None and split in layout.lists:
        return [_without_suffix(re.sub(r"\s+-?\d+$", "", line)) for line in read_lines(layout.lists[split])]
    found: set[str] = set()
    for base in (layout.annotations, layout.images):
        folder = layout.folder(base, split)
        if folder is not None:
            found.update(_without_suffix(name) for name in files_below(folder, (".xml", *SUFFIXES)))
    return sorted(found)


def files_below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """The paths in a folder of the files that end so, in it and below, in order."""
    start = str(folder)
    for root, folders, files in os.walk(start):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        within = root[len(start) + 1 :].replace(os.sep, "/")
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield f"{within}/{name}" if within else name


def _without_suffix(name: str) -> str:
    return os.path.splitext(name)[0] if name.lower().endswith((".xml", *SUFFIXES)) else name
