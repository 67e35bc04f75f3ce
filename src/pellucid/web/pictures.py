"""Pictures for the page: photos to be shown, and heat that lies over them."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pellucid.report.colours import heat_rgba
from pellucid.structures import Placement

SHOWN_SIDE = 1600
HEAT_SIDE = 640
"""The longest sides, in pixels, of a photo and of heat as they are sent."""


def shown(pixels: Tensor) -> bytes:
    """A photo (3, H, W) as a JPEG of at most ``SHOWN_SIDE`` pixels a side."""
    values = pixels.permute(1, 2, 0).numpy()
    if values.dtype != np.uint8:
        values = np.round(values.clip(0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(values))
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def heat_url(heat: Tensor) -> str:
    """Heat (H, W) in [0, 1] as the data URL of a PNG, transparent where it is cold."""
    return "data:image/png;base64," + base64.b64encode(png(heat_rgba(heat.cpu().numpy()))).decode()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, 3), or (H, W, 4) with opacity, as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def over_photo(grid: Tensor, placement: Placement) -> Tensor:
    """A map (h, w) of the whole frame of a placement, brought to the photo and scaled to [0, 1]."""
    own = Placement(placement.photo, (grid.shape[0], grid.shape[1]), placement.box).scaled(HEAT_SIDE)
    strength = grid.float().clamp(min=0)
    top = float(strength.max())
    return own.to_photo(strength / top if top > 0 else strength).clamp(0, 1)
