"""Adversarial examples: always in their ball, and successful where they can be."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from pellucid import PellucidError
from pellucid.explain import Adversarial, adversarial
from pellucid.models.classification import Classifier

from .networks import Linear, Small, random_image
from .test_attribution import Dropping, InPlaceNormalise, left_as_it_was


def levels(made: Adversarial) -> Tensor:
    """The change in grey levels, in double precision."""
    return made.image.double() * 255 - made.original.double() * 255


def in_the_ball(made: Adversarial) -> bool:
    """Rounding alone excused: one part in 10⁶ of a grey level for the largest norm, of the length for the Euclidean."""
    if made.norm == "linf":
        return float(levels(made).abs().max()) <= made.epsilon * 255 + 1e-4
    return float(levels(made).norm()) <= made.epsilon * 255 * (1 + 1e-6) + 1e-4


@pytest.fixture(scope="module")
def small_photo(chelsea: Tensor) -> Tensor:
    return chelsea[:, ::2, ::2].contiguous()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
def test_the_embedded_network_is_made_to_say_another_class(
    embedded: Classifier, small_photo: Tensor, method: Any, norm: Any
) -> None:
    with left_as_it_was(embedded, small_photo):
        made = adversarial(embedded, small_photo, method=method, norm=norm, steps=6)
    assert made.succeeded
    assert int(made.after.argmax()) != int(made.before.argmax())
    assert in_the_ball(made)
    assert made.size <= made.epsilon * (1 + 1e-5)
    assert made.size > 0
    assert made.goal is None


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_embedded_network_is_made_to_say_a_class_aimed_at(
    embedded: Classifier, small_photo: Tensor, norm: Any
) -> None:
    made = adversarial(embedded, small_photo, target="golden retriever", norm=norm, steps=12)
    assert made.goal == embedded.classes.index("golden retriever")
    assert made.succeeded
    assert int(made.after.argmax()) == made.goal
    assert in_the_ball(made)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kind", ["tensor", "array", "PIL", "file"])
def test_the_picture_of_an_8_bit_photo_is_8_bit_and_what_was_tested(
    embedded: Classifier, small_photo: Tensor, kind: str, norm: Any, tmp_path: Any
) -> None:
    array = small_photo.permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "photo.png")
    photo = {"tensor": small_photo, "array": array, "PIL": Image.fromarray(array), "file": tmp_path / "photo.png"}[kind]
    made = adversarial(embedded, photo, norm=norm, steps=2)
    assert torch.equal(made.original, small_photo.float() / 255)
    whole = (made.image * 255).round()
    assert torch.allclose(made.image * 255, whole, atol=1e-4)
    saved = whole.byte().permute(1, 2, 0).numpy()
    Image.fromarray(saved).save(tmp_path / "attacked.png")
    again = embedded.predict([tmp_path / "attacked.png"])[0].logits
    assert again is not None
    assert torch.allclose(again, made.after, atol=1e-4)
    change = np.asarray(saved, dtype=np.int64) - array
    if norm == "linf":
        assert np.abs(change).max() <= 4
    assert in_the_ball(made)


@settings(max_examples=40, deadline=None)
@given(
    epsilon=st.floats(1e-4, 0.5),
    norm=st.sampled_from(["linf", "l2"]),
    method=st.sampled_from(["fgsm", "pgd"]),
    eight_bit=st.booleans(),
    step_size=st.sampled_from([None, 10.0]),
    seed=st.integers(0, 100),
)
def test_no_attack_leaves_its_ball_or_the_range_of_pixels(
    epsilon: float, norm: Any, method: Any, eight_bit: bool, step_size: float | None, seed: int
) -> None:
    photo = (torch.rand(3, 10, 12, generator=torch.Generator().manual_seed(seed)) * 1.2 - 0.1).clamp(0, 1)
    photo = (photo * 255).round().byte() if eight_bit else photo
    made = adversarial(
        Small(), photo, epsilon=epsilon, norm=norm, method=method, step_size=step_size, steps=3, seed=seed
    )
    assert in_the_ball(made)
    assert made.size <= epsilon * (1 + 1e-5) + 1e-7
    assert float(made.image.min()) >= 0
    assert float(made.image.max()) <= 1
    if eight_bit:
        assert torch.allclose(made.image * 255, (made.image * 255).round(), atol=1e-4)


def test_fgsm_takes_the_sign_of_the_gradient() -> None:
    network = Linear()
    image = torch.full((3, 6, 8), 0.5)
    made = adversarial(network, image, method="fgsm", epsilon=0.125)
    with torch.no_grad():
        scores = network(image[None])[0]
    # the cross-entropy's gradient: the mean of the rows by their probabilities, minus the row of the class
    way = (scores.softmax(0)[:, None, None, None] * network.weight.detach()).sum(0) - network.weight.detach()[
        scores.argmax()
    ]
    assert torch.allclose(made.image, image + 0.125 * way.sign())
    assert torch.equal(made.before, scores)
    assert made.size == pytest.approx(0.125)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_on_a_linear_network_of_two_classes_finds_the_balls_worst_point(norm: Any) -> None:
    class Two(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :2] * 0.01

    network, image = Two(), torch.full((3, 6, 8), 0.5)
    made = adversarial(network, image, target=0, norm=norm, epsilon=0.25, steps=200, step_size=0.05)
    way = (network.weight[0] - network.weight[1]).detach()
    best = 0.25 * way.sign() if norm == "linf" else 0.25 * way / way.norm()
    assert torch.allclose(made.image, image + best, atol=2e-3)


def test_bounds_other_than_0_to_1_are_kept() -> None:
    image = random_image(1)[0].clamp(-2, 2)
    made = adversarial(Small(), image, bounds=(-2.0, 2.0), epsilon=1.0, steps=3)
    assert float(made.image.min()) >= -2
    assert float(made.image.max()) <= 2
    assert float((made.image - image).abs().max()) <= 1 + 1e-6
    default = adversarial(Small(), image, bounds=(-2.0, 2.0), method="fgsm")
    assert default.epsilon == pytest.approx(4 / 255 * 4)


def test_a_seed_repeats_the_attack_and_another_starts_elsewhere() -> None:
    photo = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    made = [adversarial(Small(), photo, epsilon=0.2, step_size=1e-4, steps=1, seed=seed).image for seed in (1, 1, 2)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    "network", [Dropping(), nn.Sequential(InPlaceNormalise(), Small()).eval()], ids=["train", "in place"]
)
def test_networks_in_training_or_in_place_on_their_input_are_left_as_they_were(network: nn.Module) -> None:
    photo = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    with left_as_it_was(network, photo), torch.inference_mode():
        made = adversarial(network, photo, steps=3)
    assert in_the_ball(made)


def test_photos_of_more_than_1024_pixels_are_reduced(embedded: Classifier, chelsea: Tensor) -> None:
    large = chelsea.repeat(1, 1, 4)
    made = adversarial(embedded, large, method="fgsm")
    assert made.image.shape == made.original.shape == (3, round(300 * 1024 / 1804), 1024)
    assert torch.allclose(made.original * 255, (made.original * 255).round(), atol=1e-4)
    assert in_the_ball(made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "cw"}, "unknown attack 'cw'; the attacks are fgsm and pgd"),
        ({"norm": "l1"}, "unknown norm 'l1'; the norms are linf and l2"),
        ({"epsilon": 0.0}, "epsilon must be above 0"),
        ({"epsilon": math.nan}, "epsilon must be above 0"),
        ({"steps": 0}, "steps at least 1"),
        ({"target": 5}, "class 5: the network scores 5 classes"),
        ({"target": "tabby"}, "no class names"),
        ({"bounds": (0.2, 0.8)}, "give their range as bounds="),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    photo = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(PellucidError) as error:
        adversarial(Small(), photo, **options)
    assert message in str(error.value)


def test_a_batch_a_misspelt_class_and_nan_are_refused(embedded: Classifier, small_photo: Tensor) -> None:
    with pytest.raises(PellucidError, match="one photo at a time"):
        adversarial(Small(), torch.rand(2, 3, 8, 8))
    with pytest.raises(PellucidError, match="unknown class 'golden retreiver'; did you mean 'golden retriever'"):
        adversarial(embedded, small_photo, target="golden retreiver")
    network = Small()
    with torch.no_grad():
        network.fc.bias[0] = torch.nan
    photo = torch.rand(3, 8, 8)
    with left_as_it_was(network), pytest.raises(PellucidError, match="NaN or infinity"):
        adversarial(network, photo)
