"""A training from its recipe to its result: the model is built, the data opened, the folder found."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pellucid.data import Dataset
from pellucid.errors import PellucidError, nearest
from pellucid.models import recipes as models
from pellucid.models.base import Detector
from pellucid.models.detectors import begin_from
from pellucid.training.processes import make_fabric
from pellucid.training.progress import Watcher
from pellucid.training.recipe import Recipe
from pellucid.training.recipe_files import differences, read_recipe, write_recipe
from pellucid.training.run_folder import RunFolder
from pellucid.training.sources import make_transform, open_sources, with_proposals
from pellucid.training.state import Position
from pellucid.training.trainer import Trainer
from pellucid.training.trouble import is_out_of_memory, out_of_memory

CHANGEABLE = (
    "epochs",
    "precision",
    "optimiser.learning_rate",
    "optimiser.clip",
    "validation.every",
    "validation.patience",
    "state.steps",
    "state.seconds",
    "data.workers",
)
"""What may be another when a training is resumed; a resumed run equals an unbroken one only where none of them is."""

_WANTED = {"detection": "boxes", "localization": "boxes", "instances": "masks", "keypoints": "keypoints"}


@dataclass(frozen=True)
class Result:
    """What a training left.

    ``folder``: where. ``history``: a record an epoch, as the log has it. ``best_epoch``: 0 where nothing was scored.
    ``stopped``: why it ended early, if it did. ``was_finished``: whether it had ended before. ``first``: whether this
    process is the one that speaks for all.
    """

    folder: RunFolder
    history: list[dict[str, Any]]
    best_epoch: int
    stopped: str = ""
    was_finished: bool = False
    first: bool = True

    @property
    def best(self) -> dict[str, Any] | None:
        """The record of the best epoch; of the last where none was scored."""
        found = [one for one in self.history if one["epoch"] == self.best_epoch]
        return (found or self.history or [None])[-1]  # type: ignore[list-item]


def train(
    recipe: Recipe,
    *,
    out: Path | None = None,
    name: str | None = None,
    resume: RunFolder | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
    datasets: tuple[Dataset, Dataset | None] | None = None,
    model: Detector | None = None,
) -> Result:
    """Trains by a recipe, in a new folder (``out``, by default runs/NAME), or goes on in the folder ``resume``.

    ``datasets``: what to learn from and to validate on, in place of those that the recipe names. ``model``: in place of
    a new one. Under ``torchrun`` every process calls it. Raises PellucidError for everything that a person can mend,
    and InterruptedTrainingError after Ctrl-C or SIGTERM, when the state is written.
    """
    watcher = watcher or Watcher()
    make_transform(recipe.augmentation)  # its faults show before anything is made
    fabric = make_fabric(device, recipe.precision)
    speaks = fabric.global_rank == 0
    if not speaks:
        watcher = Watcher()
    if datasets is None:
        sources = open_sources(recipe.data)
        learned, val = sources.train, sources.val
        for note in sources.notes:
            watcher.note(note)
    else:
        learned, val = datasets
    if resume is not None and not resume.recipe.exists():
        raise PellucidError(f"{resume.path}: holds no training (no recipe.yaml); leave --resume out")
    torch.manual_seed(recipe.seed)
    if model is None:
        model, recipe = _built(recipe, learned, watcher, again=resume is not None and resume.state.exists())
    elif model.classes.names != learned.classes.names:
        raise PellucidError(f"{learned.title}: its classes are not those of the model {model.name}; use the same")
    _check_holdings(model, learned)
    folder: RunFolder = resume or fabric.broadcast(RunFolder.new(name or recipe.model, out) if speaks else None)  # type: ignore[assignment]
    if speaks:
        write_recipe(recipe, folder.recipe)
    if model.needs_proposals:
        learned, val = _proposed(learned, val, folder, watcher, fabric)
    try:
        trainer = Trainer(model, recipe, learned, val, folder, fabric, watcher)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise out_of_memory(recipe.batch_size, recipe.precision, recipe.optimiser.accumulate) from error
        raise
    if resume is not None and folder.state.exists():
        trainer.resume()
    fabric.barrier()
    if trainer.position.finished:
        return _result(folder, trainer.position, speaks, was_finished=True)
    return _result(folder, trainer.run(), speaks)


def _built(recipe: Recipe, learned: Dataset, watcher: Watcher, *, again: bool) -> tuple[Detector, Recipe]:
    """The model, and the recipe that says what it is made of. ``again``: its weights will be those of a state."""
    settings = _settings(recipe)
    if recipe.weights is None or again:
        begun = recipe.pretrained and not again
        return models.build(recipe.model, learned.classes, recipe.backbone, pretrained=begun, **settings), recipe
    model, fresh = begin_from(recipe.weights, recipe.model, learned.classes, recipe.backbone, settings)
    parts = ", ".join(dict.fromkeys(name.split(".")[0] for name in fresh)) or "nothing"
    watcher.note(f"begins with {recipe.weights}; anew: {parts}")
    return model, replace(recipe, backbone=model.backbone, settings=_listed(model.settings))


def _listed(value: Any) -> Any:
    """Settings as YAML has them."""
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, (list, tuple)) else value


def _result(folder: RunFolder, place: Position, speaks: bool, was_finished: bool = False) -> Result:
    return Result(folder, place.history, place.best_epoch, place.stopped, was_finished, speaks)


def _settings(recipe: Recipe) -> dict[str, Any]:
    """The model's settings; whole numbers where the defaults are, which YAML may have written as 1e3."""
    known = models.settings_of(recipe.model) if recipe.model in models.RECIPES else {}
    made = {}
    for name, value in recipe.settings.items():
        if known and name not in known:
            raise PellucidError(
                f"settings.{name}: {recipe.model} has no such setting{nearest(name, known)}; it has {', '.join(known)}"
            )
        default = known.get(name)
        if isinstance(default, tuple) and isinstance(value, list):
            value = tuple(tuple(one) if isinstance(one, list) else one for one in value)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        made[name] = value
    return made


