"""Keypoints as cells of heatmaps and back, by hand and by their properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import PellucidError
from pellucid.ops.heatmaps import decode_heatmaps, encode_keypoints


def test_cells_by_hand():
    boxes = torch.tensor([[10.0, 20, 18, 24]])
    points = [[10, 20, 2], [13.9, 21, 1], [18, 24, 2], [18.1, 22, 2], [9.9, 22, 2], [14, 22, 0]]
    cells, valid = encode_keypoints(torch.tensor([points]), boxes, 4)
    # Cells of 2 × 1 pixels; what lies on the last border is in the last cell; outside and invisible count for nothing.
    assert cells.tolist() == [[0, 5, 15, 0, 0, 0]]
    assert valid.tolist() == [[True, True, True, False, False, False]]


def test_a_box_without_area_has_no_cells():
    cells, valid = encode_keypoints(torch.tensor([[[3.0, 3, 2]]]), torch.tensor([[3.0, 3, 3, 3]]), 56)
    assert (cells.tolist(), valid.tolist()) == ([[0]], [[False]])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31))
def test_there_and_back(seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(3, 2, generator=generator) * 50 - 10
    boxes = torch.cat((corner, corner + 17 + 60 * torch.rand(3, 2, generator=generator)), 1)
    share = torch.rand(3, 5, 2, generator=generator)
    sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
    points = torch.cat((boxes[:, None, :2] + share * sides, torch.ones(3, 5, 1)), 2)
    cells, valid = encode_keypoints(points, boxes, 16)
    assert valid.all()
    logits = torch.nn.functional.one_hot(cells, 256).float().reshape(3, 5, 16, 16)
    found, _ = decode_heatmaps(logits, boxes)
    # A cell either way, and a pixel's rounding; a box of fewer pixels than cells could miss the cell.
    assert ((found - points)[..., :2].abs() <= sides / 16 + 1).all()


def test_scores_follow_the_logits_and_points_the_boxes():
    logits = torch.randn(2, 3, 5, 5, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.0, 0, 9.5, 7], [3, 4, 5, 20]], dtype=torch.float64, requires_grad=True)
    points, scores = decode_heatmaps(logits, boxes)
    assert points[..., 2].eq(1).all()
    # The weights of the sixteen cells sum up to 1; a box that moves takes its points along.
    (gradient,) = torch.autograd.grad(scores.sum(), logits)
    assert torch.allclose(gradient.sum((2, 3)), torch.ones(2, 3, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(points[..., 0].sum(), boxes)
    assert torch.allclose(gradient[:, 0] + gradient[:, 2], torch.full((2,), 3.0, dtype=torch.float64))


def test_no_boxes_and_boxes_of_one_pixel():
    points, scores = decode_heatmaps(torch.zeros(0, 17, 56, 56), torch.zeros(0, 4))
    assert (points.shape, scores.shape) == ((0, 17, 3), (0, 17))
    assert encode_keypoints(torch.zeros(0, 17, 3), torch.zeros(0, 4), 56)[0].shape == (0, 17)
    points, _ = decode_heatmaps(torch.randn(1, 1, 8, 8), torch.tensor([[-5.0, 7, -5, 7]]))
    assert points.tolist() == [[[-4.5, 7.5, 1]]]


def test_what_has_no_heatmap():
    with pytest.raises(PellucidError, match=r"\(R, K, 3\)"):
        encode_keypoints(torch.zeros(1, 17, 2), torch.zeros(1, 4), 56)
    with pytest.raises(PellucidError, match="1 or more"):
        encode_keypoints(torch.zeros(1, 17, 3), torch.zeros(1, 4), 0)
    with pytest.raises(PellucidError, match=r"\(R, K, S, S\)"):
        decode_heatmaps(torch.zeros(1, 17, 5, 6), torch.zeros(1, 4))
    with pytest.raises(PellucidError, match="not finite"):
        decode_heatmaps(torch.full((1, 1, 5, 5), float("nan")), torch.zeros(1, 4))
