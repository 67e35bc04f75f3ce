"""``pellucid show``: images of a data set with their annotations, on one sheet."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pellucid.cli.common import complain, print_json, progress_bar
from pellucid.cli.data_options import told_in_one_line
from pellucid.data import Dataset, open_dataset
from pellucid.data.opening import find_source
from pellucid.errors import PellucidError, nearest
from pellucid.report.annotated import Layer, check_layers
from pellucid.report.contact_sheet import LAYER_WORDS, MOST, Colouring, Sheet, Tile, compose_sheet
from pellucid.report.tally import known_objects

_COUNT = 12
_COLOURINGS: dict[str, Colouring] = {"instances": "instances", "classes": "classes"}


def run(
    *,
    data: str,
    split: str | None,
    count: int | None,
    samples: list[str],
    shuffle: int | None,
    first: bool,
    layers: list[str],
    colours: str | None,
    columns: int | None,
    out: Path,
    json_output: bool,
) -> None:
    """Draws the sheet, writes it, and prints what is on it."""
    _check_choice(samples, count, shuffle, first)
    colouring = _colouring(colours)
    wanted = _layers(layers)
    if out.suffix.lower() != ".png":
        raise PellucidError(f"--out {out}: pictures are written as PNG; end the name in .png")
    with told_in_one_line():
        dataset = _opened(data, split)
        if wanted is not None:
            _check_held(dataset, wanted)
        indices = None
        if samples:
            indices = [dataset.index_of(name) for name in dict.fromkeys(samples)]
        elif first:
            indices = list(range(min(count or _COUNT, len(dataset)))) or None
        with progress_bar() as bar:
            task = bar.add_task("drawing")
            sheet = compose_sheet(
                dataset,
                count=count or _COUNT,
                columns=columns,
                seed=shuffle,
                indices=indices,
                layers=wanted,
                colours=colouring,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    path = sheet.page.save(out)
    for tile in sheet.tiles:
        if tile.trouble:
            complain(tile.trouble)
    if json_output:
        print_json(_record(dataset, sheet, path))
    else:
        print("\n".join(_lines(dataset, sheet, path)))


def _check_choice(samples: list[str], count: int | None, shuffle: int | None, first: bool) -> None:
    if first and shuffle is not None:
        raise PellucidError("--first and --shuffle exclude each other; give one")
    if samples and (first or shuffle is not None or count is not None):
        raise PellucidError("--sample names the images: leave out --count, --shuffle and --first")
    if len(samples) > MOST:
        raise PellucidError(f"--sample was given {len(samples)} times; a sheet holds {MOST} images")


def _colouring(name: str | None) -> Colouring | None:
    if name is None:
        return None
    if name not in _COLOURINGS:
        raise PellucidError(f"--colours {name}: give instances or classes{nearest(name, _COLOURINGS)}")
    return _COLOURINGS[name]


def _layers(given: list[str]) -> tuple[Layer, ...] | None:
    """The layers of '--layers boxes,masks --layers labels'; None where nothing was asked for."""
    names = [part.strip() for text in given for part in text.split(",") if part.strip()]
    if given and not names:
        raise PellucidError("--layers names none; give some of boxes, masks, keypoints, semantic, panoptic, labels")
    return check_layers(names) if names else None


def _opened(data: str, split: str | None) -> Dataset:
    """The data set; the first split, and a word about it, where there are several and none was named."""
    if split is None and data != "scenes" and not data.startswith("scenes:"):
        splits = find_source(data).splits
        if len(splits) > 1:
            split = splits[0]
            complain(f"{data}: showing the split '{split}' of {', '.join(splits)}; --split names another")
    return open_dataset(data, split)


def _check_held(dataset: Dataset, wanted: Iterable[Layer]) -> None:
    for layer in wanted:
        if layer not in dataset.holds:
            there = ", ".join(sorted(dataset.holds)) or "no annotations"
            raise PellucidError(f"{dataset.title}: holds no {LAYER_WORDS[layer]}; --layers can be of {there}")


def _record(dataset: Dataset, sheet: Sheet, path: Path) -> dict[str, Any]:
    objects = known_objects(dataset)
    return {
        "file": str(path),
        "data": dataset.title,
        "format": dataset.format,
        "split": dataset.split,
        "holds": sorted(dataset.holds),
        "images": len(dataset),
        "classes": list(dataset.classes),
        "objects": None if objects is None else {dataset.classes[i]: objects[i] for i in sorted(objects)},
        "defects": len(dataset.defects),
        "layers": list(sheet.layers),
        "shown": [_tile_record(dataset, tile) for tile in sheet.tiles],
    }


def _tile_record(dataset: Dataset, tile: Tile) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tile.name, "path": None if tile.path is None else str(tile.path)}
    if tile.tally is None or tile.size is None:
        return made | {"trouble": tile.trouble}
    made |= {"height": tile.size[0], "width": tile.size[1]}

    def named(counts: dict[int, int]) -> dict[str, int]:
        known = range(len(dataset.classes))
        return {dataset.classes[i] if i in known else f"class {i}": n for i, n in counts.items()}

    tally = tile.tally
    made["objects"] = None if tally.objects is None else named(tally.objects)
    made["pixels"] = named(tally.pixels) or None
    made["present"], made["absent"] = list(named(tally.present)), list(named(tally.absent))
    return made


def _lines(dataset: Dataset, sheet: Sheet, path: Path) -> Iterable[str]:
    drawn = ", ".join(LAYER_WORDS[layer] for layer in sheet.layers)
    shown, total = len(sheet.tiles), len(dataset)
    yield f"{path}: {shown:,} of {total:,} images of {dataset.title}{', with ' + drawn if drawn else ''}"
    for tile in sheet.tiles:
        told = tile.tally.line(dataset.classes) if tile.tally is not None else "cannot be shown"
        yield f"  {tile.name}  {told}"
