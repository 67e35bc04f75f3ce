"""``pellucid synthesize``: the image that a unit, a channel, a layer, a class or any objective looks for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.cli.common import check_folder, load_model, print_json, progress_bar, write_json
from pellucid.errors import PellucidError, nearest
from pellucid.explain.attribution.explanation import plain_name
from pellucid.explain.expressions import parse_objective
from pellucid.explain.objectives import Objective
from pellucid.explain.synthesis import (
    PARAMETRISATIONS,
    REGULARISERS,
    Crops,
    Synthesis,
    caricature,
    deep_dream,
    interpolate,
    parse_transforms,
    synthesize,
)
from pellucid.models import Classifier
from pellucid.report.synthesis import draw_synthesis
from pellucid.structures import read_photo

DIVERSITY = 0.7
"""The weight of diversity where several images are asked for: they differ plainly, and excite nearly as much."""


def run(
    *,
    objective: str,
    model: str,
    steps: int | None,
    size: int | None,
    diversity: int,
    to: str | None,
    dream: Path | None,
    of: Path | None,
    parametrisation: str,
    transforms: str,
    regularise: list[str],
    rate: float | None,
    seed: int,
    snapshots: str | None,
    out: Path,
    checkpoint: Path | None,
    classes: Path | None,
    device: str,
    json_output: bool,
) -> None:
    """Makes the images, and writes them, one page with all of them, and a record."""
    wanted = [parse_objective(text) for text in ([objective] if to is None else [objective, to])]
    settings = _settings(parametrisation, transforms, regularise, rate, snapshots)
    ways = [name for name, given in (("--to", to), ("--dream", dream), ("--caricature", of)) if given is not None]
    if len(ways) > 1 or (ways and diversity > 1 and to is None):
        raise PellucidError(f"{' and '.join([*ways, '--diversity'][:2])} exclude each other; give one of them")
    if of is not None and (len(wanted[0].layers) != 1 or wanted[0].text != f"layer {wanted[0].layers[0]}"):
        raise PellucidError(f"--caricature: is of a layer such as 'blocks.4'; '{objective}' is not one")
    check_folder(out)
    photo = read_photo(dream or of) if dream or of else None  # type: ignore[arg-type]
    network = load_model(model, checkpoint, classes, device)
    total = steps or (256 if parametrisation == "maco" else 40 if dream else 512)
    options: dict[str, Any] = {"seed": seed, **settings}
    with progress_bar() as bar:
        task = bar.add_task(objective, total=total * (4 if dream else 1))

        def say(step: int, values: Tensor) -> None:
            bar.update(task, completed=step, description=f"{objective}: {float(values.mean()):.3g}")

        options |= {"steps": total, "on_step": say}
        if size is not None:
            options["size"] = size
        made = _make(network, wanted, photo, dream is not None, diversity, options)

    stem = plain_name(objective if to is None else f"{objective} to {to}")
    stem += "-dream" if dream else "-caricature" if of else ""
    images = made.save(out, stem)
    for step, shown in made.snapshots.items():
        replace(made, images=shown).save(out, f"{stem}-step{step}")
    page = draw_synthesis(made, network.name).save(out / f"{stem}-page.png")
    record = _record(made, objective, to, network.name, total, settings, seed, images, page)
    write_json(out / f"{stem}.json", record)
    if json_output:
        print_json(record)
        return
    for text, value, path in zip(made.objectives, made.values.tolist(), images, strict=True):
        print(f"{text}  {value:.4g}  {path}")
    print(f"page: {page}")


def _make(
    network: Classifier,
    wanted: list[Objective],
    photo: Tensor | None,
    dreams: bool,
    number: int,
    options: dict[str, Any],
) -> Synthesis:
    if photo is not None and dreams:
        return deep_dream(network, photo, wanted[0], **options)
    if photo is not None:
        return caricature(network, photo, wanted[0].layers[0], **options)
    if len(wanted) == 2:
        return synthesize(network, interpolate(wanted[0], wanted[1], number if number > 1 else 6), **options)
    weight = DIVERSITY if number > 1 and wanted[0].layers else 0.0
    return synthesize(network, wanted[0], number=number, diversity=weight, **options)


def _settings(
    parametrisation: str, transforms: str, regularise: list[str], rate: float | None, snapshots: str | None
) -> dict[str, Any]:
    """The options of ``synthesize`` that were given; what is not given keeps its default there."""
    if parametrisation not in PARAMETRISATIONS:
        hint = nearest(parametrisation, PARAMETRISATIONS)
        raise PellucidError(f"--parametrisation {parametrisation}: take {', '.join(PARAMETRISATIONS)}{hint}")
    settings: dict[str, Any] = {"parametrisation": parametrisation}
    if transforms.strip().lower() == "crops":
        settings["transforms"] = Crops()
    elif transforms.strip().lower() != "default":
        settings["transforms"] = parse_transforms(transforms)
    weights = dict(_weight(part) for text in regularise for part in text.split(","))
    if weights:
        settings["regularise"] = weights
    if rate is not None:
        settings["rate"] = rate
    if snapshots is not None:
        try:
            settings["snapshots"] = tuple(int(part) for part in snapshots.split(","))
        except ValueError:
            raise PellucidError(f"--snapshots {snapshots}: give steps with commas, such as 1,32,128") from None
    return settings


def _weight(text: str) -> tuple[str, float]:
    name, equals, value = text.strip().partition("=")
    try:
        if equals and name in REGULARISERS:
            return name, float(value)
    except ValueError:
        pass
    raise PellucidError(f"--regularise {text}: give NAME=WEIGHT, NAME one of {', '.join(REGULARISERS)}")


def _record(
    made: Synthesis,
    objective: str,
    to: str | None,
    model: str,
    steps: int,
    settings: dict[str, Any],
    seed: int,
    images: list[Path],
    page: Path,
) -> dict[str, Any]:
    return {
        "objective": objective,
        "to": to,
        "model": model,
        "steps": steps,
        "size": list(made.images.shape[-2:]),
        "seed": seed,
        "settings": {key: str(value) if key == "transforms" else value for key, value in settings.items()},
        "images": [
            {"objective": text, "value": value, "file": str(path)}
            for text, value, path in zip(made.objectives, made.values.tolist(), images, strict=True)
        ],
        "page": str(page),
        "history": [[round(v, 5) for v in row] for row in made.history.tolist()],
    }
