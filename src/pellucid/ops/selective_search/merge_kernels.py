"""The hierarchical grouping: the most similar neighbours become one region until one is left; compiled.

Regions are nodes, numbered as they come about: the first n, then one for each merger. A node's histograms and list of
neighbours lie in a row, which the merged node takes over from one of its two parts; neighbours are named by first
regions, whose row of today a union-find tells, so that no list of a third region changes at a merger.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled


@compiled
def common(p: NDArray, q: NDArray, begin: int, end: int) -> float:
    """The intersection of two histograms: the sum of the smaller of each two bins."""
    shared = 0.0
    for i in range(begin, end):
        shared += min(p[i], q[i])
    return shared


@compiled
def similarity(
    histograms: NDArray,
    split: int,
    measures: NDArray,
    pixels: int,
    rows: tuple[int, int],
    sizes: tuple[int, int],
    p: NDArray,
    q: NDArray,
) -> float:
    """The sum of the ``measures`` (colour, texture, size, fill: 4 flags) of two regions, of ``sizes``, boxes p and q.

    Their histograms are ``rows`` of (n, ·), colour up to ``split``, then texture. ``pixels``: the image's size.
    """
    total = 0.0
    if measures[0]:
        total += common(histograms[rows[0]], histograms[rows[1]], 0, split)
    if measures[1]:
        total += common(histograms[rows[0]], histograms[rows[1]], split, histograms.shape[1])
    both = sizes[0] + sizes[1]
    if measures[2]:
        total += 1 - both / pixels
    if measures[3]:
        wide = max(p[2], q[2]) - min(p[0], q[0])
        tall = max(p[3], q[3]) - min(p[1], q[1])
        total += 1 - (np.int64(wide) * np.int64(tall) - both) / pixels
    return total


@compiled
def _before(keys: NDArray, pairs: NDArray, i: int, j: int) -> bool:
    """Whether pair i is more similar than pair j; of equals the one of older regions."""
    if keys[i] != keys[j]:
        return keys[i] > keys[j]
    if pairs[i, 0] != pairs[j, 0]:
        return pairs[i, 0] < pairs[j, 0]
    return pairs[i, 1] < pairs[j, 1]


@compiled
def _swap(keys: NDArray, pairs: NDArray, i: int, j: int) -> None:
    keys[i], keys[j] = keys[j], keys[i]
    pairs[i, 0], pairs[j, 0] = pairs[j, 0], pairs[i, 0]
    pairs[i, 1], pairs[j, 1] = pairs[j, 1], pairs[i, 1]


@compiled
def _rise(keys: NDArray, pairs: NDArray, i: int) -> None:
    while i > 0 and _before(keys, pairs, i, (i - 1) // 2):
        _swap(keys, pairs, i, (i - 1) // 2)
        i = (i - 1) // 2


@compiled
def _drop_top(keys: NDArray, pairs: NDArray, held: int) -> None:
    """Takes the first pair of the heap away: the last one comes to the top and sinks."""
    last = held - 1
    keys[0], pairs[0, 0], pairs[0, 1] = keys[last], pairs[last, 0], pairs[last, 1]
    i = 0
    while 2 * i + 1 < last:
        child = 2 * i + 1
        if child + 1 < last and _before(keys, pairs, child + 1, child):
            child += 1
        if not _before(keys, pairs, child, i):
            break
        _swap(keys, pairs, child, i)
        i = child


@compiled
def _root(parent: NDArray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@compiled
def grouped(
    first_sizes: NDArray,
    first_boxes: NDArray,
    first_histograms: NDArray,
    split: int,
    neighbours: NDArray,
    measures: NDArray,
    pixels: int,
) -> tuple[NDArray, NDArray]:
    """Boxes of all nodes, int32 (2n − 1, 4), as they come about; and the two parts of each merger, int32 (n − 1, 2).

    ``neighbours``: int32 (E, 2), each pair of touching regions once, the smaller number first; they connect all.
    """
    n = len(first_sizes)
    boxes = np.empty((2 * n - 1, 4), dtype=np.int32)
    boxes[:n] = first_boxes
    sizes = np.empty(2 * n - 1, dtype=np.int64)
    sizes[:n] = first_sizes
    alive = np.ones(2 * n - 1, dtype=np.bool_)
    parts = np.empty((n - 1, 2), dtype=np.int32)
    histograms = first_histograms.copy()
    with_histograms = measures[0] or measures[1]

    row_of_node = np.arange(2 * n - 1)
    node_of_row = np.arange(n)
    parent = np.arange(n)
    links = 2 * len(neighbours)
    target, following = np.empty(links, dtype=np.int32), np.full(links, -1, dtype=np.int32)
    head, tail = np.full(n, -1, dtype=np.int32), np.full(n, -1, dtype=np.int32)
    held = len(neighbours)
    keys, pairs = np.empty(2 * held + 1), np.empty((2 * held + 1, 2), dtype=np.int32)
    for e in range(held):
        for side in range(2):
            mine, link = neighbours[e, side], 2 * e + side
            target[link] = neighbours[e, 1 - side]
            if head[mine] < 0:
                head[mine] = link
            else:
                following[tail[mine]] = link
            tail[mine] = link
        a, b = neighbours[e]
        pairs[e, 0], pairs[e, 1] = a, b
        keys[e] = similarity(histograms, split, measures, pixels, (a, b), (sizes[a], sizes[b]), boxes[a], boxes[b])
        _rise(keys, pairs, e)

    seen = np.full(n, -1, dtype=np.int32)
    for node in range(n, 2 * n - 1):
        while not (alive[pairs[0, 0]] and alive[pairs[0, 1]]):
            _drop_top(keys, pairs, held)
            held -= 1
        a, b = pairs[0, 0], pairs[0, 1]
        alive[a] = alive[b] = False
        parts[node - n, 0], parts[node - n, 1] = a, b
        sizes[node] = sizes[a] + sizes[b]
        for i in range(2):
            boxes[node, i] = min(boxes[a, i], boxes[b, i])
            boxes[node, i + 2] = max(boxes[a, i + 2], boxes[b, i + 2])
        mine, other = row_of_node[a], row_of_node[b]
        parent[other] = mine
        row_of_node[node], node_of_row[mine] = mine, node
        if with_histograms:
            share = np.float32(sizes[a] / sizes[node])
            for i in range(histograms.shape[1]):
                histograms[mine, i] = histograms[mine, i] * share + histograms[other, i] * (np.float32(1) - share)

        following[tail[mine]] = head[other]
        link, kept = head[mine], -1
        while link >= 0:
            after = following[link]
            row = _root(parent, target[link])
            if row != mine and seen[row] != node:
                seen[row] = node
                if kept < 0:
                    head[mine] = link
                else:
                    following[kept] = link
                kept = link
                if held == len(keys):
                    more_keys, more_pairs = np.empty(2 * held), np.empty((2 * held, 2), dtype=np.int32)
                    more_keys[:held], more_pairs[:held] = keys, pairs
                    keys, pairs = more_keys, more_pairs
                near = node_of_row[row]
                pairs[held, 0], pairs[held, 1] = near, node
                keys[held] = similarity(
                    histograms,
                    split,
                    measures,
                    pixels,
                    (row, mine),
                    (sizes[near], sizes[node]),
                    boxes[near],
                    boxes[node],
                )
                _rise(keys, pairs, held)
                held += 1
            link = after
        if kept >= 0:
            following[kept] = -1
        tail[mine] = kept
    return boxes, parts
