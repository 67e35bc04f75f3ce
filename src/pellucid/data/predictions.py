"""Predictions from files, in any format that is read, brought beside the data set that they are of."""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.data.coco.results import result_columns
from pellucid.data.dataset import Dataset, Holding
from pellucid.data.defects import Defects
from pellucid.data.images import stem_of
from pellucid.data.opening import find_source, open_dataset
from pellucid.data.prediction_tables import read_box_table
from pellucid.data.tables import names_in
from pellucid.data.voc import results as voc
from pellucid.data.yolo.layout import NAME_FILES, yaml_file
from pellucid.data.yolo.results import result_columns as label_columns
from pellucid.data.yolo.results import results_folder
from pellucid.errors import PellucidError, nearest
from pellucid.structures import IGNORE, Annotations, Classes, Instances, ObjectColumns, Panoptic, columns_of
from pellucid.structures.photo import nearest_beside


class Predictions(Sequence[Annotations]):
    """What was predicted of the images of a data set, in its order and with its classes.

    ``names``: the images. ``said``: for each the ``Annotations``, made when asked for. ``columns()``: all objects at
    once. ``defects``: what was dropped, such as predictions of unknown classes. ``missing``: the images of which
    nothing was said.
    """

    def __init__(
        self,
        dataset: Dataset,
        columns: ObjectColumns | None,
        said: Sequence[Annotations | None] | None,
        defects: Defects,
        source: str,
    ) -> None:
        self.dataset, self.defects, self.source = dataset, defects, source
        self._columns, self._said = columns, said
        self.names, self.ids, self.classes, self.inclusive = (
            dataset.names,
            dataset.ids,
            dataset.classes,
            dataset.inclusive,
        )

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Annotations: ...
    @overload
    def __getitem__(self, index: slice) -> list[Annotations]: ...
    def __getitem__(self, index: int | slice) -> Annotations | list[Annotations]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        found = self.get(range(len(self))[index])
        return found if found is not None else Annotations(self.dataset.size(index), self.classes)

    def get(self, index: int, only: Collection[Holding] | None = None) -> Annotations | None:
        """What was said of an image, None where nothing was. ``only``: see ``Dataset.annotations``."""
        if isinstance(self._said, _Remapped):
            return self._said.get(index, only)
        if self._said is not None:
            return self._said[index]
        assert self._columns is not None
        size = self.dataset.size(index)
        return Annotations(size, self.classes, instances=self._columns.instances(index, size))

    def __iter__(self) -> Iterator[Annotations]:
        return (self[i] for i in range(len(self)))

    @property
    def missing(self) -> list[str]:
        """The images of which nothing was said."""
        if self._columns is not None:
            return [name for name, n in zip(self.names, np.diff(self._columns.first), strict=True) if n == 0]
        assert self._said is not None
        return [name for i, name in enumerate(self.names) if self._said[i] is None]

    def columns(self) -> ObjectColumns:
        """The objects of all images, column by column."""
        if self._columns is None:
            self._columns = columns_of(
                self.classes, self.names, list(self), ids=self.ids, inclusive=self.inclusive, source=self.source
            )
        return self._columns


def read_predictions(
    spec: str | Path, dataset: Dataset, split: str | None = None, *, drop_unknown: bool = False
) -> Predictions:
    """Reads predictions of the images of ``dataset``.

    ``spec``: a results file of COCO's (a JSON list); a folder of VOC's results (``comp4_det_val_cat.txt`` …);
    a folder of YOLO's, a text file an image, without images beside; a table
    of ImageNet's or Open Images' (a CSV with ImageId and PredictionString, or a row a box); a folder of grey images for
    a data set of two classes, ``probabilities:FOLDER``; or any data set, as ``open_dataset`` takes it. Its images
    are found by name, by name without suffix, or by id, its classes by name.

    Predictions of unknown classes are dropped and noted in ``.defects``; those of unknown images raise PellucidError
    unless ``drop_unknown``, since then they are most likely of another data set. Raises PellucidError for what cannot
    be read.
    """
    defects = Defects()
    text = str(spec)
    made = _read(text, dataset, split, defects)
    unknown = defects.of("unknown image")
    if unknown and not drop_unknown:
        raise PellucidError(
            f"{text}: {defects.count('unknown image'):,} predictions are of images that {dataset.title} does not have, "
            f"such as {unknown[0].item}; give their own truth, or drop them (--drop-unknown)"
        )
    return made


