"""Writing Open Images."""

import csv
import os
import re
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from PIL import Image

from pellucid.data.dataset import Dataset
from pellucid.data.formats import Options, Progress
from pellucid.data.images import ImageStore
from pellucid.data.markup_writing import plain, plain_names
from pellucid.data.openimages.boxes import FLAG_COLUMNS
from pellucid.data.openimages.classes import write_hierarchy
from pellucid.data.tables import made_folder, write_rows
from pellucid.errors import PellucidError
from pellucid.structures import Annotations, Classes
from pellucid.structures.masks import as_pixels

_HEADERS = {
    "annotations-bbox": (
        "ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", *FLAG_COLUMNS,
    ),
    "annotations-human-imagelabels": ("ImageID", "Source", "LabelName", "Confidence"),
    "annotations-object-segmentation": (
        "MaskPath", "ImageID", "LabelName", "BoxID", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax", "PredictedIoU",
        "Clicks",
    ),
    "image-sizes": ("ImageID", "Width", "Height"),
}  # fmt: skip


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes a split: the tables of what the data set holds, its images in a folder, and a table of their sizes.

    Scores of predictions stand in the column Confidence. Raises PellucidError where a file cannot be written.
    """
    mids, names = class_mids(dataset.classes), plain_names(dataset.classes)
    write_rows(made_folder(folder) / "class-descriptions-boxable.csv", zip(mids, names, strict=True))
    if any(dataset.classes.parents):
        write_hierarchy(folder, dataset.classes, mids)
    kinds = ["image-sizes"]
    kinds += ["annotations-bbox"] if {"boxes", "masks"} & dataset.holds else []
    kinds += ["annotations-human-imagelabels"] if "labels" in dataset.holds else []
    kinds += ["annotations-object-segmentation"] if "masks" in dataset.holds else []
    images = made_folder(folder / split)
    masks = made_folder(folder / "masks" / split) if "masks" in dataset.holds else None
    try:
        with ExitStack() as stack:
            tables = {kind: _Table(stack, folder / f"{split}-{kind}.csv", _HEADERS[kind]) for kind in kinds}
            for at, sample in enumerate(dataset):
                name = store.name(sample, images)
                id = os.path.splitext(name)[0]
                said = sample.annotations
                H, W = said.size
                tables["image-sizes"].rows.writerow((id, W, H))
                if "annotations-bbox" in tables:
                    _write_objects(tables, said, id, mids, masks)
                if "annotations-human-imagelabels" in tables:
                    rows = [(label, 1) for label in said.present] + [(label, 0) for label in said.absent]
                    tables["annotations-human-imagelabels"].rows.writerows(
                        (id, "verification", mids[label], verified) for label, verified in rows
                    )
                store.put(sample, images / name)
                if progress is not None:
                    progress(at + 1, len(dataset))
    except OSError as error:
        raise PellucidError(f"{folder}: cannot be written ({error.strerror or error}); is the disk full?") from error


class _Table:
    """A table that is written row by row."""

    def __init__(self, stack: ExitStack, path: Path, header: tuple[str, ...]) -> None:
        file = open(path, "w", encoding="utf-8", errors="replace", newline="")  # noqa: SIM115
        self.file: IO[str] = stack.enter_context(file)
        self.rows = csv.writer(self.file, lineterminator="\n")
        self.rows.writerow(header)


def _write_objects(tables: dict[str, _Table], said: Annotations, id: str, mids: list[str], folder: Path | None) -> None:
    found = said.instances
    if found is None or len(found) == 0:
        return
    H, W = said.size
    corners = found.boxes.detach().double() / found.boxes.new_tensor((W, H, W, H)).double()
    shares = [tuple(f"{value:.8f}" for value in box) for box in corners.tolist()]
    labels = [mids[label] for label in found.labels.tolist()]
    scores = ["1"] * len(found)
    if found.scores is not None:
        scores = [f"{score:.9g}" for score in found.scores.tolist()]
    flags = zip(*(getattr(found, name).int().tolist() for name in FLAG_COLUMNS.values()), strict=True)
    tables["annotations-bbox"].rows.writerows(
        (id, "xclick", label, score, x1, x2, y1, y2, *row)
        for label, score, (x1, y1, x2, y2), row in zip(labels, scores, shares, flags, strict=True)
    )
    if folder is None or found.masks is None:
        return
    for at, (mask, label, (x1, y1, x2, y2)) in enumerate(zip(found.masks, labels, shares, strict=True)):
        word = re.sub(r"\W+", "", label, flags=re.ASCII)[:40]
        name, box = f"{id}_{word}_{at:04d}.png", f"{at:04d}"
        Image.fromarray(as_pixels(mask)).save(folder / name, format="PNG")
        tables["annotations-object-segmentation"].rows.writerow((name, id, label, box, x1, x2, y1, y2, "0.00000", ""))


def class_mids(classes: Classes) -> list[str]:
    """A machine id for each class: the data set's own where it has one, else the class's name."""
    mids = []
    names = plain_names(classes)
    for at, name in enumerate(names):
        own = plain(str(classes.source_id(at)))
        mids.append(own if own.startswith("/") else name)
    return mids if len(set(mids)) == len(mids) else names
