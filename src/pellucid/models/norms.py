"""Frozen batch normalisation, folded into the convolution before it: the same function for less time."""

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import pad_same
from torch import Tensor, nn


class FrozenNorm(nn.Module):
    """Batch normalisation whose statistics, weight and bias stay as they are, and the activation that came with it.

    They are buffers under their usual names, so that checkpoints fit. Where ``folded``, the convolution before it has
    done the arithmetic already, and only the activation is left.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        ones = torch.ones(norm.num_features)
        weight, bias = (None if p is None else p.detach().clone() for p in (norm.weight, norm.bias))
        mean, variance = (None if b is None else b.detach().clone() for b in (norm.running_mean, norm.running_var))
        self.register_buffer("weight", ones if weight is None else weight)
        self.register_buffer("bias", 0 * ones if bias is None else bias)
        self.register_buffer("running_mean", 0 * ones if mean is None else mean)
        self.register_buffer("running_var", ones.clone() if variance is None else variance)
        self.eps = norm.eps
        self.act: nn.Module = getattr(norm, "act", None) or nn.Identity()
        self.folded = False

    def affine(self) -> tuple[Tensor, Tensor]:
        """The factor and the shift of each channel."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor) -> Tensor:
        if not self.folded:
            scale, shift = self.affine()
            x = torch.addcmul(shift[:, None, None], x, scale[:, None, None])
        out: Tensor = self.act(x)
        return out


class FoldedConv(nn.Conv2d):
    """A convolution that does the arithmetic of the frozen normalisation after it."""

    @classmethod
    def of(cls, conv: nn.Conv2d, norm: FrozenNorm) -> "FoldedConv":
        """In place of ``conv``, with its own parameters; ``norm`` is marked as folded."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.__dict__.update({k: v for k, v in conv.__dict__.items() if not k.startswith("_")})
        made._reversed_padding_repeated_twice = conv._reversed_padding_repeated_twice
        made.weight, made.bias = conv.weight, conv.bias
        made._pads_as_tensorflow = type(conv).__name__ == "Conv2dSame"
        made._norm = [norm]  # in a list, so that it counts as a module of its own place alone
        made._kept = None
        norm.folded = True
        return made

    _pads_as_tensorflow: bool
    _norm: list[FrozenNorm]
    _kept: tuple[Any, Tensor, Tensor, list[Tensor | None]] | None

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self._folded()
        if self._pads_as_tensorflow:
            x = pad_same(x, list(self.kernel_size), list(self.stride), list(self.dilation))
            return F.conv2d(x, weight, bias, self.stride, (0, 0), self.dilation, self.groups)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}  # a copy folds its own

    def _folded(self) -> tuple[Tensor, Tensor]:
        if self.weight.requires_grad and torch.is_grad_enabled():
            return self._multiplied()
        norm = self._norm[0]
        parts = (self.weight, self.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var)
        # A tensor counts its changes in place. What was folded is held, so that no other can take its address.
        key = tuple(
            None if t is None else (t.data_ptr(), -1 if t.is_inference() else t._version, t.dtype) for t in parts
        )
        if self._kept is None or self._kept[0] != (key, norm.eps):
            with torch.inference_mode(False), torch.no_grad():
                held = [None if t is None else t.detach() for t in parts]
                self._kept = ((key, norm.eps), *self._multiplied(), held)
        return self._kept[1], self._kept[2]

    def _multiplied(self) -> tuple[Tensor, Tensor]:
        scale, shift = self._norm[0].affine()
        bias = shift if self.bias is None else shift + self.bias * scale
        weight = self.weight * scale[:, None, None, None]
        return weight, bias


def freeze_norms(network: nn.Module, example: Tensor, eps: float | None = None) -> nn.Module:
    """Replaces every batch normalisation by a frozen one, folded into the convolution whose output it takes.

    ``example``: a small input, by which is found out which convolution that is. ``eps``: what is added to the variance,
    None for what each adds itself. Returns the network, changed.
    """
    pairs = _pairs(network, example)
    names = {module: name for name, module in network.named_modules()}
    for norm in [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]:
        frozen = FrozenNorm(norm)
        frozen.eps = norm.eps if eps is None else eps
        _replace(network, names[norm], frozen)
        if norm in pairs:
            conv = pairs[norm]
            _replace(network, names[conv], FoldedConv.of(conv, frozen))
    return network


def _pairs(network: nn.Module, example: Tensor) -> dict[nn.Module, nn.Conv2d]:
    """The normalisations that follow a convolution at once, each the only one of it."""
    pairs: dict[nn.Module, nn.Conv2d] = {}
    last: list[tuple[nn.Conv2d, Tensor]] = []
    calls: dict[nn.Module, int] = {}

    def after_conv(module: nn.Module, given: Any, output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        calls[module] = calls.get(module, 0) + 1
        last[:] = [(module, output)]

    def before_norm(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        calls[module] = calls.get(module, 0) + 1
        if last and last[0][1] is given[0]:
            pairs[module] = last[0][0]
        last.clear()

    hooks: list[Any] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after_conv))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(before_norm))
    training = [(m, m.training) for m in network.modules()]
    try:
        network.eval()
        with torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in training:
            module.training = mode
    return {norm: conv for norm, conv in pairs.items() if calls[norm] == calls[conv] == 1}


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(network.get_submodule(parent), own, module)
