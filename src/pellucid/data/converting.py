"""Converting a data set to another format: all of it or nothing, and what the new format has no word for is told."""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pellucid.data.dataset import Dataset, View
from pellucid.data.formats import NAMES, Format, format_named
from pellucid.data.images import ImageStore
from pellucid.data.opening import find_source, open_dataset, read_source, split_options
from pellucid.data.splits import plain_split, unions
from pellucid.errors import PellucidError, nearest
from pellucid.structures import FLAGS, Sample

Progress = Callable[[str, int, int], None]


@dataclass
class Converted:
    """What a conversion wrote. ``splits``: images and objects of each. ``lost``: what the format could not hold."""

    path: Path
    format: str
    splits: dict[str, tuple[int, int]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def convert(
    source: str | Path,
    target: str | Path,
    *,
    split: str | None = None,
    images: str = "copy",
    progress: Progress | None = None,
) -> Converted:
    """Writes a data set in another format.

    ``source``: as for ``open_dataset``; all of its splits are converted, or the one that ``split`` names. ``target``:
    ``FORMAT:PATH`` with the format's options behind it, such as ``yolo:out,labels=segments``; PATH is a new or empty
    folder. ``images``: 'copy', 'link' (symbolic links to where they lie) or 'none'. ``progress``: called with the
    split, the images done and their number.

    The data set is made beside its place and moved there at the end. Raises PellucidError where the source can't be
    opened, an image can't be read, the folder holds something, or the format can hold nothing of what the source says.
    """
    format, path, options = _target(target)
    datasets = _splits_of(source, split)
    writing = format.writes(options)
    _check_classes(datasets)
    made = Converted(path, format.name)
    store = ImageStore(images)
    temporary = _beside(path)
    try:
        flags: Counter[str] = Counter()
        held = frozenset[str]()
        for name, dataset in datasets.items():
            if format.write is None or not dataset.holds & format.holds & writing:
                raise PellucidError(
                    f"{dataset.title}: says {', '.join(sorted(dataset.holds)) or 'nothing'} of its images, of which "
                    f"{format.name} can hold nothing; convert to another format ({', '.join(sorted(NAMES))})"
                )
            counted = _Counted(dataset)
            format.write(counted, temporary, name, store, options, _told(progress, name))
            made.splits[name] = (len(dataset), counted.objects)
            flags += counted.flags
            held |= dataset.holds
        made.lost = _lost(held, flags, format, writing)
        _move(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def _target(target: str | Path) -> tuple[Format, Path, dict[str, str]]:
    named = re.match(r"([A-Za-z]{2,20}):(?![\\/]{2})(.+)", str(target), re.DOTALL)
    if named is None:
        raise PellucidError(f"{target}: say the format too, as in coco:{target} (formats: {', '.join(sorted(NAMES))})")
    format = format_named(named[1].lower())
    text, options = split_options(named[2])
    for key in options:
        if key not in format.options:
            known = f"; it takes {', '.join(format.options)}" if format.options else "; it takes none"
            raise PellucidError(f"{format.name}: unknown option '{key}'{nearest(key, format.options)}{known}")
    path = Path(text).expanduser()
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise PellucidError(f"{path}: is there already and not empty; give a new folder")
    except OSError as error:
        raise PellucidError(f"{path}: cannot be used ({error.strerror}); give another folder") from error
    return format, path, options


def _splits_of(source: str | Path, split: str | None) -> dict[str, Dataset]:
    text = str(source)
    if text == "scenes" or text.startswith("scenes:"):
        return {split or "train": open_dataset(source, split)}
    found = find_source(source)
    if split is not None or len(found.splits) <= 1:
        dataset = open_dataset(source, split)
        return {plain_split(dataset.split or "train"): dataset}
    datasets: dict[str, Dataset] = {}
    for name in found.splits:
        datasets[plain_split(name)], _ = read_source(found, name)
    for name in unions({name: dataset.names for name, dataset in datasets.items()}):
        del datasets[name]
    for dataset in datasets.values():
        dataset.defects.settle(dataset.title, strict=False)
    return datasets


def _check_classes(datasets: dict[str, Dataset]) -> None:
    (first, known), *others = [(name, dataset.classes.names) for name, dataset in datasets.items()]
    for name, classes in others:
        if classes != known:
            differing = sorted(set(known) ^ set(classes))[:1] or ["their order"]
            raise PellucidError(
                f"the splits {first} and {name} have different classes ({differing[0]}); convert one at a time"
            )


def _beside(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}-", dir=path.parent))
    except OSError as error:
        raise PellucidError(f"{path}: cannot be made here ({error.strerror}); give another folder") from error


def _move(temporary: Path, path: Path) -> None:
    try:
        if path.exists():
            path.rmdir()
        temporary.chmod(0o755)
        os.replace(temporary, path)
    except OSError as error:
        raise PellucidError(f"{path}: cannot be put in its place ({error.strerror}); give another folder") from error


def _told(progress: Progress | None, split: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(split, done, total)


def _lost(holds: frozenset[str], flags: Counter[str], format: Format, writing: frozenset[str]) -> list[str]:
    lost = [f"{what} ({_remedy(what, format)})" if _remedy(what, format) else what for what in sorted(holds - writing)]
    for name, count in flags.items():
        if count and name not in format.flags:
            lost.append(f"the mark '{name.replace('_', '-')}' of {count:,} objects, which are written as plain ones")
    return lost


def _remedy(what: str, format: Format) -> str:
    option = {"masks": "segments", "keypoints": "keypoints"}.get(what)
    return f"say labels={option} for them" if format.name == "yolo" and option else ""


class _Counted(View):
    """A data set that counts the objects and flags of the samples it gives."""

    def __init__(self, whole: Dataset) -> None:
        super().__init__(whole)
        self.objects = 0
        self.flags: Counter[str] = Counter()

    def sample(self, index: int) -> Sample:
        sample = self.whole.sample(index)
        objects = sample.annotations.instances
        if objects is not None and len(objects):
            self.objects += len(objects)
            for name in FLAGS:
                self.flags[name] += int(getattr(objects, name).sum())
        return sample
