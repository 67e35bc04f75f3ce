"""Truth and detections of the size of COCO's val2017, made up: 5,000 images, 36,000 objects, 500,000 detections."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
