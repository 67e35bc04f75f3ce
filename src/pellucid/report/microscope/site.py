"""The pages of a microscope: HTML from records, and nothing else; a browser opens them from the disk.

Everything that comes from outside (names of classes, photos, layers) goes through Jinja's escaping or into JSON.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from pellucid.files import written_whole
from pellucid.report.microscope.records import Layer, Site, Unit, batches, units_file
from pellucid.report.templating import asset, templates_of

SHOWN_CLASSES = 4
"""How many of the classes that a unit pushes its tile names."""

FOUND_BY = 8
"""How many of the classes that a unit pushes it is found by."""

SAMPLES = 12
"""How many units of a layer the index shows."""

ASSETS = ("microscope.css", "microscope.js", "search.js")


@dataclass(frozen=True)
class _Push:
    """A class that a unit pushes: its name, its share of all that the unit pushes up, and the length of its bar."""

    name: str
    share: str
    bar: int


def write_layer(out: Path, site: Site, layer: Layer, units: Sequence[Unit]) -> None:
    """Writes a layer's page from the records of its units."""
    page = (
        _environment()
        .get_template("layer.html")
        .render(
            site=site,
            layer=layer,
            about=about(layer, site),
            tiles=[_tile(site, layer, unit) for unit in units],
            neighbours=_neighbours(site, layer),
            view=_view(site, layer),
        )
    )
    _write(out / layer.page, page)


def write_index(out: Path, site: Site, done: Mapping[str, Sequence[Unit]]) -> None:
    """Writes the index page, what it needs, and the search index over the units of the layers in ``done``."""
    environment = _environment()
    for name in ASSETS:
        _write(out / name, asset(_environment(), name))
    _write(out / "search-index.js", _search_index(site, done))
    rows = [
        {"layer": layer, "about": about(layer, site), "samples": _samples(site, layer, done.get(layer.name))}
        for layer in site.layers
    ]
    shown = sum(len(units) for units in done.values())
    _write(out / "index.html", environment.get_template("index.html").render(site=site, rows=rows, shown=shown))


def about(layer: Layer, site: Site) -> str:
    """A layer in a line: how many channels, over which grid, and how much of the image one unit sees."""
    channels = f"{layer.total} channels"
    if len(layer.channels) < layer.total:
        channels = f"{len(layer.channels)} of {layer.total} channels"
    if layer.grid is None or layer.field is None:
        return f"{channels}, one value each for the whole image"
    grid = f"{layer.grid[0]} × {layer.grid[1]} positions"
    (h, w), (H, W) = layer.field, site.frame
    sees = "the whole image" if h >= H and w >= W else f"{h} × {w} of {H} × {W} pixels"
    return f"{channels}, {grid}, each sees {sees}"


@cache
def _environment() -> Environment:
    environment = templates_of("pellucid.report.microscope")
    environment.filters["number"] = _number
    return environment


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        # A file's name may hold bytes that are no text.
        temporary.write_bytes(text.encode("utf-8", errors="replace"))


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}".replace("-", "−")


def _tile(site: Site, layer: Layer, unit: Unit) -> dict[str, Any]:
    best = unit.influence[unit.order[0]] if unit.order else 0.0
    up = [
        _Push(site.classes[c], _share(unit.influence[c], unit.push), round(100 * unit.influence[c] / best))
        for c in unit.order[:SHOWN_CLASSES]
        if unit.influence[c] > 0
    ]
    down = unit.order[-1] if unit.order and unit.influence[unit.order[-1]] < 0 else None
    return {
        "unit": unit,
        "picture": _picture(layer, unit),
        "sheet": _sheet(layer, unit),
        "up": up,
        "down": None if down is None else site.classes[down],
        "photos": ", ".join(dict.fromkeys(crop.photo for crop in unit.crops[:3])),
    }


def _share(value: float, whole: float) -> str:
    share = 100 * value / whole if whole > 0 else 0.0
    return f"{share:.0f}%" if share >= 10 else f"{share:.1f}%"


def _picture(layer: Layer, unit: Unit) -> str | None:
    name = f"images/{layer.slug}/{unit.channel}.jpg"
    return name if name in unit.files else None


def _sheet(layer: Layer, unit: Unit) -> str:
    return f"images/{layer.slug}/{unit.channel}-crops.jpg"


def _samples(site: Site, layer: Layer, units: Sequence[Unit] | None) -> list[dict[str, Any]] | None:
    """Some units of a layer, evenly spread; None where it is not done."""
    if units is None:
        return None
    step = max(1.0, len(units) / SAMPLES)
    chosen = [units[math.floor(i * step)] for i in range(min(SAMPLES, len(units)))]
    return [
        {
            "channel": unit.channel,
            "picture": _picture(layer, unit) or _sheet(layer, unit),
            "pushes": site.classes[unit.order[0]] if unit.order and unit.influence[unit.order[0]] > 0 else None,
        }
        for unit in chosen
    ]


def _neighbours(site: Site, layer: Layer) -> tuple[Layer | None, Layer | None]:
    place = site.layers.index(layer)
    before = site.layers[place - 1] if place else None
    after = site.layers[place + 1] if place + 1 < len(site.layers) else None
    return before, after


def _view(site: Site, layer: Layer) -> dict[str, Any]:
    """What the script of a layer's page must know."""
    files = {
        channel: units_file(layer, number)
        for number, channels in enumerate(batches(layer, site.batch))
        for channel in channels
    }
    return {
        "layer": layer.name,
        "slug": layer.slug,
        "channels": list(layer.channels),
        "files": list(dict.fromkeys(files.values())),
        "batch": site.batch,
        "columns": site.columns,
        "rows": site.rows,
        "synthesis": site.size is not None,
    }


def _search_index(site: Site, done: Mapping[str, Sequence[Unit]]) -> str:
    """All that is searched, as a script: pages opened from a disk may load no other kind of file.

    A unit is [channel, highest value, [class, share in thousandths, …], [photo, …]], classes and photos by their index.
    """
    photos: dict[str, int] = {}
    layers = []
    for layer in site.layers:
        rows = []
        for unit in done.get(layer.name, ()):
            pushed: list[int] = []
            for c in unit.order[:FOUND_BY]:
                if unit.influence[c] > 0:
                    pushed += [c, round(1000 * unit.influence[c] / unit.push)]
            seen = list(dict.fromkeys(photos.setdefault(crop.photo, len(photos)) for crop in unit.crops))
            rows.append([unit.channel, unit.value, pushed, seen])
        layers.append({"name": layer.name, "slug": layer.slug, "page": layer.page, "units": rows})
    content = {
        "classes": list(site.classes),
        "photos": list(photos),
        "layers": layers,
        "picture": "" if site.size is not None else "-crops",
    }
    return f"microscope.index({json.dumps(content, separators=(',', ':'), allow_nan=False)});\n"
