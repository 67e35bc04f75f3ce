"""Tests of explanations on cases whose answer is known: linear networks, perfect, inverted and random maps."""

import pytest
import torch
from torch import Tensor, nn

from pellucid import PellucidError
from pellucid.explain import (
    METHODS,
    Explanation,
    attribute,
    attribute_all,
    channel,
    check,
    deletion,
    energy_inside,
    insertion,
    of_predictions,
    pointing_game,
)
from pellucid.explain.attribution import Method
from pellucid.explain.faithfulness import Curve
from pellucid.explain.randomisation import edges
from pellucid.structures import Placement

from .networks import Small, random_image

H, W = 8, 12
SCORE = of_predictions(lambda said: said[0], "score")


class Bright(nn.Module):
    """Scores: the weighted brightness of an image, and nothing."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        score = (x.mean(1) * self.weight).sum((1, 2))
        return torch.stack([score, torch.zeros_like(score)], 1)


def made(values: Tensor, method: str = "saliency", target: str = "score", *, signed: bool = False) -> Explanation:
    h, w = values.shape[-2:]
    return Explanation(method, target, None, values, Placement.whole(h, w), signed)


def distinct(seed: int = 0) -> Tensor:
    """(H, W) positive values, all different."""
    return (torch.randperm(H * W, generator=torch.Generator().manual_seed(seed)) + 1.0).view(H, W)


@pytest.fixture
def two_level() -> tuple[Bright, Tensor]:
    """A network that adds up a quarter of the pixels, and an image of mean 0 that is 1 there."""
    weight = torch.zeros(H, W)
    weight[:4, :6] = 1.0
    image = torch.full((3, H, W), -1 / 3)
    image[:, :4, :6] = 1.0
    return Bright(weight), image


def test_the_area_of_a_curve_is_its_trapezoids() -> None:
    assert Curve((0.0, 0.5, 1.0), (1.0, 0.5, 0.0)).area == pytest.approx(0.5)
    assert Curve((0.0, 0.25, 1.0), (1.0, 0.0, 0.0)).area == pytest.approx(0.125)
    assert Curve((0.0, 0.1, 1.0), (2.0, 2.0, 2.0)).area == pytest.approx(2.0)


def test_deletion_of_a_perfect_map_falls_in_a_line_and_then_stays(two_level: tuple[Bright, Tensor]) -> None:
    network, image = two_level
    perfect = made(network.weight.detach())
    curve = deletion(network, image, SCORE, perfect, steps=8)
    assert curve.shares == tuple(i / 8 for i in range(9))
    assert curve.values == pytest.approx([1, 0.5, 0, 0, 0, 0, 0, 0, 0], abs=1e-5)
    assert curve.area == pytest.approx(0.125, abs=1e-5)


def test_deletion_of_an_inverted_map_stays_and_then_falls(two_level: tuple[Bright, Tensor]) -> None:
    network, image = two_level
    curve = deletion(network, image, SCORE, made(1 - network.weight.detach()), steps=8)
    assert curve.values == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.5, 0], abs=1e-5)


def test_insertion_of_a_perfect_map_rises_at_once_and_of_an_inverted_one_at_last() -> None:
    generator = torch.Generator().manual_seed(0)
    network = Bright(torch.rand(H, W, generator=generator))
    image = torch.rand(3, H, W, generator=generator)
    adds = ((image - _blur(image)).mean(0) * network.weight).detach()
    best = insertion(network, image, SCORE, made(adds, "occlusion", signed=True), steps=H * W)
    worst = insertion(network, image, SCORE, made(-adds, "occlusion", signed=True), steps=H * W)
    some = insertion(network, image, SCORE, made(distinct()), steps=H * W)
    assert adds.sum() != 0
    sign = 1 if adds.sum() > 0 else -1
    assert best.values[0] == worst.values[0] == 0
    assert best.values[-1] == pytest.approx(1)
    expected = torch.cat([torch.zeros(1), adds.flatten().sort(descending=True).values.cumsum(0)]) / adds.sum()
    assert torch.allclose(torch.tensor(best.values), expected, atol=1e-3)
    assert sign * best.area > sign * some.area > sign * worst.area


def _blur(image: Tensor) -> Tensor:
    from torchvision.transforms.v2.functional import gaussian_blur

    return gaussian_blur(image, [7, 7], [1.4, 1.4])


def test_every_pixel_of_a_linear_network_takes_its_own_share() -> None:
    network, image = Bright(distinct()), torch.rand(3, H, W, generator=torch.Generator().manual_seed(1))
    image = image - image.mean((1, 2), keepdim=True) + 0.0
    order = made(distinct(3))
    curve = deletion(network, image, SCORE, order, steps=H * W)
    adds = (image.mean(0) * network.weight).detach()
    left = adds.sum() - adds.flatten()[order.frame_map.flatten().argsort(descending=True)].cumsum(0)
    expected = torch.cat([torch.ones(1), left / adds.sum()])
    assert torch.allclose(torch.tensor(curve.values), expected, atol=1e-3)


def test_the_curve_of_a_class_is_its_probability() -> None:
    network, image = Small(), random_image(1)[0]
    curve = deletion(network, image, 2, attribute(network, image, 2, method="saliency"), steps=4)
    with torch.no_grad():
        whole = network(image[None]).softmax(1)[0, 2]
        flat = network(image.mean((1, 2), keepdim=True).expand_as(image)[None]).softmax(1)[0, 2]
    assert (curve.values[0], curve.values[-1]) == pytest.approx((float(whole), float(flat)), abs=1e-6)


def test_a_perfect_map_beats_a_random_one_and_that_an_inverted_one(two_level: tuple[Bright, Tensor]) -> None:
    network, image = two_level
    areas = [
        deletion(network, image, SCORE, made(values)).area
        for values in (network.weight.detach(), distinct(), 1 - network.weight.detach())
    ]
    assert areas[0] < areas[1] < areas[2]


@pytest.mark.parametrize("steps", [1, 7, H * W, 1000])
def test_a_curve_begins_at_0_and_ends_at_1_whatever_its_steps(steps: int, two_level: tuple[Bright, Tensor]) -> None:
    network, image = two_level
    curve = deletion(network, image, SCORE, made(distinct()), steps=steps)
    assert len(curve.shares) == len(curve.values) == steps + 1
    assert (curve.shares[0], curve.shares[-1]) == (0, 1)
    assert (curve.values[0], curve.values[-1]) == pytest.approx((1, 0), abs=1e-5)


def test_signed_maps_rank_what_speaks_against_last() -> None:
    values = torch.tensor([[-5.0, 1.0], [0.5, 0.0]])
    assert torch.equal(made(values, signed=True).strength(), values)
    assert torch.equal(made(values).strength(), values.abs())
    coloured = torch.stack([values, -values, values])
    assert torch.equal(made(coloured, signed=True).strength(), values)
    assert torch.equal(made(coloured).strength(), values.abs())


def test_the_pointing_game_asks_for_the_strongest_pixel_alone() -> None:
    values = torch.zeros(H, W)
    values[2, 3] = 1.0
    truth = torch.zeros(H, W, dtype=torch.bool)
    truth[2, 3] = True
    assert pointing_game(made(values), truth)
    assert not pointing_game(made(values), ~truth)
    assert pointing_game(made(-values), truth)  # a sensitivity's sign does not matter
    assert not pointing_game(made(-values, signed=True), truth)


def test_energy_inside_is_the_share_of_the_positive_sum() -> None:
    values = torch.zeros(H, W)
    values[0, 0], values[7, 11], values[4, 4] = 3.0, 1.0, -9.0
    truth = torch.zeros(H, W, dtype=torch.bool)
    truth[:4] = True
    assert energy_inside(made(values, signed=True), truth) == pytest.approx(0.75)
    assert energy_inside(made(values), truth) == pytest.approx(3 / 13)
    assert energy_inside(made(torch.zeros(H, W)), truth) == 0.0


def test_truth_is_given_in_the_photos_pixels_and_compared_in_the_frames() -> None:
    """The frame is the photo's middle, halved: photo rows 4 to 20, columns 10 to 34, seen as 8 × 12."""
    placement = Placement((24, 44), (H, W), (10.0, 4.0, 34.0, 20.0))
    values = torch.zeros(H, W)
    values[1, 2] = 1.0  # photo rows 6 and 7, columns 14 and 15
    explanation = Explanation("saliency", "score", None, values, placement)
    truth = torch.zeros(24, 44, dtype=torch.bool)
    truth[6:8, 14:16] = True
    assert pointing_game(explanation, truth)
    assert energy_inside(explanation, truth) == 1.0
    beside = truth.roll(2, 1)
    assert not pointing_game(explanation, beside)
    assert energy_inside(explanation, beside) == 0.0


