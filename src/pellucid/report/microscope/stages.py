"""The layers that a microscope shows where none are named: a network's first convolution and its stages."""

from dataclasses import dataclass

import torch
from torch import nn

from pellucid.errors import PellucidError
from pellucid.explain.grids import grid_shape
from pellucid.explain.returns import record_returns
from pellucid.explain.subject import Subject

LEAST_STAGES = 3
"""How many stages one depth of the network must have to be taken."""


@dataclass(frozen=True)
class _OnGrid:
    """A module's name, the module, and the grid (rows, columns) of its output."""

    name: str
    module: nn.Module
    grid: tuple[int, int]


def default_layers(model: nn.Module, size: tuple[int, int]) -> list[str]:
    """The first convolution and the stages of a network that takes images of ``size`` (h, w), in the order of the pass.

    Stages are the composed modules with weights, at the shallowest depth with at least three of them whose outputs
    cover the image: 'blocks.0' … of an EfficientNet or a vision transformer, 'layer1' … of a ResNet. A network without
    such (VGG, AlexNet) is cut before each loss of resolution. Found by one forward pass. Raises PellucidError where no
    layer's output covers the image.
    """
    subject = Subject.of_frames(model, torch.zeros(1, 3, *size))
    returns = _on_grids(subject, size)
    stages = _stages(returns)
    if not stages:
        stages = _last_of_each_resolution(returns)
        if not stages:
            raise PellucidError("this network has no layer whose activation covers the image; name some with --layers")
        return stages
    first = next((r.name for r in returns if isinstance(r.module, nn.Conv2d)), None)
    if first is None or any(first == name or first.startswith(f"{name}.") for name in stages):
        return stages
    return [first, *stages]


def _on_grids(subject: Subject, size: tuple[int, int]) -> list[_OnGrid]:
    """The modules called once whose outputs are grids of more than one position, in the order of their returns."""
    recorded = record_returns(subject)
    found = []
    for one in recorded.returns:
        grid = grid_shape(one.shape, size[0] / size[1])
        if recorded.calls[one.name] == 1 and grid is not None and grid[1] * grid[2] > 1:
            found.append(_OnGrid(one.name, one.module, grid[1:3]))
    return found


def _stages(returns: list[_OnGrid]) -> list[str]:
    composed = [r.name for r in returns if _computes(r.module) and any(r.module.children())]
    for depth in range(max((name.count(".") for name in composed), default=-1) + 1):
        here = [name for name in composed if name.count(".") == depth]
        if len(here) >= LEAST_STAGES:
            return here
    return []


def _computes(module: nn.Module) -> bool:
    """Whether there is a convolution or a linear layer inside: a normalisation with its activation is no stage."""
    return any(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) for m in module.modules())


def _last_of_each_resolution(returns: list[_OnGrid]) -> list[str]:
    # What pools is left out: the layer before it says where, and as much.
    leaves = [r for r in returns if not any(r.module.children()) and "pool" not in type(r.module).__name__.lower()]
    return [r.name for i, r in enumerate(leaves) if i + 1 == len(leaves) or leaves[i + 1].grid != r.grid]
