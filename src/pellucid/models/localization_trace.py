"""The trace of a localizer: a single candidate, the photo, with a box and a class that can be right or wrong."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models.region.fates import plain_box
from pellucid.models.region.selection import class_log_odds
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations, Classes, Instances, Placement
from pellucid.structures.trace import FOUND, Fate, Part, Patch, Step, Trace

if TYPE_CHECKING:
    from pellucid.models.localization import LocalizerNetwork

_TRUNK = "trunk"
_ELSEWHERE = "box elsewhere"
_OTHER_CLASS = "scored as another class"


@dataclass
class LocalizerTrace(Trace):
    """See ``Trace``; the one candidate is the photo, which is read from all of the trunk's maps.

    ``maps``: (C, h, w). ``said_logits``: (K,). ``outlined``: (B, 4), in the photo. ``guesses``: so many classes
    are reported.
    """

    network: "LocalizerNetwork"
    classes: Classes
    placement: Placement
    maps: Tensor
    said_logits: Tensor
    outlined: Tensor
    guesses: int
    _opened: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.size = self.placement.photo
        self.reasons = (_ELSEWHERE, _OTHER_CLASS)
        self.boxes = self.outlined[None]
        self.scores = self.said_logits.softmax(0)[None]
        self.labels = self.scores[0].detach().argsort(descending=True, stable=True)[: self.guesses]
        self.rows = torch.zeros_like(self.labels)

    def annotations(self, kept: bool) -> Annotations:
        """What is reported: logits, and the most probable classes with their boxes. ``kept``: with this trace."""
        logits, labels = self.said_logits, self.labels
        boxes = self.outlined[labels] if len(self.outlined) > 1 else self.outlined.expand(len(labels), 4)
        found = Instances(boxes, labels, self.scores[0, labels], logits=logits.expand(len(labels), -1))
        return Annotations(self.size, self.classes, logits, found, trace=self if kept else None)

    def logits(self, rows: Tensor) -> Tensor:
        logits = self.said_logits if self._opened is None else self._opened
        return logits.expand(len(rows), -1)

    def log_odds(self, rows: Tensor, labels: Tensor) -> Tensor:
        if len(self.classes) == 1:
            raise PellucidError(
                f"the only class of this localizer is {self.classes.names[0]}, and its probability always 1; "
                "ask for an edge of its box"
            )
        return class_log_odds(self.logits(rows), labels)

    @contextmanager
    def opened(self, part: Part, rows: Sequence[int]) -> Iterator[Tensor]:
        if part != "class":
            raise KeyError(part)
        leaf = self.maps.detach().expand(len(rows), *self.maps.shape).clone().requires_grad_()
        self._opened = self.network.classified(leaf)[0]
        try:
            yield leaf
        finally:
            self._opened = None

    def layer(self, part: Part, at: int | Sequence[float]) -> str | None:
        return _TRUNK

    def patches(self, part: Part, rows: Sequence[int], features: Tensor, gradients: Tensor) -> list[Patch]:
        h, w = self.placement.frame
        at = Placement((h, w), (self.maps.shape[1], self.maps.shape[2]), (0.0, 0.0, float(w), float(h)))
        return [Patch(_TRUNK, map_, own, 0, 0, at) for map_, own in zip(features, gradients, strict=True)]

    def origin(self, number: int) -> list[Step]:
        label = int(self.labels[number])
        score, box = float(self.scores[0, label].detach()), plain_box(self.boxes_of(label)[0])
        (H, W), (h, w) = self.size, self.placement.frame
        x1, y1, x2, y2 = box
        across = f"{x1 / W:.0%}, {(x2 - x1) / W:.0%} and {(W - x2) / W:.0%} of the width"
        down = f"{y1 / H:.0%}, {(y2 - y1) / H:.0%} and {(H - y2) / H:.0%} of the height"
        return [
            Step("class", f"{self.classes.names[label]} {score:.2f}", box, score),
            Step("box", f"gap, box and gap share the photo by a softmax along each axis: {across}; {down}", box),
            Step("photo", f"squeezed to {w} × {h} pixels", (0.0, 0.0, float(W), float(H))),
        ]

    @torch.no_grad()
    def fate(self, box: Sequence[float], label: int, iou: float = 0.5) -> Fate:
        own = self.boxes_of(label)
        over = float(pairwise_iou(own.new_tensor([list(box)]), own)[0, 0])
        name, score = self.classes.names[label], float(self.scores[0, label])
        said = ", ".join(f"{self.classes.names[k]} {float(self.scores[0, k]):.2f}" for k in self.labels.tolist())
        reported = bool((self.labels == label).any())
        named = f"said: {said}" if reported else f"scored {score:.2f} as {name}; said: {said}"
        if over < iou:
            return Fate(_ELSEWHERE, f"its box overlaps it by an IoU of {over:.2f}; {named}", 0, score)
        if not reported:
            return Fate(_OTHER_CLASS, f"{named}; outlined with an IoU of {over:.2f}", 0, score)
        return Fate(FOUND, f"found as {name}", 0, score)
