"""Detectors from checkpoints: our own, and those of torchvision and detectron2."""

import torch
from torch import nn
from torchvision.models import get_model_weights

from pellucid.errors import PellucidError
from pellucid.models.base import Detector
from pellucid.models.checkpoints import Checkpoint, load_tensors, read_checkpoint
from pellucid.models.recipes import RECIPES, build
from pellucid.models.region.foreign import TORCHVISION, Foreign, is_foreign, translated
from pellucid.models.weights import hub_file
from pellucid.structures import Classes

IMAGENET_PROPOSALS = "rcnn-imagenet"
"""The name of the detector that needs no training."""

_TORCHVISION = "torchvision/"


def is_detector(name: str) -> bool:
    """Whether a name is of a published detector."""
    return name.removeprefix(_TORCHVISION) in TORCHVISION


def is_recipe(name: str) -> bool:
    """Whether a name is of a recipe."""
    return name in RECIPES


def holds_detector(file: Checkpoint) -> bool:
    """Whether a file is of a detector, ours or another project's."""
    return file.assembly is not None or is_foreign(file.tensors)


def detector_from(file: Checkpoint, name: str = "", classes: Classes | None = None) -> Detector:
    """The detector that a file holds, in evaluation mode.

    ``name``: what the caller takes it for, '' for whatever it is. ``classes``: other names for its classes. Raises
    PellucidError where it is of another model, does not fit, or has another number of classes.
    """
    if file.assembly is None:
        return from_foreign(translated(file.tensors, str(file.path), _known(name)), str(file.path), name, classes)
    said = file.assembly
    if name and name != said.recipe:
        raise PellucidError(f"{file.path}: holds a {said.recipe}, not a {name}; load it by its path alone")
    _check_count(str(file.path), said.classes, classes)
    if said.recipe not in RECIPES:
        raise PellucidError(f"{file.path}: is of recipe '{said.recipe}', which this version does not know; update")
    settings = {key: _as_tuples(value) for key, value in said.settings.items()}
    model = build(said.recipe, said.classes, said.backbone, pretrained=False, **settings)
    load_tensors(model.network, file.tensors, str(file.path), said.recipe)
    model.name = said.name
    model.classes = classes or said.classes
    return model.eval()


def from_foreign(said: Foreign, source: str, name: str = "", classes: Classes | None = None) -> Detector:
    """A detector of another project, built by our recipe."""
    wanted = TORCHVISION[_known(name) or ""][0] if _known(name) else name
    if wanted and wanted != said.recipe:
        raise PellucidError(f"{source}: holds a {said.recipe}, not a {name}; load it by its path alone")
    _check_count(source, said.classes, classes)
    model = build(said.recipe, classes or said.classes, said.backbone, pretrained=False, **said.settings)
    load_tensors(model.network, said.tensors, source, said.recipe)
    model.name = name or f"{said.recipe} ({source})"
    return model.eval()


def published_detector(name: str, classes: Classes | None = None, *, pretrained: bool = True) -> Detector:
    """A detector by name: torchvision's with its weights, downloaded where need be, or a recipe, untrained.

    Raises PellucidError for a recipe without classes, and where weights cannot be had.
    """
    if is_recipe(name):
        if classes is None:
            raise PellucidError(
                f"{name}: is a recipe, untrained; train it (pellucid train {name} --data …), or give classes"
            )
        return build(name, classes, pretrained=pretrained)
    plain = name.removeprefix(_TORCHVISION)
    recipe = TORCHVISION[plain][0]
    weights = get_model_weights(plain).DEFAULT
    if not pretrained:
        raise PellucidError(f"{name}: means published weights; for random ones build the recipe {recipe}")
    path = hub_file(name, weights.url)
    file = read_checkpoint(path)
    return from_foreign(translated(file.tensors, str(path), plain), str(path), name, classes)


def begin_with(model: Detector, file: Checkpoint) -> list[str]:
    """Takes over from a checkpoint what fits a model to be trained: all but what depends on the classes.

    Gives the names of the tensors that stay as they were. Raises PellucidError where nothing fits.
    """
    tensors = translated(file.tensors, str(file.path)).tensors if is_foreign(file.tensors) else file.tensors
    own = model.network.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in own and own[key].shape == value.shape}
    if not fitting:
        raise PellucidError(f"{file.path}: nothing in it fits {model.name}; give weights of the same network")
    _copy(model.network, fitting)
    return [key for key in own if key not in fitting]


def _copy(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    network.load_state_dict(tensors, strict=False)


def _known(name: str) -> str | None:
    plain = name.removeprefix(_TORCHVISION)
    return plain if plain in TORCHVISION else None


def _check_count(source: str, own: Classes, given: Classes | None) -> None:
    if given is not None and len(given) != len(own):
        raise PellucidError(f"{source}: tells {len(own)} classes apart, but names are given for {len(given)}")


def _as_tuples(value: object) -> object:
    return tuple(map(_as_tuples, value)) if isinstance(value, (list, tuple)) else value
