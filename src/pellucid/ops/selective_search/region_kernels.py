"""What regions are measured by: bins of colour and texture for each pixel, sums over regions, neighbours; compiled."""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled

COLOUR_BINS = 25
DIRECTIONS, TEXTURE_BINS = 8, 10


@compiled
def colour_bins(channels: NDArray) -> NDArray:
    """The histogram bin of each pixel in each channel: uint8 (H, W, C), from float32 (C, H, W) in [0, 255]."""
    C, H, W = channels.shape
    bins = np.empty((H, W, C), dtype=np.uint8)
    scale = np.float32(COLOUR_BINS / 256)
    for y in range(H):
        for x in range(W):
            for c in range(C):
                bins[y, x, c] = np.uint8(channels[c, y, x] * scale)
    return bins


@compiled
def texture_bins(along_x: NDArray, along_y: NDArray) -> NDArray:
    """The bin of the rise in each of eight directions: uint8 (H, W, C × 8), from the derivatives (C, H, W).

    A fall counts as no rise. Bins reach from 0 to the steepest rise of the channel in the image.
    """
    C, H, W = along_x.shape
    bins = np.zeros((H, W, C * DIRECTIONS), dtype=np.uint8)
    angles = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    cosines, sines = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    for c in range(C):
        steepest = np.float32(0)
        for y in range(H):
            for x in range(W):
                for d in range(DIRECTIONS):
                    steepest = max(steepest, cosines[d] * along_x[c, y, x] + sines[d] * along_y[c, y, x])
        if steepest < np.float32(1e-3):  # a flat channel: rounding alone
            continue
        scale = np.float32(TEXTURE_BINS) / steepest
        for y in range(H):
            for x in range(W):
                for d in range(DIRECTIONS):
                    rise = (cosines[d] * along_x[c, y, x] + sines[d] * along_y[c, y, x]) * scale
                    if rise > 0:
                        bins[y, x, c * DIRECTIONS + d] = min(TEXTURE_BINS - 1, int(rise))
    return bins


@compiled
def measured(labels: NDArray, count: int, colours: NDArray, textures: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Of each region: its size in pixels, its box xyxy, and its histograms, float32 (count, C × 25 + C × 80).

    The colour histogram and the texture histogram of a region sum to 1 each.
    """
    H, W, C = colours.shape
    wide = textures.shape[2]
    split = C * COLOUR_BINS
    sizes = np.zeros(count, dtype=np.int64)
    boxes = np.empty((count, 4), dtype=np.int32)
    boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3] = W, H, 0, 0
    counts = np.zeros((count, split + wide * TEXTURE_BINS), dtype=np.int32)
    for y in range(H):
        for x in range(W):
            r = labels[y, x]
            sizes[r] += 1
            boxes[r, 0], boxes[r, 1] = min(boxes[r, 0], x), min(boxes[r, 1], y)
            boxes[r, 2], boxes[r, 3] = max(boxes[r, 2], x + 1), max(boxes[r, 3], y + 1)
            for c in range(C):
                counts[r, c * COLOUR_BINS + colours[y, x, c]] += 1
            for t in range(wide):
                counts[r, split + t * TEXTURE_BINS + textures[y, x, t]] += 1
    histograms = np.empty(counts.shape, dtype=np.float32)
    for r in range(count):
        for i in range(counts.shape[1]):
            histograms[r, i] = counts[r, i] / (sizes[r] * (C if i < split else wide))
    return sizes, boxes, histograms


@compiled
def touching(labels: NDArray, count: int) -> NDArray:
    """Pairs of regions that touch in one of eight directions, as first × count + second, int64; with repetitions."""
    H, W = labels.shape
    codes = np.empty(1024, dtype=np.int64)
    held = 0
    latest = np.full(4, -1, dtype=np.int64)
    for y in range(H):
        for x in range(W):
            for way in range(4):
                yy = y + (way == 1) + (way == 2) - (way == 3)
                xx = x + (way != 1)
                if yy < 0 or yy >= H or xx >= W:
                    continue
                a, b = labels[y, x], labels[yy, xx]
                if a == b:
                    continue
                code = np.int64(min(a, b)) * count + max(a, b)
                if code == latest[way]:  # along a border most pairs repeat the one before
                    continue
                latest[way] = code
                if held == len(codes):
                    longer = np.empty(2 * held, dtype=np.int64)
                    longer[:held] = codes
                    codes = longer
                codes[held] = code
                held += 1
    return codes[:held]
