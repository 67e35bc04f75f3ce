"""Deltas of boxes: by hand, there and back, and what has none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import PellucidError
from pellucid.ops.coding import CLAMP, BoxCoder

place, side = st.floats(-100, 1000, width=32), st.floats(1, 800, width=32)
box = st.tuples(place, place, side, side)


def corners(rows):
    x, y, w, h = torch.tensor(rows, dtype=torch.float64).reshape(-1, 4).unbind(1)
    return torch.stack((x, y, x + w, y + h), 1)


def test_by_hand():
    anchor, truth = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[10.0, 0, 30, 10]])
    deltas = BoxCoder().encode(truth, anchor)
    assert deltas.tolist() == [pytest.approx([1.5, -0.25, math.log(2), -math.log(2)])]
    weighted = BoxCoder((10, 10, 5, 5)).encode(truth, anchor)
    assert torch.allclose(weighted, deltas * torch.tensor([10.0, 10, 5, 5]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(box, box), max_size=5), st.sampled_from([(1, 1, 1, 1), (10, 10, 5, 5)]))
def test_there_and_back(pairs, weights):
    coder = BoxCoder(weights, clamp=math.inf)
    truth, anchors = corners([a for a, _ in pairs]), corners([b for _, b in pairs])
    assert torch.allclose(coder.decode(coder.encode(truth, anchors), anchors), truth, atol=1e-8)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-4, 4, width=32), min_size=4, max_size=4), box)
def test_back_and_there(deltas, anchor):
    given_deltas, anchors = torch.tensor([deltas], dtype=torch.float64), corners([anchor])
    coder = BoxCoder()
    assert torch.allclose(coder.encode(coder.decode(given_deltas, anchors), anchors), given_deltas, atol=1e-6)


def test_growth_is_clamped():
    made = BoxCoder().decode(torch.tensor([[0.0, 0, 1000, -1000]]), torch.tensor([[0.0, 0, 16, 16]]))
    assert made[0, 2] - made[0, 0] == pytest.approx(1000, rel=1e-5)
    assert made[0, 3] - made[0, 1] == 0
    assert pytest.approx(math.log(62.5)) == CLAMP


def test_deltas_of_several_classes_lie_class_by_class():
    generator = torch.Generator().manual_seed(0)
    deltas = torch.randn(5, 3, 4, generator=generator)
    anchors = torch.tensor([[0.0, 0, 10, 20]]).repeat(5, 1) + torch.arange(5)[:, None]
    coder = BoxCoder((10, 10, 5, 5))
    together = coder.decode(deltas.flatten(1), anchors)
    assert together.shape == (5, 12)
    assert torch.equal(coder.decode(deltas, anchors), together.view(5, 3, 4))
    for k in range(3):
        assert torch.allclose(coder.decode(deltas[:, k], anchors), together[:, 4 * k : 4 * k + 4])


def test_nothing_and_half_precision():
    coder = BoxCoder()
    assert coder.encode(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0, 4)
    assert coder.decode(torch.zeros(0, 8), torch.zeros(0, 4)).shape == (0, 8)
    far = torch.tensor([[4000.0, 4000, 4001, 4001]])
    assert torch.equal(coder.decode(torch.zeros(1, 4, dtype=torch.bfloat16), far), far)


def test_both_ways_are_differentiable():
    coder = BoxCoder((10, 10, 5, 5))
    anchors = torch.tensor([[0.0, 0, 10, 20], [5, 5, 6, 6]], dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([[1.0, 2, 30, 25], [4, 4, 7, 9]], dtype=torch.float64, requires_grad=True)
    deltas = torch.tensor([[0.1, -0.2, 0.3, 0.4], [1, 1, -1, 0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(coder.encode, (truth, anchors))
    assert torch.autograd.gradcheck(coder.decode, (deltas, anchors))


def test_what_is_wrong_is_said():
    good = torch.tensor([[0.0, 0, 5, 5], [1, 1, 2, 2]])
    flat = torch.tensor([[0.0, 0, 5, 5], [1, 1, 1, 2]])
    with pytest.raises(PellucidError, match=r"true box 1 is .* without area"):
        BoxCoder().encode(flat, good)
    with pytest.raises(PellucidError, match=r"anchor 1 is .* without area"):
        BoxCoder().encode(good, flat)
    with pytest.raises(PellucidError, match=r"a true box .* for each anchor"):
        BoxCoder().encode(good[:1], good)
    for deltas in (torch.zeros(2, 6), torch.zeros(1, 4), torch.zeros(2)):
        with pytest.raises(PellucidError, match="deltas for"):
            BoxCoder().decode(deltas, good)
    with pytest.raises(PellucidError, match="four positive numbers"):
        BoxCoder((1, 1, 0, 1))
