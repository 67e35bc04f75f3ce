"""Overlaps that are not of boxes: masks, boundaries of masks, keypoints; computed once, kept in one flat array."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from pellucid.errors import PellucidError
from pellucid.metrics.detection.protocol import Geometry
from pellucid.structures import FLAG_BITS, Mask, ObjectColumns, RunLengths
from pellucid.structures.masks import as_pixels, as_run_lengths

Overlap = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
"""Of some detections with some truths, by their rows: (D, G)."""


def flat_overlaps(
    detections: ObjectColumns, truths: ObjectColumns, geometry: Geometry, *, across: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Every detection's overlaps with the truths of its class and image, in their order, one after another.

    ``across``: those with the image's other truths stand around them, class by class. Gives the values, and int64 (M,),
    where those of each detection with its own class begin.
    """
    overlap = _overlap(detections, truths, geometry)
    starts = np.zeros(len(detections.labels), dtype=np.int64)
    parts: list[NDArray[np.float64]] = []
    at = 0
    for image in range(len(truths)):
        d = np.arange(detections.first[image], detections.first[image + 1])
        t = np.arange(truths.first[image], truths.first[image + 1])
        if len(d) == 0 or len(t) == 0:
            continue
        if across:
            t = t[np.argsort(truths.labels[t], kind="stable")]
            values = overlap(d, t)
            starts[d] = at + np.arange(len(d)) * len(t) + np.searchsorted(truths.labels[t], detections.labels[d])
            at += values.size
            parts.append(values.ravel())
            continue
        for label in np.intersect1d(detections.labels[d], truths.labels[t]).tolist():
            rows = d[detections.labels[d] == label]
            others = t[truths.labels[t] == label]
            values = overlap(rows, others)
            starts[rows] = at + np.arange(len(rows)) * len(others)
            at += values.size
            parts.append(values.ravel())
    return (np.concatenate(parts) if parts else np.zeros(0)), starts


def _overlap(detections: ObjectColumns, truths: ObjectColumns, geometry: Geometry) -> Overlap:
    if geometry == "keypoints":
        return _Keypoints(detections, truths)
    return _Masks(detections, truths, boundaries=geometry == "boundaries")


class _Masks:
    """IoU of masks; with ``boundaries`` the smaller of it and boundary IoU, but for crowds (Cheng et al. 2021)."""

    def __init__(self, detections: ObjectColumns, truths: ObjectColumns, *, boundaries: bool) -> None:
        self.detections, self.truths, self.boundaries = detections, truths, boundaries

    def __call__(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        found = [_mask(self.detections, row) for row in rows.tolist()]
        there = [_mask(self.truths, row) for row in others.tolist()]
        for mask, row in zip(found, rows.tolist(), strict=True):
            if mask.size != there[0].size:
                raise PellucidError(
                    f"{self.detections.source or 'predictions'}: {self.detections.place(row)}: its mask is of "
                    f"{mask.size[0]} × {mask.size[1]} pixels, the truth's of {there[0].size[0]} × {there[0].size[1]}; "
                    "write masks of the image's size"
                )
        crowd = (self.truths.flags[others] & FLAG_BITS["crowd"]) != 0
        ours, theirs = [m.for_pycocotools for m in found], [m.for_pycocotools for m in there]
        values = np.asarray(coco.iou(ours, theirs, crowd.astype(np.uint8).tolist()), dtype=np.float64)
        if not self.boundaries:
            return values
        from pellucid.metrics.boundary import boundary, boundary_distance

        distance = boundary_distance(there[0].size)
        bands = [
            [RunLengths.from_mask(boundary(as_pixels(mask), distance)).for_pycocotools for mask in masks]
            for masks in (found, there)
        ]
        edges = np.asarray(coco.iou(*bands, [0] * len(there)), dtype=np.float64)
        return np.where(crowd[None, :], values, np.minimum(values, edges))


def _mask(columns: ObjectColumns, row: int) -> RunLengths:
    mask: Mask | None = None if columns.mask is None else columns.mask(row)
    if mask is None:
        raise PellucidError(
            f"{columns.source or 'these annotations'}: {columns.place(row)}: has no mask; score boxes, or give masks"
        )
    return as_run_lengths(mask)


class _Keypoints:
    """Object keypoint similarity, as COCO's code has it."""

    def __init__(self, detections: ObjectColumns, truths: ObjectColumns) -> None:
        if truths.keypoints is None or detections.keypoints is None:
            which = truths if truths.keypoints is None else detections
            raise PellucidError(f"{which.source or 'these annotations'}: has no keypoints; score boxes, or give them")
        K, of = truths.keypoints.shape[1], detections.keypoints.shape[1]
        if of != K:
            raise PellucidError(f"{detections.source or 'predictions'}: {of} keypoints an object, but {K} in the truth")
        self.detections, self.truths = detections, truths
        self.sigmas = keypoint_sigmas(K)

    def __call__(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
        assert self.truths.keypoints is not None
        assert self.detections.keypoints is not None
        assert self.truths.areas is not None
        made = np.zeros((len(rows), len(others)))
        points = self.detections.keypoints[rows]
        variances = (self.sigmas * 2) ** 2
        for column, row in enumerate(others.tolist()):
            x, y, seen = self.truths.keypoints[row].T
            labelled = seen > 0
            if labelled.any():
                dx, dy = points[:, :, 0] - x, points[:, :, 1] - y
            else:
                left, top, width, height = self.truths.boxes[row]
                dx = _beyond(points[:, :, 0], left - width, left + width * 2)
                dy = _beyond(points[:, :, 1], top - height, top + height * 2)
            e = (dx**2 + dy**2) / variances / (self.truths.areas[row] + np.spacing(1)) / 2
            # Row by row in memory, so that each sum is rounded as COCO's code rounds it.
            chosen = np.ascontiguousarray(e[:, labelled]) if labelled.any() else e
            made[:, column] = np.exp(-chosen).sum(1) / chosen.shape[1]
        return made


def _beyond(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """How far values lie outside an interval."""
    return np.maximum(0, low - values) + np.maximum(0, values - high)


COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""How far annotators of COCO's 17 keypoints of a person disagree, in shares of the object's scale."""


def keypoint_sigmas(count: int) -> NDArray[np.float64]:
    """COCO's for 17 keypoints, the mean of them for any other number, (count,)."""
    return COCO_SIGMAS if count == len(COCO_SIGMAS) else np.full(count, COCO_SIGMAS.mean())
