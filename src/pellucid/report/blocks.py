"""The building blocks page: one photo's activation grid, neuron groups and channels, and what they add to a class."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.attribution import Explanation
from pellucid.explain.blocks import ActivationGrid, ChannelAttribution, NeuronGroups
from pellucid.explain.synthesis import as_pixels
from pellucid.report.bars import ROW, draw_classes
from pellucid.report.colours import ACCENT, CARD, MUTED, PAPER, TRACK, WARNING, Colour, Pixels, muted
from pellucid.report.lettering import width_of, wrapped
from pellucid.report.page import BODY_SIZE, HEADING_SIZE, LABEL_SIZE, MARGIN, SMALL_SIZE, Page, draw_bar, head_height
from pellucid.report.tiles import (
    Box,
    check_explanation,
    check_photo,
    fitted,
    framed_photo,
    heat_in,
    heat_tile,
    is_whole,
    resized,
    seen,
)
from pellucid.structures import ClassScore, Placement

COLUMNS = 6
_GAP = 20
_SLOT = 210
_INNER = COLUMNS * (_SLOT + _GAP) - _GAP
_SIDE = 420
_LINE = 16
_TITLE = 26
_HEADING = 78
_SECTION_GAP = 28
_UNDER = 30
_LEAST_CELL = 0.5
"""The smallest cell's side, as a share of the largest: below it nothing can be made out."""

# fmt: off
GROUP_COLOURS: tuple[Colour, ...] = (
    (230, 75, 53), (43, 131, 216), (240, 180, 20), (46, 160, 90), (150, 90, 200), (30, 185, 190),
    (235, 110, 180), (150, 105, 60), (130, 150, 30), (90, 90, 230), (250, 140, 60), (110, 120, 140),
)
# fmt: on


def group_colour(number: int) -> Colour:
    """The colour of a group by its place in the order; after twelve they begin again."""
    return GROUP_COLOURS[number % len(GROUP_COLOURS)]


@dataclass(frozen=True)
class _Tile:
    """A synthesised image over the place where it was seen, with a title, a number and a bar."""

    title: str
    aside: str
    image: Tensor
    overlay: Pixels
    number: float
    share: float
    colour: Colour | None = None


def draw_blocks(
    photo: Tensor,
    predictions: Sequence[ClassScore],
    *,
    channels: ChannelAttribution,
    shown: Sequence[int],
    channel_images: Tensor,
    groups: NeuronGroups,
    group_images: Tensor,
    grid: ActivationGrid | None,
    path: str | Path,
    title: str,
    subtitle: str,
) -> Path:
    """Draws the building blocks of one photo as one PNG of 1440 pixels' width, and returns its path.

    ``photo``: uint8 (3, H, W). ``predictions``: the classes to list, best first. ``shown``: the channels to draw;
    ``channel_images``: (len(shown), 3, s, s) in [0, 1], an image of each. ``groups``: with attributions;
    ``group_images``: (K, 3, s, s). ``grid``: None leaves the activation grid out. Raises PellucidError for what cannot
    be drawn, for blocks of another photo, and for a path that cannot be written.
    """
    return compose_blocks(
        photo,
        predictions,
        channels=channels,
        shown=shown,
        channel_images=channel_images,
        groups=groups,
        group_images=group_images,
        grid=grid,
        title=title,
        subtitle=subtitle,
    ).save(path)


