"""Scores as lines of text: figures, classes, errors and comparisons, none wider than 100 columns."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pellucid.errors import PellucidError
from pellucid.metrics.score import Score
from pellucid.report.scores.text import WIDTH, cells, cut, interval, number, shown, signed, table, whole, wrapped

MAIN = ("AP", "AP50", "AP75", "AR100", "AR", "AR300", "truths", "detections", "best_F1", "best_score")
"""What COCO's and LVIS' tables show of a class, where it is there."""

COUNTS = frozenset({"truths", "detections", "TP", "FP", "FN"})

MEANINGS: Mapping[str, str] = {
    "Cls": "right place, wrong class",
    "Loc": "right class, placed badly",
    "Both": "wrong class, placed badly",
    "Dupe": "object found once more",
    "Bkg": "background taken for object",
    "Miss": "object that nothing found",
    "FP": "all false positives repaired",
    "FN": "all false negatives repaired",
}
"""TIDE's types of error in four words."""

_LONGEST = 14
"""The most columns for the name of what is compared."""

_LEAST_NAME = 16
"""The least columns for a class's name where more figures are there than fit."""


class Intervals(Protocol):
    """Figure → interval, with ``low`` and ``high``."""

    @property
    def figures(self) -> Mapping[str, Any]: ...


class Comparison(Protocol):
    """Figure → ``a``, ``b``, ``difference``, ``low``, ``high``, ``p_value``, ``verdict``."""

    @property
    def figures(self) -> Mapping[str, Any]: ...


class Errors(Protocol):
    """TIDE's analysis: how many errors of each type, what each type costs of AP (0 to 1), and the AP."""

    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def cost(self) -> Mapping[str, float]: ...
    @property
    def average_precision(self) -> float: ...


def summary_lines(score: Score, intervals: Intervals | None = None) -> list[str]:
    """A score's figures, then what they may be compared with, then what was found wrong with the input.

    Figures of COCO stand in the layout that pycocotools prints, −1.000 where they are undefined; others in a table,
    '–' where they are. ``intervals``: by figure, shown behind it.
    """
    found = {} if intervals is None else intervals.figures
    rules = getattr(score, "rules", None)
    lines = _coco_lines(score, rules, found) if _is_coco(score, rules) else _figure_lines(score, found)
    for text in (*_comparable(score), *(f"note: {line}" for line in score.findings.lines())):
        lines += wrapped(text)
    return lines


def _is_coco(score: Score, rules: Any) -> bool:
    return rules is not None and rules.name.split("-")[0] == "coco" and all(f.limit is not None for f in rules.figures)


def _coco_lines(score: Score, rules: Any, intervals: Mapping[str, Any]) -> list[str]:
    """The layout of pycocotools' ``COCOeval.summarize``, from the protocol's own figures."""
    lines = []
    for figure in rules.figures:
        title = {"AP": "Average Precision", "AR": "Average Recall"}[figure.of]
        if figure.threshold is None:
            at = f"{rules.thresholds[0]:.2f}:{rules.thresholds[-1]:.2f}"
        else:
            at = f"{figure.threshold:.2f}"
        value = score.summary[figure.name]
        line = (
            f" {title:<18} ({figure.of}) @[ IoU={at:<9} | area={figure.area:>6s} | maxDets={figure.limit:>3d} ]"
            f" = {-1.0 if math.isnan(value) else value:0.3f}"
        )
        bounds = intervals.get(figure.name)
        lines.append(line if bounds is None else f"{line}  {interval(bounds.low, bounds.high)}")
    return lines


