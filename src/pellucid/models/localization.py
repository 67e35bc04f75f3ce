"""The localizer: says which class a photo shows, and where its one object is."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid.errors import PellucidError, nearest
from pellucid.models.base import Detector
from pellucid.models.catalogue import EMBEDDED
from pellucid.models.localization_trace import LocalizerTrace
from pellucid.models.preprocessing import Preprocessing
from pellucid.models.region.rcnn_trunk import Trunk, make_trunk
from pellucid.ops.boxes import pairwise_giou
from pellucid.structures import Annotations, Classes, Instances, Photo, Placement
from pellucid.structures.trace import Trace

_BOX_LOSSES = ("giou", "smooth_l1")
_BETA = 0.05
"""Where smooth L1 turns from a square to a line, in sides of the photo."""


class LocalizerNetwork(nn.Module):
    """``trunk``, and two heads on its maps: ``classifier`` sees their mean, ``boxes`` where everything is.

    Of a normalised batch (N, 3, s, s) it gives logits (N, K) and boxes (N, B, 4), xyxy as shares of the frame, where B
    is 1 or K. The gaps on both sides of a box and its extent are a softmax, so that a box is always inside the frame,
    in order, and never without a gradient.
    """

    def __init__(self, trunk: Trunk, classes: int, cells: int, hidden: int, box_count: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.cells = cells
        C = trunk.channels
        self.classifier = nn.Linear(C, classes)
        last = nn.Linear(hidden, 4 * box_count)
        nn.init.normal_(last.weight, std=0.001)
        nn.init.zeros_(last.bias)
        self.boxes = nn.Sequential(
            nn.Conv2d(C, hidden // 4, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(hidden // 4 * cells**2, hidden),
            nn.ReLU(),
            last,
        )
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        return self.judged(self.trunk(batch))

    def judged(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the trunk's maps (N, C, h, w)."""
        gaps = self.boxes(F.adaptive_avg_pool2d(maps, self.cells)).unflatten(1, (-1, 2, 2))
        # the last axis: the gap before the box and the one behind it, against an extent of logit 0
        before, _, behind = (
            torch.cat((gaps[..., :1], torch.zeros_like(gaps[..., :1]), gaps[..., 1:]), -1).softmax(-1).unbind(-1)
        )
        return self.classified(maps), torch.cat((before, 1 - behind), -1)

    def classified(self, maps: Tensor) -> Tensor:
        """The logits alone."""
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits


