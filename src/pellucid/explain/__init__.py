"""Opening a network up: objectives, watching layers, attribution, faithfulness, adversarial examples."""

from pellucid.explain.attribution import METHODS, Explanation, attribute, attribute_all
from pellucid.explain.objectives import (
    Objective,
    channel,
    class_logit,
    direction,
    layer,
    neuron,
    of_predictions,
)
from pellucid.explain.watching import Watch, watch

__all__ = [
    "METHODS",
    "Explanation",
    "Objective",
    "Watch",
    "attribute",
    "attribute_all",
    "channel",
    "class_logit",
    "direction",
    "layer",
    "neuron",
    "of_predictions",
    "watch",
]
