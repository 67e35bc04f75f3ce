"""What a detector of regions is taught: the losses of its proposer and of its heads."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models.region.alternating import Alternation
from pellucid.models.region.network import RegionNetwork
from pellucid.models.region.proposer import Proposals, RawProposals
from pellucid.models.region.truths import Truth
from pellucid.models.stages import Stage
from pellucid.ops.boxes import pairwise_iou
from pellucid.ops.heatmaps import encode_keypoints
from pellucid.ops.matching import BELOW, BETWEEN, match, spared
from pellucid.ops.pasting import crop_masks
from pellucid.ops.sampling import sample


class Learner:
    """The losses of a network, each the mean over the images of the mean over what was sampled of an image."""

    def __init__(self, network: RegionNetwork) -> None:
        self.network = network
        self.settings = network.settings
        self.convention = network.convention
        self.alternation = Alternation(network)

    def losses(
        self,
        batch: Tensor,
        sizes: Sequence[tuple[int, int]],
        truths: Sequence[Truth],
        seeds: Sequence[int] | None,
    ) -> dict[str, Tensor]:
        """The parts of the loss of a prepared batch; ``sizes``: (h, w) of each image in it."""
        if seeds is None:
            seeds = torch.randint(2**31, (len(truths),)).tolist()
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        maps = self.network.features(batch)
        parts = self.alternation.parts
        made: dict[str, Tensor] = {}
        if self.network.proposer is not None and ("proposals" in parts or self.alternation.teacher is None):
            raw = self.network.proposer(maps, (batch.shape[-2], batch.shape[-1]))
            if "proposals" in parts:
                made |= self._proposal_losses(raw, sizes, truths, generators)
        if "regions" in parts:
            if self.network.proposer is None:
                proposals = [self._given(truth, number) for number, truth in enumerate(truths)]
            elif self.alternation.teacher is not None:
                proposals = self._taught(self.alternation.teacher, batch, sizes)
            else:
                proposals = [one.detached() for one in self.network.proposer.choose(raw, sizes, learning=True)]
            made |= self._region_losses(maps, proposals, truths, generators)
        return made

    @staticmethod
    @torch.no_grad()
    def _taught(teacher: RegionNetwork, batch: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Proposals]:
        assert teacher.proposer is not None
        raw = teacher.proposer(teacher.features(batch), (batch.shape[-2], batch.shape[-1]))
        return teacher.proposer.choose(raw, sizes, learning=True)

    @staticmethod
    def _given(truth: Truth, number: int) -> Proposals:
        if truth.proposals is None:
            raise PellucidError(
                f"truth {number}: has no proposals, which this model learns from; see pellucid.data.with_proposals"
            )
        return Proposals.external(truth.proposals)

    def _proposal_losses(
        self,
        raw: RawProposals,
        sizes: Sequence[tuple[int, int]],
        truths: Sequence[Truth],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        s = self.settings
        proposer = self.network.proposer
        assert proposer is not None
        objectness, boxes = [], []
        anchors = raw.anchors
        for logits, deltas, size, truth, generator in zip(
            raw.logits, raw.deltas, sizes, truths, generators, strict=True
        ):
            true = truth.boxes.to(anchors.device)
            matches = match(pairwise_iou(true, anchors), 0.3, 0.7, allow_low_quality=True)
            if not s.crossing_anchors:
                limit = anchors.new_tensor((size[1], size[0]))
                inside = (anchors[:, :2] >= 0).all(1) & (anchors[:, 2:] <= limit).all(1)
                matches = torch.where(inside, matches, BETWEEN)
            matches = spared(matches, anchors, truth.ignored)
            positive, negative = sample(matches, s.anchor_samples, s.anchor_positives, generator)
            count = max(1, len(positive) + len(negative))
            rows = torch.cat((positive, negative))
            target = torch.zeros(len(rows), device=logits.device)
            target[: len(positive)] = 1
            objectness.append(F.binary_cross_entropy_with_logits(logits[rows].float(), target, reduction="sum") / count)
            wanted = proposer.coder.encode(true[matches[positive]], anchors[positive])
            error = _smooth_l1(deltas[positive].float(), wanted, self.convention.proposal_beta)
            boxes.append(error / count)
        return {"objectness": torch.stack(objectness).mean(), "proposal_box": torch.stack(boxes).mean()}

    def _region_losses(
        self,
        maps: Sequence[Tensor],
        proposals: Sequence[Proposals],
        truths: Sequence[Truth],
        generators: Sequence[torch.Generator],
    ) -> dict[str, Tensor]:
        s = self.settings
        chosen: list[tuple[Tensor, Tensor]] = []  # boxes, and the row of each one's truth or BELOW
        for one, truth, generator in zip(proposals, truths, generators, strict=True):
            true = truth.boxes.to(one.boxes.device)
            boxes = torch.cat((true, one.boxes))
            matches = _background_from(pairwise_iou(true, boxes), s.negative_iou, s.positive_iou)
            matches = spared(matches, boxes, truth.ignored)
            positive, negative = sample(matches, s.region_samples, s.region_positives, generator)
            rows = torch.cat((positive, negative))
            chosen.append((boxes[rows], matches[rows]))
        judged = self.network.judge(maps, [boxes for boxes, _ in chosen])
        counts = [len(boxes) for boxes, _ in chosen]
        class_losses, box_losses = [], []
        for (boxes, matches), truth, logits, deltas in zip(
            chosen, truths, judged.logits.split(counts), judged.deltas.split(counts), strict=True
        ):
            positive = matches >= 0
            background = logits.shape[1] - 1
            own = truth.labels.to(logits.device)[matches[positive]]
            labels = torch.full((len(boxes),), background, device=logits.device)
            labels[positive] = own
            count = max(1, len(boxes))
            class_losses.append(F.cross_entropy(logits.float(), labels, reduction="sum") / count)
            wanted = self.network.coder.encode(truth.boxes.to(boxes.device)[matches[positive]], boxes[positive])
            error = _smooth_l1(deltas[positive, own].float(), wanted, self.convention.box_beta)
            box_losses.append(error / count)
        made = {"class": torch.stack(class_losses).mean(), "box": torch.stack(box_losses).mean()}
        positives = [(boxes[matches >= 0], matches[matches >= 0]) for boxes, matches in chosen]
        if s.masks:
            made["mask"] = self._mask_loss(maps, positives, truths)
        if s.keypoints:
            made["keypoint"] = self._keypoint_loss(maps, positives, truths)
        return made

    def _mask_loss(
        self, maps: Sequence[Tensor], positives: Sequence[tuple[Tensor, Tensor]], truths: Sequence[Truth]
    ) -> Tensor:
        logits = self.network.mask_logits(maps, [boxes for boxes, _ in positives])
        losses = []
        for (boxes, rows), truth, own in zip(
            positives, truths, logits.split([len(boxes) for boxes, _ in positives]), strict=True
        ):
            if truth.masks is None:
                losses.append(own.sum() * 0)
                continue
            wanted = crop_masks(truth.masks, boxes.cpu() * truth.to_photo, rows.cpu(), own.shape[-1]).to(own.device)
            labels = truth.labels.to(own.device)[rows]
            said = own[torch.arange(len(own), device=own.device), labels].float()
            losses.append(
                F.binary_cross_entropy_with_logits(said, wanted.to(said.dtype), reduction="sum") / max(1, said.numel())
                + own.sum() * 0
            )
        return torch.stack(losses).mean()

    def _keypoint_loss(
        self, maps: Sequence[Tensor], positives: Sequence[tuple[Tensor, Tensor]], truths: Sequence[Truth]
    ) -> Tensor:
        logits = self.network.keypoint_logits(maps, [boxes for boxes, _ in positives])
        losses = []
        for (boxes, rows), truth, own in zip(
            positives, truths, logits.split([len(boxes) for boxes, _ in positives]), strict=True
        ):
            if truth.keypoints is None:
                losses.append(own.sum() * 0)
                continue
            points = truth.keypoints.to(own.device)[rows]
            targets, seen = encode_keypoints(points, boxes, own.shape[-1])
            known = own[:, : points.shape[1]].flatten(2)[seen].float()
            error = F.cross_entropy(known, targets[seen], reduction="sum") / max(1, int(seen.sum()))
            losses.append(error + own.sum() * 0)
        return torch.stack(losses).mean()

    def stages(self) -> list[Stage]:
        """One stage in which all learn, or the four of the paper's alternating training."""
        if not self.settings.alternating:
            return [Stage("joint", 1.0)]
        return self.alternation.stages()


def _smooth_l1(said: Tensor, wanted: Tensor, beta: float) -> Tensor:
    """Summed over all; ``beta`` 0 is L1."""
    if beta == 0:
        return (said - wanted).abs().sum()
    return F.smooth_l1_loss(said, wanted, beta=beta, reduction="sum")


def _background_from(iou: Tensor, low: float, high: float) -> Tensor:
    """Matches (R,) of regions: background is what overlaps a truth by ``low`` or more but less than ``high``.

    What overlaps less teaches nothing, unless there is nothing else.
    Source: Girshick, 'Fast R-CNN', ICCV 2015, section 2.3.
    """
    matches = match(iou, high, high)
    if low > 0 and len(iou):
        far = (matches == BELOW) & (iou.amax(0) < low)
        if not bool(far.all()):
            matches = torch.where(far, BETWEEN, matches)
    return matches
