"""What a person clicked at, as an objective, and what to say of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from pellucid.errors import PellucidError
from pellucid.explain import Objective, box_edge, class_logit, detection, instead_of, keypoint, mask, missed
from pellucid.models import Classifier, PhotoModel
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations
from pellucid.structures.trace import FOUND, Step, Trace
from pellucid.web.choosing import object_of
from pellucid.web.limits import AnswerError
from pellucid.web.messages import ClassTarget, InsteadTarget, MissedTarget, ObjectTarget

EDGES = ("left", "top", "right", "bottom")
PARTS = ("score", "mask", "keypoint", *EDGES)


@dataclass(frozen=True)
class Meant:
    """What is explained.

    ``text``: in words. ``sentence``: what happened, given the objective's value. ``steps``: the way to it. ``box``:
    xyxy in the photo, where it has a place; ``number``: of the object it is of, where it is of one.
    """

    objective: Objective
    text: str
    sentence: Callable[[float], str]
    steps: list[Step]
    box: list[float] | None = None
    number: int | None = None


def parts_of(model: PhotoModel) -> list[str]:
    """What of an object can be explained."""
    if isinstance(model, Classifier) or not hasattr(model, "traced"):
        return []
    known = set(getattr(model, "separate_parts", ()))
    missing = {"mask": "mask" not in known, "keypoint": "keypoints" not in known}
    return [part for part in PARTS if not missing.get(part, False)]


def meant(
    model: PhotoModel, said: Annotations, target: ObjectTarget | MissedTarget | ClassTarget | InsteadTarget
) -> Meant:
    """What a target means of a photo of which ``said`` is reported.

    Raises AnswerError or PellucidError for what the model cannot be asked.
    """
    if isinstance(target, ClassTarget):
        return _class(model, said, target)
    if isinstance(target, InsteadTarget) and target.number is None:
        return _class_instead(model, said, target)
    if isinstance(model, Classifier):
        raise AnswerError(400, f"{model.name} is a classifier and finds no objects; ask for a class")
    if said.trace is None:
        raise AnswerError(400, f"{model.name} explains none of its objects yet: it keeps no trace of its candidates")
    if isinstance(target, ObjectTarget):
        return _object(model, said, said.trace, target)
    if isinstance(target, InsteadTarget):
        return _instead(model, said, said.trace, target)
    return _missed(model, said.trace, target)


def _object(model: PhotoModel, said: Annotations, trace: Trace, target: ObjectTarget) -> Meant:
    _, name, box = object_of(said, target.number)
    if target.part not in parts_of(model):
        raise AnswerError(400, f"{model.name} gives no {target.part}s; ask for {', '.join(parts_of(model))}")
    steps, k = trace.origin(target.number), target.number
    if target.part == "score":
        return Meant(
            detection(k), f"{name}: its score", lambda v: f"Reported as {name} with a score of {v:.2f}.", steps, box, k
        )
    if target.part == "mask":
        at = None if target.pixel is None else (float(target.pixel[1]), float(target.pixel[0]))
        where = "" if at is None else f" at {at[1]:.0f}, {at[0]:.0f}"
        said_of = "Its mask is sure by" if at is None else f"The pixel{where} belongs to it by"
        return Meant(mask(k, at), f"{name}: its mask{where}", lambda v: f"{said_of} {v:.2f}.", steps, box, k)
    if target.part == "keypoint":
        names = _keypoints(said, name)
        j = target.keypoint
        if j is None or j >= len(names):
            raise AnswerError(400, f"keypoint {j}: {name} has {len(names)}, 0 to {len(names) - 1}")
        return Meant(
            keypoint(k, j), f"{name}: {names[j]}", lambda v: f"The best logit of {names[j]} is {v:.2f}.", steps, box, k
        )
    edge = target.part
    return Meant(
        box_edge(k, edge), f"{name}: {edge} edge", lambda v: f"The {edge} edge lies at pixel {v:.1f}.", steps, box, k
    )


def _keypoints(said: Annotations, name: str) -> tuple[str, ...]:
    points = said.classes.keypoints
    own = points[said.classes.index(name)] if points else None
    return own.names if own is not None else ()


def _missed(model: PhotoModel, trace: Trace, target: MissedTarget) -> Meant:
    label = None if target.class_ is None else model.classes.index(target.class_)
    if (target.box is None) == (target.point is None):
        raise AnswerError(400, "an object that was missed: give its box or a point in it, one of them")
    if target.box is not None:
        place = [float(v) for v in target.box]
        if not (place[2] > place[0] and place[3] > place[1]):
            raise AnswerError(400, "a box is x1, y1, x2, y2 in pixels, x1 < x2 and y1 < y2")
        label = _likeliest(trace, place) if label is None else label
    else:
        assert target.point is not None
        place, label = _candidate_at(trace, target.point, label)
    name = model.classes[label]
    fate = trace.fate(place, label)
    found = fate.reason == FOUND
    sentence = f"It was found as {name}." if found else f"Not reported as {name}: {fate.text}."
    steps = [] if found else [Step(fate.reason, fate.text, _box_of(trace, fate.candidate, label), fate.score)]
    if fate.by is not None:
        winner = trace.origin(fate.by)[0]
        steps.append(Step("suppressed by", winner.text, winner.box, winner.score))
    return Meant(
        missed(place, label), f"{name}, missed" if not found else name, lambda _: sentence, steps, _rounded(place)
    )


@torch.no_grad()
def _candidate_at(trace: Trace, point: list[float], label: int | None) -> tuple[list[float], int]:
    """The box and class of the surest candidate that contains a point; of one class, or of any."""
    x, y = point
    boxes, scores = trace.boxes, trace.scores
    if label is not None:
        boxes, scores = trace.boxes_of(label)[:, None], scores[:, label, None]
    inside = (boxes[..., 0] <= x) & (x <= boxes[..., 2]) & (boxes[..., 1] <= y) & (y <= boxes[..., 3])
    inside &= (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    there = torch.where(inside.expand_as(scores), scores, torch.full_like(scores, -1))
    if not there.numel() or float(there.max()) < 0:
        raise AnswerError(400, "the model considered no box that contains this point; draw a box around the object")
    row, column = divmod(int(there.argmax()), there.shape[1])
    found = column if label is None else label
    return trace.boxes_of(found)[row].tolist(), found


@torch.no_grad()
def _likeliest(trace: Trace, place: list[float]) -> int:
    """The class of the surest candidate at a box; where none is, of the one that overlaps it most."""
    if not len(trace.scores):
        raise AnswerError(400, "the model has no candidate anywhere in this photo; it may be too small")
    C, B = trace.boxes.shape[:2]
    over = pairwise_iou(trace.boxes.new_tensor([place]), trace.boxes.reshape(-1, 4)).view(C, B)
    over = over.expand_as(trace.scores)
    there = torch.where(over >= 0.5, trace.scores, torch.full_like(trace.scores, -1))
    best = there if float(there.max()) >= 0 else over + 1e-3 * trace.scores
    return int(best.argmax()) % best.shape[1]


def _box_of(trace: Trace, row: int | None, label: int) -> tuple[float, float, float, float] | None:
    if row is None:
        return None
    x1, y1, x2, y2 = trace.boxes_of(label)[row].detach().tolist()
    return x1, y1, x2, y2


def _rounded(box: list[float]) -> list[float]:
    return [round(v, 2) for v in box]


def _instead(model: PhotoModel, said: Annotations, trace: Trace, target: InsteadTarget) -> Meant:
    assert target.number is not None
    _, _, box = object_of(said, target.number)
    one, other = (model.classes[model.classes.index(name)] for name in (target.class_, target.other))
    return Meant(
        instead_of(one, other, target.number),
        f"{one} rather than {other}",
        lambda v: _difference(one, other, v),
        trace.origin(target.number),
        box,
        target.number,
    )


def _difference(one: str, other: str, value: float) -> str:
    more = "above" if value >= 0 else "below"
    return f"The score of {one} before the softmax is {abs(value):.2f} {more} that of {other}."


def _class(model: PhotoModel, said: Annotations, target: ClassTarget) -> Meant:
    _check_has_classes(model, said)
    index = model.classes.index(target.class_)
    name = model.classes[index]
    place = 1 + int((said.probabilities > said.probabilities[index]).sum())
    count = len(model.classes)
    return Meant(
        class_logit(index),
        name,
        lambda v: f"A probability of {v:.1%}; number {place} of {count} classes.",
        [],
    )


def _class_instead(model: PhotoModel, said: Annotations, target: InsteadTarget) -> Meant:
    _check_has_classes(model, said)
    one, other = (model.classes[model.classes.index(name)] for name in (target.class_, target.other))
    return Meant(instead_of(one, other), f"{one} rather than {other}", lambda v: _difference(one, other, v), [])


def _check_has_classes(model: PhotoModel, said: Annotations) -> None:
    if said.logits is None:
        raise PellucidError(f"{model.name} says of objects what they are, not of the photo; ask for an object")
