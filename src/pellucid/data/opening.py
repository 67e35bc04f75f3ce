"""Opening a data set by one line of text, whatever its format."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pellucid.data.cleaning import clean
from pellucid.data.dataset import Dataset
from pellucid.data.defects import Defects
from pellucid.data.formats import NAMES, Format, format_named, recognised
from pellucid.data.missing import drop_missing
from pellucid.data.records import RecordDataset
from pellucid.data.splits import split_named
from pellucid.errors import PellucidError, nearest
from pellucid.structures.photo import nearest_beside


@dataclass(frozen=True)
class Source:
    """What a line such as ``voc:PATH,key=value`` means."""

    format: Format
    path: Path
    options: Mapping[str, str]

    @property
    def splits(self) -> list[str]:
        """The names of its splits; empty where it has none."""
        return self.format.splits(self.path, self.options)


def open_dataset(
    spec: str | Path, split: str | None = None, *, strict: bool = False, as_annotated: bool = False, **options: object
) -> Dataset:
    """Opens a data set: ``voc:PATH``, ``coco:PATH``, ``scenes:n=200,seed=0`` …, or a PATH whose format is recognised.

    ``split``: such as 'train' or 'val'; needed where there are several. Names may be cut short where that is clear.
    ``options``: what the format takes, here or in the text (``masks:PATH,masks=labels``). A path that is not found is
    looked for in the folder that the environment variable PELLUCID_DATA names too.

    Reading is tolerant: boxes are clipped or dropped, entries that mean nothing dropped, all is counted in ``.defects``
    and told in one ``DataWarning``. ``strict`` raises PellucidError for the first defect instead. ``as_annotated``
    leaves every box as it is and keeps images that have no file, as scoring wants them. Images, masks and maps are read
    when a sample is asked for them. Raises PellucidError for what cannot be opened at all.
    """
    text = str(spec)
    if text == "scenes" or text.startswith("scenes:"):
        from pellucid.data.scenes import open_scenes

        extra = [f"{key}={value}" for key, value in options.items()]
        return open_scenes(
            ",".join(part for part in (text.removeprefix("scenes").removeprefix(":"), *extra) if part), split
        )
    source = find_source(spec, **options)
    known = source.splits
    if split is not None:
        split = split_named(split, known, source.path)
    elif len(known) > 1:
        raise PellucidError(f"{source.path}: holds several splits; name one of them: {', '.join(known)}")
    elif known:
        split = known[0]
    dataset, defects = read_source(source, split, as_annotated=as_annotated)
    defects.settle(dataset.title, strict=strict)
    return dataset


def read_source(
    source: Source, split: str | None, keep: int = 1000, *, as_annotated: bool = False
) -> tuple[RecordDataset, Defects]:
    """Reads a split and cleans it, unless it is wanted as annotated.

    Gives what was found wrong with it as well, ``keep`` of each kind in full.
    """
    defects = Defects(keep)
    records = source.format.read(source.path, split, defects, source.options)
    if as_annotated:
        records.panoptic = records.panoptic_as_annotated or records.panoptic
    else:
        drop_missing(records, defects)
        clean(records, defects, inclusive=source.format.inclusive)
    title = f"{source.format.name}:{source.path}" + (f" ({split})" if split else "")
    made = RecordDataset(
        records,
        title=title,
        format=source.format.name,
        split=split,
        root=source.path,
        defects=defects,
        inclusive=source.format.inclusive,
    )
    return made, defects


def find_source(spec: str | Path, **options: object) -> Source:
    """What a line of text means. Raises PellucidError for an unknown format, path or option."""
    text = str(spec)
    name = ""
    named = re.match(r"([A-Za-z]{2,20}):(?![\\/]{2})", text)
    if named and not isinstance(spec, Path) and not os.path.exists(text):
        name, text = named[1].lower(), text[named.end() :]
        format_named(name)
    path_text, given = split_options(text)
    given |= {key: str(value) for key, value in options.items()}
    path = _found(path_text)
    format = format_named(name) if name else recognised(path)
    for key in given:
        if key not in format.options:
            there = f"; it takes {', '.join(format.options)}" if format.options else "; it takes none"
            raise PellucidError(f"{format.name}: unknown option '{key}'{nearest(key, format.options)}{there}")
    return Source(format, path, given)


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """The path, and the key=value pairs behind it, unless the whole is a path."""
    given: dict[str, str] = {}
    while not os.path.exists(text):
        found = re.search(r",([a-z_]+)=([^,]*)$", text)
        if found is None:
            break
        given.setdefault(found[1], found[2])
        text = text[: found.start()]
    return text, given


def _found(text: str) -> Path:
    if "\0" in text:
        raise PellucidError(f"{text!r}: not a path; check it")
    if not text:
        raise PellucidError(f"no path was given; write FORMAT:PATH, with one of {', '.join(sorted(NAMES))}")
    path = Path(text).expanduser()
    try:
        if path.exists():
            return path
    except OSError as error:
        raise PellucidError(f"{text[:200]}: not a path ({error.strerror}); check it") from error
    beside = os.environ.get("PELLUCID_DATA")
    if beside and not path.is_absolute() and (Path(beside) / path).exists():
        return Path(beside) / path
    known = nearest(text.split(":")[0], NAMES) if ":" in text else ""
    raise PellucidError(f"{path}: no such file or folder{nearest_beside(path) or known}")
