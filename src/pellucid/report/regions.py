"""Regions at the size of a drawing: smooth outlines of masks, and maps of classes or segments as colour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Outline
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from scipy import ndimage
from skimage.measure import find_contours

from pellucid.report.colours import Colour, Pixels
from pellucid.report.ink import loops
from pellucid.structures import Mask, Polygons, RunLengths
from pellucid.structures.masks import as_pixels

_FINE = 2
"""Polygons are rasterised so many times finer than they are drawn."""

_STEPS = 1.5
"""Beyond this enlargement a mask's pixels show as steps, and are rounded."""

_ROUND = 0.6
"""By how much: a standard deviation in pixels of the image, so little that a line of one pixel stays."""

_AS_THEY_ARE = 6
"""Beyond this one they are drawn as the squares that they are, as the photo's are."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def mask_outline(mask: Mask, scale: tuple[float, float]) -> Outline | None:
    """The outline of a mask, as loops in the drawing's pixels; None for a mask without pixels.

    ``scale``: drawing pixels for each pixel of the image, across and down.
    """
    made = _fine_polygons(mask, scale) if isinstance(mask, Polygons) else _resized_pixels(mask, scale)
    if made is None:
        return None
    cover, (left, top) = made
    level = min(0.5, float(cover.max()) / 2)
    rings = [ring[:, ::-1] + (left + 0.5, top + 0.5) for ring in find_contours(cover, level) if len(ring) > 3]
    return loops(rings) if rings else None


def _fine_polygons(
    mask: Polygons, scale: tuple[float, float]
) -> tuple[NDArray[np.float32], tuple[float, float]] | None:
    """How far each pixel around the polygons is covered, and where the first one lies."""
    if not mask.parts:
        return None
    limit = (mask.size[1] * scale[0], mask.size[0] * scale[1])
    parts = [np.clip(part * np.array(scale, np.float32), 0, limit) for part in mask.parts]
    points = np.concatenate(parts)
    left, top = (math.floor(v) - 1 for v in points.min(0))
    right, bottom = (math.ceil(v) + 1 for v in points.max(0))
    size = ((bottom - top) * _FINE, (right - left) * _FINE)
    corner = np.array((left, top), np.float32)
    fine = Polygons(size, tuple(((part - corner) * _FINE).astype(np.float32) for part in parts)).to_mask()
    cover = fine.reshape(size[0] // _FINE, _FINE, size[1] // _FINE, _FINE).mean((1, 3), dtype=np.float32)
    return (cover, (left, top)) if cover.any() else None


def _resized_pixels(mask: Mask, scale: tuple[float, float]) -> tuple[NDArray[np.float32], tuple[float, float]] | None:
    """As ``_fine_polygons``, of pixels or run lengths."""
    pixels, (x1, y1) = _cut_out(mask)
    if pixels.size == 0:
        return None
    pad = [1 + math.ceil(1 / s) for s in scale]
    part = np.pad(pixels * np.uint8(255), ((pad[1],) * 2, (pad[0],) * 2))
    across, down = (math.floor(n * s) for n, s in ((part.shape[1], scale[0]), (part.shape[0], scale[1])))
    if across < 1 or down < 1:
        return None
    box = (0.0, 0.0, across / scale[0], down / scale[1])
    cover = _smoothly_resized(part, (across, down), box, scale)
    corner = ((x1 - pad[0]) * scale[0], (y1 - pad[1]) * scale[1])
    if not cover.any():
        return None
    return np.pad(cover, 1), (corner[0] - 1, corner[1] - 1)


def _smoothly_resized(
    pixels: NDArray[np.uint8], size: tuple[int, int], box: tuple[float, float, float, float], scale: tuple[float, float]
) -> NDArray[np.float32]:
    """The part of a mask, 0 or 255, within ``box`` at ``size`` (width, height): how far each pixel is covered."""
    as_they_are = max(scale) > _AS_THEY_ARE
    method = Image.Resampling.NEAREST if as_they_are else Image.Resampling.BILINEAR
    made = np.asarray(Image.fromarray(pixels).resize(size, method, box=box), dtype=np.float32) * np.float32(1 / 255)
    if min(scale) > _STEPS and not as_they_are:
        made = ndimage.gaussian_filter(made, (_ROUND * scale[1], _ROUND * scale[0]), mode="nearest", truncate=3.0)
    return made


def _cut_out(mask: Mask) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The pixels within the tight box around a mask, 0 or 1, and the box's corner (x, y)."""
    if isinstance(mask, RunLengths):  # decoded column by column, and only what is needed is turned into rows
        x, y, wide, tall = (int(v) for v in coco.toBbox(mask.for_pycocotools))
        return np.ascontiguousarray(coco.decode(mask.for_pycocotools)[y : y + tall, x : x + wide]), (x, y)
    pixels = as_pixels(mask)
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if len(rows) == 0:
        return np.zeros((0, 0), np.uint8), (0, 0)
    y, x = int(rows[0]), int(columns[0])
    return pixels[y : rows[-1] + 1, x : columns[-1] + 1].view(np.uint8), (x, y)


@dataclass(frozen=True)
class Blend:
    """A picture under the colours of its regions, and where each region is.

    ``pixels``: (h, w, 3) uint8. ``places``: int64 (h, w), the region of every pixel of the drawing.
    """

    pixels: Pixels
    places: NDArray[np.int64]


