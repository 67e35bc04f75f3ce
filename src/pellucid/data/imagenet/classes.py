"""The classes of ImageNet's layouts: WordNet ids, and the names that a mapping gives them."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pellucid.data.tables import read_lines
from pellucid.errors import PellucidError
from pellucid.structures import Classes

WNID = re.compile(r"n\d{8}")
"""A WordNet id: a noun, and where it stands in WordNet 3.0."""

MAPPING = "LOC_synset_mapping.txt"

_PLACES = ("", "devkit/data", "data", "devkit")


def mapped_classes(roots: Iterable[Path], task: str) -> Classes | None:
    """The classes by the data set's own mapping, None where it has none.

    ``LOC_synset_mapping.txt`` has an id and all names a line; the development kit's ``map_clsloc.txt`` and
    ``map_det.txt`` have an id, a number and one name. Those of CLS-LOC come in the order of their ids, which is that of
    all networks trained on ImageNet; those of DET in the challenge's. Raises PellucidError for a mapping that cannot
    be read.
    """
    known = [MAPPING, "map_clsloc.txt"] if task == "CLS-LOC" else ["map_det.txt"]
    for root in roots:
        for name in known:
            for place in _PLACES:
                path = root / place / name
                if path.is_file():
                    return _read(path)
    return None


def _read(path: Path) -> Classes:
    entries: dict[str, list[str]] = {}
    for at, line in enumerate(read_lines(path), start=1):
        wnid, _, rest = line.partition(" ")
        if path.name == MAPPING:
            names = [name for part in rest.split(",") if (name := part.strip())]
        else:
            names = [re.sub(r"^\d+\s+", "", rest).replace("_", " ").strip()]
        if not re.fullmatch(r"[\w.()-]{1,200}", wnid):
            raise PellucidError(f"{path}: line {at}: '{wnid[:40]}' is no class id; correct the line")
        if wnid in entries:
            raise PellucidError(f"{path}: line {at}: names {wnid} a second time; remove one of the two")
        entries[wnid] = [name for name in names if name] or [wnid]
    if not entries:
        raise PellucidError(f"{path}: names no class; restore it from the source")
    if path.name == "map_clsloc.txt":
        entries = dict(sorted(entries.items()))
    return named_classes(entries)


def named_classes(entries: dict[str, list[str]]) -> Classes:
    """The classes by their ids and names: called by the first name that no other class begins with.

    Where two share it ('crane', the bird and the machine), by all names, or by the name and the id.
    """
    firsts = Counter(names[0].lower() for names in entries.values())
    wholes = Counter(", ".join(names).lower() for names in entries.values())
    taken: set[str] = set()
    chosen, synonyms = [], []
    for wnid, names in entries.items():
        whole = ", ".join(names)
        name = names[0]
        if firsts[name.lower()] > 1:
            name = whole if len(names) > 1 and wholes[whole.lower()] == 1 else f"{names[0]} ({wnid})"
        if name in taken:
            name = f"{name} ({wnid})"
        while name in taken:
            name += "'"
        taken.add(name)
        chosen.append(name)
        synonyms.append(tuple(dict.fromkeys((*names, whole, wnid))))
    return Classes(tuple(chosen), tuple(synonyms), source_ids=tuple(entries))


def unmapped_classes(wnids: Iterable[str]) -> Classes:
    """Classes of which nothing but the ids is known, in order of these."""
    ids = tuple(sorted(set(wnids)))
    return Classes(ids, source_ids=ids)
