"""Boxes as four numbers relative to an anchor or proposal: what box regression learns."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import PellucidError

CLAMP = math.log(1000 / 16)
"""The largest log of a growth in width or height: before learning, exp of anything larger would overflow."""


@dataclass(frozen=True)
class BoxCoder:
    """Boxes to deltas from anchors and back.

    Δx and Δy are the centre's step in widths and heights of the anchor, Δw and Δh the logs of the growth of its sides;
    each is multiplied by its weight. ``clamp``: decoding takes no larger Δw and Δh. Both ways are differentiable.
    Raises PellucidError for weights that are not four positive numbers.
    Source: Girshick et al., 'Rich feature hierarchies', CVPR 2014, appendix C; weights and clamp: Detectron.
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    clamp: float = CLAMP

    def __post_init__(self) -> None:
        if len(self.weights) != 4 or not all(math.isfinite(w) and w > 0 for w in self.weights):
            raise PellucidError(f"box coder: weights {self.weights}; give four positive numbers, for x, y, w, h")

    def encode(self, truth: Tensor, anchors: Tensor) -> Tensor:
        """The deltas (N, 4) that lead from each anchor (N, 4) to its true box (N, 4), both xyxy.

        Raises PellucidError where shapes differ and for a box without area, which has no such deltas.
        """
        if truth.shape != anchors.shape or truth.shape[-1:] != (4,):
            raise PellucidError(
                f"box coder: {tuple(truth.shape)} true boxes for {tuple(anchors.shape)} anchors; "
                "give a true box (4 numbers) for each anchor"
            )
        truth, anchors = _wide(truth), _wide(anchors)
        x, y, w, h = _centre_and_sides(truth)
        ax, ay, aw, ah = _centre_and_sides(anchors)
        for name, sides in (("true box", (w, h)), ("anchor", (aw, ah))):
            empty = ~((sides[0] > 0) & (sides[1] > 0))
            if bool(empty.any()):
                row = int(empty.flatten().nonzero()[0])
                box = (truth if name == "true box" else anchors).reshape(-1, 4)[row].tolist()
                raise PellucidError(
                    f"box coder: {name} {row} is {box}, without area; leave such boxes out before training"
                )
        deltas = torch.stack(((x - ax) / aw, (y - ay) / ah, torch.log(w / aw), torch.log(h / ah)), -1)
        return deltas * deltas.new_tensor(self.weights)

    def decode(self, deltas: Tensor, anchors: Tensor) -> Tensor:
        """The xyxy boxes that deltas (N, 4), (N, K · 4) or (N, K, 4) make of anchors (N, 4), in the deltas' shape.

        Deltas of several classes lie class by class. Boxes are not clipped to the image. Raises PellucidError for
        other shapes.
        """
        N = len(anchors)
        if anchors.shape != (N, 4) or deltas.ndim < 2 or len(deltas) != N or deltas[0:1].numel() % 4:
            raise PellucidError(
                f"box coder: deltas {tuple(deltas.shape)} for anchors {tuple(anchors.shape)}; "
                "give (N, K · 4) deltas for (N, 4) anchors"
            )
        deltas, anchors = _wide(deltas), _wide(anchors)
        steps = deltas.reshape(N, math.prod(deltas.shape[1:]) // 4, 4) / deltas.new_tensor(self.weights)
        x, y, w, h = (side[:, None] for side in _centre_and_sides(anchors))
        dx, dy, dw, dh = steps.unbind(-1)
        cx, cy = x + dx * w, y + dy * h
        half_w, half_h = w * dw.clamp(max=self.clamp).exp() / 2, h * dh.clamp(max=self.clamp).exp() / 2
        boxes = torch.stack((cx - half_w, cy - half_h, cx + half_w, cy + half_h), -1)
        return boxes.reshape(deltas.shape)


def _wide(numbers: Tensor) -> Tensor:
    """At least float32: half precision places a box no better than to a pixel."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def _centre_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    w, h = x2 - x1, y2 - y1
    return x1 + w / 2, y1 + h / 2, w, h
