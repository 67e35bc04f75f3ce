"""Opening a network up: objectives, attribution and its faithfulness, synthesis, search, adversarial examples."""

from pellucid.explain.adversarial import Adversarial, adversarial
from pellucid.explain.attribution import METHODS, Explanation, attribute, attribute_all
from pellucid.explain.expressions import parse_objective
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
from pellucid.explain.synthesis import Synthesis, caricature, deep_dream, interpolate, similarity, synthesize
from pellucid.explain.watching import Watch, watch

__all__ = [
    "METHODS",
    "Adversarial",
    "Explanation",
    "Faithfulness",
    "Objective",
    "Synthesis",
    "Watch",
    "adversarial",
    "attribute",
    "attribute_all",
    "caricature",
    "channel",
    "check",
    "class_logit",
    "deep_dream",
    "deletion",
    "direction",
    "energy_inside",
    "first_kernels",
    "insertion",
    "interpolate",
    "layer",
    "neuron",
    "of_predictions",
    "parse_objective",
    "pointing_game",
    "similarity",
    "synthesize",
    "watch",
]
