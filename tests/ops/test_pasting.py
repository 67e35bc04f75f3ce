"""Masks laid onto images and cut from them, by hand and by their properties."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import PellucidError
from pellucid.ops.pasting import PasteConvention, crop_masks, paste_masks, pasted_masks
from pellucid.structures.masks import Masks
from pellucid.structures.run_lengths import RunLengths

TORCHVISION, DETECTRON2 = PasteConvention.torchvision(), PasteConvention.detectron2()
CONVENTIONS = pytest.mark.parametrize("convention", [TORCHVISION, DETECTRON2])


def test_pixel_centres_by_hand():
    masks, box = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), torch.tensor([[2.0, 1, 6, 5]])
    out = paste_masks(masks, box, (6, 8), DETECTRON2)[0]
    # Cells are two pixels wide with centres at 3 and 5; the last fades to 0 at 7.
    assert out[2].tolist() == [0, 0, 0, 0.25, 0.75, 0.75, 0.25, 0]
    assert out[:, 4].tolist() == [0.1875, 0.5625, 0.75, 0.75, 0.5625, 0.1875]


def test_whole_pixels_by_hand():
    # A mask of one cell with its border of zeros is 3 × 3 on a box grown by 3: from −3 to 12, the last included.
    out = paste_masks(torch.ones(1, 1, 1), torch.tensor([[2.0, 2, 7, 7]]), (10, 10), TORCHVISION)[0]
    # Pixel 4 lies at 3 / 16 · 7.5 − 0.5 of the three cells, and the middle one is at 1.
    assert out[4, 4].item() == pytest.approx((3 / 16 * 7.5 - 0.5) ** 2)
    assert out.argmax().item() in (44, 45, 54, 55)


@CONVENTIONS
def test_a_threshold_that_is_met(convention):
    masks = torch.full((1, 4, 4), 0.5)
    found = pasted_masks(masks, torch.tensor([[2.0, 2, 10, 10]]), (12, 12), convention)
    assert bool(found.areas()[0] > 0) is convention.inclusive


@CONVENTIONS
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 6), st.tuples(st.integers(1, 12), st.integers(1, 12)), st.floats(0.1, 0.9))
def test_run_lengths_are_those_of_the_pixels(convention, seed, M, size, threshold):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(5, M, M, generator=generator).round(decimals=1)
    corner = torch.rand(5, 2, generator=generator) * 20 - 8
    boxes = torch.cat((corner, corner + 16 * torch.rand(5, 2, generator=generator)), 1)
    boxes[0] = torch.tensor([-5.0, -5, 30, 30])  # the whole image: runs go on from column to column
    values = paste_masks(masks, boxes, size, convention)
    found = pasted_masks(masks, boxes, size, convention, threshold)
    different = found.to_bool() != (values > threshold)
    assert not (different & ((values - threshold).abs() > 1e-5)).any()
    for run in found.run_lengths():
        assert RunLengths.from_text(run.counts, size) == RunLengths.from_mask(run.to_mask()) == run


@CONVENTIONS
def test_gradient_of_pasting(convention):
    masks = torch.rand(3, 3, 3, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[1.0, 1, 5, 4], [-3, -3, 2, 2], [4, 4, 5, 5]])
    assert torch.autograd.gradcheck(lambda one: paste_masks(one, boxes, (6, 7), convention), masks)


@CONVENTIONS
def test_boxes_outside_empty_and_of_one_pixel(convention):
    boxes = torch.tensor([[-40.0, -40, -20, -20], [100, 2, 120, 4], [3, 3, 4, 4], [3, 3, 3, 3]])
    masks = torch.ones(4, 28, 28)
    out = paste_masks(masks, boxes, (8, 8), convention)
    assert out.isfinite().all()
    assert not out[:2].any()
    assert out[2, 3, 3] == pytest.approx(1)
    assert torch.equal(pasted_masks(masks, boxes, (8, 8), convention).to_bool(), out > 0.5)
    assert paste_masks(masks[:0], boxes[:0], (8, 9), convention).shape == (0, 8, 9)
    assert len(pasted_masks(masks[:0], boxes[:0], (8, 9), convention)) == 0


def test_crops_by_hand():
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :, 4:] = True
    boxes = torch.tensor([[0.0, 0, 8, 8], [4, 0, 8, 4], [-20, -20, -10, -10]])
    crops = crop_masks(Masks.from_bool(mask), boxes, torch.zeros(3, dtype=torch.int64), 2)
    # Values at corners of pixels: of the left half's samples one of four, at 3.5, is half in.
    assert crops[0].tolist() == [[0.125, 1], [0.125, 1]]
    assert crops[1].tolist() == [[1, 1], [1, 1]]
    assert not crops[2].any()
    assert crop_masks(Masks.empty((8, 8)), boxes[:0], torch.zeros(0, dtype=torch.int64), 28).shape == (0, 28, 28)


def test_what_cannot_be_pasted():
    masks, box = torch.ones(1, 2, 2), torch.tensor([[0.0, 0, 2, 2]])
    with pytest.raises(PellucidError, match=r"\(N, 4\)"):
        paste_masks(masks, box.repeat(2, 1), (4, 4), TORCHVISION)
    with pytest.raises(PellucidError, match="not finite"):
        paste_masks(masks, box / 0, (4, 4), TORCHVISION)
    with pytest.raises(PellucidError, match="above 0"):
        pasted_masks(masks, box, (4, 4), TORCHVISION, 0.0)
    with pytest.raises(PellucidError, match="wanted, of 1"):
        crop_masks(masks > 0, box, torch.tensor([1]), 4)
    with pytest.raises(PellucidError, match="not finite"):
        crop_masks(masks > 0, box / 0, torch.tensor([0]), 4)
