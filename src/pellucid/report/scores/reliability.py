"""Reliability diagrams: how often a network is right, against how sure it is."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from pellucid.metrics.calibration.tally import ReliabilityCurve
from pellucid.report.scores.paper import (
    ACCENT,
    COLUMN,
    INK,
    MUTED,
    QUIET,
    SMALL,
    TITLE,
    WARNING,
    label,
    plotted,
    say,
    share_axes,
)
from pellucid.report.scores.text import number

_SPREAD = 50
"""How many times the smallest bin the largest must be for a logarithmic axis."""


def plot_reliability(curve: ReliabilityCurve, path: str | Path, title: str | None = None) -> Path:
    """Draws accuracy against confidence by bin, the gap to the mean confidence shaded, and how many samples there are.

    The dashed line is perfect calibration. Below, the samples of each bin, on a logarithmic axis where their numbers
    are far apart. ECE and MCE stand in the diagram. ``path``: PNG, PDF or SVG, 3.4 inches wide. Source of the form: Guo
    et al. 2017, figure 1.
    """
    with plotted(path, COLUMN, 3.6) as figure:
        draw_reliability(figure, curve, title)
    return Path(path)


def draw_reliability(figure: Figure, curve: ReliabilityCurve, title: str | None = None) -> None:
    """Draws on an empty figure what ``plot_reliability`` writes."""
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    share_axes(upper, y="accuracy")
    if title:
        upper.set_title(label(title, COLUMN - 0.6, TITLE))
    filled = curve.counts > 0
    middles, widths = (curve.edges[:-1] + curve.edges[1:]) / 2, np.diff(curve.edges)
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=3)
    if filled.any():
        x, wide = middles[filled], 0.92 * widths[filled]
        accuracy, confidence = curve.accuracy[filled], curve.confidence[filled]
        low, high = np.minimum(accuracy, confidence), np.maximum(accuracy, confidence)
        upper.bar(x, low, wide, color=ACCENT)
        key: dict[str, Any] = {"accuracy": Line2D([], [], color=INK)}
        for said, chosen, colour in (
            ("too sure", confidence > accuracy, WARNING),
            ("not sure enough", accuracy > confidence, ACCENT),
        ):
            if chosen.any():
                look: dict[str, Any] = {"facecolor": (*to_rgb(colour), 0.25), "edgecolor": colour, "linewidth": 0.6}
                upper.bar(x[chosen], (high - low)[chosen], wide[chosen], low[chosen], **look)
                key[said] = Patch(**look)
        upper.hlines(accuracy, x - wide / 2, x + wide / 2, color=INK, linewidth=1.2, zorder=4)
        figure.legend(list(key.values()), list(key), loc="outside lower center", ncols=3)
    else:
        say(upper, "no sample")
    upper.text(
        0.975, 0.04, f"ECE {number(curve.ece)}\nMCE {number(curve.mce)}", transform=upper.transAxes, ha="right",
        va="bottom", size=SMALL, linespacing=1.35,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": QUIET, "linewidth": 0.5},
    )  # fmt: skip
    upper.set_ylim(0, 1.02)
    lower.bar(middles, curve.counts, 0.92 * widths, color=QUIET)
    lower.set(xlabel="confidence", ylabel="samples", xlim=(0, 1))
    _count_axis(lower, curve.counts[filled])
    figure.align_ylabels()


def _count_axis(axes: Axes, counts: NDArray[np.int64]) -> None:
    """Counts upwards from 0, or by powers of ten where they are far apart."""
    if not len(counts):
        axes.set(ylim=(0, 1), yticks=[0])
        return
    most = int(counts.max())
    if most < _SPREAD * int(counts.min()):
        axes.set_ylim(0, 1.08 * most)
        axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    else:
        # A bin of one sample must show: the axis begins below 1.
        axes.set_yscale("log")
        axes.set_ylim(0.5, 2.5 * most)
        axes.yaxis.set_major_locator(LogLocator(10, numticks=4))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(count: float) -> str:
    """A count in few letters: '950', '20k', '1.5M'."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:g}{letter}"
    return f"{count:g}"
