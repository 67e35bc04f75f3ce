"""Placement: maps travel between frame and photo exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.structures import Placement

sides = st.integers(1, 40)


@st.composite
def placements(draw, padded: bool = True) -> Placement:
    """Frames of any size, on photos of any size, reaching beyond the photo where ``padded``."""
    H, W, h, w = (draw(sides) for _ in range(4))
    edge = st.floats(-0.5 if padded else 0.0, 0.4)
    y1, x1 = draw(edge) * H, draw(edge) * W
    y2, x2 = H - draw(edge) * H, W - draw(edge) * W
    return Placement((H, W), (h, w), (x1, y1, x2, y2))


def axis(size: int, first: float, last: float) -> torch.Tensor:
    """The pixel centres of ``size`` pixels that cover [first, last]."""
    return first + (torch.arange(size, dtype=torch.float64) + 0.5) * (last - first) / size


def ramp(ys: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
    return 3 * ys[:, None] - 2 * xs[None, :] + 1


@given(sides, sides)
@settings(deadline=None, max_examples=60)
def test_whole_is_the_identity(height, width):
    placement = Placement.whole(height, width)
    maps = torch.rand(2, height, width)
    assert placement.is_identity
    assert torch.equal(placement.to_photo(maps), maps)
    assert torch.equal(placement.to_frame(maps), maps)


@given(sides, sides)
@settings(deadline=None, max_examples=60)
def test_the_weights_of_the_whole_are_the_identity_too(height, width):
    # one pixel more on the photo than the frame shows, so that the general path is taken
    placement = Placement((height + 1, width), (height, width), (0.0, 0.0, float(width), float(height)))
    maps = torch.rand(height, width, dtype=torch.float64)
    assert torch.allclose(placement.to_photo(maps)[:height], maps)
    assert torch.all(placement.to_photo(maps)[height] == 0)


@given(placements())
@settings(deadline=None, max_examples=60)
def test_linear_ramps_arrive_exactly_inside_and_nothing_outside(placement):
    (H, W), (h, w), (x1, y1, x2, y2) = placement.photo, placement.frame, placement.box
    there = placement.to_photo(ramp(axis(h, y1, y2), axis(w, x1, x2)))
    assert there.shape == (H, W)
    ys, xs = axis(H, 0, H), axis(W, 0, W)
    # half a frame pixel at the rim has no neighbour to interpolate with
    inner_y = (ys >= y1 + (y2 - y1) / h / 2) & (ys <= y2 - (y2 - y1) / h / 2)
    inner_x = (xs >= x1 + (x2 - x1) / w / 2) & (xs <= x2 - (x2 - x1) / w / 2)
    inner = inner_y[:, None] & inner_x[None, :]
    assert torch.allclose(there[inner], ramp(ys, xs)[inner], atol=1e-6)
    outside = ~(((ys >= y1) & (ys <= y2))[:, None] & ((xs >= x1) & (xs <= x2))[None, :])
    assert torch.all(there[outside] == 0)


@given(placements())
@settings(deadline=None, max_examples=60)
def test_to_frame_is_exact_on_ramps(placement):
    (H, W), (h, w), (x1, y1, x2, y2) = placement.photo, placement.frame, placement.box
    there = placement.to_frame(ramp(axis(H, 0, H), axis(W, 0, W)))
    assert there.shape == (h, w)
    ys, xs = axis(h, y1, y2), axis(w, x1, x2)
    inner = ((ys >= 0.5) & (ys <= H - 0.5))[:, None] & ((xs >= 0.5) & (xs <= W - 0.5))[None, :]
    assert torch.allclose(there[inner], ramp(ys, xs)[inner], atol=1e-6)
    outside = ((ys < 0) | (ys > H))[:, None] | ((xs < 0) | (xs > W))[None, :]
    assert torch.all(there[outside] == 0)


def test_smooth_maps_survive_the_round_trip():
    placement = Placement((90, 120), (64, 64), (15.0, 0.0, 105.0, 90.0))
    ys, xs = torch.linspace(0, 3, 64)[:, None], torch.linspace(0, 3, 64)[None, :]
    maps = (torch.sin(ys) * torch.cos(xs))[None]
    back = placement.to_frame(placement.to_photo(maps))
    assert (back - maps)[..., 1:-1, 1:-1].abs().max() < 5e-3


def test_gradients_flow():
    placement = Placement((9, 12), (4, 4), (1.0, 0.0, 10.0, 9.0))
    maps = torch.rand(3, 4, 4, requires_grad=True)
    placement.to_photo(maps).sum().backward()
    assert maps.grad is not None
    assert (maps.grad > 0).all()


@given(placements(), st.integers(1, 50))
@settings(deadline=None, max_examples=60)
def test_scaled_keeps_the_relative_box(placement, longest_side):
    scaled = placement.scaled(longest_side)
    assert max(scaled.photo) <= max(longest_side, 1)
    assert min(scaled.photo) >= 1
    assert scaled.frame == placement.frame
    relative = [v / s for p in (placement, scaled) for v, s in zip(p.box, (p.photo[1], p.photo[0]) * 2, strict=True)]
    assert relative[:4] == pytest.approx(relative[4:])
    if longest_side >= max(placement.photo):
        assert scaled is placement
