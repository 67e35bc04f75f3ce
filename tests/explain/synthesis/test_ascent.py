"""The ascent: it climbs, repeats under a seed, goes no deeper than it must, and leaves the network alone."""

import copy

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from pellucid import explain
from pellucid.errors import PellucidError
from pellucid.explain.frozen import FrozenNormalisation
from pellucid.explain.synthesis import Jitter, caricature, deep_dream, interpolate, style_similarities, synthesize

from ..networks import Linear, Small


def test_on_a_linear_network_pixels_go_where_the_weights_point():
    network = Linear(16, 16)
    made = synthesize(
        network,
        2,
        size=16,
        steps=60,
        parametrisation="pixels",
        decorrelate=False,
        transforms=(),
        rate=0.2,
    )
    assert made.images.shape == (1, 3, 16, 16)
    assert bool(((made.images[0] > 0.5) == (network.weight[2] > 0)).all())
    torch.testing.assert_close(made.values, network(made.images)[:, 2].detach())


@pytest.mark.parametrize("parametrisation", ["fourier", "pixels", "maco"])
def test_the_value_rises(parametrisation):
    made = synthesize(
        Small(), explain.channel("conv2", 1), size=32, steps=40, parametrisation=parametrisation, transforms=()
    )
    assert made.history.shape == (40, 1)
    assert float(made.history[-1]) > float(made.history[0]) + 0.02
    assert float(made.values[0]) > float(made.history[0])


def test_standard_transforms_and_crops_too(embedded):
    channel = explain.channel("blocks.1.0", 3)
    made = synthesize(embedded, channel, steps=24, size=64)
    assert float(made.values[0]) > 2 * abs(float(made.history[0]))
    with_crops = explain.synthesis.Crops(count=3, size=48)
    crops = synthesize(embedded, [channel, channel], steps=12, size=96, parametrisation="maco", transforms=with_crops)
    assert crops.history.shape == (12, 2)
    assert bool((crops.history[6:].mean(0) > crops.history[0]).all())


def test_the_same_seed_gives_the_same_image_and_another_seed_another():
    def make(seed):
        return synthesize(Small(), explain.channel("conv1", 0), size=24, steps=6, seed=seed).images

    assert torch.equal(make(3), make(3))
    assert not torch.equal(make(3), make(4))


def test_an_image_of_a_batch_is_the_one_that_it_would_be_alone():
    network = Small().double()
    objectives = [explain.channel("conv1", 0), explain.channel("conv2", 3), explain.class_logit(1)]
    together = synthesize(network, objectives, size=24, steps=5, seed=7)
    for i, objective in enumerate(objectives):
        alone = synthesize(network, objective, size=24, steps=5, seed=7 + i)
        torch.testing.assert_close(together.images[i : i + 1], alone.images, atol=1e-4, rtol=0)
        torch.testing.assert_close(together.history[:, i], alone.history[:, 0], atol=1e-3, rtol=1e-3)


def test_an_objective_of_its_own_for_each_image_whatever_the_predictions_are(embedded):
    """A classifier's list of Annotations is split as a tensor is."""
    made = synthesize(embedded, ["tabby", "espresso"], size=64, steps=2, transforms=())
    said = [embedded.from_frame(image[None])[0] for image in made.images]
    logits = [
        float(s.logits[embedded.classes.index(c)].detach()) for s, c in zip(said, ["tabby", "espresso"], strict=True)
    ]
    assert made.values.tolist() == pytest.approx(logits, abs=1e-3)


class Deep(Small):
    """Its head fails: a pass that goes further than the layer is noticed."""

    def forward(self, x):
        x = self.conv1(x)
        if x.shape[-1] > 0:
            raise RuntimeError("went on")
        return x


def test_the_pass_stops_at_the_objectives_layer():
    synthesize(Deep(), explain.channel("conv1", 0), size=16, steps=2)
    with pytest.raises(PellucidError, match="went on"):
        synthesize(Deep(), 0, size=16, steps=2)