def _figure_lines(score: Score, intervals: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, value in score.summary.items():
        told = whole(value) if _is_count(name, value) else number(value, 4)
        bounds = intervals.get(name)
        rows.append([cut(name, WIDTH // 2), told, "" if bounds is None else interval(bounds.low, bounds.high, 4)])
    if not any(row[2] for row in rows):
        return table(["figure", "value"], [row[:2] for row in rows])
    return table(["figure", "value", "interval"], rows, left=(0, 2))


def _comparable(score: Score) -> list[str]:
    """One text for each reason why figures may not be compared with the official ones, and with whose they may."""
    by_reason: dict[str, list[str]] = {}
    for figure, reason in score.reservations.items():
        by_reason.setdefault(reason, []).append(figure)
    lines = []
    for reason, figures in by_reason.items():
        which = "" if set(figures) >= set(score.summary) else f" ({', '.join(figures)})"
        lines.append(f"not comparable{which}: {reason}")
    free = [figure for figure in score.summary if figure not in score.reservations]
    if score.official and free:
        lines.append(f"comparable to: {score.official}" + (f" ({', '.join(free)})" if by_reason else ""))
    return lines


def per_class_lines(score: Score, sort: Literal["name", "value"] = "name") -> list[str]:
    """A row a class, by ``sort``: by name, or by the first figure, the highest first and undefined ones last.

    COCO's classes with their main figures, others with as many as fit. No line where the score has no classes. Raises
    PellucidError for another ``sort``.
    """
    if sort not in ("name", "value"):
        raise PellucidError(f"per_class_lines: sort is {sort!r}; give 'name' or 'value'")
    if not score.per_class:
        return []
    names = list(dict.fromkeys(figure for figures in score.per_class.values() for figure in figures))
    if {"AP", "AP50", "AP75"} <= set(names):
        names = [name for name in MAIN if name in names]
    columns = {name: _column(score, name) for name in names}
    longest = max(cells(shown(name)) for name in score.per_class)
    room = WIDTH - min(max(longest, len("class")), _LEAST_NAME)
    kept = []
    for name, column in columns.items():
        room -= 2 + max(map(len, (name, *column)))
        if room < 0:
            break
        kept.append(name)
    taken = sum(2 + max(map(len, (name, *columns[name]))) for name in kept)
    order = _order(score, kept[0] if kept else "", sort)
    classes = list(score.per_class)
    rows = [[cut(classes[k], WIDTH - taken), *(columns[name][k] for name in kept)] for k in order]
    return table(["class", *kept], rows)


def _column(score: Score, name: str) -> list[str]:
    values = [figures.get(name, math.nan) for figures in score.per_class.values()]
    return [whole(value) if _is_count(name, value) else number(value) for value in values]


def _is_count(name: str, value: float) -> bool:
    return name in COUNTS or isinstance(value, int)


def _order(score: Score, figure: str, sort: str) -> list[int]:
    names = list(score.per_class)
    order = sorted(range(len(names)), key=lambda k: (names[k].casefold(), names[k]))
    if sort == "value":
        values = [figures.get(figure, math.nan) for figures in score.per_class.values()]
        order.sort(key=lambda k: math.inf if math.isnan(values[k]) else -values[k])
    return order


def error_lines(analysis: Errors) -> list[str]:
    """TIDE's table: each type of error, how many there are, and how much AP would rise without them; FP and FN below.

    Source: Bolya et al., 'TIDE: A General Toolbox for Identifying Object Detection Errors', ECCV 2020.
    """
    rows = [
        [kind, meaning, _told(analysis.counts, kind), number(analysis.cost.get(kind, math.nan))]
        for kind, meaning in MEANINGS.items()
    ]
    lines = table(["type", "what it is", "count", "ΔAP"], rows, left=(0, 1))
    before = 1 + len(MEANINGS) - 2
    rule = "─" * max(map(cells, lines))
    foreground = getattr(analysis, "foreground", None)
    at = "" if foreground is None else f" at IoU {foreground:.2f}"
    return [
        f"average precision{at}: {number(analysis.average_precision)}; ΔAP: what it would gain without such errors",
        *lines[:before],
        rule,
        *lines[before:],
    ]


def _told(counts: Mapping[str, int], kind: str) -> str:
    return whole(counts[kind]) if kind in counts else ""


def comparison_lines(comparison: Comparison, names: tuple[str, str] = ("a", "b")) -> list[str]:
    """A row a figure: both values, b − a with its interval and p-value, and whether b is better.

    ``names``: what the two are called.
    """
    first, second = (cut(name, _LONGEST) for name in names)
    rows = [
        [
            cut(figure, 2 * _LONGEST),
            number(found.a),
            number(found.b),
            signed(found.difference),
            interval(found.low, found.high),
            "<0.001" if found.p_value < 0.0005 else number(found.p_value),
            found.verdict,
        ]
        for figure, found in comparison.figures.items()
    ]
    lines = table(["figure", first, second, "difference", "interval", "p", "verdict"], rows, left=(0, 4, 6))
    said = f"difference: {second} − {first}"
    if comparison.figures:
        level, replicates = (getattr(comparison, name, None) for name in ("level", "replicates"))
        said += "" if level is None else f"; intervals of {100 * level:g} %"
        said += "" if replicates is None else f" from {replicates:,} drawings of the images"
    lines += wrapped(said)
    if any(found.verdict == "tie order" for found in comparison.figures.values()):
        lines += wrapped("tie order: another order of detections of equal score could make up for the difference")
    return lines
