"""The four steps in which Faster R-CNN was first trained: proposer and detector in turn, and then with one trunk."""

import copy
from collections.abc import Callable

from torch import nn

from pellucid.models.region.network import RegionNetwork
from pellucid.models.stages import Stage

EXTRA = ("initial.", "teacher.")
"""What the network holds during training alone: the trunk that it began with, and the network that proposes."""

_TRUNK = ("backbone.", "neck.")


class Alternation:
    """The steps of a network, and what learns in each.

    ``parts``: whose losses are taken now, 'proposals' or 'regions', both while nothing has begun. ``teacher``: whose
    proposals the second step learns from. Source: Ren et al., 'Faster R-CNN', NeurIPS 2015, section 3.2.
    """

    def __init__(self, network: RegionNetwork) -> None:
        self.network = network
        self.parts: tuple[str, ...] = ("proposals", "regions")

    @property
    def teacher(self) -> RegionNetwork | None:
        """The network whose proposals are learned from; None where they are the network's own."""
        found = self.network._modules.get("teacher")
        return found if isinstance(found, RegionNetwork) else None

    def stages(self) -> list[Stage]:
        """The four steps, equally long."""
        return [
            Stage("1 proposals", 0.25, _but("box_head.", "predictor.", "mask_head.", "keypoint_head."), self._first),
            Stage("2 regions", 0.25, _but("proposer.", *EXTRA), self._second),
            Stage("3 proposals, shared trunk", 0.25, lambda name: name.startswith("proposer."), self._third),
            Stage("4 regions, shared trunk", 0.25, _but("proposer.", *_TRUNK, *EXTRA), self._fourth),
        ]

    def _first(self) -> None:
        trunk = nn.ModuleDict({"backbone": copy.deepcopy(self.network.backbone)})
        if self.network.neck is not None:
            trunk["neck"] = copy.deepcopy(self.network.neck)
        self.network.add_module("initial", _still(trunk))
        self.parts = ("proposals",)

    def _second(self) -> None:
        initial = self.network.get_submodule("initial")
        del self.network._modules["initial"]
        self.network.add_module("teacher", _still(copy.deepcopy(self.network)))
        for name, part in initial.named_children():
            self.network.get_submodule(name).load_state_dict(part.state_dict())
        self.parts = ("regions",)

    def _third(self) -> None:
        del self.network._modules["teacher"]
        self.parts = ("proposals",)

    def _fourth(self) -> None:
        self.parts = ("regions",)


def _still(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False).eval()


def _but(*prefixes: str) -> Callable[[str], bool]:
    return lambda name: not name.startswith(prefixes)
