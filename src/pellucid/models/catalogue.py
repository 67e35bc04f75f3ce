"""The classifiers that can be loaded by name, and what a name means."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import timm
import torchvision
from timm.models import get_pretrained_cfg
from torchvision.models import get_model_weights, list_models

from pellucid.errors import PellucidError, nearest
from pellucid.models.weights import cached_repositories, cached_url

EMBEDDED = "tf_efficientnet_lite0"
"""The architecture whose ImageNet weights come with the installation (Apache-2.0, EfficientNet-Lite)."""

_EMBEDDED_PARAMETERS = 4_652_008
_TORCHVISION = "torchvision/"


@dataclass(frozen=True)
class ModelInfo:
    """A classifier with published weights.

    ``source``: 'embedded', 'timm' or 'torchvision'. ``on_disk``: it needs no download.
    ``parameters``: how many numbers the network learned; None where its library does not say.
    """

    name: str
    source: str
    on_disk: bool
    parameters: int | None = None


def available(pattern: str = "*") -> list[ModelInfo]:
    """The classifiers with published weights whose name matches a shell pattern ('*resnet*'; case does not matter).

    The embedded one comes first, then timm's, then torchvision's.
    """
    repositories = cached_repositories()
    models = [ModelInfo(EMBEDDED, "embedded", True, _EMBEDDED_PARAMETERS)]
    for name in timm.list_models(pretrained=True):
        config: Any = get_pretrained_cfg(name)
        if config.num_classes:  # the others give features alone
            on_disk = config.hf_hub_id in repositories or bool(config.url and cached_url(config.url).is_file())
            models.append(ModelInfo(name, "timm", on_disk))
    for name in torchvision_classifiers():
        weights = get_model_weights(name).DEFAULT
        on_disk = cached_url(weights.url).is_file()
        models.append(ModelInfo(_TORCHVISION + name, "torchvision", on_disk, weights.meta["num_params"]))
    return [model for model in models if fnmatchcase(model.name.lower(), pattern.lower())]


def torchvision_classifiers() -> list[str]:
    """The names of torchvision's image classifiers."""
    return list_models(module=torchvision.models)


def resolve(name: str) -> tuple[str, str]:
    """What a model's name means: ('timm' or 'torchvision', the name there).

    'timm/NAME' and 'torchvision/NAME' say it; else timm's meaning goes first. Raises PellucidError for a name that
    neither knows, with the nearest that they do, and for a torchvision network of another task.
    """
    plain = name.strip()
    if plain.startswith(_TORCHVISION):
        plain = plain.removeprefix(_TORCHVISION)
        if plain in torchvision_classifiers():
            return "torchvision", plain
    else:
        plain = plain.removeprefix("timm/")
        if _known_to_timm(plain):
            return "timm", plain
        if plain in torchvision_classifiers() and not name.startswith("timm/"):
            return "torchvision", plain
    if plain in set(list_models()).difference(torchvision_classifiers()):
        raise PellucidError(
            f"{name}: is a {_task(plain)} network of torchvision, not an image classifier; choose a classifier"
        )
    known = [
        *timm.list_models(),
        *timm.list_models(pretrained=True),
        *(_TORCHVISION + n for n in torchvision_classifiers()),
    ]
    raise PellucidError(
        f"{name}: unknown model{nearest(name, known) or '; list the known ones with `pellucid models` or available()'}"
    )


def _known_to_timm(name: str) -> bool:
    architecture, _, tag = name.partition(".")
    return timm.is_model(architecture) and (not tag or name in timm.list_models(pretrained=True))


def _task(name: str) -> str:
    module: Any = torchvision.models
    for part in ("detection", "segmentation", "video", "optical_flow", "quantization"):
        if name in list_models(module=getattr(module, part)):
            return part.replace("_", " ")
    return "different"
