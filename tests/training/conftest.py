"""Trainings of the tiny detector on a few generated scenes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pellucid.models.recipes import RECIPES
from pellucid.training.recipe import Recipe
from pellucid.training.recipe_files import from_values
from pellucid.training.state import Position, read_state
from pellucid.training.training import Result

SCENES = "scenes:n=10,size=40,seed=3"

Made = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny detector among the recipes."""
    monkeypatch.setitem(RECIPES, "tiny", "training.tiny")


@pytest.fixture
def recipe() -> Made:
    """A recipe of the tiny detector, with values changed by dotted keys (``__`` for the dot)."""

    def made(**changes: Any) -> Recipe:
        values: dict[str, Any] = {
            "model": "tiny",
            "batch_size": 2,
            "epochs": 2,
            "optimiser": {"learning_rate": 0.01},
            "data": {"train": SCENES, "val": "scenes:n=4,size=40,seed=4"},
        }
        for key, value in changes.items():
            place = values
            *groups, last = key.split("__")
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
        return from_values(values)

    return made


def state_of(result: Result) -> tuple[Position, dict[str, Any]]:
    """What a training's state holds."""
    return read_state(result.folder.state)


def lines_of(path: Path) -> list[dict[str, Any]]:
    """A log without what depends on the clock."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{k: v for k, v in one.items() if k not in ("images_per_second", "seconds")} for one in lines]
