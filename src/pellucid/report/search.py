"""Contact sheets of a search: what each channel sees in its top photos, or the top photos of one objective."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pellucid.errors import PellucidError
from pellucid.explain.search import Found, Hit, Ranking, crops
from pellucid.report.colours import CARD, MUTED
from pellucid.report.lettering import width_of, wrapped
from pellucid.report.page import BODY_SIZE, LABEL_SIZE, MARGIN, SMALL_SIZE, Page, head_height

MOST_ROWS = 24
"""How many channels or classes one sheet shows at most: the first."""

MOST_COLUMNS = 16
"""How many photos of a row are shown at most: the best."""

_TILE, _LARGE = 96, 208
_GAP = 8
_UNDER = 26  # the value beneath a crop, and air
_LINE = 20
_LEAST_INNER = 620


def draw_layer(found: Found, layer: str, *, path: str | Path) -> Path:
    """Draws a layer's channels as one PNG, and returns its path: a row a channel, its best photos from the left.

    Each crop is the receptive field of the channel's best position, its value beneath. The first 24 channels and the
    best 16 photos are shown. Raises PellucidError for a layer that was not searched, a photo that cannot be read any
    more, and a path that cannot be written.
    """
    hits = [found.top(layer, channel) for channel in range(_rows_shown(found.layers, layer))]
    count = len(found.layers[layer].values)
    placed = any(hit.position is not None for row in hits for hit in row)
    what = "cut to what its best position sees" if placed else "whole, since the layer has no positions"
    caption = f"{_many(len(hits), count, 'channel')}. The photos in which each is strongest, best first, {what}."
    labels = [str(channel) for channel in range(len(hits))]
    return compose_rows(f"{found.model}: {layer}", _subtitle(found), caption, labels, hits, 44).save(path)


def draw_classes(found: Found, *, path: str | Path) -> Path:
    """Draws the photos with the highest logits of the first 24 classes as one PNG, and returns its path.

    Raises PellucidError as ``draw_layer`` does, and where the search did not rank classes.
    """
    count = 0 if found.classes is None else len(found.classes.values)
    hits = [found.top_class(index) for index in range(min(MOST_ROWS, count) or 1)]
    names = found.class_names or [f"class {index}" for index in range(count)]
    caption = f"{_many(len(hits), count, 'class')}. The photos with the highest logit of each, best first."
    return compose_rows(f"{found.model}: classes", _subtitle(found), caption, names[: len(hits)], hits, 150).save(path)


def draw_channel(found: Found, layer: str, channel: int, *, path: str | Path) -> Path:
    """Draws the top photos of one channel as one PNG, each cut to what its best position sees; returns the path.

    Raises PellucidError as ``draw_layer`` does.
    """
    return compose_hits(found, f"{layer}:{channel}", found.top(layer, channel)).save(path)


def draw_objective(found: Found, text: str, *, path: str | Path) -> Path:
    """Draws the top photos of an objective as one PNG, each with its value and name, and returns the path.

    Raises PellucidError as ``draw_layer`` does.
    """
    return compose_hits(found, text, found.top_objective(text)).save(path)


def compose_hits(found: Found, text: str, hits: Sequence[Hit]) -> Page:
    """A page of photos under the name of what they were searched for, not yet written."""
    columns = min(5, max(3, math.isqrt(max(1, len(hits) - 1)) + 1))
    inner = columns * (_LARGE + _GAP * 2) - _GAP * 2
    top = head_height(_subtitle(found))
    height = _LARGE + 52
    page = Page(inner + 2 * MARGIN, top + math.ceil(len(hits) / columns) * height + MARGIN - 16)
    page.head(f"{found.model}: {text}", _subtitle(found))
    for number, (hit, tile) in enumerate(zip(hits, crops(hits, _LARGE), strict=True)):
        x, y = MARGIN + number % columns * (_LARGE + _GAP * 2), top + number // columns * height
        page.paste(x, y, tile.permute(1, 2, 0).numpy())
        taken = page.write(x, y + _LARGE + 20, _value(hit), size=LABEL_SIZE, bold=True, width=_LARGE / 2)
        name, room = Path(hit.photo).name, _LARGE - taken - 10
        page.write(x + _LARGE, y + _LARGE + 20, name, size=SMALL_SIZE, colour=MUTED, align="right", width=room)
    return page


def _rows_shown(rankings: Mapping[str, Ranking], layer: str) -> int:
    # An unknown layer is refused by top().
    return min(MOST_ROWS, len(rankings[layer].values)) if layer in rankings else 1


def _many(shown: int, count: int, what: str) -> str:
    plural = "classes" if what == "class" else f"{what}s"
    return f"The first {shown} of {count} {plural}" if shown < count else f"{count} {what if count == 1 else plural}"


def _subtitle(found: Found) -> str:
    read = len(found.photos) - len(found.skipped)
    return f"searched in {read} photo{'' if read == 1 else 's'}"


def _value(hit: Hit) -> str:
    return f"{hit.value:#.3g}".rstrip(".").replace("-", "−")


def compose_rows(
    title: str, subtitle: str, caption: str, labels: Sequence[str], rows: Sequence[Sequence[Hit]], label_width: int
) -> Page:
    """A page with a row of crops for each label, not yet written; ``label_width``: pixels left of the crops."""
    if not rows:
        raise PellucidError(f"{title}: there is no channel to draw")
    rows = [row[:MOST_COLUMNS] for row in rows]
    columns = max(1, *(len(row) for row in rows))
    left = label_width + 12
    inner = max(_LEAST_INNER, left + columns * (_TILE + _GAP) - _GAP)
    lines = wrapped(caption, inner, BODY_SIZE, lines=3)
    top = head_height(subtitle)
    grid_top = top + _LINE * len(lines) + 12
    height = _TILE + _UNDER
    page = Page(inner + 2 * MARGIN, grid_top + len(rows) * height + MARGIN - 12)
    page.head(title, subtitle)
    for number, line in enumerate(lines):
        page.write(MARGIN, top + 6 + _LINE * number, line, size=BODY_SIZE, colour=MUTED, width=inner + 4)

    pictures = iter(crops([hit for row in rows for hit in row], _TILE))
    for number, (label, row) in enumerate(zip(labels, rows, strict=True)):
        y = grid_top + number * height
        _write_label(page, label, y, label_width)
        for column in range(columns):
            x = MARGIN + left + column * (_TILE + _GAP)
            if column >= len(row):
                page.fill(x, y, _TILE, _TILE, CARD)
                continue
            page.paste(x, y, next(pictures).permute(1, 2, 0).numpy())
            middle = x + _TILE / 2
            page.write(middle, y + _TILE + 15, _value(row[column]), size=SMALL_SIZE, colour=MUTED, align="center")
    return page


def _write_label(page: Page, label: str, y: int, width: int) -> None:
    """A row's name beside its middle, right-aligned; long ones on several lines."""
    lines = wrapped(label, width, LABEL_SIZE, lines=3, bold=width_of(label, LABEL_SIZE, True) <= width)
    bold = len(lines) == 1
    first = y + _TILE / 2 + 5 - 9 * (len(lines) - 1)
    for number, line in enumerate(lines):
        x, baseline = MARGIN + width, first + 18 * number
        page.write(x, baseline, line, size=LABEL_SIZE, bold=bold, align="right", width=width + 2)
