"""Text in columns for a terminal: measured in cells, cut, aligned, and free of what would steer the terminal."""

import math
import textwrap
import unicodedata
from collections.abc import Sequence

WIDTH = 100
"""The most columns that a line takes."""

NONE = "–"
"""What stands for NaN."""


def shown(text: str) -> str:
    """The text on one line, with a box for what cannot be printed: a name from a file must not steer the terminal."""
    kept = (c if c.isprintable() else "" if unicodedata.category(c) == "Cf" else "□" for c in " ".join(text.split()))
    return "".join(kept)


def cells(text: str) -> int:
    """How many columns a terminal gives to printable text."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )


def cut(text: str, width: int) -> str:
    """The text made printable and, where it takes more than ``width`` columns, cut and ended by '…'."""
    text = shown(text)
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def number(value: float, digits: int = 3) -> str:
    """A figure: '0.372', '–' for NaN; one that would look like 0 and is not: '3.1e-05'."""
    if math.isnan(value):
        return NONE
    if 0 < abs(value) < 0.5 * 10**-digits:
        return f"{value:.1e}"
    # Adding 0.0 makes of −0.0 a plain 0.
    return f"{value + 0.0:.{digits}f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference: '+0.012', '-0.003', '0.000', '–' for NaN."""
    return ("+" if value > 0 else "") + number(value, digits)


def whole(value: float) -> str:
    """A count: '1,280', '–' for NaN."""
    return NONE if math.isnan(value) else f"{round(value):,}"


def interval(low: float, high: float, digits: int = 3) -> str:
    """'[0.351, 0.393]', or '–' where an end is NaN; an end just below 0 is −0.000."""
    if math.isnan(low) or math.isnan(high):
        return NONE
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Rows of printable cells under their head, the columns two spaces apart.

    ``left``: the columns that are aligned at their left; the others are at their right.
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(map(cells, column)) for column in zip(*lines, strict=True)]

    def padded(text: str, k: int) -> str:
        space = " " * (widths[k] - cells(text))
        return text + space if k in left else space + text

    return ["  ".join(padded(text, k) for k, text in enumerate(line)).rstrip() for line in lines]


def wrapped(text: str) -> list[str]:
    """The text made printable in lines of at most ``WIDTH`` columns, all but the first set in.

    A word longer than that, such as a file's name, stays whole.
    """
    return textwrap.wrap(
        shown(text), WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    ) or [""]
