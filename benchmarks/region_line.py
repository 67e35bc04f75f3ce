"""The region line on the same generated scenes: R-CNN, Fast, Faster (one map, pyramid), Mask and Keypoint R-CNN.

Each is trained from the embedded backbone by its packaged recipe, and scored on other scenes: AP of boxes, also of
small ones, of masks and keypoints; minutes of training; seconds an image to predict. Then RoIAlign against RoIPool, and
Soft-NMS against NMS on crowded scenes. ``python benchmarks/region_line.py [ROW …]`` for some of the rows alone.
"""

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pellucid
from pellucid import metrics
from pellucid.data import open_dataset
from pellucid.models import Detector
from pellucid.models.predicting import predict_all
from pellucid.training import read_recipe, train

from common import setup

TRAIN, VAL = "scenes:n=240,size=160,seed=11", "scenes:n=80,size=160,seed=12"
CROWDED = "scenes:n=80,size=160,seed=13,crowded=1"
SMALL = ("settings.min_side=224", "settings.max_side=320", "settings.region_samples=128")


C4 = (*SMALL, "settings.neck=none", "settings.head=stage", "settings.region_samples=32", "settings.proposals_after=100")
"""Its head is a whole stage of the backbone for each region: with as many regions as the others it takes an hour."""


@dataclass(frozen=True)
class Row:
    """A training: the recipe's name, how many epochs, and what is other than packaged."""

    recipe: str
    epochs: int
    changes: tuple[str, ...] = SMALL


ROWS = {
    "rcnn": Row("rcnn", 3, ("settings.proposals=200", "settings.crop_size=112", "settings.samples=16")),
    "fast_rcnn (RoIPool)": Row("fast_rcnn", 10, (*SMALL, "settings.external_limit=500")),
    "faster_rcnn (one map, C4)": Row("faster_rcnn", 6, C4),
    "faster_rcnn (pyramid)": Row("faster_rcnn", 10),
    "mask_rcnn": Row("mask_rcnn", 10),
    "mask_rcnn (RoIPool)": Row("mask_rcnn", 10, (*SMALL, "settings.pooling=pool")),
    "keypoint_rcnn": Row("keypoint_rcnn", 14, (*SMALL, "settings.region_samples=64", "settings.keypoint_channels=64")),
}


def trained(row: Row, folder: Path) -> tuple[Detector, float]:
    """A trained model, and the minutes that it took."""
    recipe = read_recipe(row.recipe, [*row.changes, f"epochs={row.epochs}", "validation.every=100"])
    began = time.perf_counter()
    result = train(recipe.with_data(train=TRAIN, val=VAL), out=folder)
    minutes = (time.perf_counter() - began) / 60
    model = pellucid.load(result.folder.last)
    assert isinstance(model, Detector)
    return model, minutes


def scores(model: Detector, source: str, protocols: tuple[str, ...]) -> tuple[list[dict[str, float]], float]:
    """The figures of each protocol, and the seconds an image."""
    data = open_dataset(source)
    photos = [sample.image for sample in data]
    began = time.perf_counter()
    said = list(predict_all(model, photos, 1))
    seconds = (time.perf_counter() - began) / len(photos)
    return [metrics.evaluate(data, said, protocol).summary for protocol in protocols], seconds


def line(name: str, model: Detector, minutes: float) -> str:
    """One row of the table."""
    found, seconds = scores(model, VAL, tuple(dict.fromkeys((*model.protocols, "coco"))))
    figures = dict(zip(dict.fromkeys((*model.protocols, "coco")), found, strict=True))
    boxes = figures["coco"]
    text = f"{name:<28} {boxes['AP']:.3f}  {boxes['AP50']:.3f}  {boxes['AP_small']:.3f}  {minutes:5.1f}  {seconds:.3f}"
    for protocol in model.protocols:
        if protocol != "coco":
            other: Any = figures[protocol]
            text += f"   {protocol}: AP {other['AP']:.3f}, AP50 {other['AP50']:.3f}, AP75 {other['AP75']:.3f}"
    return text


def main() -> None:
    setup()
    wanted = sys.argv[1:] or [*ROWS, "soft"]
    print(f"{'':<28} AP     AP50   small    min   s/image")
    with tempfile.TemporaryDirectory() as folder:
        models: dict[str, Detector] = {}
        for number, (name, row) in enumerate(ROWS.items()):
            if name in wanted or ("soft" in wanted and name == "faster_rcnn (pyramid)"):
                models[name], minutes = trained(row, Path(folder) / str(number))
                print(line(name, models[name], minutes), flush=True)
        if "soft" in wanted:
            model: Any = models["faster_rcnn (pyramid)"]
            for suppression in ("nms", "soft-linear", "soft-gaussian"):
                model.choices = replace(model.choices, suppression=suppression, score_threshold=0.01)
                (found,), _ = scores(model, CROWDED, ("coco",))
                print(f"crowded scenes, {suppression:<13} AP {found['AP']:.3f}, AP50 {found['AP50']:.3f}", flush=True)


if __name__ == "__main__":
    main()
