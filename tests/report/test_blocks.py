"""The building blocks page: whole, tidy, and true to its numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.blocks import ActivationGrid, ChannelAttribution, NeuronGroups
from pellucid.report.blocks import compose_blocks, draw_blocks, grid_picture, group_colour, signed_number
from pellucid.structures import ClassScore, Placement

HEAD = {"title": "chelsea.png", "subtitle": "tf_efficientnet_lite0: the building blocks of 'tabby'"}
Blocks = Callable[..., dict[str, Any]]


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def blocks() -> Blocks:
    """What the page is drawn from, of random numbers."""

    def made(
        placement: Placement, groups: int = 6, channels: int = 6, grid: tuple[int, int] | None = (4, 5), **more: Any
    ) -> dict[str, Any]:
        maps = _random(20, 7, 7).double() - 0.5
        attributions = maps.sum((1, 2))
        found = ChannelAttribution(
            layer="bn2",
            target="tabby",
            value=9.24,
            attributions=attributions,
            maps=maps,
            signs=torch.where(torch.arange(20) % 3 > 0, 1, -1),
            placement=placement,
        )
        shown = found.supporting(channels) + found.opposing(channels)
        told = torch.linspace(2, -1, groups).double()
        return {
            "channels": found,
            "shown": shown,
            "channel_images": _random(len(shown), 3, 16, 16),
            "groups": NeuronGroups(
                layer="bn2",
                maps=_random(groups, 7, 7, seed=1),
                directions=_random(groups, 20),
                shares=torch.full((groups,), 0.1).double(),
                residual_share=1 - 0.1 * groups,
                placement=placement,
                target="tabby",
                value=9.24,
                attributions=told,
                residual_attribution=-0.51,
            ),
            "group_images": _random(groups, 3, 16, 16),
            "grid": None
            if grid is None
            else ActivationGrid("blocks.4", _random(*grid, 3, 8, 8), _random(*grid), False, placement),
        } | more

    return made


def test_it_writes_a_png(cat, scores, blocks, centred, tmp_path):
    made = draw_blocks(cat, scores, **blocks(centred(cat)), path=tmp_path / "a" / "blocks.png", **HEAD)
    with Image.open(made) as picture:
        picture.load()
        assert picture.width == 1440
    assert [p.name for p in made.parent.iterdir()] == ["blocks.png"]


@pytest.mark.parametrize(
    ("groups", "channels", "grid"), [(1, 0, None), (6, 6, (14, 14)), (14, 9, (7, 7)), (3, 2, (1, 1)), (6, 1, (14, 9))]
)
def test_text_is_never_clipped_nor_overlaps(groups, channels, grid, cat, scores, blocks, centred, assert_tidy):
    page = compose_blocks(cat, scores, **blocks(centred(cat), groups, channels, grid), **HEAD)
    assert_tidy(page)
    written = [text.get_text() for text in page.figure().texts]
    assert {f"Group {k + 1}" for k in range(groups)} <= set(written)
    assert ("What blocks.4 sees, position by position" in written) == (grid is not None)
    assert any("for 'tabby'" in text for text in written) == (channels > 0)


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (1, 1), (2, 900), (900, 2)])
@pytest.mark.parametrize("grid", [None, (4, 5)])
def test_text_is_never_clipped_nor_overlaps_for_any_aspect(size, grid, scores, blocks, squashed, assert_tidy):
    photo = (_random(3, *size) * 255).byte()
    long = [
        *scores,
        ClassScore("a class with a name that is far too long for the column that it must stand in", 7, 0.1),
    ]
    assert_tidy(compose_blocks(photo, long, **blocks(squashed(photo), grid=grid), **HEAD))


def test_numbers_stand_under_what_they_are_of(cat, scores, blocks, centred):
    given = blocks(centred(cat))
    page = compose_blocks(cat, scores, **given, **HEAD)
    written = [text.get_text() for text in page.figure().texts]
    for value in [*given["groups"].attributions.tolist(), *given["channels"].attributions[given["shown"]].tolist()]:
        assert signed_number(value) in written
    for channel in given["shown"]:
        place = written.index(f"Channel {channel}")
        assert ("below zero" in written[place : place + 2]) == (given["channels"].signs[channel] < 0)
    assert any("adds −0.51" in text for text in written)


def test_a_layer_that_the_estimate_does_not_suit_is_named(cat, scores, blocks, centred):
    given = blocks(centred(cat))
    for value, rough in ((float(given["channels"].attributions.sum()), False), (100.0, True)):
        channels = ChannelAttribution(**{**vars(given["channels"]), "value": value})
        page = compose_blocks(cat, scores, **{**given, "channels": channels}, **HEAD)
        said = " ".join(text.get_text() for text in page.figure().texts)
        assert ("far from linear" in said) is rough


def test_a_group_is_seen_in_its_colour_where_it_is(cat, scores, blocks, centred):
    given = blocks(centred(cat), groups=2)
    maps = torch.zeros(2, 7, 7)
    maps[0, :, :3] = maps[1, :, 4:] = 1
    groups = NeuronGroups(**{**vars(given["groups"]), "maps": maps})
    page = compose_blocks(cat, scores, **{**given, "groups": groups}, **HEAD)
    other = NeuronGroups(**{**vars(given["groups"]), "maps": maps.flip(0)})
    mirrored = compose_blocks(cat, scores, **{**given, "groups": other}, **HEAD)
    changed = (page.pixels != mirrored.pixels).any(2)
    where = np.argwhere(changed)
    side = where[where[:, 1] < 460]  # the picture of all groups together, at the page's left
    left, right = (
        page.pixels[side[half][:, 0], side[half][:, 1]].mean(0)
        for half in (side[:, 1] < np.median(side[:, 1]), side[:, 1] > np.median(side[:, 1]))
    )
    toward = np.subtract(group_colour(0), group_colour(1))
    assert (left - right) @ toward > 0


def test_cells_are_larger_where_the_activation_is(centred, cat):
    images = torch.zeros(1, 3, 3, 8, 8)
    picture = grid_picture(ActivationGrid("x", images, torch.tensor([[0.0, 0.5, 1.0]]), False, centred(cat)))
    inked = (picture[..., 0] < 128).sum(0)
    third = picture.shape[1] // 3
    small, middle, large = (inked[i * third : (i + 1) * third].sum() for i in range(3))
    assert 0 < small < middle < large
    blank = grid_picture(ActivationGrid("x", images, torch.zeros(1, 3), False, centred(cat)))
    assert (blank < 128).any()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.567, "+1.57"),
        (-0.5, "−0.50"),
        (-0.0432, "−0.043"),
        (2.1e-5, "+2.1e−05"),
        (0.0, "+0.00"),
        (12345.6, "+12345.60"),
    ],
)
def test_signed_numbers(value, text):
    assert signed_number(value) == text


def test_what_cannot_be_drawn_is_said(cat, scores, blocks, centred, tmp_path):
    given = blocks(centred(cat))
    with pytest.raises(PellucidError, match="give one of each"):
        compose_blocks(cat, scores, **{**given, "channel_images": given["channel_images"][:3]}, **HEAD)
    bare = NeuronGroups(**{**vars(given["groups"]), "attributions": None})
    with pytest.raises(PellucidError, match="have no attributions"):
        compose_blocks(cat, scores, **{**given, "groups": bare}, **HEAD)
    with pytest.raises(PellucidError, match="of a photo of"):
        compose_blocks(cat[:, :100], scores, **given, **HEAD)
    with pytest.raises(PellucidError, match=r"\.png"):
        draw_blocks(cat, scores, **given, path=tmp_path / "blocks.jpg", **HEAD)