def test_the_network_is_left_as_it_was():
    network = Small().train()
    network.conv1.weight.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    memory = [p.data_ptr() for p in network.parameters()]
    flags = [p.requires_grad for p in network.parameters()]
    synthesize(network, explain.channel("conv2", 0), size=16, steps=3, number=2, diversity=1)
    assert network.training
    assert all(m.training for m in network.modules())
    assert [p.requires_grad for p in network.parameters()] == flags
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(torch.equal(a, b) for a, b in zip(before.values(), network.state_dict().values(), strict=True))
    assert [p.data_ptr() for p in network.parameters()] == memory


def test_snapshots_and_steps_are_reported():
    seen = []
    made = synthesize(
        Small(),
        explain.channel("conv1", 0),
        size=16,
        steps=5,
        snapshots=(2, 5),
        on_step=lambda step, values: seen.append((step, float(values[0]))),
    )
    assert sorted(made.snapshots) == [2, 5]
    assert torch.equal(made.snapshots[5], made.images)
    assert not torch.equal(made.snapshots[2], made.images)
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    assert [value for _, value in seen] == made.history[:, 0].tolist()


class Dead(nn.Module):
    """Its rectifier lets nothing through for an image near grey."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.fill_(0.05)
            self.conv.bias.fill_(-0.9)

    def forward(self, x):
        return self.relu(self.conv(x)).mean((2, 3))


def test_a_dead_unit_is_woken_by_the_redirected_gradient():
    options = {"size": 16, "steps": 60, "transforms": ()}
    alive = synthesize(Dead(), explain.channel("relu", 0), **options)
    assert float(alive.values[0]) > 0
    asleep = synthesize(Dead(), explain.channel("relu", 0), redirected_steps=0, **options)
    assert float(asleep.values[0]) == 0


def test_diversity_makes_images_differ(embedded):
    def similarity(images):
        with torch.no_grad(), explain.watch(embedded.network, "blocks.2.1") as seen:
            styles = style_similarities(seen(embedded.preprocessing.normalise(images))["blocks.2.1"])
        return float((styles.sum() - styles.diagonal().sum()) / (len(styles) * (len(styles) - 1)))

    options = {"number": 3, "steps": 48, "size": 64}
    alike = synthesize(embedded, explain.channel("blocks.2.1", 7), **options)
    diverse = synthesize(embedded, explain.channel("blocks.2.1", 7), diversity=0.7, **options)
    assert similarity(diverse.images) < 0.6 * similarity(alike.images)
    assert float(diverse.values.mean()) > 0.6 * float(alike.values.mean())


def test_regularisers_do_what_they_are_named_for():
    from pellucid.explain.synthesis.regularisers import total_variation

    options = {"size": 24, "steps": 40, "parametrisation": "pixels", "transforms": ()}
    rough = synthesize(Small(), explain.channel("conv2", 1), **options)
    smooth = synthesize(Small(), explain.channel("conv2", 1), regularise={"tv": 5}, **options)
    assert float(total_variation(smooth.images)[0]) < 0.5 * float(total_variation(rough.images)[0])


def test_a_bare_module_is_given_what_preprocess_makes():
    network = Linear(16, 16)
    options = {"size": 16, "steps": 2, "transforms": ()}
    plain = synthesize(network, 0, preprocess=lambda x: (x - 0.5) / 0.25, **options)
    torch.testing.assert_close(plain.values, network((plain.images - 0.5) / 0.25)[:, 0].detach())


def test_interpolation_has_both_ends_and_equal_steps():
    a, b = explain.channel("conv1", 0), explain.channel("conv2", 1)
    way = interpolate(a, b, 3)
    assert way[0] is a
    assert way[2] is b
    assert str(way[1]) == "0.5*conv1:0 + 0.5*conv2:1"
    made = synthesize(Small(), way, size=16, steps=2)
    assert made.images.shape[0] == 3


def test_deep_dream_strengthens_the_layer_and_keeps_the_photo(embedded, chelsea):
    made = deep_dream(embedded, chelsea, layer="blocks.2", size=128, octaves=2, steps=8)
    assert made.images.shape == (1, 3, 85, 128)
    assert made.history.shape == (16, 1)
    photo = F.interpolate(chelsea[None].float() / 255, (85, 128), mode="bilinear", antialias=True)
    assert float((made.images - photo).abs().mean()) < 0.2
    assert float(made.history[7, 0]) > 1.2 * float(made.history[0, 0])
    with pytest.raises(PellucidError, match="give a layer, or an objective"):
        deep_dream(embedded, chelsea)


def test_caricature_points_where_the_photo_does(embedded, chelsea):
    made = caricature(embedded, chelsea, "blocks.3", size=64, steps=30)
    side = chelsea[:, :, 75:375].float() / 255
    photo = F.interpolate(side[None], (64, 64), mode="bilinear", antialias=True)
    noise = torch.full_like(photo, 0.5)

    def activation(x):
        with torch.no_grad(), explain.watch(embedded.network, "blocks.3") as seen:
            return seen(embedded.preprocessing.normalise(x))["blocks.3"].flatten()

    wanted = activation(photo)
    assert F.cosine_similarity(activation(made.images), wanted, dim=0) > 0.4
    assert F.cosine_similarity(activation(noise), wanted, dim=0) < 0.3


def test_images_are_saved_as_they_are(tmp_path):
    made = synthesize(Small(), explain.channel("conv1", 0), size=16, steps=2, number=2)
    paths = made.save(tmp_path / "new", "unit")
    assert [p.name for p in paths] == ["unit-1.png", "unit-2.png"]
    read = np.asarray(Image.open(paths[1]))
    assert np.abs(read.transpose(2, 0, 1) / 255 - made.images[1].numpy()).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(
    ("objective", "options", "message"),
    [
        (explain.channel("conv3", 0), {}, "unknown layer 'conv3'; did you mean"),
        (explain.channel("conv1", 6), {}, "6 channels, 0 to 5; there is no channel 6"),
        (explain.class_logit("tabby"), {}, "no class names"),
        (9, {}, "5 classes, 0 to 4"),
        (0, {"steps": 0}, "at least one step"),
        (0, {"size": 4}, "8 to 4096 pixels"),
        (0, {"size": 99999}, "8 to 4096 pixels"),
        (0, {"number": 0}, "at least one image"),
        ([0, 1], {"number": 2}, "a list of objectives"),
        ([], {}, "is empty"),
        (0, {"parametrisation": "fouriers"}, "did you mean 'fourier'"),
        (0, {"regularise": {"tv2": 1}}, "unknown regulariser 'tv2'"),
        (0, {"rate": 0.0}, "above 0"),
        (0, {"snapshots": (9,)}, "the steps are 1 to 3"),
        (0, {"start": torch.zeros(3, 9, 9)}, "start: has shape"),
        (0, {"transforms": (Jitter(40),)}, "leave nothing"),
        (0, {"number": 2, "diversity": 1.0}, "reads no layer"),
        ([0, 1], {"diversity": 1.0}, "one objective"),
        (explain.of_predictions(lambda row: torch.tensor(1.0)), {}, "does not depend on the image"),
    ],
)
def test_bad_input_is_named(objective, options, message):
    with pytest.raises(PellucidError, match=message):
        synthesize(Small(), objective, **{"size": 16, "steps": 3, **options})


def test_a_network_that_gives_nan_is_named():
    network = Small()
    with torch.no_grad():
        network.conv2.weight[0] = torch.nan
    with pytest.raises(PellucidError, match="became NaN or infinite at step 1"):
        synthesize(network, explain.channel("conv2", 0), size=16, steps=3)


def test_a_network_of_one_size_says_so():
    network = timm.create_model("vit_tiny_patch16_224", num_classes=5).eval()
    with pytest.raises(PellucidError, match=r"cannot take images of 64×64 pixels .*size it was trained at"):
        synthesize(network, 0, size=64, steps=1, transforms=())


def test_frozen_normalisation_is_the_same_function(shaken):
    network = shaken(timm.create_model("resnet18"), double=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.requires_grad_()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    expected = network(x)
    with FrozenNormalisation():
        made = network(x)
    torch.testing.assert_close(made, expected)
    (a,) = torch.autograd.grad(expected[:, 3].sum(), x)
    (b,) = torch.autograd.grad(made[:, 3].sum(), x)
    torch.testing.assert_close(b, a)


def test_frozen_normalisation_leaves_training_alone():
    norm = nn.BatchNorm2d(4).train()
    x = torch.randn(3, 4, 5, 5)
    with FrozenNormalisation():
        made = norm(x)
    assert float(made.mean().abs().detach()) < 1e-5  # normalised by the batch, not by the running statistics
    assert int(norm.num_batches_tracked) == 1
