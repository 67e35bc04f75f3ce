"""Loops of the graph-based segmentation: the grid's edges, their order, and the joining of regions, compiled."""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled

DIGIT = 11
"""Bits a pass of the radix sort; three passes hold the 31 bits of a float32 that is not negative."""


@compiled
def grid_edges(channels: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """The edges of the grid with eight neighbours over float32 (C, H, W): both pixels of each, and their distance."""
    C, H, W = channels.shape
    count = H * (W - 1) + (H - 1) * W + 2 * (H - 1) * (W - 1)
    first, second = np.empty(count, dtype=np.int32), np.empty(count, dtype=np.int32)
    weights = np.empty(count, dtype=np.float32)
    e = 0
    for y in range(H):
        for x in range(W):
            for way in range(4):  # right, down, down right, up right
                yy = y + (way == 1) + (way == 2) - (way == 3)
                xx = x + (way != 1)
                if yy < 0 or yy >= H or xx >= W:
                    continue
                squares = np.float32(0)
                for c in range(C):
                    step = channels[c, y, x] - channels[c, yy, xx]
                    squares += step * step
                first[e], second[e], weights[e] = y * W + x, yy * W + xx, np.sqrt(squares)
                e += 1
    return first, second, weights


@compiled
def in_order(weights: NDArray) -> NDArray:
    """The indices that sort float32 weights, none negative or NaN, from the least; equal ones stay in their order.

    A radix sort: the bits of such floats, read as whole numbers, are in the same order as the floats.
    """
    bits = weights.view(np.uint32)
    count = len(bits)
    keys, other_keys = bits.copy(), np.empty_like(bits)
    order, other_order = np.arange(count).astype(np.int32), np.empty(count, dtype=np.int32)
    last = np.uint32((1 << DIGIT) - 1)
    for turn in range(3):
        shift = np.uint32(turn * DIGIT)
        place = np.zeros((1 << DIGIT) + 1, dtype=np.int64)
        for i in range(count):
            place[((keys[i] >> shift) & last) + 1] += 1
        for digit in range(1 << DIGIT):
            place[digit + 1] += place[digit]
        for i in range(count):
            digit = (keys[i] >> shift) & last
            other_keys[place[digit]] = keys[i]
            other_order[place[digit]] = order[i]
            place[digit] += 1
        keys, other_keys = other_keys, keys
        order, other_order = other_order, order
    return order


@compiled
def _root(parent: NDArray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def joined(
    pixels: int, first: NDArray, second: NDArray, weights: NDArray, order: NDArray, k: float, min_size: int
) -> tuple[NDArray, int]:
    """The region of every pixel, numbered from 0 as the pixels come, int32 (pixels,); and how many there are."""
    parent = np.arange(pixels).astype(np.int32)
    size = np.ones(pixels, dtype=np.int32)
    bound = np.full(pixels, np.float32(k))
    between = np.empty(len(order), dtype=np.int32)  # the few edges that may still lie between two regions
    left = 0
    for e in order:
        a, b = _root(parent, first[e]), _root(parent, second[e])
        if a == b:
            continue
        w = weights[e]
        if w <= bound[a] and w <= bound[b]:
            if size[a] < size[b]:
                a, b = b, a
            parent[b] = a
            size[a] += size[b]
            bound[a] = w + np.float32(k) / size[a]
        else:
            between[left] = e
            left += 1
    if min_size > 1:
        for e in between[:left]:
            a, b = _root(parent, first[e]), _root(parent, second[e])
            if a != b and (size[a] < min_size or size[b] < min_size):
                if size[a] < size[b]:
                    a, b = b, a
                parent[b] = a
                size[a] += size[b]
    number = np.full(pixels, -1, dtype=np.int32)
    labels = np.empty(pixels, dtype=np.int32)
    count = 0
    for i in range(pixels):
        a = _root(parent, i)
        if number[a] < 0:
            number[a] = count
            count += 1
        labels[i] = number[a]
    return labels, count
