"""Against pytorch-grad-cam.

That package scales every map to [0, 1] by its least and largest value and resizes it with OpenCV; ours are scaled in
the same way before they are compared, and the unscaled maps of the layer's own grid (its ``get_cam_image``) are
compared too.

Its Grad-CAM++ adds 1e-6 to a denominator of squared gradients, which is far from negligible where a gradient is about
1e-3, as on these networks. Both sides therefore explain the logit times 1,000,000, in double precision: gradients then
dwarf the epsilon. The paper's formula has no epsilon, and ours none either.
"""

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, LayerCAM
from pytorch_grad_cam.base_cam import BaseCAM
from torch import Tensor, nn
from torchvision.models import resnet50 as torchvision_resnet50

from pellucid import explain
from pellucid.models.classification import Classifier

from .differences import LIMIT, relative

PEERS: dict[str, type[BaseCAM]] = {"grad_cam": GradCAM, "grad_cam_plus_plus": GradCAMPlusPlus, "layer_cam": LayerCAM}
CLASS = 7


def factor(method: str) -> float:
    return 1e6 if method == "grad_cam_plus_plus" else 1.0


def peer_maps(network: nn.Module, layer: str, method: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """The peer's maps (N, H, W) as it gives them, and its raw ones (N, h, w), rectified."""
    raw: list[np.ndarray] = []

    class Peer(PEERS[method]):  # type: ignore[misc]
        def get_cam_image(self, *args: object, **kwargs: object) -> np.ndarray:
            raw.append(super().get_cam_image(*args, **kwargs))
            return raw[-1]

    with Peer(network, [network.get_submodule(layer)]) as peer:
        scaled = peer(x.clone(), [lambda logits: factor(method) * logits[CLASS]] * len(x))
    network.zero_grad()  # what it leaves on the parameters
    return torch.from_numpy(scaled), torch.from_numpy(raw[0]).clamp(min=0)


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def networks(shaken: Callable[..., nn.Module], embedded: Classifier) -> dict[str, tuple[nn.Module, str]]:
    torch.manual_seed(0)
    resnet = shaken(torchvision_resnet50(num_classes=20), double=True)
    lite = timm.create_model("tf_efficientnet_lite0").eval()
    lite.load_state_dict(embedded.network.state_dict())
    return {"resnet50": (resnet, "layer4"), "tf_efficientnet_lite0": (lite.double(), "bn2")}


@pytest.mark.parametrize("method", list(PEERS))
@pytest.mark.parametrize("name", ["resnet50", "tf_efficientnet_lite0"])
def test_scaled_maps_are_those_of_pytorch_grad_cam(
    networks: dict[str, tuple[nn.Module, str]], image: Tensor, name: str, method: str
) -> None:
    network, layer = networks[name]
    theirs, raw = peer_maps(network, layer, method, image)
    objective = factor(method) * explain.class_logit(CLASS)
    ours = explain.attribute(network, image, objective, method=method, layer=layer).frame_map
    unscaled = F.interpolate(raw[:, None].double(), image.shape[-2:], mode="bilinear")[:, 0]
    assert relative(ours, unscaled) <= LIMIT
    low, high = ours.amin((1, 2), keepdim=True), ours.amax((1, 2), keepdim=True)
    assert relative((ours - low) / (high - low), theirs) <= LIMIT


def test_grad_cam_plus_plus_of_small_gradients_is_the_papers_where_the_peers_epsilon_is_not(
    networks: dict[str, tuple[nn.Module, str]], image: Tensor
) -> None:
    network, layer = networks["resnet50"]
    with torch.enable_grad():
        kept: list[Tensor] = []
        handle = network.get_submodule(layer).register_forward_hook(lambda *a: kept.append(a[2]))
        gradient, activation = torch.autograd.grad(network(image)[:, CLASS].sum(), kept[0])[0], kept[0].detach()
        handle.remove()
    assert float(gradient.abs().median()) < 1e-2, "gradients large enough to hide the epsilon: the case shows nothing"
    sums = activation.sum((2, 3), keepdim=True)
    # without the common factor g²: g² / (2 g² + Σ A g³)
    weights = (gradient.relu() / (2 + sums * gradient) * (gradient != 0)).sum((2, 3), keepdim=True)
    expected = F.interpolate((weights * activation).sum(1, keepdim=True).relu(), image.shape[-2:], mode="bilinear")
    ours = explain.attribute(network, image, CLASS, method="grad_cam_plus_plus", layer=layer).frame_map
    assert relative(ours, expected[:, 0]) <= LIMIT
