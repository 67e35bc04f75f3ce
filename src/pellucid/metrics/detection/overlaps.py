"""Overlaps that are not of boxes: masks, boundaries of masks, keypoints; computed once, kept in one flat array."""

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.boundary import boundary, boundary_distance
from pellucid.metrics.detection.kernels import sort_into_groups
from pellucid.metrics.detection.mask_overlaps import mask_overlaps
from pellucid.metrics.detection.protocol import Geometry
from pellucid.structures import FLAG_BITS, ObjectColumns, RunLengths
from pellucid.structures.run_tables import RunTable, from_texts, run_table


def flat_overlaps(
    detections: ObjectColumns, truths: ObjectColumns, geometry: Geometry, *, across: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Every detection's overlaps with the truths of its class and image, in their order, one after another.

    ``across``: those with the image's other truths stand around them, class by class. Gives the values, and int64 (M,),
    where those of each detection with its own class begin. Raises PellucidError where masks or keypoints are missing,
    and for masks of another size than the truth's.
    """
    rows, others, starts = _pairs(detections, truths, across)
    if geometry == "keypoints":
        return keypoint_similarities(detections, truths, rows, others), starts
    ours, theirs = _table(detections), _table(truths)
    _check_sizes(detections, truths, (ours, theirs), (rows, others))
    crowd = (truths.flags[others] & FLAG_BITS["crowd"]) != 0
    values = mask_overlaps(ours, theirs, rows, others, crowd)
    if geometry == "masks":
        return values, starts
    edges = mask_overlaps(_bands(ours), _bands(theirs), rows, others, np.zeros(len(rows), dtype=bool))
    return np.where(crowd, values, np.minimum(values, edges)), starts


def _pairs(
    detections: ObjectColumns, truths: ObjectColumns, across: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The pairs to compare, detection by detection: rows of both, and where each detection's own class begins."""
    K, N = len(truths.classes), len(truths)
    by_label, begins = sort_into_groups(np.arange(len(truths.labels)), truths.images * K + truths.labels, N * K)
    images = detections.images
    own = images * K + detections.labels
    low, high = begins[own], begins[own + 1]
    own_begin = low
    if across:
        low, high = truths.first[images], truths.first[images + 1]
    counts = high - low
    at = np.concatenate(([0], np.cumsum(counts)))
    rows = np.repeat(np.arange(len(own)), counts)
    others = by_label[np.arange(at[-1]) + np.repeat(low - at[:-1], counts)]
    return rows, others, at[:-1] + own_begin - low


def _table(columns: ObjectColumns) -> RunTable:
    """The masks of all rows. Raises PellucidError for the first that has none, or a broken one."""
    table, broken = run_table(columns)
    if broken:
        row, why = next(iter(broken.items()))
        source = columns.source or "these annotations"
        raise PellucidError(f"{source}: {columns.place(row)}: {why}; score boxes, or give whole masks")
    return table


def _check_sizes(
    detections: ObjectColumns,
    truths: ObjectColumns,
    tables: tuple[RunTable, RunTable],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> None:
    sizes = tables[0].sizes[pairs[0]], tables[1].sizes[pairs[1]]
    differing = np.flatnonzero((sizes[0] != sizes[1]).any(1))
    if len(differing):
        (H, W), (h, w) = (side[differing[0]].tolist() for side in sizes)
        raise PellucidError(
            f"{detections.source or 'predictions'}: {detections.place(int(pairs[0][differing[0]]))}: its mask is of "
            f"{H} × {W} pixels, the truth's of {h} × {w}; write masks of the image's size"
        )


def _bands(table: RunTable) -> RunTable:
    """The boundary of each mask, as wide as its image asks for (Cheng et al. 2021)."""
    texts = []
    for row, (H, W) in enumerate(table.sizes.tolist()):
        texts.append(RunLengths.from_mask(boundary(table(row).to_mask(), boundary_distance((H, W)))).counts)
    return from_texts(texts, table.sizes)[0]


def keypoint_similarities(
    detections: ObjectColumns, truths: ObjectColumns, rows: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Object keypoint similarity of detections ``rows`` with truths ``others``, pair by pair, as COCO's code has it."""
    if len(rows) == 0:
        return np.zeros(0)
    for columns in (truths, detections):
        if columns.keypoints is None:
            source = columns.source or "these annotations"
            raise PellucidError(f"{source}: has no keypoints; score boxes, or give them")
    there, found = truths.keypoints, detections.keypoints
    assert there is not None
    assert found is not None
    assert truths.areas is not None
    if there.shape[1] != found.shape[1]:
        raise PellucidError(
            f"{detections.source or 'predictions'}: {found.shape[1]} keypoints an object, but {there.shape[1]} in the "
            "truth; predict those"
        )
    variances = (keypoint_sigmas(there.shape[1]) * 2) ** 2
    made = np.zeros(len(rows))
    by_truth = np.argsort(others, kind="stable")
    for pairs in np.split(by_truth, np.flatnonzero(np.diff(others[by_truth])) + 1):
        row = int(others[pairs[0]])
        points = found[rows[pairs]]
        x, y, seen = there[row].T
        labelled = seen > 0
        if labelled.any():
            dx, dy = points[:, :, 0] - x, points[:, :, 1] - y
        else:
            left, top, width, height = truths.boxes[row]
            dx = _beyond(points[:, :, 0], left - width, left + width * 2)
            dy = _beyond(points[:, :, 1], top - height, top + height * 2)
        e = (dx**2 + dy**2) / variances / (truths.areas[row] + np.spacing(1)) / 2
        # Row by row in memory, so that each sum is rounded as COCO's code rounds it.
        chosen = np.ascontiguousarray(e[:, labelled]) if labelled.any() else e
        made[pairs] = np.exp(-chosen).sum(1) / chosen.shape[1]
    return made


def _beyond(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """How far values lie outside an interval."""
    return np.maximum(0, low - values) + np.maximum(0, values - high)


COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""How far annotators of COCO's 17 keypoints of a person disagree, in shares of the object's scale."""


def keypoint_sigmas(count: int) -> NDArray[np.float64]:
    """COCO's for 17 keypoints, the mean of them for any other number, (count,)."""
    return COCO_SIGMAS if count == len(COCO_SIGMAS) else np.full(count, COCO_SIGMAS.mean())
