"""Masks: run lengths and polygons against pycocotools, outlines that give the same pixels, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco
from scipy import ndimage

from pellucid import PellucidError
from pellucid.structures import Masks, Polygons, RunLengths

pixels = hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))


@given(pixels)
def test_run_lengths_there_and_back(mask):
    runs = RunLengths.from_mask(mask)
    assert runs.counts == coco.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    assert np.array_equal(runs.to_mask(), mask)
    counts = runs.to_counts()
    assert counts.sum() == mask.size
    assert counts[0] == 0 or not mask[0, 0]
    assert RunLengths.from_counts(counts, mask.shape) == runs
    assert RunLengths.from_counts(counts.tolist(), mask.shape) == runs
    assert RunLengths.from_text(runs.counts.decode(), mask.shape) == runs


def test_counts_by_hand():
    mask = np.array([[0, 1], [0, 1], [1, 0]], dtype=bool)
    assert RunLengths.from_mask(mask).to_counts().tolist() == [2, 3, 1]


def test_long_runs_need_several_digits():
    for size in ((1000, 1000), (300, 5000)):
        mask = np.zeros(size, dtype=bool)
        mask[7:, 100:900] = True
        runs = RunLengths.from_mask(mask)
        assert RunLengths.from_counts(runs.to_counts(), size) == runs
        assert np.array_equal(RunLengths.from_text(runs.counts, size).to_mask(), mask)


@given(st.binary(max_size=40), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=300)
def test_any_text_is_run_lengths_or_an_error(text, H, W):
    try:
        runs = RunLengths.from_text(text, (H, W))
    except PellucidError:
        return
    assert runs.to_mask().shape == (H, W)


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        ([5, 3], "cover 8 pixels, but the mask has 3 × 3 = 9"),
        ([12, -3], "negative count"),
        ([4.5, 4.5], "whole numbers"),
        (["a", "b"], "whole numbers"),
        ([[1], [8]], "whole numbers"),
        ([10**30], "whole numbers"),
        ([2**62, 2**62, 2**62, 2**62, 9], "cover|whole"),
    ],
)
def test_bad_counts_are_refused(counts, what):
    with pytest.raises(PellucidError, match=what):
        RunLengths.from_counts(counts, (3, 3))


@given(pixels)
def test_outlines_give_the_same_pixels(mask):
    outline = Polygons.from_mask(mask)
    assert np.array_equal(outline.to_mask(), mask)
    # The pieces of a mask are 4-connected, with one polygon each.
    assert len(outline.parts) == ndimage.label(mask)[1]


def test_outlines_of_large_blobs_with_holes():
    generator = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(generator.random((300, 400)), 6) > 0.5
    assert np.array_equal(Polygons.from_mask(mask).to_mask(), mask)
    ring = np.hypot(*np.mgrid[-50:50, -60:60]) < 40
    ring &= np.hypot(*np.mgrid[-50:50, -60:60]) > 20
    assert np.array_equal(Polygons.from_mask(ring).to_mask(), ring)


def test_polygons_are_rasterised_as_pycocotools_does():
    flat = [[10.2, 3.7, 40.5, 8.1, 33.3, 29.9, 12.0, 25.5], [2, 30, 9, 30, 9, 38, 2, 38]]
    ours = Polygons.from_lists(flat, (40, 50)).to_mask()
    theirs = coco.decode(coco.merge(coco.frPyObjects(flat, 40, 50))).astype(bool)
    assert np.array_equal(ours, theirs)
    assert Polygons.from_lists(flat, (40, 50)).box() == pytest.approx((2, 3.7, 40.5, 38))


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [[1, 2, 3, 4, 5, 1e12]],
        [[1, 2, 3, 4, 5, 10**400]],
        [[0, 0, 9e4, 9e4, 0, 1] * 40],
        ["abc"],
        [None],
        [5],
        [{"a": 1}],
    ],
)
def test_bad_polygons_are_refused(parts):
    with pytest.raises(PellucidError):
        Polygons.from_lists(parts, (10, 10))


def test_masks_convert_and_index():
    first = np.zeros((6, 8), dtype=bool)
    first[1:4, 2:7] = True
    second = RunLengths.from_mask(~first)
    third = Polygons.from_lists([[0, 0, 4, 0, 4, 4, 0, 4]], (6, 8))
    masks = Masks([first, second, third], (6, 8))
    assert masks.areas().tolist() == [15, 33, 16]
    assert masks.boxes().tolist() == [[2, 1, 7, 4], [0, 0, 8, 6], [0, 0, 4, 4]]
    assert masks.to_bool().sum((1, 2)).tolist() == [15, 33, 16]
    assert torch.equal(masks[torch.tensor([True, False, True])].to_bool(), masks.to_bool()[[0, 2]])
    assert masks[1] is second
    assert len(masks[1:]) == 2
    assert [np.array_equal(p.to_mask(), m.numpy()) for p, m in zip(masks.polygons(), masks.to_bool(), strict=True)] == [
        True
    ] * 3
    assert Masks.empty((6, 8)).to_bool().shape == (0, 6, 8)
    assert Masks.empty((6, 8)).boxes().shape == (0, 4)
    with pytest.raises(PellucidError, match=r"mask 0 is of \(6, 8\) pixels, its image of \(8, 6\)"):
        Masks([first], (8, 6))


def test_masks_larger_than_any_image_are_refused():
    size = (2**31 - 1, 2**31 - 1)
    with pytest.raises(PellucidError, match="larger than any image"):
        RunLengths.from_counts([size[0] * size[1]], size)
    with pytest.raises(PellucidError, match="larger than any image"):
        Polygons.from_lists([[1, 1, 9, 9, 1, 9]], size)