def blend(
    picture: Pixels,
    places: NDArray[np.integer],
    colours: Sequence[Colour],
    alphas: Sequence[float],
    hatched: Sequence[bool],
) -> Blend:
    """Lays the colours of regions over a picture (h, w, 3), with a line where two of them meet.

    ``places``: int (H, W) of the image, the region of every pixel, 0 to R − 1. Each of the R regions has a colour,
    an opacity (0 to 1), and may be hatched. The regions' edges are smooth whatever the ratio of the sizes.
    """
    h, w = picture.shape[:2]
    H, W = places.shape
    sx, sy = w / W, h / H
    sharp = max(1.0, 1.5 * min(sx, sy))
    total = np.full((h, w), 1e-6, dtype=np.float32)
    paint = np.zeros((h, w, 3), dtype=np.float32)
    opacity = np.zeros((h, w), dtype=np.float32)
    most = np.zeros((h, w), dtype=np.float32)
    top = np.zeros((h, w), dtype=np.int64)
    for region, window in enumerate(ndimage.find_objects(places + 1)):
        if window is None:
            continue
        rows, columns = _reach(window[0], H, sy, h), _reach(window[1], W, sx, w)
        source = (_within(rows, sy, H), _within(columns, sx, W))
        cover = _coverage(places[source] == region, rows, columns, source, (sx, sy)) ** sharp
        here = (rows, columns)
        total[here] += cover
        paint[here] += cover[..., None] * np.array(colours[region], np.float32)
        strength = np.full(cover.shape, alphas[region], np.float32)
        if hatched[region]:
            strength *= _stripes(rows, columns)
        opacity[here] += cover * strength
        better = cover > most[here]
        most[here][better] = cover[better]
        top[here][better] = region
    paint /= total[..., None]
    opacity = (opacity / total)[..., None]
    # Under colour a photo is shown with half its own, so that classes look alike on any ground.
    photo = picture.astype(np.float32)
    photo += 0.6 * opacity * ((photo @ _LUMA)[..., None] - photo)
    made = (1 - opacity) * photo + opacity * paint
    edge = _edges(top)[..., None]
    made = (1 - edge) * made + edge * np.minimum(0.35 * paint + 165, 255)
    return Blend(np.round(made).astype(np.uint8), top)


def _reach(part: slice, count: int, scale: float, most: int) -> slice:
    """The drawing's pixels that a part of the image touches when it is resampled."""
    return slice(
        max(0, math.floor((part.start - 1) * scale) - 1), min(most, math.ceil((min(part.stop, count) + 1) * scale) + 1)
    )


def _within(part: slice, scale: float, most: int) -> slice:
    """The image's pixels that a part of the drawing is made of."""
    margin = 2 + math.ceil(1 / scale)
    return slice(max(0, math.floor(part.start / scale) - margin), min(most, math.ceil(part.stop / scale) + margin))


def _coverage(
    mask: NDArray[np.bool_],
    rows: slice,
    columns: slice,
    source: tuple[slice, slice],
    scale: tuple[float, float],
) -> NDArray[np.float32]:
    """How far a region covers each pixel of a part of the drawing, 0 to 1."""
    box = (
        max(0.0, columns.start / scale[0] - source[1].start),
        max(0.0, rows.start / scale[1] - source[0].start),
        min(float(mask.shape[1]), columns.stop / scale[0] - source[1].start),
        min(float(mask.shape[0]), rows.stop / scale[1] - source[0].start),
    )
    size = (columns.stop - columns.start, rows.stop - rows.start)
    return _smoothly_resized(mask.view(np.uint8) * np.uint8(255), size, box, scale)


def _stripes(rows: slice, columns: slice) -> NDArray[np.float32]:
    """Slanting stripes, 0.35 to 1, that meet from one part of a drawing to the next."""
    y, x = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)[None]
    wave = np.clip(0.5 + 1.6 * np.cos((x + y) * (2 * np.pi / 9)), 0, 1)
    return (0.35 + 0.65 * wave).astype(np.float32)


def _edges(top: NDArray[np.int64]) -> NDArray[np.float32]:
    """Where two regions meet: the opacity of a soft line of a pixel and a half."""
    differs = np.zeros(top.shape, dtype=np.float32)
    differs[:, 1:] = top[:, 1:] != top[:, :-1]
    differs[1:] = np.maximum(differs[1:], top[1:] != top[:-1])
    return np.clip(0.85 * ndimage.gaussian_filter(differs, 0.7, mode="nearest", truncate=2.0), 0, 0.75)


def deepest(inside: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The point (x, y) of a region that is about farthest from its border, and how far one can be."""
    step = max(1, max(inside.shape) // 160)
    coarse = inside[step // 2 :: step, step // 2 :: step]
    depth = ndimage.distance_transform_edt(np.pad(coarse, 1))[1:-1, 1:-1]
    # Of a long region's middle line, the middle.
    points = np.argwhere(depth >= 0.85 * depth.max())
    y, x = points[np.abs(points - points.mean(0)).sum(1).argmin()] * step + step // 2
    return float(x) + 0.5, float(y) + 0.5, float(depth.max()) * step
