"""Overlaps of boxes, by hand and by their properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import PellucidError
from pellucid.ops.boxes import pairwise_giou, pairwise_iou

coordinate = st.integers(-20, 20)
boxes_of = st.lists(st.tuples(coordinate, coordinate, st.integers(0, 20), st.integers(0, 20)), max_size=6).map(
    lambda rows: torch.tensor([(x, y, x + w, y + h) for x, y, w, h in rows], dtype=torch.float32).reshape(-1, 4)
)


def test_by_hand():
    first = torch.tensor([[0.0, 0, 4, 4]])
    second = torch.tensor([[0.0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4], [6, 0, 10, 4], [1, 1, 2, 2]])
    assert pairwise_iou(first, second).tolist() == [[1, pytest.approx(8 / 24), 0, 0, 1 / 16]]
    # The last hull but one is 10 × 4 with 8 empty columns of 40; a box inside another has the other as hull.
    assert pairwise_giou(first, second)[0].tolist() == pytest.approx([1, 8 / 24, 0, -8 / 40, 1 / 16])


def test_boxes_without_area_overlap_nothing():
    empty = torch.tensor([[3.0, 3, 3, 3], [0, 0, 0, 5], [0, 0, 4, 4]], requires_grad=True)
    iou, giou = pairwise_iou(empty, empty), pairwise_giou(empty, empty)
    assert iou.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert giou[:2, :2].tolist() == [[-1, -1], [-1, -1]]
    assert giou[2].tolist() == pytest.approx([0, 16 / 20 - 1, 1])
    (gradient,) = torch.autograd.grad(iou.sum() + giou.sum(), empty)
    assert gradient.isfinite().all()


def test_no_boxes():
    some = torch.rand(3, 4)
    for measure in (pairwise_iou, pairwise_giou):
        assert measure(some, torch.zeros(0, 4)).shape == (3, 0)
        assert measure(torch.zeros(0, 4), some).shape == (0, 3)


def test_one_pixel_far_from_the_origin():
    box = torch.tensor([[9_999.0, 9_999, 10_000, 10_000]])
    assert pairwise_iou(box, box).item() == 1
    assert pairwise_iou(box.half().float(), box.half()).dtype == torch.float32


@settings(deadline=None, max_examples=60)
@given(boxes_of, boxes_of)
def test_properties(first, second):
    iou, giou = pairwise_iou(first, second), pairwise_giou(first, second)
    assert torch.equal(iou, pairwise_iou(second, first).T)
    assert ((iou >= 0) & (iou <= 1)).all()
    assert ((giou >= -1) & (giou <= iou + 1e-6)).all()
    moved = torch.tensor([3.0, -7, 3, -7])
    assert torch.allclose(iou, pairwise_iou(first + moved, second + moved), atol=1e-6)


def test_gradients_are_right():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(n, 4, generator=generator, dtype=torch.float64) * 4 for n in (3, 2))
    first[:, 2:] += first[:, :2] + 1
    second[:, 2:] += second[:, :2] + 1
    for measure in (pairwise_iou, pairwise_giou):
        assert torch.autograd.gradcheck(measure, (first.requires_grad_(), second.requires_grad_()))


def test_other_shapes_are_refused():
    with pytest.raises(PellucidError, match=r"shape \(2, 5\) have no overlaps"):
        pairwise_iou(torch.zeros(2, 5), torch.zeros(1, 4))
