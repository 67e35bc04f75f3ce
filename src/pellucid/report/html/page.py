"""The page of a report: one HTML file that holds all it shows and loads nothing.

Everything that comes from outside (names of classes, images, models) goes through Jinja's escaping.
"""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from pellucid.files import written_whole
from pellucid.report.html import charts
from pellucid.report.html.content import Case, Confusion, Content, Gallery, Marked, Role, Scores, Table, Value
from pellucid.report.templating import asset, templates_of

LARGE = 3
"""How many of the main figures stand large."""

MATRIX = 30
"""The most classes whose confusions are shown as a matrix."""

CONFUSED = 30
"""How many confusions are listed where there are more classes."""

RECALLS = (0.1, 0.3, 0.5, 0.7, 0.9)

ROLES: dict[Role, str] = {
    "said": "what the model said",
    "truth": "the object",
    "kept": "the detection kept instead",
    "near": "nearby: another object or detection",
}

KINDS = {
    "Cls": "wrong class",
    "Loc": "poor box",
    "Both": "wrong class, poor box",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
    "Right": "right",
}

_GALLERIES: tuple[tuple[Gallery, str], ...] = (
    ("wrong", "Worst false positives"),
    ("missed", "Missed objects"),
    ("right", "Best hits"),
)
_SIZES = ("small", "medium", "large")
_EDGE = 8.0
"""Per cent of a picture's height: a box this near to its edge has its label inside."""


@dataclass(frozen=True)
class _Mark:
    """A box's label: where it hangs, in per cent of the picture, and from which corner."""

    marked: Marked
    style: str
    inside: bool


@dataclass(frozen=True)
class _Card:
    number: int
    case: Case
    kind: str
    marks: tuple[_Mark, ...]


@dataclass(frozen=True)
class _Cell:
    count: int
    share: float
    said: str
    right: bool


def write_html(content: Content, path: str | Path) -> Path:
    """Writes a report as one HTML file that needs no other and no network.

    Raises PellucidError where ``path`` cannot be written.
    """
    text = html_of(content)
    with written_whole(path) as temporary:
        # A file's name may hold bytes that are no text.
        temporary.write_bytes(text.encode("utf-8", errors="replace"))
    return Path(path)


def html_of(content: Content) -> str:
    """The same page as text."""
    environment = _environment()
    kinds = KINDS | {error.kind: error.name for error in content.errors}
    galleries = _galleries(content, kinds)
    return environment.get_template("report.html").render(
        content=content,
        css=asset(_environment(), "report.css"),
        script=asset(_environment(), "report.js"),
        main=_figures(content.scores[0]) if content.scores else None,
        dearest=max((error.cost for error in content.errors if math.isfinite(error.cost)), default=0.0),
        floor=charts.floor_of(content.waterfall) if content.waterfall else 0,
        matrix=_matrix(content.confusion) if content.confusion else None,
        confused=_confused(content.confusion) if content.confusion else (),
        galleries=galleries,
        filters=_filters(content.cases, kinds),
        roles=[(role, words) for role, words in ROLES.items() if _uses(content.cases, role)],
        recalls=RECALLS,
        MATRIX=MATRIX,
    )


@cache
def _environment() -> Environment:
    environment = templates_of("pellucid.report.html")
    filters: dict[str, Callable[..., Any]] = {"number": charts.number, "cell": _cell, "numeric": _numeric, "uri": _uri}
    environment.filters |= filters | {"percent_of": charts.percent_of}
    environment.globals["charts"] = charts
    return environment


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _cell(value: str | int | float) -> str:
    if isinstance(value, float):
        return charts.number(value)
    return f"{value:,}".replace("-", "−") if isinstance(value, int) else value


def _numeric(table: Table, column: int) -> bool:
    """Whether a column holds numbers, which stand right."""
    return all(not isinstance(row[column], str) for row in table.rows)


