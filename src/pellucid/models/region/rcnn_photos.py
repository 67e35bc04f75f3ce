"""What detectors share that look at one crop after another: the photo as frame, and where its boxes come from."""

import copy
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models.base import Detector
from pellucid.models.preprocessing import Preprocessing
from pellucid.ops.selective_search import selective_search
from pellucid.structures import Annotations, Classes, Instances, Photo, Placement
from pellucid.structures.trace import Trace

_NEVER_SMALLER = 2
"""Proposals less wide or tall than so many pixels are not looked at."""


class ObjectTrace(Trace):
    """A trace that makes its objects itself, and can be chosen from anew by a ``model`` of the same network."""

    model: Any

    def chosen_by(self, model: Any) -> Self:
        """The same, with what a model of the same network and other thresholds reports."""
        made = copy.copy(self)
        made.model = model
        made._choose()
        return made

    @abstractmethod
    def _choose(self) -> None:
        """Sets ``rows`` and ``labels`` as the model's thresholds have it."""

    @abstractmethod
    def objects(self) -> Instances:
        """The detections, in the photo; with their graph where one is recorded."""


class CropDetector(Detector):
    """A detector that classifies crops of proposals, one by one.

    Settings that all have: ``proposals``: how many at most of an image; ``mode``: of the selective search;
    ``max_side``: longer photos are made smaller first; ``crop_size``: the side of the square to which each is warped;
    ``chunk``: so many crops go through the network at once.
    """

    def __init__(
        self,
        classes: Classes,
        name: str,
        recipe: str,
        backbone: str,
        settings: Mapping[str, Any],
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__(classes, name, recipe, backbone, settings)
        for setting in ("proposals", "max_side", "crop_size", "chunk"):
            if isinstance(settings[setting], bool) or not isinstance(settings[setting], int) or settings[setting] < 1:
                raise PellucidError(f"{recipe}: {setting}={settings[setting]!r}; give a whole number, 1 or more")
        self.preprocessing = preprocessing

    def propose(self, image: Tensor) -> Tensor:
        """Boxes of a uint8 image (3, H, W) that may hold an object: float32 (P, 4), xyxy; may be replaced."""
        return selective_search(image, self.settings["mode"], limit=self.settings["proposals"], min_side=_NEVER_SMALLER)

    def prepare(self, images: Sequence[Photo] | Tensor) -> tuple[Tensor, list[Placement]]:
        photos = self._photos(images)
        sizes = [(photo.shape[1], photo.shape[2]) for photo in photos]
        made = [self._reduced(photo) for photo in photos]
        h, w = (max((image.shape[axis] for image in made), default=1) for axis in (1, 2))
        batch = self._mean(torch.zeros(0, device=self.device)).expand(len(made), 3, h, w).clone()
        placements = []
        for i, (image, (H, W)) in enumerate(zip(made, sizes, strict=True)):
            own_h, own_w = image.shape[1:]
            batch[i, :, :own_h, :own_w] = image
            placements.append(Placement((H, W), (h, w), (0.0, 0.0, w * W / own_w, h * H / own_h)))
        return batch, placements

    def detect(self, images: Sequence[Photo] | Tensor, proposals: Sequence[Tensor]) -> list[Annotations]:
        """As ``forward``, of given proposals: (P, 4) for each image, in its own pixels."""
        batch, placements = self.prepare(images)
        if len(proposals) != len(placements):
            raise PellucidError(f"{self.name}: {len(placements)} images but proposals for {len(proposals)}; give each")
        return self.from_frame(batch, placements, proposals)

    def from_frame(
        self,
        batch: Tensor,
        placements: Sequence[Placement] | None = None,
        proposals: Sequence[Tensor] | None = None,
    ) -> list[Annotations]:
        """What the network says of a prepared batch (N, 3, h, w) in [0, 1]; differentiable.

        Without ``placements`` the frames count as the photos. ``proposals``: (P, 4) for each, in the photo's pixels; by
        default what ``propose`` finds. All boxes are looked at without a graph; those that remain once more, with it.
        Raises PellucidError where the output is not finite.
        """
        made = []
        for view, boxes in self.views(batch, placements, proposals):
            found = self.found(self.normalised(view.image), boxes)
            found.boxes = view.clipped_to_photo(found.boxes)
            made.append(Annotations(view.placement.photo, self.classes, instances=found))
        return made

    def views(
        self, batch: Tensor, placements: Sequence[Placement] | None, proposals: Sequence[Tensor] | None
    ) -> Iterator[tuple["View", Tensor]]:
        """Of each frame the part that shows the photo, and the boxes to look at, in its pixels."""
        if placements is None:
            placements = [Placement.whole(batch.shape[-2], batch.shape[-1])] * len(batch)
        for i, (frame, placement) in enumerate(zip(batch, placements, strict=True)):
            view = View(frame, placement)
            boxes = self.proposed(view) if proposals is None else view.to_view(proposals[i].to(batch))
            yield view, boxes.to(view.image.device)

    def traced(self, batch: Tensor, placements: Sequence[Placement] | None = None) -> list[Annotations]:
        """As ``from_frame``, with the trace of each image."""
        made = []
        for view, boxes in self.views(batch, placements, None):
            trace = self.traced_view(view, boxes)
            made.append(Annotations(view.placement.photo, self.classes, instances=trace.objects(), trace=trace))
        return made

    @abstractmethod
    def traced_view(self, view: "View", boxes: Tensor) -> "ObjectTrace":
        """The trace of an image of which proposals (P, 4) are looked at."""

    @abstractmethod
    def found(self, image: Tensor, boxes: Tensor) -> Instances:
        """The objects of a normalised image (3, H, W), by falling score, of proposals (P, 4)."""

    def proposed(self, view: "View") -> Tensor:
        """What ``propose`` finds in an image, in its pixels."""
        pixels = (view.image.detach() * 255).round().clamp(0, 255).to(torch.uint8)
        return self.propose(pixels).to(view.image.device)

    def normalised(self, image: Tensor) -> Tensor:
        """(3, H, W) in [0, 1] as the network takes it; 0 is the mean colour."""
        return self.preprocessing.normalise(image)

    def _reduced(self, photo: Tensor) -> Tensor:
        H, W = photo.shape[1:]
        scale = self.settings["max_side"] / max(H, W)
        if scale >= 1:
            return photo
        size = (max(1, round(H * scale)), max(1, round(W * scale)))
        resized: Tensor = F.interpolate(photo[None], size, mode="bilinear", antialias=True)[0]
        return resized

    def _mean(self, like: Tensor) -> Tensor:
        return like.new_tensor(self.preprocessing.mean)[:, None, None]


class View:
    """The part of a frame (3, h, w) that shows the photo, ``image``, and how boxes travel between it and the photo.

    ``corner``: its left and top in the frame.
    """

    def __init__(self, frame: Tensor, placement: Placement) -> None:
        self.placement = placement
        h, w = frame.shape[-2:]
        (H, W), (x1, y1, x2, y2) = placement.photo, placement.box
        self._scale = (w / (x2 - x1), h / (y2 - y1))
        spans = []
        for scale, start, length, side in ((self._scale[0], x1, W, w), (self._scale[1], y1, H, h)):
            first = min(max(0, round(-start * scale)), side - 1)
            spans.append((first, max(first + 1, min(side, round((length - start) * scale)))))
        (left, right), (top, bottom) = spans
        self.image = frame[:, top:bottom, left:right]
        self.corner = (left, top)
        self._start = (x1 + left / self._scale[0], y1 + top / self._scale[1])

    def to_photo(self, boxes: Tensor) -> Tensor:
        """Boxes (N, 4) of the image in the photo's pixels."""
        return boxes / boxes.new_tensor(self._scale * 2) + boxes.new_tensor(self._start * 2)

    def clipped_to_photo(self, boxes: Tensor) -> Tensor:
        """The same, within the photo."""
        H, W = self.placement.photo
        return torch.minimum(self.to_photo(boxes).clamp(min=0), boxes.new_tensor([W, H, W, H]))

    def to_view(self, boxes: Tensor) -> Tensor:
        """Boxes (N, 4) of the photo in the image's pixels."""
        return (boxes - boxes.new_tensor(self._start * 2)) * boxes.new_tensor(self._scale * 2)