def test_a_truth_of_another_size_is_refused() -> None:
    with pytest.raises(PellucidError, match="truth mask is 5×4, the photo 12×8"):
        pointing_game(made(torch.zeros(H, W)), torch.zeros(4, 5))


def test_a_map_of_another_photo_is_refused(two_level: tuple[Bright, Tensor]) -> None:
    network, image = two_level
    with pytest.raises(PellucidError, match="the map has 4 pixels, the network's frame 12×8"):
        deletion(network, image, SCORE, made(torch.zeros(2, 2)))


def test_maps_of_a_batch_are_refused_with_the_remedy() -> None:
    network, images = Small(), random_image(3)
    batch = attribute(network, images, 0, method="saliency")
    truth = torch.ones(24, 32, dtype=torch.bool)
    for ask in (
        lambda: deletion(network, images, 0, batch),
        lambda: pointing_game(batch, truth),
        lambda: energy_inside(batch, truth),
        lambda: check(network, images, [0], [batch]),
    ):
        with pytest.raises(PellucidError, match="check one image at a time"):
            ask()


def test_steps_and_stages_that_make_no_sense_are_refused() -> None:
    network, image = Small(), random_image(1)[0]
    made_map = attribute(network, image, 0, method="saliency")
    with pytest.raises(PellucidError, match="steps=0"):
        deletion(network, image, 0, made_map, steps=0)
    for stages in (0, 1):
        with pytest.raises(PellucidError, match=f"stages={stages}: give at least 2"):
            check(network, image, [0], [made_map], stages=stages)


