"""Explanations of a kept photo, and their check."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain import METHODS, Explanation, energy_inside, pointing_game
from pellucid.explain.attribution import Method, default_layer, explain_subject
from pellucid.explain.attribution.separate import is_separate
from pellucid.explain.curves import ChangedImages, Curve, by_chance, strongest_first
from pellucid.explain.forward import objective_values
from pellucid.explain.regions import box_region
from pellucid.explain.subject import Subject
from pellucid.models import Classifier, PhotoModel
from pellucid.structures import Annotations
from pellucid.structures.masks import as_pixels
from pellucid.structures.trace import Step
from pellucid.web.choosing import chosen_model, reported, thresholds_of
from pellucid.web.messages import ExplanationAsked
from pellucid.web.methods import settings_of
from pellucid.web.photos import Explained, Kept
from pellucid.web.pictures import HEAT_SIDE, heat_url
from pellucid.web.targets import Meant, meant

_REGION_SIDE = 1024
"""The longest side, in pixels, of a photo on which a map's energy is measured."""

_STEPS, _STEPS_OF_DETECTORS = 15, 7
"""Of the curves of deletion and insertion."""


def explained(
    model: PhotoModel, photo: Kept, asked: ExplanationAsked, method: Method, go_on: Callable[..., None]
) -> dict[str, Any]:
    """The answer to a question about a photo, but for the time that it waited."""
    began = time.perf_counter()
    thresholds = asked.thresholds.given() if asked.thresholds is not None else {}
    chosen = chosen_model(model, thresholds)
    said = reported(model, photo, thresholds, parts=True)
    subject = photo.subject.seen_by(chosen, [said])
    what = meant(chosen, said, asked.target)
    options = settings_of(model, subject, method)
    if "progress" in method.options:
        options["progress"] = go_on
    layer = asked.layer if method.uses_layer else None
    (made,) = explain_subject(subject, [what.objective], method=method.name, layer=layer, **options)
    go_on()
    value = float(objective_values(subject, subject.frame, [what.objective], probabilities=True)[0, 0])
    token = photo.remember(Explained(made, what.objective, thresholds))
    inside, pointing = _agreement(made, said, what)
    return {
        "id": token,
        "title": METHODS[made.method].title,
        "target": what.text,
        "layer": made.layer,
        "heat": heat_url(made.heat(HEAT_SIDE)),
        "value": round(value, 4) if math.isfinite(value) else None,
        "sentence": what.sentence(value),
        "steps": [step_json(step) for step in what.steps],
        "inside": inside,
        "pointing": pointing,
        "box": what.box,
        "seconds": round(time.perf_counter() - began, 3),
        "unit_layer": _unit_layer(subject, made, what, layer),
    }


def step_json(step: Step) -> dict[str, Any]:
    """A step as the page gets it."""
    return {
        "name": step.name,
        "text": step.text,
        "box": None if step.box is None else [round(v, 2) for v in step.box],
        "score": None if step.score is None else round(step.score, 4),
    }


def _unit_layer(subject: Subject, made: Explanation, what: Meant, asked: str | None) -> str | None:
    """The layer whose channels the map was made of, or could be; None for a map that was made of crops."""
    if made.layer is not None and (asked is not None or not is_separate(subject, [what.objective])):
        return made.layer
    try:
        return default_layer(subject, what.objective)
    except PellucidError:
        return None


def _agreement(made: Explanation, said: Annotations, what: Meant) -> tuple[float | None, bool | None]:
    """The share of the map's energy inside the object, and whether its strongest pixel is there."""
    if what.box is None:
        return None, None
    placement = made.placement.scaled(_REGION_SIDE)
    reduced = replace(made, placement=placement)
    region = _region(said, what, placement.photo)
    return round(energy_inside(reduced, region), 4), pointing_game(reduced, region)


def _region(said: Annotations, what: Meant, size: tuple[int, int]) -> Tensor:
    """The object's mask, where it has one, else its box: bool of a reduced photo's size."""
    (H, W), (h, w) = said.size, size
    masks = said.instances.masks if said.instances is not None else None
    if masks is not None and what.number is not None:
        pixels = as_pixels(masks[what.number])
        rows = ((np.arange(h) + 0.5) * H / h).astype(np.intp).clip(max=H - 1)
        columns = ((np.arange(w) + 0.5) * W / w).astype(np.intp).clip(max=W - 1)
        if pixels.any():
            return torch.from_numpy(pixels[np.ix_(rows, columns)])
    assert what.box is not None
    x1, y1, x2, y2 = what.box
    return box_region((x1 * w / W, y1 * h / H, x2 * w / W, y2 * h / H), size)


def checked(model: PhotoModel, photo: Kept, one: Explained, go_on: Callable[..., None]) -> dict[str, Any]:
    """Deletion and insertion of an explanation, and the same of pixels in random order."""
    began = time.perf_counter()
    steps = _STEPS if isinstance(model, Classifier) else _STEPS_OF_DETECTORS
    said = reported(model, photo, one.thresholds, parts=True)
    subject = photo.subject.seen_by(chosen_model(model, one.thresholds), [said])
    changed = ChangedImages(subject, [one.objective])
    curves = []
    for order in (strongest_first(one.explanation), by_chance(changed.frame, seed=0)):
        for insert in (False, True):
            curves.append(changed.curve(str(one.objective), order, steps, insert=insert))
            go_on()
    deleted, inserted, deleted_by_chance, inserted_by_chance = curves
    better = [deleted.area < deleted_by_chance.area, inserted.area > inserted_by_chance.area]
    return {
        "deletion": _curve_json(deleted),
        "insertion": _curve_json(inserted),
        "random_deletion": round(deleted_by_chance.area, 4),
        "random_insertion": round(inserted_by_chance.area, 4),
        "passes": any(better),
        "sentence": _verdict(*better),
        "seconds": round(time.perf_counter() - began, 3),
    }


def _verdict(deletion_better: bool, insertion_better: bool) -> str:
    if deletion_better and insertion_better:
        return "The map finds the pixels that matter: hiding them first hurts, and showing them first helps."
    if deletion_better:
        return "Hiding the map's pixels first hurts more than chance does; showing them first helps no more."
    if insertion_better:
        return "Showing the map's pixels first helps more than chance does; hiding them first hurts no more."
    return "The map orders the pixels no better than chance; do not trust it here."


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {
        "shares": [round(v, 4) for v in curve.shares],
        "values": [round(v, 4) if math.isfinite(v) else 0.0 for v in curve.values],
        "area": round(curve.area, 4) if math.isfinite(curve.area) else 0.0,
    }


def model_json(model: PhotoModel, methods: list[dict[str, Any]], parts: list[str]) -> dict[str, Any]:
    """The model as the page gets it, but for the limits."""
    names = next((one.names for one in model.classes.keypoints if one is not None), ())
    return {
        "name": model.name,
        "task": model.task,
        "classes": list(model.classes.names),
        "thresholds": thresholds_of(model),
        "parts": parts,
        "methods": methods,
        # Grad-CAM's weights are of a whole channel, so that it also lights up other objects; ODAM keeps to the one
        "default_method": "odam" if parts else "grad_cam",
        "keypoints": list(names) if "keypoint" in parts else [],
        "device": str(model.device),
    }
