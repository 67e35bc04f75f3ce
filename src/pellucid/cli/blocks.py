"""``pellucid blocks``: the building blocks of what a network says of a photo."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pellucid.cli.common import check_folder, complain, load_model, paused, print_json, progress_bar, write_json
from pellucid.cli.photos import folder_name, photos_to_do, scored
from pellucid.errors import PellucidError
from pellucid.explain import class_logit, direction
from pellucid.explain.attribution import named_layer, resolve_layer
from pellucid.explain.blocks.channels import ChannelAttribution, channels_of
from pellucid.explain.blocks.grid import CELL, ActivationGrid, feature_images, grid_of, workable_size
from pellucid.explain.blocks.grid import COSINE_POWER as POWER
from pellucid.explain.blocks.groups import NeuronGroups, check_groups, groups_of
from pellucid.explain.blocks.reading import fine_layer, read_layer
from pellucid.explain.subject import Subject
from pellucid.models import Classifier
from pellucid.report.blocks import draw_blocks, signed_number
from pellucid.structures import ClassScore, read_photo

Size = int | tuple[int, int]


@dataclass
class Request:
    """What to do with every photo."""

    model: Classifier
    target: int | None
    layer: str
    grid_layer: str | None
    groups: int
    channels: int
    steps: int
    cell: Size
    picture: Size
    cells: int
    seed: int
    out: Path


def run(
    *,
    photos: list[Path],
    model: str,
    target: str | None,
    layer: str | None,
    groups: int,
    channels: int,
    steps: int,
    size: int | None,
    cells: int,
    grid: bool,
    seed: int,
    out: Path,
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Does every photo; a photo that fails is reported and the others are done. Exits 2 if any failed."""
    check_folder(out)
    found, refused = photos_to_do(photos, out)
    network = load_model(model, checkpoint, classes, device)
    named_layer(network.network, layer)
    request = Request(
        model=network,
        target=None if target is None else network.classes.index(target),
        layer="",
        grid_layer=None,
        groups=groups,
        channels=channels,
        steps=steps,
        cell=CELL,
        picture=2 * CELL,
        cells=cells,
        seed=seed,
        out=out,
    )
    _settle(request, layer, size, grid)
    items: list[dict[str, Any]] = []
    failed = 0
    folders: set[str] = set()
    with progress_bar() as bar:
        task = bar.add_task("", total=None)
        for number, photo in enumerate(found, 1):
            which = f"{number} of {len(found)}, {photo.name}" if len(found) > 1 else photo.name

            def say(text: str, done: float = 0, total: int | None = None, which: str = which) -> None:
                bar.update(task, description=f"{which}: {text}", completed=done, total=total)

            try:
                if photo in refused:
                    raise refused[photo]
                record = _do(request, photo, request.out / folder_name(photo, folders), say)
            except PellucidError as error:
                failed += 1
                items.append({"photo": str(photo), "error": str(error)})
                with paused(bar):
                    complain(str(error) if str(photo) in str(error) else f"{photo}: {error}")
            else:
                items.append(record)
                if not json_output:
                    with paused(bar):
                        print("\n".join(_lines(record)), flush=True)
    if json_output:
        print_json(items)
    if failed:
        if len(found) > 1 and not json_output:
            print(f"{len(found) - failed} of {len(found)} photos done, {failed} failed", file=sys.stderr)
        raise SystemExit(2)


def _settle(request: Request, layer: str | None, size: int | None, grid: bool) -> None:
    """Chooses layers and sizes, and says what is wrong with them before any photo is done.

    A blank image tells, since all photos come to the network in one size.
    """
    network = request.model
    blank = Subject.of_frames(network, torch.zeros(1, 3, *network.preprocessing.size))
    request.layer = resolve_layer(blank, layer)
    if grid:
        request.grid_layer = request.layer if layer is not None else fine_layer(blank)
    check_groups(request.groups, read_layer(blank, request.layer).activation.shape, request.layer)
    request.cell = size or workable_size(blank, request.grid_layer or request.layer, CELL)
    request.picture = 2 * size if size else workable_size(blank, request.layer, 2 * CELL)


