"""Reading weights from files: our own, and plain state dictionaries of other projects. Nothing pickled is ever run."""

import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pellucid.errors import PellucidError, nearest
from pellucid.models.base import RECIPE_KEY
from pellucid.models.preprocessing import Preprocessing
from pellucid.structures import Classes

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
_NESTS = ("state_dict", "model", "model_state_dict", "state_dict_ema")
_PREFIXES = ("module.", "model.", "network.")


@dataclass(frozen=True)
class Recipe:
    """What a file of ours says of its weights: enough to build the classifier again."""

    architecture: str
    name: str
    classes: Classes
    preprocessing: Preprocessing

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain values, for JSON."""
        return {
            "version": 1,
            "task": "classification",
            "architecture": self.architecture,
            "name": self.name,
            "classes": list(self.classes.names),
            "synonyms": [list(words) for words in self.classes.synonyms],
            "preprocessing": self.preprocessing.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of ``to_dict``."""
        return cls(
            values["architecture"],
            values["name"],
            Classes(tuple(values["classes"]), tuple(tuple(words) for words in values["synonyms"])),
            Preprocessing.from_dict(values["preprocessing"]),
        )


@dataclass(frozen=True)
class Assembly:
    """What a file of ours says of a detector: the recipe and settings by which ``build`` makes it again.

    ``notes``: what else its writer wanted to say, such as how it was trained.
    """

    task: str
    recipe: str
    backbone: str
    settings: dict[str, Any]
    name: str
    classes: Classes
    notes: dict[str, Any]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Assembly":
        """From what ``Detector.description`` gives."""
        task, recipe, backbone, name = (str(values[key]) for key in ("task", "recipe", "backbone", "name"))
        classes = Classes.from_dict(values["classes"])
        return cls(task, recipe, backbone, dict(values["settings"]), name, classes, dict(values.get("notes", {})))


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, and, if it is ours, what it is of: ``recipe`` a classifier, or ``assembly`` a detector."""

    path: Path
    tensors: dict[str, Tensor]
    recipe: Recipe | None = None
    assembly: Assembly | None = None


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a .safetensors file, or a .pt, .pth or .bin state dictionary with ``weights_only=True``, to the CPU.

    A dictionary nested under 'state_dict', 'model', 'model_state_dict' or 'state_dict_ema' is found; 'module.',
    'model.' and 'network.' are taken off the keys where all carry them. Raises PellucidError, in one line, for a file
    that is missing, empty, cut short, of another kind, or that holds pickled objects other than tensors.
    """
    path = Path(path)
    if path.is_dir():
        raise PellucidError(f"{path}: is a folder; give the checkpoint file in it")
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except FileNotFoundError as error:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise PellucidError(f"{path}: no such file{nearest(path.name, sorted(beside))}") from error
    except OSError as error:
        raise PellucidError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not start:
        raise PellucidError(f"{path}: the file is empty (0 bytes); download or save it again")
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return _read_safetensors(path)
    return Checkpoint(path, _without_prefixes(_read_torch(path)))


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no dictionary)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, "safetensors file", error) from error
    if RECIPE_KEY not in metadata:
        return Checkpoint(path, _without_prefixes(tensors))
    try:
        said = json.loads(metadata[RECIPE_KEY])
        if "recipe" in said:
            return Checkpoint(path, tensors, assembly=Assembly.from_dict(said))
        return Checkpoint(path, _without_prefixes(tensors), Recipe.from_dict(said))
    except (ValueError, KeyError, TypeError, AttributeError, PellucidError) as error:
        raise PellucidError(f"{path}: its recipe is damaged ({_short(error)}); save the model again") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "GLOBAL" in str(error) or "Unsupported class" in str(error):
            raise PellucidError(
                f"{path}: refused, since it holds pickled objects, which can run any code when opened; where you trust "
                "it, "
                "convert it with torch.save(model.state_dict(), 'weights.pt')"
            ) from error
        raise _damaged(path, "PyTorch checkpoint", error) from error
    except Exception as error:  # bad bytes raise many kinds
        raise _damaged(path, "PyTorch checkpoint", error) from error
    for _ in range(2):  # a training checkpoint may nest twice
        if isinstance(content, Mapping) and not any(isinstance(v, Tensor) for v in content.values()):
            content = next((content[k] for k in _NESTS if isinstance(content.get(k), Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(v, Tensor) for v in content.values()):
        held = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise PellucidError(f"{path}: holds no state dictionary (found: {held}); save model.state_dict()")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _damaged(path: Path, kind: str, error: Exception) -> PellucidError:
    return PellucidError(f"{path}: not a {kind}, or cut short ({_short(error)}); download or save it again")


def _short(error: Exception) -> str:
    """An exception's first sentence on one line, or its kind where it says too little."""
    reason = " ".join(str(error).split()).split(". ")[0][:120]
    return reason if " " in reason else type(error).__name__


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    stripped = True
    while stripped:
        stripped = False
        for prefix in _PREFIXES:
            if tensors and all(key.startswith(prefix) for key in tensors):
                tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
                stripped = True
    return tensors


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], source: str, architecture: str) -> None:
    """Copies tensors into a network of the same keys and shapes; raises PellucidError, counting what does not fit."""
    expected = network.state_dict()
    missing = [key for key in expected if key not in tensors and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in tensors if key not in expected]
    misshapen = [key for key in expected if key in tensors and tensors[key].shape != expected[key].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(expected)} tensors missing ({_examples(missing)})")
    if unexpected:
        faults.append(f"{len(unexpected)} unexpected ({_examples(unexpected)})")
    if misshapen:
        shapes = (f"{k} is {_shape(tensors[k])}, not {_shape(expected[k])}" for k in misshapen)
        faults.append(f"{len(misshapen)} of another shape ({_examples(shapes)})")
    if faults:
        raise PellucidError(
            f"{source}: does not fit {architecture}: {'; '.join(faults)}; name the architecture it is of"
        )
    network.load_state_dict(dict(tensors), strict=False)


def _examples(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:2]) + (", …" if len(names) > 2 else "")


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a scalar"


def count_classes(network: nn.Module, checkpoint: Checkpoint, default: int) -> int:
    """How many classes a checkpoint tells apart, by where it differs from a network of ``default`` classes.

    The layers that grow with the classes are those of ``default`` rows; where the file's are of another number, that is
    it.
    """
    expected = network.state_dict()
    counts = {
        checkpoint.tensors[key].shape[0]
        for key, tensor in expected.items()
        if tensor.ndim and tensor.shape[0] == default and key in checkpoint.tensors and checkpoint.tensors[key].ndim
    }
    counts.discard(default)
    return counts.pop() if len(counts) == 1 else default
