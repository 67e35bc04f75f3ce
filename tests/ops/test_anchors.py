"""Anchors: where they lie, in which order, and sizes learned from data."""

import math

import pytest
import torch

from pellucid import PellucidError
from pellucid.ops.anchors import (
    AnchorConvention,
    cell_anchors,
    grid_anchors,
    learned_anchors,
    level_anchors,
    mean_best_iou,
)

TORCHVISION, DETECTRON2 = AnchorConvention.torchvision(), AnchorConvention.detectron2()


def test_cells_of_detectron2_by_its_formula():
    sizes, ratios = (32, 64, 100), (0.5, 1.0, 2.0)
    rows = []
    for size in sizes:
        for ratio in ratios:
            w = math.sqrt(size**2 / ratio)
            rows.append([-w / 2, -ratio * w / 2, w / 2, ratio * w / 2])
    made = cell_anchors(sizes, ratios, DETECTRON2)
    assert torch.allclose(made, torch.tensor(rows), rtol=1e-6)
    assert made[0].tolist() == pytest.approx([-22.627417, -11.3137085, 22.627417, 11.3137085])


def test_the_two_projects_order_cells_differently():
    sides = cell_anchors((32, 64), (0.25, 4.0), TORCHVISION)[:, 2:] * 2
    assert sides.tolist() == [[64, 16], [128, 32], [16, 64], [32, 128]]
    sides = cell_anchors((32, 64), (0.25, 4.0), DETECTRON2)[:, 2:] * 2
    assert sides.tolist() == [[64, 16], [16, 64], [128, 32], [32, 128]]


def test_halves_are_rounded_to_even():
    assert cell_anchors((1, 3, 5), (1.0,), TORCHVISION)[:, 2].tolist() == [0, 2, 2]
    assert cell_anchors((1, 3, 5), (1.0,), DETECTRON2)[:, 2].tolist() == [0.5, 1.5, 2.5]


def test_a_grid_goes_down_then_across_then_through_the_cell():
    cells = torch.tensor([[-1.0, -1, 1, 1], [-2, -1, 2, 1]])
    anchors = grid_anchors(cells, (2, 3), (10, 100))
    assert anchors.shape == (12, 4)
    assert anchors[0].tolist() == [-1, -1, 1, 1]
    assert anchors[1].tolist() == [-2, -1, 2, 1]
    assert anchors[2].tolist() == [99, -1, 101, 1]
    assert anchors[6].tolist() == [-1, 9, 1, 11]


def test_an_offset_is_in_strides():
    cell = torch.tensor([[-1.0, -1, 1, 1]])
    assert grid_anchors(cell, (1, 2), 8, offset=0.5).tolist() == [[3, 3, 5, 5], [11, 3, 13, 5]]


def test_levels():
    cells = [cell_anchors((s,), (0.5, 1, 2), DETECTRON2) for s in (32, 64)]
    levels = level_anchors(cells, [(4, 5), (2, 3)], [4, 8])
    assert [len(level) for level in levels] == [60, 18]
    assert torch.equal(levels[1], grid_anchors(cells[1], (2, 3), 8))
    assert level_anchors(cells[:1], [(0, 5)], [4])[0].shape == (0, 4)
    with pytest.raises(PellucidError, match="one of each a level"):
        level_anchors(cells, [(4, 5)], [4, 8])


@pytest.mark.parametrize(("sizes", "ratios"), [((), (1.0,)), ((32, -1), (1.0,)), ((32,), (0.0,)), ((32,), (math.nan,))])
def test_cells_of_nothing_are_refused(sizes, ratios):
    with pytest.raises(PellucidError, match="give one positive number or more"):
        cell_anchors(sizes, ratios, TORCHVISION)


def test_clusters_are_found():
    generator = torch.Generator().manual_seed(3)
    centres = torch.tensor([[10.0, 20], [40, 30], [200, 50], [150, 300]])
    sizes = centres.repeat(100, 1) * (1 + 0.05 * torch.randn(400, 2, generator=generator))
    found = learned_anchors(sizes, 4, seed=1)
    assert torch.allclose(found, centres[centres.prod(1).argsort()], rtol=0.03)
    assert found.dtype == torch.float32
    assert torch.equal(found, learned_anchors(sizes[torch.randperm(400, generator=generator)], 4, seed=1))
    assert mean_best_iou(sizes, found) > mean_best_iou(sizes, found[:3]) + 0.1


def test_the_distance_is_overlap_and_not_euclid():
    # Euclid parts the big sizes; in shares of their area they are one cluster, and the small ones are two.
    sizes = torch.tensor([[4.0, 4], [4, 4.2], [10, 10], [10, 10.4], [1000, 1000], [1060, 1060]])
    found = learned_anchors(sizes, 3)
    assert torch.allclose(found, torch.tensor([[4.0, 4.1], [10, 10.2], [1030, 1030]]), rtol=0.04)


def test_mean_iou_by_hand():
    sizes = torch.tensor([[10.0, 10], [20, 10]])
    assert mean_best_iou(sizes, torch.tensor([[10.0, 10]])) == pytest.approx((1 + 0.5) / 2)
    assert mean_best_iou(sizes, torch.tensor([[10.0, 10], [10, 20]])) == pytest.approx((1 + 0.5) / 2)


def test_fewer_sizes_than_anchors():
    assert learned_anchors(torch.tensor([[5.0, 4]]), 3).tolist() == [[5, 4]] * 3
    assert learned_anchors(torch.tensor([[5.0, 4]] * 50), 2).tolist() == [[5, 4]] * 2
    assert learned_anchors(torch.tensor([[9.0, 9], [1, 1]]), 2).tolist() == [[1, 1], [9, 9]]


def test_many_sizes():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.rand(10_000, 2, generator=generator).mul(5).exp()
    values = [mean_best_iou(sizes, learned_anchors(sizes, k)) for k in (1, 5, 9)]
    assert values == sorted(values)
    assert values[2] > values[0] + 0.2


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        (torch.zeros(0, 2), "one or more"),
        (torch.tensor([[1.0, 2], [0, 3]]), "row 1 is"),
        (torch.tensor([[math.inf, 2]]), "row 0 is"),
        (torch.ones(3, 4), "widths and heights"),
    ],
)
def test_sizes_that_are_none_are_refused(sizes, says):
    with pytest.raises(PellucidError, match=says):
        learned_anchors(sizes, 2)


def test_no_anchors_cannot_be_learned():
    with pytest.raises(PellucidError, match="give 1 or more"):
        learned_anchors(torch.ones(3, 2), 0)
