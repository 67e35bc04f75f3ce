"""Regularisers against their formulas, diversity, and the redirected gradient."""

import pytest
import torch
import torch.nn.functional as F

from pellucid.errors import PellucidError
from pellucid.explain.rectifiers import RectifierRule
from pellucid.explain.synthesis.diversity import style_similarities
from pellucid.explain.synthesis.regularisers import blur, check_weights, l1, l2, penalty, total_variation


def images(seed=0):
    return torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_total_variation_by_loops():
    x = images()
    for n in range(2):
        total = 0.0
        for c in range(3):
            for i in range(5):
                for j in range(7):
                    total += abs(float(x[n, c, i + 1, j] - x[n, c, i, j])) if i < 4 else 0
                    total += abs(float(x[n, c, i, j + 1] - x[n, c, i, j])) if j < 6 else 0
        assert float(total_variation(x)[n]) == pytest.approx(total / 105)


def test_l1_and_l2_measure_from_grey():
    x = images()
    torch.testing.assert_close(l1(x), (x - 0.5).abs().mean((1, 2, 3)))
    torch.testing.assert_close(l2(x), ((x - 0.5) ** 2).mean((1, 2, 3)))


def test_blur_draws_towards_the_blurred_image():
    x = images().requires_grad_()
    (gradient,) = torch.autograd.grad(blur(x).sum(), x)
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64) / 16
    smooth = F.conv2d(F.pad(x.detach(), (1, 1, 1, 1), mode="replicate"), kernel.expand(3, 1, 3, 3), groups=3)
    torch.testing.assert_close(gradient, (x.detach() - smooth) / 105)


def test_a_flat_image_costs_nothing_but_its_distance_from_grey():
    flat = torch.full((1, 3, 6, 6), 0.5)
    for regulariser in (total_variation, l1, l2, blur):
        assert float(regulariser(flat)) == pytest.approx(0, abs=1e-7)


def test_penalty_is_the_weighted_sum():
    x = images()
    torch.testing.assert_close(penalty(x, {"tv": 2, "l2": 0.5}), 2 * total_variation(x) + 0.5 * l2(x))


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"tvv": 1}, "unknown regulariser"), ({"tv": -1}, "from 0 up"), ({"l1": float("nan")}, "0")],
)
def test_weights_that_are_none(weights, message):
    with pytest.raises(PellucidError, match=message):
        check_weights(weights)


@pytest.mark.parametrize("positions", [(3, 4), (8, 9)])
def test_style_similarities_are_cosines_of_gram_matrices(positions):
    a = torch.randn(4, 20, *positions, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat = a.flatten(2)
    grams = (flat @ flat.transpose(1, 2)).flatten(1)
    expected = F.cosine_similarity(grams[:, None], grams[None], dim=2)
    torch.testing.assert_close(style_similarities(a), expected)


def redirected(x, loss_gradient, rectify):
    x = x.clone().requires_grad_()
    with RectifierRule("redirected"):
        y = rectify(x)
    (gradient,) = torch.autograd.grad(y, x, loss_gradient)
    return gradient


@pytest.mark.parametrize("cap", [None, 6.0])
def test_redirected_gradient_where_an_image_is_dead(cap):
    rectify = F.relu if cap is None else F.relu6
    g = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    x = torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(2))
    x[0] = -x[0] - 0.1  # dead: below zero everywhere
    x[1] = x[1] * 12 - 6  # partly alive
    if cap is not None:
        x[2] = 7 + x[2]  # dead at the cap
    made = redirected(x, g, rectify)
    alive = (x > 0) & (x < (cap or torch.inf))
    torch.testing.assert_close(made[0], torch.where(g[0] > 0, 0, g[0]))  # what would lower it further is held back
    torch.testing.assert_close(made[1], torch.where(alive[1], g[1], 0))
    if cap is not None:
        torch.testing.assert_close(made[2], torch.where(g[2] < 0, 0, g[2]))


def test_redirected_gradient_of_a_living_image_is_the_plain_one():
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    g = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(redirected(x, g, F.relu), torch.where(x > 0, g, 0))
