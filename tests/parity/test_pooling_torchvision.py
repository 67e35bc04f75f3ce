"""Pooling, pasting and heatmaps against torchvision's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision import ops
from torchvision.models.detection import roi_heads as peer

from pellucid.ops.heatmaps import decode_heatmaps, encode_keypoints
from pellucid.ops.pasting import PasteConvention, crop_masks, paste_masks, pasted_masks
from pellucid.ops.pooling import LevelRule, levels_of, pool_levels, roi_align, roi_pool
from pellucid.structures.masks import Masks

TORCHVISION, DETECTRON2 = PasteConvention.torchvision(), PasteConvention.detectron2()


def made_up(count, generator, extent=120.0, least=0.0):
    """Boxes of all sizes, some across the border and some beyond it."""
    corner = torch.rand(count, 2, generator=generator) * extent * 1.3 - extent * 0.2
    sides = least + extent * torch.rand(count, 2, generator=generator) ** 3
    return torch.cat((corner, corner + sides), 1)


@pytest.mark.parametrize("aligned", [False, True])
@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    sampling=st.integers(0, 3),
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 10), st.integers(1, 30), st.integers(1, 30)),
)
def test_roi_align(aligned, seed, sampling, size, shape):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(shape, generator=generator).requires_grad_()
    boxes, images = made_up(9, generator), torch.randint(shape[0], (9,), generator=generator)
    ours = roi_align(features, boxes, images, 0.25, size, sampling, aligned)
    regions = torch.cat((images[:, None].float(), boxes), 1)
    theirs = ops.roi_align(features, regions, size, 0.25, sampling, aligned)
    assert torch.allclose(ours, theirs, atol=1e-5)
    weights = torch.randn(ours.shape, generator=generator)
    ours, theirs = (torch.autograd.grad((out * weights).sum(), features)[0] for out in (ours, theirs))
    assert torch.allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("sampling", [0, 2])
def test_roi_align_of_boxes_that_run_backwards(sampling):
    generator = torch.Generator().manual_seed(0)
    features, boxes = torch.randn(1, 3, 20, 20, generator=generator), made_up(9, generator, 20)[:, [2, 3, 0, 1]]
    for aligned in (False, True):
        ours = roi_align(features, boxes, torch.zeros(9, dtype=torch.int64), 1.0, 4, sampling, aligned)
        assert torch.allclose(ours, ops.roi_align(features, [boxes], 4, 1.0, sampling, aligned), atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.tuples(st.integers(1, 7), st.integers(1, 7)))
def test_roi_pool(seed, size):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 9, 17, 23, generator=generator).requires_grad_()
    # Quarters of a pixel: many corners fall on halves of a cell.
    boxes = (made_up(9, generator, 300) * 4).round() / 4
    images = torch.randint(2, (9,), generator=generator)
    ours = roi_pool(features, boxes, images, 1 / 16, size)
    theirs = ops.roi_pool(features, torch.cat((images[:, None].float(), boxes), 1), size, 1 / 16)
    assert torch.equal(ours, theirs)
    weights = torch.randn(ours.shape, generator=generator)
    ours, theirs = (torch.autograd.grad((out * weights).sum(), features)[0] for out in (ours, theirs))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_levels():
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(2, 8, 200 >> k, 272 >> k, generator=generator).requires_grad_() for k in range(4)]
    boxes = [made_up(60, generator, 700) for _ in range(2)]
    named = {str(k): map_ for k, map_ in enumerate(features)}
    pool = ops.MultiScaleRoIAlign(list(named), 7, 2)
    theirs = pool(named, boxes, [(800, 1088)] * 2)
    images = torch.arange(2).repeat_interleave(60)
    ours = pool_levels(features, torch.cat(boxes), images, pool.scales, 7)
    assert torch.allclose(ours, theirs, atol=1e-5)
    ours, theirs = (torch.autograd.grad((out**2).sum(), features) for out in (ours, theirs))
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))
    found = levels_of(torch.cat(boxes), 4, LevelRule.torchvision())
    assert torch.equal(found, pool.map_levels(boxes))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([1, 7, 28]), st.floats(0, 2))
def test_pasting(seed, M, least):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(7, M, M, generator=generator)
    boxes = made_up(7, generator, 60, least).clamp(min=0)
    boxes = torch.minimum(boxes, torch.tensor([60.0, 50, 60, 50]))
    theirs = peer.paste_masks_in_image(probabilities[:, None], boxes, (50, 60))[:, 0]
    ours = paste_masks(probabilities, boxes, (50, 60), TORCHVISION)
    assert torch.allclose(ours, theirs, atol=1e-6)
    compare_runs(probabilities, boxes, TORCHVISION, theirs > 0.5, theirs)


def compare_runs(probabilities, boxes, convention, theirs, values):
    ours = pasted_masks(probabilities, boxes, tuple(values.shape[1:]), convention)
    different = ours.to_bool() != theirs
    assert not (different & ((values - 0.5).abs() > 2e-6)).any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([1, 7, 28]))
def test_pasting_at_pixel_centres(seed, M):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(7, M, M, generator=generator)
    boxes = made_up(7, generator, 60, 0.5)
    # detectron2's rule: the image's pixel centres as places in the box, −1 to 1.
    x = (torch.arange(60) + 0.5 - boxes[:, :1]) / (boxes[:, 2:3] - boxes[:, :1]) * 2 - 1
    y = (torch.arange(50) + 0.5 - boxes[:, 1:2]) / (boxes[:, 3:] - boxes[:, 1:2]) * 2 - 1
    grid = torch.stack((x[:, None].expand(7, 50, 60), y[:, :, None].expand(7, 50, 60)), -1)
    theirs = F.grid_sample(probabilities[:, None], grid, align_corners=False)[:, 0]
    ours = paste_masks(probabilities, boxes, (50, 60), DETECTRON2)
    # Places far from a box of half a pixel carry an error of some 1e-7 × 120 × M cells.
    assert torch.allclose(ours, theirs, atol=1e-4)
    ours = pasted_masks(probabilities, boxes, (50, 60), DETECTRON2).to_bool()
    assert not ((ours != (theirs >= 0.5)) & ((theirs - 0.5).abs() > 1e-4)).any()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from([1, 14, 28]))
def test_crops_of_masks(seed, side):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(3, 50, 60, generator=generator) > 0.5
    boxes, indices = made_up(8, generator, 60), torch.randint(3, (8,), generator=generator)
    theirs = peer.project_masks_on_boxes(masks, boxes, indices, side)
    assert torch.allclose(crop_masks(masks, boxes, indices, side), theirs, atol=1e-5)
    assert torch.allclose(crop_masks(Masks.from_bool(masks), boxes, indices, side), theirs, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 56))
def test_encoding_keypoints(seed, side):
    generator = torch.Generator().manual_seed(seed)
    # Whole pixels: many points lie on a border.
    boxes = made_up(6, generator, 20, 1).round()
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    points = torch.randint(-5, 30, (6, 17, 3), generator=generator).float()
    points[..., 2] = torch.randint(3, (6, 17), generator=generator)
    theirs, valid = peer.keypoints_to_heatmap(points, boxes, side)
    ours = encode_keypoints(points, boxes, side)
    assert torch.equal(ours[0], theirs)
    assert torch.equal(ours[1], valid.bool())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from([1, 5, 56]))
def test_decoding_heatmaps(seed, S):
    generator = torch.Generator().manual_seed(seed)
    logits, boxes = torch.randn(5, 4, S, S, generator=generator), made_up(5, generator, 90)
    points, scores = decode_heatmaps(logits, boxes)
    their_points, their_scores = peer.heatmaps_to_keypoints(logits, boxes)
    assert torch.allclose(scores, their_scores, atol=1e-4)
    if S > 1:  # of one cell, every pixel is as high but for rounding
        assert torch.allclose(points, their_points, atol=1e-4)
