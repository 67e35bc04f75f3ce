"""Influence on the classes: the same numbers as plain autograd, whatever the network and its layer's layout."""

from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain import influence
from pellucid.explain.influence import class_influence
from pellucid.models.classification import Classifier

from .networks import CLASSES, Small, random_image

Take = Callable[[Tensor, int], Tensor]


def by_autograd(model: nn.Module, frame: Tensor, layer: str, channel: int, take: Take) -> Tensor:
    """(K,): Σ ∂logit_c/∂A · A of one channel of one image, by one backward pass a class, centred over the classes."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    handle = model.get_submodule(layer).register_forward_hook(keep)
    try:
        logits = model(frame.clone().requires_grad_())[0]
    finally:
        handle.remove()
    (activation,) = kept
    values = []
    for logit in logits:
        (gradient,) = torch.autograd.grad(logit, activation, retain_graph=True, allow_unused=True)
        product = torch.zeros_like(activation) if gradient is None else gradient * activation
        values.append(take(product, channel).sum())
    found = torch.stack(values).detach().float()
    return found - found.mean()


def second(product: Tensor, channel: int) -> Tensor:
    return product[:, channel]


def last(product: Tensor, channel: int) -> Tensor:
    return product[..., channel]


class LastInside(nn.Module):
    """conv → channels last → norm → channels first → pool → linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 7, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(7)
        self.fc = nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return self.fc(F.gelu(x).mean((1, 2)))


class Shared(nn.Module):
    """One activation called twice, in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 6, 3)
        self.fc = nn.Linear(6, CLASSES)
        self.unused = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.second(self.act(self.first(x)))).mean((2, 3)))


class _Square(torch.autograd.Function):
    """Has a backward rule alone."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def,override]
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def,override]
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


def check(model: nn.Module, layer: str, channels: list[int], take: Take, size: int = 32, batch_size: int = 2) -> None:
    images = random_image(3, size, size)
    photos = [[images[0], images[1]], [images[1], images[2]], [images[0]]][: len(channels)]
    found = class_influence(model, photos, layer, channels, batch_size=batch_size)
    for row, channel in enumerate(channels):
        one_by_one = [by_autograd(model, photo[None], layer, channel, take) for photo in photos[row]]
        expected = torch.stack(one_by_one).mean(0)
        assert expected.abs().max() > 1e-6
        torch.testing.assert_close(found[row], expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("layer", ["conv1", "bn", "conv2"])
def test_maps_of_a_small_network(layer: str) -> None:
    check(Small(), layer, [0, 3, 3], second)


def test_a_layer_without_positions_and_one_with_an_in_place_activation_after_it() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    torch.manual_seed(0)
    check(network.eval(), "0", [1, 2, 3], second)
    check(network.eval(), "3", [0, 2], second)


def test_channels_last() -> None:
    check(LastInside().eval(), "norm", [0, 6], last)


@pytest.mark.parametrize("layer", ["blocks.0", "blocks.1.mlp.fc1", "patch_embed"])
def test_tokens_of_a_transformer_with_its_class_token(layer: str) -> None:
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, depth=2, num_classes=6).eval()
    check(network, layer, [5, 17], last)


def test_the_multi_head_attention_of_torch_itself() -> None:
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
    nn.init.normal_(network.heads.head.weight)
    check(network, "encoder.layers.encoder_layer_0", [1, 2], last)


def test_a_call_of_a_layer_that_is_called_twice() -> None:
    network = Shared().eval()
    photo = random_image(1)[0]

    def expected(call: int) -> Tensor:
        x = network.first(photo[None]).relu()
        activation = x if call == 0 else network.second(x).relu()
        activation = activation.detach().requires_grad_()
        end = activation if call else network.second(activation).relu()
        logits = network.fc(end.mean((2, 3)))[0]
        rows = [torch.autograd.grad(logit, activation, retain_graph=True)[0] * activation for logit in logits]
        found = torch.stack([row[0, 2].sum() for row in rows]).detach()
        return found - found.mean()

    for call in (0, 1):
        found = class_influence(network, [[photo]], f"act#{call}", [2])
        torch.testing.assert_close(found[0], expected(call), rtol=1e-4, atol=1e-6)
    with pytest.raises(PellucidError, match=r"'act' is called 2 times in a pass; say which call: 'act#0' to 'act#1'"):
        class_influence(network, [[photo]], "act", [0])
    with pytest.raises(PellucidError, match=r"'act#2': 'act' is called 2 times in a pass, 0 to 1"):
        class_influence(network, [[photo]], "act#2", [0])


