"""The adversarial row: a photo, the change made to it, the result, and what the network looks at before and after."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.attribution.explanation import Explanation
from pellucid.report.bars import ROW, draw_classes
from pellucid.report.colours import ACCENT, CARD, MUTED, WARNING, Colour, Pixels, heat_ramp
from pellucid.report.lettering import wrapped
from pellucid.report.page import BODY_SIZE, LABEL_SIZE, MARGIN, SMALL_SIZE, Page, head_height
from pellucid.report.panel import HEAT_LABEL, method_title
from pellucid.report.tiles import Box, check_explanation, check_photo, fitted, heat_tile, is_whole, resized, seen
from pellucid.structures import ClassScore

_SLOT = 300
_GAP = 24
_TITLE = 24
_LINE = 18
_BARS = 3


def draw_adversarial(
    original: Tensor,
    adversarial: Tensor,
    *,
    before: Sequence[ClassScore],
    after: Sequence[ClassScore],
    explanation_before: Explanation,
    explanation_after: Explanation,
    path: str | Path,
    title: str,
    subtitle: str,
) -> Path:
    """Draws five tiles in a row as one PNG of 1676 pixels' width, and returns its path.

    ``original``, ``adversarial``: uint8 (3, H, W) of one size. ``before``, ``after``: the classes named for each, best
    first; three are listed. The explanations are of the original and of the adversarial photo. Tiles show the part that
    the network saw; the perturbation stands around mid-grey, multiplied by the stated whole number that brings its
    largest change to full range. Raises PellucidError for photos or maps that cannot be drawn and a path that cannot be
    written.
    """
    return compose_adversarial(
        original,
        adversarial,
        before=before,
        after=after,
        explanation_before=explanation_before,
        explanation_after=explanation_after,
        title=title,
        subtitle=subtitle,
    ).save(path)


def compose_adversarial(
    original: Tensor,
    adversarial: Tensor,
    *,
    before: Sequence[ClassScore],
    after: Sequence[ClassScore],
    explanation_before: Explanation,
    explanation_after: Explanation,
    title: str,
    subtitle: str,
) -> Page:
    """The page of ``draw_adversarial``, not yet written; takes the same and raises the same."""
    check_photo(original)
    check_photo(adversarial)
    if original.shape != adversarial.shape:
        sizes = f"{tuple(original.shape[1:])} and {tuple(adversarial.shape[1:])}"
        raise PellucidError(f"adversarial: the photos have {sizes} pixels; give two photos of one size")
    check_explanation(explanation_before, original)
    check_explanation(explanation_after, adversarial)

    placement = explanation_before.placement
    box = seen(placement)
    tile = fitted(box, _SLOT, round(1.4 * _SLOT))
    largest = int((adversarial.short() - original.short()).abs().max())
    factor = max(1, 127 // largest) if largest else 1
    start, result = resized(original, box, tile), resized(adversarial, box, tile)
    tiles = [
        start,
        _perturbation(original, adversarial, box, tile, factor),
        result,
        heat_tile(explanation_before, start, box),
        heat_tile(explanation_after, result, box),
    ]
    name = method_title(explanation_before.method)
    name_after = method_title(explanation_after.method)
    titles = [
        "Original",
        f"Perturbation × {factor}" if largest else "No perturbation",
        "Adversarial",
        f"{name}, before",
        f"{name_after}, after",
    ]
    change = f"Mid-grey is no change; the largest is {largest} of 255." if largest else "The two photos are the same."
    told = [
        [],
        wrapped(change, _SLOT, SMALL_SIZE),
        [],
        _about(explanation_before),
        _about(explanation_after),
    ]
    part = "" if is_whole(box, placement) else "Tiles show the part of the photo that the network saw."

    listed = max(len(before[:_BARS]), len(after[:_BARS]))
    below = max(ROW * listed, 52 + _LINE * max(map(len, told)))
    top = head_height(subtitle)
    beneath = top + _TITLE + tile[1] + 14
    page = Page(5 * _SLOT + 4 * _GAP + 2 * MARGIN, beneath + below + (_LINE + 8 if part else 0) + MARGIN - 12)
    page.head(title, subtitle)
    lefts = [MARGIN + column * (_SLOT + _GAP) for column in range(5)]
    for x, heading, picture, lines in zip(lefts, titles, tiles, told, strict=True):
        page.write(x, top + 14, heading, size=LABEL_SIZE, bold=True, width=_SLOT)
        page.fill(x, top + _TITLE, _SLOT, tile[1], CARD)
        page.paste(x + (_SLOT - tile[0]) // 2, top + _TITLE, picture)
        for number, line in enumerate(lines):
            page.write(x, beneath + 12 + _LINE * number, line, size=SMALL_SIZE, colour=MUTED, width=_SLOT + 4)

    colours = _colours(before, after)
    draw_classes(page, lefts[0], beneath, _SLOT, before[:_BARS], colours)
    draw_classes(page, lefts[2], beneath, _SLOT, after[:_BARS], colours)
    _draw_legend(page, lefts[3], beneath + _LINE * max(len(told[3]), len(told[4])) + 10, 2 * _SLOT + _GAP)
    page.write(MARGIN, page.height - MARGIN + 8, part, size=BODY_SIZE, colour=MUTED)
    return page


def _colours(before: Sequence[ClassScore], after: Sequence[ClassScore]) -> dict[str, Colour]:
    """The class that was right in one colour and the one that took its place in another, on both sides of the row."""
    colours = {after[0].name: WARNING} if after else {}
    return colours | ({before[0].name: ACCENT} if before else {})


def _perturbation(original: Tensor, adversarial: Tensor, box: Box, size: tuple[int, int], factor: int) -> Pixels:
    # Averaging would cancel a perturbation that changes sign from pixel to pixel: single pixels are taken.
    change = resized(adversarial, box, size, sharp=True).astype(np.int16) - resized(original, box, size, sharp=True)
    return np.clip(128 + factor * change, 0, 255).astype(np.uint8)


def _about(explanation: Explanation) -> list[str]:
    layer = f", {explanation.layer}" if explanation.layer else ""
    return wrapped(f"for {explanation.target}{layer}", _SLOT, SMALL_SIZE)


def _draw_legend(page: Page, x: int, y: int, width: int) -> None:
    page.paste(x, y, heat_ramp(width, 10))
    page.write(x, y + 25, "0", size=SMALL_SIZE, colour=MUTED)
    page.write(x + width, y + 25, "1", size=SMALL_SIZE, colour=MUTED, align="right")
    page.write(x + width / 2, y + 25, HEAT_LABEL, size=SMALL_SIZE, colour=MUTED, align="center", width=width - 40)
