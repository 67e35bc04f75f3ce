"""The trace of a detector of regions: from the anchors to the objects, and back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid.models.region.fates import BY_HEADS, NO_PROPOSAL, JudgedTrace, Near, plain_box
from pellucid.models.region.frame import scale_to_photo, seen_size
from pellucid.models.region.network import MASK_POOL, RegionNetwork
from pellucid.models.region.proposer import Proposals, RawProposals
from pellucid.models.region.selection import Selection, class_log_odds
from pellucid.ops.heatmaps import decode_heatmaps
from pellucid.structures import Classes, Placement
from pellucid.structures.boxes import clip_boxes
from pellucid.structures.trace import Fate, Part, Patch, Step

_BY_PROPOSER = (
    "no anchor near",
    "cut before the proposals' suppression",
    "suppressed among the proposals",
    "cut after the proposals' suppression",
)


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


@dataclass
class RegionTrace(JudgedTrace):
    """See ``Trace``; candidates are the proposals.

    ``maps``: (C, h, w) of this image, a level each. ``raw``: what was said of every anchor
    of the batch, of which this is image ``image``; None where proposals came from elsewhere.
    """

    network: RegionNetwork
    classes: Classes
    placement: Placement
    regions: Regions
    selection: Selection
    maps: list[Tensor]
    raw: RawProposals | None
    image: int
    _opened: dict[tuple[Part, int], Tensor] = field(default_factory=dict, repr=False)
    _decoded: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.size = self.placement.photo
        self._scale = scale_to_photo(self.placement, self.regions.boxes)
        self.boxes = self.regions.boxes * self._scale
        self.scores = self.regions.logits.softmax(-1)[:, :-1]
        self.rows, self.labels = self.regions.rows, self.regions.labels
        self.reasons = ((NO_PROPOSAL,) if self.raw is None else _BY_PROPOSER) + BY_HEADS

    def logits(self, rows: Tensor) -> Tensor:
        return self._with_background(rows)[:, :-1]

    def log_odds(self, rows: Tensor, labels: Tensor) -> Tensor:
        return class_log_odds(self._with_background(rows), labels)

    def _with_background(self, rows: Tensor) -> Tensor:
        if not self._opened:
            return self.regions.logits[rows]
        return torch.stack([self._opened["class", row] for row in rows.tolist()])

    @contextmanager
    def opened(self, part: Part, rows: Sequence[int]) -> Iterator[Tensor]:
        network, maps = self.network, [x[None] for x in self.maps]
        boxes = self._boxes_read(part, rows)
        with torch.no_grad():
            leaf = network.pool(maps, [boxes], network.pool_size if part == "class" else MASK_POOL)
        leaf.requires_grad_()
        said: Sequence[Tensor]
        if part == "class":
            said = network.judge_pooled(leaf).logits.float().unbind()
        elif part == "mask":
            logits = network.mask_head(leaf)  # type: ignore[misc]
            said = [own[label] for own, label in zip(logits.float(), self.labels[list(rows)].tolist(), strict=True)]
        else:
            _, scores = decode_heatmaps(network.keypoint_head(leaf).float(), boxes)  # type: ignore[misc]
            said = scores.unbind()
        self._opened = {(part, row): own for row, own in zip(rows, said, strict=True)}
        try:
            yield leaf
        finally:
            self._opened = {}

    def said(self, part: Part, number: int) -> Tensor | None:
        return self._opened.get((part, number))

    def said_at(self, part: Part, box: Sequence[float], label: int) -> Tensor:
        network, maps = self.network, [x[None] for x in self.maps]
        there = [self._in_frame(box)]
        if part == "mask" and network.mask_head is not None:
            return network.mask_logits(maps, there).float()[0, label]
        if part == "keypoints" and network.keypoint_head is not None:
            return decode_heatmaps(network.keypoint_logits(maps, there).float(), there[0])[1][0]
        raise KeyError(part)

    def _boxes_read(self, part: Part, rows: Sequence[int]) -> Tensor:
        """Where the features of candidates, or of the other parts of detections, are read: (T, 4) in the frame."""
        chosen = list(rows)
        if part == "class":
            return self.regions.proposals.boxes[chosen].detach()
        return self.regions.boxes[self.rows[chosen], self.labels[chosen]].detach()

    def patches(self, part: Part, rows: Sequence[int], features: Tensor, gradients: Tensor) -> list[Patch]:
        boxes = self._boxes_read(part, rows)
        whole = (float(self.placement.frame[1]), float(self.placement.frame[0]))
        made = []
        for spread in self.network.pooler.spread(self.maps, boxes, gradients):
            map_ = self.maps[spread.level].detach()
            at = Placement(self.placement.frame, (map_.shape[1], map_.shape[2]), (0.0, 0.0, *whole))
            made.append(Patch(self._layer(spread.level), map_, spread.gradient, spread.top, spread.left, at))
        return made

    def layer(self, part: Part, at: int | Sequence[float]) -> str | None:
        boxes = self._boxes_read(part, [at]) if isinstance(at, int) else self._in_frame(at)
        return self._layer(int(self.network.pooler.levels(boxes)[0]))

    def _in_frame(self, box: Sequence[float]) -> Tensor:
        """A box of the photo in the frame, (1, 4)."""
        return self.regions.boxes.new_tensor([list(box)]) / self._scale

    def _layer(self, level: int) -> str:
        return f"neck.output.{level}" if self.network.neck is not None else "backbone"

    def origin(self, number: int) -> list[Step]:
        row, label = int(self.rows[number]), int(self.labels[number])
        proposals = self.regions.proposals
        name, score = self.classes.names[label], float(self.scores[row, label].detach())
        level = int(self.network.pooler.levels(proposals.boxes[row : row + 1])[0])
        box = plain_box(self.boxes[row, label])
        steps = [
            Step("class", f"{name} {score:.2f}", box, score),
            Step(
                "region",
                f"read from {self._layer(level)}, a cell every {self.network.pooler.strides[level]} pixels",
                plain_box(proposals.boxes[row] * self._scale),
            ),
        ]
        if self.raw is None:
            return [*steps, Step("proposal", "proposed from outside", plain_box(proposals.boxes[row] * self._scale))]
        sure = float(proposals.logits[row].detach().sigmoid())
        anchor = self.raw.anchors[proposals.anchors[row]]
        w, h = (anchor[2:] - anchor[:2]).tolist()
        return [
            *steps,
            Step("proposal", f"an object by {sure:.2f}", plain_box(proposals.boxes[row] * self._scale), sure),
            Step(
                "anchor",
                f"{w:.0f} × {h:.0f} pixels of the frame, of level {int(proposals.levels[row])}",
                plain_box(anchor * self._scale),
            ),
        ]

    @property
    def threshold(self) -> float:
        return self.selection.settings.score_threshold

    @property
    def limit(self) -> int:
        return self.selection.settings.detections

    def survivors(self) -> tuple[Tensor, Tensor]:
        rows, labels, scores, boxes = self.selection.candidates(self.regions.logits, self.regions.boxes)
        kept, _ = self.selection.suppressed(boxes, scores, labels)
        return rows[kept], labels[kept]

    def first_choice(self, row: int) -> tuple[int | None, float]:
        probabilities = self.regions.logits[row].softmax(0)
        best = int(probabilities.argmax())
        return None if best == len(self.classes) else best, float(probabilities[best])

    def lost_before(self, near: Near, name: str) -> Fate:
        proposals = self.regions.proposals
        rows = near(proposals.boxes * self._scale)
        if len(rows):
            best = int(rows[0])
            return Fate("box moved away", f"proposed, but every box for {name} was moved off it", best)
        if self.raw is None:
            return Fate(NO_PROPOSAL, "no proposal overlaps it enough")
        assert self.network.proposer is not None
        proposer, raw = self.network.proposer, self.raw
        logits, deltas = raw.logits[self.image], raw.deltas[self.image]
        size = seen_size(self.placement)
        rows, levels, boxes = proposer.before_suppression(logits, deltas, raw, size)
        if len(near(boxes * self._scale)):
            left = proposer.suppressed(logits, rows, levels, boxes)
            if len(near(boxes[left] * self._scale)):
                return Fate(_BY_PROPOSER[3], f"proposed, but not among the best {proposer.settings.proposals_after}")
            return Fate(_BY_PROPOSER[2], "proposed, but a surer proposal of its level suppressed it")
        if self._decoded is None:
            self._decoded = clip_boxes(proposer.coder.decode(deltas.float(), raw.anchors), size) * self._scale
        rows = near(self._decoded)
        if len(rows):
            sure = float(logits[rows].max().sigmoid())
            return Fate(_BY_PROPOSER[1], f"proposed by {sure:.2f}, not among the best of its level")
        return Fate(_BY_PROPOSER[0], "no anchor's box overlaps it enough")
