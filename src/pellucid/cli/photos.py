"""What the commands that do photo after photo share: which photos, a folder for each, and class scores for a record."""

import os
from pathlib import Path
from typing import Any

from pellucid.errors import PellucidError
from pellucid.explain.attribution.explanation import plain_name
from pellucid.structures import ClassScore, find_photos


def photos_to_do(given: list[Path], out: Path) -> tuple[list[Path], dict[Path, PellucidError]]:
    """The photos to explain, in order, and what is wrong with those that cannot even be looked for.

    What an earlier run wrote to ``out`` is not taken for a photo of the folder that ``out`` lies in.
    """
    found: list[Path] = []
    refused: dict[Path, PellucidError] = {}
    ours = Path(os.path.realpath(out))
    for path in given:
        try:
            inside = find_photos([path])
        except PellucidError as error:
            refused[path] = error
            inside = [path]
        real = Path(os.path.realpath(path))
        if ours != real and real in ours.parents:
            inside = [p for p in inside if ours not in Path(os.path.realpath(p)).parents]
            if not inside:
                refused[path] = PellucidError(f"{path}: holds no photo but what an earlier run wrote to {out}")
                inside = [path]
        found += inside
    return found, refused


def scored(score: ClassScore) -> dict[str, Any]:
    """A class's score as it stands in a record."""
    return {"class": score.name, "index": score.index, "probability": score.probability}


def folder_name(photo: Path, taken: set[str]) -> str:
    """A folder name of the photo's own: its stem, numbered where two photos share it."""
    stem = plain_name(photo.stem)
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name
