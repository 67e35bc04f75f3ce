"""Keypoints as one cell of a box's heatmap, and heatmaps back to points of the image."""

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.threads import in_threads


def encode_keypoints(keypoints: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The cell of a ``side`` × ``side`` heatmap that each keypoint falls into: int64 (R, K), row by row; bool (R, K).

    ``keypoints`` (R, K, 3): x, y in pixels, and visibility; ``boxes`` (R, 4) xyxy. The second says which count:
    visible (above 0) and inside the box, its right and lower border included; the cell of the others is 0. Raises
    PellucidError for other shapes. Source: He et al., 'Mask R-CNN', ICCV 2017, section 5; Detectron.
    """
    if keypoints.ndim != 3 or keypoints.shape[2] != 3 or boxes.shape != (len(keypoints), 4):
        raise PellucidError(
            f"keypoints of shape {tuple(keypoints.shape)} and boxes {tuple(boxes.shape)}; give (R, K, 3) and (R, 4)"
        )
    if side < 1:
        raise PellucidError(f"keypoints: a heatmap of {side} cells; give 1 or more")
    points, boxes = keypoints.detach()[..., :2], boxes.detach()[:, None]
    first, last = boxes[..., :2], boxes[..., 2:]
    sides = last - first
    cells = (points - first) * (side / sides)
    cells = torch.where(points == last, side - 1.0, cells.floor())
    # NaN, of a box without area, compares false.
    inside = ((cells >= 0) & (cells < side) & (sides > 0)).all(-1)
    valid = inside & (keypoints[..., 2] > 0)
    cells = torch.where(valid[..., None], cells, 0).to(torch.int64)
    return cells[..., 1] * side + cells[..., 0], valid


def decode_heatmaps(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Where each heatmap (R, K, S, S), resized to its box (R, 4), is highest: (x, y, 1) (R, K, 3), and the value there.

    Bicubic, to the box's sides rounded up to whole pixels; a box has one pixel at least, and the point lies at the
    centre of its pixel. Points follow the boxes' graph, scores (R, K) the logits'. Raises PellucidError for other
    shapes and what is not finite. Source: He et al., 'Mask R-CNN', ICCV 2017, section 5; Detectron.
    """
    R, K, S = logits.shape[:3] if logits.ndim == 4 else (0, 0, 0)
    if logits.ndim != 4 or logits.shape[3] != S or S == 0 or boxes.shape != (R, 4):
        raise PellucidError(
            f"heatmaps of shape {tuple(logits.shape)} and boxes {tuple(boxes.shape)}; give (R, K, S, S) and (R, 4)"
        )
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    if not bool(sides.isfinite().all()) or not bool(wide.isfinite().all()):
        raise PellucidError("heatmaps: a box or a logit is not finite; leave such boxes out")
    whole = sides.detach().ceil().to(torch.int64)
    at = _highest(wide.detach(), whole)
    points = (at + 0.5) * (sides / whole)[:, None] + boxes[:, None, :2]
    points = torch.cat((points, points.new_ones(R, K, 1)), 2)
    return points, _values(wide, at, whole).to(logits.dtype)


def _highest(logits: Tensor, whole: Tensor) -> Tensor:
    """Which pixel of each resized heatmap is highest, the first of equal ones: int64 (R, K, 2), x and y."""
    from pellucid.ops.heatmaps_kernels import highest

    R, K = logits.shape[:2]
    maps, found = logits.cpu().contiguous().numpy(), np.empty((R, K, 2), np.int64)
    sides = whole.cpu().numpy()
    in_threads(lambda begin, end: highest(maps[begin:end], sides[begin:end], found[begin:end]), R, least=4)
    return torch.from_numpy(found).to(logits.device)


def _values(logits: Tensor, at: Tensor, whole: Tensor) -> Tensor:
    """The value of each resized heatmap at one of its pixels (R, K, 2): (R, K), with its graph."""
    R, K, S = logits.shape[:3]
    source = (logits.new_tensor(S) / whole)[:, None] * (at + 0.5) - 0.5
    floor = source.floor()
    weights = _cubic(source - floor)
    steps = torch.arange(-1, 3, device=at.device)
    cells = (floor.to(torch.int64)[..., None] + steps).clamp(0, S - 1)
    flat = (cells[:, :, 1, :, None] * S + cells[:, :, 0, None, :]).reshape(R, K, 16)
    found = logits.flatten(2).gather(2, flat).reshape(R, K, 4, 4)
    return ((found * weights[:, :, 0, None, :]).sum(-1) * weights[:, :, 1]).sum(-1)


def _cubic(part: Tensor) -> Tensor:
    """The weights of four neighbours (…, 4), ``part`` of the way between the middle two: Keys' cubic, a = −0.75."""
    a = -0.75
    far, near = part + 1, part
    near_right, far_right = 1 - part, 2 - part
    outer = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (far, far_right)]
    inner = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (near, near_right)]
    return torch.stack((outer[0], inner[0], inner[1], outer[1]), -1)
