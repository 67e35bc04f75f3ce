"""Boundaries of masks and their IoU: by hand, and against one erosion after another."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from pellucid.errors import PellucidError
from pellucid.metrics.boundary import boundary, boundary_distance, boundary_iou


def eroded(mask, distance):
    return ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=0)


@pytest.mark.parametrize(
    ("size", "ratio", "distance"),
    [
        ((480, 640), 0.02, 16),  # diagonal 800
        ((30, 40), 0.02, 1),
        ((3, 4), 0.02, 1),  # 0.1, but never below 1
        ((300, 400), 0.005, 2),  # 2.5 rounds to the even number, as in the paper's program
        ((1024, 2048), 0.005, 11),
    ],
)
def test_distance(size, ratio, distance):
    assert boundary_distance(size, ratio) == distance


@pytest.mark.parametrize("ratio", [0, -0.1, math.nan, math.inf])
def test_a_ratio_that_is_none(ratio):
    with pytest.raises(PellucidError, match="ratio"):
        boundary_distance((480, 640), ratio)


def test_by_hand():
    mask = np.zeros((7, 8), dtype=bool)
    mask[1:6, 1:7] = True
    inner = np.zeros_like(mask)
    inner[2:5, 2:6] = True
    assert np.array_equal(boundary(mask, 1), mask & ~inner)
    inner[:] = False
    inner[3, 3:5] = True
    assert np.array_equal(boundary(mask, 2), mask & ~inner)
    assert np.array_equal(boundary(mask, 3), mask)


def test_there_is_no_mask_outside_the_image():
    full = np.ones((5, 5), dtype=bool)
    rim = full.copy()
    rim[1:4, 1:4] = False
    assert np.array_equal(boundary(full, 1), rim)


def test_a_hole_has_a_boundary_of_the_square():
    mask = np.ones((9, 9), dtype=bool)
    mask[4, 4] = False
    found = boundary(mask, 1)
    # A cross would leave the corners of the hole's surroundings out.
    assert found[3:6, 3:6].sum() == 8


@settings(deadline=None, max_examples=200)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(lambda size: arrays(bool, size)),
    st.integers(1, 6),
    st.booleans(),
)
def test_one_erosion_after_another_gives_the_same(mask, distance, solid):
    if solid:
        mask = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=3)
    before = mask.copy()
    assert np.array_equal(boundary(mask, distance), mask & ~eroded(mask, distance))
    assert np.array_equal(mask, before)


def test_iou_by_hand():
    a = np.zeros((6, 9), dtype=bool)
    b = a.copy()
    a[0:5, 0:5] = True
    b[0:5, 1:6] = True
    # Rims of 16 pixels; they share their rows 0 and 4 in four columns, and no upright sides.
    assert boundary_iou(a, b, 1) == 8 / 24
    assert boundary_iou(a, a, 1) == 1.0
    # Boundaries as wide as the masks: plain IoU.
    assert boundary_iou(a, b, 5) == 20 / 30


def test_iou_of_nothing():
    nothing = np.zeros((4, 4), dtype=bool)
    assert math.isnan(boundary_iou(nothing, nothing, 1))
    assert boundary_iou(nothing, ~nothing, 1) == 0.0


def test_iou_of_other_sizes():
    with pytest.raises(PellucidError, match="one size"):
        boundary_iou(np.ones((4, 4), dtype=bool), np.ones((4, 5), dtype=bool), 1)


def test_what_is_no_mask():
    with pytest.raises(ValueError, match="bool"):
        boundary(np.ones((4, 4)), 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        boundary(np.ones((4, 4), dtype=bool), 0)
