"""The format ``folder``: photos in one folder a class; photos without classes are taken too."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pellucid.data.building import RecordsBuilder
from pellucid.data.dataset import Dataset
from pellucid.data.defects import Defects
from pellucid.data.formats import Format, Options, Progress
from pellucid.data.images import ImageStore, photos_in
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.errors import PellucidError
from pellucid.structures import Classes

SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")


def folders_in(path: Path) -> list[str]:
    """The names of the folders in one, sorted, hidden ones left out. Raises PellucidError where it can't be read."""
    try:
        with os.scandir(path) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise PellucidError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _split_folders(root: Path) -> list[str]:
    if not root.is_dir():
        return []
    named = [name for name in folders_in(root) if name.lower() in SPLITS]
    return sorted(named, key=lambda name: SPLITS.index(name.lower()))


def _recognises(path: Path) -> bool:
    return path.is_dir() and next(_photos_below(path), None) is not None


def _photos_below(folder: Path) -> Iterator[str]:
    seen = set()
    for base, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(base)
        if real in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in photos_in(Path(base)):
            yield os.path.join(base, name)


def _splits(path: Path, options: Options) -> list[str]:
    return _split_folders(path)


def _class_names(root: Path, splits: list[str]) -> list[str]:
    """The classes of all splits, so that an index means the same in each."""
    names: set[str] = set()
    for top in [root / split for split in splits] or [root]:
        names |= {name for name in folders_in(top) if next(_photos_below(top / name), None) is not None}
    return sorted(names)


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of one split. Raises PellucidError where there is no photo."""
    if not path.is_dir():
        raise PellucidError(f"{path}: is a file; give a folder with a folder of photos for each class")
    splits = _split_folders(path)
    top = path / split_named(split, splits, path) if split else path
    names = _class_names(path, splits)
    classes = Classes(tuple(names))
    builder = RecordsBuilder()
    for name in photos_in(top):
        builder.image(name, str(top / name), str(top))
        if names:
            defects.add("no annotations", top, name, "lies beside the classes' folders, in none of them", "kept")
    for index, name in enumerate(names):
        for file in _photos_below(top / name) if (top / name).is_dir() else ():
            builder.image(Path(file).relative_to(top).as_posix(), file, str(top / name), present=(index,))
    if not builder.names:
        raise PellucidError(f"{top}: holds no photo; give a folder with a folder of photos for each class")
    return builder.finish(classes, ("labels",) if names else ())


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes one split: ``SPLIT/CLASS/`` with its photos. Raises PellucidError for an image that has not one class."""
    known = Counter(_safe(name) for name in dataset.classes)
    names = [
        _safe(name) if known[_safe(name)] == 1 else f"{_safe(name)}-{index}"
        for index, name in enumerate(dataset.classes)
    ]
    for name in names:
        (folder / split / name).mkdir(parents=True, exist_ok=True)
    for index, sample in enumerate(dataset):
        present = sample.annotations.present
        if len(present) != 1:
            what = "no class" if not present else f"{len(present)} classes"
            raise PellucidError(f"{sample.name}: has {what} as a whole image; a folder a class needs exactly one")
        place = folder / split / names[present[0]]
        store.put(sample, place / store.name(sample, place))
        if progress is not None:
            progress(index + 1, len(dataset))


def _safe(name: str) -> str:
    """A class's name as a folder's: no separators, not hidden."""
    made = "".join("_" if c in '/\\:*?"<>|' or ord(c) < 32 else c for c in name).strip(". ")
    return made or "_"


FORMAT = Format(
    name="folder",
    title="folders of photos, one a class",
    holds=frozenset({"labels"}),
    recognises=_recognises,
    splits=_splits,
    read=read,
    write=write,
)
