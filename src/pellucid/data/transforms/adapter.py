"""Any transform of ``torchvision.transforms.v2``, or a chain of them, moving all that annotations hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from pellucid.data.transforms.base import Pair, Transform
from pellucid.data.transforms.moves import Size
from pellucid.data.transforms.objects import exchanged
from pellucid.data.transforms.warping import MIN_VISIBLE
from pellucid.errors import PellucidError
from pellucid.structures import IGNORE, Annotations, Classes, Instances, Masks, Panoptic, box_areas, clip_boxes

_NEAR = 0.6
"""A keypoint is in the picture if a pixel from this near is, in pixels of the image before, and half of what one takes
in where the image was reduced."""


@dataclass(frozen=True)
class Torchvision(Transform):
    """``transform``: what takes a dictionary of tv_tensors, such as ``v2.RandomRotation(30)`` or ``v2.Compose([…])``.

    The image goes through as ``tv_tensors.Image``, boxes as ``BoundingBoxes``, and where each pixel came from as a
    ``Mask``; masks, semantic and panoptic maps and keypoints follow from that, so that they agree whatever the
    transform, and pixels that it fills in belong to nothing, whatever its fill. Keypoints are exact to a fraction of a
    pixel. Objects of whose mask (without mask: box) less than ``min_visible`` is left, or whose box has no area, are
    dropped; ``v2.SanitizeBoundingBoxes``, which would take the masks for its own, is not wanted.

    torchvision draws from PyTorch's global generator, which is seeded for the call and put back afterwards. Raises
    PellucidError for that one, and for a transform that does not give the dictionary back.
    """

    transform: Callable[[dict[str, Any]], dict[str, Any]]
    min_visible: float = MIN_VISIBLE

    def __post_init__(self) -> None:
        if _sanitises(self.transform):
            raise PellucidError("SanitizeBoundingBoxes: leave it out; min_visible says which objects are dropped")

    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        H, W = image.shape[-2:]
        objects = annotations.instances
        boxes = torch.zeros(0, 4) if objects is None else objects.boxes.detach().float()
        rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
        given = {
            "image": tv_tensors.Image(image),
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(H, W)),
            "came_from": tv_tensors.Mask(torch.stack((torch.ones(H, W), rows, columns))),
        }
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = self.transform(given)
        return self._taken(made, annotations)

    def _taken(self, made: dict[str, Any], annotations: Annotations) -> Pair:
        if not isinstance(made, dict) or not {"image", "boxes", "came_from"} <= made.keys():
            raise PellucidError(f"{self.transform}: gives no dictionary as it was given; wrap a transform of v2")
        image = torch.as_tensor(made["image"]).as_subclass(Tensor)
        if image.dtype != torch.uint8 or image.ndim != 3:
            raise PellucidError(
                f"{self.transform}: gives {image.dtype} {tuple(image.shape)}, not uint8 (3, H, W); leave conversion "
                "and normalisation to the model"
            )
        origin = _Origin(made["came_from"].as_subclass(Tensor), annotations.size)
        if origin.size != tuple(image.shape[-2:]):
            raise PellucidError(f"{self.transform}: resizes the image without its masks; wrap a transform of v2")
        objects = annotations.instances
        if objects is not None:
            objects = self._moved(objects, made["boxes"].as_subclass(Tensor), origin, annotations.classes)
        panoptic = annotations.panoptic
        if panoptic is not None:
            ids = origin.maps(panoptic.ids, 0)
            left = set(ids.unique().tolist())
            panoptic = Panoptic(ids, tuple(s for s in panoptic.segments if s.id in left))
        semantic = None if annotations.semantic is None else origin.maps(annotations.semantic, IGNORE)
        return image, replace(annotations, size=origin.size, instances=objects, semantic=semantic, panoptic=panoptic)

    def _moved(self, objects: Instances, boxes: Tensor, origin: "_Origin", classes: Classes) -> Instances:
        boxes = clip_boxes(boxes.to(objects.boxes.dtype), origin.size)
        before = box_areas(objects.boxes.detach()).clamp(min=1e-6)
        left = origin.left(objects)
        share = left if objects.masks is None else torch.ones(len(objects))
        changes: dict[str, Any] = {}
        if objects.masks is not None:
            pixels = objects.masks.to_bool()
            there = pixels.flatten(1).any(1)
            share = torch.where(there, _share(pixels, origin), left)
            masks = (
                Masks.from_bool(torch.stack([origin.maps(mask, False) for mask in pixels]))
                if len(pixels)
                else (Masks.empty(origin.size))
            )
            changes["masks"] = masks
            counts = masks.areas()
            boxes = torch.where((there & (counts > 0))[:, None], masks.boxes(), boxes)
            share = torch.where(there & (counts == 0), 0.0, share)
            if objects.areas is not None:
                changes["areas"] = torch.where(there, counts, objects.areas * box_areas(boxes) / before)
        elif objects.areas is not None:
            changes["areas"] = objects.areas * box_areas(boxes) / before
        if objects.keypoints is not None:
            changes["keypoints"] = origin.keypoints(objects.keypoints, objects.labels, classes)
        changes["truncated"] = objects.truncated | (share < 1 - 1e-3)
        moved = replace(objects, boxes=boxes, **changes)
        return moved[(share > 0) & (share >= self.min_visible) & (box_areas(boxes) > 0)]


class _Origin:
    """Where every pixel of the new image came from."""

    def __init__(self, came_from: Tensor, source: Size) -> None:
        known, rows, columns = came_from.float()
        self.source = source
        self.size: Size = (known.shape[0], known.shape[1])
        self.inside = (known == 1) & (rows >= 0) & (columns >= 0) & (rows < source[0]) & (columns < source[1])
        self.rows = rows.round().long().clamp(0, source[0] - 1)
        self.columns = columns.round().long().clamp(0, source[1] - 1)

    def maps(self, values: Tensor, outside: float) -> Tensor:
        """A map of the image, (H, W), as one of the new image."""
        return torch.where(self.inside, values[self.rows, self.columns], torch.tensor(outside).to(values.dtype))

    def shown(self) -> Tensor:
        """The part of the image that the new one shows, to one of its pixels: x1, y1, x2, y2, (4,)."""
        sides = []
        for values, limit in ((self.columns, self.source[1]), (self.rows, self.source[0])):
            found = values[self.inside].unique()
            if len(found) == 0:
                return torch.zeros(4)
            low, high = float(found[0]), float(found[-1])
            step = max(1.0, (high - low) / max(1, len(found) - 1))  # more than 1 where the image was reduced
            sides.append((max(0.0, low + 1 - step), min(float(limit), high + step)))
        (x1, x2), (y1, y2) = sides
        return torch.tensor([x1, y1, x2, y2])

    def left(self, objects: Instances) -> Tensor:
        """Of each object's box the share within what the new image shows: (N,)."""
        shown = self.shown()
        boxes = objects.boxes.detach().float()
        both = torch.cat((torch.maximum(boxes[:, :2], shown[:2]), torch.minimum(boxes[:, 2:], shown[2:])), 1)
        return box_areas(both) / box_areas(boxes).clamp(min=1e-6)

    def keypoints(self, keypoints: Tensor, labels: Tensor, classes: Classes) -> Tensor:
        """Keypoints (N, K, 3) in the new image; those that it does not show are unlabelled, at (0, 0)."""
        made = torch.zeros_like(keypoints)
        ys, xs = (self.inside).nonzero(as_tuple=True)
        if len(ys) == 0:
            return made
        at = torch.stack((self.columns[ys, xs], self.rows[ys, xs]), 1).float() + 0.5
        scale = ((at.amax(0) - at.amin(0) + 1) / torch.tensor([self.size[1], self.size[0]])).clamp(min=1)
        for n, k in (keypoints[..., 2] > 0).nonzero().tolist():
            away = (at - keypoints[n, k, :2].float()).abs()
            distance = away.square().sum(1)
            if bool((away[distance.argmin()] > _NEAR + scale / 2).any()):
                continue
            # Several pixels may come from one: the keypoint lies in their middle.
            nearest = distance <= distance.min() + 1e-3
            place = torch.stack((xs[nearest].float().mean() + 0.5, ys[nearest].float().mean() + 0.5))
            made[n, k] = torch.cat((place, keypoints[n, k, 2:]))
        return exchanged(made, labels, classes) if self.mirrors() else made

    def mirrors(self) -> bool:
        """Whether right and left have changed places."""
        rows, columns = self.rows.numpy().astype(np.float64), self.columns.numpy().astype(np.float64)
        if min(self.size) < 2 or not bool(self.inside.any()):
            return False
        inside = self.inside.numpy()
        inside = inside[1:, 1:] & inside[:-1, 1:] & inside[1:, :-1]
        across = columns[1:, 1:] - columns[1:, :-1], rows[1:, 1:] - rows[1:, :-1]
        down = columns[1:, 1:] - columns[:-1, 1:], rows[1:, 1:] - rows[:-1, 1:]
        # The mean step in either direction: single steps are rounded to whole pixels.
        (ax, ay), (dx, dy) = (
            (float(part[inside].mean()) if inside.any() else 0.0 for part in step) for step in (across, down)
        )
        return ax * dy - ay * dx < 0


def _sanitises(transform: object) -> bool:
    inner = getattr(transform, "transforms", ())
    return isinstance(transform, v2.SanitizeBoundingBoxes) or any(map(_sanitises, inner))


def _share(masks: Tensor, origin: _Origin) -> Tensor:
    """Of each mask (N, H, W) the share of pixels within what the new image shows: (N,)."""
    x1, y1, x2, y2 = (round(side) for side in origin.shown().tolist())
    return masks[:, y1:y2, x1:x2].flatten(1).sum(1) / masks.flatten(1).sum(1).clamp(min=1)