def _read(text: str, dataset: Dataset, split: str | None, defects: Defects) -> Predictions:
    if text.startswith("probabilities:"):
        from pellucid.data.folders.probabilities import Probabilities

        folder = Path(text.removeprefix("probabilities:")).expanduser()
        return Predictions(dataset, None, Probabilities(folder, dataset), defects, text)
    path = _path(text)
    if path is not None and path.is_file():
        if path.suffix.lower() == ".csv":
            return Predictions(dataset, read_box_table(path, dataset, defects), None, defects, text)
        if path.suffix.lower() == ".json" and _is_list(path):
            return Predictions(dataset, result_columns(path, dataset, defects), None, defects, text)
    if path is not None and path.is_dir() and any(re.search(r"_det_.*\.txt$", name) for name in names_in(path)):
        return Predictions(dataset, None, voc.read_results(path, dataset), defects, text)
    if path is not None and path.is_file() and re.search(r"_det_.*\.txt$", path.name):
        return Predictions(dataset, None, voc.read_results(path, dataset), defects, text)
    unnamed = (
        path is not None and path.is_dir() and (os.path.exists(os.path.expanduser(text)) or text.startswith("yolo:"))
    )
    labels = results_folder(path, dataset) if unnamed and path is not None else None
    if path is not None and labels is not None and not _names_classes(path):
        return Predictions(dataset, label_columns(labels, dataset, defects), None, defects, text)
    return _of_dataset(_opened(text, dataset, split), dataset, defects, text)


def _names_classes(path: Path) -> bool:
    """Whether a folder of label files says itself what its class numbers mean."""
    return yaml_file(path) is not None or any((path / name).is_file() for name in NAME_FILES)


def _path(text: str) -> Path | None:
    """The file or folder that a text names, with or without a format before it; None where there is none."""
    for candidate in (text, re.sub(r"^(coco|voc|yolo|imagenet|openimages):", "", text)):
        try:
            if os.path.exists(os.path.expanduser(candidate)):
                return Path(candidate).expanduser()
        except ValueError:
            return None
    if re.search(r"\.(json|csv|txt)$", text):
        raise PellucidError(f"{text}: no such file{nearest_beside(Path(text))}; give the predictions")
    return None


def _is_list(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    except OSError:
        return False


def _opened(text: str, dataset: Dataset, split: str | None) -> Dataset:
    if text.startswith("scenes"):
        return open_dataset(text, split)
    splits = find_source(text).splits
    if split is None and len(splits) > 1 and dataset.split in splits:
        split = dataset.split
    return open_dataset(text, split, as_annotated=True)


def _of_dataset(found: Dataset, dataset: Dataset, defects: Defects, text: str) -> Predictions:
    """A data set's annotations as predictions for the images of another."""
    place = _places(found, dataset)
    for index, name in enumerate(found.names):
        if index not in place:
            defects.add("unknown image", text, name, f"is not in {dataset.title}", "dropped")
    labels = _labels(found.classes, dataset.classes)
    of_image = {image: index for index, image in place.items()}
    maps = bool(found.holds & {"semantic", "panoptic", "labels"})
    said = _Remapped(found, dataset, of_image, labels) if maps else None
    columns = None
    if "boxes" in found.holds or said is None:
        order = [of_image.get(image, -1) for image in range(len(dataset))]
        columns = _ordered(found.columns(), order, labels, dataset, defects, text)
    return Predictions(dataset, columns, said, defects, text)


def _places(found: Dataset, dataset: Dataset) -> dict[int, int]:
    """For images of one data set the places of the same images in the other: by name, by stem, by id."""
    ways = [
        (list(found.names), list(dataset.names)),
        ([stem_of(name) for name in found.names], [stem_of(name) for name in dataset.names]),
    ]
    if None not in found.ids and None not in dataset.ids:
        ways.append(([str(id) for id in found.ids], [str(id) for id in dataset.ids]))
    best: dict[int, int] = {}
    for theirs, ours in ways:
        if len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs):
            continue
        known = {name: i for i, name in enumerate(ours)}
        met = {i: known[name] for i, name in enumerate(theirs) if name in known}
        best = met if len(met) > len(best) else best
    return best


