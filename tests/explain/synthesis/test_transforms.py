"""Transforms: one warp does what the list says, in any order."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2.functional import InterpolationMode, rotate

from pellucid.errors import PellucidError
from pellucid.explain.synthesis.crops import Crops
from pellucid.explain.synthesis.transforms import (
    LUCID,
    STANDARD,
    Jitter,
    Pad,
    Rotate,
    Scale,
    Warp,
    parse_transforms,
)


def images(n=2, height=20, width=24, seed=0):
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def warp(transforms, x, *draws):
    """The warp of images with the same given draws for each: one (u, v) a transform."""
    random = torch.tensor(draws, dtype=torch.float32).expand(len(x), len(draws), 2)
    return Warp(transforms, *x.shape[-2:])(x, random)


def test_pad_is_a_grey_border():
    x = images()
    torch.testing.assert_close(warp([Pad(3)], x, (0.7, 0.2)), F.pad(x, (3, 3, 3, 3), value=0.5))


@pytest.mark.parametrize(("draw", "left", "top"), [((0.0, 0.0), 0, 0), ((0.999, 0.0), 4, 0), ((0.5, 0.25), 2, 1)])
def test_jitter_is_a_crop_at_a_whole_pixel(draw, left, top):
    x = images()
    torch.testing.assert_close(warp([Jitter(4)], x, draw), x[:, :, top : top + 16, left : left + 20])


def test_scale_enlarges_about_the_middle():
    x = images(height=16, width=16)
    twice = F.interpolate(x, scale_factor=2, mode="bilinear")[:, :, 8:24, 8:24]
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(warp([Scale(2, 2)], x, (0.3, 0.3))[inner], twice[inner])


@pytest.mark.parametrize(("draw", "degrees"), [(0.75, 15.0), (0.0, -30.0)])
def test_rotation_agrees_with_torchvision(draw, degrees):
    x = images(height=21, width=17)
    ours = warp([Rotate(30)], x, (draw, 0.9))
    theirs = [rotate(x - 0.5, angle, InterpolationMode.BILINEAR) + 0.5 for angle in (degrees, -degrees)]
    assert min(float((ours - t).abs().max()) for t in theirs) < 1e-4


def test_one_draw_in_five_does_not_rotate():
    x = images()
    torch.testing.assert_close(warp([Rotate(30)], x, (0.9, 0.1)), x)
    rotate_ = Rotate(30)
    random = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    still = rotate_.matrices(random)[:, 0, 1] == 0
    assert 0.15 < float(still.float().mean()) < 0.25


def test_order_matters_and_is_that_of_the_list():
    x = images(height=24, width=24)
    first = warp([Scale(2, 2), Jitter(8)], x, (0, 0), (0, 0))
    then = warp([Jitter(8), Scale(2, 2)], x, (0, 0), (0, 0))
    # Enlarged and then cropped at the corner; or the corner cropped out and then enlarged about its own middle.
    inner = (..., slice(1, -1), slice(1, -1))
    enlarged = F.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(first[inner], enlarged[:, :, 12:28, 12:28][inner])
    corner = F.interpolate(x[:, :, :16, :16], scale_factor=2, mode="bilinear")[:, :, 8:24, 8:24]
    torch.testing.assert_close(then[inner], corner[inner])


def test_images_of_a_batch_move_each_in_its_own_way():
    x = images(1).expand(3, -1, -1, -1)
    made = Warp(STANDARD, 20, 24)
    random = torch.stack([made.draws(torch.Generator().manual_seed(s), 1)[0] for s in range(3)])
    moved = made(x, random)
    assert float((moved[0] - moved[1]).abs().max()) > 0.05
    torch.testing.assert_close(moved[1:2], made(x[:1], random[1:2]))


_lists = st.lists(
    st.one_of(
        st.builds(Pad, st.integers(0, 9)),
        st.builds(Jitter, st.integers(0, 6)),
        st.builds(Scale, st.just(0.8), st.just(1.3)),
        st.builds(Rotate, st.floats(0, 45)),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(_lists, st.integers(12, 30), st.integers(12, 30), st.integers(0, 99))
def test_any_list_gives_its_size_and_stays_in_range(transforms, height, width, seed):
    x = images(2, height, width)
    expected = (height, width)
    for transform in transforms:
        expected = transform.size(*expected)
    if min(expected) < 1:
        with pytest.raises(PellucidError, match="leave nothing"):
            Warp(transforms, height, width)
        return
    made = Warp(transforms, height, width)
    moved = made(x, made.draws(torch.Generator().manual_seed(seed), 2))
    assert moved.shape == (2, 3, *expected)
    assert float(moved.min()) >= -1e-6
    assert float(moved.max()) <= 1 + 1e-6


def test_text():
    assert parse_transforms("standard") == STANDARD
    assert parse_transforms("pad=6,jitter=8,scale=0.9:1.1, rotate=10 ,jitter=4") == STANDARD
    assert parse_transforms("pad=12,jitter=8,scale=0.9:1.1,rotate=10,jitter=4") == parse_transforms("lucid") == LUCID
    assert Warp(STANDARD, 128, 96).size == (128, 96)
    assert parse_transforms("none") == ()
    assert parse_transforms("scale=2") == (Scale(2, 2),)


@pytest.mark.parametrize("text", ["pad", "pad=x", "jitter=-1", "scale=2:1", "rotate=999", "shear=3", "pad=1;jitter=2"])
def test_text_that_is_no_transform(text):
    with pytest.raises(PellucidError, match="give pad=PIXELS"):
        parse_transforms(text)


def test_crops_shrink_from_half_the_image_to_a_twentieth():
    """On an image whose red is its column and whose green is its row, a crop's spread tells its side."""
    ramp = torch.linspace(0, 1, 200)
    image = torch.stack([ramp.expand(200, 200), ramp[:, None].expand(200, 200), torch.zeros(200, 200)])[None]
    crops = Crops(count=6, size=20, noise=0)
    for progress, side in ((0.0, 0.5), (1.0, 0.05)):
        seen = crops(image, progress, [torch.Generator().manual_seed(0)])
        assert seen.shape == (6, 3, 20, 20)
        for one in seen:
            # from the middle of the first pixel of twenty to the middle of the last
            assert float(one[0].max() - one[0].min()) == pytest.approx(side * 19 / 20, rel=0.05)
            assert float(one[1].max() - one[1].min()) == pytest.approx(side * 19 / 20, rel=0.05)
