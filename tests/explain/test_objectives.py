"""Objectives: their values against hand computations, their sums, and their errors."""

from collections.abc import Callable

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pellucid import PellucidError, explain
from pellucid.explain import Objective, channel, class_logit, direction, layer, neuron, of_predictions, watch
from pellucid.explain.forward import objective_values
from pellucid.explain.objectives import as_objective
from pellucid.explain.subject import Subject
from pellucid.models.classification import Classifier

from .networks import CLASSES, Small, random_image


def values(network: nn.Module, x: Tensor, *objectives: Objective) -> Tensor:
    return objective_values(Subject(network, x), x, list(objectives))


def logits(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network(x)


def same(a: Tensor, b: Tensor) -> bool:
    """Equal but for rounding: PyTorch takes another kernel for a linear layer whose weights are frozen."""
    return torch.allclose(a, b, rtol=0, atol=1e-6)


def activation(network: nn.Module, name: str, x: Tensor) -> Tensor:
    with torch.no_grad(), watch(network, [name]) as seen:
        return seen(x)[name]


@pytest.fixture(scope="module")
def swin() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("swin_tiny_patch4_window7_224", num_classes=CLASSES, img_size=112).eval()


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    torch.manual_seed(0)
    options = {"num_classes": CLASSES, "img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3}
    return timm.create_model("vit_tiny_patch16_224", **options).eval()


def test_a_class_logit_is_the_column_of_the_output() -> None:
    network, x = Small(), random_image(3)
    found = values(network, x, class_logit(2), class_logit("4"))
    assert same(found, logits(network, x)[:, [2, 4]])


def test_a_class_is_found_by_name_synonym_and_index(embedded: Classifier, chelsea: Tensor) -> None:
    subject = Subject(embedded, chelsea)
    index = embedded.classes.index("tabby")
    names = ["tabby", "TABBY", index, str(index)]
    found = objective_values(subject, subject.frame, [class_logit(name) for name in names])
    said = embedded.predict([chelsea])[0].logits
    assert said is not None
    assert torch.allclose(found, said[index].expand(1, 4), atol=1e-5)


@pytest.mark.parametrize(
    ("y", "x", "row", "column"),
    [(None, None, 6, 8), (0, 0, 0, 0), (3, None, 3, 8), (None, -1, 6, 15), (-12, 15, 0, 15)],
)
def test_a_neuron_is_one_number_of_the_grid(y: int | None, x: int | None, row: int, column: int) -> None:
    network, image = Small(), random_image(2)
    expected = activation(network, "conv2", image)[:, 4, row, column]
    assert torch.equal(values(network, image, neuron("conv2", 4, y, x))[:, 0], expected)


def test_a_neuron_of_a_vector_is_its_component() -> None:
    network, image = Small(), random_image(2)
    assert same(values(network, image, neuron("fc", 3))[:, 0], logits(network, image)[:, 3])


def test_a_channel_is_the_mean_of_its_map() -> None:
    network, image = Small(), random_image(2)
    expected = activation(network, "conv1", image)[:, 5].mean((1, 2))
    assert torch.allclose(values(network, image, channel("conv1", 5), channel("conv1", -1)), expected[:, None])


def test_a_layer_is_the_mean_of_its_squares() -> None:
    network, image = Small(), random_image(2)
    expected = activation(network, "conv1", image).square().mean((1, 2, 3))
    assert torch.allclose(values(network, image, layer("conv1"))[:, 0], expected)


def test_a_direction_is_the_mean_dot_product_or_the_one_at_a_place() -> None:
    network, image, vector = Small(), random_image(2), torch.arange(6) - 2.0
    along = (activation(network, "conv2", image) * vector[:, None, None]).sum(1)
    found = values(
        network,
        image,
        direction("conv2", vector),
        direction("conv2", vector, y=2, x=-3),
        direction("conv2", vector, y=2),
        direction("conv2", vector, x=5),
    )
    expected = [along.mean((1, 2)), along[:, 2, -3], along[:, 2].mean(1), along[:, :, 5].mean(1)]
    assert torch.allclose(found, torch.stack(expected, 1), atol=1e-5)
    head = values(network, image, direction("fc", torch.eye(CLASSES)[1]))
    assert torch.allclose(head[:, 0], logits(network, image)[:, 1])


def test_a_unit_direction_is_its_channel() -> None:
    network, image = Small(), random_image(2)
    found = values(network, image, direction("conv2", torch.eye(6)[3]), channel("conv2", 3))
    assert torch.allclose(found[:, 0], found[:, 1])


def test_channels_last_layers_are_read_by_channel(swin: nn.Module) -> None:
    image = random_image(1, 112, 112)
    stage = activation(swin, "layers.1", image)
    assert stage.shape == (1, 14, 14, 192)
    found = values(swin, image, channel("layers.1", 100), neuron("layers.1", 7, 3, 11))
    assert torch.allclose(found[0], torch.stack([stage[0, :, :, 100].mean(), stage[0, 3, 11, 7]]), atol=1e-6)


def test_token_layers_are_read_as_a_grid_without_the_class_token(vit: nn.Module) -> None:
    image = random_image(1, 64, 64)
    tokens = activation(vit, "blocks.1", image)
    assert tokens.shape == (1, 17, 48)
    grid = tokens[0, 1:].reshape(4, 4, 48)
    found = values(vit, image, channel("blocks.1", 40), neuron("blocks.1", 7, 3, 1), neuron("blocks.1", 7))
    assert torch.allclose(found[0], torch.stack([grid[..., 40].mean(), grid[3, 1, 7], grid[2, 2, 7]]), atol=1e-6)


def test_a_call_of_a_shared_layer_can_be_asked_for() -> None:
    network, image = Small(act=nn.ReLU()), random_image(2)
    first = activation(network, "bn", image).relu()
    found = values(network, image, channel("act#0", 2), channel("act#1", 2))
    assert torch.allclose(found[:, 0], first[:, 2].mean((1, 2)))
    assert not torch.allclose(found[:, 0], found[:, 1])


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(0, CLASSES - 1))
def test_objectives_add_subtract_and_scale_as_their_values_do(a: float, b: float, index: int) -> None:
    network, image = Small(), random_image(2)
    one, other = class_logit(index), channel("conv2", 1)
    found = values(network, image, one, other, a * one + other * b, one - b * other, -(one + other), (a * one) / 2)
    u, v = found[:, 0], found[:, 1]
    expected = torch.stack([a * u + b * v, u - b * v, -(u + v), a * u / 2], 1)
    assert torch.allclose(found[:, 2:], expected, atol=1e-5)


def test_the_text_of_a_sum_says_what_it_is() -> None:
    a, b = class_logit("tabby"), channel("conv1", 3)
    assert str(a + b) == "tabby + conv1:3"
    assert str(2 * (a - b)) == "2*(tabby - conv1:3)"
    assert str(a - (b + a)) == "tabby - (conv1:3 + tabby)"
    assert str(-(a + b)) == "-(tabby + conv1:3)"
    assert str(0.5 * -a) in ("0.5*-tabby", "0.5*(-tabby)")


def test_a_sum_reads_what_its_parts_read_each_layer_once() -> None:
    total = channel("a", 1) + 2 * channel("b", 1) - channel("a", 2)
    assert total.layers == ("a", "b")
    assert not total.reads_predictions
    assert (total + class_logit(0)).reads_predictions


@pytest.mark.parametrize(
    "wrong",
    [
        lambda o: o + 1,
        lambda o: o - 1.0,
        lambda o: o * o,
        lambda o: o * "2",
        lambda o: o * True,
        lambda o: "x" * o,
    ],
)
def test_objectives_do_not_mix_with_other_things(wrong: Callable[[Objective], object]) -> None:
    with pytest.raises(TypeError):
        wrong(class_logit(0))


def test_a_plain_function_sees_one_image_at_a_time() -> None:
    network, x = Small(), random_image(3)

    def margin(said: Tensor) -> Tensor:
        assert said.shape == (CLASSES,)
        return said[0] - said[1:].max()

    expected = torch.stack([margin(row) for row in logits(network, x)])
    assert same(values(network, x, as_objective(margin))[:, 0], expected)
    assert str(as_objective(margin)) == "margin"
    assert str(of_predictions(margin, "the margin")) == "the margin"


def test_a_function_of_a_mapping_or_tuple_sees_one_images_row_of_each_part() -> None:
    class Heads(Small):
        def forward(self, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:  # type: ignore[override]
            scores = super().forward(x)
            return {"heads": (scores, scores.softmax(1))}

    network, x = Heads(), random_image(3)
    found = values(network, x, of_predictions(lambda said: said["heads"][1][2]))
    assert torch.allclose(found[:, 0], Small()(x).softmax(1)[:, 2])


def test_a_function_of_our_models_predictions_sees_their_annotations(embedded: Classifier, chelsea: Tensor) -> None:
    subject = Subject(embedded, chelsea)
    found = objective_values(subject, subject.frame, [of_predictions(lambda said: said.probabilities.max())])
    assert found.shape == (1, 1)
    assert float(found) == pytest.approx(embedded.predict([chelsea])[0].top(1)[0].probability, abs=1e-5)


def test_classes_and_functions_become_objectives_and_other_things_do_not() -> None:
    objective = class_logit(1)
    assert as_objective(objective) is objective
    assert as_objective("cat").text == "cat"
    assert as_objective(3).probability is not None
    with pytest.raises(PellucidError, match="is no objective"):
        as_objective(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (class_logit(CLASSES), f"class {CLASSES}: the network scores {CLASSES} classes, 0 to {CLASSES - 1}"),
        (class_logit(-1), "class -1"),
        (class_logit("tabby"), "no class names; give the class by its index, 0 to 4"),
        (class_logit("²"), "no class names"),
        (channel("conv1", 6), "layer 'conv1' has 6 channels, 0 to 5; there is no channel 6"),
        (channel("conv1", -7), "there is no channel -7"),
        (neuron("conv1", 0, 24), "layer 'conv1' has 24 rows"),
        (neuron("conv1", 0, 0, 32), "layer 'conv1' has 32 columns"),
        (direction("conv1", torch.ones(5)), "layer 'conv1' has 6 channels, the direction has 5"),
        (direction("conv1", torch.ones(6), x=40), "has 32 columns"),
        (channel("conv3", 0), "unknown layer 'conv3'; did you mean"),
        (of_predictions(lambda said: torch.tensor(torch.nan), "odd"), "NaN for 'odd'"),
        (of_predictions(lambda said: said[0] / 0, "odd"), "infinity for 'odd'"),
    ],
)
def test_what_can_not_be_read_is_an_error_that_says_why(objective: Objective, message: str) -> None:
    with pytest.raises(PellucidError) as error:
        values(Small(), random_image(1), objective)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_class_name_is_refused_with_the_nearest(embedded: Classifier, chelsea: Tensor) -> None:
    with pytest.raises(PellucidError, match="unknown class 'tabbi'; did you mean 'tabby'"):
        explain.attribute(embedded, chelsea, "tabbi")


def test_an_objective_of_the_wrong_shape_is_refused() -> None:
    wrong = Objective("wrong", (), True, lambda forward: forward.predictions)
    with pytest.raises(PellucidError, match=r"objective 'wrong' gave shape \(1, 5\), not one number for each image"):
        values(Small(), random_image(1), wrong)


def test_an_output_without_logits_is_refused_for_a_class() -> None:
    class Maps(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(PellucidError, match="holds no class logits"):
        values(Maps(), random_image(1), class_logit(0))


@pytest.mark.parametrize("kind", ["tuple", "named"])
def test_logits_are_found_in_tuples_and_in_outputs_that_name_them(kind: str) -> None:
    from types import SimpleNamespace

    class Wrapped(Small):
        def forward(self, x: Tensor) -> object:  # type: ignore[override]
            scores = super().forward(x)
            return (scores, x) if kind == "tuple" else SimpleNamespace(logits=scores)

    x = random_image(2)
    assert same(values(Wrapped(), x, class_logit(1))[:, 0], logits(Small(), x)[:, 1])


def test_a_layer_objective_ends_the_pass_at_its_layer() -> None:
    network = Small()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network.conv2, "forward", lambda x: pytest.fail("ran behind the layer"))
        values(network, random_image(1), channel("conv1", 0))
