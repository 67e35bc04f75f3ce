"""COCO's results files: a network's predictions as one JSON list, read beside the data set they are of, and written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pellucid.data.coco.parsing import in_order
from pellucid.data.coco.results_parsing import Entries, parse_results
from pellucid.data.coco.segmentations import Compressed, Segmentations
from pellucid.data.coco.writing import DIGITS, objects_of, segmentation
from pellucid.data.dataset import Dataset
from pellucid.data.defects import Defects
from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.structures import Annotations, Classes, Mask, ObjectColumns

_FARTHEST = 1e9


def read_results(path: str | Path, dataset: Dataset) -> list[Annotations]:
    """The predictions in a results file, one ``Annotations`` for each image of the data set, in its order.

    Entries are of bbox, segm or keypoints, or several of them. A box that is not given is that of the mask or of the
    keypoints, as in COCO's own tools. Raises PellucidError for an entry of an image or category that the data set does
    not have, and for what is no number, naming the entry.
    """
    defects = Defects()
    columns = result_columns(path, dataset, defects)
    defects.settle(str(path), strict=True)
    assert columns.scores is not None
    bad = np.flatnonzero(~np.isfinite(columns.scores))
    if len(bad):
        raise PellucidError(f"{path}: {columns.place(int(bad[0]))}: its score is no number; correct it")
    far = ~(np.abs(columns.boxes) < _FARTHEST).all(1)
    if columns.keypoints is not None:
        far |= ~(np.abs(columns.keypoints) < _FARTHEST).all((1, 2))
    if far.any():
        where = columns.place(int(np.flatnonzero(far)[0]))
        raise PellucidError(f"{path}: {where}: its bbox or keypoints are not finite numbers; write the results again")
    sizes = [dataset.size(index) for index in range(len(dataset))]
    return [Annotations(size, dataset.classes, instances=columns.instances(i, size)) for i, size in enumerate(sizes)]


def result_columns(path: str | Path, dataset: Dataset, defects: Defects) -> ObjectColumns:
    """The predictions in a results file, column by column, the images in the data set's order.

    Entries of images and categories that the data set does not have are noted in ``defects`` and dropped. What is no
    number stays, as NaN, for whoever scores them. Raises PellucidError for what is no list of results at all.
    """
    path = Path(path)
    entries = parse_results(path, defects)
    ids = dataset.ids
    known = [id if id is not None else index + 1 for index, id in enumerate(ids)]
    classes = result_ids(dataset.classes)
    place, label = in_order(entries.of_image, known), in_order(entries.of_category, classes)
    for row in np.flatnonzero(place < 0).tolist():
        what = f"image_id {entries.of_image[row]} is not in {dataset.title}"
        defects.add("unknown image", path, f"entry {entries.places[row]}", what, "dropped")
    for row in np.flatnonzero((place >= 0) & (label < 0)).tolist():
        what = f"category_id {entries.of_category[row]} is not in {dataset.title}"
        defects.add("unknown class", path, f"entry {entries.places[row]}", what, "dropped")
    rows = np.flatnonzero((place >= 0) & (label >= 0))
    if (np.diff(place[rows]) < 0).any():
        rows = rows[np.argsort(place[rows], kind="stable")]
    counts = np.bincount(place[rows], minlength=len(known))
    ends = entries.ends[rows]
    starts = np.where(rows > 0, entries.ends[rows - 1], 0)
    texts = Segmentations(entries.texts, starts, ends, str(path), entries.places[rows])
    first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    columns = ObjectColumns(
        dataset.classes,
        dataset.names,
        np.zeros((len(known), 2), dtype=np.int64),
        first,
        entries.boxes[rows],
        label[rows],
        np.zeros(len(rows), dtype=np.uint8),
        ids=None if None in ids else [id for id in ids if id is not None],
        scores=entries.scores[rows],
        keypoints=_keypoints(entries, rows),
        mask=_ResultMasks(texts, first, dataset) if texts.any() else None,
        item=_EntryItem(entries.places[rows]),
        source=str(path),
    )
    _complete_boxes(columns)
    return columns


def _keypoints(entries: Entries, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    if entries.keypoints is None:
        return None
    lists = [entries.keypoints[row] for row in rows.tolist()]
    K = max((len(points) // 3 for points in lists), default=0)
    if K and all(len(points) == 3 * K for points in lists):
        return np.array(lists, dtype=np.float64).reshape(-1, K, 3)
    made = np.full((len(lists), 3 * K), np.nan)  # what is not three numbers a point is none of them
    for row, points in enumerate(lists):
        if len(points) % 3 == 0:
            made[row, : len(points)] = points
            made[row, len(points) :] = 0 if points else np.nan
    return made.reshape(-1, K, 3)


def _complete_boxes(columns: ObjectColumns) -> None:
    """Boxes that the file does not give: of the mask, else of the keypoints."""
    missing = np.asarray(np.isnan(columns.boxes).all(1))
    if not missing.any():
        return
    if columns.keypoints is not None:
        low, high = columns.keypoints[missing, :, :2].min(1), columns.keypoints[missing, :, :2].max(1)
        columns.boxes[missing] = np.concatenate((low, high - low), 1)
    if columns.mask is not None:
        from pellucid.structures.run_tables import run_table

        some = columns.kept(missing)
        table, broken = run_table(some)
        sound = np.ones(len(table), dtype=bool)
        sound[list(broken)] = False
        columns.boxes[np.flatnonzero(missing)[sound]] = table.boxes[sound]


class _ResultMasks:
    """The mask of each row. Raises PellucidError for one that is broken."""

    def __init__(self, texts: Segmentations, first: NDArray[np.int64], dataset: Dataset) -> None:
        self.texts, self.first, self.dataset = texts, first, dataset
        self._compressed: list[Compressed | None] | None = None

    def __call__(self, row: int) -> Mask | None:
        image = int(np.searchsorted(self.first, row, side="right")) - 1
        try:
            return self.texts.read(row, self.dataset.size(image))
        except PellucidError as error:
            raise PellucidError(f"{self.texts.file}: entry {self.texts.ids[row]}: {error}") from None

    def compressed(self) -> list[Compressed | None]:
        """The compressed run lengths of all rows, see ``Segmentations``; read once."""
        if self._compressed is None:
            counts = np.diff(self.first).tolist()
            sizes = [size for i, n in enumerate(counts) if n for size in [self.dataset.size(i)] * n]
            self._compressed = self.texts.compressed(sizes)
        return self._compressed


class _EntryItem:
    def __init__(self, places: NDArray[np.int64]) -> None:
        self.places = places

    def __call__(self, row: int) -> str:
        return f"entry {self.places[row]}"


def write_results(predictions: Sequence[Annotations], dataset: Dataset, path: str | Path) -> Path:
    """Writes predictions, one for each image of the data set, as a results file for COCO's own tools.

    Each entry has bbox and score, and segmentation and keypoints where they were predicted. Raises PellucidError where
    the numbers of predictions and images differ, or a prediction has no scores.
    """
    path = Path(path)
    if len(predictions) != len(dataset):
        raise PellucidError(f"{path}: {len(predictions)} predictions for {len(dataset)} images; give one for each")
    ids = result_ids(dataset.classes)
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


def result_ids(classes: Classes) -> list[int]:
    """The category id of each class in a results file: the data set's own where all are numbers, else 1, 2, …"""
    known = classes.source_ids
    if known and all(isinstance(id, int) for id in known) and len(set(known)) == len(known):
        return [int(id) for id in known]
    return list(range(1, len(classes) + 1))
