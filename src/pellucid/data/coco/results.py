"""COCO's results files: a network's predictions as one JSON list, read beside the data set they are of, and written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from pellucid.data.coco.parsing import parse_json, read_bytes
from pellucid.data.coco.segmentations import as_mask
from pellucid.data.coco.writing import DIGITS, objects_of, segmentation, whole_ids
from pellucid.data.dataset import Dataset
from pellucid.data.numbers import identity, number
from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.structures import Annotations, Instances, Mask, Masks


def read_results(path: str | Path, dataset: Dataset) -> list[Annotations]:
    """The predictions in a results file, one ``Annotations`` for each image of the data set, in its order.

    Entries are of bbox, segm or keypoints, or several of them. A box that is not given is that of the mask or of the
    keypoints, as in COCO's own tools. Raises PellucidError for an entry of an image or category that the data set does
    not have, and for what is no number, naming the entry.
    """
    path = Path(path)
    entries = parse_json(path, read_bytes(path))
    if not isinstance(entries, list):
        raise PellucidError(f"{path}: is no list of results; give the file of predictions")
    images: dict[object, int] = {}
    for index in range(len(dataset)):
        id = dataset.sample(index).id
        images[id if id is not None else index + 1] = index
    labels = {dataset.classes.source_id(i): i for i in range(len(dataset.classes))}
    grouped: list[list[tuple[int, dict[str, Any]]]] = [[] for _ in range(len(dataset))]
    for position, entry in enumerate(entries):
        image = images.get(identity(entry.get("image_id"))) if isinstance(entry, dict) else None
        if image is None:
            what = f"image_id {entry.get('image_id')!r}" if isinstance(entry, dict) else "an entry that is no object"
            raise PellucidError(
                f"{path}: entry {position}: {what[:80]} is not in {dataset.title}; give its own results"
            )
        grouped[image].append((position, entry))
    return [_predictions(path, dataset, index, found, labels) for index, found in enumerate(grouped)]


def _predictions(
    path: Path, dataset: Dataset, index: int, entries: list[tuple[int, dict[str, Any]]], labels: dict[int | str, int]
) -> Annotations:
    size = dataset.size(index)
    boxes: list[Sequence[float]] = []
    found: list[int] = []
    scores: list[float] = []
    masks: list[Mask | None] = []
    keypoints: list[list[float]] = []
    for position, entry in entries:
        where = f"{path}: entry {position}"
        category = identity(entry.get("category_id"))
        if category not in labels:
            raise PellucidError(f"{where}: category_id {category!r} is not in {dataset.title}; correct it")
        score = number(entry.get("score"))
        if score != score:
            raise PellucidError(f"{where}: score {str(entry.get('score'))[:40]!r} is no number; correct it")
        mask = None
        if entry.get("segmentation"):
            try:
                mask = as_mask(entry["segmentation"], size)
            except PellucidError as error:
                raise PellucidError(f"{where}: {error}; write the results again") from None
        points = [number(v) for v in entry["keypoints"]] if isinstance(entry.get("keypoints"), list) else []
        box = [number(v) for v in entry["bbox"]] if isinstance(entry.get("bbox"), list) else _box(mask, points, size)
        if len(box) != 4 or not all(abs(v) < 1e9 for v in [*box, *points]) or len(points) % 3:
            raise PellucidError(f"{where}: its bbox or keypoints are not finite numbers; write the results again")
        boxes.append((box[0], box[1], box[0] + box[2], box[1] + box[3]))
        found.append(labels[category])
        scores.append(score)
        masks.append(mask)
        keypoints.append(points)
    K = max(map(len, keypoints), default=0)
    padded = [points + [0.0] * (K - len(points)) for points in keypoints]
    whole = bool(masks) and all(mask is not None for mask in masks)
    objects = Instances(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(found, dtype=torch.int64),
        scores=torch.tensor(scores, dtype=torch.float32),
        masks=Masks([m for m in masks if m is not None], size) if whole else None,
        keypoints=torch.tensor(padded, dtype=torch.float32).reshape(-1, K // 3, 3) if K else None,
    )
    return Annotations(size, dataset.classes, instances=objects)


def _box(mask: Mask | None, points: list[float], size: tuple[int, int]) -> list[float]:
    if mask is not None:
        x1, y1, x2, y2 = Masks([mask], size).boxes()[0].tolist()
        return [x1, y1, x2 - x1, y2 - y1]
    xs, ys = points[0::3], points[1::3]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)] if ys else []


def write_results(predictions: Sequence[Annotations], dataset: Dataset, path: str | Path) -> Path:
    """Writes predictions, one for each image of the data set, as a results file for COCO's own tools.

    Each entry has bbox and score, and segmentation and keypoints where they were predicted. Raises PellucidError where
    the numbers of predictions and images differ, or a prediction has no scores.
    """
    path = Path(path)
    if len(predictions) != len(dataset):
        raise PellucidError(f"{path}: {len(predictions)} predictions for {len(dataset)} images; give one for each")
    ids = whole_ids(dataset.classes)
    made = []
    for index, said in enumerate(predictions):
        objects = objects_of(said)
        if objects.scores is None and len(objects):
            raise PellucidError(f"{path}: the prediction for {dataset.names[index]} has no scores; results need them")
        id = dataset.sample(index).id
        for row in range(len(objects)):
            x1, y1, x2, y2 = objects.boxes[row].detach().double().tolist()
            entry: dict[str, Any] = {
                "image_id": id if id is not None else index + 1,
                "category_id": ids[int(objects.labels[row])],
                "bbox": [round(v, DIGITS) for v in (x1, y1, x2 - x1, y2 - y1)],
                "score": float(objects.scores[row]) if objects.scores is not None else 1.0,
            }
            if objects.masks is not None:
                entry["segmentation"] = segmentation(objects.masks[row], crowd=False, runs=True)
            if objects.keypoints is not None:
                entry["keypoints"] = [round(v, 3) for v in objects.keypoints[row].detach().double().flatten().tolist()]
            made.append(entry)
    with written_whole(path) as temporary:
        temporary.write_bytes(msgspec.json.encode(made))
    return path
