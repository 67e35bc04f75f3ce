"""RoIAlign over maps whose channels lie together, (N, H, W, C): every tap is a run of numbers, added as a whole.

The taps of a bin, down and across, are those of ``pooling_kernels``: four by four, the rest of them with weight 0.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled_as_numpy_divides

# Unsigned places: a signed one may count from the end, and a loop that must ask does not vectorise.


@compiled_as_numpy_divides
def _add_four(
    cells: NDArray, a: int, b: int, c: int, d: int, p: float, q: float, r: float, s: float, n: int, out: NDArray
) -> None:
    """Adds four runs of ``n`` numbers, each times its weight, to ``out``."""
    first, second, third, fourth = np.uintp(a), np.uintp(b), np.uintp(c), np.uintp(d)
    for k in range(np.uintp(n)):
        out[k] += (p * cells[first + k] + q * cells[second + k]) + (r * cells[third + k] + s * cells[fourth + k])


@compiled_as_numpy_divides
def align_runs(
    begin: int,
    end: int,
    maps: NDArray,
    images: NDArray,
    rows: NDArray,
    y: tuple[NDArray, NDArray, NDArray],
    x: tuple[NDArray, NDArray, NDArray],
    spans: NDArray,
    out: NDArray,
) -> None:
    """Boxes ``begin`` to ``end`` pooled from maps (N, H, W, C) into out[rows] (…, h, w, C)."""
    y_count, y_place, y_weight = y
    x_count, x_place, x_weight = x
    H, W, C = maps.shape[1], maps.shape[2], maps.shape[3]
    cells = maps.reshape(-1)
    total = np.empty(C, out.dtype)
    for r in range(begin, end):
        image = images[r] * H
        for i in range(y_count.shape[1]):
            for j in range(x_count.shape[1]):
                for k in range(C):
                    total[k] = 0
                for t in range(4 * y_count[r, i]):
                    down = y_weight[r, i, t]
                    if down == 0:
                        continue
                    line = (image + y_place[r, i, t]) * W + spans[r, 0]
                    for u in range(0, 4 * x_count[r, j], 4):
                        _add_four(
                            cells,
                            (line + x_place[r, j, u]) * C,
                            (line + x_place[r, j, u + 1]) * C,
                            (line + x_place[r, j, u + 2]) * C,
                            (line + x_place[r, j, u + 3]) * C,
                            down * x_weight[r, j, u],
                            down * x_weight[r, j, u + 1],
                            down * x_weight[r, j, u + 2],
                            down * x_weight[r, j, u + 3],
                            C,
                            total,
                        )
                target = out[rows[r], i, j]
                for k in range(C):
                    target[k] = total[k]


@compiled_as_numpy_divides
def _add_run(cells: NDArray, start: int, weight: float, given: NDArray, begin: int, end: int) -> None:
    """Adds numbers ``begin`` to ``end`` of what is given, times a weight, to the run that starts there."""
    first = np.uintp(start)
    for k in range(np.uintp(begin), np.uintp(end)):
        cells[first + k] += weight * given[k]


@compiled_as_numpy_divides
def spread_runs(
    begin: int,
    end: int,
    gradients: NDArray,
    images: NDArray,
    rows: NDArray,
    y: tuple[NDArray, NDArray, NDArray],
    x: tuple[NDArray, NDArray, NDArray],
    spans: NDArray,
    maps: NDArray,
) -> None:
    """The other way: adds channels ``begin`` to ``end`` of gradients[rows] (…, h, w, C) to maps (N, H, W, C)."""
    y_count, y_place, y_weight = y
    x_count, x_place, x_weight = x
    H, W, C = maps.shape[1], maps.shape[2], maps.shape[3]
    cells = maps.reshape(-1)
    for r in range(len(images)):
        image = images[r] * H
        for i in range(y_count.shape[1]):
            for j in range(x_count.shape[1]):
                given = gradients[rows[r], i, j]
                for t in range(4 * y_count[r, i]):
                    line = (image + y_place[r, i, t]) * W + spans[r, 0]
                    for u in range(4 * x_count[r, j]):
                        weight = y_weight[r, i, t] * x_weight[r, j, u]
                        if weight != 0:
                            _add_run(cells, (line + x_place[r, j, u]) * C, weight, given, begin, end)
