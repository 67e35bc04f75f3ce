"""What a model is to look at: photos, folders of photos, or a data set."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pellucid.cli.data_options import told_in_one_line
from pellucid.cli.photos import photos_to_do
from pellucid.data import Dataset, open_dataset
from pellucid.data.formats import NAMES, recognised
from pellucid.errors import PellucidError
from pellucid.structures import Classes, read_photo
from pellucid.structures.photo import SUFFIXES


@dataclass(frozen=True)
class Item:
    """One image. ``name``: in files. ``shown``: to people. ``id``: for results. ``read``: gives uint8 (3, H, W)."""

    name: str
    shown: str
    id: int | str
    read: Callable[[], Tensor]


@dataclass(frozen=True)
class Images:
    """All of them, and the data set that they are of, if they are of one."""

    items: list[Item]
    dataset: Dataset | None = None

    @property
    def classes(self) -> Classes:
        """The data set's classes; none of photos."""
        return self.dataset.classes if self.dataset is not None else Classes(())

    def stands(self) -> str:
        """What to call it."""
        return self.dataset.title if self.dataset is not None else "photos"


def find_images(sources: Sequence[str], split: str | None, out: Path) -> Images:
    """The images that a command line names: one data set, or photos and folders of photos.

    A folder is taken for a data set where it is in a format other than plain folders of photos. Raises PellucidError
    where there is none, and where a data set is named beside others.
    """
    named = [text for text in sources if _is_dataset(text, split)]
    if not named:
        return Images(_photos([Path(text) for text in sources], out))
    if len(sources) > 1:
        raise PellucidError(f"{named[0]}: is a data set; give it alone, or photos and folders of photos")
    with told_in_one_line():
        dataset = open_dataset(named[0], split)
    if dataset.without_images:
        raise PellucidError(f"{dataset.title}: has annotations alone and no image; say where they are")
    return Images(_samples(dataset), dataset)


def _is_dataset(text: str, split: str | None) -> bool:
    path = Path(text)
    name = text.partition(":")[0]
    if name == "scenes" and not path.exists():
        return True
    try:
        if path.is_dir():
            return split is not None or _format(path) not in ("folder", "masks", "")
        if path.exists():
            return path.is_file() and path.suffix.lower() in (".json", ".yaml", ".yml", ".csv", ".xml")
    except (OSError, ValueError):
        return False
    if ":" in text and name.lower() in NAMES:
        return True
    beside = os.environ.get("PELLUCID_DATA")
    return bool(beside) and not path.is_absolute() and (Path(str(beside)) / path).exists()


def _format(path: Path) -> str:
    try:
        return recognised(path).name
    except PellucidError:
        return ""


def _photos(paths: list[Path], out: Path) -> list[Item]:
    found, refused = photos_to_do(paths, out)
    found = list(dict.fromkeys(found))
    absolute = [Path(os.path.abspath(path)) for path in found]
    top = Path(os.path.commonpath([path.parent for path in absolute])) if absolute else Path()
    names = [path.relative_to(top).as_posix() for path in absolute]
    stems = [Path(name).stem for name in names]
    own = [int(stem) for stem in stems if stem.isdecimal() and stem.isascii() and 0 < int(stem) < 2**53]
    ids = own if len(set(own)) == len(stems) else range(1, len(stems) + 1)

    def reader(path: Path) -> Callable[[], Tensor]:
        def read() -> Tensor:
            if path in refused:
                raise refused[path]
            return read_photo(path)

        return read

    return [Item(name, str(path), id, reader(path)) for name, path, id in zip(names, found, ids, strict=True)]


def _samples(dataset: Dataset) -> list[Item]:
    def reader(index: int) -> Callable[[], Tensor]:
        return lambda: dataset.sample(index).read_image()

    ids = dataset.ids
    return [
        Item(name, name, index + 1 if id is None else id, reader(index))
        for index, (name, id) in enumerate(zip(dataset.names, ids, strict=True))
    ]


def picture_name(name: str, taken: set[str]) -> str:
    """A file name for a picture of an image, that no other has."""
    plain = "-".join(part for part in Path(name).parts if part not in ("/", ".."))
    stem = plain[: -len(Path(plain).suffix)] if Path(plain).suffix.lower() in SUFFIXES else plain
    made, number = stem, 1
    while made.lower() in taken:
        number += 1
        made = f"{stem}-{number}"
    taken.add(made.lower())
    return f"{made}.png"
