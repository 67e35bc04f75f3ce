"""What a model reports of a kept photo, by its own thresholds or by others: no pass through the network."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.models import Detector, PhotoModel
from pellucid.report.outlines import outline_path
from pellucid.structures import Annotations, Instances
from pellucid.web.limits import AnswerError
from pellucid.web.photos import Kept

_REMEMBERED = 4
"""For how many thresholds the answers of a photo are kept."""

_LEAST_OVERLAP = 0.01
"""What a slider at its end stands for: not every model takes 0."""


def thresholds_of(model: PhotoModel) -> dict[str, float]:
    """Those that can be moved without a pass, with their present values."""
    return dict(model.thresholds) if isinstance(model, Detector) and hasattr(model, "traced") else {}


def chosen_model(model: PhotoModel, thresholds: Mapping[str, float]) -> PhotoModel:
    """The model with other thresholds. Raises PellucidError for those that it does not have."""
    known = thresholds_of(model)
    for name in thresholds:
        if name not in known:
            there = f"it has {', '.join(known)}" if known else "it has none that can be moved"
            raise PellucidError(f"{model.name}: has no threshold '{name}'; {there}")
    if not thresholds or not isinstance(model, Detector):
        return model
    wanted = dict(thresholds)
    if "overlap" in wanted:
        wanted["overlap"] = max(_LEAST_OVERLAP, wanted["overlap"])
    return model.choosing(**wanted)


def reported(model: PhotoModel, photo: Kept, thresholds: Mapping[str, float], *, parts: bool) -> Annotations:
    """What is reported of a photo by some thresholds; ``parts``: with masks and keypoints, which run their heads.

    Every answer has a trace of its own, since an explanation opens it; that of the one pass is left alone.
    """
    kept = photo.whole if parts else photo.chosen
    chosen = chosen_model(model, thresholds)
    now = thresholds_of(chosen)
    key = tuple(now.values())
    with photo.lock:
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
    said = photo.said
    if isinstance(chosen, Detector) and said.trace is not None:
        with torch.no_grad():
            said = chosen.from_trace(said.trace, parts=parts)
    _remember(photo, kept, key, said)
    return said


def _remember(
    photo: Kept, kept: OrderedDict[tuple[float, ...], Annotations], key: tuple[float, ...], said: Annotations
) -> None:
    with photo.lock:
        kept[key] = said
        while len(kept) > _REMEMBERED:
            kept.popitem(last=False)


def objects_json(model: PhotoModel, said: Annotations) -> list[dict[str, Any]]:
    """The objects of a photo, best first, as the page gets them."""
    objects = said.instances
    if objects is None:
        return []
    boxes, labels = _rounded(objects.boxes), objects.labels.tolist()
    scores = [1.0] * len(labels) if objects.scores is None else [round(v, 4) for v in objects.scores.tolist()]
    points = keypoints_json(objects)
    masks = model.task == "instances"
    return [
        {
            "number": k,
            "class": said.classes[labels[k]],
            "score": scores[k],
            "box": boxes[k],
            "keypoints": points.get(str(k)),
            "has_mask": masks,
        }
        for k in range(len(labels))
    ]


def keypoints_json(objects: Instances) -> dict[str, list[list[float]]]:
    """The keypoints [x, y, score] of each object by its number; the score is the logit's sigmoid."""
    if objects.keypoints is None:
        return {}
    scores = objects.keypoints[..., 2] if objects.keypoint_scores is None else objects.keypoint_scores.sigmoid()
    together = torch.cat((objects.keypoints[..., :2], scores[..., None].to(objects.keypoints)), -1)
    return {str(k): _rounded(own) for k, own in enumerate(together)}


def outlines_json(said: Annotations) -> dict[str, Any]:
    """The masks of a photo's objects as paths, and their keypoints."""
    objects = said.instances if said.instances is not None else Instances.empty()
    paths = [outline_path(mask) for mask in objects.masks] if objects.masks is not None else []
    return {"outlines": {str(k): path for k, path in enumerate(paths)}, "keypoints": keypoints_json(objects)}


def object_of(said: Annotations, number: int) -> tuple[Instances, str, list[float]]:
    """One object, its class and its box. Raises AnswerError where there is none of this number."""
    objects = said.instances
    count = 0 if objects is None else len(objects)
    if objects is None or number >= count:
        there = f"there are {count}, 0 to {count - 1}" if count else "there is none"
        raise AnswerError(404, f"object {number} is not reported by these thresholds; {there}")
    return objects[number], said.classes[int(objects.labels[number])], _rounded(objects.boxes[number : number + 1])[0]


def _rounded(values: Tensor) -> list[list[float]]:
    return [[round(v, 2) for v in row] for row in torch.nan_to_num(values.detach().float()).tolist()]
