"""The state of a training, in one file that is written whole: from it a training goes on as if nothing had been."""

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.files import written_whole

VERSION = 1


@dataclass
class Position:
    """Where a training is, and what it has seen.

    ``epoch``: epochs behind it, validated. ``batch``: steps done in the present one. ``step``: steps in all.
    ``stage``, ``stage_step``: the stage that learns, and the steps done in it. ``curves``: name → its value in each
    step: the loss, its parts and the learning rate. ``best``: the best figure so far, ``best_epoch`` whose. ``stale``:
    validations since. ``seconds``: spent in all. ``history``: what each epoch left, as the log has it. ``learned``:
    whether all epochs are done. ``finished``: whether nothing is left to do. ``stopped``: why it ended early, if it
    did.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    stage: int = -1
    stage_step: int = 0
    curves: dict[str, list[float]] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int = 0
    stale: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    learned: bool = False
    finished: bool = False
    stopped: str = ""

    def note(self, values: Mapping[str, float]) -> None:
        """Adds the values of a step."""
        for part, value in values.items():
            # a part that a later stage brings was nothing before
            column = self.curves.setdefault(part, [float("nan")] * self.step)
            column.append(value)
        self.step += 1
        for column in self.curves.values():
            if len(column) < self.step:
                column.append(float("nan"))


def write_state(path: Path, position: Position, tensors: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
    """Writes a state. Raises PellucidError where the disk is full; the earlier state is then still there."""
    values = dict(vars(position))
    values["curves"] = {part: torch.tensor(column, dtype=torch.float64) for part, column in position.curves.items()}
    # Through memory: torch's own writer ends with another error where a disk is full.
    stream = io.BytesIO()
    torch.save({"version": VERSION, "recipe": dict(recipe), "position": values, **tensors}, stream)
    try:
        with written_whole(path) as temporary:
            temporary.write_bytes(stream.getbuffer())
    except PellucidError as error:
        kept = "; the state before it is still there: make room, then continue with --resume" if path.exists() else ""
        raise PellucidError(f"{error}{kept}") from error


def read_state(path: Path) -> tuple[Position, dict[str, Any]]:
    """A state: its position, and all that was written with it. Raises PellucidError for a file that is none."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        if values["version"] != VERSION:
            raise PellucidError(f"{path}: is of another version of Pellucid; begin the training anew")
        said = dict(values["position"])
        said["curves"] = {part: column.tolist() for part, column in said["curves"].items()}
        return Position(**said), values
    except FileNotFoundError as error:
        raise PellucidError(f"{path}: no such file; there is no training to continue in {path.parent}") from error
    except PellucidError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise PellucidError(
            f"{path}: cannot be read as the state of a training ({type(error).__name__}); begin the training anew"
        ) from error


def on_cpu(value: Any) -> Any:
    """The same plain values with tensors on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {key: on_cpu(one) for key, one in value.items()}
    return [on_cpu(one) for one in value] if isinstance(value, (list, tuple)) else value
