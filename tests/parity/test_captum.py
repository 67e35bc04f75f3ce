"""Against captum, on networks that it supports: modules of their own for every rectifier, none of them in place.

captum's modified backpropagation hooks ``nn.ReLU`` modules alone, so the embedded network, whose rectifiers are ReLU6,
is compared only by the methods that need no rectifier rule.
"""

import copy
from collections.abc import Callable
from typing import Any

import captum.attr
import pytest
import timm
import torch
from torch import Tensor, nn

from pellucid import explain
from pellucid.models.classification import Classifier

from .differences import LIMIT, relative

CLASS = 7


class Peer:
    """captum's counterpart of each of our methods, as (N, …) attributions of a class."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        self.network, self.layer = network, network.get_submodule(layer)

    def saliency(self, x: Tensor) -> Tensor:
        return captum.attr.Saliency(self.network).attribute(x, CLASS, abs=True).amax(1)

    def input_x_gradient(self, x: Tensor) -> Tensor:
        return captum.attr.InputXGradient(self.network).attribute(x, CLASS)

    def integrated_gradients(self, x: Tensor) -> Tensor:
        peer = captum.attr.IntegratedGradients(self.network)
        return peer.attribute(x, 0.0, CLASS, n_steps=6, method="gausslegendre", internal_batch_size=4)

    def deconvnet(self, x: Tensor) -> Tensor:
        return captum.attr.Deconvolution(self.network).attribute(x, CLASS)

    def guided_backprop(self, x: Tensor) -> Tensor:
        return captum.attr.GuidedBackprop(self.network).attribute(x, CLASS)

    def grad_cam(self, x: Tensor) -> Tensor:
        peer = captum.attr.LayerGradCam(self.network, self.layer)
        found = peer.attribute(x, CLASS, relu_attributions=True)
        return captum.attr.LayerAttribution.interpolate(found, tuple(x.shape[-2:]), interpolate_mode="bilinear")

    def guided_grad_cam(self, x: Tensor) -> Tensor:
        peer = captum.attr.GuidedGradCam(self.network, self.layer)
        return peer.attribute(x, CLASS, interpolate_mode="bilinear")

    def occlusion(self, x: Tensor) -> Tensor:
        peer = captum.attr.Occlusion(self.network)
        return peer.attribute(x, (3, 32, 32), (3, 32, 32), 0.0, CLASS)[:, 0]


OPTIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": 6},
    # windows that do not overlap, over a side that they divide: there captum's sum is our mean
    "occlusion": {"window": 32, "stride": 32, "fill": 0.0},
}
RULES = ["deconvnet", "guided_backprop", "guided_grad_cam"]
PLAIN = ["saliency", "input_x_gradient", "grad_cam"]
SUMS = ["integrated_gradients", "occlusion"]
"""Sums of many passes, or differences of them: compared in double precision, where rounding plays no part."""


def difference(network: nn.Module, layer: str, method: str, x: Tensor) -> float:
    theirs = getattr(Peer(network, layer), method)(x.clone().requires_grad_())
    ours = explain.attribute(
        network, x, CLASS, method=method, layer=layer if "cam" in method else None, **OPTIONS.get(method, {})
    )
    return relative(ours.frame_map, theirs)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def resnet50(shaken: Callable[..., nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = shaken(timm.create_model("resnet50", num_classes=20, zero_init_last=False))
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network


@pytest.fixture(scope="module")
def lite(embedded: Classifier) -> nn.Module:
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(embedded.network.state_dict())
    for module in network.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = False
    return network.eval()


@pytest.mark.parametrize("method", PLAIN + RULES)
def test_resnet50_is_attributed_as_by_captum(resnet50: nn.Module, image: Tensor, method: str) -> None:
    assert difference(resnet50, "layer4", method, image) <= LIMIT


@pytest.mark.parametrize("method", SUMS)
def test_sums_over_many_passes_are_captums(resnet50: nn.Module, image: Tensor, method: str) -> None:
    double = copy.deepcopy(resnet50).double()
    assert difference(double, "layer4", method, image[:1, :, :64, :64].double()) <= LIMIT


@pytest.mark.parametrize("layer", ["layer2.1.conv2", "layer3.0", "layer4.2.act3"])
def test_grad_cam_of_any_layer_is_captums(resnet50: nn.Module, image: Tensor, layer: str) -> None:
    assert difference(resnet50, layer, "grad_cam", image) <= LIMIT


@pytest.mark.parametrize("method", PLAIN)
def test_the_embedded_network_is_attributed_as_by_captum(lite: nn.Module, image: Tensor, method: str) -> None:
    assert difference(lite, "bn2", method, image) <= LIMIT


@pytest.mark.parametrize("method", SUMS)
def test_sums_over_the_embedded_network_are_captums(lite: nn.Module, image: Tensor, method: str) -> None:
    double = copy.deepcopy(lite).double()
    assert difference(double, "bn2", method, image[:1, :, :64, :64].double()) <= LIMIT


@pytest.mark.parametrize("method", RULES)
def test_reused_in_place_rectifiers_get_the_map_of_separate_ones(
    resnet50: nn.Module, image: Tensor, method: str
) -> None:
    """torchvision's ResNet calls one in-place ReLU three times a block, which captum can't do; timm's has three."""
    from torchvision.models import resnet50 as build

    reused = build(num_classes=20)
    names = dict(zip(reused.state_dict(), resnet50.state_dict().values(), strict=True))
    reused.load_state_dict(names)
    assert reused.relu.inplace
    theirs = getattr(Peer(resnet50, "layer4"), method)(image.clone().requires_grad_())
    layer = "layer4" if "cam" in method else None
    ours = explain.attribute(reused.eval(), image, CLASS, method=method, layer=layer)
    assert relative(ours.frame_map, theirs) <= LIMIT
