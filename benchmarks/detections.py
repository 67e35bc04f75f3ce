"""Truth and detections of the size of COCO's val2017, made up: 5,000 images, 36,000 objects, 500,000 detections."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

IMAGES, OBJECTS, DETECTIONS, CLASSES = 5_000, 36_000, 500_000, 80


def _boxes(generator: np.random.Generator, n: int) -> NDArray[np.float64]:
    """n boxes xywh in images of 640 × 480, small ones more often."""
    sides = np.exp(generator.uniform(np.log(8), np.log(320), (n, 2)))
    corner = generator.random((n, 2)) * (np.array((640, 480)) - np.minimum(sides, (640, 480)))
    return np.concatenate((corner, sides), 1)


def make(folder: Path, seed: int = 0, detections: int = DETECTIONS) -> tuple[Path, Path]:
    """Writes truth.json and results.json; gives their paths. 35 of 100 detections lie near an object of their class."""
    generator = np.random.default_rng(seed)
    ids = np.sort(generator.choice(600_000, IMAGES, replace=False)) + 1
    boxes = np.round(_boxes(generator, OBJECTS), 2)
    image = generator.integers(IMAGES, size=OBJECTS)
    label = (CLASSES * generator.random(OBJECTS) ** 2).astype(int) + 1
    crowd = generator.random(OBJECTS) < 0.01
    area = np.round(boxes[:, 2] * boxes[:, 3] * 0.7, 3)
    near = generator.integers(OBJECTS, size=detections)
    close = generator.random(detections) < 0.35
    spread = generator.uniform(0, 0.25, (detections, 1)) * np.tile(boxes[near, 2:], 2)
    moved = boxes[near] + generator.normal(size=(detections, 4)) * spread
    moved[:, 2:] = np.maximum(moved[:, 2:], 1)
    found = np.round(np.where(close[:, None], moved, _boxes(generator, detections)), 2)
    place = np.where(close, image[near], generator.integers(IMAGES, size=detections))
    said = np.where(close, label[near], generator.integers(1, CLASSES + 1, size=detections))
    score = np.where(close, generator.beta(4, 2, detections), generator.beta(1, 5, detections)).astype(np.float32)
    truth = {
        "images": [{"id": int(i), "file_name": f"{i:012d}.jpg", "height": 480, "width": 640} for i in ids],
        "annotations": [
            {
                "id": n + 1,
                "image_id": int(ids[i]),
                "category_id": int(c),
                "bbox": b,
                "area": float(a),
                "iscrowd": int(k),
            }
            for n, (i, c, b, a, k) in enumerate(zip(image, label, boxes.tolist(), area, crowd, strict=True))
        ],
        "categories": [{"id": i, "name": f"class {i}"} for i in range(1, CLASSES + 1)],
    }
    results = [
        {"image_id": int(ids[i]), "category_id": int(c), "bbox": b, "score": float(s)}
        for i, c, b, s in zip(place, said, found.tolist(), score, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "truth.json", folder / "results.json"
    for path, value in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def make_masks(folder: Path, seed: int = 0, images: int = 500, detections: int = 20_000) -> tuple[Path, Path]:
    """The same with masks: ellipses with ragged edges, as run lengths, 3,600 objects of 20 classes."""
    generator = np.random.default_rng(seed)
    objects, classes = 3_600, 20
    boxes = np.round(_boxes(generator, objects), 2)
    image, label = generator.integers(images, size=objects), generator.integers(1, classes + 1, objects)
    truths, results = [], []
    for n, (i, k, box) in enumerate(zip(image.tolist(), label.tolist(), boxes, strict=True)):
        runs, area = _ellipse(generator, box)
        truths.append(
            {"id": n + 1, "image_id": i + 1, "category_id": k, "bbox": box.tolist(), "area": area, "iscrowd": 0,
             "segmentation": runs}
        )  # fmt: skip
    near = generator.integers(objects, size=detections)
    for n in near.tolist():
        box = boxes[n] + generator.normal(size=4) * generator.uniform(0, 0.2) * np.tile(boxes[n, 2:], 2)
        box[2:] = np.maximum(box[2:], 4)
        label_said = int(label[n]) if generator.random() < 0.7 else int(generator.integers(1, classes + 1))
        runs, _ = _ellipse(generator, box)
        score = float(np.float32(generator.random()))
        results.append({"image_id": int(image[n]) + 1, "category_id": label_said, "score": score, "segmentation": runs})
    truth = {
        "images": [{"id": i + 1, "file_name": f"{i + 1}.jpg", "height": 480, "width": 640} for i in range(images)],
        "annotations": truths,
        "categories": [{"id": k, "name": f"class {k}"} for k in range(1, classes + 1)],
    }
    paths = folder / "truth.json", folder / "results.json"
    for path, value in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(value))
    return paths


def _ellipse(generator: np.random.Generator, box: NDArray[np.float64]) -> tuple[dict[str, object], float]:
    """Compressed run lengths of an ellipse in a box, and its pixels."""
    x, y, w, h = box
    columns = np.arange(max(int(x), 0), min(int(x + w), 640))
    half = np.sqrt(np.clip(1 - ((columns + 0.5 - x - w / 2) / (w / 2)) ** 2, 0, 1)) * h / 2
    half *= generator.uniform(0.9, 1.1, len(columns))
    mask = np.zeros((480, 640), dtype=np.uint8, order="F")
    for column, reach in zip(columns.tolist(), half.tolist(), strict=True):
        mask[max(int(y + h / 2 - reach), 0) : max(int(y + h / 2 + reach), 0), column] = 1
    made = coco.encode(mask)
    return {"size": [480, 640], "counts": made["counts"].decode()}, float(mask.sum())
