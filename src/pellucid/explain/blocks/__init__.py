"""The building blocks of one photo (Olah et al. 2018): the activation grid, channel attribution, neuron groups."""

from pellucid.explain.blocks.channels import ChannelAttribution, channel_attribution
from pellucid.explain.blocks.grid import ActivationGrid, activation_grid
from pellucid.explain.blocks.groups import NeuronGroups, neuron_groups

__all__ = [
    "ActivationGrid",
    "ChannelAttribution",
    "NeuronGroups",
    "activation_grid",
    "channel_attribution",
    "neuron_groups",
]
