"""The list of the classes a network names, each with its probability and a bar."""

import math
from collections.abc import Mapping, Sequence

from pellucid.report.colours import INK, QUIET, Colour
from pellucid.report.lettering import drawable, width_of
from pellucid.report.page import BODY_SIZE, Page, draw_bar
from pellucid.structures import ClassScore

ROW = 42
"""The height of one class in the list, in pixels."""


def percent(probability: float) -> str:
    """A probability as people read it: '87.2 %', '0.4 %', '< 0.1 %'; certainty alone is '100 %'."""
    if math.isnan(probability):
        return "–"
    if 0 < probability < 0.001:
        return "< 0.1 %"
    if 0.999 < probability < 1:
        return "> 99.9 %"
    return "100 %" if probability >= 1 else f"{100 * probability:.1f} %"


def draw_classes(
    page: Page,
    x: int,
    y: int,
    width: int,
    scores: Sequence[ClassScore],
    colours: Mapping[str, Colour],
    pitch: int = ROW,
) -> None:
    """Draws one row a class (name and percent over a bar).

    ``colours``: the bar's colour by class name, grey for the others. ``pitch``: pixels from row to row, at least 42.
    """
    for row, score in enumerate(scores):
        top = y + row * pitch
        told = percent(score.probability)
        coloured = score.name in colours
        number = width_of(drawable(told), BODY_SIZE, coloured)
        page.write(x, top + 14, score.name, bold=coloured, width=width - number - 16)
        page.write(x + width, top + 14, told, bold=coloured, align="right", colour=INK)
        draw_bar(page, x, top + 22, width, score.probability, colours.get(score.name, QUIET))
