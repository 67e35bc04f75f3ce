"""The attribution methods that the page offers: which, how they are told, with which settings."""

from typing import Any

import torch

from pellucid.errors import PellucidError
from pellucid.explain import METHODS, layer
from pellucid.explain.attribution import Method, method_named
from pellucid.explain.forward import input_gradients
from pellucid.explain.grids import last_conv
from pellucid.explain.rectifiers import UndefinedMethodError
from pellucid.explain.subject import Subject
from pellucid.models import Classifier, PhotoModel
from pellucid.web.limits import AnswerError

ABOUT = {
    "saliency": "How strongly each pixel would change the value: the plain gradient.",
    "input_x_gradient": "The gradient times the pixel itself.",
    "smooth_grad": "The gradient, averaged over noisy copies of the photo.",
    "integrated_gradients": "Gradients added up on the way from black to the photo.",
    "deconvnet": "What is passed back where it is positive, at every rectifier.",
    "guided_backprop": "The gradient where both it and the activation are positive.",
    "grad_cam": "Where the layer's channels that matter most are active.",
    "grad_cam_plus_plus": "Grad-CAM with weights that favour several places.",
    "layer_cam": "Activation times gradient, place by place.",
    "odam": "Activation times gradient, place by place, of one object.",
    "guided_grad_cam": "Guided backpropagation where Grad-CAM is hot.",
    "occlusion": "How far the value falls when a square is covered.",
    "rise": "Where random masks that leave a pixel visible keep the value high.",
    "d_rise": "The same for an object: the masks that leave an object like it.",
}
"""One line a method."""

_RULED = ("deconvnet", "guided_backprop", "guided_grad_cam")
"""Those that change the rule of rectifiers, which not every network has."""

_QUICK_OF_OBJECTS = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "odam")
_SLOW_OF_CLASSES = ("occlusion", "rise", "smooth_grad", "integrated_gradients")

# A detector's pass takes a second on a processor: by the methods' own settings these would take many minutes.
_FOR_DETECTORS: dict[str, dict[str, Any]] = {
    "smooth_grad": {"samples": 4},
    "integrated_gradients": {"steps": 8},
    "rise": {"masks": 64, "cells": 10},
    "d_rise": {"masks": 64, "cells": 10},
}
_FOR_CLASSIFIERS: dict[str, dict[str, Any]] = {"rise": {"masks": 500}}
_WINDOWS = 4
"""How many windows of occlusion fit beside each other on a detector's shorter side."""


def methods_of(model: PhotoModel) -> list[Method]:
    """The methods for a model; those that are not defined for its network are left out, which takes a small pass."""
    ruled = _has_rectifiers(model)
    classifier = isinstance(model, Classifier)
    return [
        method
        for method in METHODS.values()
        if (ruled or method.name not in _RULED) and not (classifier and method.of_objects)
    ]


def _has_rectifiers(model: PhotoModel) -> bool:
    try:
        subject = Subject(model, torch.full((3, 64, 64), 0.5))
        subject = Subject.of_frames(model, subject.frame[..., :128, :128])
        input_gradients(subject, subject.frame, [layer(last_conv(subject))], rule="guided_backprop")
    except UndefinedMethodError:
        return False
    except PellucidError:
        return True  # whatever it is, it will be said where a method is used
    return True


def is_quick(model: PhotoModel, method: Method) -> bool:
    """Whether a method answers at once."""
    if isinstance(model, Classifier):
        return method.name not in _SLOW_OF_CLASSES
    return method.name in _QUICK_OF_OBJECTS


def method_json(model: PhotoModel, method: Method) -> dict[str, Any]:
    """A method as the page gets it."""
    return {
        "name": method.name,
        "title": method.title,
        "about": ABOUT.get(method.name, method.title),
        "layered": method.uses_layer,
        "quick": is_quick(model, method),
        "signed": method.signed,
    }


def asked_method(name: str, offered: list[Method]) -> Method:
    """The method that is meant. Raises PellucidError for an unknown one, AnswerError for one that is not offered."""
    method = method_named(name)
    if method not in offered:
        raise AnswerError(400, f"{method.title} is not defined for this model; choose another method")
    return method


def settings_of(model: PhotoModel, subject: Subject, method: Method) -> dict[str, Any]:
    """The settings with which a method answers while a person waits."""
    if isinstance(model, Classifier):
        return dict(_FOR_CLASSIFIERS.get(method.name, {}))
    if method.name == "occlusion":
        window = max(1, min(subject.frame.shape[-2:]) // _WINDOWS)
        return {"window": window, "stride": max(1, window * 2 // 3)}
    return dict(_FOR_DETECTORS.get(method.name, {}))
