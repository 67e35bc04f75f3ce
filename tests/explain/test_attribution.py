"""Attribution on networks of every kind: what comes back, what it must equal, and that the model is left as it was."""

import copy
import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor, nn

from pellucid import PellucidError
from pellucid.explain import METHODS, attribute, attribute_all, channel, class_logit, layer, neuron, watch
from pellucid.explain.attribution import method_named, resolve_layer
from pellucid.explain.grids import as_grid, grid_shape
from pellucid.explain.subject import Subject
from pellucid.models.classification import Classifier

from .networks import CLASSES, Linear, Quadrant, Small, random_image

OF_CLASSES = [name for name, method in METHODS.items() if not method.of_objects]
CAMS = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "odam")
RULES = ("deconvnet", "guided_backprop", "guided_grad_cam")
ONE_CHANNEL = ("saliency", *CAMS, "occlusion", "rise")
QUICK: dict[str, dict[str, Any]] = {
    "smooth_grad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "occlusion": {"window": 16, "stride": 16},
    "rise": {"masks": 6, "cells": 3},
}
"""Few passes: enough where only shapes and side effects are looked at."""


# What a call must not change.


def flags(model: nn.Module) -> list[tuple[Any, ...]]:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
    return [
        (name, id(module), module.training, *(tuple(getattr(module, kind)) for kind in kinds), tuple(vars(module)))
        for name, module in model.named_modules(remove_duplicate=False)
    ]


def tensors(model: nn.Module) -> list[tuple[Any, ...]]:
    def raw(tensor: Tensor) -> bytes:
        return tensor.detach().cpu().contiguous().numpy().tobytes()

    return [
        (name, id(t), t.data_ptr(), raw(t), t.requires_grad, id(t.grad), None if t.grad is None else raw(t.grad))
        for name, t in [*model.named_parameters(), *model.named_buffers()]
    ]


@contextmanager
def left_as_it_was(model: nn.Module, image: Tensor | None = None) -> Iterator[None]:
    """Fails where anything of a model, an image or the grad modes differs afterwards."""
    before = flags(model), tensors(model)
    pixels = None if image is None else image.detach().clone()
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    random = torch.random.get_rng_state()
    try:
        yield
    finally:
        assert flags(model) == before[0]
        assert tensors(model) == before[1]
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == modes
        assert torch.equal(torch.random.get_rng_state(), random), "the global random state was used"
        if image is not None and pixels is not None:
            assert torch.equal(image, pixels)
            assert image.grad is None


