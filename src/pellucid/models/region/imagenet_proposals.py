"""Finding and naming things without any training: an ImageNet classifier over selective-search proposals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models.catalogue import EMBEDDED
from pellucid.models.loading import load
from pellucid.models.norms import freeze_norms
from pellucid.models.preprocessing import Preprocessing
from pellucid.models.region.rcnn_crops import CONTEXT, Crops, batches
from pellucid.models.region.rcnn_photos import CropDetector
from pellucid.ops.boxes import pairwise_iou
from pellucid.ops.selective_search import selective_search
from pellucid.ops.suppression import batched_nms
from pellucid.structures import Annotations, Instances, Photo

NAME = "rcnn-imagenet"

_LOOSE = 0.12
"""The context of a second look: a thing is still what it is with more around it, most illusions are not."""

_AROUND = 0.2
"""The context within which a box is painted over, to see whether the thing reaches beyond it."""

_LEAST_SIDE = 0.1
"""Proposals whose side is less than this share of the photo's shorter side say too little."""

_LIKELY = 50
"""So many proposals are looked at again, and more closely."""

_FINE = 1.5
"""How much larger the crops of the second look are."""

_NEAREST = 12
_NEAR = 0.5
"""A box has at most so many neighbours, all of at least this IoU, which support it and place its edges."""

_OF_BEST = 0.5
"""What is less sure than this share of the photo's best is left out."""

_PREFER_LARGE = 0.25
_SMALL_IS_DOUBTFUL = 0.1


@dataclass
class _Looks:
    """What the closer looks say of boxes: log-probabilities (N, K) with little and more context, and painted over."""

    inside: Tensor
    outside: Tensor


