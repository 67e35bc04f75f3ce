"""The region proposal network: where on the feature maps there may be an object of whatever class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.models.region.conventions import Convention
from pellucid.models.region.settings import RegionSettings
from pellucid.ops.anchors import cell_anchors, level_anchors
from pellucid.ops.coding import BoxCoder
from pellucid.ops.suppression import batched_nms
from pellucid.structures.boxes import clip_boxes


@dataclass
class Proposals:
    """What is proposed of one image, best first, and where it comes from.

    ``boxes``: (P, 4) xyxy in the frame, with their graph. ``logits``: (P,), how much they look like an object.
    ``anchors``: int64 (P,), the rows of the anchors that they come from; ``levels``: int64 (P,), of which feature map.
    A box that something else proposed has −1 for both, and logit 0.
    """

    boxes: Tensor
    logits: Tensor
    anchors: Tensor
    levels: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def external(cls, boxes: Tensor) -> "Proposals":
        """Boxes that something else proposed."""
        none = torch.full((len(boxes),), -1, dtype=torch.int64, device=boxes.device)
        return cls(boxes, boxes.new_zeros(len(boxes)), none, none)

    def detached(self) -> "Proposals":
        """The same without graph."""
        return Proposals(self.boxes.detach(), self.logits.detach(), self.anchors, self.levels)


@dataclass
class RawProposals:
    """What the network says of every anchor of a batch.

    ``logits``: (N, A); ``deltas``: (N, A, 4); ``anchors``: (A, 4) xyxy in the frame; ``counts``: how many a level.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: list[int]


class RegionProposer(nn.Module):
    """A 3×3 convolution and two 1×1 over every level: for each anchor, whether it is an object, and its true box.

    ``strides``: of the levels. Source: Ren et al., 'Faster R-CNN', NeurIPS 2015, section 3.1.
    """

    def __init__(
        self, in_channels: int, strides: Sequence[int], settings: RegionSettings, convention: Convention
    ) -> None:
        super().__init__()
        self.strides = list(strides)
        self.settings = settings
        self.convention = convention
        self.coder = BoxCoder()
        cells = [cell_anchors(sizes, settings.anchor_ratios, convention.anchors) for sizes in settings.anchor_sizes]
        self._cells = cells
        each = {len(one) for one in cells}
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.objectness = nn.Conv2d(in_channels, max(each), 1)
        self.deltas = nn.Conv2d(in_channels, 4 * max(each), 1)
        for conv in (self.conv, self.objectness, self.deltas):
            assert conv.bias is not None
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def forward(self, maps: Sequence[Tensor], frame: tuple[int, int]) -> RawProposals:
        """What is said of every anchor; ``maps``: (N, C, h, w) a level; ``frame``: (h, w) of the batch."""
        logits, deltas, sizes = [], [], []
        for x in maps:
            hidden = F.relu(self.conv(x), inplace=True)
            logits.append(self.objectness(hidden).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.deltas(hidden).permute(0, 2, 3, 1).reshape(len(x), -1, 4))
            sizes.append((x.shape[-2], x.shape[-1]))
        if self.convention.exact_strides:
            steps = [(stride, stride) for stride in self.strides]
        else:
            steps = [(frame[0] // h, frame[1] // w) for h, w in sizes]
        cells = [one.to(maps[0].device) for one in self._cells]
        levels = level_anchors(cells, sizes, steps, self.convention.anchors.offset)
        return RawProposals(torch.cat(logits, 1), torch.cat(deltas, 1), torch.cat(levels), [len(one) for one in levels])

    def choose(self, raw: RawProposals, sizes: Sequence[tuple[int, int]], learning: bool) -> list[Proposals]:
        """The best proposals of each image, clipped to its ``sizes`` (h, w), after suppression within each level."""
        return [
            self.chosen(logits, deltas, raw, size, learning)
            for logits, deltas, size in zip(raw.logits, raw.deltas, sizes, strict=True)
        ]

    def chosen(
        self, logits: Tensor, deltas: Tensor, raw: RawProposals, size: tuple[int, int], learning: bool
    ) -> Proposals:
        """As ``choose``, of one image's logits (A,) and deltas (A, 4)."""
        rows, levels, boxes = self.before_suppression(logits, deltas, raw, size, learning)
        chosen = self.suppressed(logits, rows, levels, boxes)
        chosen = chosen[: self.settings.training_proposals_after if learning else self.settings.proposals_after]
        return Proposals(boxes[chosen], logits[rows[chosen]], rows[chosen], levels[chosen])

    def before_suppression(
        self, logits: Tensor, deltas: Tensor, raw: RawProposals, size: tuple[int, int], learning: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best of every level that are large and probable enough: rows (R,), levels (R,) and boxes (R, 4)."""
        s = self.settings
        before = s.training_proposals_before if learning else s.proposals_before
        best, start = [], 0
        for count in raw.counts:
            best.append(logits[start : start + count].detach().topk(min(before, count)).indices + start)
            start += count
        rows = torch.cat(best)
        levels = torch.cat([torch.full_like(one, level) for level, one in enumerate(best)])
        boxes = clip_boxes(self.coder.decode(deltas[rows].float(), raw.anchors[rows]), size)
        chances = logits[rows].detach().float().sigmoid()
        sides = (boxes[:, 2:] - boxes[:, :2]).detach().amin(1)
        large = sides >= s_min if (s_min := self.convention.smallest_proposal) > 0 else sides > 0
        kept = torch.nonzero(large & (chances >= s.proposal_score)).flatten()
        return rows[kept], levels[kept], boxes[kept]

    def suppressed(self, logits: Tensor, rows: Tensor, levels: Tensor, boxes: Tensor) -> Tensor:
        """Which of them are left by suppression within each level, best first."""
        chances = logits[rows].detach().float().sigmoid()
        return batched_nms(boxes, chances, levels, self.settings.proposal_iou)
