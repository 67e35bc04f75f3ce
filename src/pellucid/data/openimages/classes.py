"""The classes of Open Images: machine ids, the names that a table gives them, and the hierarchy above them."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pellucid.data.defects import Defects
from pellucid.data.openimages.layout import HIERARCHY, Layout
from pellucid.data.tables import read_rows, read_table
from pellucid.errors import PellucidError
from pellucid.structures import Classes

ROOT = "/m/0bl9f"
"""The hierarchy's root, Entity, which is no class."""


def read_classes(layout: Layout, defects: Defects) -> Classes:
    """The classes: those of the table of descriptions, in its order, else those of any split's objects, by their ids.

    Raises PellucidError where the table cannot be read.
    """
    if layout.descriptions is not None:
        path = layout.descriptions
        names = _descriptions(path, defects)
    else:
        names = {mid: mid for mid in sorted(_found(layout))}
    parents: tuple[tuple[int, ...], ...] = ()
    if layout.hierarchy is not None:
        parents = _parents(layout.hierarchy, list(names), defects)
    counts = Counter(names.values())
    chosen, taken = [], set[str]()
    for mid, name in names.items():
        made = name if counts[name] == 1 else f"{name} ({mid})"
        while made in taken:
            made += "'"
        taken.add(made)
        chosen.append(made)
    synonyms = tuple((mid,) for mid in names)
    return Classes(tuple(chosen), synonyms, source_ids=tuple(names), parents=parents)


def _descriptions(path: Path, defects: Defects) -> dict[str, str]:
    def broken(line: int, what: str) -> None:
        defects.add("malformed", path, f"row {line}", what, "dropped")

    names: dict[str, str] = {}
    for at, row in enumerate(read_rows(path, broken), start=1):
        mid = row[0].strip()
        if at == 1 and mid.lower() == "labelname":
            continue
        if not mid or len(row) < 2:
            broken(at, "has no id and name of a class")
        elif mid in names:
            defects.add("duplicate id", path, f"row {at}", f"names {mid[:80]} a second time", "dropped")
        else:
            names[mid] = row[1].strip() or mid
    if not names:
        raise PellucidError(f"{path}: names no class; restore it from the source")
    return names


def _found(layout: Layout) -> set[str]:
    found: set[str] = set()
    for kind in ("boxes", "masks", "labels"):
        if not found:  # labels speak of thousands of classes that have no boxes
            for path in layout.tables[kind].values():
                try:
                    for _, (labels,) in read_table(path, ("LabelName",)):
                        found.update(labels)
                except PellucidError:
                    continue  # said where the split is read
    return found - {""}


def _parents(path: Path, mids: list[str], defects: Defects) -> tuple[tuple[int, ...], ...]:
    """The classes just above each: those of which it is a kind. That a class is a part of another makes it none."""
    try:
        top = json.loads(path.read_text(encoding="utf-8-sig", errors="replace"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        defects.add("unreadable", path, "", f"is no JSON of a hierarchy ({reason})", "dropped")
        return ()
    index = {mid: at for at, mid in enumerate(mids)}
    parents: list[dict[int, None]] = [{} for _ in mids]
    todo: list[tuple[Any, int | None]] = [(top, None)]
    while todo:
        node, above = todo.pop()
        if not isinstance(node, dict):
            defects.add("malformed", path, "", f"holds {str(node)[:40]!r} where a class is wanted", "dropped")
            continue
        mid = node.get("LabelName")
        own = index.get(mid) if isinstance(mid, str) else None
        if own is not None and above is not None and own != above:
            parents[own][above] = None
        # A node that is no class, as the root, is passed over: what is below it has the class above it for a parent.
        below = own if own is not None else above
        for key, over in (("Subcategory", below), ("Part", None)):
            inner = node.get(key, ())
            if isinstance(inner, list):
                todo += [(child, over) for child in reversed(inner)]
    return tuple(tuple(found) for found in parents)


def write_hierarchy(folder: Path, classes: Classes, mids: list[str]) -> None:
    """Writes the hierarchy; a class with several parents stands below each, its own children below the first.

    Raises PellucidError where the file cannot be written.
    """
    children: dict[int, list[int]] = {}
    for child, above in enumerate(classes.parents):
        for parent in above:
            children.setdefault(parent, []).append(child)
    nodes = [{"LabelName": mid} for mid in mids]
    top: dict[str, Any] = {"LabelName": ROOT, "Subcategory": []}
    placed: set[int] = set()

    def place(start: Iterable[int], under: dict[str, Any]) -> None:
        todo: list[tuple[int, dict[str, Any]]] = [(child, under) for child in start]
        while todo:
            at, above = todo.pop(0)
            first = at not in placed
            node: dict[str, Any] = nodes[at] if first else {"LabelName": mids[at]}
            above.setdefault("Subcategory", []).append(node)
            if first:
                placed.add(at)
                todo += [(child, node) for child in children.get(at, ())]

    place([at for at in range(len(mids)) if not classes.parents[at]], top)
    for at in range(len(mids)):
        if at not in placed:  # in a circle of parents
            place([at], top)
    try:
        text = json.dumps(top, indent=1, ensure_ascii=False)
        (folder / HIERARCHY).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise PellucidError(f"{folder / HIERARCHY}: cannot be written ({error.strerror or error})") from error
    except RecursionError as error:
        raise PellucidError(f"{folder / HIERARCHY}: the classes' parents are too deep to be written") from error
