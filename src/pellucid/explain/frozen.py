"""Running a frozen network many times: weights laid out once, batch normalisation as a factor and a shift."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@contextmanager
def channels_last(network: nn.Module) -> Iterator[None]:
    """Within it convolution weights lie in memory as convolutions of channels-last images want them.

    Else each of them is copied into that layout at every call. Afterwards the parameters hold the very memory that they
    held before.
    """
    before = [(p, p.data) for p in network.parameters() if p.ndim == 4]
    try:
        for parameter, data in before:
            parameter.data = data.contiguous(memory_format=torch.channels_last)
        yield
    finally:
        for parameter, data in before:
            parameter.data = data


class FrozenNormalisation(TorchFunctionMode):
    """While active, batch normalisation in evaluation mode is one multiplication and addition.

    The same function, to rounding, and many times faster on the way back: PyTorch's own computes sums for gradients of
    the statistics that nobody asked for. For a network whose parameters do not change while it is active.
    """

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._alive: list[Any] = []  # an identity means something only as long as its owner lives

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.batch_norm:
            return func(*args, **kwargs)
        return self._batch_norm(*args, **kwargs)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        learns = any(t is not None and t.requires_grad for t in (weight, bias))
        if training or learns or running_mean is None or running_var is None:
            return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        key = (id(running_mean), id(running_var), id(weight), id(bias))
        if key not in self._known:
            self._alive += [running_mean, running_var, weight, bias]
            scale = (running_var + eps).rsqrt()
            scale = scale if weight is None else scale * weight
            shift = -running_mean * scale if bias is None else bias - running_mean * scale
            self._known[key] = (scale.detach(), shift.detach())
        scale, shift = self._known[key]
        shape = (-1, *[1] * (input.ndim - 2))
        return torch.addcmul(shift.view(shape), input, scale.view(shape))
