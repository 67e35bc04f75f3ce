"""Writing ImageNet's CLS-LOC layout."""

import os
import re
from pathlib import Path

from pellucid.data.dataset import Dataset
from pellucid.data.formats import Options, Progress
from pellucid.data.imagenet.classes import MAPPING, WNID
from pellucid.data.images import ImageStore
from pellucid.data.markup_writing import annotation_text, plain, plain_names
from pellucid.data.tables import made_folder, write_text
from pellucid.structures import Annotations, Classes


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes a split: ``Data``, ``Annotations`` and ``ImageSets`` of CLS-LOC, and ``LOC_synset_mapping.txt``.

    An image with one label lies in the folder of its class, in any split. Of others, labels that no box tells stand in
    the XML file as ``<label>``, which only Pellucid reads. XML files are written where the data set holds boxes, and
    for images without a folder of their class, or without a file: nothing else would tell their size. Raises
    PellucidError where a file cannot be written.
    """
    ids, names = class_ids(dataset.classes), plain_names(dataset.classes)
    write_text(made_folder(folder) / MAPPING, "".join(_mapping(dataset.classes, ids, names)))
    images = made_folder(folder / "Data" / "CLS-LOC" / split)
    annotations = folder / "Annotations" / "CLS-LOC" / split
    if "boxes" in dataset.holds:
        made_folder(annotations)
    known: set[Path] = set()
    lines = []
    for at, sample in enumerate(dataset):
        name = store.name(sample, images)
        said = sample.annotations
        within = ids[said.present[0]] if len(said.present) == 1 else ""
        place = images / within if within else images
        if place not in known:
            known.add(made_folder(place))
            made_folder(annotations / within)
        store.put(sample, place / name)
        stem = os.path.splitext(name)[0]
        labels = [ids[label] for label in _untold(said)] if not within else []
        if "boxes" in dataset.holds or not within or store.keeping == "none":
            text = annotation_text(said, ids, folder=within or split, filename=stem, first=0, labels=labels)
            write_text(annotations / within / f"{stem}.xml", text)
        lines.append(f"{within}/{stem} {at + 1}\n" if within else f"{stem} {at + 1}\n")
        if progress is not None:
            progress(at + 1, len(dataset))
    write_text(made_folder(folder / "ImageSets" / "CLS-LOC") / f"{split}.txt", "".join(lines))


def _untold(said: Annotations) -> list[int]:
    """The labels of the image that none of its boxes has."""
    boxed = set(said.instances.labels.tolist()) if said.instances is not None else set()
    return [label for label in said.present if label not in boxed]


def class_ids(classes: Classes) -> list[str]:
    """An id for each class: its WordNet id where the data set knows one, else a word made of its name."""
    ids: list[str] = []
    taken: set[str] = set()
    for at, name in enumerate(classes.names):
        made = str(classes.source_id(at))
        if not WNID.fullmatch(made):
            made = re.sub(r"[^\w.()-]+", "_", plain(name)).strip("_.")[:100] or f"class_{at}"
        number, first = 1, made
        while made.lower() in taken:
            number += 1
            made = f"{first}-{number}"
        taken.add(made.lower())
        ids.append(made)
    return ids


def _mapping(classes: Classes, ids: list[str], names: list[str]) -> list[str]:
    lines = []
    for at, (wnid, name) in enumerate(zip(ids, names, strict=True)):
        synonyms = [plain(word) for word in classes.synonyms[at]] if classes.synonyms else []
        words = [w for w in (name, *synonyms) if w and w != wnid and "," not in w]
        lines.append(f"{wnid} {', '.join(dict.fromkeys(words)) or name.replace(',', ' ')}\n")
    return lines
