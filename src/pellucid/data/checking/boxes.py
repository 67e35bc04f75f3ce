"""Defects of boxes and keypoints among themselves: objects boxed twice, keypoints that lie elsewhere."""

import numpy as np
from numpy.typing import NDArray

from pellucid.data.defects import Defects
from pellucid.data.records import Records
from pellucid.structures import FLAG_BITS, Classes

SAME = 0.8
"""The intersection over union above which two boxes of a class are taken to be of one object."""

_AT_ONCE = 1 << 20
_MANY = FLAG_BITS["crowd"] | FLAG_BITS["group_of"]
_SLACK = 1.0


def ious(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of boxes (N, 4) with others (M, 4), xyxy: (N, M)."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = np.clip(end - corner, 0, None).prod(-1)
    areas = [(b[:, 2:] - b[:, :2]).prod(-1) for b in (boxes, others)]
    return inside / np.maximum(areas[0][:, None] + areas[1][None] - inside, 1e-12)


def repeated(
    boxes: NDArray[np.float64], labels: NDArray[np.int64], flags: NDArray[np.uint8]
) -> list[tuple[int, int, float]]:
    """The boxes of an image that repeat an earlier one: (earlier, later, IoU), each later one once.

    Of one class: of an IoU above ``SAME``; of two classes: equal. Crowds and groups, which lie over what they hold, are
    left out. Boxes without an extent compare by their corners.
    """
    n = len(boxes)
    found: list[tuple[int, int, float]] = []
    block = max(1, _AT_ONCE // max(n, 1))
    single = (flags & _MANY) == 0
    for start in range(0, n, block):
        rows = slice(start, min(n, start + block))
        overlap = ious(boxes[rows], boxes)
        equal = (boxes[rows, None] == boxes[None]).all(-1)
        overlap[equal] = 1
        alike = equal | ((labels[rows, None] == labels[None]) & (overlap > SAME))
        alike &= (single[rows, None] & single[None]) & (np.arange(n)[None] < np.arange(n)[rows, None])
        for at in np.flatnonzero(alike.any(1)).tolist():
            candidates = np.flatnonzero(alike[at])
            best = int(candidates[overlap[at, candidates].argmax()])
            found.append((best, start + at, float(overlap[at, best])))
    return found


def check_boxes(records: Records, defects: Defects) -> None:
    """Notes the objects that are boxed twice."""
    many = np.flatnonzero(np.diff(records.first) > 1)
    for image in many.tolist():
        first, end = int(records.first[image]), int(records.first[image + 1])
        rows = slice(first, end)
        for a, b, overlap in repeated(records.boxes[rows], records.labels[rows], records.flags[rows]):
            one, two = int(records.labels[first + a]), int(records.labels[first + b])
            if one != two and _related(records.classes, one, two):
                continue
            file, item = records.place(image, first + b)
            what = f"is the box of {records.item(first + a)} again (IoU {overlap:.2f})"
            if one != two:
                what += f", once as {records.classes[one]} and once as {records.classes[two]}"
            defects.add("duplicate box", file, item, what)


def _related(classes: Classes, one: int, two: int) -> bool:
    """Whether one class is above the other, so that both are true of an object."""
    return two in classes.ancestors(one) or one in classes.ancestors(two)


def check_keypoints(records: Records, image: int, size: tuple[int, int], defects: Defects) -> None:
    """Notes labelled keypoints beyond the image, and those further from their box than half its longer side."""
    if records.keypoints is None:
        return
    H, W = size
    for row in range(int(records.first[image]), int(records.first[image + 1])):
        points = records.keypoints[row].astype(np.float64)
        labelled = points[:, 2] > 0
        x, y = points[:, 0], points[:, 1]
        off = labelled & ((x < -_SLACK) | (y < -_SLACK) | (x > W + _SLACK) | (y > H + _SLACK))
        x1, y1, x2, y2 = records.boxes[row].tolist()
        reach = max(x2 - x1, y2 - y1) / 2 + _SLACK
        far = labelled & ~off & ((x < x1 - reach) | (y < y1 - reach) | (x > x2 + reach) | (y > y2 + reach))
        for found, where in ((off, f"beyond the image of {W} × {H}"), (far, "far from the box")):
            if found.any():
                names = [_point(records, row, k) for k in np.flatnonzero(found).tolist()]
                at = int(found.argmax())
                what = f"{', '.join(names)} at x {x[at]:g}, y {y[at]:g} {'lies' if len(names) == 1 else 'lie'} {where}"
                defects.add("keypoint outside", *records.place(image, row), what)


def _point(records: Records, row: int, k: int) -> str:
    known = records.classes.keypoints[int(records.labels[row])] if records.classes.keypoints else None
    return known.names[k] if known is not None and k < len(known.names) else f"keypoint {k + 1}"
