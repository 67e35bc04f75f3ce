"""The panel: one photo, what the network says of it, and for each target one tile a method."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain import METHODS, Explanation
from pellucid.report.bars import ROW, draw_classes, percent
from pellucid.report.colours import ACCENT, CARD, MUTED, TRACK, WARNING, Colour, Pixels, heat_ramp
from pellucid.report.lettering import width_of, wrapped
from pellucid.report.page import HEADING_SIZE, LABEL_SIZE, MARGIN, SMALL_SIZE, Page, head_height
from pellucid.report.tiles import (
    Box,
    check_explanation,
    check_photo,
    fitted,
    framed_photo,
    heat_tile,
    is_whole,
    resized,
    seen,
)
from pellucid.structures import ClassScore

GAP = 20
_LINE = 16
_TILE_TITLE = 24
_HEADING = 56
_BLOCK_GAP = 32
_LEGEND_WIDTH = 300

HEAT_LABEL = "share of the map's strongest value"


def method_title(method: str) -> str:
    """A method's name as people write it: 'guided_grad_cam' is 'Guided Grad-CAM'; any other loses its underscores."""
    return METHODS[method].title if method in METHODS else (method[:1].upper() + method[1:]).replace("_", " ")


def draw_panel(
    photo: Tensor,
    predictions: Sequence[ClassScore],
    explanations: Sequence[Explanation],
    *,
    path: str | Path,
    title: str,
    subtitle: str,
    notes: Mapping[tuple[str, str], str] | None = None,
) -> Path:
    """Draws a photo, its classes and its explanations as one PNG, and returns its path.

    ``photo``: uint8 (3, H, W). ``predictions``: the classes to list, best first. ``explanations``: targets × methods in
    the order to draw them; a tile shows the part of the photo that the network saw, and each method keeps its place.
    ``notes``: a short text under a tile by (method, target); one that begins with 'fails' is set in the warning colour.
    The page is 940 to 1716 pixels wide. Raises PellucidError for a photo or map that cannot be drawn, explanations of
    another photo, two explanations of one target by the same method and layer, and a path that cannot be written.
    """
    return compose_panel(photo, predictions, explanations, title=title, subtitle=subtitle, notes=notes).save(path)


@dataclass(frozen=True)
class _Tile:
    """One slot: what it is of, a number beside that, and the explanation (None where it was not asked for)."""

    title: str
    aside: str
    explanation: Explanation | None
    caption: list[tuple[str, Colour]]


@dataclass(frozen=True)
class _Block:
    """A headed group of tiles, in rows."""

    heading: str
    aside: str
    rows: list[list[_Tile]]


@dataclass(frozen=True)
class _Grid:
    """How tiles stand: ``columns`` slots a row, each ``slot`` pixels wide, each picture ``size`` (width, height)."""

    columns: int
    slot: int
    size: tuple[int, int]

    @classmethod
    def of(cls, count: int, box: Box) -> "_Grid":
        """The grid for ``count`` tiles of one part of a photo in a block."""
        aspect = (box[2] - box[0]) / (box[3] - box[1])
        wide = aspect > 1.9  # strips need width to be seen at all
        columns = math.ceil(count / math.ceil(count / (4 if wide else 6)))
        slot = 394 if wide or columns <= 2 else 348 if columns == 3 else 256
        return cls(columns, slot, fitted(box, slot, round(slot * (1.6 if aspect < 0.6 else 1.25))))

    @property
    def inner(self) -> int:
        """The page's width without its margins."""
        return max(860, self.columns * (self.slot + GAP) - GAP)

    def row_height(self, row: Sequence[_Tile]) -> int:
        """From the tiles' titles to the last line under them."""
        return _TILE_TITLE + self.size[1] + 8 + _LINE * max(len(tile.caption) for tile in row)

    def block_height(self, block: _Block) -> int:
        """From the rule over the heading to the last line."""
        return _HEADING + sum(self.row_height(row) + GAP for row in block.rows) - GAP


