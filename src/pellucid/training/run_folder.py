"""The folder of a training: what lies where, and a page that says so."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.models.base import Detector
from pellucid.training.recipe import Recipe
from pellucid.training.recipe_files import write_recipe


class RunFolder:
    """Where everything of one training lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.state = path / "resume.pt"
        self.log = path / "log.jsonl"
        self.curves = path / "curves.png"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.samples = path / "samples"
        self.events = path / "tensorboard"
        self.readme = path / "README.md"

    @classmethod
    def new(cls, name: str, out: Path | None) -> "RunFolder":
        """A folder for a new training: ``out``, or runs/NAME, numbered where that is taken.

        Raises PellucidError where ``out`` holds a training already, and where it cannot be made.
        """
        try:
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                if (out / "recipe.yaml").exists():
                    raise PellucidError(
                        f"--out {out}: holds a training already; continue it with --resume, or choose another folder"
                    )
                return cls(out)
            for number in range(1, 100_000):
                path = Path("runs") / (name if number == 1 else f"{name}-{number}")
                path.parent.mkdir(exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    return cls(path)
        except OSError as error:
            place = out or Path("runs")
            raise PellucidError(
                f"--out {place}: cannot write here ({error.strerror}); choose another folder"
            ) from error
        raise PellucidError(f"runs/{name}: is taken, with all numbers behind it; give --out")

    @classmethod
    def newest(cls, name: str) -> "RunFolder":
        """The last training of a name under runs/. Raises PellucidError where there is none."""
        found = [path.parent for path in Path("runs").glob(f"{name}*/recipe.yaml") if _numbered(path.parent.name, name)]
        if not found:
            raise PellucidError(f"--resume: there is no training in runs/{name}; leave it out, or give --out FOLDER")
        return cls(max(found, key=lambda path: (len(path.name), path.name)))

    def write_log(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Writes a line of JSON for every epoch."""
        with written_whole(self.log) as temporary:
            lines = (json.dumps(finite(one), ensure_ascii=False, allow_nan=False) for one in history)
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def save(self, model: Detector, path: Path, notes: Mapping[str, Any]) -> None:
        """Writes a checkpoint. Raises PellucidError where the disk is full; an earlier one is then still there."""
        try:
            model.save(path, notes=notes)
        except SafetensorError as error:
            reason = " ".join(str(error).split())
            raise PellucidError(
                f"{path}: cannot be written ({reason}); is the disk full? Make room, then continue with --resume"
            ) from error

    def explain(self, recipe: Recipe, history: Sequence[Mapping[str, Any]], best: int, figure: str) -> None:
        """Writes the recipe, and the page that says what lies here and how to go on."""
        if not self.recipe.exists():
            write_recipe(recipe, self.recipe)
        with written_whole(self.readme) as temporary:
            temporary.write_text(_page(self.path, recipe, history, best, figure), encoding="utf-8")


def _numbered(folder: str, name: str) -> bool:
    rest = folder.removeprefix(name)
    return not rest or (rest[0] == "-" and rest[1:].isdecimal())


def finite(value: Any) -> Any:
    """Plain values with None for every number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and value - value != 0 else value


def _page(path: Path, recipe: Recipe, history: Sequence[Mapping[str, Any]], best: int, figure: str) -> str:
    done = f"{len(history)} of {recipe.epochs} epochs are done." if history else "No epoch is done yet."
    if best:
        value = next(one["figure"] for one in history if one["epoch"] == best)
        done += f" The best on the validation images was epoch {best}: {figure} {value:.3f}."
    data = f"`{recipe.data.train}`"
    val = recipe.data.val or recipe.data.train
    return f"""# {recipe.model} on {data}

{done}

| file | what it is |
| --- | --- |
| `best.safetensors` | the weights of the best epoch, with classes and recipe inside; without validation, the last |
| `last.safetensors` | the weights of the last epoch |
| `curves.png` | losses, learning rate and scores |
| `samples/` | validation images: the truth on the left, what the best model says on the right |
| `log.jsonl` | a line of JSON for every epoch |
| `recipe.yaml` | everything that this training is made of; `pellucid train recipe.yaml` repeats it |
| `resume.pt` | the state from which `--resume` continues; needed for nothing else |
| `tensorboard/` | the curves for `tensorboard --logdir {path}` |

    pellucid predict {path}/best.safetensors PHOTO.jpg --draw
    pellucid evaluate {path}/best.safetensors {val}
    pellucid train {path} --resume
"""
