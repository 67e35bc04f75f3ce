"""Lines, fills and letters on a picture, anti-aliased and placed to a fraction of a pixel."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D, TransformedPath
from numpy.typing import NDArray

from pellucid.report.colours import Colour, Pixels
from pellucid.report.lettering import DPI, font

_CASING: Colour = (10, 12, 18)


class Ink:
    """Draws on a copy of a picture (h, w, 3); x runs right and y down, from the upper left corner, in pixels.

    matplotlib's renderer is used by itself, without a figure: nothing global changes, and a drawing of a thousand
    lines costs milliseconds.
    """

    def __init__(self, picture: Pixels) -> None:
        h, w = picture.shape[:2]
        self.width, self.height = w, h
        self._renderer = RendererAgg(w, h, DPI)
        self._down = Affine2D().scale(1, -1).translate(0, h)
        opaque = np.dstack((picture, np.full((h, w), 255, dtype=np.uint8)))
        self._renderer.draw_image(self._context((0, 0, 0), 1.0), 0, 0, opaque[::-1])

    def _context(self, colour: Colour, alpha: float) -> GraphicsContextBase:
        context = self._renderer.new_gc()
        red, green, blue = (channel / 255 for channel in colour)
        context.set_foreground((red, green, blue, alpha), isRGBA=True)
        context.set_alpha(alpha)
        context.set_antialiased(True)
        return context

    def fill(self, outline: Outline, colour: Colour, alpha: float = 1.0, *, snap: bool = False) -> None:
        """Fills an outline; loops that run the other way round are holes."""
        context = self._context(colour, alpha)
        context.set_linewidth(0)
        context.set_snap(snap)
        self._renderer.draw_path(context, outline, self._down, tuple(channel / 255 for channel in colour))

    def stroke(
        self,
        outline: Outline,
        colour: Colour,
        width: float,
        *,
        alpha: float = 1.0,
        dashes: Sequence[float] = (),
        snap: bool = False,
        cased: bool = False,
    ) -> None:
        """Draws a line of ``width`` pixels; ``cased``: with a thin dark rim, so that it shows on light photos too."""
        if cased:
            self.stroke(outline, _CASING, width + 1.6, alpha=0.4 * alpha, dashes=dashes)
        context = self._context(colour, alpha)
        context.set_linewidth(width)
        context.set_joinstyle("round")
        context.set_capstyle("butt" if dashes else "round")
        if dashes:
            context.set_dashes(0, list(dashes))
        context.set_snap(snap)
        self._renderer.draw_path(context, outline, self._down)

    def hatch(
        self, outline: Outline, colour: Colour, *, gap: float = 7, width: float = 1.2, alpha: float = 0.8
    ) -> None:
        """Fills an outline with slanting lines, ``gap`` pixels apart."""
        box = outline.get_extents()
        starts = np.arange(np.floor((box.x0 + box.y0) / gap) * gap, box.x1 + box.y1 + gap, gap)
        ends = [((s - box.y0, box.y0), (s - box.y1, box.y1)) for s in starts]
        if not ends:
            return
        context = self._context(colour, alpha)
        context.set_linewidth(width)
        context.set_clip_path(TransformedPath(outline, self._down))
        lines = Outline(np.concatenate(ends), [Outline.MOVETO, Outline.LINETO] * len(ends))
        self._renderer.draw_path(context, lines, self._down)

    def dot(
        self, x: float, y: float, radius: float, fill: Colour, edge: Colour, width: float, *, cased: bool = False
    ) -> None:
        """A disc with an edge."""
        ring = Outline.circle((x, y), radius)
        self.fill(ring, fill)
        self.stroke(ring, edge, width, cased=cased)

    def write(self, x: float, baseline: float, text: str, size: float, colour: Colour, *, bold: bool = False) -> None:
        """Writes one line of drawable text."""
        if text:
            context = self._context(colour, 1.0)
            self._renderer.draw_text(context, x, baseline, text, font(size, bold), 0, ismath=False)

    def finished(self) -> Pixels:
        """The picture: (h, w, 3) uint8."""
        return np.asarray(self._renderer.buffer_rgba())[..., :3].copy()


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Outline:
    """The outline of a box."""
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    return Outline(corners, [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY])


def polyline(points: Sequence[tuple[float, float]] | NDArray[np.floating]) -> Outline:
    """Straight lines from point to point."""
    return Outline(np.asarray(points, dtype=np.float64))


def loops(rings: Sequence[NDArray[np.floating]]) -> Outline:
    """Closed loops (P, 2), the last point of each being its first, as one outline."""
    codes = [np.array([Outline.MOVETO, *[Outline.LINETO] * (len(r) - 2), Outline.CLOSEPOLY], np.uint8) for r in rings]
    return Outline(np.concatenate(rings), np.concatenate(codes))
