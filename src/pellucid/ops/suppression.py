"""Non-maximum suppression: of boxes that say the same thing one is kept, or the others are believed less."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torchvision.ops import nms as unstable_nms

from pellucid.errors import PellucidError, nearest

SoftMethod = Literal["linear", "gaussian"]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keeps the best box and drops those that overlap it by more than the threshold, again and again: int64 (K,).

    ``boxes``: (N, 4) xyxy; ``scores``: (N,). Gives rows by falling score; of tied scores the earlier row is taken
    first, on every device. Indexing with them keeps the graph. Raises PellucidError for other shapes, and for boxes
    and scores that are no numbers.
    """
    _check(boxes, scores)
    order = scores.detach().sort(descending=True, stable=True).indices
    return order[_kept(boxes.detach()[order], iou_threshold)]


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """``nms`` within each group of boxes; gives the kept rows of all, by falling score, the earlier row of ties first.

    ``groups``: int64 (N,), whatever must not suppress one another: classes, levels, images. (For classes on levels:
    class · levels + level.) Each group is suppressed by itself, with the coordinates as they are: torchvision moves
    the groups apart where boxes are few, which costs digits. Raises PellucidError as ``nms`` does.
    """
    _check(boxes, scores, groups)
    boxes, scores = boxes.detach(), scores.detach()
    order, counts = _by_group(scores, groups)
    parts = [
        rows if len(rows) == 1 else rows[_kept(boxes[rows], iou_threshold)] for rows in order.split(counts.tolist())
    ]
    return _by_score(torch.cat(parts), scores) if parts else order


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    method: SoftMethod = "linear",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """Lowers the scores of boxes that overlap a better one, instead of dropping them.

    Takes the box of highest score, multiplies the scores of those left by 1 − IoU where the IoU reaches
    ``iou_threshold`` (linear) or by exp(−IoU² / ``sigma``) (gaussian), and goes on with the highest of what remains.
    Boxes whose score falls under ``score_threshold`` are gone. ``boxes``: (N, 4) xyxy; ``scores``: (N,), 0 or more.

    Gives the kept rows, int64 (K,), and their new scores, (K,), falling; of tied scores the earlier row comes first.
    New scores are the old ones times a constant, so that gradients pass to the old. Computed in double. Raises
    PellucidError for other shapes, for boxes and scores that are no numbers, and for limits out of range.
    Source: Bodla et al., 'Soft-NMS', ICCV 2017, section 3. (Their program lowers scores *above* the
    threshold alone, and counts both ends of a box.)
    """
    return batched_soft_nms(
        boxes,
        scores,
        torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device),
        method,
        iou_threshold,
        sigma,
        score_threshold,
    )


