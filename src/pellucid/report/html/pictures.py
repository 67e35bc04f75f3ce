"""The pictures of a case: what surrounds it, as JPEG, and heat over it, as PNG with transparency."""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from torch import Tensor

from pellucid.explain import Explanation
from pellucid.report.colours import heat_rgba
from pellucid.report.html.content import Box

_AROUND = 0.5
"""How much of its longer side is shown around what a case is about."""

_LEAST, _FROM, _TO = 96, 220, 340
"""The shortest side of what is shown, in pixels of the photo; and of the picture's longer side."""

_HEAT = 72
"""Pixels of heat along the longer side: maps are smooth, and the browser stretches them so."""

_QUALITY = 80


@dataclass(frozen=True)
class Window:
    """A part of a photo, ``region`` in whole pixels, as a picture of ``width`` × ``height``."""

    region: tuple[int, int, int, int]
    width: int
    height: int

    @classmethod
    def around(cls, boxes: Iterable[Box], size: tuple[int, int]) -> "Window":
        """What shows some boxes of a photo of ``size`` (H, W), with what is around them."""
        H, W = size
        every = np.array(list(boxes), dtype=np.float64)
        x1, y1 = np.clip(every[:, :2].min(0), 0, (W, H))
        x2, y2 = np.clip(every[:, 2:].max(0), 0, (W, H))
        pad = _AROUND * max(x2 - x1, y2 - y1)
        left, right = _span(x1 - pad, x2 + pad, W)
        top, bottom = _span(y1 - pad, y2 + pad, H)
        longest = max(right - left, bottom - top)
        scale = min(max(longest, _FROM), _TO) / longest
        return cls(
            (left, top, right, bottom), max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        )

    @property
    def scale(self) -> tuple[float, float]:
        """Picture pixels for each pixel of the photo, across and down."""
        left, top, right, bottom = self.region
        return self.width / (right - left), self.height / (bottom - top)

    def box(self, box: Box) -> Box:
        """A box of the photo in the picture's pixels, within the picture."""
        (left, top, _, _), (across, down) = self.region, self.scale
        x1, y1, x2, y2 = box
        made = ((x1 - left) * across, (y1 - top) * down, (x2 - left) * across, (y2 - top) * down)
        limits = (self.width, self.height, self.width, self.height)
        a, b, c, d = (round(min(max(v, 0.0), float(limit)), 1) for v, limit in zip(made, limits, strict=True))
        return a, b, c, d

    def jpeg(self, photo: Tensor) -> bytes:
        """The picture, of a photo uint8 (3, H, W)."""
        left, top, right, bottom = self.region
        cut = Image.fromarray(photo[:, top:bottom, left:right].permute(1, 2, 0).contiguous().numpy())
        resized = cut.resize((self.width, self.height), Image.Resampling.BICUBIC)
        written = io.BytesIO()
        resized.save(written, format="JPEG", quality=_QUALITY, optimize=True)
        return written.getvalue()

    def heat(self, explanation: Explanation) -> bytes:
        """A PNG with transparency, to be stretched over the picture: what speaks for the objective.

        Scaled by the whole map, so that what lies outside the picture is not forgotten.
        """
        left, top, right, bottom = self.region
        longest = max(self.width, self.height)
        h, w = (max(1, round(side * _HEAT / longest)) for side in (self.height, self.width))
        across, down = w / (right - left), h / (bottom - top)
        x1, y1, x2, y2 = explanation.placement.box
        box = ((x1 - left) * across, (y1 - top) * down, (x2 - left) * across, (y2 - top) * down)
        here = replace(explanation.placement, photo=(h, w), box=box).to_photo(explanation.level().cpu())
        written = io.BytesIO()
        Image.fromarray(heat_rgba(here.numpy()), "RGBA").save(written, format="PNG", optimize=True)
        return written.getvalue()


def _span(low: float, high: float, limit: int) -> tuple[int, int]:
    """A span of whole pixels, at least ``_LEAST`` long where there are so many, within 0 to ``limit``."""
    short = max(0.0, min(_LEAST, limit) - (high - low))
    first, last = math.floor(low - short / 2), math.ceil(high + short / 2)
    shift = max(0, -first) - max(0, last - limit)
    first, last = max(0, first + shift), min(limit, last + shift)
    return (first, last) if last > first else (max(0, first - 1), max(1, first))