def _labels(theirs: Classes, ours: Classes) -> NDArray[np.int64]:
    """For each of their classes the index of ours of the same name, −1 where there is none."""
    known = {name.lower(): k for k, name in enumerate(ours.names)}
    made = np.array([known.get(name.lower(), -1) for name in theirs.names], dtype=np.int64)
    if len(made) and (made < 0).all():
        raise PellucidError(
            f"predictions of classes {', '.join(theirs.names[:3])} …, truths of {', '.join(ours.names[:3])} …: "
            f"no name is in both{nearest(theirs.names[0], ours.names)}; name the classes alike"
        )
    return made


def _ordered(
    columns: ObjectColumns,
    order: list[int],
    labels: NDArray[np.int64],
    dataset: Dataset,
    defects: Defects,
    text: str,
) -> ObjectColumns:
    """Columns with the images in the data set's order and its classes."""
    mapped = labels[columns.labels]
    for row in np.flatnonzero(mapped < 0).tolist():
        what = f"class '{columns.classes[int(columns.labels[row])]}' is not in {dataset.title}"
        defects.add("unknown class", text, columns.place(row), what, "dropped")
    columns = replace(columns, labels=np.maximum(mapped, 0)).kept(mapped >= 0)
    counts = np.array([0 if i < 0 else int(columns.first[i + 1] - columns.first[i]) for i in order], dtype=np.int64)
    parts = [np.arange(columns.first[i], columns.first[i + 1]) for i in order if i >= 0]
    rows = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
    return replace(
        columns.taken(rows),
        classes=dataset.classes,
        names=dataset.names,
        ids=None if None in dataset.ids else [id for id in dataset.ids if id is not None],
        sizes=np.zeros((len(order), 2), dtype=np.int64),
        first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        present={},
        absent={},
        source=text,
    )


class _Remapped(Sequence["Annotations | None"]):
    """The annotations of a data set, read when asked for, with the classes of another."""

    def __init__(self, found: Dataset, dataset: Dataset, of_image: dict[int, int], labels: NDArray[np.int64]) -> None:
        self.found, self.dataset, self.of_image, self.labels = found, dataset, of_image, labels
        self.same = found.classes.names == dataset.classes.names
        self.table = torch.full((256,), -1, dtype=torch.int64)
        self.table[: len(labels)] = torch.from_numpy(labels)[:256]
        self.table[IGNORE] = IGNORE

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Annotations | None:  # type: ignore[override]
        return self.get(index)

    def get(self, index: int, only: Collection[Holding] | None = None) -> Annotations | None:
        """What was said of an image; ``only``: see ``Dataset.annotations``."""
        if index not in self.of_image:
            return None
        place = self.of_image[index]
        name, said = self.found.names[place], self.found.annotations(place, only)
        if self.same:
            return replace(said, classes=self.dataset.classes)
        return Annotations(
            said.size,
            self.dataset.classes,
            instances=self._instances(said.instances),
            semantic=None if said.semantic is None else self._map(said.semantic, name),
            panoptic=None if said.panoptic is None else self._panoptic(said.panoptic, name),
        )

    def _instances(self, objects: Instances | None) -> Instances | None:
        if objects is None:
            return None
        labels = torch.from_numpy(self.labels)[objects.labels]
        return replace(objects, labels=labels.clamp(min=0))[labels >= 0]

    def _map(self, labels: Tensor, name: str) -> Tensor:
        made = self.table[labels]
        if (made < 0).any():
            k = int(labels[made < 0][0])
            raise self._unknown(name, k)
        return made

    def _panoptic(self, said: Panoptic, name: str) -> Panoptic:
        for segment in said.segments:
            if self.labels[segment.label] < 0:
                raise self._unknown(name, segment.label)
        return Panoptic(said.ids, tuple(replace(s, label=int(self.labels[s.label])) for s in said.segments))

    def _unknown(self, name: str, label: int) -> PellucidError:
        known = self.dataset.classes.names
        word = self.found.classes[label]
        return PellucidError(
            f"{name}: its predicted class '{word}' is not in the truth{nearest(word, known)}; rename it"
        )
