"""Which true box each anchor or proposal learns from."""

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.structures.boxes import box_areas

BELOW = -1
"""An anchor with no truth near it: background."""

BETWEEN = -2
"""An anchor that is neither near a truth nor far from all: it teaches nothing."""


def match(iou: Tensor, low: float, high: float, *, allow_low_quality: bool = False) -> Tensor:
    """The index of each anchor's truth: int64 (A,); ``BELOW`` (−1) is background, ``BETWEEN`` (−2) is left out.

    ``iou``: (T, A) of T truths with A anchors. An anchor takes the truth that it overlaps most, if by ``high`` or
    more; under ``low`` it is background. ``allow_low_quality``: anchors that overlap some truth as much as any anchor
    does also take the truth that *they* overlap most, however little. A truth that no anchor touches claims none
    (torchvision's Matcher then makes every anchor positive). No truths: all are background. Raises PellucidError for
    another shape, and for low > high.
    Source: Ren et al., 'Faster R-CNN', 2015, section 3.1.2; ties as in torchvision's Matcher.
    """
    if iou.ndim != 2:
        raise PellucidError(f"matching: overlaps of shape {tuple(iou.shape)}; give (truths, anchors)")
    if not 0 <= low <= high:
        raise PellucidError(f"matching: thresholds {low} and {high}; give 0 ≤ low ≤ high")
    T, A = iou.shape
    if T == 0 or A == 0:
        return torch.full((A,), BELOW, dtype=torch.int64, device=iou.device)
    iou = iou.detach()
    best, nearest = iou.max(0)
    matches = torch.where(best >= high, nearest, torch.where(best >= low, BETWEEN, BELOW))
    if allow_low_quality:
        reached = iou.amax(1, keepdim=True)
        claimed = ((iou == reached) & (reached > 0)).any(0)
        matches = torch.where(claimed, nearest, matches)
    return matches


def spared(matches: Tensor, boxes: Tensor, ignored: Tensor, share: float = 0.5) -> Tensor:
    """Matches (A,) in which background that lies in something unclear teaches nothing: it is ``BETWEEN``.

    ``boxes``: (A, 4) of the anchors; ``ignored``: (I, 4) crowds and the like. A box lies in one of them by more than
    ``share`` of its own area (not by IoU: a crowd is far larger than what is in it).
    """
    if not len(ignored):
        return matches
    a, b = boxes[:, None], ignored.to(boxes.device)[None]
    sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    inside = (sides[..., 0] * sides[..., 1]).amax(1)
    return torch.where((matches == BELOW) & (inside > share * box_areas(boxes)), BETWEEN, matches)
