"""The classes of a VOC data set: their order, their list in a file, and the background of its maps."""

from collections.abc import Iterable
from pathlib import Path

from pellucid.data.formats import Options
from pellucid.data.images import inside
from pellucid.data.tables import names_in, read_lines
from pellucid.errors import PellucidError, nearest
from pellucid.structures import Classes

VOC_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The challenges' twenty classes, in their order."""

BACKGROUND = "background"

_LISTS = ("classes.txt", "labels.txt")
_BACKGROUNDS = (BACKGROUND, "_background_", "__background__")


def listed_classes(root: Path, options: Options) -> list[str] | None:
    """The names in the data set's own list, None where it has none.

    Raises PellucidError for a list that was asked for and cannot be read, or that names a class twice.
    """
    asked = options.get("classes")
    there = names_in(root)
    if asked is not None:
        if not inside(asked):
            raise PellucidError(f"{root}: classes='{asked}' lies outside; give a file in the data set's folder")
        if not (root / asked).is_file():
            raise PellucidError(f"{root / asked}: no such file{nearest(asked, there)}; give classes=FILE in {root}")
        path = root / asked
    else:
        found = [name for name in _LISTS if name in there and (root / name).is_file()]
        if not found:
            return None
        path = root / found[0]
    names = read_lines(path)
    if len(set(names)) != len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise PellucidError(f"{path}: names '{twice[:80]}' twice; each class needs a line of its own")
    return names or None


def classes_of(names: Iterable[str], listed: list[str] | None) -> list[str]:
    """The classes' names in order: as listed, else the twenty if no other occurs, else all that occur, sorted."""
    if listed is not None:
        return listed
    found = set(names)
    if found and found <= set(VOC_NAMES):
        return list(VOC_NAMES)
    return sorted(found)


def background_index(names: Iterable[str]) -> int | None:
    """Which class is the background of maps, None where none is."""
    return next((at for at, name in enumerate(names) if name.lower() in _BACKGROUNDS), None)


def with_background(names: list[str]) -> Classes:
    """The classes of a data set with semantic maps.

    VOC's protocol scores the background as a class, and boxes must keep their labels: so it comes last, as stuff,
    unless the data set's own list has it.
    """
    at = background_index(names)
    made = names if at is not None else [*names, BACKGROUND]
    at = len(names) if at is None else at
    return Classes(tuple(made), things=tuple(i != at for i in range(len(made))))
