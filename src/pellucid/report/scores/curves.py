"""Precision–recall curves: of classes, with what a protocol reads off them, and COCO's mean at every threshold."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection import averaging
from pellucid.metrics.detection.score import Curve, DetectionScore
from pellucid.report.lettering import width_of
from pellucid.report.scores.paper import (
    ACCENT,
    COLUMN,
    INK,
    MUTED,
    PAGE,
    PAPER,
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

MOST = 9
"""Classes side by side."""


def plot_curves(
    score: DetectionScore,
    path: str | Path,
    classes: Sequence[int | str] | None = None,
    threshold: float | None = None,
) -> Path:
    """Draws the precision–recall curves of some classes: one large, or up to nine side by side.

    Pale: after each detection. Blue: what the protocol reads off, as steps, or as dots where it reads 11 points. The
    ring: the operating point of highest F1, with its score. ``classes``: names or indices; by default the nine with the
    most truths. ``threshold``: of IoU; the protocol's first if None. ``path``: PNG, PDF or SVG, 3.4 inches wide for one
    class and 7 for more. Raises PellucidError for more than nine classes, none, or an unknown one, and for a threshold
    that the protocol does not have.
    """
    chosen = most_frequent(score, MOST) if classes is None else list(classes)
    if not 1 <= len(chosen) <= MOST:
        raise PellucidError(f"{path}: {len(chosen)} classes to draw curves of; choose 1 to {MOST}")
    curves = [score.curve(name, threshold) for name in chosen]
    size = (
        (COLUMN, 2.75) if len(curves) == 1 else (PAGE, 0.45 + 2.05 * math.ceil(len(curves) / columns_of(len(curves))))
    )
    with plotted(path, *size) as figure:
        draw_curves(figure, score, curves)
    return Path(path)


def plot_mean_curve(score: DetectionScore, path: str | Path) -> Path:
    """Draws the mean precision over classes at each of 101 recalls, a line for each threshold of the protocol.

    For COCO the area under each line is the AP at its threshold, and their mean the AP. ``path``: PNG, PDF or SVG, 3.4
    inches wide.
    """
    with plotted(path, COLUMN, 2.75) as figure:
        draw_mean_curve(figure, score)
    return Path(path)


def most_frequent(score: DetectionScore, count: int) -> list[int]:
    """The classes with the most truths that count, most first; of classes with as many the first."""
    return np.argsort(-score.matches.positives[0], kind="stable")[:count].tolist()


def columns_of(count: int) -> int:
    """How many curves stand side by side."""
    return 2 if count in (2, 4) else 3


def draw_curves(figure: Figure, score: DetectionScore, curves: Sequence[Curve]) -> None:
    """Draws on an empty figure what ``plot_curves`` writes."""
    across = 1 if len(curves) == 1 else columns_of(len(curves))
    down = math.ceil(len(curves) / across)
    every = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    width = figure.get_figwidth() / across - 0.5
    dots = score.rules.interpolation == "11 points"
    told = f"precision ({_measure(score)} ≥ {curves[0].threshold:.2f})"
    for place, axes in enumerate(every.flat):
        if place >= len(curves):
            axes.set_visible(False)
            continue
        last = place + across >= len(curves)
        share_axes(axes, x="recall" if last else "", y=told if place % across == 0 else "")
        axes.tick_params(labelbottom=last)
        _draw_curve(axes, score, curves[place], width, dots)
    _key(figure, f"interpolated, {score.rules.interpolation}", dots)


def _measure(score: DetectionScore) -> str:
    return "OKS" if score.rules.geometry == "keypoints" else "GIoU" if score.rules.generalised else "IoU"


def _draw_curve(axes: Axes, score: DetectionScore, curve: Curve, width: float, dots: bool) -> None:
    at = f"{100 * curve.threshold:g}" if len(score.rules.thresholds) > 1 and not score.rules.generalised else ""
    told = f"AP{at} {number(curve.average_precision)}"
    axes.set_title(label(score.classes[curve.label], width - 0.75, TITLE))
    axes.set_title(told, loc="right", color=MUTED, size=SMALL)
    if not score.matches.positives[0, curve.label]:
        say(axes, "no truth")
        return
    if not len(curve.recall):
        say(axes, "no detection")
        return
    axes.plot(curve.recall, curve.precision, color=QUIET, linewidth=0.8)
    points, interpolated = curve.points, curve.interpolated
    if dots:
        axes.plot(points, interpolated, "o", color=ACCENT, markersize=3, clip_on=False)
    elif score.rules.interpolation == "101 points":
        # Around each point, so that the area is the mean over points.
        axes.plot(points, interpolated, color=ACCENT, drawstyle="steps-mid")
    else:
        points = np.concatenate(([0.0], points, [1.0]))
        interpolated = np.concatenate((interpolated[:1], interpolated, [0.0]))
        axes.plot(points, interpolated, color=ACCENT, drawstyle="steps-pre")
    _mark_best(axes, curve, width)


def _mark_best(axes: Axes, curve: Curve, width: float) -> None:
    """A ring at the point of highest F1 and its score. Right above it there is no curve: F1 would be higher there."""
    recall, precision, cut = (curve.best[key] for key in ("recall", "precision", "score"))
    if math.isnan(cut) or recall + precision == 0:
        return
    axes.plot([recall], [precision], "o", markersize=4.5, markerfacecolor=PAPER, markeredgecolor=WARNING, zorder=5)
    told = f"score ≥ {number(cut, 2)}"
    right = recall + (width_of(told, SMALL) + 7) / (72 * width) <= 1
    below = precision > 0.2 and not (right and precision < 0.88)
    axes.annotate(
        told,
        (recall, precision),
        xytext=(5 if right else -5, -5 if below else 5),
        textcoords="offset points",
        ha="left" if right else "right",
        va="top" if below else "bottom",
        color=WARNING,
        size=SMALL,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8},
        zorder=6,
    )


def _key(figure: Figure, read_off: str, dots: bool) -> None:
    """One key for all curves, under them."""
    read: dict[str, Any] = {"marker": "o", "linestyle": "", "markersize": 3} if dots else {}
    handles = [
        Line2D([], [], color=QUIET, linewidth=0.8, label="after each detection"),
        Line2D([], [], color=ACCENT, label=read_off, **read),
        Line2D([], [], color=WARNING, marker="o", linestyle="", markersize=4.5, markerfacecolor=PAPER, label="best F1"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)


def mean_precision(score: DetectionScore) -> NDArray[np.float64]:
    """float64 (T, 101): precision at 101 recalls, averaged over the classes with truths; NaN where there are none."""
    kept = np.flatnonzero(score.matches.positives[0])
    made = np.full((len(score.rules.thresholds), len(averaging.POINTS)), np.nan)
    for s in range(len(made)):
        rows = []
        for k in kept.tolist():
            recall, precision, _ = averaging.curve(score.matches, k, s)
            rows.append(averaging.interpolated(recall, precision, "101 points")[1])
        if rows:
            made[s] = np.mean(rows, axis=0)
    return made


def draw_mean_curve(figure: Figure, score: DetectionScore) -> None:
    """Draws on an empty figure what ``plot_mean_curve`` writes."""
    axes = figure.subplots()
    share_axes(axes, x="recall", y="mean precision over classes")
    precision = mean_precision(score)
    if np.isnan(precision).all():
        say(axes, "no truth")
        return
    shades = matplotlib.colormaps["viridis"](np.linspace(0.88, 0.0, len(precision)) if len(precision) > 1 else [0.3])
    for s, threshold in enumerate(score.rules.thresholds):
        values = score.averages.precision[0, s]
        told = f"{threshold:.2f}   {number(float(np.mean(values[~np.isnan(values)])))}"
        axes.plot(averaging.POINTS, precision[s], color=shades[s], label=told, linewidth=1.0)
    key = figure.legend(title=f"        {_measure(score)} ≥  AP", loc="outside right center", alignment="left")
    key.get_title().set(size=SMALL, color=INK)
    first = score.rules.figures[0]
    axes.set_title(f"{first.name} {number(score.summary[first.name])}")
