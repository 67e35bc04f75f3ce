"""Building blocks: what channels, groups and the grid must add up to, and what they say of bad input."""

import pytest
import timm
import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain import class_logit
from pellucid.explain.blocks import activation_grid, channel_attribution, neuron_groups
from pellucid.explain.blocks.grid import coarsened, distinct, feature_images, fitting_transforms
from pellucid.explain.blocks.reading import fine_layer, read_layer
from pellucid.explain.objectives import channel, direction
from pellucid.explain.subject import Subject
from pellucid.explain.synthesis.transforms import Warp

from .networks import Linear, Small, random_image


class LinearHead(nn.Module):
    """A convolution with ReLU, then nothing that is not linear: its bias alone is not the layer's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(6, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    def constant(self) -> Tensor:
        """(5,) what the head says of nothing: of an activation of zeros."""
        return self.head(torch.zeros(1, 6, 24, 32, dtype=next(self.parameters()).dtype))[0]


class Tokens(nn.Module):
    """A class token and a token a patch, mixed by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = self.mix(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))
        return self.head(tokens.relu().mean(1))


class Chequered(nn.Module):
    """A layer whose left half is one direction and whose right half is another, with nothing in common."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[2.0, 0, 0], [0, -3, 0], [0, 0, 1]])[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).sum((2, 3))

    @staticmethod
    def photo() -> Tensor:
        image = torch.zeros(3, 8, 8)
        image[0, :, :4] = 1
        image[1, :, 4:] = 1
        return image


@pytest.fixture
def image() -> Tensor:
    return random_image()[0]


def test_attributions_sum_to_the_objective_less_its_constant_where_the_rest_is_linear(image):
    network = LinearHead().double()
    for target in range(5):
        made = channel_attribution(network, image.double(), target, layer="features")
        value = network(image[None].double())[0, target].item()
        assert made.value == pytest.approx(value, rel=1e-12)
        assert made.attributions.sum().item() == pytest.approx(value - network.constant()[target].item(), rel=1e-12)
        assert torch.allclose(made.maps.sum((1, 2)), made.attributions)
        assert made.maps.shape == (6, 24, 32)


def test_attributions_equal_autograd_written_out(image):
    network = Small().double()
    x = image[None].double()
    made = channel_attribution(network, image.double(), class_logit(3) - 0.5 * class_logit(0), layer="conv1")
    activation = network.conv1(x).detach().requires_grad_()
    rest = network.fc(network.act(network.conv2(network.act(network.bn(activation)))).mean((2, 3)))
    (gradient,) = torch.autograd.grad(rest[0, 3] - 0.5 * rest[0, 0], activation)
    assert torch.allclose(made.maps, (gradient * activation)[0].detach(), rtol=1e-12, atol=1e-15)


def test_an_objective_may_be_a_layers_own_unit(image):
    made = channel_attribution(Small(), image, channel("conv2", 4), layer="conv2")
    others = [i for i in range(6) if i != 4]
    assert made.attributions[others].abs().max() == 0
    assert float(made.attributions[4]) == pytest.approx(made.value, rel=1e-5)


def test_channels_are_listed_by_what_they_add_and_only_on_their_own_side(image):
    made = channel_attribution(Small(), image, 2, layer="conv1")
    supporting, opposing = made.supporting(6), made.opposing(6)
    values = made.attributions
    assert sorted(supporting + opposing) == sorted(int(i) for i in values.nonzero())
    assert all(values[i] > 0 for i in supporting)
    assert all(values[i] < 0 for i in opposing)
    assert values[supporting].tolist() == sorted(values[supporting].tolist(), reverse=True)
    assert values[opposing].tolist() == sorted(values[opposing].tolist())
    assert made.supporting(1) == supporting[:1]


def test_a_channel_that_speaks_by_being_negative_is_said_to():
    made = channel_attribution(Chequered(), Chequered.photo(), 1, layer="layer")
    assert made.signs.tolist() == [1, -1, 1]
    assert made.opposing(3) == [1]


def test_layers_of_tokens_are_read_position_by_position():
    network, image = Tokens(), random_image()[0]
    made = channel_attribution(network, image, 1, layer="mix")
    assert made.maps.shape == (8, 6, 8)
    assert len(neuron_groups(network, image, "mix", 3, objective=1)) == 3


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_groups_and_residual_sum_to_the_whole(layer, groups, image):
    network = Small()
    whole = channel_attribution(network, image, 2, layer=layer)
    made = neuron_groups(network, image, layer, groups, objective=2)
    assert float(made.attributions.sum()) + made.residual_attribution == pytest.approx(
        float(whole.attributions.sum()), rel=1e-9, abs=1e-12
    )
    assert float(made.shares.sum()) + made.residual_share == pytest.approx(1, abs=1e-12)
    reading = read_layer(Subject(network, image), layer, 2)
    built = torch.einsum("khw,kc->kchw", made.maps.double(), made.directions.double())
    each = (built * reading.gradient.double()).sum((1, 2, 3))
    assert torch.allclose(made.attributions, each, rtol=1e-9, atol=1e-12)
    residual = reading.activation.double() - built.sum(0)
    assert made.residual_attribution == pytest.approx(float((residual * reading.gradient.double()).sum()), rel=1e-9)
    assert made.attributions.tolist() == sorted(made.attributions.tolist(), reverse=True)


def test_groups_are_nonnegative_maps_of_unit_directions(image):
    made = neuron_groups(Small(), image, "conv1", 4)
    assert made.maps.shape == (4, 24, 32)
    assert made.maps.min() >= 0
    assert torch.allclose(made.directions.norm(dim=1), torch.ones(4), atol=1e-5)
    assert made.attributions is None
    assert made.residual_attribution is None
    assert made.shares.tolist() == sorted(made.shares.tolist(), reverse=True)


def test_groups_find_what_is_apart_with_both_signs():
    made = neuron_groups(Chequered(), Chequered.photo(), "layer", 2)
    assert made.residual_share == pytest.approx(0, abs=1e-5)
    right, left = made.maps  # the right half is the longer, so the larger share
    assert torch.allclose(made.directions, torch.tensor([[0.0, -1, 0], [1, 0, 0]]), atol=1e-3)
    assert torch.allclose(right[:, 4:], torch.tensor(3.0), atol=0.01)
    assert right[:, :4].max() < 0.01
    assert torch.allclose(left[:, :4], torch.tensor(2.0), atol=0.01)
    assert made.shares.tolist() == pytest.approx([9 / 13, 4 / 13], abs=1e-4)


def test_more_groups_explain_more(chelsea, embedded):
    shares = [neuron_groups(embedded, chelsea, "blocks.4", k).residual_share for k in (1, 4, 12)]
    assert shares[0] > shares[1] > shares[2] > 0


def test_the_seed_decides(image):
    first, again = (neuron_groups(Small(), image, "conv1", 3, objective=1, seed=5) for _ in range(2))
    assert torch.equal(first.maps, again.maps)
    assert torch.equal(first.directions, again.directions)


@pytest.mark.parametrize("groups", [0, 7, 100])
def test_too_many_groups_say_how_many_there_can_be(groups, image):
    with pytest.raises(PellucidError, match=rf"^{groups} groups: layer 'conv1' has 24 × 32 .* give 1 to 6$"):
        neuron_groups(Small(), image, "conv1", groups)


def test_layers_that_cannot_be_taken_apart(image, embedded, chelsea):
    for ask in (
        lambda layer: channel_attribution(embedded, chelsea, "tabby", layer),
        lambda layer: neuron_groups(embedded, chelsea, layer),
        lambda layer: activation_grid(embedded, chelsea, layer, size=32, steps=1),
    ):
        with pytest.raises(PellucidError, match="has no positions over the image; choose a layer before the pooling"):
            ask("global_pool")
        with pytest.raises(PellucidError, match=r"unknown layer 'blocks\.44'; did you mean"):
            ask("blocks.44")
    with pytest.raises(PellucidError, match="choose a layer before the pooling"):
        neuron_groups(embedded, chelsea, "global_pool.pool", 2)
    with pytest.raises(PellucidError, match="zero everywhere"):
        neuron_groups(Chequered(), torch.zeros(3, 8, 8), "layer", 1)
    with pytest.raises(PellucidError, match="one photo at a time"):
        neuron_groups(Small(), torch.stack([image, image]), "conv1", 1)
    with pytest.raises(PellucidError, match="does not depend on layer"):
        channel_attribution(Small(), image, channel("conv1", 0), layer="conv2")
    with pytest.raises(PellucidError, match=r"no positions|covers the image"):
        channel_attribution(Linear(), random_image(1, 6, 8)[0], 0)


@torch.no_grad()
def test_a_layer_that_is_not_finite_is_refused(image):
    network = Small()
    network.conv1.bias[0] = torch.inf
    with pytest.raises(PellucidError, match="NaN or infinit"):
        neuron_groups(network, image, "conv1", 2)


def test_the_embedded_networks_defaults(embedded, chelsea):
    whole = channel_attribution(embedded, chelsea, "tabby")
    assert whole.layer == "bn2"  # what follows is linear, so that nothing is lost
    bias = embedded.network.classifier.bias[embedded.classes.index("tabby")].item()
    assert float(whole.attributions.sum()) == pytest.approx(whole.value - bias, rel=1e-4)
    assert fine_layer(Subject(embedded, chelsea)) == "blocks.4"


@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer3"), ("vit_tiny_patch16_224", "blocks.11.norm1")])
def test_the_grids_default_layer_of_other_networks(name, layer):
    network = timm.create_model(name, pretrained=False).eval()
    assert fine_layer(Subject(network, torch.zeros(3, 224, 224))) == layer


def test_a_network_without_a_coarse_end_keeps_its_last_convolution(image):
    assert fine_layer(Subject(Small(), image)) == "conv2"


def test_the_grid_has_an_image_a_position_and_the_activations_length(image):
    network = Small()
    seen: list[tuple[float, int]] = []
    activation = network.conv2(network.act(network.bn(network.conv1(image[None]))))[0].detach()
    made = activation_grid(network, image, "conv2", size=16, steps=1, cells=8)
    assert made.pooled
    assert made.images.shape == (6, 8, 3, 16, 16)
    pooled = activation.unflatten(1, (6, 2)).unflatten(3, (8, 2)).mean((2, 4))
    assert torch.allclose(made.magnitudes, pooled.norm(dim=0), rtol=1e-4)
    made = activation_grid(network, image, "conv2", size=16, steps=3, cells=16, on_step=lambda *done: seen.append(done))
    assert not made.pooled
    assert made.images.shape == (12, 16, 3, 16, 16)
    assert torch.allclose(made.magnitudes, activation.norm(dim=0), rtol=1e-4)
    assert 0 <= made.images.min() < made.images.max() <= 1
    assert seen[-1] == (12 * 16, 12 * 16)
    assert [done for done, total in seen[-3:]] == sorted(done for done, _ in seen[-3:])


def test_each_cell_answers_its_own_direction_better_than_the_others():
    made = activation_grid(Chequered(), Chequered.photo(), "layer", size=16, steps=64)
    left, right = made.images[0, 0], made.images[0, -1]
    assert torch.equal(left, made.images[5, 2])  # positions of one direction share an image
    more = left.mean((1, 2)) - right.mean((1, 2))
    assert more[0] > 0.1
    assert more[1] < -0.1


def test_vectors_of_one_direction_are_found_whatever_their_length():
    own, which = distinct(torch.tensor([[2.0, 0, 0], [0, -3, 0], [0, 0, 0], [5, 1e-4, 0], [0, 3, 0]]))
    assert own == [0, 1, 4]
    assert which.tolist() == [0, 1, -1, 0, 2]


def test_a_zero_position_is_grey():
    photo = Chequered.photo()
    photo[:, :4] = 0
    made = activation_grid(Chequered(), photo, "layer", size=16, steps=1)
    assert (made.images[0, 0] == 0.5).all()
    assert made.magnitudes[0, 0] == 0
    assert (made.images[7, 0] != 0.5).any()
    nothing = activation_grid(Chequered(), torch.zeros(3, 8, 8), "layer", size=16, steps=1)
    assert (nothing.images == 0.5).all()


@pytest.mark.parametrize(("shape", "cells", "wanted"), [((28, 28), 14, (14, 14)), ((20, 30), 10, (7, 10))])
def test_a_fine_grid_is_averaged(shape, cells, wanted):
    made = coarsened(torch.ones(2, *shape), cells)
    assert made.shape == (2, *wanted)
    assert torch.allclose(made, torch.ones(()))
    assert coarsened(torch.ones(2, 5, 7), cells).shape == (2, 5, 7)


def test_images_do_not_depend_on_the_batch(image):
    objectives = [direction("conv2", torch.eye(6)[i], cosine_power=2) for i in range(3)]
    whole = feature_images(Small(), objectives, size=16, steps=4)
    apart = feature_images(Small(), objectives, size=16, steps=4, batch=2)
    assert torch.allclose(whole, apart, atol=1e-3)


@pytest.mark.parametrize("size", [8, 16, 64, 95, 100, 128, 224])
def test_the_transforms_of_small_images_keep_their_size(size):
    assert Warp(fitting_transforms(size), size, size).size == (size, size)


def test_a_network_of_one_size_has_cells_of_that_size():
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = nn.Parameter(torch.rand(3, 16, 16))
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x + self.place).sum((2, 3))

    made = activation_grid(Fixed(), torch.rand(3, 16, 16), "conv", steps=1, cells=2)
    assert made.images.shape == (2, 2, 3, 16, 16)
    with pytest.raises(PellucidError, match="cannot take images of 32×32"):
        activation_grid(Fixed(), torch.rand(3, 16, 16), "conv", steps=1, cells=2, size=32)


def test_a_head_of_one_size_does_not_matter_to_a_layer_before_it():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), Linear(16, 16))
    made = activation_grid(network, torch.rand(3, 16, 16), "0", steps=1, cells=2)
    assert made.images.shape == (2, 2, 3, 64, 64)


def test_the_model_is_left_as_it_was(image):
    network = Small().train()
    network.conv1.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flags = [p.requires_grad for p in network.parameters()]
    channel_attribution(network, image, 1, layer="conv2")
    neuron_groups(network, image, "conv2", 2, objective=1)
    activation_grid(network, image, size=16, steps=1, cells=2)
    assert network.training
    assert network.bn.training
    assert [p.requires_grad for p in network.parameters()] == flags
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
