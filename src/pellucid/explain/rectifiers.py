"""Rules for the gradient of the rectifier: plain backpropagation, deconvnet, guided backpropagation.

With x the input of a ReLU and R the gradient that arrives at its output, what is passed on is

- backpropagation: R · [x > 0];
- deconvnet: R · [R > 0] (Zeiler & Fergus 2014, section 2.1);
- guided backpropagation: R · [x > 0] · [R > 0] (Springenberg et al. 2015, section 3.4);
- redirected: for an image where backpropagation passes on nothing at all, R except where x ≤ 0 and R would lower it
  further, R being the gradient of a loss (the library of Olah et al. 2017): so a dead unit gets a gradient to begin
  with.

The rules live in a mode that sees every torch function a network calls, so they hold for ReLU modules, functional
ReLUs, in-place and reused ones, ReLU6 and clamps at zero alike, with nothing in the network replaced.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid.errors import PellucidError

Rule = Literal["deconvnet", "guided_backprop", "redirected"]


class UndefinedMethodError(PellucidError):
    """The method asked for is not defined on this network, whatever the photo."""


_RULE_TITLES = {
    "deconvnet": "deconvnet",
    "guided_backprop": "guided backpropagation",
    "redirected": "the redirected gradient",
}


class _Rectify(torch.autograd.Function):
    """min(max(x, 0), cap) with a gradient rule of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cap: float | None, rule: Rule, in_place: bool, keeps_output: bool) -> Tensor:
        if in_place:
            ctx.mark_dirty(x)
            output = x.clamp_(0, cap) if cap is not None else x.relu_()
        else:
            output = x.clamp(0, cap) if cap is not None else x.relu()
        ctx.cap, ctx.rule = cap, rule
        # What PyTorch's own function keeps, whatever the rule: then the same in-place operations may follow, and a
        # checkpoint (torch.utils.checkpoint), which runs plain functions again on the way back, finds what it expects.
        # Input and output lie strictly between 0 and the cap in the same places.
        ctx.save_for_backward(output if keeps_output else x)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        if ctx.rule == "redirected":
            return _redirected(gradients[0], ctx.saved_tensors[0], ctx.cap), None, None, None, None
        positive = gradients[0].relu()
        if ctx.rule == "guided_backprop":
            (kept,) = ctx.saved_tensors
            if ctx.cap is None:
                positive = torch.ops.aten.threshold_backward(positive, kept, 0)
            else:
                positive = torch.ops.aten.hardtanh_backward(positive, kept, 0.0, ctx.cap)
        return positive, None, None, None, None


def _redirected(gradient: Tensor, kept: Tensor, cap: float | None) -> Tensor:
    if cap is None:
        plain = torch.ops.aten.threshold_backward(gradient, kept, 0)
    else:
        plain = torch.ops.aten.hardtanh_backward(gradient, kept, 0.0, cap)
    rest = tuple(range(1, plain.ndim))
    sums = plain.sum(rest) if rest else plain
    if sums.all():  # a sum that is not zero has terms that are not, and is far cheaper than looking at each
        return plain
    dead = (plain != 0).sum(rest) == 0 if rest else plain == 0
    # descending a loss, a positive gradient lowers
    pushed_out = (kept <= 0) & (gradient > 0)
    if cap is not None:
        pushed_out |= (kept >= cap) & (gradient < 0)
    redirected = gradient.masked_fill(pushed_out, 0)
    return torch.where(dead.view(-1, *[1] * (plain.ndim - 1)), redirected, plain)


