"""What a microscope's site is made of: its settings, its layers, and what was found out about every unit."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pellucid.errors import PellucidError
from pellucid.files import written_whole

FORMAT = 1
"""Raised whenever what a site's files hold changes, so that no run goes on with another version's."""

SETTINGS = "settings.json"
_BEGIN, _END = "microscope.units(", ");\n"


@dataclass(frozen=True)
class Crop:
    """A part of a photo on which a unit is high: the photo's name and the unit's value there."""

    photo: str
    value: float


@dataclass(frozen=True)
class Unit:
    """One channel of a layer.

    ``crops``: where it is highest, highest first. ``influence``: how far it pushes each class, centred over them.
    ``synthesised``: the objective's value on the image that was made for it; None where none was. ``files``: the size
    in bytes of each of its pictures, by the name below the site's folder.
    """

    channel: int
    crops: tuple[Crop, ...]
    influence: tuple[float, ...]
    synthesised: float | None
    files: dict[str, int]

    @property
    def value(self) -> float | None:
        """The highest activation in the data."""
        return self.crops[0].value if self.crops else None

    @cached_property
    def order(self) -> list[int]:
        """The classes, most pushed first."""
        return sorted(range(len(self.influence)), key=lambda c: -self.influence[c])

    @cached_property
    def push(self) -> float:
        """All that it pushes upwards, over the classes."""
        return sum(v for v in self.influence if v > 0)


@dataclass(frozen=True)
class Layer:
    """A layer's place on the site.

    ``name``: as the network calls it; ``slug``: as files do. ``channels``: those shown; ``total``: those that there
    are. ``grid``: rows and columns, None for a layer without positions. ``field``: rows and columns of the input that
    its middle unit sees.
    """

    name: str
    slug: str
    channels: tuple[int, ...]
    total: int
    grid: tuple[int, int] | None
    field: tuple[int, int] | None

    @property
    def page(self) -> str:
        """The page's file name."""
        return f"{self.slug}.html"


@dataclass(frozen=True)
class Site:
    """What all pages have in common.

    ``classes``: a name for each. ``frame``: (h, w) of the network's input. ``photos``: how many were read. ``columns``,
    ``rows``: of a contact sheet of crops. ``size``: pixels of a synthesised image, None where none is made.
    """

    model: str
    data: str
    photos: int
    classes: tuple[str, ...]
    layers: tuple[Layer, ...]
    frame: tuple[int, int]
    k: int
    size: int | None
    steps: int
    batch: int

    @property
    def columns(self) -> int:
        """Crops beside each other on a contact sheet."""
        return math.ceil(math.sqrt(self.k))

    @property
    def rows(self) -> int:
        """Crops below each other."""
        return math.ceil(self.k / self.columns)


def slugs(names: Sequence[str]) -> list[str]:
    """A file name for each layer, of letters that every system and address takes as they are, no two alike."""
    taken = {"index"}
    made = []
    for name in names:
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in name).strip(".")[:80]
        slug, number = plain or "layer", 1
        while slug.lower() in taken:
            number += 1
            slug = f"{plain or 'layer'}-{number}"
        taken.add(slug.lower())
        made.append(slug)
    return made


def batches(layer: Layer, size: int) -> list[tuple[int, ...]]:
    """The channels of each batch, in order."""
    return [layer.channels[i : i + size] for i in range(0, len(layer.channels), size)]


def units_file(layer: Layer, batch: int) -> str:
    """Where a batch's record lies below the site's folder: a script, which a page opened from a disk can load."""
    return f"units/{layer.slug}/{batch:04d}.js"


def write_units(out: Path, layer: Layer, batch: int, units: Sequence[Unit]) -> None:
    """Writes a batch's record, whole or not at all; its pictures must be there."""
    content = {"layer": layer.slug, "batch": batch, "units": [asdict(unit) for unit in units]}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    with written_whole(out / units_file(layer, batch)) as temporary:
        temporary.write_text(f"{_BEGIN}{text}{_END}", encoding="ascii")


def read_units(out: Path, layer: Layer, batch: int, channels: Sequence[int], classes: int) -> list[Unit] | None:
    """A batch's record; None where it is missing or damaged, or one of its pictures is."""
    try:
        text = (out / units_file(layer, batch)).read_text(encoding="ascii")
        if not (text.startswith(_BEGIN) and text.endswith(_END)):
            return None
        units = [_unit(given) for given in json.loads(text[len(_BEGIN) : -len(_END)])["units"]]
        whole = all((out / name).stat().st_size == size for unit in units for name, size in unit.files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    right = [unit.channel for unit in units] == list(channels) and all(len(u.influence) == classes for u in units)
    return units if whole and right else None


def _unit(given: dict[str, Any]) -> Unit:
    crops = tuple(Crop(str(c["photo"]), float(c["value"])) for c in given["crops"])
    made = None if given["synthesised"] is None else float(given["synthesised"])
    return Unit(int(given["channel"]), crops, tuple(map(float, given["influence"])), made, dict(given["files"]))


@dataclass(frozen=True)
class Settings:
    """All that decides what the files of a site hold; a run goes on only where they are the same."""

    model: str
    weights: str
    data: str
    photos: int
    digest: str
    layers: tuple[str, ...]
    channels: int | None
    k: int
    steps: int
    size: int | None
    seed: int
    classes: str
    format: int = field(default=FORMAT)

    def begin(self, out: Path) -> None:
        """Writes the settings into a new folder, or checks that an old one was begun with the same.

        Raises PellucidError where they differ, and for a folder that holds something else.
        """
        path = out / SETTINGS
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            if out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir()):
                raise PellucidError(
                    f"{out}: holds other files, and no microscope; choose another --out, or an empty folder"
                ) from None
            with written_whole(path) as temporary:
                temporary.write_text(json.dumps(self._plain(), indent=2), encoding="utf-8")
            return
        except (OSError, ValueError) as error:
            raise PellucidError(f"{path}: cannot be read ({error}); delete {out}, or choose another --out") from error
        for name, mine in self._plain().items():
            theirs = known.get(name) if isinstance(known, dict) else None
            if theirs != mine:
                raise PellucidError(
                    f"{out}: was begun with {_difference(name, theirs, mine)}; choose another --out, or delete it"
                )

    def _plain(self) -> dict[str, Any]:
        return {**asdict(self), "layers": list(self.layers)}


def _difference(name: str, theirs: Any, mine: Any) -> str:
    if name in ("weights", "digest", "classes", "format"):
        what = {
            "weights": "other weights",
            "digest": "other photos",
            "classes": "other class names",
            "format": "another version of Pellucid",
        }
        return what[name]
    return f"other {name} ({_short(theirs)}, now {_short(mine)})"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
