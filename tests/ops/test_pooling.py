"""Pooling inside boxes, by hand and by its properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import PellucidError
from pellucid.ops.pooling import LevelRule, levels_of, pool_levels, roi_align, roi_pool

ZERO = torch.zeros(1, dtype=torch.int64)


def ramp(H=8, W=8):
    """A map whose value is 10 · row + column."""
    return (10 * torch.arange(H)[:, None] + torch.arange(W)).float()[None, None]


def test_align_by_hand():
    box = torch.tensor([[1.0, 2, 5, 6]])
    # Bins of 2 × 2 cells; a ramp's mean is its value at the bin's centre: rows 3 and 5, columns 2 and 4.
    at_corners = roi_align(ramp(), box, ZERO, 1.0, 2, 2, aligned=False)
    assert at_corners.flatten().tolist() == [32, 34, 52, 54]
    # A value at its cell's centre: half a cell less, down and across.
    at_centres = roi_align(ramp(), box, ZERO, 1.0, 2, 2, aligned=True)
    assert at_centres.flatten().tolist() == [26.5, 28.5, 46.5, 48.5]
    assert torch.equal(roi_align(ramp(), box * 4, ZERO, 0.25, (2, 2), 0, aligned=True), at_centres)


def test_a_box_of_no_size_is_one_cell_unless_aligned():
    box = torch.tensor([[3.0, 3, 3, 3]])
    assert roi_align(ramp(), box, ZERO, 1.0, 1, 2, aligned=False).item() == pytest.approx(33 + 5.5)
    assert roi_align(ramp(), box, ZERO, 1.0, 1, 2, aligned=True).item() == pytest.approx(33 - 5.5)
    assert roi_align(ramp(), box, ZERO, 1.0, 1, 0, aligned=True).item() == 0


def test_beyond_the_map_is_nothing():
    boxes = torch.tensor([[-50.0, -50, -20, -20], [100, 100, 120, 120]])
    images = torch.zeros(2, dtype=torch.int64)
    for aligned in (False, True):
        assert not roi_align(ramp() + 1, boxes, images, 1.0, 3, 2, aligned).any()
    assert not roi_pool(ramp() + 1, boxes, images, 1.0, 3).any()


def test_pool_by_hand():
    # 0.5 rounds away from zero, to 1; 4.4 to 4: cells 1 to 4, the last included, in two bins of two.
    box = torch.tensor([[0.5, 0.5, 4.4, 4.4]])
    assert roi_pool(ramp(), box, ZERO, 1.0, 2).flatten().tolist() == [22, 24, 42, 44]
    features = ramp().requires_grad_()
    roi_pool(features, box, ZERO, 1.0, 2).sum().backward()
    assert features.grad.nonzero()[:, 2:].tolist() == [[2, 2], [2, 4], [4, 2], [4, 4]]


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**31), st.booleans(), st.integers(0, 2))
def test_gradients(seed, aligned, sampling):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 2, 6, 9, generator=generator, dtype=torch.float64).requires_grad_()
    corner = torch.rand(3, 2, generator=generator) * 30 - 5
    boxes = torch.cat((corner, corner + 20 * torch.rand(3, 2, generator=generator)), 1)
    images = torch.tensor([1, 0, 1])
    assert torch.autograd.gradcheck(
        lambda map_: roi_align(map_, boxes, images, 0.25, (2, 3), sampling, aligned), features
    )
    assert torch.autograd.gradcheck(lambda map_: roi_pool(map_, boxes, images, 0.25, (2, 3)), features)


def test_boxes_have_no_gradient_and_layouts_do_not_matter():
    features = torch.randn(2, 16, 12, 12)
    boxes = torch.tensor([[1.0, 1, 9, 8], [2, 3, 4, 11]]).requires_grad_()
    images = torch.tensor([1, 0])
    out = roi_align(features, boxes, images, 1.0, 3, 2, False)
    assert not out.requires_grad
    turned = features.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(roi_align(turned, boxes, images, 1.0, 3, 2, False), out, atol=1e-6, rtol=1e-6)
    half = roi_align(features.bfloat16(), boxes, images, 1.0, 3, 2, False)
    assert half.dtype == torch.bfloat16
    assert torch.allclose(half.float(), out, atol=0.05)


@pytest.mark.parametrize("sampling", [0, 2, 3])
@pytest.mark.parametrize("aligned", [False, True])
def test_maps_whose_channels_lie_together_give_the_same(sampling, aligned):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 24, 17, 21, dtype=torch.float64, generator=generator)
    corner = torch.rand(60, 2, generator=generator) * 80 - 8
    boxes = torch.cat((corner, corner + torch.rand(60, 2, generator=generator) * 60), 1)
    images = torch.randint(0, 2, (60,), generator=generator)
    wanted = torch.randn(60, 24, 5, 3, dtype=torch.float64, generator=generator)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        map_ = features.clone(memory_format=layout).requires_grad_()
        out = roi_align(map_, boxes, images, 0.25, (5, 3), sampling, aligned)
        (out * wanted).sum().backward()
        found.append((out.detach(), map_.grad))
    for plain, turned in zip(*found, strict=True):
        torch.testing.assert_close(turned, plain, atol=1e-10, rtol=1e-10)


def test_levels_by_hand():
    sides = torch.tensor([0.0, 10, 111, 112, 224, 447, 448, 5000])
    boxes = torch.stack((0 * sides, 0 * sides, sides, sides), 1)
    for rule in (LevelRule.torchvision(), LevelRule.detectron2()):
        assert levels_of(boxes, 4, rule).tolist() == [0, 0, 0, 1, 2, 2, 3, 3]
    # Between the two small numbers: torchvision lifts the level, detectron2 the ratio, by much less.
    border = torch.tensor([[0, 0, 224 * (1 - 5e-7), 224]], dtype=torch.float64)
    assert levels_of(border, 4, LevelRule.torchvision()).tolist() == [2]
    assert levels_of(border, 4, LevelRule.detectron2()).tolist() == [1]


@pytest.mark.parametrize("method", ["align", "pool"])
def test_each_row_is_its_own_level(method):
    features = [torch.full((2, 3, 64 >> k, 64 >> k), float(k)) for k in range(4)]
    features = [map_ + torch.tensor([0.0, 10.0]).reshape(2, 1, 1, 1) for map_ in features]
    boxes = torch.tensor([[0.0, 0, 250, 250], [0, 0, 50, 50], [0, 0, 120, 120], [0, 0, 60, 60]])
    images, scales = torch.tensor([0, 1, 1, 0]), [2.0**-k for k in range(2, 6)]
    out = pool_levels(features, boxes, images, scales, 2, method=method)
    assert out.shape == (4, 3, 2, 2)
    assert out[:, 0, 0, 0].tolist() == [2, 10, 11, 0]
    assert out.flatten(1).std(1).max() == 0


@pytest.mark.parametrize("method", ["align", "pool"])
def test_no_boxes_still_reach_every_map(method):
    features = [torch.randn(1, 3, 8, 8, requires_grad=True) for _ in range(2)]
    out = pool_levels(features, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), [0.25, 0.125], 7, method=method)
    assert out.shape == (0, 3, 7, 7)
    assert out.sum() == 0
    out.sum().backward()
    assert all(map_.grad is not None and not map_.grad.any() for map_ in features)


def test_what_cannot_be_pooled():
    some = torch.tensor([[0.0, 0, 2, 2]])
    with pytest.raises(PellucidError, match="not finite"):
        roi_align(ramp(), some * float("nan"), ZERO, 1.0, 2, 2, False)
    with pytest.raises(PellucidError, match="of 1 images"):
        roi_align(ramp(), some, ZERO + 1, 1.0, 2, 2, False)
    with pytest.raises(PellucidError, match=r"\(R, 4\)"):
        roi_pool(ramp(), some[:, :3], ZERO, 1.0, 2)
    with pytest.raises(PellucidError, match="scales"):
        pool_levels([ramp()], some, ZERO, [1.0, 0.5], 2)
    with pytest.raises(PellucidError, match="'mean'"):
        pool_levels([ramp()], some, ZERO, [1.0], 2, method="mean")
