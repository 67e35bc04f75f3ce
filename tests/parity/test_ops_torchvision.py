"""Parts of detectors against torchvision's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops
from torchvision.models.detection import _utils as peer
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from pellucid.ops.anchors import AnchorConvention, cell_anchors, level_anchors
from pellucid.ops.boxes import pairwise_giou, pairwise_iou
from pellucid.ops.coding import BoxCoder
from pellucid.ops.matching import match
from pellucid.ops.sampling import sample
from pellucid.ops.suppression import batched_nms, nms

TORCHVISION = AnchorConvention.torchvision()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made_up(count, seed=0):
    generator = seeded(seed)
    corner = torch.rand(count, 2, generator=generator) * 400
    return torch.cat((corner, corner + 1 + 150 * torch.rand(count, 2, generator=generator)), 1)


def test_overlaps():
    first, second = made_up(60), made_up(40, seed=1)
    assert torch.allclose(pairwise_iou(first, second), ops.box_iou(first, second), atol=1e-6)
    assert torch.allclose(pairwise_giou(first, second), ops.generalized_box_iou(first, second), atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(1, 700), min_size=1, max_size=4),
    st.lists(st.sampled_from([0.25, 1 / 3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]), min_size=1, max_size=3),
)
def test_cells(sizes, ratios):
    theirs = AnchorGenerator((tuple(sizes),), (tuple(ratios),)).cell_anchors[0]
    assert torch.equal(cell_anchors(sizes, ratios, TORCHVISION), theirs)


@pytest.mark.parametrize("size", [(256, 320), (250, 333)])
def test_anchors_of_levels(size):
    sizes, ratios = ((32,), (64, 80), (128,)), ((0.5, 1.0, 2.0),) * 3
    maps = [torch.zeros(1, 1, -(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16)]
    (theirs,) = AnchorGenerator(sizes, ratios)(ImageList(torch.zeros(1, 3, *size), [size]), maps)
    grids = [(m.shape[-2], m.shape[-1]) for m in maps]
    strides = [(size[0] // H, size[1] // W) for H, W in grids]
    cells = [cell_anchors(*level, TORCHVISION) for level in zip(sizes, ratios, strict=True)]
    assert torch.equal(torch.cat(level_anchors(cells, grids, strides)), theirs)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_coder(weights):
    ours, theirs = BoxCoder(weights), peer.BoxCoder(weights)
    anchors, truth = made_up(200), made_up(200, seed=1)
    assert torch.allclose(ours.encode(truth, anchors), theirs.encode_single(truth, anchors), rtol=1e-5, atol=1e-5)
    deltas = torch.randn(200, 21 * 4, generator=seeded()) * 4  # so that some growth is clamped
    made = theirs.decode(deltas, [anchors])
    assert torch.allclose(ours.decode(deltas.view(200, 21, 4), anchors), made, rtol=1e-5, atol=1e-2 / min(weights))


@pytest.mark.parametrize("low_quality", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.3, 0.7), (0.5, 0.5)])
def test_matcher(low, high, low_quality):
    for seed in range(30):
        # Steps of a tenth, so that overlaps tie and lie on thresholds; every truth touches some anchor.
        iou = (torch.rand(5, 40, generator=seeded(seed)) * 10).floor() / 10
        iou[:, 0] = 0.1
        theirs = peer.Matcher(high, low, low_quality)(iou)
        assert torch.equal(match(iou, low, high, allow_low_quality=low_quality), theirs)


def test_where_the_matcher_of_torchvision_is_wrong():
    iou = torch.tensor([[0.8, 0.0, 0.0], [0.0, 0.0, 0.0]])  # nothing touches the second truth
    assert peer.Matcher(0.7, 0.3, True)(iou).tolist() == [0, 0, 0]
    assert match(iou, 0.3, 0.7, allow_low_quality=True).tolist() == [0, -1, -1]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 256), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_sampler_draws_as_many(positives, negatives, count, share):
    states = torch.tensor([1] * positives + [0] * negatives + [-1] * 7)
    theirs = peer.BalancedPositiveNegativeSampler(count, share)([states])
    ours = sample(torch.where(states == 1, 4, torch.where(states == 0, -1, -2)), count, share, seeded())
    assert [len(part) for part in ours] == [int(part[0].sum()) for part in theirs]


@pytest.mark.parametrize("count", [1, 300, 10_000])
def test_nms(count):
    # No scores tie: where they do, torchvision's order is any.
    boxes, scores = made_up(count), torch.randperm(count, generator=seeded(2)) / count
    groups = torch.randint(4, (count,), generator=seeded(3))
    for threshold in (0.3, 0.7):
        assert torch.equal(nms(boxes, scores, threshold), ops.nms(boxes, scores, threshold))
        # In double, since torchvision moves the groups of few boxes apart, which costs digits.
        given = boxes.double(), scores.double(), groups, threshold
        assert torch.equal(batched_nms(*given), ops.batched_nms(*given))
