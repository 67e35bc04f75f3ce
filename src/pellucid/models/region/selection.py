"""Which of all regions and classes become detections: those of some score, after suppression, the best of all."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.models.region.settings import RegionSettings
from pellucid.ops.suppression import batched_nms, batched_soft_nms


@dataclass(frozen=True)
class Selection:
    """The last steps of a detector. ``smallest``: the side in pixels that a box must have."""

    settings: RegionSettings
    smallest: float

    def candidates(self, logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What passes the threshold: rows (C,), labels (C,), scores (C,) and boxes (C, 4).

        ``logits``: (P, K + 1), the background last; ``boxes``: (P, K, 4).
        """
        chances = logits.softmax(-1)[:, :-1]
        sides = (boxes[..., 2:] - boxes[..., :2]).detach().amin(-1)
        good = (chances.detach() > self.settings.score_threshold) & (sides >= self.smallest)
        rows, labels = good.nonzero().unbind(1)
        return rows, labels, chances[rows, labels], boxes[rows, labels]

    def suppressed(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Which remain, class by class, best first, and their scores, which soft suppression lowers."""
        s = self.settings
        if s.suppression == "nms":
            kept = batched_nms(boxes, scores, labels, s.iou_threshold)
            return kept, scores[kept]
        method: Any = s.suppression.removeprefix("soft-")
        return batched_soft_nms(boxes, scores, labels, method, score_threshold=s.score_threshold)


def class_log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 − p)) of the softmax probability p of each row's label: (T,), exact where p is all but 1.

    ``logits``: (T, K + 1).
    """
    own = logits.gather(1, labels[:, None])
    return (own - logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1, keepdim=True))[:, 0]