def _bound(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _relu(x: Tensor, inplace: bool = False) -> tuple[float | None, bool]:
    return None, inplace


def _relu6(input: Tensor, inplace: bool = False) -> tuple[float | None, bool]:
    return 6.0, inplace


def _hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> tuple[float | None, bool] | None:
    return (float(max_val), inplace) if min_val == 0 and max_val > 0 else None


def _threshold(
    input: Tensor, threshold: float, value: float, inplace: bool = False
) -> tuple[float | None, bool] | None:
    return (None, inplace) if threshold == 0 and value == 0 else None


def _clamp(input: Tensor, min: Any = None, max: Any = None, out: Any = None) -> tuple[float | None, bool] | None:
    # A clamp to [0, width] keeps boxes in an image; only one with no upper bound, or ReLU6's, is an activation.
    if out is not None or _bound(min) != 0.0 or not (max is None or _bound(max) == 6.0):
        return None
    return _bound(max), False


def _in_place(reader: Callable[..., Any]) -> Callable[..., Any]:
    def read(*args: Any, **kwargs: Any) -> tuple[float | None, bool] | None:
        found = reader(*args, **kwargs)
        return None if found is None else (found[0], True)

    return read


# Every way in which PyTorch code writes a rectifier, and how to read (cap, in place) off the call's arguments.
_RECTIFIERS: dict[Any, Callable[..., Any]] = {
    F.relu: lambda input, inplace=False: _relu(input, inplace),
    torch.relu: lambda input: _relu(input),
    Tensor.relu: lambda self: _relu(self),
    torch.relu_: _in_place(lambda input: _relu(input)),
    Tensor.relu_: _in_place(lambda self: _relu(self)),
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
    F.hardtanh_: _in_place(_hardtanh),
    F.threshold: _threshold,
    torch.threshold: _threshold,
    torch.threshold_: _in_place(_threshold),
    torch.clamp: _clamp,
    Tensor.clamp: _clamp,
    torch.clip: _clamp,
    Tensor.clip: _clamp,
    torch.clamp_: _in_place(_clamp),
    Tensor.clamp_: _in_place(_clamp),
    torch.clamp_min: _clamp,
    Tensor.clamp_min: _clamp,
    torch.clamp_min_: _in_place(_clamp),
    Tensor.clamp_min_: _in_place(_clamp),
}

# Activations that are no rectifiers: the rules are not defined there. Gates (sigmoid, tanh, hardsigmoid) are left
# alone: they scale a branch, as in squeeze-and-excitation, and have their ordinary gradient.
_OTHER_ACTIVATIONS: dict[Any, str] = {
    F.gelu: "GELU",
    F.silu: "SiLU",
    F.mish: "Mish",
    F.hardswish: "Hardswish",
    F.elu: "ELU",
    F.elu_: "ELU",
    F.selu: "SELU",
    F.selu_: "SELU",
    torch.selu: "SELU",
    torch.selu_: "SELU",
    F.celu: "CELU",
    F.celu_: "CELU",
    torch.celu: "CELU",
    torch.celu_: "CELU",
    F.softplus: "Softplus",
    F.softsign: "Softsign",
    F.leaky_relu: "LeakyReLU",
    F.leaky_relu_: "LeakyReLU",
    F.prelu: "PReLU",
    torch.prelu: "PReLU",
    Tensor.prelu: "PReLU",
    F.rrelu: "RReLU",
    F.rrelu_: "RReLU",
    torch.rrelu: "RReLU",
    torch.rrelu_: "RReLU",
    F.glu: "GLU",
    F.logsigmoid: "LogSigmoid",
    F.hardshrink: "Hardshrink",
    F.softshrink: "Softshrink",
    F.tanhshrink: "Tanhshrink",
}


class RectifierRule(TorchFunctionMode):
    """While active, every rectifier passes gradients on by a rule; other activations are noted by name.

    Use it around the forward pass; the graph that the pass leaves carries the rule. ``rectifiers``: how many calls were
    given the rule. ``others``: the activations met for which the rule is not defined.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule: Rule = rule
        self.rectifiers = 0
        self.others: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        reader = _RECTIFIERS.get(func)
        if reader is None:
            if func in _OTHER_ACTIVATIONS:
                self.others.add(_OTHER_ACTIVATIONS[func])
            return func(*args, **kwargs)
        found = reader(*args, **kwargs)
        if found is None:
            if func is F.hardtanh:
                self.others.add("Hardtanh")
            return func(*args, **kwargs)
        self.rectifiers += 1
        cap, in_place = found
        x = args[0] if args else kwargs.get("input", kwargs.get("self"))
        if not (torch.is_grad_enabled() and x.requires_grad):
            return func(*args, **kwargs)
        if in_place and x._is_view():
            # autograd refuses a custom in-place function on some views; copying into the view is the same
            return x.copy_(_Rectify.apply(x, cap, self.rule, False, True))
        keeps_output = in_place or func in (F.relu, torch.relu, Tensor.relu)
        return _Rectify.apply(x, cap, self.rule, in_place, keeps_output)

    def check(self) -> None:
        """Raises UndefinedMethodError where the network that just ran has activations without such a rule."""
        title = _RULE_TITLES[self.rule]
        if self.others:
            names = " and ".join(sorted(self.others))
            raise UndefinedMethodError(
                f"{title} is defined for rectifiers (ReLU, ReLU6), and this network uses {names}; "
                "use saliency, smooth_grad, integrated_gradients or a CAM method"
            )
        if not self.rectifiers:
            raise UndefinedMethodError(
                f"{title} is defined for rectifiers (ReLU, ReLU6), and this network has none; "
                "use saliency, smooth_grad, integrated_gradients or a CAM method"
            )
