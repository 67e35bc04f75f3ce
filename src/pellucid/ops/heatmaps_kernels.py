"""The highest pixel of resized heatmaps, compiled for the processor: no resized map is ever kept."""

import math

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled_as_numpy_divides


@compiled_as_numpy_divides
def _taps(length: int, side: int, places: NDArray, weights: NDArray) -> None:
    """The four cells that each of ``length`` pixels reads, and their weights: Keys' cubic with a = −0.75."""
    kind = weights.dtype.type
    scale, half, a = kind(side) / kind(length), kind(0.5), kind(-0.75)
    for i in range(length):
        source = scale * (kind(i) + half) - half
        floor = kind(math.floor(source))
        t = source - floor
        for k in range(4):
            places[i, k] = min(max(int(floor) - 1 + k, 0), side - 1)
            d = abs(t + kind(1 - k))
            if d <= kind(1):
                weights[i, k] = ((a + kind(2)) * d - (a + kind(3))) * d * d + kind(1)
            else:
                weights[i, k] = ((a * d - kind(5) * a) * d + kind(8) * a) * d - kind(4) * a


@compiled_as_numpy_divides
def highest(maps: NDArray, sides: NDArray, found: NDArray) -> None:
    """Of each map (R, K, S, S), bicubically resized to ``sides`` int64 (R, 2): the x and y of its highest pixel."""
    R, K, S = maps.shape[:3]
    for r in range(R):
        width, height = sides[r]
        x_place, x_weight = np.empty((width, 4), np.int64), np.empty((width, 4), maps.dtype)
        y_place, y_weight = np.empty((height, 4), np.int64), np.empty((height, 4), maps.dtype)
        _taps(width, S, x_place, x_weight)
        _taps(height, S, y_place, y_weight)
        lines, line = np.empty((S, width), maps.dtype), np.empty(width, maps.dtype)
        for k in range(K):
            for s in range(S):
                row = maps[r, k, s]
                for i in range(width):
                    lines[s, i] = (
                        x_weight[i, 0] * row[np.uintp(x_place[i, 0])]
                        + x_weight[i, 1] * row[np.uintp(x_place[i, 1])]
                        + x_weight[i, 2] * row[np.uintp(x_place[i, 2])]
                        + x_weight[i, 3] * row[np.uintp(x_place[i, 3])]
                    )
            top = maps.dtype.type(-np.inf)
            for j in range(height):
                a, b = lines[y_place[j, 0]], lines[y_place[j, 1]]
                c, d = lines[y_place[j, 2]], lines[y_place[j, 3]]
                p, q, u, v = y_weight[j, 0], y_weight[j, 1], y_weight[j, 2], y_weight[j, 3]
                for i in range(width):
                    line[i] = p * a[i] + q * b[i] + u * c[i] + v * d[i]
                best = maps.dtype.type(-np.inf)
                for i in range(width):
                    best = line[i] if line[i] > best else best
                if best > top:
                    top = best
                    for i in range(width):
                        if line[i] == best:
                            found[r, k, 0], found[r, k, 1] = i, j
                            break
