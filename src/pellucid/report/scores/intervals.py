"""Figures and classes with their error bars."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pellucid.errors import PellucidError
from pellucid.metrics.score import Score
from pellucid.report.scores.paper import ACCENT, COLUMN, MUTED, PAGE, SMALL, TITLE, label, plotted
from pellucid.report.scores.text import number

MOST = 40
"""The most classes that are drawn."""

_TALLEST = 20
"""The most classes above one another."""

_ROW = 0.135


@dataclass(frozen=True)
class Row:
    """One figure, or one class: its name, its value, and the ends of its interval."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """What stands above one another, and what stands over it."""

    title: str
    rows: Sequence[Row]


def plot_intervals(score: Score, intervals: Any, path: str | Path) -> Path:
    """Draws a score's figures as dots with error bars, and beside them its classes by their main figure, best first.

    Of more than 40 classes the 20 best and the 20 worst; classes for which nothing is defined are left out.
    ``intervals``: ``.figures[name]`` with ``.low`` and ``.high``, and, if there are any, ``.per_class[class][figure]``.
    ``path``: PNG, PDF or SVG, 3.4 inches wide for figures alone, else 7. Raises PellucidError where there is no figure
    with an interval.
    """
    figures = [_row(name, value, intervals.figures.get(name)) for name, value in score.summary.items()]
    if not any(name in score.summary for name in intervals.figures):
        raise PellucidError(f"{path}: no figure of {score.title} has an interval; bootstrap this score")
    panels = [Panel("figures", figures), *class_panels(score, intervals)]
    height = 0.6 + _ROW * max(4, *(len(panel.rows) for panel in panels))
    with plotted(path, COLUMN if len(panels) == 1 else PAGE, height) as figure:
        draw_intervals(figure, panels, getattr(intervals, "level", None))
    return Path(path)


def class_panels(score: Score, intervals: Any) -> list[Panel]:
    """The classes to draw, in one panel or two; none where fewer than two have a value."""
    found: Mapping[str, Mapping[str, Any]] = getattr(intervals, "per_class", None) or {}
    # The mean of a class's AP is called mAP by some protocols, and its interval by the same name.
    figures = list(dict.fromkeys(figure for row in score.per_class.values() for figure in row))
    called = [(figure, name) for figure in figures for name in (figure, f"m{figure}") if name in _names(found)]
    if not called:
        return []
    main, name = called[0]
    rows = [_row(of, row.get(main, math.nan), found.get(of, {}).get(name)) for of, row in score.per_class.items()]
    rows = sorted((row for row in rows if not math.isnan(row.value)), key=lambda row: -row.value)
    if len(rows) < 2:  # one class is what the figures say
        return []
    if len(rows) > MOST:
        half = MOST // 2
        return [
            Panel(f"{main}, the {half} best", rows[:half]),
            Panel(f"{main}, the {half} worst of {len(rows)}", rows[-half:]),
        ]
    half = math.ceil(len(rows) / 2) if len(rows) > _TALLEST else len(rows)
    made = [Panel(f"{main} of each class", rows[:half])]
    return [*made, Panel("continued", rows[half:])] if rows[half:] else made


def _names(found: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {figure for row in found.values() for figure in row}


def _row(name: str, value: float, found: Any) -> Row:
    return Row(name, value, math.nan, math.nan) if found is None else Row(name, value, found.low, found.high)


def draw_intervals(figure: Figure, panels: Sequence[Panel], level: float | None) -> None:
    """Draws on an empty figure what ``plot_intervals`` writes: figures first, then classes on one scale."""
    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(wspace=0.06)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    longest = max(4, *(len(panel.rows) for panel in panels))
    name = 1.3 if len(panels) < 3 else 0.95
    for place, (axes, panel) in enumerate(zip(every, panels, strict=True)):
        _draw_rows(axes, panel.rows, name)
        axes.set_ylim(longest - 0.4, -0.6)
        axes.set_title(label(panel.title, figure.get_figwidth() / len(panels) - 0.6, TITLE))
        scale = [row for other in (panels[:1] if place == 0 else panels[1:]) for row in other.rows]
        axes.set_xlim(_reach(scale))
        axes.locator_params(axis="x", nbins=4)
    if level is not None:
        figure.supxlabel(f"lines: {100 * level:g} % intervals", size=SMALL, color=MUTED, x=0.99, ha="right")


def _reach(rows: Sequence[Row]) -> tuple[float, float]:
    """From 0, or what lies below, to a little beyond the highest."""
    every = np.array([(row.value, row.low, row.high) for row in rows]).ravel()
    every = every[np.isfinite(every)]
    begin, end = (min(0.0, float(every.min())), float(every.max())) if len(every) else (0.0, 1.0)
    return (begin, end + 0.04 * (end - begin)) if end > begin else (0.0, 1.0)


def _draw_rows(axes: Axes, rows: Sequence[Row], name: float) -> None:
    """A dot a row with its error bar, from the top, its name left and its value right."""
    at = np.arange(len(rows))
    axes.hlines(at, [row.low for row in rows], [row.high for row in rows], color=ACCENT, linewidth=1.4, alpha=0.5)
    axes.plot([row.value for row in rows], at, "o", color=ACCENT, markersize=3, clip_on=False)
    axes.set_yticks(at, [label(row.name, name, SMALL) for row in rows])
    axes.tick_params(axis="y", length=0, pad=4)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    right = axes.secondary_yaxis("right")
    right.set_yticks(at, [number(row.value) for row in rows])
    right.tick_params(length=0, labelcolor=MUTED)
    right.spines["right"].set_visible(False)