def compose_blocks(
    photo: Tensor,
    predictions: Sequence[ClassScore],
    *,
    channels: ChannelAttribution,
    shown: Sequence[int],
    channel_images: Tensor,
    groups: NeuronGroups,
    group_images: Tensor,
    grid: ActivationGrid | None,
    title: str,
    subtitle: str,
) -> Page:
    """The page of ``draw_blocks``, not yet written; takes the same and raises the same."""
    check_photo(photo)
    if groups.attributions is None:
        raise PellucidError("blocks: the groups have no attributions; make them with an objective")
    if len(shown) != len(channel_images) or len(groups) != len(group_images):
        raise PellucidError(
            f"blocks: {len(channel_images)} images of {len(shown)} channels and {len(group_images)} of {len(groups)} "
            "groups; give one of each"
        )
    placement = channels.placement
    group_maps = [_explained(m, placement, f"group {k + 1}") for k, m in enumerate(groups.maps)]
    for map_ in group_maps:
        check_explanation(map_, photo)
    box = seen(placement)
    under = resized(photo, box, fitted(box, _SLOT, round(1.4 * _SLOT)))

    group_tiles = _group_tiles(groups, group_images, group_maps, under, box)
    tiles = _channel_tiles(channels, shown, channel_images, under, box)
    supporting = [tile for tile in tiles if tile.number >= 0]
    opposing = [tile for tile in tiles if tile.number < 0]
    target = channels.target
    sections = [
        (
            f"Neuron groups of {groups.layer}",
            f"What fires together there, and each group's share of the activation: an image of its direction, where it "
            f"occurs, what it adds. {_residual(groups)}",
            group_tiles,
        ),
        (
            f"Channels of {channels.layer} for '{target}'",
            "An image of each channel, where it acted, and what it adds.",
            supporting,
        ),
        (
            f"Channels of {channels.layer} against '{target}'",
            "An image of each channel, where it acted, and what it takes away.",
            opposing,
        ),
    ]
    sections = [section for section in sections if section[2]]

    top = head_height(subtitle)
    picture = framed_photo(photo, box, _SIDE, 380)
    together_height = _SIDE
    if grid is not None:  # no further down than the grid at its right, if that leaves enough of it
        used = picture.shape[0] + 8 + 2 * _LINE + 36 + ROW * len(predictions)
        together_height = min(_SIDE, max(240, _grid_size(grid)[1] - used))
    together = _together(resized(photo, box, fitted(box, _SIDE, together_height)), group_maps, box)
    first = _First(picture, _seen_text(placement, box), predictions, target, together, groups.layer, grid)
    tile_height = _TITLE + _SLOT + 6 + under.shape[0] + _UNDER
    heights = [_HEADING + math.ceil(len(tiles) / COLUMNS) * (tile_height + _GAP) - _GAP for _, _, tiles in sections]
    note = wrapped(_completeness(channels), _INNER, BODY_SIZE, lines=3)
    height = top + first.height + sum(heights) + _SECTION_GAP * len(sections) + 20 * len(note) + MARGIN + 8
    page = Page(_INNER + 2 * MARGIN, height)
    page.head(title, subtitle)
    first.draw(page, top)
    y = top + first.height + _SECTION_GAP
    for (heading, text, tiles), taken in zip(sections, heights, strict=True):
        _draw_section(page, y, heading, text, tiles, tile_height, under.shape[1])
        y += taken + _SECTION_GAP
    for number, line in enumerate(note):
        page.write(MARGIN, y + 12 + 20 * number, line, size=BODY_SIZE, colour=MUTED, width=_INNER + 4)
    return page


@dataclass(frozen=True)
class _First:
    """The head of the page: the photo, its classes, the groups together, and the activation grid at their right."""

    picture: Pixels
    caption: str
    predictions: Sequence[ClassScore]
    target: str
    together: Pixels
    group_layer: str
    grid: ActivationGrid | None

    @property
    def height(self) -> int:
        if self.grid is None:
            return max(self._photo_height, ROW * len(self.predictions), _TITLE + self.together.shape[0] + 2 * _LINE + 8)
        left = self._photo_height + 20 + ROW * len(self.predictions) + 16 + _TITLE + self.together.shape[0]
        return max(left, _TITLE + _grid_size(self.grid)[1] + 12 + 2 * _LINE)

    @property
    def _photo_height(self) -> int:
        return self.picture.shape[0] + 8 + _LINE * len(self._lines)

    @property
    def _lines(self) -> list[str]:
        return wrapped(self.caption, _SIDE, SMALL_SIZE)

    def draw(self, page: Page, top: int) -> None:
        page.paste(MARGIN, top, self.picture)
        for number, line in enumerate(self._lines):
            baseline = top + self.picture.shape[0] + 18 + _LINE * number
            page.write(MARGIN, baseline, line, size=SMALL_SIZE, colour=MUTED, width=_SIDE + 4)
        right = MARGIN + _SIDE + MARGIN
        colours = {self.target: ACCENT}
        if self.grid is None:
            middle = _INNER - 2 * (_SIDE + MARGIN)
            draw_classes(page, right, top, middle, self.predictions, colours)
            self._draw_together(page, page.width - MARGIN - _SIDE, top)
            return
        below = top + self._photo_height + 20
        draw_classes(page, MARGIN, below, _SIDE, self.predictions, colours)
        self._draw_together(page, MARGIN, below + ROW * len(self.predictions) + 16)
        heading = f"What {self.grid.layer} sees, position by position"
        room = page.width - MARGIN - right
        page.write(right, top + 14, heading, size=LABEL_SIZE, bold=True, width=room)
        pixels = grid_picture(self.grid)
        page.paste(right, top + _TITLE, pixels)
        for number, line in enumerate(wrapped(_grid_text(self.grid), room, SMALL_SIZE)):
            baseline = top + _TITLE + pixels.shape[0] + 22 + _LINE * number
            page.write(right, baseline, line, size=SMALL_SIZE, colour=MUTED, width=room + 4)

    def _draw_together(self, page: Page, x: int, y: int) -> None:
        heading = f"Where the neuron groups of {self.group_layer} are"
        page.write(x, y + 14, heading, size=LABEL_SIZE, bold=True, width=_SIDE)
        page.paste(x, y + _TITLE, self.together)


