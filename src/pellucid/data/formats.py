"""The formats that are read and written: one table, so that a name, a folder and a file find their reader."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pellucid.data.dataset import Dataset, Holding
from pellucid.data.defects import Defects
from pellucid.data.images import ImageStore
from pellucid.data.records import Records
from pellucid.errors import PellucidError, nearest
from pellucid.structures import FLAGS

Options: TypeAlias = Mapping[str, str]
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class Format:
    """One format.

    ``recognises``: whether a file or folder looks like it. ``splits``: the names of what it holds, such as train and
    val; empty where it has none. ``read``: the records of a split (None: all there is), noting defects; it raises
    PellucidError only where nothing at all can be read. ``write``: one split into a folder, images through the store;
    it may be called for one split after another. ``options``: what may be said beside the path, with a line of
    help. ``flags``: the marks of objects that it has a word for. ``written``: what is written where that depends on
    options. ``inclusive``: whether its boxes count pixels, so that both ends belong to them.
    """

    name: str
    title: str
    holds: frozenset[Holding]
    recognises: Callable[[Path], bool]
    splits: Callable[[Path, Options], list[str]]
    read: Callable[[Path, str | None, Defects, Options], Records]
    write: "Callable[[Dataset, Path, str, ImageStore, Options, Progress | None], None] | None" = None
    options: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset(FLAGS)
    written: Callable[[Options], frozenset[Holding]] | None = None
    inclusive: bool = False

    def writes(self, options: Options) -> frozenset[Holding]:
        """What ``write`` writes of a data set, under some options."""
        return self.holds if self.written is None else self.written(options)


_WHERE = {
    # In the order in which an unnamed folder is tried: the sharpest marks first.
    "panoptic": "pellucid.data.coco.panoptic",
    "coco": "pellucid.data.coco.format",
    "openimages": "pellucid.data.openimages.format",
    "imagenet": "pellucid.data.imagenet.format",
    "voc": "pellucid.data.voc.format",
    "yolo": "pellucid.data.yolo.format",
    "masks": "pellucid.data.folders.masks",
    "folder": "pellucid.data.folders.classes",
}

NAMES = tuple(_WHERE)
"""The names of all formats."""


def format_named(name: str) -> Format:
    """A format by its name. Raises PellucidError with the nearest names for an unknown one."""
    if name not in _WHERE:
        raise PellucidError(f"unknown format '{name}'{nearest(name, NAMES)}; formats: {', '.join(sorted(NAMES))}")
    found: Format = importlib.import_module(_WHERE[name]).FORMAT
    return found


def recognised(path: Path) -> Format:
    """The format that a file or folder is in. Raises PellucidError where it looks like none."""
    for name in _WHERE:
        format = format_named(name)
        if format.recognises(path):
            return format
    raise PellucidError(
        f"{path}: no data set of a known format was recognised; name the format, as in voc:{path} "
        f"(formats: {', '.join(sorted(NAMES))})"
    )
