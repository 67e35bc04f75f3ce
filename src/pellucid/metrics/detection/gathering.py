"""Truths and predictions as one protocol counts them: what cannot be scored is dropped and told."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection.protocol import Protocol
from pellucid.metrics.findings import Action, Findings
from pellucid.structures import FLAG_BITS, ObjectColumns
from pellucid.structures.run_tables import run_table

_FARTHEST = 1e9


def gather(
    truths: ObjectColumns, predictions: ObjectColumns, protocol: Protocol, findings: Findings
) -> tuple[ObjectColumns, ObjectColumns]:
    """Both as the protocol counts them, with areas and scores for every row; faults go to ``findings``."""
    truths, predictions = truths.numbered(), predictions.numbered()
    truths = _sound(truths, "truths", protocol, findings)
    predictions = _scored(_sound(predictions, "detections", protocol, findings), findings)
    if protocol.hierarchy:
        truths = with_ancestors(truths)
    if protocol.verified:
        truths, predictions = _verified(truths, predictions, findings)
    if protocol.per_image is not None and len(predictions.labels):
        predictions = _best_of_each_image(predictions, protocol.per_image)
    if protocol.federated:
        predictions = _federated(truths, predictions, findings)
    return _truth_areas(truths, protocol, findings), _own_areas(predictions, protocol, findings)


def _sound(columns: ObjectColumns, what: str, protocol: Protocol, findings: Findings) -> ObjectColumns:
    """Without boxes that are no numbers or of negative size, and classes that there are not."""
    boxes = columns.boxes
    with np.errstate(invalid="ignore"):
        faults = {
            f"{what} of an unknown class": (columns.labels < 0) | (columns.labels >= len(columns.classes)),
            f"{what} with a box that is no four numbers": ~(np.abs(boxes) < _FARTHEST).all(1),
            f"{what} with a box of negative size": (boxes[:, 2:] < 0).any(1),
        }
        if protocol.geometry in ("masks", "boundaries"):  # a box may be missing where the mask is broken: told as that
            faults[f"{what} with a box that is no four numbers"] &= ~np.isnan(boxes).all(1)
        empty = (boxes[:, 2] == 0) | (boxes[:, 3] == 0)
    if what == "detections" and protocol.empty == "drop":
        faults[f"{what} with an empty box"] = empty
    if columns.scores is not None and what == "detections":
        faults[f"{what} with a score that is no number"] = np.isnan(columns.scores)
    if columns.keypoints is not None and protocol.geometry == "keypoints":
        faults[f"{what} with keypoints that are no numbers"] = ~(np.abs(columns.keypoints) < _FARTHEST).all((1, 2))
    bad = np.zeros(len(boxes), dtype=bool)
    for kind, found in faults.items():
        _note(findings, kind, found & ~bad, columns, "dropped")
        bad |= found
    if protocol.empty == "keep" and protocol.geometry == "boxes":
        _note(findings, f"{what} with an empty box", empty & ~bad, columns, "counted as given")
    return columns.kept(~bad)


def _note(findings: Findings, kind: str, found: NDArray[np.bool_], columns: ObjectColumns, action: Action) -> None:
    rows = np.flatnonzero(found)
    findings.add(kind, [columns.place(int(row)) for row in rows[: findings.keep]], action, len(rows))


def _scored(columns: ObjectColumns, findings: Findings) -> ObjectColumns:
    if columns.scores is not None:
        return columns
    M = len(columns.labels)
    findings.add("detections without a score: each gets 1", [columns.source] if columns.source else [], "kept", M)
    return replace(columns, scores=np.ones(M))


def with_ancestors(truths: ObjectColumns) -> ObjectColumns:
    """Boxes and positive labels copied to all classes above, negative labels to all below, once each (Open Images)."""
    if not truths.classes.parents:
        return truths
    K = len(truths.classes)
    above = [truths.classes.ancestors(k) for k in range(K)]
    below: list[list[int]] = [[] for _ in range(K)]
    for k in range(K):
        for ancestor in above[k]:
            below[ancestor].append(k)
    copies = np.array([len(above[k]) for k in range(K)])[truths.labels]
    rows = np.concatenate((np.arange(len(truths.labels)), np.repeat(np.arange(len(truths.labels)), copies)))
    more = [label for k in truths.labels.tolist() for label in above[k]]
    labels = np.concatenate((truths.labels, np.array(more, dtype=np.int64)))
    images = truths.images[rows]
    order = np.argsort(images, kind="stable")
    rows, labels = rows[order], labels[order]

    def spread(known: dict[int, tuple[int, ...]], to: Callable[[int], tuple[int, ...] | list[int]]) -> dict:
        return {i: tuple(dict.fromkeys([*said, *(m for k in said for m in to(k))])) for i, said in known.items()}

    return replace(
        truths,
        first=np.concatenate(([0], np.cumsum(np.bincount(images, minlength=len(truths))))).astype(np.int64),
        boxes=truths.boxes[rows],
        labels=labels,
        flags=truths.flags[rows],
        numbers=None if truths.numbers is None else truths.numbers[rows],
        scores=None,
        areas=None if truths.areas is None else truths.areas[rows],
        keypoints=None,
        mask=_picked(truths.mask, rows),
        item=_picked(truths.item, rows),
        present=spread(truths.present, above.__getitem__),
        absent=spread(truths.absent, below.__getitem__),
    )


def _picked(read: Any, rows: NDArray[np.int64]) -> Any:
    """A reader by row, of rows that were copied."""
    return None if read is None else lambda row: read(int(rows[row]))


def _pairs(columns: ObjectColumns, labels: dict[int, tuple[int, ...]]) -> NDArray[np.int64]:
    """(image, class) pairs as single numbers."""
    K = len(columns.classes)
    return np.array([i * K + k for i, found in labels.items() for k in found], dtype=np.int64)


def _verified(
    truths: ObjectColumns, predictions: ObjectColumns, findings: Findings
) -> tuple[ObjectColumns, ObjectColumns]:
    K = len(truths.classes)
    boxed = truths.images * K + truths.labels
    known = np.concatenate((boxed, _pairs(truths, truths.present), _pairs(truths, truths.absent)))
    unverified = ~np.isin(predictions.images * K + predictions.labels, known)
    _note(findings, "detections of a class that was not verified in the image", unverified, predictions, "dropped")
    return truths, predictions.kept(~unverified)


def _federated(truths: ObjectColumns, predictions: ObjectColumns, findings: Findings) -> ObjectColumns:
    K = len(truths.classes)
    known = np.concatenate((truths.images * K + truths.labels, _pairs(truths, truths.absent)))
    unknown = ~np.isin(predictions.images * K + predictions.labels, known)
    _note(
        findings,
        "detections of a class neither annotated in the image nor known absent",
        unknown,
        predictions,
        "dropped",
    )
    return predictions.kept(~unknown)


def without_excluded(
    truths: ObjectColumns, predictions: ObjectColumns, excluded: frozenset[tuple[str, int]], findings: Findings
) -> tuple[ObjectColumns, ObjectColumns]:
    """Both without the pairs of image and class that count neither way."""
    place = {name: i for i, name in enumerate(truths.names)}
    pairs = np.array([place[name] * len(truths.classes) + k for name, k in excluded if name in place], dtype=np.int64)
    made = []
    for columns, what in ((truths, "truths"), (predictions, "detections")):
        out = np.isin(columns.images * len(truths.classes) + columns.labels, pairs)
        columns = columns.numbered()
        _note(findings, f"{what} of a class that is excluded in the image", out, columns, "dropped")
        made.append(columns.kept(~out))
    return made[0], made[1]


def _best_of_each_image(predictions: ObjectColumns, most: int) -> ObjectColumns:
    """Without those that are not among the best of their image over all classes (ties as given)."""
    if np.diff(predictions.first).max() <= most:
        return predictions
    assert predictions.scores is not None
    images = predictions.images
    order = np.lexsort((-predictions.scores, images))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - predictions.first[images[order]]
    return predictions.kept(rank < most)


def _box_areas(columns: ObjectColumns) -> NDArray[np.float64]:
    return columns.boxes[:, 2] * columns.boxes[:, 3]


def _truth_areas(truths: ObjectColumns, protocol: Protocol, findings: Findings) -> ObjectColumns:
    """With the annotated areas; where there are none, those of the masks, else of the boxes."""
    areas = np.full(len(truths.labels), np.nan) if truths.areas is None else truths.areas
    without = np.isnan(areas)
    if not without.any():
        return replace(truths, areas=areas)
    made = np.where(without, _box_areas(truths), areas)
    ranged = any(bounds[0] > 0 or math.isfinite(bounds[1]) for bounds in protocol.areas.values())
    if truths.mask is not None and ranged:
        table, broken = run_table(truths.kept(without))
        whole = np.ones(len(table), dtype=bool)
        whole[list(broken)] = False
        made[np.flatnonzero(without)[whole]] = table.areas[whole]
    elif ranged:
        _note(findings, "truths without an area: that of the box is taken", without, truths, "kept")
    return replace(truths, areas=made)


def _own_areas(predictions: ObjectColumns, protocol: Protocol, findings: Findings) -> ObjectColumns:
    """With the areas that say whether an unmatched detection counts: of box or mask, or around the keypoints."""
    if protocol.geometry in ("masks", "boundaries"):
        if predictions.mask is None and len(predictions.labels):
            raise PellucidError(f"{predictions.source or 'predictions'}: have no masks; score boxes, or give masks")
        table, broken = run_table(predictions)
        for row, why in broken.items():
            findings.add("detections with a mask that cannot be read", f"{predictions.place(row)} ({why})")
        sound = np.ones(len(table), dtype=bool)
        sound[list(broken)] = False
        return replace(predictions, areas=table.areas.astype(np.float64), mask=table).kept(sound)
    if protocol.geometry == "keypoints" and predictions.keypoints is not None:
        points = predictions.keypoints[:, :, :2]
        spread = points.max(1) - points.min(1) if points.shape[1] else np.zeros((len(points), 2))
        return replace(predictions, areas=spread[:, 0] * spread[:, 1])
    return replace(predictions, areas=_box_areas(predictions))


def spared(truths: ObjectColumns, predictions: ObjectColumns, protocol: Protocol) -> NDArray[np.bool_]:
    """bool (M,): the detections that are ignored unless they match, since not every object of the class is marked."""
    if not protocol.federated or not truths.unexhausted:
        return np.zeros(len(predictions.labels), dtype=bool)
    K = len(truths.classes)
    return np.isin(predictions.images * K + predictions.labels, _pairs(truths, truths.unexhausted))


def ignored_truths(truths: ObjectColumns, protocol: Protocol) -> NDArray[np.bool_]:
    """bool (M,): the truths that count neither way, whatever their area."""
    bits = 0
    if protocol.difficult == "ignored":
        bits |= FLAG_BITS["difficult"]
    if protocol.crowd == "ignored":
        bits |= FLAG_BITS["crowd"]
    ignored = (truths.flags & bits) != 0
    if protocol.geometry == "keypoints" and truths.keypoints is not None:
        ignored |= ~(truths.keypoints[:, :, 2] > 0).any(1)
    return ignored
