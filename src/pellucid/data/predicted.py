"""Predictions as files, in the forms that contests and their tools take."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import torch

from pellucid.data.coco.results import result_ids
from pellucid.data.coco.results import write_results as write_coco
from pellucid.data.coco.writing import categories
from pellucid.data.dataset import Dataset
from pellucid.data.images import stem_of
from pellucid.data.tables import made_folder, write_rows, write_text
from pellucid.data.voc.results import write_results as write_voc
from pellucid.errors import PellucidError, nearest
from pellucid.files import written_whole
from pellucid.structures import Annotations, Classes, Instances, convert_boxes

FORMATS = {
    "coco": "predictions.json, a COCO results file",
    "voc": "comp4_det_….txt, a file a class",
    "yolo": "labels/, a file an image, with scores",
    "openimages": "predictions.csv, a row a box",
    "imagenet": "predictions.csv, a row an image",
}
"""The forms that predictions of objects are written in, and what each is."""

HOLDS_ALL = "coco"
"""The one form that holds masks and keypoints too."""


def check_format(format: str, names: Sequence[str], classes: Classes) -> None:
    """Raises PellucidError for an unknown form, and where names of images or classes do not fit it."""
    if format not in FORMATS:
        raise PellucidError(f"--format {format}: unknown{nearest(format, FORMATS)}; there are {', '.join(FORMATS)}")
    if format in ("yolo", "openimages", "imagenet"):
        twice = next((stem for stem, n in Counter(map(stem_of, names)).items() if n > 1), None)
        if twice is not None:
            raise PellucidError(
                f"--format {format}: names images without folder and suffix, and several are called '{twice}'; "
                "rename one, or take --format coco"
            )
    if format == "imagenet":
        spaced = next((word for word in map(str, _words(classes)) if len(word.split()) != 1), None)
        if spaced is not None:
            raise PellucidError(f"--format imagenet: takes classes of one word, not '{spaced}'; take --format coco")


def write_predictions(
    predictions: Sequence[Annotations], dataset: Dataset, folder: str | Path, format: str = "coco"
) -> list[Path]:
    """Writes predictions, one for each image of the data set, into a folder; gives the files, or the folder of many.

    ``format``: one of ``FORMATS``. Each file is written whole or not at all. Raises PellucidError where predictions
    have no scores, names do not fit the form, or nothing can be written.
    """
    folder = Path(folder)
    check_format(format, dataset.names, dataset.classes)
    if format == "coco":
        return [write_coco(predictions, dataset, folder / "predictions.json")]
    if format == "openimages":
        return [_table(folder / "predictions.csv", _box_rows(predictions, dataset))]
    if format == "imagenet":
        return [_table(folder / "predictions.csv", _image_rows(predictions, dataset))]
    if format == "voc":
        with _moved_into(folder) as temporary:
            names = [path.name for path in write_voc(predictions, dataset, temporary)]
        return [folder / name for name in names]
    with _moved_into(folder / "labels") as temporary:
        for name, said in zip(dataset.names, predictions, strict=True):
            write_text(temporary / f"{stem_of(name)}.txt", "".join(_yolo_lines(said)))
    return [folder / "labels"]


def write_image_list(dataset: Dataset, path: str | Path) -> Path:
    """Writes a COCO data set without objects: names, sizes and ids of the images, and the classes."""
    path = Path(path)
    ids = result_ids(dataset.classes)
    images = []
    for index, (name, id) in enumerate(zip(dataset.names, dataset.ids, strict=True)):
        H, W = dataset.size(index)
        images.append({"id": index + 1 if id is None else id, "file_name": name, "height": H, "width": W})
    made = {"images": images, "annotations": [], "categories": categories(dataset.classes, ids)}
    with written_whole(path) as temporary:
        temporary.write_bytes(msgspec.json.encode(made))
    return path


def write_class_table(predictions: Sequence[Annotations], names: Sequence[str], path: str | Path, count: int) -> Path:
    """Writes the ``count`` most probable classes of each image as a table: image, rank, class, index, probability."""
    rows: list[Sequence[object]] = [("image", "rank", "class", "index", "probability")]
    for name, said in zip(names, predictions, strict=True):
        for rank, one in enumerate(said.top(count), start=1):
            rows.append((name, rank, one.name, one.index, f"{one.probability:.9g}"))
    return _table(Path(path), rows)


def _table(path: Path, rows: list[Sequence[object]]) -> Path:
    with written_whole(path) as temporary:
        write_rows(temporary, rows)
    return path


@contextmanager
def _moved_into(folder: Path) -> Iterator[Path]:
    """A new folder whose files are moved into ``folder`` once all of them are there."""
    made_folder(folder.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}-", dir=folder.parent))
    except OSError as error:
        raise PellucidError(f"{folder}: cannot write here ({error.strerror}); choose another --out folder") from error
    try:
        yield temporary
        made_folder(folder)
        try:
            for path in sorted(temporary.iterdir()):
                os.replace(path, folder / path.name)
        except OSError as error:
            raise PellucidError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _objects(said: Annotations, name: str) -> Instances:
    objects = said.instances if said.instances is not None else Instances.empty()
    if objects.scores is None and len(objects):
        raise PellucidError(f"{name}: what was predicted of it has no scores; results need them")
    return objects


def _scores(objects: Instances) -> list[float]:
    return [] if objects.scores is None else objects.scores.double().tolist()


def _yolo_lines(said: Annotations) -> list[str]:
    objects = _objects(said, "an image")
    shares = convert_boxes(objects.boxes.double(), "xyxy", "normalised cxcywh", said.size).tolist()
    rows = zip(objects.labels.tolist(), shares, _scores(objects), strict=True)
    return [f"{label} {cx:.9g} {cy:.9g} {w:.9g} {h:.9g} {score:.9g}\n" for label, (cx, cy, w, h), score in rows]


def _box_rows(predictions: Sequence[Annotations], dataset: Dataset) -> list[Sequence[object]]:
    """Open Images': the corners in shares of the image."""
    words = _words(dataset.classes)
    rows: list[Sequence[object]] = [("ImageID", "LabelName", "Score", "XMin", "XMax", "YMin", "YMax")]
    for name, said in zip(dataset.names, predictions, strict=True):
        objects = _objects(said, name)
        H, W = said.size
        boxes = (objects.boxes.double() / objects.boxes.new_tensor((W, H, W, H)).double()).tolist()
        for label, score, (x1, y1, x2, y2) in zip(objects.labels.tolist(), _scores(objects), boxes, strict=True):
            rows.append((stem_of(name), words[label], f"{score:.9g}", *(f"{v:.9g}" for v in (x1, x2, y1, y2))))
    return rows


def _image_rows(predictions: Sequence[Annotations], dataset: Dataset) -> list[Sequence[object]]:
    """ILSVRC's on Kaggle: class, xmin, ymin, xmax, ymax of each object in one text, the best first."""
    words = _words(dataset.classes)
    last = 1 if dataset.inclusive else 0
    rows: list[Sequence[object]] = [("ImageId", "PredictionString")]
    for name, said in zip(dataset.names, predictions, strict=True):
        objects = _objects(said, name)
        scores = torch.tensor(_scores(objects), dtype=torch.float64)
        parts = []
        for row in scores.argsort(descending=True, stable=True).tolist():
            x1, y1, x2, y2 = objects.boxes[row].double().tolist()
            corners = (x1, y1, x2 - last, y2 - last)
            parts.append(" ".join((words[int(objects.labels[row])], *(f"{v:.9g}" for v in corners))))
        rows.append((stem_of(name), " ".join(parts)))
    return rows


def _words(classes: Classes) -> list[str]:
    """What tables call the classes: their ids where those are words, else their names."""
    ids = [classes.source_id(index) for index in range(len(classes))]
    return [str(id) if isinstance(id, str) else name for id, name in zip(ids, classes.names, strict=True)]
