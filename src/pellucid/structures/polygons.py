"""Polygons of masks: checked, rasterised as COCO does, and traced back from pixels along their edges."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco
from scipy import ndimage

from pellucid.errors import PellucidError
from pellucid.structures.run_lengths import MOST_PIXELS, RunLengths

_FAR = 1e5
"""How far from the image's corner, in pixels, a point may lie: COCO's rasteriser steps along every edge at five times
the image's resolution, so that a point at 1e12 would hang it."""

_LONGEST = 4e6
"""The longest outline of a mask, in pixels, for the same reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Polygons:
    """One mask as the union of polygons in continuous pixel coordinates.

    ``size``: (H, W) of the image. ``parts``: float64 (P, 2) x and y of three points or more each.
    """

    size: tuple[int, int]
    parts: tuple[NDArray[np.float64], ...]

    @classmethod
    def from_lists(cls, parts: Sequence[Any], size: tuple[int, int]) -> "Polygons":
        """From COCO's lists x1, y1, x2, y2, …, one a part.

        Raises PellucidError for no part, fewer than three points, an odd count, and what is no finite number.
        """
        if size[0] * size[1] > MOST_PIXELS:
            raise PellucidError(f"a mask of {size[0]} × {size[1]} pixels is larger than any image")
        made = []
        for part in parts:
            try:
                points = np.array(part, dtype=np.float64)
            except (ValueError, TypeError, OverflowError) as error:
                raise PellucidError("a polygon is not a list of numbers") from error
            if points.ndim == 1 and len(points) % 2 == 0:
                points = points.reshape(-1, 2)
            if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
                raise PellucidError("a polygon needs three points or more, each an x and a y")
            if not np.isfinite(points).all() or np.abs(points).max() > _FAR:
                raise PellucidError("a polygon has a point that is not a number, or far outside any image")
            made.append(points)
        if not made:
            raise PellucidError("a mask of polygons holds none")
        if sum(float(np.abs(np.diff(points, axis=0)).max(1).sum()) for points in made) > _LONGEST:
            raise PellucidError("a polygon's outline is longer than any object's")
        return cls(size, tuple(made))

    def to_run_lengths(self) -> RunLengths:
        """Rasterised as COCO does: each part on a grid five times as fine, all parts joined."""
        H, W = self.size
        if not self.parts:
            return RunLengths.from_counts([H * W], self.size)
        flat = [part.ravel().tolist() for part in self.parts]
        made = coco.merge(coco.frPyObjects(flat, H, W))
        return RunLengths(self.size, made["counts"])

    def to_mask(self) -> NDArray[np.bool_]:
        """The pixels: bool (H, W)."""
        return self.to_run_lengths().to_mask()

    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 around all points."""
        points = np.concatenate(self.parts)
        (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
        return x1, y1, x2, y2

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> "Polygons":
        """The outlines of pixels, bool (H, W), along their edges: rasterised again, they give the same pixels.

        One polygon for each 4-connected part; a hole is joined to the outline around it by an edge that goes there and
        back. A mask without pixels has no part.
        """
        H, W = mask.shape
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows) == 0:
            return cls((H, W), ())
        top, left = rows[0], columns[0]
        corner = np.array((left, top), dtype=np.float64)
        loops = _outlines(mask[top : rows[-1] + 1, left : columns[-1] + 1])
        return cls((H, W), tuple(_joined(loop) + corner for loop in loops))


def _outlines(mask: NDArray[np.bool_]) -> list[list[NDArray[np.float64]]]:
    """For each 4-connected part its closed loops of corners (P, 2), the outer one first, the inside on their right."""
    W = mask.shape[1]
    inside = np.pad(mask, 1)
    above, below = inside[:-1], inside[1:]
    # The pixels around each of the (H + 1) × (W + 1) corners.
    upper_left, upper_right, lower_left, lower_right = above[:, :-1], above[:, 1:], below[:, :-1], below[:, 1:]
    leaves = np.stack(
        (
            lower_right & ~upper_right,  # to the right, along the top of a pixel
            lower_left & ~lower_right,  # downwards, along its right side
            upper_left & ~lower_left,  # to the left
            upper_right & ~upper_left,  # upwards
        )
    ).reshape(4, -1)
    step = (1, W + 1, -1, -(W + 1))
    turn = np.zeros(leaves.shape, dtype=np.int64)  # the direction after an edge, +4 where it bends
    for direction in range(4):
        starts = np.flatnonzero(leaves[direction])
        ends = starts + step[direction]
        right, left = (direction + 1) % 4, (direction + 3) % 4
        # At a corner where two parts touch, the right turn stays with its own pixel.
        after = np.where(leaves[right, ends], right, np.where(leaves[direction, ends], direction, left))
        turn[direction, starts] = after + 4 * (after != direction)
    parts, _ = ndimage.label(mask)
    pixel = ((0, 0), (0, -1), (-1, -1), (-1, 0))  # the inside pixel of an edge, from its start
    loops: dict[int, list[NDArray[np.float64]]] = {}
    todo = leaves.tolist()
    turns = turn.tolist()
    # A part's topmost edges are on its outer loop, and corners come row by row, so that the outer loop comes first.
    for corner in np.flatnonzero(leaves[0]).tolist():
        if not todo[0][corner]:
            continue
        row, column = divmod(corner, W + 1)
        part = int(parts[row + pixel[0][0], column + pixel[0][1]])
        points: list[int] = []
        at, direction = corner, 0
        while todo[direction][at]:
            todo[direction][at] = False
            turned = turns[direction][at]
            at += step[direction]
            direction = turned % 4
            if turned >= 4:
                points.append(at)
        ys, xs = np.divmod(np.array(points), W + 1)
        loops.setdefault(part, []).append(np.stack((xs, ys), 1).astype(np.float64))
    return list(loops.values())


def _joined(loops: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One closed loop: from the first one's start to each hole, around it, and back."""
    outer, *holes = loops
    made = [outer]
    for hole in holes:
        made += [outer[:1], hole, hole[:1]]
    return np.concatenate([*made, outer[:1]]) if holes else outer
