"""Detectors from checkpoints: our own, and those of torchvision and detectron2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchvision.models import get_model_weights

from pellucid.errors import PellucidError
from pellucid.models.base import Detector
from pellucid.models.checkpoints import Checkpoint, load_tensors, read_checkpoint
from pellucid.models.recipes import RECIPES, build, settings_of
from pellucid.models.region.foreign import TORCHVISION, Foreign, is_foreign, translated
from pellucid.models.region.settings import STRUCTURE
from pellucid.models.weights import hub_file
from pellucid.structures import Classes
from pellucid.structures.classes import as_tuples

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
    settings = {key: as_tuples(value) for key, value in said.settings.items()}
    model = build(said.recipe, said.classes, said.backbone, pretrained=False, **settings)
    load_tensors(model.network, file.tensors, str(file.path), said.recipe)
    model.name = said.name
    model.classes = classes or said.classes
    return model.eval()


def from_foreign(said: Foreign, source: str, name: str = "", classes: Classes | None = None) -> Detector:
    """A detector of another project, built by our recipe."""
    published = _known(name)
    wanted = name if published is None else TORCHVISION[published][0]
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


def begin_from(
    weights: str, recipe: str, classes: Classes, backbone: str | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[Detector, list[str]]:
    """A detector to be trained that begins with the weights of another, and the tensors that begin anew.

    ``weights``: a checkpoint, ours or another project's, or 'torchvision' for the published ones of the recipe with
    that ``backbone`` (ResNet-50 by default), downloaded where need be. What the network is made of is as there;
    ``settings`` choose the rest. What depends on the classes begins anew, unless they are the same.
    Raises PellucidError where the weights are of another recipe, and where they cannot be had.
    """
    path = published_file(recipe, backbone) if weights == "torchvision" else Path(weights)
    file = read_checkpoint(path)
    if is_foreign(file.tensors):
        foreign = translated(file.tensors, str(path))
        own, body, known, tensors = foreign.recipe, foreign.backbone, foreign.settings, foreign.tensors
    elif file.assembly is not None:
        said = file.assembly
        own, body, known, tensors = said.recipe, said.backbone, said.settings, file.tensors
        known = {key: as_tuples(value) for key, value in known.items()}
    else:
        raise PellucidError(f"{path}: holds no detector; give a checkpoint of {recipe}, or leave weights out")
    if own != recipe:
        raise PellucidError(f"{path}: holds a {own}, not a {recipe}; train that recipe, or give other weights")
    if backbone not in (None, body):
        raise PellucidError(f"{path}: has the backbone {body}, not {backbone}; leave the backbone out")
    defaults = settings_of(recipe)
    made_of = {name: known.get(name, defaults[name]) for name in (STRUCTURE if "neck" in defaults else known)}
    model = build(recipe, classes, body, pretrained=False, **{**(settings or {}), **made_of})
    fresh = model.network.state_dict()
    fitting = {key: value for key, value in tensors.items() if key in fresh and fresh[key].shape == value.shape}
    same = file.assembly is not None and file.assembly.classes.names == classes.names
    if not same:  # as many classes need not be the same ones
        fitting = {key: value for key, value in fitting.items() if not key.startswith(model.of_classes)}
    model.network.load_state_dict(fitting, strict=False)
    return model, [key for key in fresh if key not in fitting]


def published_file(recipe: str, backbone: str | None) -> Path:
    """The file of torchvision's published weights of a recipe. Raises PellucidError where there are none."""
    body = backbone or "resnet50"
    name = next((n for n, (own, trunk, _) in TORCHVISION.items() if (own, trunk) == (recipe, body)), None)
    if name is None:
        known = ", ".join(f"{own} with {trunk}" for own, trunk, _ in TORCHVISION.values())
        raise PellucidError(f"weights torchvision: there are none of {recipe} with {body}, but of {known}")
    return hub_file(name, get_model_weights(name).DEFAULT.url)


def _known(name: str) -> str | None:
    plain = name.removeprefix(_TORCHVISION)
    return plain if plain in TORCHVISION else None


def _check_count(source: str, own: Classes, given: Classes | None) -> None:
    if given is not None and len(given) != len(own):
        raise PellucidError(f"{source}: tells {len(own)} classes apart, but names are given for {len(given)}")
