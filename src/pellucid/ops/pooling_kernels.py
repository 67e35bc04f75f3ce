"""RoIAlign and RoIPool over planes (H, W), compiled for the processor.

RoIAlign is separable: a bin is a weighted sum of rows, then of columns. A box's bins along one side are a table of
taps: which rows (or columns) a bin reads, and how much of each, four by four.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled_as_numpy_divides


@compiled_as_numpy_divides
def tap_side(
    starts: NDArray, bins: NDArray, grids: NDArray, length: int, counts: NDArray, places: NDArray, weights: NDArray
) -> None:
    """The taps of every box along one side of a plane of ``length`` cells.

    ``starts``, ``bins`` (R,): where a box begins and the length of its bins, in cells; ``grids`` int64 (R,): samples
    a bin. Fills counts (R, P), places and weights (R, P, T). In the order of operations and the kind of number of
    torchvision, so that a sample at the edge of the plane falls on the same side of it.
    """
    kind = starts.dtype.type
    half, one, last = kind(0.5), kind(1.0), kind(length - 1)
    for r in range(len(starts)):
        for p in range(counts.shape[1]):
            count = 0
            for g in range(grids[r]):
                at = starts[r] + kind(p) * bins[r] + (kind(g) + half) * bins[r] / kind(grids[r])
                if at < -one or at > kind(length):
                    continue
                at = min(max(at, kind(0.0)), last)
                low = int(at)
                high = min(low + 1, length - 1)
                part = at - kind(low)
                for place, weight in ((low, one - part), (high, part)):
                    if weight == 0.0:
                        continue
                    # Samples run one way, so that what is shared with an earlier one is among the last two.
                    if count > 0 and places[r, p, count - 1] == place:
                        weights[r, p, count - 1] += weight
                    elif count > 1 and places[r, p, count - 2] == place:
                        weights[r, p, count - 2] += weight
                    else:
                        places[r, p, count], weights[r, p, count] = place, weight
                        count += 1
            counts[r, p] = count
            for t in range(count):
                weights[r, p, t] /= kind(grids[r])


@compiled_as_numpy_divides
def fill_fours(counts: NDArray, places: NDArray, weights: NDArray) -> None:
    """Makes the taps of each bin a multiple of four: the last once more, with weight 0. ``counts`` becomes fours."""
    for r in range(len(counts)):
        for p in range(counts.shape[1]):
            count = counts[r, p]
            fours = (count + 3) // 4
            for t in range(count, fours * 4):
                places[r, p, t], weights[r, p, t] = places[r, p, count - 1], 0
            counts[r, p] = fours


@compiled_as_numpy_divides
def place_in_spans(counts: NDArray, places: NDArray, length: int, spans: NDArray) -> None:
    """The first place that a box reads and how many from there, int64 (R, 2); a multiple of 8 where there is room.

    Places are counted from the first afterwards.
    """
    for r in range(len(counts)):
        low, high = length, -1
        for p in range(counts.shape[1]):
            for t in range(counts[r, p] * 4):
                low, high = min(low, places[r, p, t]), max(high, places[r, p, t])
        size = (max(high - low + 1, 0) + 7) // 8 * 8
        if size > length:
            low, size = 0, length
        low = min(low, length - size)
        for p in range(counts.shape[1]):
            for t in range(counts[r, p] * 4):
                places[r, p, t] -= low
        spans[r, 0], spans[r, 1] = low, size


# Unsigned places below: a signed one may count from the end, and a loop that must ask does not vectorise.


@compiled_as_numpy_divides
def _sum_rows(
    cells: NDArray, start: int, width: int, size: int, places: NDArray, weights: NDArray, fours: int, out: NDArray
) -> None:
    """Sums ``size`` cells of some rows, each times its weight; four rows at once, as rows are short."""
    n = np.uintp(size)
    for k in range(n):
        out[k] = 0
    for t in range(0, 4 * fours, 4):
        a, b = np.uintp(start + places[t] * width), np.uintp(start + places[t + 1] * width)
        c, d = np.uintp(start + places[t + 2] * width), np.uintp(start + places[t + 3] * width)
        p, q, r, s = weights[t], weights[t + 1], weights[t + 2], weights[t + 3]
        for k in range(n):
            out[k] += (p * cells[a + k] + q * cells[b + k]) + (r * cells[c + k] + s * cells[d + k])


@compiled_as_numpy_divides
def align_planes(
    begin: int,
    end: int,
    planes: NDArray,
    images: NDArray,
    rows: NDArray,
    y: tuple[NDArray, NDArray, NDArray],
    x: tuple[NDArray, NDArray, NDArray],
    spans: NDArray,
    out: NDArray,
) -> None:
    """Channels ``begin`` to ``end`` of planes (N, C, H, W), pooled into out[rows] (…, C, h, w)."""
    y_count, y_place, y_weight = y
    x_count, x_place, x_weight = x
    h, w = y_count.shape[1], x_count.shape[1]
    width = planes.shape[3]
    line = np.empty(width, out.dtype)
    for n in range(len(planes)):
        for c in range(begin, end):
            cells = planes[n, c].reshape(-1)
            for r in range(len(images)):
                if images[r] != n:
                    continue
                target = out[rows[r], c]
                for i in range(h):
                    _sum_rows(
                        cells, spans[r, 0], width, spans[r, 1], y_place[r, i], y_weight[r, i], y_count[r, i], line
                    )
                    for j in range(w):
                        total = out.dtype.type(0)
                        for t in range(0, 4 * x_count[r, j], 4):
                            first = x_weight[r, j, t] * line[np.uintp(x_place[r, j, t])]
                            second = x_weight[r, j, t + 1] * line[np.uintp(x_place[r, j, t + 1])]
                            third = x_weight[r, j, t + 2] * line[np.uintp(x_place[r, j, t + 2])]
                            fourth = x_weight[r, j, t + 3] * line[np.uintp(x_place[r, j, t + 3])]
                            total += (first + second) + (third + fourth)
                        target[i, j] = total


@compiled_as_numpy_divides
def _add_row(cells: NDArray, start: int, size: int, weight: float, line: NDArray) -> None:
    """Adds the line, times a weight, to ``size`` cells."""
    first = np.uintp(start)
    for k in range(np.uintp(size)):
        cells[first + k] += weight * line[k]


@compiled_as_numpy_divides
def spread_planes(
    begin: int,
    end: int,
    gradients: NDArray,
    images: NDArray,
    rows: NDArray,
    y: tuple[NDArray, NDArray, NDArray],
    x: tuple[NDArray, NDArray, NDArray],
    spans: NDArray,
    planes: NDArray,
) -> None:
    """The other way: adds gradients[rows] (…, C, h, w) to channels ``begin`` to ``end`` of planes (N, C, H, W)."""
    y_count, y_place, y_weight = y
    x_count, x_place, x_weight = x
    h, w = y_count.shape[1], x_count.shape[1]
    width = planes.shape[3]
    line = np.empty(width, planes.dtype)
    for n in range(len(planes)):
        for c in range(begin, end):
            cells = planes[n, c].reshape(-1)
            for r in range(len(images)):
                if images[r] != n:
                    continue
                given, size = gradients[rows[r], c], spans[r, 1]
                for i in range(h):
                    for k in range(np.uintp(size)):
                        line[k] = 0
                    for j in range(w):
                        value = given[i, j]
                        for t in range(4 * x_count[r, j]):
                            line[np.uintp(x_place[r, j, t])] += x_weight[r, j, t] * value
                    for t in range(4 * y_count[r, i]):
                        weight = y_weight[r, i, t]
                        if weight != 0:
                            _add_row(cells, spans[r, 0] + y_place[r, i, t] * width, size, weight, line)


@compiled_as_numpy_divides
def bin_edges(first: NDArray, last: NDArray, length: int, edges: NDArray, kind: NDArray) -> None:
    """Where bins of whole cells begin and end: edges (R, P, 2). ``first``, ``last`` (R,): a box's, both included.

    In the kind of number of ``kind``, as torchvision has it: bins may share a cell or have none.
    """
    number = kind.dtype.type
    count = edges.shape[1]
    for r in range(len(first)):
        side = number(max(last[r] - first[r] + 1, 1)) / number(count)
        for p in range(count):
            begin, end = math.floor(number(p) * side), math.ceil(number(p + 1) * side)
            edges[r, p, 0] = min(max(begin + first[r], 0), length)
            edges[r, p, 1] = min(max(end + first[r], 0), length)


@compiled_as_numpy_divides
def pool_planes(
    begin: int, end: int, planes: NDArray, images: NDArray, y: NDArray, x: NDArray, out: NDArray, best: NDArray
) -> None:
    """The maxima of channels ``begin`` to ``end`` of planes (N, C, H, W): out, and where they are, best (R, C, h, w).

    ``y`` (R, h, 2), ``x`` (R, w, 2): edges of the bins. −1: a bin without cells.
    """
    width = planes.shape[3]
    for n in range(len(planes)):
        for c in range(begin, end):
            cells = planes[n, c].reshape(-1)
            for r in range(len(images)):
                if images[r] != n:
                    continue
                target, where = out[r, c], best[r, c]
                for i in range(y.shape[1]):
                    for j in range(x.shape[1]):
                        place, highest = -1, out.dtype.type(-np.inf)
                        for row in range(y[r, i, 0], y[r, i, 1]):
                            for at in range(row * width + x[r, j, 0], row * width + x[r, j, 1]):
                                value = cells[np.uintp(at)]
                                if value > highest:
                                    place, highest = at, value
                        target[i, j] = highest if place >= 0 else out.dtype.type(0)
                        where[i, j] = place


@compiled_as_numpy_divides
def unpool_planes(begin: int, end: int, gradients: NDArray, images: NDArray, best: NDArray, planes: NDArray) -> None:
    """The other way: adds each gradient (R, C, h, w) to the cell of planes (N, C, H · W) that was highest."""
    for r in range(len(images)):
        for c in range(begin, end):
            for i in range(gradients.shape[2]):
                for j in range(gradients.shape[3]):
                    if best[r, c, i, j] >= 0:
                        planes[images[r], c, best[r, c, i, j]] += gradients[r, c, i, j]
