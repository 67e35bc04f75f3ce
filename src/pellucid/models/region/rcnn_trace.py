"""What R-CNN says of the crops of proposals, and the trace of its objects."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.models.region.fates import BY_HEADS, NO_PROPOSAL, JudgedTrace, Near, plain_box
from pellucid.models.region.rcnn_crops import regions_of
from pellucid.models.region.rcnn_photos import ObjectTrace, View
from pellucid.models.region.selection import class_log_odds
from pellucid.structures import Instances, Placement
from pellucid.structures.trace import Fate, Part, Patch, Step

if TYPE_CHECKING:
    from pellucid.models.region.rcnn import Rcnn

STEEPNESS = 3.0
"""A margin's score is sigmoid(3 · margin): .05 where the hinge loss of background ends."""


@dataclass(frozen=True)
class JudgedCrops:
    """What is said of P proposals: ``scores`` (P, K), 0 to 1; ``raw``, logits (P, K + 1) with background last, or,
    where SVMs are ``fitted``, margins (P, K); ``boxes`` (P, K, 4), corrected.
    """

    scores: Tensor
    raw: Tensor
    boxes: Tensor
    fitted: bool

    @property
    def logits(self) -> Tensor:
        """(P, K)."""
        return self.raw if self.fitted else self.raw[:, :-1]

    def log_odds(self, rows: Tensor, labels: Tensor) -> Tensor:
        """(T,): of scores."""
        if self.fitted:
            return STEEPNESS * self.raw[rows, labels]
        return class_log_odds(self.raw[rows], labels)

    def instances(self, rows: Tensor, labels: Tensor) -> Instances:
        """Objects of candidates and classes."""
        return Instances(self.boxes[rows, labels], labels, self.scores[rows, labels], logits=self.logits[rows])


class CropTrace(JudgedTrace, ObjectTrace):
    """See ``Trace``; candidates are the proposals ``places`` (P, 4), in the pixels of ``view``.

    All are looked at without a graph; those that became objects once more with it, and any other when it is asked for.
    """

    def __init__(self, model: "Rcnn", view: View, places: Tensor) -> None:
        self.model = model
        self.view = view
        self.places = places
        self.size, self.classes = view.placement.photo, model.classes
        self.reasons = (NO_PROPOSAL, *BY_HEADS)
        self._crops = model.crops(model.normalised(view.image))
        with torch.no_grad():
            self._judged = model.judged(self._crops, places)
            model.check_finite(self._judged.scores)
        self.scores = self._judged.scores
        self.boxes = view.clipped_to_photo(self._judged.boxes)
        self._opened: tuple[dict[int, int], JudgedCrops] | None = None
        self._choose()

    def _choose(self) -> None:
        rows, labels = self.survivors()
        self.rows, self.labels = rows[: self.limit], labels[: self.limit]

    def objects(self) -> Instances:
        judged, rows = self._seen(self.rows)
        found = judged.instances(rows, self.labels)
        found.boxes = self.view.clipped_to_photo(found.boxes)
        return found

    def _seen(self, rows: Tensor) -> tuple[JudgedCrops, Tensor]:
        """What is said of candidates, with its graph where one is recorded, and which of its rows they are."""
        if self._opened is not None:
            places, judged = self._opened
            return judged, torch.tensor([places[row] for row in rows.tolist()], device=rows.device)
        if not torch.is_grad_enabled():
            return self._judged, rows
        seen, back = rows.unique(return_inverse=True)
        return self.model.judged(self._crops, self.places[seen]), back

    def logits(self, rows: Tensor) -> Tensor:
        judged, own = self._seen(rows)
        return judged.logits[own]

    def log_odds(self, rows: Tensor, labels: Tensor) -> Tensor:
        judged, own = self._seen(rows)
        return judged.log_odds(own, labels)

    @contextmanager
    def opened(self, part: Part, rows: Sequence[int]) -> Iterator[Tensor]:
        if part != "class":
            raise KeyError(part)
        places, network = self.places[list(rows)], self.model.network
        with torch.no_grad():
            leaf = network.trunk(self._crops(places))
        leaf.requires_grad_()
        judged = self.model.judged_features(*network.pooled(leaf), places)
        self._opened = ({row: i for i, row in enumerate(rows)}, judged)
        try:
            yield leaf
        finally:
            self._opened = None

    def patches(self, part: Part, rows: Sequence[int], features: Tensor, gradients: Tensor) -> list[Patch]:
        left, top = self.view.corner
        places = self.places[list(rows)]
        shown = regions_of(places, self.model.settings["context"]) + places.new_tensor([left, top] * 2)
        made = []
        for map_, gradient, region in zip(features, gradients, shown, strict=True):
            at = Placement(self.view.placement.frame, (map_.shape[1], map_.shape[2]), plain_box(region))
            made.append(Patch("trunk", map_, gradient, 0, 0, at))
        return made

    @property
    def threshold(self) -> float:
        return float(self.model.settings["score_threshold"])

    @property
    def limit(self) -> int:
        return int(self.model.settings["detections"])

    def survivors(self) -> tuple[Tensor, Tensor]:
        return self.model.survivors(self._judged)

    def first_choice(self, row: int) -> tuple[int | None, float]:
        if not self._judged.fitted:
            probabilities = self._judged.raw[row].softmax(0)
            best = int(probabilities.argmax())
            return None if best == len(self.classes) else best, float(probabilities[best])
        best = int(self.scores[row].argmax())
        score = float(self.scores[row, best])
        return (best, score) if score > 0.5 else (None, 1 - score)

    def lost_before(self, near: Near, name: str) -> Fate:
        rows = near(self.view.clipped_to_photo(self.places))
        if len(rows):
            return Fate("box moved away", f"proposed, but every box for {name} was moved off it", int(rows[0]))
        return Fate(NO_PROPOSAL, "no proposal overlaps it enough")

    def origin(self, number: int) -> list[Step]:
        row, label = int(self.rows[number]), int(self.labels[number])
        score = float(self.scores[row, label])
        place = plain_box(self.view.clipped_to_photo(self.places[row]))
        side = self.model.settings["crop_size"]
        return [
            Step("class", f"{self.classes.names[label]} {score:.2f}", plain_box(self.boxes[row, label]), score),
            Step("region", f"warped to {side} × {side} pixels", place),
            Step("proposal", "proposed from outside", place),
        ]
