"""Finding and naming things without any training: an ImageNet classifier over selective-search proposals."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models.catalogue import EMBEDDED
from pellucid.models.loading import load
from pellucid.models.norms import freeze_norms
from pellucid.models.preprocessing import Preprocessing
from pellucid.models.region.imagenet_judging import OF_BEST, Choice, Evidence, Judged, Looks, explained_away
from pellucid.models.region.imagenet_trace import ImagenetTrace
from pellucid.models.region.rcnn_crops import CONTEXT, Crops, batches
from pellucid.models.region.rcnn_photos import CropDetector, View
from pellucid.ops.boxes import pairwise_iou
from pellucid.ops.selective_search import selective_search
from pellucid.ops.suppression import batched_nms
from pellucid.structures import Annotations, Instances, Photo
from pellucid.structures.trace import Trace

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
    separate_parts = ("class",)
    network: Any

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
        with torch.no_grad():
            judged = self.judged(image, boxes)
            rows = self.chosen(image, judged).rows(judged)
        return self.objects(image, judged, rows)

    def traced_view(self, view: View, boxes: Tensor) -> ImagenetTrace:
        return ImagenetTrace(self, view, boxes)

    @property
    def thresholds(self) -> dict[str, float]:
        """'score' alone; that of half the photo's best remains, whatever it is."""
        return {"score": self.settings["score_threshold"]}

    def _choose(self, thresholds: Mapping[str, float]) -> None:
        self.settings = {**self.settings, "score_threshold": thresholds.get("score", self.thresholds["score"])}

    def from_trace(self, trace: Trace, *, parts: bool = True) -> Annotations:
        """What it reports by a trace: see ``Detector``.

        Where other boxes are taken than before, others must be looked at again with these painted over; what was seen
        then is remembered in the trace.
        """
        assert isinstance(trace, ImagenetTrace)
        chosen = trace.chosen_by(self)
        return Annotations(chosen.size, self.classes, instances=chosen.objects(), trace=chosen)

    @torch.no_grad()
    def judged(self, image: Tensor, boxes: Tensor) -> Judged:
        """The likely ones of the proposals (P, 4) of a normalised image (3, H, W), and how sure it is of each."""
        first = self._probabilities(Crops(image, self.settings["crop_size"])(boxes))
        self.check_finite(first)
        highest, labels = first.max(1)
        shares = _shares(boxes, image)
        likely = batched_nms(boxes, highest * shares**0.15, labels, 0.8)[:_LIKELY]
        looks = self._looks(image, boxes[likely])
        labels = looks.inside.argmax(1)
        evidence = Evidence(boxes[likely], shares[likely], looks, *_neighbours(boxes[likely], boxes), boxes, first)
        return Judged(evidence, labels, evidence.scores(labels), evidence.placed(labels))

    @torch.no_grad()
    def chosen(self, image: Tensor, judged: Judged) -> Choice:
        """Which of the likely boxes are taken, and what became of the others."""
        highest = float(judged.scores.max()) if len(judged.scores) else 0.0
        least = max(self.settings["score_threshold"], OF_BEST * highest)

        def repainted(rows: list[int], over: list[int]) -> Tensor:
            known = judged.repainted.setdefault(frozenset(over), {})
            new = [row for row in rows if row not in known]
            if new:
                crops = Crops(_painted(image, judged.placed[over]), self.settings["crop_size"])
                seen = self._probabilities(crops(judged.evidence.boxes[new]))
                known.update(zip(new, seen.gather(1, judged.labels[new, None])[:, 0].tolist(), strict=True))
            return judged.scores.new_tensor([known[row] for row in rows])

        return explained_away(judged, least, self.settings["detections"], repainted)

    def objects(self, image: Tensor, judged: Judged, rows: Tensor) -> Instances:
        """Those of the likely boxes that are reported; with their graph, seen once more, where one is recorded."""
        labels = judged.labels[rows]
        if not torch.is_grad_enabled():
            logits = judged.evidence.looks.inside[rows]
            return Instances(judged.placed[rows], labels, judged.scores[rows], logits=logits)
        seen = self.evident_again(image, judged.evidence, rows)
        return Instances(seen.placed(labels), labels, seen.scores(labels), logits=seen.looks.inside)

    def evident_again(self, image: Tensor, evidence: Evidence, rows: Tensor) -> Evidence:
        """What is known of boxes, seen once more with its graph."""
        own = evidence[rows]
        seen, back = own.near.unique(return_inverse=True)
        first = self._probabilities(Crops(image, self.settings["crop_size"])(own.others[seen]))
        return replace(own, looks=self._looks(image, own.boxes), near=back, others=own.others[seen], first=first)

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

    def _looks(self, image: Tensor, boxes: Tensor) -> Looks:
        tight, loose = (self._log_probabilities(self.close(image, context)(boxes)) for context in (CONTEXT, _LOOSE))
        crops = self.close(image, _AROUND)
        visible = torch.ones(crops.size, crops.size, device=image.device)
        border = round(crops.size * _AROUND)
        visible[border : crops.size - border, border : crops.size - border] = 0
        return Looks(tight, loose, self._log_probabilities(crops(boxes) * visible))

    def features(self, crops: Tensor) -> Tensor:
        """The network's last maps (N, C, h, w) of crops."""
        maps: Tensor = self.network.forward_features(crops.contiguous(memory_format=torch.channels_last))
        return maps

    def said_of(self, maps: Tensor) -> Tensor:
        """The log-probabilities (N, K) that follow from these maps."""
        logits: Tensor = self.network.forward_head(maps)
        return logits.log_softmax(1)

    def close(self, image: Tensor, context: float) -> Crops:
        """What cuts the crops of the closer looks out of a normalised image."""
        return Crops(image, round(self.settings["crop_size"] * _FINE), context)


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


def _painted(image: Tensor, boxes: Tensor) -> Tensor:
    """A copy of an image (3, H, W) with boxes (N, 4) in the mean colour."""
    H, W = image.shape[1:]
    image = image.clone()
    for x1, y1, x2, y2 in boxes.round().int().tolist():
        image[:, max(0, y1) : min(H, y2), max(0, x1) : min(W, x2)] = 0
    return image


def _shares(boxes: Tensor, image: Tensor) -> Tensor:
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    return (sides.prod(1) / (image.shape[1] * image.shape[2])).clamp(1e-6, 1)
