"""What each type of error costs, as bars."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from pellucid.errors import PellucidError
from pellucid.report.lettering import width_of
from pellucid.report.scores.paper import COLUMN, INK, MUTED, SERIES, SMALL, label, plotted
from pellucid.report.scores.tables import Errors
from pellucid.report.scores.text import number, whole

TYPES = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
SUMS = ("FP", "FN")
NAMES = {
    "Cls": "classification",
    "Loc": "localisation",
    "Both": "both of these",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
    "FP": "false positives",
    "FN": "false negatives",
}
_APART = 0.7
"""How far the sums stand from the types, in rows."""


def plot_errors(
    analysis: Errors,
    path: str | Path,
    others: Mapping[str, Errors] | None = None,
    *,
    name: str = "these predictions",
) -> Path:
    """Draws what AP each of TIDE's types of error costs, as bars with how many errors there are; FP and FN apart.

    ``others``: analyses of other predictions by name, at most five, each a bar beside ``name``'s own. ``path``: PNG,
    PDF or SVG, 3.4 inches wide. Raises PellucidError for more others.
    """
    every = {name: analysis, **(others or {})}
    if len(every) > len(SERIES):
        raise PellucidError(f"{path}: {len(every)} analyses to draw side by side; give {len(SERIES)} at most")
    rows = len(TYPES) + len(SUMS) + _APART
    height = 0.55 + rows * (0.13 + 0.11 * len(every)) + 0.13 * len(every) * (len(every) > 1)
    with plotted(path, COLUMN, height) as figure:
        draw_errors(figure, every)
    return Path(path)


def draw_errors(figure: Figure, every: Mapping[str, Errors]) -> None:
    """Draws on an empty figure what ``plot_errors`` writes."""
    axes = figure.subplots()
    kinds = (*TYPES, *SUMS)
    places = np.arange(len(kinds), dtype=np.float64)
    places[len(TYPES) :] += _APART
    thick = 0.8 / len(every)
    longest, widest = 0.0, 0.0
    for place, (analysis, colour) in enumerate(zip(every.values(), SERIES, strict=False)):
        costs = np.array([analysis.cost.get(kind, math.nan) for kind in kinds])
        at = places + thick * (place - (len(every) - 1) / 2)
        filled = np.nan_to_num(costs)
        bars = axes.barh(at, filled, height=0.86 * thick, color=colour)
        for bar in list(bars)[len(TYPES) :]:
            bar.set_alpha(0.55)
        for kind, cost, length, y in zip(kinds, costs, filled, at, strict=True):
            told = number(float(cost)) + (f" ({whole(analysis.counts[kind])})" if kind in analysis.counts else "")
            axes.annotate(
                told,
                (length, y),
                xytext=(3, 0),
                textcoords="offset points",
                va="center_baseline",
                size=SMALL,
                color=INK,
            )
            widest = max(widest, width_of(told, SMALL) / 72)
        longest = max(longest, float(filled.max()))
    inside = COLUMN - 1.2
    axes.set_xlim(0, (longest or 0.1) / (1 - (widest + 0.1) / inside))
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.set_yticks(places, [NAMES[kind] for kind in kinds])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_color(MUTED)
    axes.locator_params(axis="x", nbins=5)
    axes.axhline(len(TYPES) - 0.5 + _APART / 2, color=MUTED, linewidth=0.5, linestyle=(0, (2, 2)))
    axes.set_xlabel("ΔAP (number of errors)")
    if len(every) == 1:
        axes.set_title(_average_precision(next(iter(every.values()))))
        return
    keys = [f"{label(who, 1.5, SMALL)}: {_average_precision(one)}" for who, one in every.items()]
    handles = [Patch(color=colour) for colour in SERIES[: len(every)]]
    figure.legend(handles, keys, loc="outside upper center", ncols=1)


def _average_precision(analysis: Errors) -> str:
    foreground = getattr(analysis, "foreground", None)
    return f"AP {number(analysis.average_precision)}" + ("" if foreground is None else f" at IoU {foreground:.2f}")