def test_a_map_of_no_objective_given_is_refused() -> None:
    network, image = Small(), random_image(1)[0]
    with pytest.raises(PellucidError, match="a map of '1' can't be checked"):
        check(network, image, [0], [attribute(network, image, 1, method="saliency")])


def test_two_objectives_of_one_name_are_refused_rather_than_confused() -> None:
    network, image = Small(), random_image(1)[0]
    objectives = [lambda said: said[0], lambda said: said[1]]
    maps = attribute_all(network, image, objectives, method="saliency")
    with pytest.raises(PellucidError, match="two objectives are called"):
        check(network, image, objectives, maps)


def test_each_map_is_checked_as_it_is_alone_whatever_stands_beside_it() -> None:
    network, image = Small(), random_image(1)[0]
    objectives = [1, channel("conv2", 3)]
    maps = [
        *attribute_all(network, image, objectives, method="grad_cam", layer="conv1"),
        *attribute_all(network, image, objectives, method="grad_cam", layer="conv2"),
        *attribute_all(network, image, objectives, method="integrated_gradients"),
    ]
    options = {"steps": 4, "stages": 3}
    together = check(network, image, objectives, maps, **options)
    for explanation, found in zip(maps, together, strict=True):
        (alone,) = check(network, image, objectives, [explanation], **options)
        assert found == alone
    assert together[0].randomisation != together[2].randomisation


def test_figures_hold_what_was_asked_for_and_a_verdict(two_level: tuple[Bright, Tensor]) -> None:
    network, image = two_level
    truth = network.weight.detach() > 0
    maps = attribute_all(network, image, [SCORE], method="occlusion", window=1)
    (found,) = check(network, image, [SCORE], maps, truth=truth, steps=8, stages=2)
    figures = found.figures()
    assert figures["pointing"] is True
    assert figures["energy_inside"] == pytest.approx(1.0, abs=1e-3)
    assert figures["deletion"] == pytest.approx(0.125, abs=1e-3)
    assert figures["random_deletion"] == pytest.approx(0.5, abs=0.1)
    assert figures["passes"] is (figures["failures"] == [])
    (without,) = check(network, image, [SCORE], maps, steps=8, stages=2)
    assert "pointing" not in without.figures()


def test_a_map_that_orders_pixels_worse_than_chance_fails(two_level: tuple[Bright, Tensor]) -> None:
    network, image = two_level
    worst = made(1 - network.weight.detach())
    (found,) = check(network, image, [SCORE], [worst], steps=8, stages=2)
    assert any("no better than chance" in failure for failure in found.failures)


def test_an_edge_detector_given_as_a_method_keeps_itself_and_fails(
    monkeypatch: pytest.MonkeyPatch, chelsea: Tensor
) -> None:
    outline = Method("edges", "Edges", lambda subject, asked: [edges(subject.frame)] * len(asked), (), False)
    monkeypatch.setitem(METHODS, "edges", outline)
    network, image = Small(), chelsea[:, 100:148, 100:164].float() / 255
    maps = [attribute(network, image, 1, method=method) for method in ("edges", "saliency")]
    outlined, saliency = check(network, image, [1], maps, stages=4)
    assert outlined.randomisation.similarities == pytest.approx([1.0] * 5, abs=1e-6)
    assert outlined.randomisation.to_edges == pytest.approx(1.0, abs=1e-6)
    assert outlined.randomisation.kept == pytest.approx(1.0, abs=1e-6)
    assert not outlined.randomisation.passes
    assert any("keeps 100% of itself" in failure for failure in outlined.failures)
    assert saliency.randomisation.similarities[-1] < 0.9


def test_checks_repeat_with_a_seed_and_differ_without_it() -> None:
    network, image = Small(), random_image(1)[0]
    maps = [attribute(network, image, 1, method="saliency")]
    found = [check(network, image, [1], maps, stages=2, steps=4, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0] != found[2]