def _grid_size(grid: ActivationGrid) -> tuple[int, int]:
    """(width, height) of the activation grid on the page."""
    rows, columns = grid.magnitudes.shape
    cell = max(1, (_INNER - _SIDE - MARGIN) // max(rows, columns))
    return columns * cell, rows * cell


def grid_picture(grid: ActivationGrid) -> Pixels:
    """The activation grid as one picture, each cell's area in proportion to the activation's length there."""
    rows, columns = grid.magnitudes.shape
    width, height = _grid_size(grid)
    cell = width // columns
    made: Pixels = np.empty((height, width, 3), dtype=np.uint8)
    made[:] = PAPER
    # One outstanding position would leave all others small.
    largest = float(torch.quantile(grid.magnitudes.float(), 0.95)) or float(grid.magnitudes.max())
    for row in range(rows):
        for column in range(columns):
            length = float(grid.magnitudes[row, column]) / largest if largest > 0 else 0.0
            side = max(1, round((cell - 1) * min(1.0, max(_LEAST_CELL, math.sqrt(length)))))
            picture = _sized(grid.images[row, column], side)
            y, x = row * cell + (cell - side) // 2, column * cell + (cell - side) // 2
            made[y : y + side, x : x + side] = picture
    return made


def _grid_text(grid: ActivationGrid) -> str:
    rows, columns = grid.magnitudes.shape
    pooled = ", averaged from a finer grid" if grid.pooled else ""
    return (
        f"{rows} × {columns} positions{pooled}. Each cell is an image synthesised for the activation at that place of "
        "the photo; the larger the cell, the stronger the activation."
    )


def _group_tiles(
    groups: NeuronGroups, images: Tensor, maps: Sequence[Explanation], under: Pixels, box: Box
) -> list[_Tile]:
    assert groups.attributions is not None
    numbers = groups.attributions.tolist()
    most = max(map(abs, numbers), default=0) or 1.0
    size = (under.shape[1], under.shape[0])
    return [
        _Tile(
            title=f"Group {k + 1}",
            aside=f"{100 * float(groups.shares[k]):.0f} %",
            image=images[k],
            overlay=_tinted(under, [heat_in(maps[k], box, size)], [group_colour(k)]),
            number=numbers[k],
            share=abs(numbers[k]) / most,
            colour=group_colour(k),
        )
        for k in range(len(groups))
    ]


def _channel_tiles(
    channels: ChannelAttribution, shown: Sequence[int], images: Tensor, under: Pixels, box: Box
) -> list[_Tile]:
    numbers = [float(channels.attributions[i]) for i in shown]
    most = max(map(abs, numbers), default=0) or 1.0
    made = []
    for i, image, number in zip(shown, images, numbers, strict=True):
        map_ = channels.maps[i] if number >= 0 else -channels.maps[i]
        heat = _explained(map_, channels.placement, f"channel {i}")
        side = "" if channels.signs[i] > 0 else "below zero"
        overlay = heat_tile(heat, under, box)
        made.append(_Tile(f"Channel {i}", side, image, overlay, number, abs(number) / most))
    return made


def _explained(map_: Tensor, placement: Placement, target: str) -> Explanation:
    """A map of the layer's grid as one of the network's frame, for drawing."""
    frame_map = F.interpolate(map_[None, None].float(), placement.frame, mode="bilinear", align_corners=False)[0, 0]
    return Explanation("blocks", target, None, frame_map, placement, signed=True)


def _together(under: Pixels, maps: Sequence[Explanation], box: Box) -> Pixels:
    heats = [heat_in(map_, box, (under.shape[1], under.shape[0])) for map_ in maps]
    return _tinted(under, heats, [group_colour(k) for k in range(len(maps))])


def _tinted(under: Pixels, heats: Sequence[np.ndarray], colours: Sequence[Colour]) -> Pixels:
    """The muted photo with each heat (h, w) in its own colour; where several lie, they mix by their strength."""
    weights = np.stack(heats)[..., None] ** 2  # squared, so that the strongest of several keeps its colour
    colour = (weights * np.array(colours, dtype=np.float32)[:, None, None]).sum(0) / np.maximum(weights.sum(0), 1e-6)
    alpha = 0.8 * np.stack(heats).max(0)[..., None]
    return np.round((1 - alpha) * muted(under) + alpha * colour).astype(np.uint8)


def _draw_section(
    page: Page, y: int, heading: str, text: str, tiles: Sequence[_Tile], tile_height: int, overlay_width: int
) -> None:
    page.fill(MARGIN, y, _INNER, 1, TRACK)
    page.write(MARGIN, y + 34, heading, size=HEADING_SIZE, bold=True, width=_INNER)
    page.write(MARGIN, y + 58, text, size=BODY_SIZE, colour=MUTED, width=_INNER)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        x, top = MARGIN + column * (_SLOT + _GAP), y + _HEADING + row * (tile_height + _GAP)
        _draw_tile(page, x, top, tile, overlay_width)


def _draw_tile(page: Page, x: int, y: int, tile: _Tile, overlay_width: int) -> None:
    left = x
    if tile.colour is not None:
        page.fill(x, y + 3, 14, 14, tile.colour)
        left += 22
    room = x + _SLOT - left
    aside = width_of(tile.aside, SMALL_SIZE)
    page.write(left, y + 15, tile.title, size=LABEL_SIZE, bold=True, width=room - (aside + 10 if aside else 0))
    page.write(x + _SLOT, y + 15, tile.aside, size=SMALL_SIZE, colour=MUTED, align="right", width=aside + 1)
    page.paste(x, y + _TITLE, _sized(tile.image, _SLOT))
    below = y + _TITLE + _SLOT + 6
    page.fill(x, below, _SLOT, tile.overlay.shape[0], CARD)
    page.paste(x + (_SLOT - overlay_width) // 2, below, tile.overlay)
    bar = below + tile.overlay.shape[0] + 14
    told = signed_number(tile.number)
    # the widest number's room is kept, so that all bars begin and end alike
    room = 64
    draw_bar(page, x, bar, _SLOT - room, tile.share, ACCENT if tile.number >= 0 else WARNING)
    page.write(x + _SLOT, bar + 9, told, size=BODY_SIZE, bold=True, align="right", width=room - 4)


def signed_number(value: float) -> str:
    """A number with its sign and three figures or so: '+1.57', '−0.043', '+2.1e−05'."""
    text = f"{value:+.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:+.2g}"
    return text.replace("-", "−")


def _sized(image: Tensor, side: int) -> Pixels:
    """A synthesised image (3, h, w) as ``side`` × ``side`` pixels, its middle where it is not square."""
    pixels = as_pixels(image)
    h, w = pixels.shape[:2]
    short = min(h, w)
    box = ((w - short) / 2, (h - short) / 2, (w + short) / 2, (h + short) / 2)
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS, box=box))


def _seen_text(placement: Placement, box: Box) -> str:
    h, w = placement.frame
    part = "the whole photo" if is_whole(box, placement) else "the framed part"
    return f"The network saw {part}, at {w} × {h} pixels."


def _residual(groups: NeuronGroups) -> str:
    assert groups.residual_attribution is not None
    return (
        f"What they leave out ({100 * groups.residual_share:.0f} %) adds {signed_number(groups.residual_attribution)}."
    )


def _completeness(channels: ChannelAttribution) -> str:
    """What all channels add up to, beside the value that they should explain."""
    total = float(torch.as_tensor(channels.attributions).sum())
    text = (
        f"What a group or a channel adds is its gradient × activation. Over the whole layer that sums to "
        f"{signed_number(total)}, and the value of '{channels.target}' is {signed_number(channels.value)}"
    )
    if abs(total - channels.value) > 0.5 * abs(channels.value):
        return (
            f"{text}. What follows {channels.layer} is far from linear here: take these numbers as rough, or look at a "
            "deeper layer."
        )
    return f"{text}."
