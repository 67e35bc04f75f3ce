"""Masks laid onto an image and written as run lengths at once, compiled for the processor."""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled

Side = tuple[NDArray, NDArray, NDArray, NDArray]


@compiled
def paste_runs(mask: NDArray, y: Side, x: Side, threshold: float, inclusive: bool, runs: NDArray, text: NDArray) -> int:
    """Writes COCO's compressed text of one mask (M, M) laid onto an image; the length of the text.

    ``y``, ``x``: of each row and column the lower cell, the upper, the upper's part, whether any. ``runs``: room for
    the counts.
    """
    y_low, y_high, y_part, y_in = y
    x_low, x_high, x_part, x_in = x
    H, W, M = len(y_low), len(x_low), len(mask)
    top, bottom = 0, H
    while top < H and not y_in[top]:
        top += 1
    while bottom > top and not y_in[bottom - 1]:
        bottom -= 1
    column = np.zeros(M + 2, np.float32)  # a cell beyond the edge at either end
    count, begun, now = 0, 0, False
    one, limit = np.float32(1), np.float32(threshold)
    for i in range(W):
        if not x_in[i]:
            continue
        left, right, part = x_low[i], x_high[i], np.float32(x_part[i])
        for m in range(M):
            a = mask[m, left] if 0 <= left < M else np.float32(0)
            b = mask[m, right] if 0 <= right < M else np.float32(0)
            column[m + 1] = (one - part) * a + part * b
        place = i * H
        if now and top > 0:  # the last column ran to its end, this one begins lower
            runs[count] = place - begun
            count, begun, now = count + 1, place, False
        for j in range(top, bottom):
            q = np.float32(y_part[j])
            value = (one - q) * column[y_low[j] + 1] + q * column[y_high[j] + 1]
            found = y_in[j] and (value > limit or (inclusive and value == limit))
            if found != now:
                runs[count] = place + j - begun
                count, begun, now = count + 1, place + j, found
        if now and bottom < H:
            runs[count] = place + bottom - begun
            count, begun, now = count + 1, place + bottom, False
        if now and (i + 1 == W or not x_in[i + 1]):
            runs[count] = place + H - begun
            count, begun, now = count + 1, place + H, False
    if begun < H * W or count == 0:
        runs[count] = H * W - begun
        count += 1
    return _compress(runs, count, text)


@compiled
def _compress(runs: NDArray, count: int, text: NDArray) -> int:
    """COCO's text of counts: base 32 in ASCII from '0', low digits first; from the fourth on each is a difference."""
    length = 0
    for k in range(count):
        value = runs[k] - (runs[k - 2] if k > 2 else 0)
        while True:
            digit = value & 31
            value >>= 5
            more = value != -1 if digit & 16 else value != 0
            text[length] = 48 + (digit | 32 if more else digit)
            length += 1
            if not more:
                break
    return length
