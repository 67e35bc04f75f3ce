"""Synthesised images on a page: each with its objective and value, its way there, and how the value rose."""

import math

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pellucid.explain.synthesis import Synthesis, as_pixels
from pellucid.report.colours import ACCENT, CARD, MUTED, TRACK, Colour, Pixels
from pellucid.report.page import BODY_SIZE, HEADING_SIZE, MARGIN, SMALL_SIZE, Page, head_height

_GAP = 24
_CELL = 256
_COLUMNS = 4
_CURVE_HEIGHT = 160
_LINE = 20


def draw_synthesis(made: Synthesis, model: str) -> Page:
    """A page with every image (the first 24), its value, its snapshots, and the objective's value at every step."""
    images = made.images[:24]
    columns = min(_COLUMNS, max(len(images), len(made.snapshots) if len(images) == 1 else 0, 2))
    cell_width, cell_height = cell_size(images)
    rows = math.ceil(len(images) / columns)
    cell = cell_height + 2 * _LINE + _GAP
    steps = sorted(made.snapshots)[:_COLUMNS] if len(images) == 1 else []
    row_heights = rows * cell + (math.ceil(len(steps) / columns) * cell + 40 if steps else 0)

    title = made.objectives[0] if len(set(made.objectives)) == 1 else f"{made.objectives[0]} to {made.objectives[-1]}"
    subtitle = f"{model} · {len(made.history)} steps · {images.shape[-1]} × {images.shape[-2]} pixels"
    width = 2 * MARGIN + columns * (cell_width + _GAP) - _GAP
    top = head_height(subtitle)
    page = Page(width, top + row_heights + _CURVE_HEIGHT + 3 * _LINE + MARGIN)
    page.head(title, subtitle)
    for i, image in enumerate(images):
        x = MARGIN + (i % columns) * (cell_width + _GAP)
        y = top + (i // columns) * cell
        page.paste(x, y, enlarged(image, cell_width, cell_height))
        page.write(x, y + cell_height + 18, f"{float(made.values[i]):.4g}", size=BODY_SIZE, bold=True, width=cell_width)
        if len(set(made.objectives)) > 1:
            page.write(x, y + cell_height + 36, made.objectives[i], size=SMALL_SIZE, colour=MUTED, width=cell_width)
    y = top + rows * cell
    if steps:
        page.write(MARGIN, y + 12, "On the way", size=HEADING_SIZE, bold=True)
        for i, step in enumerate(steps):
            x = MARGIN + (i % columns) * (cell_width + _GAP)
            below = y + 40 + (i // columns) * cell
            page.paste(x, below, enlarged(made.snapshots[step][0], cell_width, cell_height))
            page.write(x, below + cell_height + 18, f"step {step}", size=SMALL_SIZE, colour=MUTED)
    _draw_history(page, made.history, page.height - MARGIN - _CURVE_HEIGHT - _LINE)
    return page


def cell_size(images: Tensor) -> tuple[int, int]:
    """(width, height) at which images (N, 3, h, w) are shown: about 256 pixels, small ones a whole multiple."""
    h, w = images.shape[-2:]
    scale = _CELL / max(h, w)
    scale = max(1, round(scale)) if scale >= 1 else scale
    return max(1, round(w * scale)), max(1, round(h * scale))


def enlarged(image: Tensor, width: int, height: int) -> Pixels:
    """An image (3, h, w) in [0, 1] as uint8 (height, width, 3)."""
    picture = Image.fromarray(as_pixels(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))


def _draw_history(page: Page, history: Tensor, y: int) -> None:
    inner = page.width - 2 * MARGIN
    low, high = float(history.min()), float(history.max())
    page.write(
        MARGIN, y - 10, "The objective at every step, on the image as it was moved for it", size=BODY_SIZE, colour=MUTED
    )
    page.paste(MARGIN, y, curves(history.T, inner, _CURVE_HEIGHT))
    below = y + _CURVE_HEIGHT + 16
    page.write(MARGIN, below, f"step 1: {float(history[0].mean()):.3g}", size=SMALL_SIZE, colour=MUTED)
    last = f"step {len(history)}: {float(history[-1].mean()):.3g}"
    page.write(page.width - MARGIN, below, last, size=SMALL_SIZE, colour=MUTED, align="right")
    middle = f"{low:.3g} to {high:.3g}"
    page.write(page.width / 2, below, middle, size=SMALL_SIZE, colour=MUTED, align="center")


def curves(lines: Tensor, width: int, height: int, colour: Colour = ACCENT) -> Pixels:
    """Lines (M, steps) over a card of ``width`` × ``height`` pixels, from their least to their greatest value."""
    fine = 3  # drawn larger and reduced, which smooths the lines
    picture = Image.new("RGB", (width * fine, height * fine), CARD)
    draw = ImageDraw.Draw(picture)
    lines = torch.nan_to_num(lines.float())
    low, high = float(lines.min()), float(lines.max())
    span = (high - low) or 1.0
    if low < 0 < high:
        zero = (1 - (0 - low) / span) * (height - 16) * fine + 8 * fine
        draw.line([(0, zero), (width * fine, zero)], fill=TRACK, width=fine)
    for line in lines:
        count = max(1, len(line) - 1)
        points = [
            (8 * fine + i / count * (width - 16) * fine, 8 * fine + (1 - (v - low) / span) * (height - 16) * fine)
            for i, v in enumerate(line.tolist())
        ]
        draw.line(points if len(points) > 1 else points * 2, fill=colour, width=2 * fine, joint="curve")
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