def _check_holdings(model: Detector, dataset: Dataset) -> None:
    wanted = _WANTED.get(model.task)
    if wanted is not None and wanted not in dataset.holds:
        raise PellucidError(
            f"{dataset.title}: holds no {wanted}, from which {model.recipe} learns; choose other data, or another model"
        )


def _proposed(
    learned: Dataset, val: Dataset | None, folder: RunFolder, watcher: Watcher, fabric: Any
) -> tuple[Dataset, Dataset | None]:
    """Data sets with proposals; the first process makes them, the others read them."""

    def made() -> tuple[Dataset, Dataset | None]:
        def heard(done: int, total: int) -> None:
            watcher.working("proposals", done, total)

        first = with_proposals(learned, folder.path / "proposals_train.npz", heard)
        return first, None if val is None else with_proposals(val, folder.path / "proposals_val.npz", heard)

    if fabric.global_rank == 0:
        found = made()
        fabric.barrier()
        return found
    fabric.barrier()
    return made()


def resumed(folder: RunFolder, overrides: Sequence[str], changes: dict[str, Any]) -> tuple[Recipe, list[str]]:
    """The recipe of a folder to go on with, and what of it is another now, in words.

    ``overrides``: 'key=value' texts; ``changes``: dotted key → value of other options. Raises PellucidError for a
    change that would make another training of it.
    """
    texts = [*overrides, *(f"{key}={_quoted(value)}" for key, value in changes.items())]
    before = read_recipe(folder.recipe)
    after = read_recipe(folder.recipe, texts)
    changed = differences(before, after)
    for key, (old, new) in changed.items():
        if key not in CHANGEABLE:
            raise PellucidError(
                f"--resume: {key} is {old} in {folder.recipe}, not {new}; leave it out, or begin a new training "
                f"(what may change: {', '.join(CHANGEABLE)})"
            )
    return after, [f"{key}: {new}, no longer {old}" for key, (old, new) in changed.items()]


def _quoted(value: Any) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
