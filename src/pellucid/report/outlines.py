"""Outlines of masks as SVG paths."""

from collections.abc import Iterable

import numpy as np

from pellucid.report.regions import mask_outline
from pellucid.structures import Mask

_CLOSE = 79
"""matplotlib's code of a point that closes a loop."""


def outline_path(mask: Mask, scale: tuple[float, float] = (1.0, 1.0), offset: tuple[float, float] = (0.0, 0.0)) -> str:
    """The outline of a mask as an SVG path, in tenths of a pixel; '' for a mask without pixels.

    ``scale``: drawing pixels for each pixel of the image, across and down; ``offset``: where the drawing's corner lies
    in them.
    """
    outline = mask_outline(mask, scale)
    if outline is None:
        return ""
    codes = [] if outline.codes is None else np.asarray(outline.codes).tolist()
    return "".join(_commands((np.asarray(outline.vertices) - offset).tolist(), codes))


def _commands(points: list[list[float]], codes: Iterable[int]) -> Iterable[str]:
    last = ""
    for (x, y), code in zip(points, codes, strict=True):
        if code == _CLOSE:
            yield "Z"
            continue
        here = f"{x:.1f} {y:.1f}"
        if here != last or code == 1:
            yield ("M" if code == 1 else "L") + here
        last = here
