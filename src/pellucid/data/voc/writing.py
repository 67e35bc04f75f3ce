"""Writing Pascal VOC."""

import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.data.dataset import Dataset
from pellucid.data.defects import DataWarning
from pellucid.data.formats import Options, Progress
from pellucid.data.images import ImageStore
from pellucid.data.markup_writing import annotation_text, plain_names
from pellucid.data.tables import made_folder, write_text
from pellucid.data.voc.maps import VOID, indices_of_labels, write_indices
from pellucid.structures import Annotations
from pellucid.structures.masks import as_pixels

_MOST_OBJECTS = VOID - 1


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes a split: XML where the data set holds boxes, and segmentations where it holds masks or semantic maps.

    Where masks overlap, later objects lie on top; objects beyond the 254th of an image have no index and thus no mask,
    which a ``DataWarning`` says. Raises PellucidError where a file cannot be written, or the classes do not fit.
    """
    names = plain_names(dataset.classes)
    holds = dataset.holds
    images = made_folder(folder / "JPEGImages")
    annotations = made_folder(folder / "Annotations") if "boxes" in holds else None
    objects = made_folder(folder / "SegmentationObject") if {"boxes", "masks"} <= holds else None
    maps = made_folder(folder / "SegmentationClass") if "semantic" in holds else None
    table = indices_of_labels(dataset.classes) if maps is not None else None
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in names))
    stems, left_out = [], 0
    for at, sample in enumerate(dataset):
        name = store.name(sample, images)
        stem = os.path.splitext(name)[0]
        said = sample.annotations
        if annotations is not None:
            segmented = maps is not None or objects is not None
            text = annotation_text(said, names, folder=folder.name, filename=name, first=1, segmented=segmented)
            write_text(annotations / f"{stem}.xml", text)
        if objects is not None:
            indices, lost = _object_indices(said)
            left_out += lost
            write_indices(objects / f"{stem}.png", indices)
        if maps is not None and table is not None:
            write_indices(maps / f"{stem}.png", _class_indices(said, table))
        store.put(sample, images / name)
        stems.append(stem)
        if progress is not None:
            progress(at + 1, len(dataset))
    listing = "".join(f"{stem}\n" for stem in stems)
    write_text(made_folder(folder / "ImageSets" / "Main") / f"{split}.txt", listing)
    if objects is not None or maps is not None:
        write_text(made_folder(folder / "ImageSets" / "Segmentation") / f"{split}.txt", listing)
    if left_out:
        warnings.warn(
            f"{folder}: {left_out:,} masks were left out: VOC's have no index beyond {_MOST_OBJECTS} in an image",
            DataWarning,
            stacklevel=2,
        )


def _object_indices(said: Annotations) -> tuple[NDArray[np.uint8], int]:
    """The index of the object that each pixel belongs to, and how many objects have none."""
    indices = np.zeros(said.size, dtype=np.uint8)
    masks = said.instances.masks if said.instances is not None else None
    if masks is None:
        return indices, 0
    for at, mask in enumerate(masks.items[:_MOST_OBJECTS]):
        indices[as_pixels(mask)] = at + 1
    return indices, max(0, len(masks) - _MOST_OBJECTS)


def _class_indices(said: Annotations, table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if said.semantic is None:
        return np.full(said.size, VOID, dtype=np.uint8)
    labels = said.semantic.detach().cpu().numpy()
    return table[np.where((labels >= 0) & (labels < VOID), labels, VOID)]
