"""Matching of anchors with truths, case by case."""

import pytest
import torch

from pellucid import PellucidError
from pellucid.ops.matching import BELOW, BETWEEN, match, spared


def test_thresholds():
    iou = torch.tensor([[0.7, 0.69, 0.3, 0.29, 0.0, 0.2], [0.1, 0.0, 0.0, 0.0, 0.0, 0.8]])
    assert match(iou, 0.3, 0.7).tolist() == [0, BETWEEN, BETWEEN, BELOW, BELOW, 1]


def test_an_anchor_takes_the_truth_that_it_overlaps_most():
    assert match(torch.tensor([[0.6, 0.5], [0.5, 0.6]]), 0.5, 0.5).tolist() == [0, 1]


def test_every_truth_claims_its_best_anchors():
    iou = torch.tensor([[0.1, 0.25, 0.25, 0.0], [0.9, 0.0, 0.0, 0.0]])
    assert match(iou, 0.3, 0.7).tolist() == [1, BELOW, BELOW, BELOW]
    assert match(iou, 0.3, 0.7, allow_low_quality=True).tolist() == [1, 0, 0, BELOW]


def test_a_claimed_anchor_still_takes_its_own_best_truth():
    iou = torch.tensor([[0.4, 0.1], [0.5, 0.6]])  # truth 0 claims anchor 0, which overlaps truth 1 more
    assert match(iou, 0.3, 0.7, allow_low_quality=True).tolist() == [1, 1]


def test_a_truth_that_no_anchor_touches_claims_none():
    iou = torch.tensor([[0.8, 0.1, 0.0], [0.0, 0.0, 0.0]])
    assert match(iou, 0.3, 0.7, allow_low_quality=True).tolist() == [0, BELOW, BELOW]


def test_no_truths_and_no_anchors():
    for low_quality in (False, True):
        assert match(torch.zeros(0, 3), 0.3, 0.7, allow_low_quality=low_quality).tolist() == [BELOW] * 3
        empty = match(torch.zeros(2, 0), 0.3, 0.7, allow_low_quality=low_quality)
        assert empty.shape == (0,)
        assert empty.dtype == torch.int64


def test_background_that_lies_in_a_crowd_teaches_nothing():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [40, 0, 60, 10], [44, 0, 64, 10], [90, 0, 95, 5]])
    crowd = torch.tensor([[0.0, 0.0, 51.0, 51.0]])  # the third lies in it by 11/20, the fourth by 7/20
    said = spared(torch.tensor([BELOW, 3, BELOW, BELOW, BELOW]), boxes, crowd)
    assert said.tolist() == [BETWEEN, 3, BETWEEN, BELOW, BELOW]
    assert spared(said, boxes, torch.zeros(0, 4)).tolist() == said.tolist()


def test_what_is_wrong_is_said():
    with pytest.raises(PellucidError, match="0 ≤ low ≤ high"):
        match(torch.zeros(1, 1), 0.7, 0.3)
    with pytest.raises(PellucidError, match=r"give \(truths, anchors\)"):
        match(torch.zeros(3), 0.3, 0.7)
