"""How recall depends on what an object is like: its size, and how crowded it stands."""

import math
from collections import Counter
from collections.abc import Sequence

import torch

from pellucid.metrics.detection.score import DetectionScore
from pellucid.metrics.detection.waterfall import found_objects
from pellucid.ops.boxes import pairwise_iou
from pellucid.report.html.choosing import size_of
from pellucid.report.html.content import Table
from pellucid.structures import Annotations

_SIZES = {"small": "small, up to 32² pixels", "medium": "medium, up to 96² pixels", "large": "large"}
_CROWDING = {"alone": "alone", "touching": "touching another, IoU up to 0.2", "crowded": "crowded, IoU above 0.2"}
_CROWDED = 0.2


def breakdowns_of(
    truths: Sequence[Annotations], said: Sequence[Annotations], score: DetectionScore, iou: float
) -> tuple[Table, ...]:
    """Objects, and how many of them are found, by size and by crowding."""
    sizes: Counter[tuple[str, bool]] = Counter()
    crowding: Counter[tuple[str, bool]] = Counter()
    for truth, one in zip(truths, said, strict=True):
        objects = truth.instances
        found = found_objects(truth, one, iou)
        if objects is None or not found:
            continue
        among = pairwise_iou(objects.boxes, objects.boxes)
        among.fill_diagonal_(0)
        nearest = among.amax(1) if len(objects) > 1 else torch.zeros(len(objects))
        for row, there in found.items():
            x1, y1, x2, y2 = objects.boxes[row].tolist()
            sizes[size_of((x1, y1, x2, y2)), there] += 1
            over = float(nearest[row])
            crowding["alone" if over <= 0 else "touching" if over <= _CROWDED else "crowded", there] += 1
    precision = {name: score.summary.get(f"AP_{name}", math.nan) for name in _SIZES}
    return (
        _table("Size", _SIZES, sizes, "An object's size is that of its box.", precision),
        _table("Crowding", _CROWDING, crowding, "By the largest overlap of an object's box with another object's."),
    )


def _table(
    title: str,
    names: dict[str, str],
    counts: Counter[tuple[str, bool]],
    about: str,
    precision: dict[str, float] | None = None,
) -> Table:
    rows: list[tuple[str | int | float, ...]] = []
    for key, name in names.items():
        found, total = counts[key, True], counts[key, True] + counts[key, False]
        if total:
            more = () if precision is None else (precision[key],)
            rows.append((name, total, found, total - found, found / total, *more))
    headings = (title.lower(), "objects", "found", "missed", "recall", *(() if precision is None else ("AP",)))
    return Table(f"By {title.lower()}", headings, tuple(rows), about)
