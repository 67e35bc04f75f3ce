"""A detector of regions: photos in, objects out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
from pellucid.models.region.proposer import Proposals, RawProposals
from pellucid.models.region.selection import Selection
from pellucid.models.region.settings import RegionSettings, settled
from pellucid.models.region.trace import Regions, RegionTrace
from pellucid.models.region.truths import in_frame
from pellucid.models.stages import Stage
from pellucid.ops.heatmaps import decode_heatmaps
from pellucid.ops.pasting import pasted_masks
from pellucid.ops.selective_search import selective_search
from pellucid.structures import Annotations, Classes, Instances, Photo, Placement
from pellucid.structures.boxes import clip_boxes
from pellucid.structures.keypoints import VISIBLE
from pellucid.structures.trace import Part, Trace


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

    def from_frame(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        return self._found(batch, placements, traced=False)

    def traced(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        """As ``from_frame``, with the trace of each image."""
        return self._found(batch, placements, traced=True)

    def _found(self, batch: Tensor, placements: Sequence[Placement] | None, traced: bool) -> list[Annotations]:
        if not len(batch):
            return []
        if placements is None:
            placements = [Placement.whole(batch.shape[-2], batch.shape[-1])] * len(batch)
        maps = self.network.features(batch)
        sizes = [seen_size(placement) for placement in placements]
        raw, proposals = self._proposals(maps, batch, sizes)
        judged = self.network.judge(maps, [one.boxes for one in proposals])
        self.check_finite(judged.logits)
        counts = [len(one) for one in proposals]
        parts = zip(proposals, judged.logits.split(counts), judged.deltas.split(counts), sizes, strict=True)
        found = [self._chosen(*part) for part in parts]
        said = [self._said(one, placement) for one, placement in zip(found, placements, strict=True)]
        self._add_parts(maps, found, said, placements)
        made = [
            Annotations(placement.photo, self.classes, instances=objects)
            for objects, placement in zip(said, placements, strict=True)
        ]
        if traced:
            for i, (one, placement) in enumerate(zip(found, placements, strict=True)):
                own = [x[i] for x in maps]
                made[i].trace = RegionTrace(self.network, self.classes, placement, one, self.selection, own, raw, i)
        return made

    @property
    def thresholds(self) -> dict[str, float]:
        known = {"score": self.choices.score_threshold}
        return known | ({"overlap": self.choices.iou_threshold} if self.choices.suppression == "nms" else {})

    def _choose(self, thresholds: Mapping[str, float]) -> None:
        names = {"score": "score_threshold", "overlap": "iou_threshold"}
        chosen: dict[str, Any] = {names[name]: value for name, value in thresholds.items()}
        self.choices = replace(self.choices, **chosen)
        self.settings = {**self.settings, **chosen}

    def from_trace(self, trace: Trace, *, parts: bool = True) -> Annotations:
        assert isinstance(trace, RegionTrace)
        placement, maps = trace.placement, [x[None] for x in trace.maps]
        found = self._selected(trace.regions.proposals, trace.regions.logits, trace.regions.boxes)
        said = self._said(found, placement)
        if parts:
            self._add_parts(maps, [found], [said], [placement])
        kept = replace(trace, regions=found, selection=self.selection)
        return Annotations(placement.photo, self.classes, instances=said, trace=kept)

    @property
    def separate_parts(self) -> tuple[Part, ...]:
        """See ``structures.trace.Trace``: regions are judged by themselves from their pooled features on."""
        heads: dict[Part, Any] = {"mask": self.network.mask_head, "keypoints": self.network.keypoint_head}
        return ("class", *(part for part, head in heads.items() if head is not None))

    @property
    def selection(self) -> Selection:
        """How detections are chosen, as ``choices`` stand now."""
        return Selection(self.choices, self.convention.smallest_box)

    def _proposals(
        self, maps: Sequence[Tensor], batch: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> tuple[RawProposals | None, list[Proposals]]:
        if self.network.proposer is not None:
            raw = self.network.proposer(maps, (batch.shape[-2], batch.shape[-1]))
            return raw, self.network.proposer.choose(raw, sizes, learning=False)
        pixels = (batch.detach() * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        return None, [
            Proposals.external(self.propose(image[:, :h, :w]).to(batch.device, torch.float32))
            for image, (h, w) in zip(pixels, sizes, strict=True)
        ]

    def _searched(self, image: Tensor) -> Tensor:
        return selective_search(image, limit=self.choices.external_limit)

    def _chosen(self, proposals: Proposals, logits: Tensor, deltas: Tensor, size: tuple[int, int]) -> Regions:
        """The detections among the regions of an image: every class for itself, the best of all."""
        logits, deltas = logits.float(), deltas.float()
        return self._selected(proposals, logits, clip_boxes(self.network.coder.decode(deltas, proposals.boxes), size))

    def _selected(self, proposals: Proposals, logits: Tensor, boxes: Tensor) -> Regions:
        selection = self.selection
        rows, labels, scores, candidates = selection.candidates(logits, boxes)
        kept, scores = selection.suppressed(candidates, scores, labels)
        kept, scores = kept[: self.choices.detections], scores[: self.choices.detections]
        return Regions(proposals, logits, boxes, rows[kept], labels[kept], scores)

    def _add_parts(
        self,
        maps: Sequence[Tensor],
        found: Sequence[Regions],
        said: Sequence[Instances],
        placements: Sequence[Placement],
    ) -> None:
        """Gives objects the masks and keypoints that the other heads see."""
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
