"""The splits of a data set: finding one by its name, and those that others make up."""

import re
from collections.abc import Collection, Mapping

from pellucid.errors import PellucidError, nearest


def split_named(asked: str, known: list[str], where: object) -> str:
    """The split that a name means: itself, or the only one that begins with it, as 'val' for 'val2017'.

    Raises PellucidError with what there is.
    """
    if asked in known:
        return asked
    alike = [name for name in known if name.lower().startswith(asked.lower())]
    if len(alike) == 1:
        return alike[0]
    there = f"; there are {', '.join(known)}" if known else "; it has no splits: leave it out"
    raise PellucidError(f"{where}: no split is called '{asked}'{nearest(asked, known)}{there}")


def plain_split(name: str) -> str:
    """A split's name as part of a file's."""
    return re.sub(r"[^\w.-]", "_", name).strip(".") or "train"


def unions(splits: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The splits that hold just what others hold together, each with those, as trainval is train and val.

    ``splits``: the images of each. Two splits of the same images are none: that is a mistake, which checking reports.
    """
    sets = {name: frozenset(images) for name, images in splits.items()}
    found: dict[str, list[str]] = {}
    for name, own in sets.items():
        parts = [other for other, theirs in sets.items() if other not in found and theirs and theirs < own]
        if len(parts) > 1 and frozenset().union(*(sets[part] for part in parts)) == own:
            found[name] = parts
    return found
