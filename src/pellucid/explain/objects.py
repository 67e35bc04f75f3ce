"""Objectives of objects: a detection's score, an edge of its box, its mask, a keypoint, or what was missed.

Each reads the trace that a model keeps of its candidates (``structures.trace``), or the objects that it reports; none
knows what kind of detector it is. Perturbed images have other detections: there an objective follows its object
(``Objective.following``) to the best candidate at the same place.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.explain.objectives import Leaf, Objective, Pass, class_index, class_logit
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations, Instances
from pellucid.structures.trace import Trace

Edge = Literal["left", "top", "right", "bottom"]
_EDGES: tuple[Edge, ...] = ("left", "top", "right", "bottom")

SAME_PLACE = 0.5
"""The IoU from which on a candidate is at the place of an object."""


def detection(k: int) -> Objective:
    """The class score of the k-th object that a detector reports, the best being 0: its log-odds, log(s / (1 − s)).

    As a probability it is the reported score itself, before soft suppression lowers it. Raises, when evaluated,
    PellucidError where there is no such object, and for a model that reports none.
    """
    _whole(k, "detection")

    def read(said: Annotations) -> Tensor:
        trace = _trace(said)
        _known(k, len(trace))
        return trace.log_odds(trace.rows[k : k + 1], trace.labels[k : k + 1])[0]

    def chance(said: Annotations) -> Tensor:
        trace = _trace(said)
        _known(k, len(trace))
        return trace.scores[trace.rows[k], trace.labels[k]]

    def follow(said: Annotations) -> Objective:
        trace = _trace(said)
        _known(k, len(trace))
        label = int(trace.labels[k])
        box = trace.boxes_of(label)[trace.rows[k]]
        return missed(_numbers(box), label)

    def like(said: Annotations) -> Objective:
        objects = _objects(said, k)
        return _likeness(objects.boxes[k], _probabilities(said)[k])

    leaf = Leaf("class", lambda trace: int(trace.rows[k]))
    return _objective(f"detection {k}", read, chance=chance, follow=follow, like=like, leaf=leaf)


def box_edge(k: int, edge: Edge) -> Objective:
    """Where an edge of the k-th object's box lies, in the photo's pixels: 'left', 'top', 'right' or 'bottom'.

    In changed images it has a share in place of a probability: 1 where the edge stays, 0 where it moved by the box's
    width or height.
    """
    _whole(k, "box_edge")
    if edge not in _EDGES:
        raise PellucidError(f"edge '{edge}': give {', '.join(_EDGES)}")
    side = _EDGES.index(edge)

    def follow(said: Annotations) -> Objective:
        objects = _objects(said, k)
        label, place = int(objects.labels[k]), _numbers(objects.boxes[k])

        def there(other: Annotations) -> Tensor:
            trace = _trace(other)
            return trace.boxes_of(label)[_nearest(trace, place, label), side]

        extent = max(place[side % 2 + 2] - place[side % 2], 1.0)

        def kept(other: Annotations) -> Tensor:
            return (1 - (there(other) - place[side]).abs() / extent).clamp(min=0)

        leaf = Leaf("class", lambda trace: _nearest(trace, place, label), alone=False)
        return _objective(f"{edge} edge of detection {k}", there, chance=kept, leaf=leaf)

    leaf = Leaf("class", lambda trace: int(trace.rows[k]), alone=False)
    return _objective(
        f"{edge} edge of detection {k}", lambda said: _objects(said, k).boxes[k, side], follow=follow, leaf=leaf
    )


def mask(k: int, at: tuple[float, float] | None = None) -> Objective:
    """The k-th object's mask: the mean of its logits where they are above 0, or the logit at a pixel (y, x) of the
    photo.

    Where no logit is above 0 all count. As a probability it is the mean of theirs. In changed images the mask head is
    asked of the same box, and the same place in it counts. Raises, when evaluated, PellucidError where a model gives no
    masks, and for a pixel beyond the object's box.
    """
    _whole(k, "mask")

    def read(said: Annotations) -> Tensor:
        objects = _objects(said, k)
        if objects.mask_logits is None:
            raise PellucidError(f"mask of detection {k}: this model gives no masks; ask for its detection or box_edge")
        opened = said.trace.said("mask", k) if said.trace is not None else None
        logits = objects.mask_logits[k] if opened is None else opened
        return point(logits, objects.boxes[k]) if at is not None else logits[_inside(logits)].mean()

    def point(logits: Tensor, box: Tensor) -> Tensor:
        assert at is not None
        return _at(logits, box.detach(), at, k)

    def chance(said: Annotations) -> Tensor:
        objects = _objects(said, k)
        if objects.mask_logits is None:
            return read(said)
        logits = objects.mask_logits[k]
        return point(logits, objects.boxes[k]).sigmoid() if at is not None else logits.sigmoid()[_inside(logits)].mean()

    def follow(said: Annotations) -> Objective:
        read(said)  # what is wrong with it is said here
        objects = _objects(said, k)
        label, box, inside = int(objects.labels[k]), objects.boxes[k].detach(), _inside(objects.mask_logits[k])  # type: ignore[index]

        def there(other: Annotations) -> Tensor:
            logits = _trace(other).said_at("mask", _numbers(box), label)
            return point(logits, box) if at is not None else logits[inside]

        place = _numbers(box)
        leaf = Leaf("mask", lambda trace: _nearest(trace, place, label), alone=False, box=place)
        return _objective(
            text, lambda other: there(other).mean(), chance=lambda other: there(other).sigmoid().mean(), leaf=leaf
        )

    text = f"mask of detection {k}" + ("" if at is None else f" at {at[0]:g}, {at[1]:g}")
    return _objective(text, read, chance=chance, follow=follow, leaf=Leaf("mask", lambda trace: k))


def keypoint(k: int, j: int) -> Objective:
    """How sure the k-th object's j-th keypoint is: the highest logit of its heatmap."""
    _whole(k, "keypoint")

    def read(said: Annotations) -> Tensor:
        objects = _objects(said, k)
        if objects.keypoint_scores is None:
            raise PellucidError(f"keypoint {j} of detection {k}: this model gives no keypoints")
        opened = said.trace.said("keypoints", k) if said.trace is not None else None
        scores = objects.keypoint_scores[k] if opened is None else opened
        if not 0 <= j < len(scores):
            raise PellucidError(f"keypoint {j} of detection {k}: there are {len(scores)}, 0 to {len(scores) - 1}")
        return scores[j]

    def follow(said: Annotations) -> Objective:
        objects = _objects(said, k)
        label, place = int(objects.labels[k]), _numbers(objects.boxes[k])
        leaf = Leaf("keypoints", lambda trace: _nearest(trace, place, label), alone=False, box=place)
        return _objective(text, lambda other: _trace(other).said_at("keypoints", place, label)[j], leaf=leaf)

    text = f"keypoint {j} of detection {k}"
    return _objective(text, read, follow=follow, leaf=Leaf("keypoints", lambda trace: k))


