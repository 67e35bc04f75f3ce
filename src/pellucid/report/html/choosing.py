"""Which errors, and which hits, a report shows."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from pellucid.metrics.detection.errors import ErrorAnalysis
from pellucid.metrics.detection.protocol import COCO_AREAS
from pellucid.metrics.detection.waterfall import Lost, found_objects
from pellucid.ops.boxes import pairwise_iou
from pellucid.report.html.content import Box, Gallery, Size
from pellucid.structures import Annotations
from pellucid.structures.trace import Fate

T = TypeVar("T")


@dataclass(frozen=True)
class Near:
    """An object, or a detection, that an error is about: its class, its box, its IoU with the error's, its score."""

    label: int
    box: Box
    iou: float
    score: float | None = None


@dataclass(frozen=True)
class Chosen:
    """An error or a hit. ``image``: its number. ``label``, ``box``: of the detection, or of the object missed.

    ``number``: the detection's, None for a missed object. ``near``: the object that it belongs with, the nearest
    detection for a missed one, None where nothing is near. ``fate``: of a missed object, where a trace told it.
    """

    gallery: Gallery
    kind: str
    image: int
    label: int
    box: Box
    score: float | None = None
    number: int | None = None
    near: Near | None = None
    fate: Fate | None = None

    @property
    def size(self) -> Size:
        """See ``size_of``."""
        return size_of(self.box)


def size_of(box: Box) -> Size:
    """As COCO has it: up to 32², up to 96², above, in square pixels, of the box."""
    x1, y1, x2, y2 = box
    area = (x2 - x1) * (y2 - y1)
    names: tuple[Size, ...] = ("small", "medium", "large")
    return next((name for name in names if area <= COCO_AREAS[name][1]), "large")


def worst(
    analysis: ErrorAnalysis, truths: Sequence[Annotations], images: Mapping[str, int], count: int
) -> list[Chosen]:
    """The false positives of the highest scores."""
    made: list[Chosen] = []
    for one in analysis.records.worst(len(analysis.records)):
        if one.kind == "Miss" or len(made) == count:
            break
        image = images[one.image]
        objects = truths[image].instances
        near = None
        if one.partner is not None and one.partner_label is not None and objects is not None:
            near = Near(one.partner_label, _plain(objects.boxes[one.partner]), one.iou)
        elif one.iou > 0:
            near = _nearest(one.box, truths[image])
            near = None if near is None else replace(near, iou=one.iou)  # of masks, where these were scored
        made.append(Chosen("wrong", one.kind, image, one.label, one.box, one.score, one.number, near))
    return made


def missed(lost: Iterable[Lost], said: Sequence[Annotations], count: int) -> list[Chosen]:
    """Objects that were not found, of each stage that lost some in turn, the surest candidates first."""
    groups: dict[str, list[Lost]] = {}
    for one in lost:
        groups.setdefault(one.fate.reason, []).append(one)
    for group in groups.values():
        group.sort(key=lambda one: -(one.fate.score if one.fate.score is not None else -math.inf))
    made = []
    for one in _in_turn(groups.values(), count):
        near = _nearest(one.box, said[one.image])
        made.append(Chosen("missed", "Miss", one.image, one.label, one.box, near=near, fate=one.fate))
    return made


def not_found(truths: Sequence[Annotations], said: Sequence[Annotations], iou: float) -> list[Lost]:
    """Objects that were not found, where no trace says why."""
    made = []
    for image, (truth, one) in enumerate(zip(truths, said, strict=True)):
        objects = truth.instances
        for row in (row for row, found in found_objects(truth, one, iou).items() if not found):
            assert objects is not None
            label, box = int(objects.labels[row]), _plain(objects.boxes[row])
            made.append(Lost(image, row, label, box, Fate("", "")))
    return made


def hits(truths: Sequence[Annotations], said: Sequence[Annotations], iou: float, count: int) -> list[Chosen]:
    """Found objects, of each class in turn, the surest and best placed first, no image twice before all were seen."""
    groups: dict[int, list[Chosen]] = {}
    for image, (truth, one) in enumerate(zip(truths, said, strict=True)):
        objects, detections = truth.instances, one.instances
        if objects is None or detections is None or not len(objects) or not len(detections):
            continue
        over = pairwise_iou(detections.boxes, objects.boxes)
        for row in (row for row, found in found_objects(truth, one, iou).items() if found):
            label = int(objects.labels[row])
            there = (over[:, row] >= iou) & (detections.labels == label)
            scores = torch.ones(len(detections)) if detections.scores is None else detections.scores
            number = int(torch.where(there, scores, -1.0).argmax())
            score = float(scores[number])
            near = Near(label, _plain(objects.boxes[row]), float(over[number, row]))
            box = _plain(detections.boxes[number])
            groups.setdefault(label, []).append(Chosen("right", "Right", image, label, box, score, number, near))
    for group in groups.values():
        group.sort(key=lambda hit: -(hit.score or 0) * (hit.near.iou if hit.near else 0))
        seen: dict[int, int] = {}
        turns = []
        for hit in group:
            turns.append(seen.get(hit.image, 0))
            seen[hit.image] = turns[-1] + 1
        group[:] = [group[i] for i in sorted(range(len(group)), key=lambda i: (turns[i], i))]
    return list(_in_turn([groups[label] for label in sorted(groups)], count))


def _in_turn(groups: Iterable[Sequence[T]], count: int) -> Iterator[T]:
    """The first of each group, then the second of each …, ``count`` in all."""
    groups = list(groups)
    longest = max((len(group) for group in groups), default=0)
    every = (group[i] for i in range(longest) for group in groups if i < len(group))
    yield from (one for _, one in zip(range(count), every, strict=False))


def _nearest(box: Box, among: Annotations) -> Near | None:
    """What overlaps a box most; None where nothing does."""
    objects = among.instances
    if objects is None or not len(objects):
        return None
    over = pairwise_iou(objects.boxes.new_tensor([list(box)]), objects.boxes)[0]
    best = int(over.argmax())
    if float(over[best]) <= 0:
        return None
    score = None if objects.scores is None else float(objects.scores[best])
    return Near(int(objects.labels[best]), _plain(objects.boxes[best]), float(over[best]), score)


def _plain(box: Tensor) -> Box:
    x1, y1, x2, y2 = box.tolist()
    return x1, y1, x2, y2