def compose_panel(
    photo: Tensor,
    predictions: Sequence[ClassScore],
    explanations: Sequence[Explanation],
    *,
    title: str,
    subtitle: str,
    notes: Mapping[tuple[str, str], str] | None = None,
) -> Page:
    """The page of ``draw_panel``, not yet written; takes the same and raises the same."""
    check_photo(photo)
    if not explanations:
        raise PellucidError("panel: there is no explanation to draw; give at least one")
    for explanation in explanations:
        check_explanation(explanation, photo)
    placement = explanations[0].placement
    box = seen(placement)
    # a method is one column, whatever map of a detector each object was read from, unless it is shown for two layers
    twice = len({(e.target, e.method) for e in explanations}) < len(explanations)
    methods = list(dict.fromkeys((e.method, e.layer if twice else None) for e in explanations))
    targets = list(dict.fromkeys(e.target for e in explanations))
    grid = _Grid.of(len(targets) if len(methods) == 1 else len(methods), box)
    told = {score.name: percent(score.probability) for score in predictions}
    blocks = _blocks(explanations, methods, targets, told, notes or {}, grid)

    inner = grid.inner
    picture = framed_photo(photo, box, min(560, inner // 2), 360 if grid.columns > 4 else 300)
    (h, w), (picture_height, picture_width) = placement.frame, picture.shape[:2]
    part = "the whole photo" if is_whole(box, placement) else "the framed part"
    caption = wrapped(
        f"The network saw {part}, at {w} × {h} pixels.", max(picture_width + 34, 200), SMALL_SIZE, lines=3
    )
    side = max(picture_width, *(math.ceil(width_of(line, SMALL_SIZE)) for line in caption))
    pitch = min(58, max(ROW, picture_height // max(1, len(predictions))))
    top = head_height(subtitle)
    y = top + max(picture_height + 6 + _LINE * len(caption), pitch * len(predictions)) + _BLOCK_GAP
    page = Page(
        inner + 2 * MARGIN, y + sum(grid.block_height(b) + _BLOCK_GAP for b in blocks) - _BLOCK_GAP + MARGIN - 8
    )

    page.head(title, subtitle)
    page.paste(MARGIN, top, picture)
    for number, line in enumerate(caption):
        baseline = top + picture_height + 18 + _LINE * number
        page.write(MARGIN, baseline, line, size=SMALL_SIZE, colour=MUTED, width=side + 4)
    bars = MARGIN + side + MARGIN
    draw_classes(page, bars, top, page.width - MARGIN - bars, predictions, dict.fromkeys(targets, ACCENT), pitch)

    under = resized(photo, box, grid.size)
    for block in blocks:
        _draw_heading(page, y, block, legend=block is blocks[0])
        row_top = y + _HEADING
        for row in block.rows:
            for column, tile in enumerate(row):
                shown = None if tile.explanation is None else heat_tile(tile.explanation, under, box)
                _draw_tile(page, MARGIN + column * (grid.slot + GAP), row_top, grid, tile, shown)
            row_top += grid.row_height(row) + GAP
        y += grid.block_height(block) + _BLOCK_GAP
    return page


def _blocks(
    explanations: Sequence[Explanation],
    methods: Sequence[tuple[str, str | None]],
    targets: Sequence[str],
    told: Mapping[str, str],
    notes: Mapping[tuple[str, str], str],
    grid: _Grid,
) -> list[_Block]:
    """One block a target with a tile a method; where there is one method alone, one block with a tile a target."""
    placed: dict[tuple[str, tuple[str, str | None]], Explanation] = {}
    for explanation in explanations:
        own = (explanation.method, explanation.layer)
        place = (explanation.target, own if own in methods else (explanation.method, None))
        if place in placed:
            raise PellucidError(f"panel: {explanation.method} of '{explanation.target}' stands twice; give it once")
        placed[place] = explanation

    def rows(tiles: list[_Tile]) -> list[list[_Tile]]:
        return [tiles[i : i + grid.columns] for i in range(0, len(tiles), grid.columns)]

    def tile(title: str, aside: str, explanation: Explanation | None) -> _Tile:
        return _Tile(title, aside, explanation, _caption(explanation, notes, grid.slot))

    if len(methods) == 1 and len(targets) > 1:
        tiles = [tile(target, told.get(target, ""), placed[target, methods[0]]) for target in targets]
        return [_Block(method_title(methods[0][0]), "", rows(tiles))]
    return [
        _Block(
            target, told.get(target, ""), rows([tile(method_title(m[0]), "", placed.get((target, m))) for m in methods])
        )
        for target in targets
    ]


def _caption(
    explanation: Explanation | None, notes: Mapping[tuple[str, str], str], width: int
) -> list[tuple[str, Colour]]:
    """The lines under a tile: its layer and its note."""
    if explanation is None:
        return []
    note = notes.get((explanation.method, explanation.target), "")
    colour = WARNING if note.startswith("fails") else MUTED
    layer = [(line, MUTED) for line in wrapped(explanation.layer or "", width, SMALL_SIZE, lines=1)]
    return layer + [(line, colour) for line in wrapped(note, width, SMALL_SIZE)]


def _draw_heading(page: Page, y: int, block: _Block, legend: bool) -> None:
    """The line over a block of tiles, and on the first block the colour bar."""
    inner = page.width - 2 * MARGIN
    page.fill(MARGIN, y, inner, 1, TRACK)
    room = inner - (_LEGEND_WIDTH + MARGIN if legend else 0)
    _write_with_aside(page, MARGIN, y + 36, block.heading, block.aside, HEADING_SIZE, room)
    if not legend:
        return
    left, right = page.width - MARGIN - _LEGEND_WIDTH, page.width - MARGIN
    page.paste(left, y + 16, heat_ramp(_LEGEND_WIDTH, 10))
    page.write(left, y + 41, "0", size=SMALL_SIZE, colour=MUTED)
    page.write(right, y + 41, "1", size=SMALL_SIZE, colour=MUTED, align="right")
    middle, room = (left + right) / 2, _LEGEND_WIDTH - 40
    page.write(middle, y + 41, HEAT_LABEL, size=SMALL_SIZE, colour=MUTED, align="center", width=room)


def _draw_tile(page: Page, x: int, y: int, grid: _Grid, tile: _Tile, picture: Pixels | None) -> None:
    """One slot: its title, the picture in the middle of its card, the lines under it."""
    width, height = grid.size
    _write_with_aside(page, x, y + 14, tile.title, tile.aside, LABEL_SIZE, grid.slot)
    page.fill(x, y + _TILE_TITLE, grid.slot, height, CARD)
    if picture is None:
        middle, baseline = x + grid.slot / 2, y + _TILE_TITLE + height / 2 + 4
        page.write(middle, baseline, "not computed", size=SMALL_SIZE, colour=MUTED, align="center", width=grid.slot)
    else:
        page.paste(x + (grid.slot - width) // 2, y + _TILE_TITLE, picture)
    for number, (line, colour) in enumerate(tile.caption):
        baseline = y + _TILE_TITLE + height + 18 + _LINE * number
        page.write(x, baseline, line, size=SMALL_SIZE, colour=colour, width=grid.slot + 4)


def _write_with_aside(page: Page, x: int, baseline: int, text: str, aside: str, size: int, width: int) -> None:
    """A bold text, shortened as needed, with a quiet number after it that is always whole."""
    beside = width_of(aside, size) + size / 2 if aside else 0
    taken = page.write(x, baseline, text, size=size, bold=True, width=width - beside)
    page.write(x + taken + size / 2, baseline, aside, size=size, colour=MUTED, width=beside)