def missed(box: Sequence[float], label: str | int) -> Objective:
    """What speaks for an object that was not found: the log-odds of its class, of the best candidate at its place.

    ``box``: xyxy in the photo's pixels. ``label``: its class, by name or index. Of the candidates that overlap the box
    by an IoU of 0.5 the one surest of the class; where there are none, the one that overlaps it most. Raises, when
    evaluated, PellucidError where there is no candidate at all.
    """
    place = tuple(float(v) for v in box)
    if len(place) != 4 or not (place[2] > place[0] and place[3] > place[1]):
        raise PellucidError(f"missed: box {list(place)}; give x1, y1, x2, y2 in pixels, x1 < x2 and y1 < y2")

    def best(trace: Trace) -> tuple[int, int]:
        index = class_index(label, trace.classes, trace.scores.shape[1])
        return _nearest(trace, place, index), index

    def read(said: Annotations) -> Tensor:
        trace = _trace(said)
        row, index = torch.tensor(best(trace), device=trace.scores.device)[:, None]
        return trace.log_odds(row, index)[0]

    def chance(said: Annotations) -> Tensor:
        trace = _trace(said)
        return trace.scores[best(trace)]

    at = ", ".join(f"{v:.0f}" for v in place)
    leaf = Leaf("class", lambda trace: best(trace)[0])

    def like(said: Annotations) -> Objective:
        probabilities = torch.zeros(len(said.classes) + 1)
        probabilities[class_index(label, said.classes, len(said.classes))] = 1
        return _likeness(torch.tensor(place), probabilities)

    return _objective(f"{label} at {at}", read, chance=chance, like=like, leaf=leaf)


def instead_of(a: str | int, b: str | int, k: int | None = None) -> Objective:
    """Why class a and not b: the difference of their logits, of the photo, or of the k-th object of a detector."""
    if k is None:
        return class_logit(a) - class_logit(b)
    _whole(k, "instead_of")

    def read(said: Annotations) -> Tensor:
        trace = _trace(said)
        _known(k, len(trace))
        logits = trace.logits(trace.rows[k : k + 1])[0]
        first, second = (class_index(one, said.classes, len(logits)) for one in (a, b))
        return logits[first] - logits[second]

    leaf = Leaf("class", lambda trace: int(trace.rows[k]))
    return _objective(f"{a} instead of {b}, detection {k}", read, leaf=leaf)


