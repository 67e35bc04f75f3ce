"""The trace of ``rcnn-imagenet``: the likely proposals, what looked at them, and which explained others away."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.models.region.fates import NO_PROPOSAL, Near, plain_box
from pellucid.models.region.imagenet_judging import COVERED, COVERED_OF_CLASS, Evidence, covered_by
from pellucid.models.region.rcnn_crops import CONTEXT, regions_of
from pellucid.models.region.rcnn_photos import ObjectTrace, View
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Instances, Placement
from pellucid.structures.trace import FOUND, Fate, Part, Patch, Step

if TYPE_CHECKING:
    from pellucid.models.region.imagenet_proposals import ImagenetProposals

_NOT_LIKELY = "not among the likely"
_MOVED = "box moved away"
_OTHER_CLASS = "scored as another class"
_BELOW = "below the threshold"
_HALF = "half as sure as the best"
_EXPLAINED = "explained away by another box"
_BEYOND = "beyond the limit"

_LAST_MAPS = "bn2"
"""The embedded network's last layer before pooling."""


class ImagenetTrace(ObjectTrace):
    """See ``Trace``; candidates are the likely proposals, each of the class that its closer looks say.

    ``scores`` of other classes are what the same product gives for them, though no box is ever reported as one.
    With gradients candidates are looked at once more when they are asked for, through everything that makes their
    score. ``opened``, it is the tight look alone that is followed: the loose look, the one with the box painted over
    and what the neighbours say count as they were, so a map shows what in the box itself spoke for the class.
    """

    reasons = (NO_PROPOSAL, _NOT_LIKELY, _MOVED, _OTHER_CLASS, _BELOW, _HALF, _EXPLAINED, _BEYOND)

    def __init__(self, model: "ImagenetProposals", view: View, proposals: Tensor) -> None:
        self.model = model
        self.view = view
        self.size, self.classes = view.placement.photo, model.classes
        self._image = model.normalised(view.image)
        with torch.no_grad():
            self._judged = judged = model.judged(self._image, proposals)
            own = judged.labels[:, None]
            self.scores = judged.evidence.every_score().scatter(1, own, judged.scores[:, None])
            self.boxes = view.clipped_to_photo(judged.placed)[:, None]
        self._opened: tuple[dict[int, int], Evidence] | None = None
        self._choose()

    def _choose(self) -> None:
        self._choice = self.model.chosen(self._image, self._judged)
        self.rows = self._choice.rows(self._judged)
        self.labels = self._judged.labels[self.rows]

    def objects(self) -> Instances:
        found = self.model.objects(self._image, self._judged, self.rows)
        found.boxes = self.view.clipped_to_photo(found.boxes)
        return found

    def _seen(self, rows: Tensor) -> Evidence:
        """What is known of candidates, with its graph where one is recorded."""
        if self._opened is not None:
            places, evidence = self._opened
            return evidence[torch.tensor([places[row] for row in rows.tolist()], device=rows.device)]
        if not torch.is_grad_enabled():
            return self._judged.evidence[rows]
        seen, back = rows.unique(return_inverse=True)
        return self.model.evident_again(self._image, self._judged.evidence, seen)[back]

    def logits(self, rows: Tensor) -> Tensor:
        return self._seen(rows).looks.inside

    def log_odds(self, rows: Tensor, labels: Tensor) -> Tensor:
        return self._seen(rows).log_odds(labels)

    @contextmanager
    def opened(self, part: Part, rows: Sequence[int]) -> Iterator[Tensor]:
        if part != "class":
            raise KeyError(part)
        evidence = self._judged.evidence[torch.tensor(list(rows), device=self.rows.device)]
        with torch.no_grad():
            leaf = self.model.features(self.model.close(self._image, CONTEXT)(evidence.boxes))
        leaf.requires_grad_()
        looks = replace(evidence.looks, tight=self.model.said_of(leaf))
        self._opened = ({row: i for i, row in enumerate(rows)}, replace(evidence, looks=looks))
        try:
            yield leaf
        finally:
            self._opened = None

    def patches(self, part: Part, rows: Sequence[int], features: Tensor, gradients: Tensor) -> list[Patch]:
        left, top = self.view.corner
        boxes = self._judged.evidence.boxes[list(rows)]
        shown = regions_of(boxes, CONTEXT) + boxes.new_tensor([left, top] * 2)
        made = []
        for map_, gradient, region in zip(features, gradients, shown, strict=True):
            at = Placement(self.view.placement.frame, (map_.shape[1], map_.shape[2]), plain_box(region))
            made.append(Patch(_LAST_MAPS, map_, gradient, 0, 0, at))
        return made

    def origin(self, number: int) -> list[Step]:
        row, label = self.rows[number : number + 1], self.labels[number : number + 1]
        evidence, name = self._judged.evidence[row], self.classes.names[int(label)]
        score = float(self._judged.scores[row])
        inside, outside, support = (float(factor) for factor in evidence.factors(label))
        place = plain_box(self.view.clipped_to_photo(evidence.boxes)[0])
        return [
            Step("class", f"{name} {score:.2f}", plain_box(self.boxes[int(row), 0]), score),
            Step(
                "looks",
                f"{name} {inside:.2f} inside, {outside:.2f} when painted over, {support:.2f} in boxes near it",
                place,
                inside,
            ),
            Step("proposal", f"one of {len(evidence.others)}, {float(evidence.shares):.0%} of the photo", place),
        ]

    @torch.no_grad()
    def fate(self, box: Sequence[float], label: int, iou: float = 0.5) -> Fate:
        name, judged = self.classes.names[label], self._judged

        def near(boxes: Tensor) -> Tensor:
            over: Tensor = pairwise_iou(boxes.new_tensor([list(box)]), boxes)[0]
            return (over >= iou).nonzero().flatten()

        if len(near(self.boxes[self.rows[self.labels == label], 0])):
            return Fate(FOUND, f"found as {name}")
        rows = near(self.boxes[:, 0])
        if not len(rows):
            return self._never_near(near)
        own = rows[judged.labels[rows] == label]
        rows = own if len(own) else rows
        row = int(rows[self.scores[rows, label].argmax()])
        score = float(self.scores[row, label])
        at = f"scored {score:.2f} as {name}"
        if not len(own):
            at += f", as {self.classes.names[int(judged.labels[row])]} {float(judged.scores[row]):.2f}"
            return Fate(_OTHER_CLASS, at, row, score)
        if not bool(judged.scores[row] >= self._choice.least):
            threshold = self.model.thresholds["score"]
            if score < threshold:
                return Fate(_BELOW, f"{at}, below {threshold:g}", row, score)
            best = float(judged.scores.max())
            return Fate(_HALF, f"{at}, less than half as sure as the photo's best, {best:.2f}", row, score)
        left = own[self._choice.remaining[own] >= self._choice.least]
        if len(left):
            row = int(left[judged.scores[left].argmax()])
            score, limit = float(judged.scores[row]), self.model.settings["detections"]
            return Fate(_BEYOND, f"scored {score:.2f} as {name}, but {limit} objects were taken before", row, score)
        return self._explained(row, score, at)

    def _never_near(self, near: Near) -> Fate:
        rows = near(self.view.clipped_to_photo(self._judged.evidence.boxes))
        if len(rows):
            return Fate(_MOVED, "proposed, but the boxes around it placed its edges elsewhere", int(rows[0]))
        if len(near(self.view.clipped_to_photo(self._judged.evidence.others))):
            return Fate(_NOT_LIKELY, f"proposed, but not among the {len(self.boxes)} boxes likely at first sight")
        return Fate(NO_PROPOSAL, "no proposal overlaps it enough")

    def _explained(self, row: int, score: float, at: str) -> Fate:
        judged = self._judged
        winner, left = self._choice.fell[row]
        share = float(covered_by(judged.evidence.boxes[row][None], judged.placed[winner])[0])
        same = int(judged.labels[row]) == int(judged.labels[winner])
        taken, first = self.classes.names[int(judged.labels[winner])], float(judged.scores[winner])
        box = f"the {'larger ' if first < score else ''}{taken} box of {first:.2f}"
        if share > (COVERED_OF_CLASS if same else COVERED):
            at += f", but {box} covers {share:.0%} of it"
        else:
            at += f", but {left:.2f} once {box} was painted over"
        return Fate(_EXPLAINED, at, row, score, int((self.rows == winner).nonzero()))
