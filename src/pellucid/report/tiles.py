"""Tiles: the part of a photo that a network saw, at the size of a picture on a page, plain or under heat."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.report.colours import ACCENT, Pixels, faded, overlay
from pellucid.structures import Placement

if TYPE_CHECKING:
    from pellucid.explain.attribution.explanation import Explanation

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in the photo's continuous pixel coordinates."""


def check_photo(photo: Tensor) -> None:
    """Raises PellucidError unless the photo is uint8 (3, H, W) with at least one pixel."""
    if photo.dtype != torch.uint8 or photo.ndim != 3 or photo.shape[0] != 3 or photo.numel() == 0:
        raise PellucidError(f"photo: {photo.dtype} {tuple(photo.shape)} cannot be drawn; give uint8 (3, H, W)")


def check_explanation(explanation: "Explanation", photo: Tensor) -> None:
    """Raises PellucidError unless the explanation is one finite map of a photo of this size."""
    name, map_ = f"{explanation.method} of '{explanation.target}'", explanation.frame_map
    if map_.ndim not in (2, 3) or (map_.ndim == 3 and map_.shape[0] != 3):
        raise PellucidError(f"{name}: a map of shape {tuple(map_.shape)} cannot be drawn; give (h, w) or (3, h, w)")
    if explanation.placement.photo != tuple(photo.shape[1:]):
        told, is_ = explanation.placement.photo, tuple(photo.shape[1:])
        raise PellucidError(f"{name}: the map is of a photo of {told} pixels, not of {is_}; draw it over its own")
    if not np.isfinite(map_.detach().cpu().numpy()).all():
        raise PellucidError(f"{name}: the map holds NaN or infinite values; check the network's weights")


def seen(placement: Placement) -> Box:
    """The part of the photo inside the network's frame; the whole photo where the frame misses it."""
    H, W = placement.photo
    x1, y1, x2, y2 = placement.box
    box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(W)), min(y2, float(H)))
    return box if box[2] > box[0] and box[3] > box[1] else (0.0, 0.0, float(W), float(H))


def is_whole(box: Box, placement: Placement) -> bool:
    """Whether a part of the photo is all of it, to half a pixel."""
    H, W = placement.photo
    return box[0] < 0.5 and box[1] < 0.5 and box[2] > W - 0.5 and box[3] > H - 0.5


def fitted(box: Box, width: int, height: int) -> tuple[int, int]:
    """(width, height) in pixels of the box, its aspect kept, at the largest size within ``width`` × ``height``."""
    across, down = box[2] - box[0], box[3] - box[1]
    scale = min(width / across, height / down)
    return min(width, max(1, round(across * scale))), min(height, max(1, round(down * scale)))


def resized(photo: Tensor, box: Box, size: tuple[int, int], sharp: bool = False) -> Pixels:
    """The part of a photo uint8 (3, H, W) within ``box`` at ``size`` (width, height): (h, w, 3) uint8.

    Channels are reduced one by one from the tensor's own memory, so that a photo of 100 megapixels is never copied.
    ``sharp`` takes single pixels instead of averages; so does a strong enlargement.
    """
    enlarged = size[0] / (box[2] - box[0])
    method = Image.Resampling.NEAREST if sharp or enlarged > 6 else Image.Resampling.LANCZOS
    gap = None if method == Image.Resampling.NEAREST else 3.0
    planes = [Image.fromarray(plane.numpy()).resize(size, method, box=box, reducing_gap=gap) for plane in photo.cpu()]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def heat_in(explanation: "Explanation", box: Box, size: tuple[int, int]) -> NDArray[np.float32]:
    """The explanation's heat within ``box`` of the photo, at ``size`` (width, height): (h, w) float32 in [0, 1].

    The heat goes from the network's frame to the tile in one step, whatever the photo's size; a map finer than the tile
    is averaged. Beyond the explanation's own frame it is zero.
    """
    placement = explanation.placement
    (h, w), (left, top, right, bottom) = placement.frame, placement.box
    map_ = explanation.frame_map.detach().float().cpu()
    within = replace(explanation, placement=Placement.whole(h, w), frame_map=map_)
    heat = Image.fromarray(within.heat().numpy())
    x1, y1, x2, y2 = max(left, box[0]), max(top, box[1]), min(right, box[2]), min(bottom, box[3])
    made = np.zeros((size[1], size[0]), dtype=np.float32)
    sx, sy = size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])
    columns = slice(round((x1 - box[0]) * sx), round((x2 - box[0]) * sx))
    rows = slice(round((y1 - box[1]) * sy), round((y2 - box[1]) * sy))
    across, down = columns.stop - columns.start, rows.stop - rows.start
    if across > 0 and down > 0:
        kx, ky = w / (right - left), h / (bottom - top)
        part = (
            max(0.0, (x1 - left) * kx),
            max(0.0, (y1 - top) * ky),
            min(w, (x2 - left) * kx),
            min(h, (y2 - top) * ky),
        )
        made[rows, columns] = np.asarray(heat.resize((across, down), Image.Resampling.BILINEAR, box=part))
    return made


def heat_tile(explanation: "Explanation", under: Pixels, box: Box) -> Pixels:
    """The explanation over its photo: ``under`` (h, w, 3) is the photo within ``box``; (h, w, 3) uint8."""
    return overlay(under, heat_in(explanation, box, (under.shape[1], under.shape[0])))


def framed_photo(photo: Tensor, box: Box, width: int, height: int) -> Pixels:
    """The whole photo within ``width`` × ``height`` pixels; a ``box`` that is a part is outlined, the rest faded."""
    H, W = photo.shape[1:]
    whole = (0.0, 0.0, float(W), float(H))
    size = fitted(whole, width, height)
    picture = resized(photo, whole, size)
    if is_whole(box, Placement.whole(H, W)):
        return picture
    x1, x2 = round(box[0] * size[0] / W), round(box[2] * size[0] / W)
    y1, y2 = round(box[1] * size[1] / H), round(box[3] * size[1] / H)
    x1, y1 = min(x1, size[0] - 1), min(y1, size[1] - 1)
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    made = faded(picture)
    made[y1:y2, x1:x2] = ACCENT
    inner = (slice(y1 + 3, y2 - 3), slice(x1 + 3, x2 - 3))
    made[inner] = picture[inner]
    return made