def _objective(
    text: str,
    read: Callable[[Annotations], Tensor],
    *,
    chance: Callable[[Annotations], Tensor] | None = None,
    follow: Callable[[Annotations], Objective] | None = None,
    like: Callable[[Annotations], Objective] | None = None,
    leaf: Leaf | None = None,
    traced: bool = True,
) -> Objective:
    def each(function: Callable[[Annotations], Tensor]) -> Callable[[Pass], Tensor]:
        return lambda forward: torch.stack([function(said).reshape(()) for said in _annotations(forward)])

    def of_one(function: Callable[[Annotations], Objective]) -> Callable[[Pass], Objective]:
        def asked(forward: Pass) -> Objective:
            said = _annotations(forward)
            if len(said) != 1:
                raise PellucidError(f"'{text}': an object is followed in one photo at a time; give one photo")
            return function(said[0])

        return asked

    return Objective(
        text,
        (),
        True,
        each(read),
        traced=traced or leaf is not None,
        probability=None if chance is None else each(chance),
        following=None if follow is None else of_one(follow),
        likeness=None if like is None else of_one(like),
        leaf=leaf,
    )


def _likeness(box: Tensor, probabilities: Tensor) -> Objective:
    """How like an object the reported one is that is most like it: IoU × the cosine of the probabilities.

    Source: Petsiuk et al., 'Black-box explanation of object detectors via saliency maps' (D-RISE), CVPR 2021, section
    3.
    """
    box, probabilities = box.detach(), probabilities.detach()

    def read(said: Annotations) -> Tensor:
        objects = said.instances
        if objects is None or not len(objects):
            return box.new_zeros(())
        over = pairwise_iou(box[None].to(objects.boxes), objects.boxes)[0]
        alike = F.cosine_similarity(_probabilities(said), probabilities[None].to(objects.boxes), dim=1)
        return (over * alike).amax()

    return _objective("likeness", read, traced=False)


def _probabilities(said: Annotations) -> Tensor:
    """(D, K + 1) of the reported objects, as far as they are reported: of their own class, and none (last)."""
    objects, K = said.instances, len(said.classes)
    assert objects is not None
    scores = objects.boxes.new_ones(len(objects)) if objects.scores is None else objects.scores.detach()
    known = objects.boxes.new_zeros(len(objects), K + 1)
    known[torch.arange(len(objects), device=known.device), objects.labels] = scores
    known[:, K] = 1 - scores
    return known


def _annotations(forward: Pass) -> list[Annotations]:
    said = forward.predictions
    if not isinstance(said, list) or not all(isinstance(one, Annotations) for one in said):
        raise PellucidError("this network reports no objects; objectives of detections want a detector of Pellucid's")
    return said


def _trace(said: Annotations) -> Trace:
    if said.trace is None:
        raise PellucidError("this model keeps no trace of its candidates; ask for a class, or of its predictions")
    return said.trace


def _objects(said: Annotations, k: int) -> Instances:
    if said.instances is None:
        raise PellucidError("this model reports no objects; ask for a class")
    _known(k, len(said.instances))
    return said.instances


def _known(k: int, count: int) -> None:
    if not 0 <= k < count:
        there = f"{count} objects, 0 to {count - 1}" if count else "no object"
        raise PellucidError(f"detection {k}: the model reports {there} in this photo; ask for 'missed' at a box")


def _whole(k: int, what: str) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 0:
        raise PellucidError(f"{what} {k!r}: give the number of a detection, 0 for the best")


@torch.no_grad()
def _nearest(trace: Trace, place: Sequence[float], label: int) -> int:
    boxes = trace.boxes_of(label)
    if not len(boxes):
        raise PellucidError("the model has no candidate anywhere in this photo; it may be too small")
    over = pairwise_iou(boxes.new_tensor([list(place)]), boxes)[0]
    there = over >= SAME_PLACE
    if bool(there.any()):
        return int(torch.where(there, trace.scores[:, label], -1.0).argmax())
    return int(over.argmax())


def _inside(logits: Tensor) -> Tensor:
    """Where a mask's logits are above 0; everywhere if they are nowhere."""
    inside = logits.detach() > 0
    return inside if bool(inside.any()) else torch.ones_like(inside)


def _at(logits: Tensor, box: Tensor, pixel: tuple[float, float], k: int) -> Tensor:
    """The logit (bilinear) where the middle of a photo's pixel lies in a box's grid of logits (M, M)."""
    x1, y1, x2, y2 = box.tolist()
    y, x = pixel[0] + 0.5, pixel[1] + 0.5
    if not (x1 <= x <= x2 and y1 <= y <= y2):
        raise PellucidError(f"mask of detection {k}: pixel y {pixel[0]:g}, x {pixel[1]:g} is not in its box")
    grid = logits.new_tensor([2 * (x - x1) / (x2 - x1) - 1, 2 * (y - y1) / (y2 - y1) - 1]).view(1, 1, 1, 2)
    sampled: Tensor = F.grid_sample(
        logits[None, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled.reshape(())


def _numbers(box: Tensor) -> tuple[float, ...]:
    return tuple(box.detach().tolist())
