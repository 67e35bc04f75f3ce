"""Box formats: every way there and back, and against torchvision's own conversions."""

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_convert

from pellucid import PellucidError
from pellucid.structures import BoxFormat, box_areas, clip_boxes, convert_boxes

FORMATS = get_args(BoxFormat)
numbers = st.floats(-2000, 2000, width=32)


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=5), st.sampled_from(FORMATS))
def test_there_and_back(boxes, format):
    given = torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4)
    there = convert_boxes(given, "xyxy", format, (480, 640))
    assert torch.allclose(convert_boxes(there, format, "xyxy", (480, 640)), given, atol=1e-9)


@pytest.mark.parametrize("format", ["xywh", "cxcywh"])
def test_as_torchvision(format):
    boxes = torch.tensor([[1.0, 2, 30, 45], [0, 0, 0, 0], [5.5, 6.25, 7, 9]])
    assert torch.equal(convert_boxes(boxes, "xyxy", format), box_convert(boxes, "xyxy", format))
    assert torch.equal(convert_boxes(boxes, format, "xyxy"), box_convert(boxes, format, "xyxy"))


def test_normalised_boxes_are_shares_of_the_image():
    box = torch.tensor([[10.0, 20, 30, 60]])
    assert convert_boxes(box, "xyxy", "normalised cxcywh", (100, 200)).allclose(torch.tensor([[0.1, 0.4, 0.1, 0.4]]))
    assert convert_boxes(box, "xyxy", "normalised yxyx", (100, 200)).allclose(torch.tensor([[0.2, 0.05, 0.6, 0.15]]))
    assert convert_boxes(box, "xyxy", "xxyy").tolist() == [[10, 30, 20, 60]]


def test_gradients_pass_through():
    boxes = torch.tensor([[1.0, 2, 3, 5]], requires_grad=True)
    convert_boxes(boxes, "xyxy", "normalised cxcywh", (10, 10)).sum().backward()
    assert boxes.grad is not None
    assert boxes.grad.abs().sum() > 0


def test_what_is_wrong_is_said():
    box = torch.zeros(1, 4)
    with pytest.raises(PellucidError, match="box format 'xywx' is unknown; did you mean"):
        convert_boxes(box, "xyxy", "xywx")
    with pytest.raises(PellucidError, match="give the image's size"):
        convert_boxes(box, "xyxy", "normalised xyxy")
    with pytest.raises(PellucidError, match="four numbers a box"):
        convert_boxes(torch.zeros(1, 5), "xyxy", "xywh")


def test_areas_and_clipping():
    boxes = torch.tensor([[-5.0, 2, 3, 5], [8, 8, 20, 30], [3, 3, 1, 9]])
    assert box_areas(boxes).tolist() == [24, 264, 0]
    assert clip_boxes(boxes, (10, 12)).tolist() == [[0, 2, 3, 5], [8, 8, 12, 10], [3, 3, 1, 9]]
