"""Opening a network up: objectives, watching layers, attribution, faithfulness, adversarial examples."""

from pellucid.explain.adversarial import Adversarial, adversarial
from pellucid.explain.attribution import METHODS, Explanation, attribute, attribute_all
from pellucid.explain.faithfulness import Faithfulness, check, deletion, energy_inside, insertion, pointing_game
from pellucid.explain.kernels import first_kernels
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
    "Adversarial",
    "Explanation",
    "Faithfulness",
    "Objective",
    "Watch",
    "adversarial",
    "attribute",
    "attribute_all",
    "channel",
    "check",
    "class_logit",
    "deletion",
    "direction",
    "energy_inside",
    "first_kernels",
    "insertion",
    "layer",
    "neuron",
    "of_predictions",
    "pointing_game",
    "watch",
]