def _do(request: Request, path: Path, folder: Path, say: Callable[..., None]) -> dict[str, Any]:
    model = request.model
    say("reading")
    photo = read_photo(path)
    subject = Subject(model, photo)
    with torch.inference_mode():
        said = model.from_frame(subject.frame, subject.placements)[0]
    top = said.top(5)
    target = request.target if request.target is not None else top[0].index
    chosen = ClassScore(model.classes[target], target, float(said.probabilities[target]))
    say("channels and groups")
    reading = read_layer(subject, request.layer, class_logit(chosen.name))
    channels = channels_of(reading)
    groups = groups_of(reading, request.groups, request.seed)
    shown = channels.supporting(request.channels) + channels.opposing(request.channels)

    directions = torch.cat([groups.directions, _one_hot(shown, channels)])
    pictures = feature_images(
        model,
        [direction(channels.layer, vector, cosine_power=POWER) for vector in directions],
        size=request.picture,
        steps=request.steps,
        seed=request.seed,
        on_step=lambda done, total: say("images of groups and channels", done, total),
    )
    grid = None
    if request.grid_layer is not None:
        grid = grid_of(
            model,
            reading if request.grid_layer == reading.layer else read_layer(subject, request.grid_layer),
            size=request.cell,
            steps=request.steps,
            cells=request.cells,
            seed=request.seed,
            on_step=lambda done, total: say("activation grid", done, total),
        )
    say("drawing")
    page = folder / "blocks.png"
    try:
        draw_blocks(
            photo if photo.dtype == torch.uint8 else (255 * photo).round().byte(),
            top if chosen.index in {score.index for score in top} else [*top, chosen],
            channels=channels,
            shown=shown,
            channel_images=pictures[len(groups) :],
            groups=groups,
            group_images=pictures[: len(groups)],
            grid=grid,
            path=page,
            title=path.name,
            subtitle=f"{model.name}: the building blocks of '{chosen.name}'",
        )
        record = _record(request, path, said.size, top, chosen, channels, shown, groups, grid, page)
        write_json(folder / "record.json", record)
    except BaseException:  # a full disk, Ctrl-C: a photo's folder holds all that belongs to it, or nothing of it
        page.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
        raise
    return record


def _one_hot(shown: list[int], channels: ChannelAttribution) -> torch.Tensor:
    """(len(shown), C): each channel as a direction, towards the side of zero on which it acted.

    As a direction and not as the channel's mean, which has nothing left to climb once a ReLU6 is at its 6.
    """
    made = torch.zeros(len(shown), len(channels.attributions))
    for row, channel in enumerate(shown):
        made[row, channel] = float(channels.signs[channel])
    return made


def _record(
    request: Request,
    path: Path,
    size: tuple[int, int],
    top: list[ClassScore],
    chosen: ClassScore,
    channels: ChannelAttribution,
    shown: list[int],
    groups: NeuronGroups,
    grid: ActivationGrid | None,
    page: Path,
) -> dict[str, Any]:
    assert groups.attributions is not None
    record: dict[str, Any] = {
        "photo": str(path),
        "model": request.model.name,
        "size": [size[1], size[0]],
        "predictions": [scored(score) for score in top],
        "target": scored(chosen),
        "logit": channels.value,
        "layer": channels.layer,
        "attribution": float(channels.attributions.sum()),
        "channels": [
            {
                "channel": i,
                "sign": int(channels.signs[i]),
                "attribution": float(channels.attributions[i]),
            }
            for i in shown
        ],
        "groups": [
            {"attribution": attribution, "share": share, "peak": _peak(map_), "channels": _strongest(vector)}
            for attribution, share, map_, vector in zip(
                groups.attributions.tolist(), groups.shares.tolist(), groups.maps, groups.directions, strict=True
            )
        ],
        "residual": {"attribution": groups.residual_attribution, "share": groups.residual_share},
        "steps": request.steps,
        "seed": request.seed,
        "page": str(page),
    }
    if grid is not None:
        rows, columns = grid.magnitudes.shape
        record["grid"] = {"layer": grid.layer, "rows": rows, "columns": columns, "pooled": grid.pooled}
    return record


def _peak(map_: torch.Tensor) -> list[int]:
    """[row, column] of the layer's grid where a group is strongest."""
    row, column = divmod(int(map_.argmax()), map_.shape[1])
    return [row, column]


def _strongest(vector: torch.Tensor) -> list[dict[str, Any]]:
    """The five channels that weigh most in a group's direction, of length 1."""
    order = vector.abs().argsort(descending=True, stable=True)[:5].tolist()
    return [{"channel": i, "weight": float(vector[i])} for i in order]


def _lines(record: dict[str, Any]) -> Iterable[str]:
    said = ", ".join(f"{p['class']} {p['probability']:.1%}" for p in record["predictions"][:3])
    yield f"{record['photo']}: {said}"
    told = ", ".join(signed_number(group["attribution"]) for group in record["groups"])
    yield (
        f"  for {record['target']['class']}, at {record['layer']}: groups {told}; "
        f"the rest {signed_number(record['residual']['attribution'])}; logit {record['logit']:.2f}"
    )
    yield f"  page {record['page']}"
