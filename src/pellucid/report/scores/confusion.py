"""Confusion matrices: what each true class was taken for."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.report.lettering import width_of
from pellucid.report.palette import letters_on
from pellucid.report.scores.paper import CARD, COLUMN, INK, MUTED, PAGE, PAPER, QUIET, SMALL, label, plotted

NUMBERED = 20
"""The most classes whose cells hold numbers."""

BACKGROUND = "background"
DEEP = "#12347a"
_NAME = 1.15
"""The most inches for a class's name."""
_LINE = 0.105
"""Inches from tick to tick, at least."""


class ConfusionMatrix(Protocol):
    """Counts, rows truth and columns prediction; names of rows and columns."""

    @property
    def matrix(self) -> NDArray[np.int64]: ...
    @property
    def names(self) -> Sequence[str]: ...


def plot_confusion(confusion: ConfusionMatrix, path: str | Path) -> Path:
    """Draws a confusion matrix, each row divided by its sum, what is background set apart.

    With up to 20 classes each cell holds its share in percent, unless that rounds to 0; with more the axes name some
    classes only. Rows without truths are grey. ``confusion``: its last name may be 'background'; a row or a column that
    has no name is background too. ``path``: PNG, PDF or SVG, 3.4 inches wide for up to 8 classes, else 7. Raises
    PellucidError where names and matrix do not fit.
    """
    counts = np.asarray(confusion.matrix, dtype=np.float64)
    names = list(confusion.names)
    if names[-1:] == [BACKGROUND] and len(names) == max(counts.shape):
        names.pop()
    if counts.ndim != 2 or not names or any(n not in (len(names), len(names) + 1) for n in counts.shape):
        raise PellucidError(
            f"{path}: a confusion matrix of shape {counts.shape} with {len(names)} names; give one each"
        )
    width = COLUMN if len(names) <= 8 else PAGE
    letters = max(width_of(text, SMALL) for text in (BACKGROUND, *(label(name, _NAME, SMALL) for name in names))) / 72
    side = width - letters - 0.35 - (0 if len(names) <= NUMBERED else 0.55)
    below = 0.15 if _lie(names, counts.shape, side) else letters
    with plotted(path, width, side * counts.shape[0] / counts.shape[1] + below + 0.4) as figure:
        draw_confusion(figure, counts, names, side)
    return Path(path)


def draw_confusion(figure: Figure, counts: NDArray[np.float64], names: Sequence[str], side: float) -> None:
    """Draws on an empty figure what ``plot_confusion`` writes; ``side``: about how many inches wide the matrix is."""
    K = len(names)
    total = counts.sum(1, keepdims=True)
    shares = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    if counts.shape == (K + 1, K + 1) and counts[K, K] == 0:
        shares[K, K] = np.nan  # nothing that was taken for nothing: nobody counts that
    axes = figure.subplots()
    x, y = (_edges(K, n) for n in counts.shape[::-1])
    shades = LinearSegmentedColormap.from_list("shares", [PAPER, "#9dbcf0", DEEP])
    parts = [(rows, columns) for rows in (slice(0, K), slice(K, None)) for columns in (slice(0, K), slice(K, None))]
    mesh = None
    for rows, columns in parts:
        part = shares[rows, columns]
        if not part.size:
            continue
        across, down = np.append(x[columns], x[columns][-1] + 1), np.append(y[rows], y[rows][-1] + 1)
        outline: dict[str, Any] = {"facecolor": CARD, "edgecolor": QUIET, "linewidth": 0.6, "clip_on": False}
        axes.add_patch(Rectangle((across[0], down[0]), len(part[0]), len(part), **outline))
        # One picture, not a path a cell: seams between cells would show in a PDF, and a thousand classes weigh much.
        drawn = axes.pcolormesh(across, down, np.ma.masked_invalid(part), cmap=shades, vmin=0, vmax=1, rasterized=True)
        mesh = mesh or drawn
    told = "prediction (% of each row)" if K <= NUMBERED else "prediction"
    axes.set(xlim=(0, x[-1] + 1), ylim=(y[-1] + 1, 0), aspect="equal", xlabel=told, ylabel="truth")
    for spine in axes.spines.values():
        spine.set_visible(False)
    _name_ticks(axes, names, counts.shape, side)
    if K <= NUMBERED:
        _write_numbers(axes, shares, K, side, shades)
    elif mesh is not None:
        bar = figure.colorbar(mesh, ax=axes, shrink=0.5, aspect=25, pad=0.015, label="share of the row")
        bar.outline.set_linewidth(0.4)


def _edges(K: int, n: int) -> NDArray[np.float64]:
    """Where each of n cells begins; one beyond K, of background, stands apart."""
    begin = np.arange(n, dtype=np.float64)
    begin[K:] += 0.2 + 0.012 * K
    return begin


def _lie(names: Sequence[str], shape: tuple[int, ...], side: float) -> bool:
    """Whether the names under the matrix are short enough to be written across."""
    cell = side / (_edges(len(names), shape[1])[-1] + 1)
    written = [label(name, _NAME, SMALL) for name in names] + [BACKGROUND] * (shape[1] > len(names))
    return max(width_of(name, SMALL) for name in written) / 72 < 0.9 * cell


def _name_ticks(axes: Axes, names: Sequence[str], shape: tuple[int, ...], side: float) -> None:
    """Names of all classes, or of every so many that they do not touch; background always."""
    K = len(names)
    begin = _edges(K, K + 1)
    cell = side / (_edges(K, shape[1])[-1] + 1)
    step = math.ceil(_LINE / cell)
    kept = list(range(0, K, step))
    if max(shape) > K and len(kept) > 1 and begin[K] - begin[kept[-1]] < step:
        kept.pop()
    shown = {k: label(names[k], _NAME, SMALL) for k in kept} | {K: BACKGROUND}
    for n, axis in ((shape[1], axes.xaxis), (shape[0], axes.yaxis)):
        ticks = [k for k in shown if k < n]
        axis.set_ticks([begin[k] + 0.5 for k in ticks], [shown[k] for k in ticks])
        for k, text in zip(ticks, axis.get_ticklabels(), strict=True):
            text.set_color(MUTED if k == K else INK)
    axes.tick_params(axis="x", labelrotation=0 if _lie(names, shape, side) else 90)
    axes.tick_params(length=0 if step == 1 else 2)


def _write_numbers(
    axes: Axes, shares: NDArray[np.float64], K: int, side: float, shades: LinearSegmentedColormap
) -> None:
    """Percent in each cell that has any, dark or light as its ground asks."""
    x, y = (_edges(K, n) for n in shares.shape[::-1])
    size = min(SMALL, 72 * side / (x[-1] + 1) / 2.2)
    for i, j in np.argwhere(np.nan_to_num(shares) >= 0.005).tolist():
        red, green, blue = (round(255 * channel) for channel in shades(shares[i, j])[:3])
        colour = tuple(channel / 255 for channel in letters_on((red, green, blue)))
        told = f"{100 * shares[i, j]:.0f}"
        axes.text(x[j] + 0.5, y[i] + 0.5, told, ha="center", va="center_baseline", size=size, color=colour)
