"""Frozen normalisation folded into convolutions: the same function."""

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from pellucid.models.norms import FoldedConv, FrozenNorm, freeze_norms


class Small(nn.Module):
    """A convolution with its norm, one whose output two layers read, and a norm without convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 4, 3, bias=True)
        self.norm = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1)
        self.after = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(self.first(x))).relu()
        out: Tensor = self.after(self.twice(self.twice(x)))
        return out


def _lively(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            assert module.running_var is not None
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return network.eval()


def test_only_what_may_be_folded_is() -> None:
    network = _lively(Small()).double()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    expected = network(x).detach()
    frozen = freeze_norms(copy.deepcopy(network), x)
    assert isinstance(frozen.conv, FoldedConv)
    assert not isinstance(frozen.twice, FoldedConv)
    assert [m.folded for m in frozen.modules() if isinstance(m, FrozenNorm)] == [False, True, False]
    torch.testing.assert_close(frozen(x), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(frozen.train()(x), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "mobilenetv3_small_050"])
def test_the_same_function_and_the_same_keys(name: str) -> None:
    network = timm.create_model(name, pretrained=False).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    network.train()(x)  # statistics that keep signals alive
    network.eval()
    expected = network(x).detach()
    frozen = freeze_norms(copy.deepcopy(network), x)
    torch.testing.assert_close(frozen(x), expected, atol=1e-9, rtol=1e-9)
    own = [key for key in network.state_dict() if not key.endswith("num_batches_tracked")]
    assert list(frozen.state_dict()) == own
    assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())


def test_gradients_reach_the_weights_and_the_input() -> None:
    network = _lively(Small()).double()
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    frozen = freeze_norms(copy.deepcopy(network), x.detach())
    network(x).square().sum().backward()
    expected, weights = x.grad, network.conv.weight.grad
    x.grad = None
    frozen(x).square().sum().backward()
    torch.testing.assert_close(x.grad, expected)
    torch.testing.assert_close(frozen.conv.weight.grad, weights)


def test_what_is_kept_is_forgotten_when_weights_change() -> None:
    x = torch.rand(1, 3, 8, 8)
    frozen = freeze_norms(_lively(Small()), x)
    with torch.inference_mode():
        before = frozen(x)
        frozen(x)
    with torch.no_grad():
        frozen.conv.weight.mul_(2)
        frozen.norm.running_mean.add_(1)
    with torch.inference_mode():
        kept = frozen(x)
    fresh = freeze_norms(_lively(Small()), x)
    fresh.load_state_dict(frozen.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(kept, fresh(x))
    assert not torch.equal(before, kept)


def test_a_copy_folds_its_own() -> None:
    x = torch.rand(1, 3, 8, 8)
    frozen = freeze_norms(_lively(Small()), x)
    with torch.no_grad():
        frozen(x)
        other = copy.deepcopy(frozen)
        other.conv.weight.zero_()
        other.norm.bias.zero_()
        assert not torch.equal(other(x), frozen(x))
        assert other.conv._norm[0] is other.norm
