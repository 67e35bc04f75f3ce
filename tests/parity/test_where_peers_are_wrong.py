"""Networks on which captum and pytorch-grad-cam give the plain gradient for guided backpropagation, with no warning.

The reference is a copy of each network in which this file's own rectifier stands wherever PyTorch's functions are
called.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import captum.attr
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from pytorch_grad_cam import GuidedBackpropReLUModel
from torch import Tensor, nn
from torchvision import models

from pellucid import PellucidError, explain

from .differences import LIMIT, relative

CLASS = 3
RULES = ["deconvnet", "guided_backprop"]


def image(height: int = 64, width: int = 64) -> Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(2))


def plain_gradient(network: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(network(x)[:, CLASS].sum(), x)[0]


class Ruled(torch.autograd.Function):
    """The reference rectifier: its backward pass is the rule, in full."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float, rule: str) -> Tensor:
        ctx.save_for_backward((x > 0) & (x < top))
        ctx.rule = rule
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, arriving: Tensor) -> Any:
        (active,) = ctx.saved_tensors
        passed = arriving * (arriving > 0)
        return (passed * active if ctx.rule == "guided_backprop" else passed), None, None


def reference(network: nn.Module, x: Tensor, rule: str) -> Tensor:
    """The rule's gradient, PyTorch's rectifier functions replaced for the time of one forward pass."""
    calls = 0

    def ruled(top: float) -> Callable[..., Tensor]:
        def act(given: Tensor, *_: Any, **__: Any) -> Tensor:
            nonlocal calls
            calls += 1
            return Ruled.apply(given, top, rule)

        return act

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "relu", ruled(torch.inf))
        patch.setattr(F, "relu6", ruled(6.0))
        patch.setattr(F, "hardtanh", ruled(6.0))
        patch.setattr(torch, "relu", ruled(torch.inf))
        gradient = plain_gradient(copy.deepcopy(network), x)
    assert calls > 5, "the network did not call what was replaced"
    return gradient