def _figures(scores: Scores) -> dict[str, Any]:
    """The main figures: those that stand large (with an interval, where any has one), the others, and their scale."""
    large = [value for value in scores.values if charts.bounds_of(value)][:LARGE] or list(scores.values[:LARGE])
    rest = [value for value in scores.values if all(value is not other for other in large)]
    return {"large": large, "rest": rest, "scale": _scale(large)}


def _scale(values: Sequence[Value]) -> float:
    ends = [end for value in values for end in (value.value, *(charts.bounds_of(value) or ())) if math.isfinite(end)]
    return max([1.0, *ends])


def _galleries(content: Content, kinds: dict[str, str]) -> list[dict[str, Any]]:
    """The galleries that have cases, each with its cards; cards are numbered through."""
    made: list[dict[str, Any]] = []
    number = 0
    for key, title in _GALLERIES:
        cards = []
        for case in content.cases:
            if case.gallery == key:
                number += 1
                cards.append(_Card(number, case, kinds.get(case.kind, case.kind), _marks(case)))
        if cards:
            made.append({"key": key, "title": title, "cards": cards})
    return made


def _marks(case: Case) -> tuple[_Mark, ...]:
    """What the boxes' labels say hangs from a corner of its own for each role, so that few of them collide."""
    made = []
    for marked in case.boxes:
        left, top, right, bottom = (
            charts.percent_of(end, whole) for end, whole in zip(marked.box, (case.width, case.height) * 2, strict=True)
        )
        above, starts = marked.role in ("said", "kept"), marked.role in ("said", "truth")
        # A label that would have less than half of the picture hangs from the other side of its box.
        side, gap = ("left", left) if (left <= 50 if starts else right < 50) else ("right", 100 - right)
        across = f"{side}:{gap:.1f}%;max-width:{100 - gap:.1f}%"
        inside = top < _EDGE if above else bottom > 100 - _EDGE
        down = f"top:{top:.1f}%" if above else f"top:{bottom:.1f}%"
        made.append(_Mark(marked, f"{across};{down}", inside))
    return tuple(made)


def _filters(cases: Sequence[Case], kinds: dict[str, str]) -> list[dict[str, Any]]:
    """What the galleries can be filtered by: a key, its name, and (value, word) of each choice, two at least."""

    def by(key: str, name: str, read: Callable[[Case], str], order: Sequence[str], words: dict[str, str]) -> None:
        values = {read(case) for case in cases} - {""}
        known = [value for value in order if value in values]
        listed = known + sorted(values - set(known))
        if len(listed) > 1:
            made.append({"key": key, "name": name, "choices": [(value, words.get(value, value)) for value in listed]})

    made: list[dict[str, Any]] = []
    by("class", "Class", lambda case: case.label, (), {})
    by("type", "Type", lambda case: case.kind, tuple(kinds), kinds)
    by("size", "Size", lambda case: case.size, _SIZES, {})
    by("reason", "Reason", lambda case: case.reason, (), {})
    return made


def _uses(cases: Sequence[Case], role: Role) -> bool:
    return any(marked.role == role for case in cases for marked in case.boxes)


def _matrix(confusion: Confusion) -> list[tuple[str, list[_Cell]]]:
    """The rows of a matrix: a true class and its cells, the last row being background."""
    said = (*confusion.names, "missed")
    rows = []
    for truth, (name, counts) in enumerate(zip((*confusion.names, "background"), confusion.counts, strict=True)):
        whole = sum(counts)
        cells = [
            _Cell(count, count / whole if whole else 0.0, word, place == truth)
            for place, (word, count) in enumerate(zip(said, counts, strict=True))
        ]
        rows.append((name, cells))
    return rows


def _confused(confusion: Confusion) -> list[tuple[str, _Cell]]:
    """The largest confusions of a true class with another class, the largest first."""
    cells = [
        (truth, cell) for truth, row in _matrix(confusion)[:-1] for cell in row[:-1] if cell.count and not cell.right
    ]
    return sorted(cells, key=lambda pair: -pair[1].count)[:CONFUSED]
