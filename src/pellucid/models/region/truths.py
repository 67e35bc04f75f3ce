"""What a detector of regions learns from: the objects of an image in the coordinates of its frame."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.models.region.frame import scale_to_photo
from pellucid.structures import Annotations, Masks, Placement


@dataclass
class Truth:
    """The objects of an image that teach, and the regions that teach nothing.

    ``boxes``: (T, 4) xyxy in the frame, each with an area. ``labels``: int64 (T,). ``ignored``: (I, 4), crowds, groups
    and difficult objects: what lies in them is not background. ``masks``: of the T objects, in the photo's pixels, and
    ``mask_boxes`` (T, 4), where the frame's boxes are multiplied by ``to_photo`` (4,). ``keypoints``: (T, K, 3) in the
    frame. ``proposals``: (P, 4) in the frame.
    """

    boxes: Tensor
    labels: Tensor
    ignored: Tensor
    to_photo: Tensor
    masks: Masks | None = None
    keypoints: Tensor | None = None
    proposals: Tensor | None = None


def in_frame(truth: Annotations, placement: Placement) -> Truth:
    """What is true of a photo, in the coordinates of its frame, on the CPU."""
    scale = scale_to_photo(placement, torch.zeros(1))
    objects = truth.instances
    proposals = None if truth.proposals is None else truth.proposals.float() / scale
    if objects is None or not len(objects):
        none = torch.zeros(0, 4)
        return Truth(none, torch.zeros(0, dtype=torch.int64), none, scale, proposals=proposals)
    boxes = objects.boxes.detach().float() / scale
    real = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1) & boxes.isfinite().all(1)
    apart = objects.crowd | objects.difficult | objects.group_of
    kept = objects[real & ~apart]
    points = None
    if kept.keypoints is not None:
        points = kept.keypoints.clone()
        points[..., :2] = points[..., :2] / scale[:2]
    return Truth(boxes[real & ~apart], kept.labels, boxes[real & apart], scale, kept.masks, points, proposals)
