"""Writing YOLO's text files, with a data.yaml as Ultralytics reads it."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pellucid.data.coco.writing import objects_of
from pellucid.data.dataset import Dataset
from pellucid.data.formats import Options, Progress
from pellucid.data.images import ImageStore
from pellucid.data.yolo.layout import SIZES
from pellucid.errors import PellucidError, nearest
from pellucid.files import written_whole
from pellucid.structures import Instances, Polygons, convert_boxes

LABELS = ("boxes", "segments", "keypoints")


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes one split: ``images/SPLIT/``, ``labels/SPLIT/`` and data.yaml.

    ``labels``: what a line holds: boxes, segments (an outline an object; one without a mask is written as its box's
    outline) or keypoints. Where the images are left out, their sizes are written beside.
    """
    labels = options.get("labels", "boxes")
    if labels not in LABELS:
        raise PellucidError(f"yolo: labels={labels}{nearest(labels, LABELS)}; give one of {', '.join(LABELS)}")
    if labels == "keypoints" and "keypoints" not in dataset.holds:
        raise PellucidError(f"yolo: labels=keypoints, but {dataset.title} holds none; leave it out")
    texts, images = folder / "labels" / split, folder / "images" / split
    texts.mkdir(parents=True, exist_ok=True)
    images.mkdir(parents=True, exist_ok=True)
    K = max((len(k) for k in dataset.classes.keypoints if k), default=0) if labels == "keypoints" else 0
    sizes = []
    for index, sample in enumerate(dataset):
        said = sample.annotations
        name = store.name(sample, images)
        store.put(sample, images / name)
        lines = _lines(objects_of(said), said.size, labels, K)
        (texts / Path(name).with_suffix(".txt")).write_text("".join(lines), encoding="ascii")
        sizes.append(f"images/{split}/{name},{said.size[1]},{said.size[0]}\n")
        if progress is not None:
            progress(index + 1, len(dataset))
    if store.keeping == "none":
        with (folder / SIZES).open("a", encoding="utf-8") as file:
            file.writelines(sizes)
    _write_yaml(dataset, folder, split, K)


def _write_yaml(dataset: Dataset, folder: Path, split: str, K: int) -> None:
    path = folder / "data.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    key = "train" if split.startswith("train") else "val" if split.startswith("val") else "test"
    # What is neither is a split of its own name where its kind is taken already.
    content[key if split.startswith(("train", "val", "test")) and key not in content else split] = f"images/{split}"
    if set(content) == {split} and split not in ("train", "val", "test"):
        content = {"train": f"images/{split}"}
    content["names"] = dict(enumerate(dataset.classes.names))
    if K:
        points = next(k for k in dataset.classes.keypoints if k is not None and len(k) == K)
        content |= {"kpt_shape": [K, 3], "flip_idx": list(points.flip), "kpt_names": {0: list(points.names)}}
    with written_whole(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _lines(objects: Instances, size: tuple[int, int], labels: str, K: int) -> list[str]:
    if len(objects) == 0:
        return []
    H, W = size
    found = objects.labels.tolist()
    if labels == "segments":
        return _segments(objects, found, W, H)
    boxes = convert_boxes(objects.boxes.detach().double(), "xyxy", "normalised cxcywh", size).tolist()
    lines = [f"{label} {cx:.9g} {cy:.9g} {w:.9g} {h:.9g}" for label, (cx, cy, w, h) in zip(found, boxes, strict=True)]
    if labels == "keypoints" and objects.keypoints is not None:
        points = objects.keypoints.detach().double().numpy() / np.array([W, H, 1])
        for row, line in enumerate(lines):
            own = np.zeros((K, 3))
            own[: len(points[row])] = points[row]
            lines[row] = " ".join([line, *(f"{x:.9g} {y:.9g} {int(v)}" for x, y, v in own.tolist())])
    elif labels == "keypoints":
        lines = [line + " 0 0 0" * K for line in lines]
    return [line + "\n" for line in lines]


def _segments(objects: Instances, labels: list[int], W: int, H: int) -> list[str]:
    outlines: list[Polygons | None] = [None] * len(labels)
    if objects.masks is not None:
        outlines = list(objects.masks.polygons())
    lines = []
    for label, outline, box in zip(labels, outlines, objects.boxes.detach().double().tolist(), strict=True):
        if outline is None or not outline.parts:
            x1, y1, x2, y2 = box
            points = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        else:
            points = _one_loop(outline)
        text = " ".join(f"{v:.9g}" for v in (points / (W, H)).ravel().tolist())
        lines.append(f"{label} {text}\n")
    return lines


def _one_loop(outline: Polygons) -> np.ndarray:
    """All parts of an outline as one loop: to each further part by an edge that goes there and back.

    A line holds one polygon; filled by the even-odd rule it gives the same pixels.
    """
    first = outline.parts[0]
    made = [first]
    for part in outline.parts[1:]:
        made += [first[:1], part, part[:1]]
    return np.concatenate([*made, first[:1]]) if len(outline.parts) > 1 else first
