"""A detector of regions: photos in, objects out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models.base import Detector
from pellucid.models.region.alternating import EXTRA
from pellucid.models.region.conventions import convention_named
from pellucid.models.region.frame import Frame, scale_to_photo, seen_size
from pellucid.models.region.learning import Learner
from pellucid.models.region.network import RegionNetwork
from pellucid.models.region.proposer import Proposals
from pellucid.models.region.settings import RegionSettings, settled
from pellucid.models.region.truths import in_frame
from pellucid.models.stages import Stage
from pellucid.ops.heatmaps import decode_heatmaps
from pellucid.ops.pasting import pasted_masks
from pellucid.ops.selective_search import selective_search
from pellucid.ops.suppression import batched_nms, batched_soft_nms
from pellucid.structures import Annotations, Classes, Instances, Photo, Placement
from pellucid.structures.boxes import clip_boxes
from pellucid.structures.keypoints import VISIBLE


@dataclass
class Regions:
    """What became of each region of one image; the frame's coordinates, everything with its graph.

    ``proposals``: P of them. ``logits``: (P, K + 1), the background last. ``boxes``: (P, K, 4), each class's.
    ``rows``, ``labels``: int64 (D,), the detections: of which proposal and class, best first. ``scores``: (D,).
    """

    proposals: Proposals
    logits: Tensor
    boxes: Tensor
    rows: Tensor
    labels: Tensor
    scores: Tensor


class RegionModel(Detector):
    """R-CNN's line from Fast R-CNN on, as the settings choose. See ``RegionSettings`` and the recipes.

    ``propose``: where proposals come from elsewhere, what gives the boxes (P, 4) of a uint8 image (3, h, w); by
    default selective search.
    """

    network: RegionNetwork
    of_classes = ("predictor.", "mask_head.logits.", "keypoint_head.logits.")

    def __init__(
        self,
        recipe: str,
        classes: Classes,
        backbone: str,
        settings: RegionSettings,
        defaults: RegionSettings,
        *,
        pretrained: bool = True,
    ) -> None:
        super().__init__(classes, recipe, recipe, backbone, settings.changes(defaults))
        points = [len(one) if one is not None else 0 for one in classes.keypoints]
        if settings.keypoints and not any(points):
            raise PellucidError(f"{recipe}: no class has keypoints; take data that has, or mask_rcnn")
        self.choices = settings
        self.convention = convention_named(settings.convention)
        self.network = RegionNetwork(
            backbone, len(classes), max(points, default=0), settings, self.convention, pretrained
        )
        self.frame = Frame(
            settings.min_side,
            settings.max_side,
            self.network.backbone.mean,
            self.convention.antialias,
            self.convention.rounded_sizes,
        )
        self.propose: Callable[[Tensor], Tensor] = self._searched
        self.learner = Learner(self.network)

    @property
    def task(self) -> str:  # type: ignore[override]
        return "keypoints" if self.choices.keypoints else "instances" if self.choices.masks else "detection"

    @property
    def protocols(self) -> tuple[str, ...]:  # type: ignore[override]
        main = {"keypoints": ("coco-keypoints",), "instances": ("coco-segm",)}.get(self.task, ())
        return (*main, "coco")

    @property
    def needs_proposals(self) -> bool:  # type: ignore[override]
        return self.choices.proposals == "external"

    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]:
        photos = self._photos(images)
        if not photos:
            return torch.zeros(0, 3, 32, 32, device=self.device), []
        return self.frame.batch(photos)

    def _regions(self, maps: Sequence[Tensor], batch: Tensor, placements: Sequence[Placement]) -> list[Regions]:
        sizes = [seen_size(placement) for placement in placements]
        proposals = self._proposals(maps, batch, sizes)
        judged = self.network.judge(maps, [one.boxes for one in proposals])
        self.check_finite(judged.logits)
        counts = [len(one) for one in proposals]
        parts = zip(proposals, judged.logits.split(counts), judged.deltas.split(counts), sizes, strict=True)
        return [self._chosen(*part) for part in parts]

    def _proposals(self, maps: Sequence[Tensor], batch: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Proposals]:
        if self.network.proposer is not None:
            raw = self.network.proposer(maps, (batch.shape[-2], batch.shape[-1]))
            return self.network.proposer.choose(raw, sizes, learning=False)
        pixels = (batch.detach() * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        return [
            Proposals.external(self.propose(image[:, :h, :w]).to(batch.device, torch.float32))
            for image, (h, w) in zip(pixels, sizes, strict=True)
        ]

    def _searched(self, image: Tensor) -> Tensor:
        return selective_search(image, limit=self.choices.external_limit)

    def _chosen(self, proposals: Proposals, logits: Tensor, deltas: Tensor, size: tuple[int, int]) -> Regions:
        """The detections among the regions of an image: every class for itself, the best of all."""
        s = self.choices
        logits, deltas = logits.float(), deltas.float()
        boxes = clip_boxes(self.network.coder.decode(deltas, proposals.boxes), size)
        chances = logits.softmax(-1)[:, :-1]
        sides = (boxes[..., 2:] - boxes[..., :2]).detach().amin(-1)
        good = (chances.detach() > s.score_threshold) & (sides >= self.convention.smallest_box)
        rows, labels = good.nonzero().unbind(1)
        scores, candidates = chances[rows, labels], boxes[rows, labels]
        if s.suppression == "nms":
            kept = batched_nms(candidates, scores, labels, s.iou_threshold)[: s.detections]
            scores = scores[kept]
        else:
            method: Any = s.suppression.removeprefix("soft-")
            kept, scores = batched_soft_nms(
                candidates,
                scores,
                labels,
                method,
                score_threshold=s.score_threshold,
            )
            kept, scores = kept[: s.detections], scores[: s.detections]
        return Regions(proposals, logits, boxes, rows[kept], labels[kept], scores)

    def from_frame(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        if not len(batch):
            return []
        if placements is None:
            placements = [Placement.whole(batch.shape[-2], batch.shape[-1])] * len(batch)
        maps = self.network.features(batch)
        found = self._regions(maps, batch, placements)
        said = [self._said(one, placement) for one, placement in zip(found, placements, strict=True)]
        boxes = [one.boxes[one.rows, one.labels] for one in found]
        counts = [len(one) for one in boxes]
        if self.network.mask_head is not None:
            logits = self.network.mask_logits(maps, boxes).float().split(counts)
            for objects, own, placement in zip(said, logits, placements, strict=True):
                objects.mask_logits = own[torch.arange(len(own), device=own.device), objects.labels]
                objects.masks = pasted_masks(
                    objects.mask_logits.detach().sigmoid(),
                    objects.boxes.detach(),
                    placement.photo,
                    self.convention.paste,
                )
        if self.network.keypoint_head is not None:
            logits = self.network.keypoint_logits(maps, boxes).float().split(counts)
            for objects, own, inside, placement in zip(said, logits, boxes, placements, strict=True):
                points, objects.keypoint_scores = decode_heatmaps(own, inside)
                scale = scale_to_photo(placement, points)[:2]
                objects.keypoints = torch.cat((points[..., :2] * scale, torch.full_like(points[..., 2:], VISIBLE)), -1)
        return [
            Annotations(placement.photo, self.classes, instances=objects)
            for objects, placement in zip(said, placements, strict=True)
        ]

    def _said(self, one: Regions, placement: Placement) -> Instances:
        boxes = one.boxes[one.rows, one.labels]
        return Instances(
            boxes * scale_to_photo(placement, boxes), one.labels, one.scores, logits=one.logits[one.rows, :-1]
        )

    def loss(
        self, images: Sequence[Photo] | Tensor, truths: Sequence[Annotations], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        batch, placements = self.prepare(images)
        self.check_truths(truths, placements)
        framed = [in_frame(truth, placement) for truth, placement in zip(truths, placements, strict=True)]
        return self.learner.losses(batch, [seen_size(p) for p in placements], framed, seeds)

    def weights(self) -> dict[str, Tensor]:
        return {key: value for key, value in super().weights().items() if not key.startswith(EXTRA)}

    def stages(self) -> list[Stage]:
        """How it learns: at once, or, where ``alternating``, in the four steps of the Faster R-CNN paper."""
        return self.learner.stages()


def assembled(
    recipe: str, classes: Classes, backbone: str, pretrained: bool, given: dict[str, Any], defaults: RegionSettings
) -> RegionModel:
    """A model of a recipe: its defaults, but for the settings given. Raises PellucidError for an unknown setting."""
    settings = settled(recipe, defaults, given)
    return RegionModel(recipe, classes, backbone, settings, defaults, pretrained=pretrained)
