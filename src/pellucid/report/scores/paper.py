"""The look of plots: sizes of a paper's columns, one font, colours that everybody can tell apart, and how they are
written."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.report import colours
from pellucid.report.lettering import font, shortened

COLUMN, PAGE = 3.4, 7.0
"""Inches across one column of a paper, and across two."""

TITLE, BODY, SMALL = 8.0, 7.5, 6.5
"""Points."""

SUFFIXES = (".png", ".pdf", ".svg")


def _hex(colour: colours.Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


INK, MUTED, QUIET = _hex(colours.INK), _hex(colours.MUTED), _hex(colours.QUIET)
TRACK, CARD, PAPER = _hex(colours.TRACK), _hex(colours.CARD), _hex(colours.PAPER)
ACCENT, WARNING = _hex(colours.ACCENT), _hex(colours.WARNING)

SERIES = (ACCENT, "#e69f00", "#009e73", "#cc79a7", QUIET, "#56b4e9")
"""Colours of series side by side, after Okabe and Ito."""

STYLE = {
    "font.size": BODY,
    "axes.titlesize": TITLE,
    "axes.labelsize": BODY,
    "axes.titlepad": 4.0,
    "axes.titlelocation": "left",
    "axes.labelpad": 2.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.use_mathtext": False,
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "grid.color": TRACK,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.borderaxespad": 0.3,
    "legend.labelspacing": 0.3,
    "legend.columnspacing": 1.2,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "savefig.dpi": 200,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    # Ids inside of an SVG, which are random otherwise: the same data give the same file.
    "svg.hashsalt": "pellucid",
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """The house's style while it lasts, whatever the caller's own is; afterwards matplotlib is as it was."""
    with matplotlib.rc_context():
        matplotlib.style.use(["default", {**STYLE, "font.family": font().get_family()}])
        yield


@contextlib.contextmanager
def plotted(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """Gives an empty figure of ``width`` × ``height`` inches and writes to ``path`` what was drawn, or nothing.

    PNG at 200 dots an inch, PDF or SVG, as the suffix says. pyplot knows nothing of it. Raises PellucidError for
    another suffix, before anything is drawn, and where it cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise PellucidError(f"{path}: plots are written as PNG, PDF or SVG; end the name in {', '.join(SUFFIXES)}")
    with house_style():
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        # A moment of writing in the file would make every file differ.
        dated: dict[str, Any] = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
        with written_whole(path) as temporary:
            figure.savefig(temporary, format=kind[1:], metadata=dated[kind])


def label(text: str, width: float, size: float = BODY) -> str:
    """A name from a file, as the fonts can draw it and no wider than ``width`` inches."""
    return shortened(text, 72 * width, size)


def share_axes(axes: Axes, *, x: str = "", y: str = "") -> None:
    """Both axes from 0 to 1, with a pale grid and what they are called."""
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=x, ylabel=y)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.grid(True)


def say(axes: Axes, text: str) -> None:
    """Says in the middle of empty axes why they are."""
    ground = {"boxstyle": "square,pad=0.4", "facecolor": PAPER, "edgecolor": "none"}
    axes.annotate(
        text,
        (0.5, 0.5),
        xycoords="axes fraction",
        ha="center",
        va="center",
        size=BODY,
        color=MUTED,
        bbox=ground,
        zorder=6,
    )
