"""What became of a true object in a detector that judges proposals: from its last stage back to its first."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pellucid.ops.boxes import pairwise_iou
from pellucid.structures.trace import FOUND, Fate, Trace

Near = Callable[[Tensor], Tensor]
"""Which of boxes (N, 4), in the photo, overlap the object enough: their rows."""

NO_PROPOSAL = "no proposal near"
BY_HEADS = (
    "box moved away",
    "scored as background",
    "scored as another class",
    "below the threshold",
    "suppressed",
    "beyond the limit",
)
"""How the heads lose an object, in the order of the stages."""


class JudgedTrace(Trace):
    """A trace whose candidates are proposals with a box for each class (C, K, 4)."""

    @property
    @abstractmethod
    def threshold(self) -> float:
        """The score that a detection must exceed."""

    @property
    @abstractmethod
    def limit(self) -> int:
        """How many detections there are at most."""

    @abstractmethod
    def survivors(self) -> tuple[Tensor, Tensor]:
        """Rows and classes of what is left after suppression, before the limit."""

    @abstractmethod
    def first_choice(self, row: int) -> tuple[int | None, float]:
        """What a candidate most probably is, None for background, and how probably."""

    @abstractmethod
    def lost_before(self, near: Near, name: str) -> Fate:
        """What became of an object that no candidate's box for its class overlaps."""

    @torch.no_grad()
    def fate(self, box: Sequence[float], label: int, iou: float = 0.5) -> Fate:
        wanted = torch.tensor([list(box)], dtype=torch.float32, device=self.boxes.device)
        name = self.classes.names[label]

        def near(boxes: Tensor) -> Tensor:
            return (pairwise_iou(wanted, boxes)[0] >= iou).nonzero().flatten()

        own = self.rows[self.labels == label]
        if len(near(self.boxes[own, label])):
            return Fate(FOUND, f"found as {name}")
        rows = near(self.boxes[:, label])
        if not len(rows):
            return self.lost_before(near, name)
        best = int(rows[self.scores[rows, label].argmax()])
        score = float(self.scores[best, label])
        at = f"scored {score:.2f} as {name}"
        if score <= self.threshold:
            return Fate(*self._outscored(best, label, at), best, score)
        return self._suppressed(best, label, score, at, near)

    def _outscored(self, row: int, label: int, at: str) -> tuple[str, str]:
        first, probability = self.first_choice(row)
        if first is None:
            return "scored as background", f"{at}, as background {probability:.2f}"
        if first != label:
            return "scored as another class", f"{at}, as {self.classes.names[first]} {probability:.2f}"
        return "below the threshold", f"{at}, not above {self.threshold:g}"

    def _suppressed(self, row: int, label: int, score: float, at: str, near: Near) -> Fate:
        rows, labels = self.survivors()
        rows = rows[labels == label]
        boxes, chances = self.boxes[rows, label], self.scores[rows, label]
        if len(near(boxes)):
            return Fate("beyond the limit", f"{at}, but {self.limit} objects were surer", row, score)
        number = None
        surer = (chances >= score).nonzero().flatten()
        if len(surer):
            winner = int(surer[pairwise_iou(self.boxes[row, label][None], boxes[surer])[0].argmax()])
            same = ((self.rows == rows[winner]) & (self.labels == label)).nonzero().flatten()
            number = int(same[0]) if len(same) else None
            name = self.classes.names[label]
            at += f"; suppression kept a {name} box of {float(chances[winner]):.2f} over it"
        return Fate("suppressed", at, row, score, number)


def plain_box(box: Tensor) -> tuple[float, float, float, float]:
    """A box (4,) in plain numbers."""
    x1, y1, x2, y2 = box.detach().tolist()
    return x1, y1, x2, y2
