"""A picture made of pixels and text: a page that pictures are pasted on, written on, and saved from as PNG."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import IdentityTransform
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.report.colours import ACCENT, INK, MUTED, PAPER, TRACK, Colour, Pixels
from pellucid.report.lettering import DPI, font, shortened, width_of

MARGIN = 40
TITLE_SIZE, SUBTITLE_SIZE, HEADING_SIZE, LABEL_SIZE, BODY_SIZE, SMALL_SIZE = 26, 15, 20, 14, 14, 12


@dataclass(frozen=True)
class _Text:
    x: float
    baseline: float
    text: str
    size: float
    colour: Colour
    bold: bool
    align: Literal["left", "center", "right"]


class Page:
    """A page of ``width`` × ``height`` pixels; x runs right and y down, from the upper left corner.

    All pictures are composed into one array and only text is drawn by matplotlib, without pyplot: a page of many
    tiles costs hardly more than one, and nothing global changes.
    """

    def __init__(self, width: int, height: int) -> None:
        self.pixels: Pixels = np.empty((height, width, 3), dtype=np.uint8)
        self.pixels[:] = PAPER
        self._texts: list[_Text] = []

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.pixels.shape[1]

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.pixels.shape[0]

    def paste(self, x: int, y: int, picture: Pixels) -> None:
        """Puts a picture (h, w, 3) with its upper left corner at (x, y)."""
        self.pixels[y : y + picture.shape[0], x : x + picture.shape[1]] = picture

    def fill(self, x: int, y: int, width: int, height: int, colour: Colour) -> None:
        """Fills a rectangle."""
        self.pixels[y : y + height, x : x + width] = colour

    def write(
        self,
        x: float,
        baseline: float,
        text: str,
        *,
        size: float = BODY_SIZE,
        colour: Colour = INK,
        bold: bool = False,
        align: Literal["left", "center", "right"] = "left",
        width: float | None = None,
    ) -> float:
        """Writes one line, shortened to ``width`` pixels (by default to the page's edge); returns the width taken."""
        if width is None:
            room = {"left": self.width - x, "right": x, "center": 2 * min(x, self.width - x)}[align]
            width = room - MARGIN / 2
        line = shortened(text, width, size, bold)
        if line:
            self._texts.append(_Text(x, baseline, line, size, colour, bold, align))
        return width_of(line, size, bold)

    def head(self, title: str, subtitle: str) -> int:
        """Writes the title and the subtitle at the top and returns the y where the content begins."""
        inner = self.width - 2 * MARGIN
        self.write(MARGIN, MARGIN + 22, title, size=TITLE_SIZE, bold=True, width=inner)
        self.write(MARGIN, MARGIN + 50, subtitle, size=SUBTITLE_SIZE, colour=MUTED, width=inner)
        return head_height(subtitle)

    def figure(self) -> Figure:
        """The page's text as a matplotlib figure on a clear ground, with an Agg canvas, not registered with pyplot."""
        figure = Figure(figsize=(self.width / DPI, self.height / DPI), dpi=DPI, frameon=False)
        FigureCanvasAgg(figure)
        # Every property of the text is given here, so that a user's rcParams change nothing.
        for entry in self._texts:
            figure.text(
                entry.x,
                self.height - entry.baseline,
                entry.text,
                transform=IdentityTransform(),
                fontproperties=font(entry.size, entry.bold),
                color=tuple(channel / 255 for channel in entry.colour),
                horizontalalignment=entry.align,
                verticalalignment="baseline",
                parse_math=False,
                usetex=False,
            )
        return figure

    def rendered(self) -> Pixels:
        """The page with its text: (height, width, 3) uint8."""
        canvas = self.figure().canvas
        assert isinstance(canvas, FigureCanvasAgg)
        canvas.draw()
        text = np.asarray(canvas.buffer_rgba())
        made = self.pixels.copy()
        inked = text[..., 3] > 0
        alpha = text[inked, 3:].astype(np.float32) / 255
        made[inked] = np.round(alpha * text[inked, :3] + (1 - alpha) * made[inked])
        return made

    def save(self, path: str | Path) -> Path:
        """Writes the page as a PNG, whole or not at all; raises PellucidError for another suffix or a closed folder."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise PellucidError(f"{path}: pictures are written as PNG; end the name in .png")
        picture = Image.fromarray(self.rendered())
        with written_whole(path) as temporary:
            picture.save(temporary, format="PNG", compress_level=4)
        return path


def head_height(subtitle: str) -> int:
    """The y where content begins below a title and a subtitle (which may be empty)."""
    return MARGIN + (74 if subtitle else 46)


def draw_bar(page: Page, x: int, y: int, width: int, share: float, colour: Colour = ACCENT) -> None:
    """A horizontal bar of 8 pixels' height on its track; ``share`` in [0, 1], anything above zero shows."""
    page.fill(x, y, width, 8, TRACK)
    filled = round(width * min(max(share, 0.0), 1.0))
    page.fill(x, y, max(filled, 2) if share > 0 else 0, 8, colour)
