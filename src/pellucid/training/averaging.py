"""The running average of a model's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from pellucid.training.recipe import Average


class RunningAverage:
    """An exponential moving average of a module's parameters and floating buffers; whole numbers are just copied.

    Parameters that do not learn stay what they are. ``updates`` counts, for the ramp of the decay.
    """

    def __init__(self, module: nn.Module, settings: Average) -> None:
        self.settings = settings
        self.updates = 0
        self.tensors = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def decay(self) -> float:
        """The decay of the next update."""
        return min(self.settings.decay, (1 + self.updates) / (self.settings.ramp + self.updates))

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Moves the average towards the module."""
        share = 1 - self.decay()
        self.updates += 1
        floats: tuple[list[Tensor], list[Tensor]] = ([], [])
        for name, value in module.state_dict().items():
            own = self.tensors.get(name)
            if own is None or own.shape != value.shape:  # added meanwhile, by a stage
                self.tensors[name] = value.detach().clone()
            elif own.dtype.is_floating_point:
                floats[0].append(own)
                floats[1].append(value.detach())
            else:
                own.copy_(value)
        if floats[0]:
            torch._foreach_lerp_(floats[0], floats[1], share)

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within it the module has the averaged weights; afterwards its own, bit for bit."""
        own = {name: value.detach().clone() for name, value in module.state_dict().items()}
        self._copy(module, self.tensors)
        try:
            yield
        finally:
            self._copy(module, own)

    @staticmethod
    @torch.no_grad()
    def _copy(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        for name, value in module.state_dict().items():
            if name in tensors:
                value.copy_(tensors[name])

    def state_dict(self) -> dict[str, object]:
        """What a resumed training needs."""
        return {"updates": self.updates, "tensors": self.tensors}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """The inverse of ``state_dict``."""
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        tensors: Mapping[str, Tensor] = state["tensors"]  # type: ignore[assignment]
        place = {name: value.device for name, value in self.tensors.items()}
        default = next(iter(place.values()), torch.device("cpu"))
        self.tensors = {name: value.to(place.get(name, default)) for name, value in tensors.items()}