class ImagenetProposals(CropDetector):
    """R-CNN without training: the embedded ImageNet network names what selective search proposes.

    A box's score is the product of: the probability of its class, as the geometric mean of two looks with little and
    with more context; one less that probability with the box painted over, squared, which a part of a thing does not
    survive; the cube root of the mean probability of the class in its nearest proposals, weighted by IoU; and its share
    of the photo to the power of 0.1. The best box is taken first, larger ones being preferred, and painted over; what
    the others score then is what remains of them, so that a thing is found once. Its edges are the mean of those of its
    nearest proposals, weighted by IoU and probability, and so differentiable, as is the score.
    ``logits``: the mean of the log-probabilities of both looks.

    ``settings``: ``score_threshold`` and ``detections``, the least score (it must also be half the best) and the most
    boxes; see ``CropDetector``.
    """

    task = "detection"
    protocols = ("coco",)

    def __init__(self, **settings: Any) -> None:
        classifier: Any = load(EMBEDDED)
        preprocessing: Preprocessing = classifier.preprocessing
        super().__init__(classifier.classes, NAME, NAME, EMBEDDED, settings, preprocessing)
        self.network = freeze_norms(classifier.network, torch.zeros(1, 3, 64, 64))
        self.network.to(memory_format=torch.channels_last)

    def propose(self, image: Tensor) -> Tensor:
        H, W = image.shape[1:]
        settings = self.settings
        found = selective_search(image, settings["mode"], limit=settings["proposals"], min_side=min(H, W) * _LEAST_SIDE)
        whole = torch.tensor([[0.0, 0.0, W, H]])
        return torch.cat((whole, found[(found != whole).any(1)]))

    def found(self, image: Tensor, boxes: Tensor) -> Instances:
        if not len(boxes):
            return _nothing(image, len(self.classes))
        size = self.settings["crop_size"]
        with torch.no_grad():
            first = self._probabilities(Crops(image, size)(boxes))
            self.check_finite(first)
            highest, labels = first.max(1)
            shares = _shares(boxes, image)
            likely = batched_nms(boxes, highest * shares**0.15, labels, 0.8)[:_LIKELY]
            looks = self._looks(image, boxes[likely])
            labels = looks.inside.argmax(1)
            near = _neighbours(boxes[likely], boxes)
            scores, placed = self._judged(boxes[likely], labels, looks, near, boxes, first, shares[likely])
            kept = self._kept(image, boxes[likely], labels, scores, placed, shares[likely])
        if not len(kept):
            return _nothing(image, len(self.classes))
        rows, labels = likely[kept], labels[kept]
        if torch.is_grad_enabled():
            near = (near[0][kept], near[1][kept])
            seen, back = near[0].unique(return_inverse=True)
            looks = self._looks(image, boxes[rows])
            first = self._probabilities(Crops(image, size)(boxes[seen]))
            scores, placed = self._judged(boxes[rows], labels, looks, (back, near[1]), boxes[seen], first, shares[rows])
            logits = looks.inside
        else:
            scores, placed, logits = scores[kept], placed[kept], looks.inside[kept]
        order = scores.detach().argsort(descending=True, stable=True)
        return Instances(placed[order], labels[order], scores[order], logits=logits[order])

    def loss(
        self, images: Sequence[Photo] | Tensor, truths: Sequence[Annotations], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """Raises PellucidError: there is nothing to learn."""
        raise PellucidError(f"{NAME}: needs no training and takes none; train the recipe rcnn on classes of your own")

    def description(self) -> dict[str, Any]:
        """Raises PellucidError: it has no weights of its own to keep."""
        raise PellucidError(f"{NAME} is always there, and not saved; load it by its name")

    def _log_probabilities(self, crops: Tensor) -> Tensor:
        parts = [
            self.network(crops[part].contiguous(memory_format=torch.channels_last))
            for part in batches(len(crops), self.settings["chunk"])
        ]
        return torch.cat(parts).log_softmax(1)

    def _probabilities(self, crops: Tensor) -> Tensor:
        return self._log_probabilities(crops).exp()

    def _looks(self, image: Tensor, boxes: Tensor) -> _Looks:
        size = round(self.settings["crop_size"] * _FINE)
        tight = self._log_probabilities(Crops(image, size, CONTEXT)(boxes))
        loose = self._log_probabilities(Crops(image, size, _LOOSE)(boxes))
        visible = torch.ones(size, size, device=image.device)
        border = round(size * _AROUND)
        visible[border : size - border, border : size - border] = 0
        outside = self._log_probabilities(Crops(image, size, _AROUND)(boxes) * visible)
        return _Looks((tight + loose) / 2, outside)

    def _judged(
        self,
        boxes: Tensor,
        labels: Tensor,
        looks: _Looks,
        near: tuple[Tensor, Tensor],
        others: Tensor,
        first: Tensor,
        shares: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Scores (N,) and placed boxes (N, 4), from the neighbours among ``others`` and their probabilities."""
        rows, ious = near
        probabilities = first[rows, labels[:, None]]
        weights = probabilities * ious
        # a tiny share of its own box keeps a box in place that nothing supports
        own = 1e-6
        summed = (weights[..., None] * others[rows]).sum(1) + own * boxes
        placed = summed / (weights.sum(1) + own)[:, None]
        support = weights.sum(1) / ious.sum(1).clamp(min=own)
        inside = looks.inside.gather(1, labels[:, None])[:, 0].exp()
        outside = looks.outside.gather(1, labels[:, None])[:, 0].exp()
        scores = inside * (1 - outside) ** 2 * (support + 1e-12) ** (1 / 3) * shares**_SMALL_IS_DOUBTFUL
        return scores, placed

    def _kept(
        self, image: Tensor, boxes: Tensor, labels: Tensor, scores: Tensor, placed: Tensor, shares: Tensor
    ) -> Tensor:
        """Which boxes are taken, one after another, each explaining away what the others owe to it."""
        least = max(self.settings["score_threshold"], _OF_BEST * float(scores.max()))
        H, W = image.shape[1:]
        left, image = scores.clone(), image.clone()
        taken: list[int] = []
        while len(taken) < self.settings["detections"]:
            rank = torch.where(left >= least, left * shares**_PREFER_LARGE, 0)
            best = int(rank.argmax())
            if rank[best] <= 0:
                break
            taken.append(best)
            left[best] = 0
            box = placed[best]
            x1, y1, x2, y2 = (int(v) for v in box.round().tolist())
            image[:, max(0, y1) : min(H, y2), max(0, x1) : min(W, x2)] = 0
            covered = _covered(boxes, box)
            left[(covered > 0.5) | ((covered > 0.2) & (labels == labels[best]))] = 0
            again = ((covered > 0) & (left >= least)).nonzero().flatten()
            if len(again):
                seen = self._probabilities(Crops(image, self.settings["crop_size"])(boxes[again]))
                left[again] = torch.minimum(left[again], seen.gather(1, labels[again, None])[:, 0])
        return torch.tensor(taken, dtype=torch.int64, device=boxes.device)


def rcnn_imagenet(
    *,
    proposals: int = 300,
    mode: str = "fast",
    max_side: int = 640,
    crop_size: int = 128,
    score_threshold: float = 0.35,
    detections: int = 10,
    chunk: int = 64,
) -> ImagenetProposals:
    """The embedded ImageNet network over selective-search proposals: finds and names things, with no training at all.

    Raises PellucidError for a value that a setting cannot have. Settings: see ``ImagenetProposals``.
    """
    return ImagenetProposals(
        proposals=proposals,
        mode=mode,
        max_side=max_side,
        crop_size=crop_size,
        score_threshold=score_threshold,
        detections=detections,
        chunk=chunk,
    ).eval()


def _neighbours(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (N, n) of the nearest among others, and their IoUs, 0 for those that are not near."""
    ious, rows = pairwise_iou(boxes, others).topk(min(_NEAREST, len(others)), 1)
    return rows, torch.where(ious >= _NEAR, ious, 0)


def _covered(boxes: Tensor, by: Tensor) -> Tensor:
    """Which share of each box (N, 4) another one, (4,), covers."""
    sides = (torch.minimum(boxes[:, 2:], by[2:]) - torch.maximum(boxes[:, :2], by[:2])).clamp(min=0)
    return sides.prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=1e-6)


def _shares(boxes: Tensor, image: Tensor) -> Tensor:
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    return (sides.prod(1) / (image.shape[1] * image.shape[2])).clamp(1e-6, 1)


def _nothing(like: Tensor, classes: int) -> Instances:
    none = like.new_zeros(0)
    return Instances(
        like.new_zeros(0, 4),
        torch.zeros(0, dtype=torch.int64, device=like.device),
        none,
        logits=like.new_zeros(0, classes),
    )
