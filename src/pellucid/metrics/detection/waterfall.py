"""The recall waterfall: of all true objects, how many each stage of a detector lost, and how many are found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.score import plain
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations, Instances
from pellucid.structures.trace import FOUND, Fate, Trace

TAKEN = "counted for another object"
"""The fate of an object whose only detection was matched with another."""

UNKNOWN = "class unknown to the model"
"""The fate of an object of a class that the model cannot say."""


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

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {"total": self.total, "found": self.found, **plain({"recall": self.recall}), "lost": dict(self.lost)}

    @property
    def remaining(self) -> dict[str, int]:
        """Reason → how many objects were still there after that stage."""
        left, made = self.total, {}
        for reason, count in self.lost.items():
            left -= count
            made[reason] = left
        return made


class WaterfallTally:
    """Gathers a waterfall image by image, so that no trace need be kept.

    Each detection, by falling score, takes the free truth of its class that it overlaps most, if by ``iou`` or more;
    crowds, groups and difficult objects do not count. What is left over is followed through the trace.
    """

    def __init__(self, iou: float = 0.5) -> None:
        if not 0 < iou <= 1:
            raise PellucidError(f"recall waterfall: IoU {iou:g}; give more than 0, up to 1")
        self.iou = iou
        self._counts: dict[str, int] = {}
        self._lost: list[Lost] = []
        self._total = 0
        self._images = 0

    def add(self, truth: Annotations, said: Annotations, own: Sequence[int | None] | None = None) -> list[Lost]:
        """Adds an image and gives what was lost in it.

        ``said``: with its trace. ``own``: for each class of the two which of the trace's it is, None where the model
        does not know it; without it they are the same. Raises PellucidError without a trace.
        """
        number, trace = self._images, said.trace
        if trace is None:
            raise PellucidError(
                f"recall waterfall: image {number} has no trace of what the model considered; leave the waterfall out, "
                "or predict with model.traced where it keeps one"
            )
        self._images += 1
        for reason in trace.reasons:
            self._counts.setdefault(reason, 0)
        objects = truth.instances or Instances.empty()
        found = found_objects(truth, said, self.iou)
        self._total += len(found)
        lost = []
        for row in (row for row, there in found.items() if not there):
            x1, y1, x2, y2 = objects.boxes[row].tolist()
            label = int(objects.labels[row])
            fate = self._fate(trace, (x1, y1, x2, y2), label if own is None else own[label], said.classes.names[label])
            self._counts[fate.reason] = self._counts.get(fate.reason, 0) + 1
            lost.append(Lost(number, row, label, (x1, y1, x2, y2), fate))
        self._lost += lost
        return lost

    def _fate(self, trace: Trace, box: tuple[float, float, float, float], label: int | None, name: str) -> Fate:
        if label is None:
            return Fate(UNKNOWN, f"the model does not know {name}")
        fate = trace.fate(box, label, self.iou)
        return fate if fate.reason != FOUND else Fate(TAKEN, f"the {name} box here counts for another object")

    def waterfall(self) -> Waterfall:
        """Of all images so far."""
        stages = {reason: count for reason, count in self._counts.items() if reason not in (UNKNOWN, TAKEN)}
        unknown = {UNKNOWN: self._counts[UNKNOWN]} if UNKNOWN in self._counts else {}
        lost = {**unknown, **stages, TAKEN: self._counts.get(TAKEN, 0)}
        return Waterfall(self._total, self._total - len(self._lost), lost, tuple(self._lost))


def recall_waterfall(truths: Iterable[Annotations], said: Iterable[Annotations], iou: float = 0.5) -> Waterfall:
    """Where a detector loses the objects that it does not find; see ``WaterfallTally``.

    ``truths``: of each image; ``said``: what the model says of it, with its trace (``model.traced``), in the same
    classes. Raises PellucidError without a trace, and for images that do not pair up.
    """
    tally = WaterfallTally(iou)
    for truth, one in _pairs(truths, said):
        tally.add(truth, one)
    return tally.waterfall()


def found_objects(truth: Annotations, said: Annotations, iou: float = 0.5) -> dict[int, bool]:
    """Which objects of an image are found: of each that counts, by its row, whether; see ``WaterfallTally``."""
    objects = truth.instances or Instances.empty()
    rows = (~(objects.crowd | objects.group_of | objects.difficult)).nonzero().flatten()
    matched = _matched(objects[rows], said.instances or Instances.empty(), iou)
    return dict(zip(rows.tolist(), matched.tolist(), strict=True))


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