def test_backward_passes_stand_in_where_an_operation_has_no_forward_rule() -> None:
    network = Small(act=_Square.apply)
    subject = influence.Subject.of_frames(network, random_image(1))
    with pytest.raises((RuntimeError, NotImplementedError)):
        influence._forward_mode(subject, "conv1", torch.tensor([0]))
    check(network, "conv1", [0, 4], second)


def test_the_embedded_network_against_finite_differences(embedded: Classifier, chelsea: Tensor) -> None:
    layer, channels = "blocks.6.0.conv_pwl", [3, 200]
    (frame,), _ = embedded.prepare([chelsea])
    # along the channel by finite differences in double precision
    network = embedded.network

    def at(step: float, channel: int) -> Tensor:
        def scaled(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            output = output.clone()
            output[:, channel] *= 1 + step
            return output

        handle = network.get_submodule(layer).register_forward_hook(scaled)
        try:
            with torch.no_grad():
                return network(embedded.preprocessing.normalise(frame[None]).double())[0]
        finally:
            handle.remove()

    network.double()  # in single precision a unit at its kink may fall on either side
    try:
        found = class_influence(embedded, [[chelsea]] * 2, layer, channels)
        for row, channel in enumerate(channels):
            slope = (at(1e-5, channel) - at(-1e-5, channel)) / 2e-5
            expected = (slope - slope.mean()).float()
            assert expected.abs().max() > 1e-3
            torch.testing.assert_close(found[row], expected, rtol=1e-3, atol=1e-5)
    finally:
        network.float()


def test_the_model_is_untouched_whatever_happens() -> None:
    network = Small().train()
    network.conv1.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    class_influence(network, [[random_image(1)[0]]], "conv1", [0])
    with pytest.raises(PellucidError, match="no channel 6; it has 6, 0 to 5"):
        class_influence(network, [[random_image(1)[0]]], "conv1", [6])
    assert all(module.training for module in network.modules())
    assert [p.requires_grad for p in network.conv1.parameters()] == [False, True]
    assert all(p.grad is None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_photos_of_different_sizes_and_their_order_do_not_matter() -> None:
    network = Small()
    small, large = random_image(1)[0], random_image(1, 40, 24, seed=1)[0]
    both = class_influence(network, [[small, large], [large]], "conv2", [1, 2])
    apart = [class_influence(network, [[photo]], "conv2", [1])[0] for photo in (large, small)]
    torch.testing.assert_close(both[0], torch.stack(apart).mean(0))
    torch.testing.assert_close(both[1], class_influence(network, [[large]], "conv2", [2])[0])


def test_rows_are_centred_and_a_layer_that_nothing_reads_pushes_nothing() -> None:
    class Aside(Small):
        def __init__(self) -> None:
            super().__init__()
            self.aside = nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.aside(x)
            return super().forward(x)

    network = Aside().eval()
    found = class_influence(network, [[random_image(1)[0]]], "conv1", [0])
    assert abs(float(found.sum())) < 1e-5
    assert not class_influence(network, [[random_image(1)[0]]], "aside", [0]).any()


def test_what_is_wrong_is_said_in_one_line() -> None:
    photo = [[random_image(1)[0]]]
    with pytest.raises(PellucidError, match="unknown layer 'conv3'; did you mean 'conv"):
        class_influence(Small(), photo, "conv3", [0])
    with pytest.raises(PellucidError, match=r"'conv\*' means 2 layers"):
        class_influence(Small(), photo, "conv*", [0])
    with pytest.raises(PellucidError, match="layer 'unused' was not reached"):
        class_influence(Shared().eval(), photo, "unused", [0])
    with pytest.raises(PellucidError, match="2 channels but 1 lists of photos"):
        class_influence(Small(), photo, "conv1", [0, 1])
    with pytest.raises(PellucidError, match="holds no class logits"):
        class_influence(nn.Sequential(nn.Conv2d(3, 4, 3)), photo, "0", [0])
