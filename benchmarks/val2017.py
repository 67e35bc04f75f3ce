"""A file of the size of COCO's instances_val2017.json, made up: its numbers of images, objects, classes and points."""

import json
from pathlib import Path

import numpy as np

IMAGES, OBJECTS, CLASSES = 5_000, 36_000, 80
SIZES = ((480, 640), (640, 480), (426, 640), (427, 640), (500, 375), (333, 500))


def _polygon(generator: np.random.Generator, x: float, y: float, w: float, h: float) -> list[float]:
    n = int(generator.integers(4, 48))
    angles = np.sort(generator.random(n)) * 2 * np.pi
    radius = 0.6 + 0.4 * generator.random(n)
    points = np.stack((x + w / 2 * (1 + radius * np.cos(angles)), y + h / 2 * (1 + radius * np.sin(angles))), 1)
    return [float(v) for v in np.round(points.ravel(), 2)]


def make(path: Path, seed: int = 0) -> list[tuple[str, tuple[int, int]]]:
    """Writes the file (about 20 MB); gives each image's name and (H, W)."""
    generator = np.random.default_rng(seed)
    ids = np.sort(generator.choice(600_000, IMAGES, replace=False)) + 1
    sizes = [SIZES[int(i)] for i in generator.integers(len(SIZES), size=IMAGES)]
    images = [
        {
            "license": 4,
            "file_name": f"{id:012d}.jpg",
            "coco_url": f"http://images.cocodataset.org/val2017/{id:012d}.jpg",
            "height": H,
            "width": W,
            "date_captured": "2013-11-14 17:02:52",
            "flickr_url": "http://farm7.staticflickr.com/6116/6255196340_da26cf2c9e_z.jpg",
            "id": int(id),
        }
        for id, (H, W) in zip(ids, sizes, strict=True)
    ]
    annotations = []
    for number, image in enumerate(generator.integers(IMAGES, size=OBJECTS)):
        H, W = sizes[image]
        w, h = (float(v) for v in np.round(generator.uniform(3, (W / 2, H / 2)), 2))
        x, y = (float(v) for v in np.round(generator.uniform(0, (W - w, H - h)), 2))
        crowd = number % 80 == 0
        segmentation: object = [_polygon(generator, x, y, w, h)]
        if crowd:
            segmentation = {"counts": [int(x) * H + int(y), 20, W * H - int(x) * H - int(y) - 20], "size": [H, W]}
        annotations.append(
            {
                "segmentation": segmentation,
                "area": round(w * h * 0.6, 4),
                "iscrowd": int(crowd),
                "image_id": int(ids[image]),
                "bbox": [x, y, w, h],
                "category_id": int(generator.integers(1, CLASSES + 1)),
                "id": number + 1,
            }
        )
    categories = [{"supercategory": "thing", "id": i, "name": f"class {i}"} for i in range(1, CLASSES + 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return [(str(image["file_name"]), size) for image, size in zip(images, sizes, strict=True)]
