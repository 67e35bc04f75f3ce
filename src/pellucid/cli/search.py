"""``pellucid search``: the photos of a folder in which channels, classes or objectives are strongest."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pellucid.cli.common import check_folder, load_model, print_json, progress_bar
from pellucid.cli.data_options import told_in_one_line
from pellucid.data import Dataset, open_dataset
from pellucid.errors import PellucidError
from pellucid.explain import Objective
from pellucid.explain.attribution.explanation import plain_name
from pellucid.explain.expressions import parse_objective
from pellucid.explain.forward import objective_values
from pellucid.explain.search import Found, Hit, search
from pellucid.explain.subject import Subject
from pellucid.explain.watching import match_layers
from pellucid.models import Classifier
from pellucid.report.search import MOST_ROWS, draw_channel, draw_classes, draw_layer, draw_objective
from pellucid.structures import find_photos

EVERY_CLASS = "logit:*"
_CHANNEL = re.compile(r"([\w.#]+):(\d+)")


@dataclass(frozen=True)
class _Wanted:
    """What to search for, and what of it to show: whole layers, and single channels of others."""

    layers: list[str]
    channels: list[tuple[str, int]]
    objectives: list[Objective]
    classes: bool


@dataclass(frozen=True)
class _Shown:
    """Which layers to show whole, and which channels of others."""

    layers: list[str]
    channels: list[tuple[str, int]]


def run(
    *,
    what: list[str],
    data: str | None,
    split: str | None,
    model: str,
    k: int,
    out: Path,
    resume: bool,
    shard: str | None,
    merge: list[Path],
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Searches, or merges what was searched; writes found.npz and the contact sheets, and prints the top photos."""
    if merge and (what or data is not None or shard is not None):
        raise PellucidError("--merge takes files of finished searches alone: leave out OBJECTIVE, --data and --shard")
    if not merge and not what:
        raise PellucidError("give what to search for: a layer such as blocks.3.1, or an objective such as logit:tabby")
    if not merge and data is None:
        raise PellucidError("give the folder of photos to search with --data")
    part = None if shard is None else _shard(shard)
    check_folder(out)
    file = out / ("found.npz" if part is None else f"found-{part[0]}-of-{part[1]}.npz")
    if merge:
        found = _merged(merge)
        found.save(file)
        shown = _Shown(list(found.layers), [])
    else:
        assert data is not None
        photos = _photos(data, split, out)
        if part is not None:
            number, count = part
            photos = photos[(number - 1) * len(photos) // count : number * len(photos) // count]
            if not photos:
                raise PellucidError(f"--shard {shard}: leaves no photo to search; make fewer shards")
        network = load_model(model, checkpoint, classes, device)
        wanted = _wanted(what, network)
        if not resume:
            file.unlink(missing_ok=True)
        found = _searched(network, photos, wanted, k, file)
        shown = _Shown(wanted.layers, wanted.channels)
    sheets = {} if part is not None else _sheets(found, shown, out)
    if json_output:
        print_json(_record(found, shown, file, sheets))
        return
    print("\n".join(_lines(found, shown, file, sheets)))
    if part is not None:
        print(f"  part {part[0]} of {part[1]}: join the parts with pellucid search --merge {file} --merge …")


def _shard(text: str) -> tuple[int, int]:
    """(2, 5) of '2/5'."""
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise PellucidError(f"--shard {text}: give I/N, such as 1/4 for the first quarter of the photos")
    return int(found[1]), int(found[2])


def _photos(text: str, split: str | None, out: Path) -> Sequence[Path] | Dataset:
    """A data set, or the photos below a folder but for the sheets that an earlier run left in it."""
    data = Path(text)
    if split is not None or (not data.exists() and re.match(r"[a-z]+(:|$)", text)):
        with told_in_one_line():
            return open_dataset(text, split)
    if data.exists() and not data.is_dir():
        raise PellucidError(f"--data {data}: is a file; give a folder of photos")
    photos = find_photos([data])
    ours = Path(os.path.realpath(out))
    if Path(os.path.realpath(data)) in ours.parents:
        photos = [photo for photo in photos if ours not in Path(os.path.realpath(photo)).parents]
    if not photos:
        raise PellucidError(f"{data}: holds no photo but what an earlier run wrote to {out}")
    return photos


def _wanted(what: list[str], network: Classifier) -> _Wanted:
    """Layers where a text is the name of one, or a glob; one channel of a layer; objectives otherwise."""
    layers: list[str] = []
    channels: dict[tuple[str, int], None] = {}
    objectives: dict[str, Objective] = {}
    for text in what:
        if text.replace(" ", "") == EVERY_CLASS:
            continue
        try:
            layers += match_layers(network.network, text)
        except PellucidError:
            # What looks like a layer's name gets that error, with the nearest names; all else is read as a formula.
            if not re.search(r"[:+()/\s]|\d\*", text):
                raise
            objective = parse_objective(text)
            blank = Subject.of_frames(network, torch.zeros(1, 3, *network.preprocessing.size))
            objective_values(blank, blank.frame, [objective])  # what is wrong with it is said before any photo is read
            unit = _CHANNEL.fullmatch(text.strip())
            if unit:
                channels[(unit[1], int(unit[2]))] = None
            else:
                objectives[str(objective)] = objective
    every = any(text.replace(" ", "") == EVERY_CLASS for text in what)
    return _Wanted(list(dict.fromkeys(layers)), list(channels), list(objectives.values()), every)


def _searched(network: Classifier, photos: Sequence[Path] | Dataset, wanted: _Wanted, k: int, file: Path) -> Found:
    with progress_bar() as bar:
        task = bar.add_task("searching", total=len(photos))
        found = search(
            network,
            photos,
            [*wanted.layers, *(layer for layer, _ in wanted.channels)],
            k,
            objectives=wanted.objectives,
            classes=wanted.classes,
            file=file,
            progress=lambda done, total: bar.update(task, completed=done),
        )
    if found.skipped:
        why = next(iter(found.skipped.values()))
        many = f"{len(found.skipped)} photo{'s' if len(found.skipped) > 1 else ''} left out"
        print(f"pellucid: {many}: {' '.join(why.split())}{' …' if len(found.skipped) > 1 else ''}", file=sys.stderr)
    return found


def _merged(files: list[Path]) -> Found:
    found = Found.read(files[0])
    for file in files[1:]:
        try:
            found = found.merged(Found.read(file))
        except PellucidError as error:
            if str(file) in str(error):
                raise
            raise PellucidError(f"--merge {file}: {error}") from error
    return found


def _sheets(found: Found, shown: _Shown, out: Path) -> dict[str, Path]:
    """A contact sheet for each layer, channel and objective, and for the classes, by their text."""
    taken: set[str] = set()

    def path(text: str) -> Path:
        stem = name = plain_name(text)
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        return out / f"{name}.png"

    made = {}
    with progress_bar() as bar:
        many = len(shown.layers) + len(shown.channels) + len(found.objectives) + (found.classes is not None)
        task = bar.add_task("drawing", total=many)
        for layer in shown.layers:
            made[layer] = draw_layer(found, layer, path=path(layer))
            bar.advance(task)
        for layer, channel in shown.channels:
            text = f"{layer}:{channel}"
            made[text] = draw_channel(found, layer, channel, path=path(text))
            bar.advance(task)
        for text in found.objectives:
            made[text] = draw_objective(found, text, path=path(text))
            bar.advance(task)
        if found.classes is not None:
            made[EVERY_CLASS] = draw_classes(found, path=path("classes"))
            bar.advance(task)
    return made


def _record(found: Found, shown: _Shown, file: Path, sheets: dict[str, Path]) -> dict[str, Any]:
    def rows(hits: list[list[Hit]]) -> list[list[dict[str, Any]]]:
        return [
            [
                {
                    "photo": hit.photo,
                    "value": hit.value,
                    "position": hit.position,
                    "box": [round(v, 2) for v in hit.box],
                }
                for hit in row
            ]
            for row in hits
        ]

    record: dict[str, Any] = {
        "model": found.model,
        "k": found.k,
        "photos": len(found.photos),
        "skipped": found.skipped,
        "file": str(file),
        "sheets": {text: str(path) for text, path in sheets.items()},
        "layers": {
            layer: rows([found.top(layer, channel) for channel in range(len(found.layers[layer].values))])
            for layer in shown.layers
        },
        "channels": {f"{layer}:{i}": rows([found.top(layer, i)])[0] for layer, i in shown.channels},
        "objectives": {text: rows([found.top_objective(text)])[0] for text in found.objectives},
    }
    if found.classes is not None:
        names = found.class_names or [str(index) for index in range(len(found.classes.values))]
        record["classes"] = [
            {"class": name, "index": index, "top": rows([found.top_class(index)])[0]}
            for index, name in enumerate(names)
        ]
    return record


def _lines(found: Found, shown: _Shown, file: Path, sheets: dict[str, Path]) -> Iterable[str]:
    left_out = f", {len(found.skipped)} left out" if found.skipped else ""
    yield f"{found.model}: {len(found.photos)} photos searched{left_out}; all is in {file}"
    for layer in shown.layers:
        count = len(found.layers[layer].values)
        yield f"{layer}: {count} channels{f', the first {MOST_ROWS}' if count > MOST_ROWS else ''}"
        for channel in range(min(MOST_ROWS, count)):
            yield f"  {channel:<5}{_line(found.top(layer, channel)[0])}"
        yield from _sheet(sheets, layer)
    for layer, channel in shown.channels:
        yield f"{layer}:{channel}, at its strongest position in each photo:"
        for number, hit in enumerate(found.top(layer, channel), 1):
            yield f"  {number:<5}{_line(hit)}"
        yield from _sheet(sheets, f"{layer}:{channel}")
    for text in found.objectives:
        yield f"{text}:"
        for number, hit in enumerate(found.top_objective(text), 1):
            yield f"  {number:<5}{_line(hit)}"
        yield from _sheet(sheets, text)
    if found.classes is not None:
        count = len(found.classes.values)
        names = found.class_names or [str(index) for index in range(count)]
        yield f"{EVERY_CLASS}: {count} classes{f', the first {MOST_ROWS}' if count > MOST_ROWS else ''}"
        for index in range(min(MOST_ROWS, count)):
            yield f"  {index:<5}{_line(found.top_class(index)[0])}  {names[index]}"
        yield from _sheet(sheets, EVERY_CLASS)


def _line(hit: Hit) -> str:
    """A photo with its value, and where in it."""
    where = ""
    if hit.position is not None:
        where = f"  row {hit.position[0]}, column {hit.position[1]}, box {','.join(f'{v:.0f}' for v in hit.box)}"
    return f"{hit.value:9.4g}  {hit.photo}{where}"


def _sheet(drawn: dict[str, Path], text: str) -> Iterable[str]:
    if text in drawn:
        yield f"  sheet {drawn[text]}"
