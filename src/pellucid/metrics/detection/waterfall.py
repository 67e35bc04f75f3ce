"""The recall waterfall: of all true objects, how many each stage of a detector lost, and how many are found."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations, Instances
from pellucid.structures.trace import FOUND, Fate

TAKEN = "counted for another object"
"""The fate of an object whose only detection was matched with another."""


@dataclass(frozen=True)
class Lost:
    """A true object that was not found: ``image``, its number, ``row``, of its instances, and its ``fate``."""

    image: int
    row: int
    label: int
    box: tuple[float, float, float, float]
    fate: Fate


@dataclass(frozen=True)
class Waterfall:
    """``total`` true objects, of which ``found`` are found; ``lost``: reason → how many, in the order of the stages.

    ``total`` is ``found`` and all of ``lost`` together. ``objects``: each of the lost.
    """

    total: int
    found: int
    lost: dict[str, int]
    objects: tuple[Lost, ...] = field(repr=False)

    @property
    def recall(self) -> float:
        """0 to 1; NaN without objects."""
        return self.found / self.total if self.total else float("nan")

    @property
    def remaining(self) -> dict[str, int]:
        """Reason → how many objects were still there after that stage."""
        left, made = self.total, {}
        for reason, count in self.lost.items():
            left -= count
            made[reason] = left
        return made


def recall_waterfall(truths: Iterable[Annotations], said: Iterable[Annotations], iou: float = 0.5) -> Waterfall:
    """Where a detector loses the objects that it does not find.

    ``truths``: of each image; ``said``: what the model says of it, with its trace (``model.traced``), in the same
    classes. Each detection, by falling score, takes the free truth of its class that it overlaps most, if by ``iou`` or
    more; crowds, groups and difficult objects do not count. What is left over is followed through the trace. Raises
    PellucidError without a trace, and for images that do not pair up.
    """
    if not 0 < iou <= 1:
        raise PellucidError(f"recall waterfall: IoU {iou:g}; give more than 0, up to 1")
    counts: dict[str, int] = {}
    total, lost = 0, []
    for number, (truth, one) in enumerate(_pairs(truths, said)):
        if one.trace is None:
            raise PellucidError(f"recall waterfall: image {number} has no trace; predict with model.traced")
        for reason in one.trace.reasons:
            counts.setdefault(reason, 0)
        objects = truth.instances or Instances.empty()
        counted = ~(objects.crowd | objects.group_of | objects.difficult)
        rows = counted.nonzero().flatten()
        total += len(rows)
        matched = _matched(objects[rows], one.instances or Instances.empty(), iou)
        for row in rows[~matched].tolist():
            x1, y1, x2, y2 = objects.boxes[row].tolist()
            label = int(objects.labels[row])
            fate = one.trace.fate((x1, y1, x2, y2), label, iou)
            if fate.reason == FOUND:
                fate = Fate(TAKEN, f"the {one.classes.names[label]} box here counts for another object")
            counts[fate.reason] = counts.get(fate.reason, 0) + 1
            lost.append(Lost(number, row, label, (x1, y1, x2, y2), fate))
    ordered = {reason: count for reason, count in counts.items() if reason != TAKEN}
    return Waterfall(total, total - len(lost), {**ordered, TAKEN: counts.get(TAKEN, 0)}, tuple(lost))


def _pairs(truths: Iterable[Annotations], said: Iterable[Annotations]) -> Iterable[tuple[Annotations, Annotations]]:
    try:
        yield from zip(truths, said, strict=True)
    except ValueError:
        raise PellucidError("recall waterfall: not as many predictions as images; give one for each") from None


def _matched(truths: Instances, said: Instances, iou: float) -> Tensor:
    """Which truths (T,) are found."""
    taken = torch.zeros(len(truths), dtype=torch.bool)
    if not len(truths) or not len(said):
        return taken
    over = pairwise_iou(said.boxes.detach().cpu(), truths.boxes)
    same = said.labels.cpu()[:, None] == truths.labels[None]
    scores = torch.ones(len(said)) if said.scores is None else said.scores.detach().cpu()
    for row in scores.argsort(descending=True, stable=True).tolist():
        free = torch.where(same[row] & ~taken, over[row], -1.0)
        best = int(free.argmax())
        if float(free[best]) >= iou:
            taken[best] = True
    return taken
