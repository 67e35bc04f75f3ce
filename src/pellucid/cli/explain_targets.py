"""What ``pellucid explain`` explains of a photo: classes of a classifier, objects of a detector."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pellucid.cli.photos import scored
from pellucid.errors import PellucidError, nearest
from pellucid.explain import Objective, box_edge, class_logit, detection, mask, missed
from pellucid.explain.subject import Subject
from pellucid.models import Classifier, PhotoModel
from pellucid.report.annotated import draw_annotations
from pellucid.structures import Annotations, ClassScore, Instances

EDGES = ("left", "top", "right", "bottom")
PARTS = ("score", "mask", *EDGES)
"""What of an object can be explained."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for. ``targets``: classes, all if empty; ``missed``: 'CLASS@x1,y1,x2,y2' each."""

    targets: tuple[int, ...]
    top_k: int
    part: str = "score"
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Targets:
    """What is explained of one photo, and how it is shown.

    ``listed``: what the network says, best first, with ``predictions`` for the record; ``explained``: what of it is
    explained, with an objective each, named alike. ``picture``: the photo, uint8 (3, H, W), with what is found in it.
    """

    size: tuple[int, int]
    listed: list[ClassScore]
    predictions: list[dict[str, Any]]
    explained: list[dict[str, Any]]
    objectives: list[Objective]
    picture: Tensor


def check_wanted(model: PhotoModel, wanted: Wanted) -> None:
    """Raises PellucidError where a model says nothing of the kind that is asked for."""
    if isinstance(model, Classifier):
        if wanted.part != "score" or wanted.missed:
            given = "--missed" if wanted.missed else f"--part {wanted.part}"
            raise PellucidError(f"{given}: {model.name} is a classifier and finds no objects; leave it out")
        return
    if not hasattr(model, "traced"):
        raise PellucidError(
            f"{model.name}: keeps no trace of its objects; give a classifier, rcnn-imagenet, or a trained localizer, "
            "rcnn, fast_rcnn, faster_rcnn, mask_rcnn or keypoint_rcnn"
        )
    if wanted.part not in PARTS:
        raise PellucidError(f"--part {wanted.part}: no such part{nearest(wanted.part, PARTS)}; {', '.join(PARTS)}")
    if wanted.part == "mask" and model.task != "instances":
        raise PellucidError(f"--part mask: {model.name} gives no masks; leave it out")
    for text in wanted.missed:
        _missed(text, model)


def targets_of(model: PhotoModel, subject: Subject, photo: Tensor, wanted: Wanted) -> Targets:
    """What is explained of a photo, uint8 (3, H, W). Raises PellucidError where a detector finds nothing to explain."""
    return (_classes if isinstance(model, Classifier) else _objects)(model, subject, photo, wanted)


def _classes(model: PhotoModel, subject: Subject, photo: Tensor, wanted: Wanted) -> Targets:
    with torch.inference_mode():
        said = model.from_frame(subject.frame, subject.placements)[0]
    top = said.top(5 if wanted.targets else max(5, wanted.top_k))
    probabilities = said.probabilities.tolist()
    targets = [ClassScore(model.classes[i], i, probabilities[i]) for i in wanted.targets] or top[: wanted.top_k]
    listed = top + [target for target in targets if target.index not in {score.index for score in top}]
    return Targets(
        said.size,
        listed,
        [scored(score) for score in top],
        [scored(target) for target in targets],
        [class_logit(target.name) for target in targets],
        photo,
    )


def _objects(model: PhotoModel, subject: Subject, photo: Tensor, wanted: Wanted) -> Targets:
    said = subject.keep()[0]
    objects = said.instances
    assert objects is not None
    scores = [] if objects.scores is None else objects.scores.tolist()
    labels = objects.labels.tolist()
    rows = [k for k, label in enumerate(labels) if not wanted.targets or label in wanted.targets]
    rows = [] if wanted.missed else rows[: wanted.top_k]
    if not rows and not wanted.missed:
        of = " of " + ", ".join(model.classes[i] for i in wanted.targets) if wanted.targets else ""
        raise PellucidError(
            f"{model.name} finds no object{of} in this photo; ask what it missed: --missed 'CLASS@x1,y1,x2,y2'"
        )
    shown = sorted({*range(min(5, len(labels))), *rows})
    listed = [ClassScore(f"{k + 1} {model.classes[labels[k]]}", labels[k], scores[k]) for k in shown]
    objectives = [_asked(k, f"{k + 1} {model.classes[labels[k]]}", wanted.part) for k in rows]
    objectives += [_missed(text, model) for text in wanted.missed]
    records = [_record(objects, k, model.classes[labels[k]]) for k in range(len(labels))]
    drawn = objects[shown].to("cpu")
    picture = draw_annotations(
        photo, Annotations(said.size, said.classes, instances=drawn), size=(said.size[1], said.size[0])
    )
    explained = [{**records[k], "part": wanted.part} for k in rows]
    explained += [{"missed": text} for text in wanted.missed]
    return Targets(said.size, listed, records, explained, objectives, torch.from_numpy(picture.copy()).permute(2, 0, 1))


def _record(objects: Instances, k: int, name: str) -> dict[str, Any]:
    assert objects.scores is not None
    return {
        "object": k + 1,
        "class": name,
        "index": int(objects.labels[k]),
        "probability": float(objects.scores[k]),
        "box": [round(v, 2) for v in objects.boxes[k].tolist()],
    }


def _asked(k: int, name: str, part: str) -> Objective:
    if part == "score":
        return replace(detection(k), text=name)
    if part == "mask":
        return replace(mask(k), text=name)
    return replace(box_edge(k, part), text=name)  # type: ignore[arg-type]


def _missed(text: str, model: PhotoModel) -> Objective:
    name, at, place = text.rpartition("@")
    try:
        box: Sequence[float] = [float(part) for part in place.split(",")]
    except ValueError:
        box = ()
    if not at or len(box) != 4:
        raise PellucidError(f"--missed {text}: give CLASS@x1,y1,x2,y2, the box in pixels of the photo")
    model.classes.index(name)
    return missed(box, name)