class Localizer(Detector):
    """A classifier that also outlines the one object of a photo, as ILSVRC's localization task asks.

    The photo is squeezed to a square, so that the network sees all of it. ``logits`` of the annotations: a score each
    class; ``instances``: the ``guesses`` most probable classes with their boxes and, as scores, their probabilities.
    Source: in the spirit of Sermanet et al., 'OverFeat', ICLR 2014, and Simonyan and Zisserman, ICLR 2015 (appendix A),
    whose box regressor shares the classifier's trunk, for all classes (SCR) or for each of its own (PCR).
    """

    task = "localization"
    protocols = ("ilsvrc-loc",)
    separate_parts = ("class",)
    network: LocalizerNetwork

    def __init__(
        self, classes: Classes, backbone: str, settings: dict[str, Any], trunk: Trunk, preprocessing: Preprocessing
    ) -> None:
        super().__init__(classes, f"localizer ({backbone})", "localizer", backbone, settings)
        side = (settings["size"],) * 2
        self.preprocessing = Preprocessing(side, side, "bilinear", "squash", preprocessing.mean, preprocessing.std)
        count = len(classes) if settings["per_class"] else 1
        self.of_classes = ("classifier.", "boxes.5.") if settings["per_class"] else ("classifier.",)
        self.network = LocalizerNetwork(trunk, len(classes), settings["cells"], settings["hidden"], count)

    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]:
        return self.preprocessing.batch(self._photos(images), self.device)

    def from_frame(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        return [trace.annotations(kept=False) for trace in self._traces(batch, placements)]

    def traced(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        """As ``from_frame``, with the trace of each image."""
        return [trace.annotations(kept=True) for trace in self._traces(batch, placements)]

    def from_trace(self, trace: Trace, *, parts: bool = True) -> Annotations:
        assert isinstance(trace, LocalizerTrace)
        return trace.annotations(kept=True)

    def _traces(self, batch: Tensor, placements: Sequence[Placement] | None) -> list[LocalizerTrace]:
        if not len(batch):
            return []
        if placements is None:
            placements = [Placement.whole(batch.shape[-2], batch.shape[-1])] * len(batch)
        network, guesses = self.network, self.settings["guesses"]
        maps = network.trunk(self.preprocessing.normalise(batch))
        logits, relative = network.judged(maps)
        self.check_finite(logits, relative)
        return [
            LocalizerTrace(network, self.classes, placement, own, said, _on_photo(boxes, placement), guesses)
            for own, said, boxes, placement in zip(maps, logits, relative, placements, strict=True)
        ]

    def loss(
        self, images: Sequence[Photo] | Tensor, truths: Sequence[Annotations], seeds: Sequence[int] | None = None
    ) -> dict[str, Tensor]:
        """``classification``: cross entropy; ``box``: 1 − GIoU, or smooth L1 in shares of the photo's sides.

        Both are of the largest object that is not a crowd; an image without one counts with 0. Where an image has a
        class (``present``) and no object, the class alone is learned.
        """
        batch, placements = self.prepare(images)
        self.check_truths(truths, placements)
        logits, relative = self.network(self.preprocessing.normalise(batch))
        classification, box = logits.sum() * 0, relative.sum() * 0
        for i, (truth, placement) in enumerate(zip(truths, placements, strict=True)):
            label, wanted = self._wanted(truth, placement)
            if label is None:
                continue
            classification = classification + F.cross_entropy(logits[i], torch.tensor(label, device=logits.device))
            if wanted is not None:
                guess = relative[i, label if self.settings["per_class"] else 0]
                box = box + self._box_loss(guess, wanted.to(guess))
        count = len(batch)
        return {"classification": classification / count, "box": self.settings["box_weight"] * box / count}

    def _wanted(self, truth: Annotations, placement: Placement) -> tuple[int | None, Tensor | None]:
        """The class to learn, and the box, as shares of the photo; None where there is none."""
        H, W = placement.photo
        label, box = (truth.present[0] if len(truth.present) == 1 else None), None
        instances = truth.instances or Instances.empty()
        instances = instances[~(instances.crowd | instances.group_of)]
        limits = instances.boxes.new_tensor([W, H, W, H])
        boxes = torch.minimum(instances.boxes.clamp(min=0), limits)
        areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
        if len(areas) and float(areas.max()) > 0:
            largest = int(areas.argmax())
            label, box = int(instances.labels[largest]), boxes[largest] / limits
        return label, box

    def _box_loss(self, guess: Tensor, wanted: Tensor) -> Tensor:
        if self.settings["box_loss"] == "smooth_l1":
            return F.smooth_l1_loss(guess, wanted, beta=_BETA, reduction="sum")
        return 1 - pairwise_giou(guess[None], wanted[None])[0, 0]


def _on_photo(relative: Tensor, placement: Placement) -> Tensor:
    """Boxes (B, 4), shares of the frame, in the photo's pixels and within it."""
    x1, y1, x2, y2 = placement.box
    H, W = placement.photo
    boxes = relative * relative.new_tensor([x2 - x1, y2 - y1] * 2) + relative.new_tensor([x1, y1] * 2)
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor([W, H, W, H]))


def localizer(
    classes: Classes,
    backbone: str = EMBEDDED,
    *,
    pretrained: bool = True,
    size: int = 224,
    per_class: bool = False,
    box_loss: str = "giou",
    box_weight: float = 1.0,
    cells: int = 7,
    hidden: int = 256,
    guesses: int = 1,
    frozen_norm: bool = True,
) -> Localizer:
    """A classifier with a box for its one object.

    ``size``: the side of the square to which photos are squeezed. ``per_class``: a box of its own for each class.
    ``box_loss``: 'giou' or 'smooth_l1', times ``box_weight``. ``cells``: the box head sees maps pooled to so many cells
    a side; ``hidden``: its width. ``guesses``: so many classes are reported, 5 for ILSVRC's top-5 error.
    ``frozen_norm``: whether batch normalisation stays as it is. Raises PellucidError for a value that a setting cannot
    have, and for a backbone without maps of features.
    """
    settings = {name: value for name, value in locals().items() if name not in ("classes", "backbone", "pretrained")}
    for name, low in (("size", 32), ("cells", 1), ("hidden", 4), ("guesses", 1)):
        if isinstance(settings[name], bool) or not isinstance(settings[name], int) or settings[name] < low:
            raise PellucidError(f"localizer: {name}={settings[name]!r}; give a whole number, {low} or more")
    if box_loss not in _BOX_LOSSES:
        raise PellucidError(f"localizer: box_loss '{box_loss}'{nearest(box_loss, _BOX_LOSSES)}; giou or smooth_l1")
    if not box_weight >= 0:
        raise PellucidError(f"localizer: box_weight={box_weight}; give 0 or more")
    trunk, preprocessing = make_trunk(backbone, pretrained, frozen_norm)
    return Localizer(classes, backbone, settings, trunk, preprocessing).eval()
