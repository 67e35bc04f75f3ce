"""Training: a recipe in, a folder with weights, curves and pictures out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.training.progress import TerminalWatcher, Watcher
    from pellucid.training.recipe import Recipe
    from pellucid.training.recipe_files import read_recipe, write_recipe
    from pellucid.training.run_folder import RunFolder
    from pellucid.training.trainer import Trainer
    from pellucid.training.training import Result, train
    from pellucid.training.trouble import InterruptedTrainingError

__all__ = [
    "InterruptedTrainingError",
    "Recipe",
    "Result",
    "RunFolder",
    "TerminalWatcher",
    "Trainer",
    "Watcher",
    "read_recipe",
    "train",
    "write_recipe",
]

_WHERE = {
    "InterruptedTrainingError": "trouble",
    "Recipe": "recipe",
    "Result": "training",
    "RunFolder": "run_folder",
    "TerminalWatcher": "progress",
    "Trainer": "trainer",
    "Watcher": "progress",
    "read_recipe": "recipe_files",
    "train": "training",
    "write_recipe": "recipe_files",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'pellucid.training' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pellucid.training.{_WHERE[name]}"), name)
