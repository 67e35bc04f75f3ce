"""What the modules of a network gave back during one pass: from which a default layer is chosen."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pellucid.explain.subject import Subject, untouched
from pellucid.explain.watching import first_tensor


@dataclass(frozen=True)
class Return:
    """One module's return: its name, the module, which of its calls it was (from 0), and its output's shape."""

    name: str
    module: nn.Module
    call: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Recorded:
    """All returns of a pass, in order.

    ``calls``: how often each module was called. ``entered``: every module as it was entered, with how many had
    returned by then.
    """

    returns: list[Return]
    calls: Counter[str]
    entered: list[tuple[nn.Module, int]]

    def text(self, one: Return) -> str:
        """A return's layer as a person names it: with its call where there were several."""
        return one.name if self.calls[one.name] == 1 else f"{one.name}#{one.call}"


def record_returns(subject: Subject) -> Recorded:
    """Runs the subject's first image through its model and records what every named module returned.

    Modules that return no tensor, or one of another batch size, are left out of the returns.
    """
    recorded = Recorded([], Counter(), [])
    handles = []

    def noting(name: str, module: nn.Module) -> Any:
        def note(_: nn.Module, __: object, output: object) -> None:
            call = recorded.calls[name]
            recorded.calls[name] += 1
            tensor = first_tensor(output)
            if tensor is not None and tensor.ndim and len(tensor) == 1:
                recorded.returns.append(Return(name, module, call, tuple(tensor.shape)))

        return note

    try:
        for name, module in subject.network.named_modules():
            if name:
                handles.append(module.register_forward_hook(noting(name, module)))
                enter = lambda module, _: recorded.entered.append((module, len(recorded.returns)))  # noqa: E731
                handles.append(module.register_forward_pre_hook(enter))
        with untouched(subject.model), torch.no_grad():
            subject.run(subject.frame[:1])
    finally:
        for handle in handles:
            handle.remove()
    return recorded
