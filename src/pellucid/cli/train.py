"""``pellucid train``: a detector from annotated images."""

import sys
from pathlib import Path
from typing import Any

from pellucid.cli.common import complain, print_json
from pellucid.cli.data_options import told_in_one_line
from pellucid.errors import PellucidError


def run(
    *,
    recipe: str | None,
    data: str | None,
    val: str | None,
    split: str | None,
    val_split: str | None,
    epochs: int | None,
    batch_size: int | None,
    backbone: str | None,
    weights: str | None,
    changes: list[str],
    out: Path | None,
    resume: bool,
    device: str,
    precision: str | None,
    seed: int | None,
    json_output: bool,
) -> None:
    """Trains, and prints the scores and where everything is."""
    from pellucid.training.recipe import Recipe
    from pellucid.training.recipe_files import from_values, override, read_values
    from pellucid.training.run_folder import RunFolder

    options: dict[str, Any] = {
        "data.train": data,
        "data.val": val,
        "data.split": split,
        "data.val_split": val_split,
        "epochs": epochs,
        "batch_size": batch_size,
        "backbone": backbone,
        "weights": weights,
        "precision": precision,
        "seed": seed,
    }
    options = {key: value for key, value in options.items() if value is not None}
    folder: RunFolder | None = None
    notes: list[str] = []
    made: Recipe
    if resume:
        from pellucid.training.training import resumed

        folder = _folder(recipe, out)
        made, notes = resumed(folder, changes, options)
    else:
        if recipe is None:
            raise PellucidError("train: name a recipe, such as faster_rcnn, or a .yaml file; see pellucid train --help")
        values = read_values(recipe)
        for text in changes:
            override(values, text)
        for key, value in options.items():
            override(values, f"{key}=")
            _place(values, key, value)
        made = from_values(values, recipe)
    _train(made, folder, Path(recipe).stem if recipe else None, out, device, notes, json_output)


def _place(values: dict[str, Any], key: str, value: Any) -> None:
    *groups, last = key.split(".")
    for group in groups:
        values = values[group]
    values[last] = value


def _folder(recipe: str | None, out: Path | None) -> Any:
    """The folder to go on in: --out, the one that is named in place of a recipe, or the newest of a recipe."""
    from pellucid.training.run_folder import RunFolder

    if out is None and recipe is not None and (Path(recipe) / "recipe.yaml").is_file():
        out = Path(recipe)
    if out is not None:
        if not (out / "recipe.yaml").is_file():
            raise PellucidError(f"--resume: {out} holds no training (no recipe.yaml); leave it out, or give its folder")
        return RunFolder(out)
    if recipe is None:
        raise PellucidError("--resume: say of which training: its recipe, its folder, or --out FOLDER")
    return RunFolder.newest(Path(recipe).stem)


def _train(
    recipe: Any, folder: Any, name: str | None, out: Path | None, device: str, notes: list[str], json_output: bool
) -> None:
    from pellucid.training.processes import rank
    from pellucid.training.progress import TerminalWatcher
    from pellucid.training.training import train
    from pellucid.training.trouble import InterruptedTrainingError

    watcher = TerminalWatcher()
    for note in notes if rank() == 0 else ():
        complain(f"--resume: {note}")
    try:
        with told_in_one_line():
            result = train(recipe, out=out, name=name, resume=folder, device=device, watcher=watcher)
    except InterruptedTrainingError as stopped:
        if rank() == 0:
            complain("interrupted; continue with --resume")
        sys.exit(128 + stopped.number)
    if not result.first:
        return
    if json_output:
        print_json(_record(result))
    else:
        print("\n".join(_lines(result)))


def _record(result: Any) -> dict[str, Any]:
    from pellucid.training.run_folder import finite

    best = result.best
    return {
        "folder": str(result.folder.path),
        "best": str(result.folder.best),
        "last": str(result.folder.last),
        "epochs": len(result.history),
        "best_epoch": result.best_epoch or None,
        "scores": finite(best["scores"]) if best else {},
        "stopped": result.stopped or None,
        "was_finished": result.was_finished,
        "history": finite(result.history),
    }


def _lines(result: Any) -> list[str]:
    import math

    from pellucid.metrics.score import Score
    from pellucid.report.scores.tables import summary_lines

    lines = []
    if result.was_finished:
        lines.append(f"{result.folder.path}: was finished already; give more --epochs to go on")
    if result.stopped:
        lines.append(f"stopped {result.stopped}")
    best = result.best
    for protocol, figures in (best["scores"] if best else {}).items():
        summary = {name: math.nan if value is None else value for name, value in figures.items()}
        lines += [f"{protocol}, epoch {best['epoch']} of {len(result.history)}"]
        lines += [*summary_lines(Score(protocol, protocol, summary)), ""]
    folder = result.folder
    for path in (folder.best, folder.last, folder.curves, folder.samples, folder.readme):
        if path.exists():
            lines.append(f"written: {path}")
    return lines
