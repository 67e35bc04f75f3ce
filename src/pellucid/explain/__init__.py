"""Opening a network up: objectives, attribution and its faithfulness, synthesis, search, adversarial examples."""

from pellucid.explain.adversarial import Adversarial, adversarial
from pellucid.explain.attribution import METHODS, Explanation, attribute, attribute_all
from pellucid.explain.blocks import (
    ActivationGrid,
    ChannelAttribution,
    NeuronGroups,
    activation_grid,
    channel_attribution,
    neuron_groups,
)
from pellucid.explain.expressions import parse_objective
from pellucid.explain.faithfulness import Faithfulness, check, deletion, insertion
from pellucid.explain.influence import class_influence
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
from pellucid.explain.objects import box_edge, detection, instead_of, keypoint, mask, missed
from pellucid.explain.quick_test import QuickTest, quick_test
from pellucid.explain.receptive import ReceptiveField, receptive_fields
from pellucid.explain.regions import energy_inside, pointing_game
from pellucid.explain.search import Found, Hit, Ranking, search
from pellucid.explain.synthesis import Synthesis, caricature, deep_dream, interpolate, similarity, synthesize
from pellucid.explain.watching import Watch, watch

__all__ = [
    "METHODS",
    "ActivationGrid",
    "Adversarial",
    "ChannelAttribution",
    "Explanation",
    "Faithfulness",
    "Found",
    "Hit",
    "NeuronGroups",
    "Objective",
    "QuickTest",
    "Ranking",
    "ReceptiveField",
    "Synthesis",
    "Watch",
    "activation_grid",
    "adversarial",
    "attribute",
    "attribute_all",
    "box_edge",
    "caricature",
    "channel",
    "channel_attribution",
    "check",
    "class_influence",
    "class_logit",
    "deep_dream",
    "deletion",
    "detection",
    "direction",
    "energy_inside",
    "first_kernels",
    "insertion",
    "instead_of",
    "interpolate",
    "keypoint",
    "layer",
    "mask",
    "missed",
    "neuron",
    "neuron_groups",
    "of_predictions",
    "parse_objective",
    "pointing_game",
    "quick_test",
    "receptive_fields",
    "search",
    "similarity",
    "synthesize",
    "watch",
]