def captums(network: nn.Module, x: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its hooks, never that they missed
        return captum.attr.GuidedBackprop(copy.deepcopy(network)).attribute(x.clone().requires_grad_(), CLASS)


def grad_cams(network: nn.Module, x: Tensor) -> Tensor:
    peer = GuidedBackpropReLUModel(copy.deepcopy(network), torch.device("cpu"))
    return torch.from_numpy(np.ascontiguousarray(peer(x.clone(), CLASS).transpose(2, 0, 1)))[None]


def build(name: str, shaken: Callable[..., nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    return shaken(getattr(models, name)(num_classes=10, **options))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["googlenet", "densenet121", "mobilenet_v2"])
def test_the_rule_holds_on_every_rectifier_of(name: str, rule: str, shaken: Callable[..., nn.Module]) -> None:
    network, x = build(name, shaken), image()
    ours = explain.attribute(network, x, CLASS, method=rule).frame_map
    assert relative(ours, reference(network, x, rule)) <= LIMIT


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v2"])
def test_where_both_peers_give_the_plain_gradient_ours_is_not_it(name: str, shaken: Callable[..., nn.Module]) -> None:
    network, x = build(name, shaken), image()
    plain = plain_gradient(network, x)
    assert relative(captums(network, x), plain) <= LIMIT
    assert relative(grad_cams(network, x), plain) <= LIMIT
    assert relative(explain.attribute(network, x, CLASS, method="guided_backprop").frame_map, plain) > 0.5


def test_on_densenet_whose_last_rectifier_is_functional_the_peers_miss_it(shaken: Callable[..., nn.Module]) -> None:
    network, x = build("densenet121", shaken), image()
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # captum can't hook in-place ones
    right = reference(network, x, "guided_backprop")
    assert relative(captums(network, x), right) > 0.01
    assert relative(grad_cams(network, x), right) > 0.01
    assert relative(explain.attribute(network, x, CLASS, method="guided_backprop").frame_map, right) <= LIMIT


@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop", "guided_grad_cam"])
def test_convnext_has_no_rectifier_and_the_error_names_its_gelu(method: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model("convnext_atto", num_classes=10).eval()
    with pytest.raises(PellucidError, match="GELU"):
        explain.attribute(network, image(), CLASS, method=method)


def test_where_ours_refuses_gelu_the_peers_give_the_plain_gradient() -> None:
    torch.manual_seed(0)
    network, x = timm.create_model("convnext_atto", num_classes=10).eval(), image()
    plain = plain_gradient(network, x)
    assert relative(captums(network, x), plain) <= LIMIT
    assert relative(grad_cams(network, x), plain) <= LIMIT


# The rules written out by hand on a small network, layer by layer.

ACTS: dict[str, tuple[Callable[[], Callable[[Tensor], Tensor]], float]] = {
    "F.relu": (lambda: F.relu, torch.inf),
    "F.relu in place": (lambda: lambda x: F.relu(x, inplace=True), torch.inf),
    "F.relu_": (lambda: F.relu_, torch.inf),
    "torch.relu": (lambda: torch.relu, torch.inf),
    "torch.relu_": (lambda: torch.relu_, torch.inf),
    "Tensor.relu": (lambda: lambda x: x.relu(), torch.inf),
    "Tensor.relu_": (lambda: lambda x: x.relu_(), torch.inf),
    "Tensor.clamp": (lambda: lambda x: x.clamp(min=0), torch.inf),
    "Tensor.clamp_": (lambda: lambda x: x.clamp_(0), torch.inf),
    "torch.clamp": (lambda: lambda x: torch.clamp(x, min=0.0), torch.inf),
    "clamp_min": (lambda: lambda x: x.clamp_min(0), torch.inf),
    "torch.clip": (lambda: lambda x: torch.clip(x, 0, 6), 6.0),
    "F.threshold": (lambda: lambda x: F.threshold(x, 0, 0), torch.inf),
    "nn.Threshold in place": (lambda: nn.Threshold(0, 0, inplace=True), torch.inf),
    "nn.ReLU, reused": (lambda: nn.ReLU(), torch.inf),
    "nn.ReLU in place, reused": (lambda: nn.ReLU(inplace=True), torch.inf),
    "nn.ReLU6": (lambda: nn.ReLU6(), 6.0),
    "nn.ReLU6 in place": (lambda: nn.ReLU6(inplace=True), 6.0),
    "F.relu6": (lambda: F.relu6, 6.0),
    "F.hardtanh": (lambda: lambda x: F.hardtanh(x, 0.0, 6.0), 6.0),
    "F.hardtanh_": (lambda: lambda x: F.hardtanh_(x, 0.0, 6.0), 6.0),
    "clamp to [0, 6]": (lambda: lambda x: x.clamp(0, 6), 6.0),
    "relu, then in place": (lambda: lambda x: F.relu6(x).add_(0), 6.0),
    "clamp, then in place": (lambda: lambda x: x.clamp(min=0).add_(0), torch.inf),
    "a view, in place": (lambda: lambda x: _relu_of(x, lambda y: y.view_as(y)), torch.inf),
    "a slice, in place": (lambda: lambda x: _relu_of(x, lambda y: y[:, 0:]), torch.inf),
}


def _relu_of(x: Tensor, view: Callable[[Tensor], Tensor]) -> Tensor:
    x = x * 1
    F.relu(view(x), inplace=True)
    return x


class ByHand(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.inner = nn.Linear(6 * 8 * 10, 12)
        self.head = nn.Linear(12, 4)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(4 * self.conv(x))
        x = self.act(self.inner(x.flatten(1))[:, :, None, None])
        return self.head(x.flatten(1))

    def gradient(self, x: Tensor, rule: str, top: float) -> Tensor:
        """The rule's gradient of a logit with matrices alone; no autograd."""
        z1 = 4 * F.conv2d(x, self.conv.weight, self.conv.bias, padding=1)
        z2 = z1.clamp(0, top).flatten(1) @ self.inner.weight.T + self.inner.bias
        assert bool((z1 > top).any()) or top == torch.inf, "no unit is above the cap, so the cap is untested"

        def back(arriving: Tensor, z: Tensor) -> Tensor:
            passed = arriving.clamp(min=0) if rule != "plain" else arriving
            return passed if rule == "deconvnet" else passed * ((z > 0) & (z < top))

        r2 = back(self.head.weight[CLASS].expand(len(x), -1), z2)
        r1 = back((r2 @ self.inner.weight).view_as(z1), z1)
        return F.conv_transpose2d(4 * r1, self.conv.weight, padding=1)


@pytest.mark.parametrize("name", list(ACTS))
def test_rules_written_out_by_hand(name: str) -> None:
    act, top = ACTS[name]
    network = ByHand(act()).double()
    x = 3 * torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    expected = {rule: network.gradient(x, rule, top).detach() for rule in ("plain", "deconvnet", "guided_backprop")}
    assert relative(expected["deconvnet"], expected["plain"]) > 0.1
    assert relative(expected["guided_backprop"], expected["plain"]) > 0.1
    for rule in RULES:
        ours = explain.attribute(network, x, CLASS, method=rule).frame_map
        assert relative(ours, expected[rule]) <= 1e-6, rule
    plain = explain.attribute(network, x, CLASS, method="saliency").frame_map
    assert relative(plain, expected["plain"].abs().amax(1)) <= 1e-6
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (F.gelu, "GELU"),
        (F.silu, "SiLU"),
        (nn.Hardswish(), "Hardswish"),
        (nn.LeakyReLU(inplace=True), "LeakyReLU"),
        (nn.PReLU(), "PReLU"),
        (nn.ELU(inplace=True), "ELU"),
        (nn.SELU(inplace=True), "SELU"),
        (nn.CELU(), "CELU"),
        (nn.Mish(), "Mish"),
        (nn.Softplus(), "Softplus"),
        (nn.RReLU(inplace=True), "RReLU"),
        (F.hardtanh, "Hardtanh"),
        (nn.LogSigmoid(), "LogSigmoid"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("rule", RULES)
def test_other_activations_are_refused_by_name(act: Callable[[Tensor], Tensor], name: str, rule: str) -> None:
    x = torch.randn(1, 3, 8, 10)
    with pytest.raises(PellucidError, match=name):
        explain.attribute(ByHand(act), x, CLASS, method=rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_network_without_any_activation_is_refused(rule: str) -> None:
    with pytest.raises(PellucidError, match="has none"):
        explain.attribute(ByHand(lambda x: x), torch.randn(1, 3, 8, 10), CLASS, method=rule)


@pytest.mark.parametrize("rule", RULES)
def test_gates_keep_their_own_gradient(rule: str) -> None:
    """A sigmoid that scales a branch is no rectifier: only the ReLU before it has the rule."""

    class Gated(ByHand):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.sigmoid(x.mean())

    network, x = Gated(F.relu), torch.randn(1, 3, 8, 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "relu", lambda given: Ruled.apply(given, torch.inf, rule))
        expected = plain_gradient(Gated(lambda given: F.relu(given)), x)
    assert relative(explain.attribute(network, x, CLASS, method=rule).frame_map, expected) <= LIMIT


@pytest.mark.parametrize("method", [*RULES, "saliency", "grad_cam", "guided_grad_cam"])
@pytest.mark.parametrize("act", ["F.relu", "F.relu in place", "nn.ReLU6", "Tensor.clamp"])
def test_checkpointed_networks_have_the_map_of_plain_ones(act: str, method: str) -> None:
    from torch.utils.checkpoint import checkpoint

    class Deep(nn.Module):
        def __init__(self, saves_memory: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.c = (nn.Conv2d(n, 8, 3, padding=1) for n in (3, 8, 8))
            self.head, self.act, self.saves_memory = nn.Linear(8, 4), ACTS[act][0](), saves_memory

        def block(self, x: Tensor) -> Tensor:
            return self.act(self.c(self.act(self.b(self.act(self.a(x))))))

        def forward(self, x: Tensor) -> Tensor:
            x = checkpoint(self.block, x, use_reentrant=False) if self.saves_memory else self.block(x)
            return self.head(x.mean((2, 3)))

    layer = "b" if "cam" in method else None
    maps = [explain.attribute(Deep(saves), image(16, 16), 1, method=method, layer=layer) for saves in (True, False)]
    assert relative(maps[0].frame_map, maps[1].frame_map) <= 1e-6
