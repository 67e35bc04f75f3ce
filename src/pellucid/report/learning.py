"""How a training went: its curves, and what the model says beside what is true."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pellucid.report.annotated import Layer, draw_annotations
from pellucid.report.colours import MUTED
from pellucid.report.page import BODY_SIZE, MARGIN, SMALL_SIZE, Page, head_height
from pellucid.report.scores.paper import BODY, INK, PAGE, QUIET, SERIES, label, plotted, say
from pellucid.structures import Annotations, Sample

_SURE = 0.3
"""The least score of an object that is drawn."""

_MOST = 100
"""How many objects are drawn at most."""

_TILE = (420, 420)
_GAP = 12


def plot_learning(
    curves: Mapping[str, Sequence[float]], history: Sequence[Mapping[str, Any]], path: str | Path, *, title: str = ""
) -> None:
    """Draws the losses of every step (smoothed; the loss itself also as it was), the learning rate, and the scores.

    ``curves``: name → a value a step: the loss, its parts, and learning_rate. ``history``: the epochs' records, with
    step, epoch and scores. The suffix of ``path`` says the format.
    """
    with plotted(path, PAGE, 2.5) as figure:
        if title:
            figure.suptitle(label(title, PAGE - 0.5, BODY), size=BODY, color=INK, x=0.01, ha="left")
        losses, rates, scores = figure.subplots(1, 3, width_ratios=(1.35, 0.8, 1.1))
        _draw_losses(losses, curves)
        _draw_rate(rates, curves.get("learning_rate", ()))
        _draw_scores(scores, history)


def _draw_losses(axes: Axes, curves: Mapping[str, Sequence[float]]) -> None:
    axes.set(title="Loss", xlabel="step")
    whole = np.asarray(curves.get("loss", ()), dtype=np.float64)
    if not len(whole):
        say(axes, "no step yet")
        return
    steps = np.arange(1, len(whole) + 1)
    if len(whole) > 20:
        axes.plot(*thinned(steps, whole), color=SERIES[0], alpha=0.22, linewidth=0.6)
    axes.plot(*thinned(steps, smoothed(whole)), color=SERIES[0], label="loss", linewidth=1.4)
    parts = [name for name in curves if name not in ("loss", "learning_rate")]
    for number, name in enumerate(parts if len(parts) > 1 else ()):
        values = smoothed(np.asarray(curves[name], dtype=np.float64))
        style = "-" if number < len(SERIES) - 1 else "--"
        colour = SERIES[1 + number % (len(SERIES) - 1)]
        axes.plot(*thinned(steps, values), style, color=colour, label=label(name, 1.2), linewidth=0.9)
    known = smoothed(whole)[~np.isnan(whole)]
    top = float(np.quantile(known, 0.98)) * 1.25 if len(known) else 1.0
    axes.set_ylim(0, top if math.isfinite(top) and top > 0 else 1)
    axes.set_xlim(1, max(2, len(whole)))
    axes.grid(True)
    axes.legend(loc="upper right", ncols=2 if len(parts) > 3 else 1)


def _draw_rate(axes: Axes, rates: Sequence[float]) -> None:
    axes.set(title="Learning rate", xlabel="step")
    if not len(rates):
        say(axes, "no step yet")
        return
    values = np.asarray(rates, dtype=np.float64)
    axes.plot(*thinned(np.arange(1, len(values) + 1), values), color=QUIET)
    axes.set_xlim(1, max(2, len(values)))
    axes.set_ylim(0, float(np.nanmax(values)) * 1.08 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-") if value else "0")
    axes.grid(True)


def _draw_scores(axes: Axes, history: Sequence[Mapping[str, Any]]) -> None:
    axes.set(title="Validation", xlabel="epoch")
    scored = [one for one in history if one["scores"]]
    names = [
        (protocol, name) for protocol, figures in (scored[-1]["scores"] if scored else {}).items() for name in figures
    ]
    chosen = [pair for pair in names if not re.search(r"(APs|APm|APl|AR|small|medium|large|_rare)", pair[1])][:5]
    if not chosen:
        say(axes, "nothing was validated")
        return
    several = len({protocol for protocol, _ in chosen}) > 1
    for number, (protocol, name) in enumerate(chosen):
        points = [(one["epoch"], one["scores"].get(protocol, {}).get(name)) for one in scored]
        known = [(epoch, value) for epoch, value in points if value is not None]
        if known:
            text = f"{protocol} {name}" if several else name
            axes.plot(*zip(*known, strict=True), "o-", markersize=2.2, color=SERIES[number], label=label(text, 1.3))
    best = [one for one in scored if one["best"]]
    if best and best[-1]["figure"] is not None:
        at = (best[-1]["epoch"], best[-1]["figure"])
        axes.plot(*at, "o", markersize=5.5, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=0.9)
        axes.annotate(f"{at[1]:.3f}", at, xytext=(0, -9), textcoords="offset points", ha="center", size=6.5, color=INK)
    axes.set_ylim(0, 1.02)
    last = scored[-1]["epoch"]
    axes.set_xlim(0.5 if last < 4 else 0, last + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(True)
    if axes.lines:
        axes.legend(loc="upper left" if last < 3 else "best")


def smoothed(values: np.ndarray) -> np.ndarray:
    """Running means over a fiftieth of the values on either side at most; NaN stays out of them."""
    reach = len(values) // 50
    if not reach:
        return values
    known = ~np.isnan(values)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    counts = np.concatenate(([0], np.cumsum(known)))
    ends = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    begins = np.maximum(np.arange(len(values)) - reach, 0)
    number = counts[ends] - counts[begins]
    return np.where(known, (sums[ends] - sums[begins]) / np.maximum(number, 1), np.nan)


def thinned(steps: np.ndarray, values: np.ndarray, most: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """At most so many points of a curve, evenly spread, the last among them."""
    if len(steps) <= most:
        return steps, values
    at = np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))
    return steps[at], values[at]


def draw_pairs(pairs: Sequence[tuple[Sample, Annotations]], folder: Path) -> list[Path]:
    """Draws each sample's truth beside what was predicted of it, a PNG each; gives their paths.

    Predicted objects are drawn from a score of 0.3 on, 100 at most. Pictures of an earlier round are replaced.
    """
    made = []
    for number, (sample, said) in enumerate(pairs):
        path = folder / f"{number + 1:02d}_{re.sub(r'[^A-Za-z0-9_-]', '_', PurePosixPath(sample.name).stem)[:60]}.png"
        made.append(_pair(sample, said).save(path))
    for old in folder.glob("[0-9][0-9]_*.png"):
        if old not in made:
            old.unlink(missing_ok=True)
    return made


def _pair(sample: Sample, said: Annotations) -> Page:
    truth = sample.annotations
    shown = _sure(said)
    # of the truth, what the model says as well
    there = shown.instances
    layers: list[Layer] = ["boxes"]
    layers += ["masks"] if there is not None and there.masks is not None else []
    layers += ["keypoints"] if there is not None and there.keypoints is not None else []
    pictures = [
        draw_annotations(
            sample.image,
            Annotations(truth.size, truth.classes, instances=one),
            size=_TILE,
            layers=layers,
            colours="classes" if layers == ["boxes"] else "instances",
        )
        for one in (truth.instances, shown.instances)
    ]
    height, width = pictures[0].shape[:2]
    subtitle = "truth on the left, the model on the right"
    top = head_height(subtitle)
    page = Page(max(2 * width + _GAP, 480) + 2 * MARGIN, top + height + 34 + MARGIN)
    page.head(PurePosixPath(sample.name).name, subtitle)
    for number, (picture, one) in enumerate(zip(pictures, (truth.instances, shown.instances), strict=True)):
        x = MARGIN + number * (width + _GAP)
        page.paste(x, top, picture)
        count = 0 if one is None else len(one)
        text = f"{count} object{'' if count == 1 else 's'}" + (f" (score ≥ {_SURE})" if number else "")
        page.write(x, top + height + 20, text, size=SMALL_SIZE if width < 200 else BODY_SIZE, colour=MUTED, width=width)
    return page


def _sure(said: Annotations) -> Annotations:
    objects = said.instances
    if objects is None or objects.scores is None:
        return said
    kept = torch.nonzero(objects.scores >= _SURE).flatten()
    kept = kept[objects.scores[kept].argsort(descending=True, stable=True)][:_MOST]
    return Annotations(said.size, said.classes, instances=objects[kept])
