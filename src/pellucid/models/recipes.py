"""The recipes of detectors by name, and how one is built."""

import importlib
import inspect
from dataclasses import fields
from typing import Any

from pellucid.errors import PellucidError, nearest
from pellucid.models.base import Detector
from pellucid.structures import Classes

RECIPES = {
    "localizer": "pellucid.models.localization",
    "rcnn": "pellucid.models.region.rcnn",
    "fast_rcnn": "pellucid.models.region.fast_rcnn",
    "faster_rcnn": "pellucid.models.region.faster_rcnn",
    "mask_rcnn": "pellucid.models.region.mask_rcnn",
    "keypoint_rcnn": "pellucid.models.region.keypoint_rcnn",
}
"""Where each recipe stands: a module with a function of the recipe's name."""


def build(
    recipe: str, classes: Classes, backbone: str | None = None, *, pretrained: bool = True, **settings: Any
) -> Detector:
    """A detector of a recipe, in evaluation mode, on the CPU; its heads are random, from torch's own generator.

    ``backbone``: a timm name or torchvision/NAME, by default the embedded network. ``pretrained``: whether the backbone
    begins with published weights; only the embedded ones need no download. ``settings``: what the recipe's function
    takes. Raises PellucidError for an unknown recipe, backbone or setting, and a value that a setting cannot have.
    """
    if recipe not in RECIPES:
        raise PellucidError(f"unknown recipe '{recipe}'{nearest(recipe, RECIPES)}; there are {', '.join(RECIPES)}")
    if not len(classes):
        raise PellucidError(f"{recipe}: no classes; give one or more")
    make = getattr(importlib.import_module(RECIPES[recipe]), recipe)
    known = settings_of(recipe)
    for name in settings:
        if name not in known:
            raise PellucidError(f"{recipe}: has no setting '{name}'{nearest(name, known)}; it has {', '.join(known)}")
    given = {} if backbone is None else {"backbone": backbone}
    made: Detector = make(classes, pretrained=pretrained, **given, **settings)
    return made.eval()


def settings_of(recipe: str) -> dict[str, Any]:
    """The settings of a recipe and their defaults."""
    module = importlib.import_module(RECIPES[recipe])
    if hasattr(module, "DEFAULTS"):
        return {one.name: getattr(module.DEFAULTS, one.name) for one in fields(module.DEFAULTS)}
    parameters = inspect.signature(getattr(module, recipe)).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("classes", "backbone", "pretrained")}