class Dropping(Small):
    """A network in training mode, with dropout, batch normalisation and one part left in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.train()
        self.bn.eval()
        self.conv1.weight.requires_grad_(False)
        self.fc.weight.grad = torch.full_like(self.fc.weight, 3.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv1(x)))
        x = self.act(F.dropout(self.conv2(x), 0.5, self.training))
        return self.fc(self.drop(x.mean((2, 3))))


def built(name: str, shaken: Callable[..., nn.Module]) -> tuple[nn.Module, Tensor]:
    """A network with random weights, and an image of a size that it takes."""
    torch.manual_seed(0)
    side = 64
    size = (64, 96)
    if name == "googlenet":
        network = torchvision.models.googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)
    elif name in ("resnet18", "mobilenet_v2", "densenet121") or name in ("vgg11", "alexnet"):
        network = getattr(torchvision.models, name)(num_classes=CLASSES)
    elif name.startswith("convnext"):
        network = timm.create_model(name, num_classes=CLASSES)
    elif name.startswith("swin"):
        network, size = timm.create_model(name, num_classes=CLASSES, img_size=(64, 128), window_size=4), (64, 128)
    else:
        network = timm.create_model(name, num_classes=CLASSES, img_size=(side, 96), depth=3)
    return shaken(network), random_image(1, *size)


NETWORKS = [
    "resnet18",
    "googlenet",
    "mobilenet_v2",
    "vit_tiny_patch16_224",
    "swin_tiny_patch4_window7_224",
    "convnext_atto",
    "deit_tiny_distilled_patch16_224",
]
REFUSED = {"vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "convnext_atto", "deit_tiny_distilled_patch16_224"}


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest, shaken: Callable[..., nn.Module]) -> tuple[str, nn.Module, Tensor]:
    return (request.param, *built(request.param, shaken))


@pytest.mark.parametrize("method", OF_CLASSES)
def test_every_method_on_every_kind_of_network(case: tuple[str, nn.Module, Tensor], method: str) -> None:
    name, network, image = case
    with left_as_it_was(network, image):
        if method in RULES and name in REFUSED:
            with pytest.raises(PellucidError, match="GELU"):
                attribute(network, image[0], 1, method=method)
            return
        made = attribute(network, image[0], 1, method=method, **QUICK.get(method, {}))
    shape = image.shape[-2:] if method in ONE_CHANNEL else image.shape[-3:]
    assert made.map.shape == made.frame_map.shape == shape
    assert made.map.dtype == torch.float32
    assert not made.map.requires_grad
    assert bool(torch.isfinite(made.map).all())
    # a CAM may be zero everywhere: the ReLU of negative sums
    assert float(made.map.abs().max()) > 0 or method in (*CAMS, "guided_grad_cam")
    assert made.strength().shape == image.shape[-2:]
    heat = made.heat()
    assert float(heat.min()) >= 0
    assert float(heat.max()) <= 1
    assert (made.layer is not None) == METHODS[method].uses_layer


SMALL: dict[str, Callable[[], nn.Module]] = {
    "functional": lambda: Small(),
    "in place": lambda: Small(act=lambda x: F.relu_(x)),
    "reused module": lambda: Small(act=nn.ReLU(inplace=True)),
    "double": lambda: Small().double(),
    "training, dropout": Dropping,
    "in place on its input": lambda: nn.Sequential(InPlaceNormalise(), Small()).eval(),
    "frozen": lambda: Small().requires_grad_(False),
    "channels last": lambda: Small().to(memory_format=torch.channels_last),
}


class InPlaceNormalise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sub_(0.2).div_(1.3)


@pytest.mark.parametrize("method", OF_CLASSES)
@pytest.mark.parametrize("name", list(SMALL))
def test_every_method_leaves_model_and_image_as_they_were(name: str, method: str) -> None:
    network, image = SMALL[name](), random_image(2).requires_grad_()
    with left_as_it_was(network, image):
        made = attribute(network, image, 3, method=method, **QUICK.get(method, {}))
    assert len(made.map) == 2
    assert made.map.dtype == torch.float32
    assert float(made.map.abs().max()) > 0


@pytest.mark.parametrize("method", OF_CLASSES)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_every_method_gives_the_same_in_every_grad_mode(mode: Callable[[], Any], method: str) -> None:
    network, image, options = Small(), random_image(1), QUICK.get(method, {})
    expected = attribute(network, image, 2, method=method, **options).map
    with mode(), left_as_it_was(network):
        found = attribute(network, image, 2, method=method, **options).map
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)


def test_inference_mode_serves_an_image_made_within_it() -> None:
    network = Small()
    expected = attribute(network, random_image(1), 2, method="saliency").map
    with torch.inference_mode():
        for method in ("saliency", "grad_cam", "guided_backprop"):
            attribute(network, random_image(1), 2, method=method)
        found = attribute(network, random_image(1), 2, method="saliency").map
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", OF_CLASSES)
def test_dropout_and_training_mode_do_not_blur_a_map(method: str) -> None:
    training, image, options = Dropping(), random_image(1), QUICK.get(method, {})
    evaluated = copy.deepcopy(training).eval()
    maps = [attribute(network, image, 2, method=method, **options).map for network in (training, evaluated)]
    assert torch.equal(*maps)


class Failing(Small):
    """Fails at its second convolution, or in the backward pass."""

    def __init__(self, when: str, error: BaseException) -> None:
        super().__init__()
        self.when, self.error = when, error
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv1(x))
        if self.when == "forward":
            raise self.error
        if x.requires_grad:
            x = _FailsBackward.apply(x, self.error)
        return self.fc(self.act(self.conv2(x)).mean((2, 3)))


class _FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, error: BaseException) -> Tensor:
        ctx.error = error
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise ctx.error


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("method", ["saliency", "guided_backprop", "grad_cam", "occlusion", "rise", "smooth_grad"])
@pytest.mark.parametrize("when", ["forward", "backward"])
def test_a_call_that_is_broken_off_leaves_the_model_as_it_was(when: str, method: str, error: BaseException) -> None:
    network, image = Failing(when, error), random_image(1)
    where = "conv1" if "cam" in method else None
    reached = when == "forward" or method not in ("occlusion", "rise")
    if when == "backward" and method == "grad_cam":
        reached = True
    with left_as_it_was(network, image), pytest.raises(type(error)) if reached else nullcontext():
        attribute(network, image, 1, method=method, layer=where, **QUICK.get(method, {}))


@pytest.mark.parametrize("method", OF_CLASSES)
def test_a_network_that_gives_nan_is_refused(method: str) -> None:
    network = Small()
    with torch.no_grad():
        network.fc.bias[3] = torch.nan
    with left_as_it_was(network), pytest.raises(PellucidError, match="NaN"):
        attribute(network, random_image(1), 3, method=method, **QUICK.get(method, {}))


@pytest.mark.parametrize("method", ["saliency", "smooth_grad", "integrated_gradients", *CAMS])
def test_a_gradient_that_is_nan_where_the_score_is_not_is_refused(method: str) -> None:
    class Rooted(Small):
        def forward(self, x: Tensor) -> Tensor:
            x = self.conv1(x)
            return self.fc((x - x).sqrt().mean((2, 3)))

    assert bool(torch.isfinite(Rooted()(random_image(1))).all())
    with pytest.raises(PellucidError, match="gradient of '2' is NaN or infinite"):
        attribute(Rooted(), random_image(1), 2, method=method, **({"layer": "conv1"} if "cam" in method else {}))


# Several objectives at once.


@pytest.mark.parametrize("method", OF_CLASSES)
def test_attribute_all_equals_separate_calls(method: str) -> None:
    network, image, options = Small(), random_image(1), QUICK.get(method, {})
    objectives = [0, class_logit(4) - class_logit(0), channel("conv2", 2), lambda said: said.max()]
    together = attribute_all(
        network, image, objectives, method=method, layer="conv2" if "cam" in method else None, **options
    )
    for objective, made in zip(objectives, together, strict=True):
        alone = attribute(
            network, image, objective, method=method, layer="conv2" if "cam" in method else None, **options
        )
        assert torch.allclose(made.map, alone.map, rtol=1e-5, atol=1e-6)
        assert made.target == alone.target
        assert made.signed == METHODS[method].signed
    assert not torch.allclose(together[0].map, together[1].map, atol=1e-6)


def test_no_objectives_give_no_maps() -> None:
    assert attribute_all(Small(), random_image(1), []) == []


class Counting(Small):
    """Counts forward passes, and backward passes through the stem."""

    def __init__(self) -> None:
        super().__init__()
        self.forward_passes = self.stem_backward_passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forward_passes += 1
        x = self.act(self.bn(self.conv1(x)))
        x = _CountsBackward.apply(x, self)
        x = self.act(self.conv2(x))
        return self.fc(x.mean((2, 3)))


class _CountsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, network: Counting) -> Tensor:
        ctx.network = network
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        ctx.network.stem_backward_passes += 1
        return gradients[0], None


@pytest.mark.parametrize("method", [*CAMS, "saliency", "guided_backprop"])
def test_twenty_objectives_take_one_forward_pass(method: str) -> None:
    network = Counting()
    options = {"layer": "conv2"} if method in CAMS else {}
    attribute_all(
        network,
        random_image(1),
        [i % CLASSES * class_logit(1) + class_logit(0) for i in range(20)],
        method=method,
        **options,
    )
    assert network.forward_passes == 1
    assert network.stem_backward_passes == (0 if method in CAMS else 20)


@pytest.mark.parametrize("method", CAMS)
def test_cams_do_not_go_back_below_their_layer_nor_compute_weight_gradients(method: str) -> None:
    network = Counting()
    attribute(network, random_image(1), 1, method=method, layer="conv2")
    assert network.stem_backward_passes == 0
    attribute(network, random_image(1), 1, method=method, layer="conv1")
    assert network.stem_backward_passes == 1, "the counter does not count: the test shows nothing"


def test_perturbations_share_their_passes_between_objectives() -> None:
    counts = []
    for objectives in ([0], [0, 1, 2, 3]):
        network = Counting()
        for method in ("occlusion", "rise"):
            attribute_all(network, random_image(1), objectives, method=method, **QUICK[method])
        counts.append(network.forward_passes)
    assert counts[0] == counts[1]


# What the maps must equal.


def test_methods_on_a_linear_network_are_its_weights() -> None:
    network, image = Linear(), random_image(2, 6, 8)
    weight = network.weight.detach()[3]
    found = {
        m: attribute(network, image, 3, method=m).map for m in ("saliency", "input_x_gradient", "integrated_gradients")
    }
    assert torch.allclose(found["saliency"], weight.abs().amax(0).expand(2, -1, -1))
    assert torch.allclose(found["input_x_gradient"], weight * image, atol=1e-6)
    assert torch.allclose(found["integrated_gradients"], weight * image, atol=1e-5)
    smooth = attribute(network, image, 3, method="smooth_grad", samples=4).map
    assert torch.allclose(smooth, weight.expand(2, -1, -1, -1), atol=1e-5)


def test_occlusion_of_single_pixels_on_a_linear_network_is_what_each_adds() -> None:
    network, image = Linear(), random_image(1, 6, 8)
    found = attribute(network, image, 3, method="occlusion", window=1, stride=1, fill=0.5).map
    expected = (network.weight.detach()[3] * (image[0] - 0.5)).sum(0)
    assert torch.allclose(found[0], expected, atol=1e-4)


def test_occlusion_windows_reach_every_pixel_and_are_averaged_where_they_overlap() -> None:
    network, image = Linear(7, 9), random_image(1, 7, 9)
    found = attribute(network, image, 1, method="occlusion", window=3, stride=2, fill=0.0).map[0]
    adds = (network.weight.detach()[1] * image[0]).sum(0)
    falls, covers = torch.zeros(7, 9), torch.zeros(7, 9)
    for y in (0, 2, 4):
        for x in (0, 2, 4, 6):
            falls[y : y + 3, x : x + 3] += adds[y : y + 3, x : x + 3].sum()
            covers[y : y + 3, x : x + 3] += 1
    assert float(covers.min()) == 1
    assert torch.allclose(found, falls / covers, atol=1e-4)


@pytest.mark.parametrize("baseline", [0.0, 0.7, "image"])
def test_integrated_gradients_add_up_to_the_scores_difference(baseline: float | str) -> None:
    network, image = Small().double(), random_image(2).double()
    x0 = (
        random_image(1, seed=9)[0].double()
        if baseline == "image"
        else torch.full((3, 24, 32), float(baseline)).double()
    )
    made = attribute(
        network, image, 2, method="integrated_gradients", steps=400, baseline=x0 if baseline == "image" else baseline
    )
    with torch.no_grad():
        difference = network(image)[:, 2] - network(x0[None])[:, 2]
    assert float(difference.abs().min()) > 0.01
    assert torch.allclose(made.map.double().sum((1, 2, 3)), difference, rtol=0.01, atol=0)


def test_grad_cam_is_the_formula_written_out() -> None:
    network, image = Small(), random_image(1)
    activation = network.conv2(network.act(network.bn(network.conv1(image)))).detach().requires_grad_()
    score = network.fc(network.act(activation).mean((2, 3)))[0, 1]
    (gradient,) = torch.autograd.grad(score, activation)
    A, g = activation.detach()[0].double().numpy(), gradient[0].double().numpy()
    cams = dict.fromkeys(CAMS, np.zeros(A.shape[1:]))
    for k in range(len(A)):
        cams["grad_cam"] = cams["grad_cam"] + g[k].mean() * A[k]
        cams["layer_cam"] = cams["layer_cam"] + np.maximum(g[k], 0) * A[k]
        cams["odam"] = cams["odam"] + ndimage.gaussian_filter(g[k], 1.0, mode="mirror", radius=3) * A[k]
        below = 2 * g[k] ** 2 + A[k].sum() * g[k] ** 3
        alpha = np.divide(g[k] ** 2, below, out=np.zeros_like(below), where=below != 0)
        cams["grad_cam_plus_plus"] = cams["grad_cam_plus_plus"] + (alpha * np.maximum(g[k], 0)).sum() * A[k]
    for method, cam in cams.items():
        small = torch.from_numpy(np.maximum(cam, 0))[None, None]
        expected = F.interpolate(small, (24, 32), mode="bilinear", align_corners=False)[0, 0].float()
        found = attribute(network, image[0], 1, method=method, layer="conv2").map
        assert float(expected.max()) > 0
        assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.max())), method


def test_guided_grad_cam_is_the_product_of_its_two_maps() -> None:
    network, image = Small(), random_image(2)
    guided = attribute(network, image, 1, method="guided_backprop").map
    cam = attribute(network, image, 1, method="grad_cam", layer="conv2").map
    product = attribute(network, image, 1, method="guided_grad_cam", layer="conv2").map
    assert torch.allclose(product, guided * cam[:, None], rtol=1e-5, atol=0)


def test_smooth_grad_without_noise_is_the_gradient_and_needs_one_sample() -> None:
    network, image = Small(), random_image(2)
    smooth = attribute(network, image, 1, method="smooth_grad", samples=3, noise=0.0)
    x = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[:, 1].sum(), x)
    assert torch.allclose(smooth.map, gradient, rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["occlusion", "rise"])
def test_perturbations_point_at_the_only_quadrant_that_counts(method: str) -> None:
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 0.2
    image[:, :, :16, 24:] += 0.8
    made = attribute(Quadrant(), image[0], 0, method=method, **({"masks": 400, "cells": 4} if method == "rise" else {}))
    inside = made.map[:16, 24:]
    outside = made.map.clone()
    outside[:16, 24:] = -math.inf
    assert float(inside.mean()) > 0
    assert float(made.map.max()) == float(inside.max())
    assert float(inside[4:-4, 4:-4].min()) > float(made.map[20:, :20].abs().max())


@pytest.mark.parametrize("method", [m for m in OF_CLASSES if m != "rise"])
def test_each_image_of_a_batch_has_the_map_it_has_alone(method: str) -> None:
    network, images = Small(), random_image(3)
    options = {**QUICK.get(method, {}), **({"samples": 1, "noise": 0.0} if method == "smooth_grad" else {})}
    together = attribute(network, images, 2, method=method, **options)
    assert together.strength().shape == (3, 24, 32)
    for image, found, strength in zip(images, together.map, together.strength(), strict=True):
        alone = attribute(network, image, 2, method=method, **options)
        assert torch.allclose(found, alone.map, rtol=1e-4, atol=1e-6)
        assert torch.allclose(strength, alone.strength(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["smooth_grad", "rise"])
def test_a_seed_repeats_and_another_differs(method: str) -> None:
    maps = [attribute(Small(), random_image(1), 2, method=method, seed=seed, **QUICK[method]).map for seed in (1, 1, 2)]
    assert torch.equal(maps[0], maps[1])
    assert not torch.allclose(maps[0], maps[2])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), index=st.integers(0, CLASSES - 1), method=st.sampled_from(CAMS))
def test_cams_are_never_negative(seed: int, index: int, method: str) -> None:
    assert float(attribute(Small(seed=seed), random_image(1, seed=seed), index, method=method).map.min()) >= 0


LINEAR_IN_THE_SCORE = ("input_x_gradient", "smooth_grad", "integrated_gradients", "occlusion")
POSITIVELY_HOMOGENEOUS = (*LINEAR_IN_THE_SCORE, "saliency", "deconvnet", "guided_backprop", "grad_cam", "layer_cam")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10), method=st.sampled_from(POSITIVELY_HOMOGENEOUS))
def test_a_multiple_of_an_objective_has_the_multiple_of_its_map(seed: int, factor: float, method: str) -> None:
    network, image, options = Small(seed=seed), random_image(1, seed=seed), QUICK.get(method, {})
    one = attribute(network, image, class_logit(1), method=method, **options).map
    more = attribute(network, image, factor * class_logit(1), method=method, **options).map
    # near a score of 10, occlusion's differences of scores are rounded at about 1e-6
    assert torch.allclose(more, factor * one, rtol=1e-4, atol=1e-5 * factor)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(LINEAR_IN_THE_SCORE))
def test_a_sum_of_objectives_has_the_sum_of_their_maps(seed: int, method: str) -> None:
    network, image, options = Small(seed=seed), random_image(1, seed=seed), QUICK.get(method, {})
    a, b = class_logit(1), neuron("conv2", 3)
    maps = [made.map for made in attribute_all(network, image, [a, b, a - b, a + b], method=method, **options)]
    assert torch.allclose(maps[2], maps[0] - maps[1], rtol=1e-4, atol=1e-5)
    assert torch.allclose(maps[3], maps[0] + maps[1], rtol=1e-4, atol=1e-5)


# Layers.

DEFAULTS = {
    "resnet18": "layer4",
    "vgg11": "features.19",
    "alexnet": "features.11",
    "densenet121": "features",
    "googlenet": "inception5b",
    "mobilenet_v2": "features",
    "vit_tiny_patch16_224": "blocks.2.norm1",
    "deit_tiny_distilled_patch16_224": "blocks.2.norm1",
    "swin_tiny_patch4_window7_224": "norm",
    "convnext_atto": "stages",
}
SAME_AS = {
    "resnet18": {"layer4", "layer4.1", "layer4.1.relu#1"},
    "vgg11": {"features.19", "features.18"},
    "alexnet": {"features.11"},
    "densenet121": {"features", "features.norm5"},
    "googlenet": {"inception5b"},
    "mobilenet_v2": {"features", "features.18", "features.18.2"},
    "swin_tiny_patch4_window7_224": {"norm", "layers", "layers.3"},
    "convnext_atto": {"stages", "stages.3"},
}
"""The layers whose activation is the same tensor, so that either may be named."""


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_the_default_layer_is_the_last_that_covers_the_image(name: str, shaken: Callable[..., nn.Module]) -> None:
    network, image = built(name, shaken)
    with left_as_it_was(network, image):
        chosen = resolve_layer(Subject(network, image), None)
    assert chosen in SAME_AS.get(name, {DEFAULTS[name]})


def test_the_embedded_networks_default_layer_is_its_last_normalisation_and_rectifier(
    embedded: Classifier, chelsea: Tensor
) -> None:
    assert attribute(embedded, chelsea, "tabby").layer == "bn2"


def test_the_default_layer_follows_a_network_whose_layers_were_replaced() -> None:
    network = nn.Sequential(
        stem := nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES)
    )
    image = random_image(1)
    assert attribute(network, image, 0).layer == "1"
    network[1] = nn.Flatten()
    network[2], network[3], network[4] = nn.Identity(), nn.Identity(), nn.LazyLinear(CLASSES)
    network(image)
    assert attribute(network, image, 0).layer == "0"
    assert network[0] is stem


@pytest.mark.parametrize("text", [None, "last conv", "Last Conv", "last_conv"])
def test_the_default_layer_can_be_named(text: str | None) -> None:
    assert attribute(Small(), random_image(1), 0, layer=text).layer == "conv2"


def test_a_glob_that_means_one_layer_will_do_and_several_are_refused() -> None:
    assert attribute(Small(), random_image(1), 0, layer="*2").layer == "conv2"
    with pytest.raises(PellucidError, match=r"layer 'conv\*' means 2 layers \(conv1, conv2"):
        attribute(Small(), random_image(1), 0, layer="conv*")


def test_a_layer_without_positions_is_refused_for_a_cam() -> None:
    with pytest.raises(PellucidError, match=r"layer 'fc' gives shape .* no positions"):
        attribute(Small(), random_image(1), 0, layer="fc")


def test_an_objective_that_does_not_depend_on_the_layer_is_refused() -> None:
    with pytest.raises(PellucidError, match="'conv1:0' does not depend on layer 'conv2'"):
        attribute(Small(), random_image(1), channel("conv1", 0), layer="conv2")


def test_an_objective_that_does_not_depend_on_the_image_is_refused() -> None:
    with pytest.raises(PellucidError, match="does not depend on the image"):
        attribute(Small(), random_image(1), lambda said: torch.tensor(1.0), method="saliency")


def test_grad_cam_of_a_channel_of_its_own_layer_is_that_channel() -> None:
    network, image = Small(), random_image(1)
    found = attribute(network, image, channel("conv2", 3), layer="conv2").map
    with torch.no_grad():
        activation = network.conv2(network.act(network.bn(network.conv1(image))))
    share = activation[:, 3:4].relu() / activation[0, 0].numel()
    expected = F.interpolate(share, (24, 32), mode="bilinear", align_corners=False)[:, 0]
    assert torch.allclose(found, expected, rtol=0, atol=1e-6 * float(expected.max()) + 1e-9)


def test_each_call_of_a_shared_layer_has_a_map_of_its_own() -> None:
    network, image = Small(act=nn.ReLU(inplace=True)), random_image(1)
    first, second = (attribute(network, image, 1, layer=f"act#{call}") for call in (0, 1))
    assert first.layer == "act#0"
    assert not torch.allclose(first.map, second.map)
    with pytest.raises(PellucidError, match="called 2 times"):
        attribute(network, image, 1, layer="act")


def test_a_transformers_map_shows_tokens_where_they_are(shaken: Callable[..., nn.Module]) -> None:
    """An objective on one token gives a Grad-CAM that is zero but at its place: leading tokens are left out."""
    for name in ("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"):
        network, image = built(name, shaken)
        with torch.no_grad(), watch(network, ["blocks.1"]) as seen:
            tokens = seen(image)["blocks.1"]
        grid = tokens[0, -24:].view(4, 6, -1)  # 64 × 96 pixels in patches of 16
        unit = neuron("blocks.1", int(grid[3, 1].argmax()), 3, 1)
        cam = attribute(network, image[0], unit, method="layer_cam", layer="blocks.1").map
        assert float(cam.max()) > 0
        row, column = divmod(int(cam.argmax()), 96)
        assert (row // 16, column // 16) == (3, 1)
        assert float(cam[:32].max()) == 0
        assert float(cam[:, 48:].max()) == 0


@pytest.mark.parametrize(
    ("shape", "aspect", "expected"),
    [
        ((1, 512, 7, 7), 1.0, ("maps", 7, 7, 512)),
        ((1, 7, 7, 768), 1.0, ("channels last", 7, 7, 768)),
        ((1, 7, 7, 7), 1.0, ("maps", 7, 7, 7)),
        ((1, 64, 8, 12), 64 / 96, ("maps", 8, 12, 64)),
        ((1, 8, 12, 64), 64 / 96, ("channels last", 8, 12, 64)),
        ((1, 512, 2, 3), 50 / 75, ("maps", 2, 3, 512)),
        ((1, 197, 192), 1.0, ("tokens", 14, 14, 192)),
        ((1, 198, 192), 1.0, ("tokens", 14, 14, 192)),
        ((1, 196, 192), 1.0, ("tokens", 14, 14, 192)),
        ((1, 37 * 37 + 5, 384), 1.0, ("tokens", 37, 37, 384)),
        ((1, 8 * 12 + 1, 384), 2 / 3, ("tokens", 8, 12, 384)),
        ((1, 12 * 8 + 2, 384), 3 / 2, ("tokens", 12, 8, 384)),
        ((1, 10), 1.0, None),
        ((1, 1, 192), 1.0, None),
        ((), 1.0, None),
    ],
)
def test_the_grid_of_an_activation_is_told_from_its_shape(
    shape: tuple[int, ...], aspect: float, expected: tuple[str, int, int, int] | None
) -> None:
    assert grid_shape(shape, aspect) == expected


def test_a_grid_keeps_every_token_at_its_place() -> None:
    tokens = torch.arange(2 + 8 * 12).float()[None, :, None].expand(1, -1, 3)
    grid = as_grid(tokens, 2 / 3, "x")
    assert torch.equal(grid[0, 0], 2 + torch.arange(96.0).view(8, 12))
    last = torch.randn(1, 8, 12, 5)
    assert torch.equal(as_grid(last, 2 / 3, "x"), last.permute(0, 3, 1, 2))


# Names and options.


@pytest.mark.parametrize(
    ("text", "name"),
    [("Grad-CAM++", "grad_cam_plus_plus"), ("gradcam", "grad_cam"), ("SmoothGrad", "smooth_grad"), (" RISE ", "rise")],
)
def test_methods_are_found_as_people_write_them(text: str, name: str) -> None:
    assert method_named(text).name == name


@pytest.mark.parametrize(
    ("wrong", "right"), [("salency", "saliency"), ("grad_kam", "grad_cam"), ("oclusion", "occlusion")]
)
def test_an_unknown_method_is_refused_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(PellucidError, match=f"unknown method '{wrong}'.*'{right}'"):
        attribute(Small(), random_image(1), 0, method=wrong)


def test_a_method_like_no_other_is_refused_with_all_of_them() -> None:
    with pytest.raises(PellucidError, match=r"the methods are saliency, .*rise"):
        method_named("xyzzy")


def test_an_unknown_layer_is_refused_with_the_nearest() -> None:
    with pytest.raises(PellucidError, match="unknown layer 'conf2'; did you mean 'conv2'"):
        attribute(Small(), random_image(1), 0, layer="conf2")


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("grad_cam", {"stepz": 3}, "grad_cam has no option 'stepz'; it takes none"),
        ("integrated_gradients", {"samples": 3}, "no option 'samples'; it takes steps, baseline"),
        ("integrated_gradients", {"steps": 0}, "steps=0: give at least 1"),
        ("integrated_gradients", {"baseline": torch.zeros(3, 5, 5)}, "baseline of shape"),
        ("smooth_grad", {"samples": -1}, "samples=-1"),
        ("occlusion", {"window": 100}, "must fit the 32×24 frame"),
        ("occlusion", {"window": -3}, "window -3"),
        ("occlusion", {"stride": -1}, "stride -1"),
        ("rise", {"masks": 0}, "masks=0"),
        ("rise", {"keep": 1.0}, "keep=1.0"),
        ("rise", {"cells": 0}, "cells=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(PellucidError) as error:
        attribute(Small(), random_image(1), 0, method=method, **options)
    assert message in str(error.value)


def test_what_is_no_network_or_holds_no_image_is_refused() -> None:
    with pytest.raises(PellucidError, match="a function is no network"):
        attribute(lambda x: x, random_image(1), 0)  # type: ignore[arg-type]
    with pytest.raises(PellucidError, match="no image"):
        attribute(Small(), random_image(1)[:0], 0)
    with pytest.raises(PellucidError, match=r"must be \(3, H, W\) or \(N, 3, H, W\)"):
        attribute(Small(), torch.zeros(4), 0)


def test_photos_of_every_kind_are_the_same_to_a_bare_network(chelsea: Tensor, tmp_path: Any) -> None:
    from PIL import Image

    small = chelsea[:, 100:150, 100:170].contiguous()
    array = small.permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "photo.png")
    photos = [small, array, Image.fromarray(array), tmp_path / "photo.png", small.float() / 255]
    maps = [attribute(Small(), photo, 1, method="saliency").map for photo in photos]
    assert all(torch.equal(maps[0], other) for other in maps)


def test_our_own_models_are_explained_in_the_photos_own_pixels(embedded: Classifier, chelsea: Tensor) -> None:
    with left_as_it_was(embedded, chelsea):
        cam = attribute(embedded, chelsea, "tabby")
        gradient = attribute(embedded, chelsea, "tabby", method="guided_backprop")
    assert cam.map.shape == (300, 451)
    assert cam.frame_map.shape == (224, 224)
    assert gradient.map.shape == (3, 300, 451)
    # the sides of the photo are cropped before the network sees it
    assert float(cam.map[:, :50].abs().max()) == 0
    assert float(cam.map[:, 180:270].max()) > 0


def test_our_own_models_are_known_by_what_they_offer_and_not_by_static_attributes(embedded: Classifier) -> None:
    """Python 3.12's isinstance with a protocol looks attributes up statically; submodules are not found so."""
    import inspect

    from pellucid.explain.subject import is_framed

    with pytest.raises(AttributeError):
        inspect.getattr_static(embedded, "network")
    assert is_framed(embedded)
    assert not is_framed(Small())


def test_a_map_is_saved_with_what_it_is_of(tmp_path: Any) -> None:
    import json

    made = attribute(Small(), random_image(1)[0], layer("conv2"), method="grad_cam", layer="conv1")
    path = made.save(tmp_path)
    with np.load(io.BytesIO(path.read_bytes())) as file:
        assert np.array_equal(file["map"], made.map.numpy())
        assert tuple(file["photo_size"]) == (24, 32)
        record = json.loads(str(file["record"]))
    assert {key: record[key] for key in ("method", "target", "layer")} == {
        "method": "grad_cam",
        "target": "layer conv2",
        "layer": "conv1",
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]