def batched_soft_nms(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    method: SoftMethod = "linear",
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """``soft_nms`` within each group of boxes; gives rows and new scores of all groups, by falling new score.

    ``groups``: int64 (N,), as for ``batched_nms``. Raises PellucidError as ``soft_nms`` does.
    """
    _check(boxes, scores, groups)
    if method not in get_args(SoftMethod):
        raise PellucidError(f"soft-NMS '{method}' is unknown{nearest(method, get_args(SoftMethod))}; linear, gaussian")
    if not 0 < iou_threshold <= 1 or not (math.isfinite(sigma) and sigma > 0) or not score_threshold >= 0:
        raise PellucidError(
            f"soft-NMS: IoU threshold {iou_threshold}, sigma {sigma}, score threshold {score_threshold}; "
            "give 0 < IoU ≤ 1, sigma > 0 and a score of 0 or more"
        )
    # MPS has no double.
    kind = torch.float32 if scores.device.type == "mps" else torch.float64
    exact_boxes, exact = boxes.detach().to(kind), scores.detach().to(kind)
    decay = _decay_compiled if boxes.device.type == "cpu" else _decay_in_torch
    limit = sigma if method == "gaussian" else iou_threshold
    factors = decay(exact_boxes, exact, groups, method == "gaussian", limit, score_threshold)
    exact = exact * factors
    kept = _by_score(torch.nonzero(exact >= score_threshold).flatten(), exact)
    return kept, (scores[kept].to(kind) * factors[kept]).to(scores.dtype)


def _decay_compiled(
    boxes: Tensor, scores: Tensor, groups: Tensor, gaussian: bool, limit: float, least: float
) -> Tensor:
    from pellucid.ops.suppression_kernels import decay_factors  # numba takes long to import

    order, counts = _by_group(scores, groups)
    starts = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    given = (boxes.contiguous().numpy(), scores.contiguous().numpy(), order.numpy(), starts.numpy())
    return torch.from_numpy(decay_factors(*given, gaussian, float(limit), float(least)))


def _decay_in_torch(
    boxes: Tensor, scores: Tensor, groups: Tensor, gaussian: bool, limit: float, least: float
) -> Tensor:
    """The same factors where the processor does not reach. All groups at once: the best of all is the best of its own.

    Boxes are taken in order of their final score, so that nothing needs to be read back but, now and then, whether the
    threshold is passed.
    """
    x1, y1, x2, y2 = boxes.unbind(1)
    areas = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
    factors, taken = torch.ones_like(scores), torch.zeros_like(scores, dtype=torch.bool)
    rows = torch.arange(len(scores), device=scores.device)
    for step in range(len(scores)):
        now = (scores * factors).masked_fill(taken, -math.inf)
        highest = now.max()
        if step % 64 == 0 and not bool(highest >= least):
            break
        best = torch.where(now == highest, rows, len(rows)).min().view(1)  # argmax need not give the first that ties
        taken[best] = True
        w = (torch.minimum(x2, x2[best]) - torch.maximum(x1, x1[best])).clamp(min=0)
        h = (torch.minimum(y2, y2[best]) - torch.maximum(y1, y1[best])).clamp(min=0)
        shared = w * h
        iou = shared / torch.where(shared > 0, areas[best] + areas - shared, 1)
        decay = torch.exp(-(iou * iou) / limit) if gaussian else torch.where(iou >= limit, 1 - iou, 1)
        factors = torch.where(taken | (groups != groups[best]), factors, factors * decay)
    return factors


def _by_group(scores: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Rows group by group, by falling score within each, the earlier first where they tie; how many each group has."""
    order = scores.sort(descending=True, stable=True).indices
    in_order, back = groups[order].sort(stable=True)
    return order[back], torch.unique_consecutive(in_order, return_counts=True)[1]


def _by_score(rows: Tensor, scores: Tensor) -> Tensor:
    rows = rows.sort().values
    return rows[scores[rows].sort(descending=True, stable=True).indices]


def _kept(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Which of boxes in falling order of score are kept. Ranks stand in for the scores, so that none tie."""
    boxes = boxes.to(torch.promote_types(boxes.dtype, torch.float32))
    ranks = torch.arange(len(boxes), 0, -1, device=boxes.device).to(boxes.dtype)
    kept: Tensor = unstable_nms(boxes, ranks, iou_threshold)
    return kept


def _check(boxes: Tensor, scores: Tensor, groups: Tensor | None = None) -> None:
    N = len(boxes)
    if boxes.shape != (N, 4) or scores.shape != (N,) or (groups is not None and groups.shape != (N,)):
        shapes = [tuple(t.shape) for t in (boxes, scores, groups) if t is not None]
        raise PellucidError(
            f"suppression: shapes {shapes}; give N boxes (N, 4), and a score and a group for each, (N,)"
        )
    wrong = ~boxes.isfinite().all(1) | scores.isnan()
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise PellucidError(
            f"suppression: box {row} of {N}, {boxes[row].tolist()} with score {float(scores[row])}, is no number; "
            "has training diverged? leave such boxes out"
        )
