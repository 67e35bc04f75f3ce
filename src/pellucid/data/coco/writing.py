"""Writing COCO's JSON of instances and keypoints."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from pellucid.data.dataset import Dataset
from pellucid.data.formats import Options, Progress
from pellucid.data.images import ImageStore
from pellucid.files import written_whole
from pellucid.structures import Annotations, Classes, Instances, Mask, Polygons
from pellucid.structures.masks import as_run_lengths

_EXTRA = ("difficult", "group_of", "truncated", "occluded", "depiction", "inside")
DIGITS = 4
"""Decimals of a pixel: finer than the float32 of a box can hold in a large image."""


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes one split: ``annotations/instances_SPLIT.json`` (with keypoints, if there are any) and the images in
    ``SPLIT/``.

    Ids of the source are kept where they are numbers and unique. Flags that COCO has no word for stand in each
    annotation under their own names, where they are set.
    """
    category_ids = whole_ids(dataset.classes)
    image_ids = _Numbers()
    annotation_ids = _Numbers()
    images, annotations = [], []
    for index, sample in enumerate(dataset):
        said = sample.annotations
        name = store.name(sample, folder / split)
        store.put(sample, folder / split / name)
        image_id = image_ids.next(sample.id)
        H, W = said.size
        image = {"id": image_id, "file_name": name, "height": H, "width": W}
        if said.absent:
            image["neg_category_ids"] = [category_ids[i] for i in said.absent]
        images.append(image)
        objects = objects_of(said)
        given = objects.ids.tolist() if objects.ids is not None else [None] * len(objects)
        for entry, id in zip(_entries(objects, said.size, category_ids), given, strict=True):
            annotations.append({"id": annotation_ids.next(id), "image_id": image_id, **entry})
        if progress is not None:
            progress(index + 1, len(dataset))
    made = {
        "info": {"description": dataset.title.split(":")[0]},
        "images": images,
        "annotations": annotations,
        "categories": categories(dataset.classes, category_ids),
    }
    with written_whole(folder / "annotations" / f"instances_{split}.json") as temporary:
        temporary.write_bytes(msgspec.json.encode(made))


def objects_of(said: Annotations) -> Instances:
    """The objects of an image: its instances, else the things of its panoptic map."""
    if said.instances is not None:
        return said.instances
    return said.panoptic.things(said.classes) if said.panoptic is not None else Instances.empty()


class _Numbers:
    """Ids: the source's own where they are positive whole numbers that no other has, else the next one free."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self.last = 0

    def next(self, wanted: object) -> int:
        if isinstance(wanted, int) and 0 < wanted < 2**53 and wanted not in self.taken:
            self.taken.add(wanted)
            return wanted
        while True:
            self.last += 1
            if self.last not in self.taken:
                self.taken.add(self.last)
                return self.last


def whole_ids(classes: Classes) -> list[int]:
    """A category id for each class: the source's own where all are numbers, else 1, 2, …"""
    known = [classes.source_id(i) for i in range(len(classes))]
    if all(isinstance(i, int) and i > 0 for i in known) and len(set(known)) == len(known):
        return [int(i) for i in known]
    return list(range(1, len(classes) + 1))


def categories(classes: Classes, ids: list[int]) -> list[dict[str, Any]]:
    """The entries of "categories"."""
    made = []
    for index, name in enumerate(classes):
        entry: dict[str, Any] = {"id": ids[index], "name": name, "supercategory": _parent(classes, index)}
        if classes.things:
            entry["isthing"] = int(classes.things[index])
        if classes.colours:
            entry["color"] = list(classes.colours[index])
        points = classes.keypoints[index] if classes.keypoints else None
        if points is not None:
            entry["keypoints"] = list(points.names)
            entry["skeleton"] = [[a + 1, b + 1] for a, b in points.skeleton]
        made.append(entry)
    return made


def _parent(classes: Classes, index: int) -> str:
    above = classes.parents[index] if classes.parents else ()
    return classes[above[0]] if above else ""


def _entries(objects: Instances, size: tuple[int, int], category_ids: list[int]) -> list[dict[str, Any]]:
    boxes = objects.boxes.detach().double()
    xywh = np.round(torch.cat((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), 1).numpy(), DIGITS).tolist()
    areas = (objects.areas if objects.areas is not None else _areas(objects)).double().tolist()
    crowd = objects.crowd.tolist()
    entries: list[dict[str, Any]] = []
    for row, label in enumerate(objects.labels.tolist()):
        entry = {
            "category_id": category_ids[label],
            "bbox": xywh[row],
            "area": round(areas[row], DIGITS),
            "iscrowd": int(crowd[row]),
        }
        if objects.masks is not None:
            entry["segmentation"] = segmentation(objects.masks[row], crowd=crowd[row])
        entries.append(entry)
    if objects.keypoints is not None:
        for entry, points in zip(entries, objects.keypoints.detach().double().numpy(), strict=True):
            entry["keypoints"] = [int(v) if i % 3 == 2 else round(v, 3) for i, v in enumerate(points.ravel().tolist())]
            entry["num_keypoints"] = int((points[:, 2] > 0).sum())
    if objects.scores is not None:
        for entry, score in zip(entries, objects.scores.detach().tolist(), strict=True):
            entry["score"] = score
    for name in _EXTRA:
        for row in getattr(objects, name).nonzero().flatten().tolist():
            entries[row][name] = 1
    return entries


def _areas(objects: Instances) -> torch.Tensor:
    if objects.masks is not None:
        return objects.masks.areas()
    sides = objects.boxes.detach()[:, 2:] - objects.boxes.detach()[:, :2]
    return sides[:, 0] * sides[:, 1]


def segmentation(mask: Mask, *, crowd: bool, runs: bool = False) -> Any:
    """A mask as COCO writes it: polygons as they are, crowds as a list of counts, the rest as compressed text.

    ``runs``: polygons as compressed text too, as results files have them.
    """
    if isinstance(mask, Polygons) and not (crowd or runs):
        return [np.round(part.ravel(), 3).tolist() for part in mask.parts]
    lengths = as_run_lengths(mask)
    counts: Any = lengths.to_counts().tolist() if crowd else lengths.counts.decode("ascii")
    return {"size": list(lengths.size), "counts": counts}
