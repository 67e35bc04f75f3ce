"""A detector of a few convolutions: it gives one box a photo. It learns in seconds, and draws by chance."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.models.base import Detector
from pellucid.structures import Annotations, Classes, Instances, Photo, Placement

SIDE = 32


class Tiny(Detector):
    """One box a photo, and its class. ``noise``: how much chance there is in its loss."""

    task = "detection"
    protocols = ("coco",)

    def __init__(self, classes: Classes, settings: dict[str, Any]) -> None:
        super().__init__(classes, "tiny", "tiny", "none", settings)
        width = settings["width"]
        self.network = nn.ModuleDict(
            {
                "body": nn.Sequential(
                    nn.Conv2d(3, width, 3, 2, 1), nn.GroupNorm(2, width), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1)
                ),
                "drop": nn.Dropout(settings["dropout"]),
                "box": nn.Linear(width, 4),
                "label": nn.Linear(width, len(classes)),
            }
        )

    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]:
        photos = self._photos(images)
        batch = torch.cat([F.interpolate(photo[None], (SIDE, SIDE), mode="bilinear") for photo in photos])
        sizes = [(photo.shape[1], photo.shape[2]) for photo in photos]
        return batch, [Placement((H, W), (SIDE, SIDE), (0.0, 0.0, float(W), float(H))) for H, W in sizes]

    def _heads(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network["drop"](self.network["body"](batch).relu().mean((2, 3)))
        return self.network["box"](features), self.network["label"](features)

    def from_frame(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        made = []
        boxes, logits = self._heads(batch)
        for i, (box, row) in enumerate(zip(boxes.sigmoid(), logits, strict=True)):
            H, W = placements[i].photo if placements else (SIDE, SIDE)
            low, high = torch.minimum(box[:2], box[2:]), torch.maximum(box[:2], box[2:])
            scaled = torch.cat((low, high)) * torch.tensor([W, H, W, H])
            score, label = row.softmax(0).max(0)
            made.append(
                Annotations((H, W), self.classes, instances=Instances(scaled[None], label[None], scores=score[None]))
            )
        return made

    def loss(
        self, images: Sequence[Photo] | Tensor, truths: Sequence[Annotations], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        boxes, logits = self._heads(self.prepare(images)[0])
        box_loss, label_loss = boxes.sum() * 0, logits.sum() * 0
        for i, truth in enumerate(truths):
            objects = truth.instances
            if objects is None or not len(objects):
                continue
            chosen = 0
            if seeds is not None:
                chosen = int(torch.randint(len(objects), (), generator=torch.Generator().manual_seed(seeds[i])))
            H, W = truth.size
            wanted = objects.boxes[chosen] / torch.tensor([W, H, W, H])
            box_loss = box_loss + F.l1_loss(boxes[i].sigmoid(), wanted)
            label_loss = label_loss + F.cross_entropy(logits[i : i + 1], objects.labels[chosen : chosen + 1])
        return {"loss_box": box_loss / len(truths), "loss_label": label_loss / len(truths)}


def tiny(
    classes: Classes, backbone: str = "none", *, pretrained: bool = True, width: int = 8, dropout: float = 0.0
) -> Tiny:
    """What ``build`` calls."""
    return Tiny(classes, {"width": width, "dropout": dropout})
