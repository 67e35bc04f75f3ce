"""The kernels of a network's first layer, as pictures."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.report.colours import CARD, MUTED, QUIET, Pixels, around_grey, signed
from pellucid.report.lettering import wrapped
from pellucid.report.page import BODY_SIZE, MARGIN, SMALL_SIZE, Page, head_height

MOST_KERNELS = 256
"""How many kernels one picture shows at most; of more, the first."""

_GAP = 6
_ROW_LABEL = 44
_COLUMN_LABEL = 24
_LINE = 20
_LEAST_INNER = 700
_MOST_INNER = 1700


def draw_kernels(weights: Tensor, *, path: str | Path, title: str, subtitle: str) -> Path:
    """Draws a convolution's kernels as one PNG, numbered by row and column, and returns its path.

    ``weights``: (C_out, C_in, kh, kw) float. With three input channels a kernel is drawn as RGB around mid-grey, else
    as the mean over its input channels in blue (negative), near-white and red (positive); each is scaled by its own
    largest |weight|. The first 256 are shown. Raises PellucidError for another shape, for NaN or infinite weights, and
    for a path that cannot be written.
    """
    return compose_kernels(weights, title=title, subtitle=subtitle).save(path)


def compose_kernels(weights: Tensor, *, title: str, subtitle: str) -> Page:
    """The page of ``draw_kernels``, not yet written; takes the same and raises the same."""
    if weights.ndim != 4 or weights.numel() == 0:
        raise PellucidError(f"kernels: weights {tuple(weights.shape)} cannot be drawn; give (C_out, C_in, kh, kw)")
    weights = weights.detach().float().cpu()
    total, inputs, kh, kw = weights.shape
    shown = weights[:MOST_KERNELS]
    if not bool(torch.isfinite(shown).all()):
        raise PellucidError("kernels: the weights hold NaN or infinite values; check the network's weights")

    count = len(shown)
    # Whole-number enlargement alone keeps every weight a square of one size.
    enlarged = max(1, round((96 if count <= 32 else 72 if count <= 64 else 60) / max(kh, kw)))
    across, down = kw * enlarged, kh * enlarged
    room = max(1, (_MOST_INNER - _ROW_LABEL + _GAP) // (across + _GAP))
    columns = min(count, room, 8 if count <= 32 else 16)
    rows = math.ceil(count / columns)
    grid_width = columns * (across + _GAP) - _GAP
    inner = max(_LEAST_INNER, _ROW_LABEL + grid_width)
    caption = wrapped(_caption(total, count, inputs, kh, kw), inner, BODY_SIZE, lines=3)

    top = head_height(subtitle)
    grid_top = top + _LINE * len(caption) + 12 + _COLUMN_LABEL
    page = Page(inner + 2 * MARGIN, grid_top + rows * (down + _GAP) - _GAP + MARGIN)
    page.head(title, subtitle)
    for number, line in enumerate(caption):
        page.write(MARGIN, top + 6 + _LINE * number, line, size=BODY_SIZE, colour=MUTED, width=inner + 4)

    left = MARGIN + _ROW_LABEL
    # A ground as light as the near-white of zero would hide where a kernel ends.
    ground = CARD if inputs == 3 else QUIET
    page.fill(left - _GAP, grid_top - _GAP, grid_width + 2 * _GAP, rows * (down + _GAP) + _GAP, ground)
    every = max(1, math.ceil(30 / (across + _GAP)))
    for column in range(0, columns, every):
        middle = left + column * (across + _GAP) + across / 2
        page.write(middle, grid_top - _GAP - 8, f"+{column}", size=SMALL_SIZE, colour=MUTED, align="center")
    for row in range(rows):
        y = grid_top + row * (down + _GAP)
        page.write(left - _GAP - 8, y + down / 2 + 4, str(row * columns), size=SMALL_SIZE, colour=MUTED, align="right")
        for column in range(min(columns, count - row * columns)):
            picture = _picture(shown[row * columns + column].numpy())
            page.paste(left + column * (across + _GAP), y, picture.repeat(enlarged, axis=0).repeat(enlarged, axis=1))
    return page


def _picture(kernel: np.ndarray) -> Pixels:
    """One kernel (C_in, kh, kw) as (kh, kw, 3) uint8."""
    return around_grey(kernel.transpose(1, 2, 0)) if kernel.shape[0] == 3 else signed(kernel.mean(axis=0))


def _caption(total: int, count: int, inputs: int, kh: int, kw: int) -> str:
    many = f"First {count} of {total} kernels" if count < total else f"{count} kernel{'s' if count > 1 else ''}"
    if inputs == 3:
        drawn = "As RGB; each is scaled by its own largest weight, and mid-grey is zero."
    else:
        what = "" if inputs == 1 else f"The mean over {inputs} input channels: "
        drawn = f"{what}red is positive, near-white zero, blue negative; each is scaled by its own largest weight."
        drawn = drawn[0].upper() + drawn[1:]
    return f"{many} of {kw} × {kh} weights. {drawn} A kernel's number is its row's plus its column's."
