"""The text files in which VOC's challenges take detections: one a class, a detection a line."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from pellucid.data.dataset import Dataset
from pellucid.data.images import SUFFIXES
from pellucid.data.markup_writing import coordinate
from pellucid.data.numbers import number
from pellucid.data.tables import made_folder, names_in, read_lines, write_text
from pellucid.errors import PellucidError, nearest
from pellucid.structures import Annotations, Instances


def write_results(
    annotations: Sequence[Annotations], dataset: Dataset, folder: str | Path, challenge: str = "comp4"
) -> list[Path]:
    """Writes ``{challenge}_det_{split}_{class}.txt`` for every class; gives the files.

    ``annotations``: what was predicted of each sample of ``dataset``, in order, with scores. A line is the image's
    name without suffix, the score, and xmin, ymin, xmax, ymax, counted from 1, both corners inside (VOC2007
    Development Kit, section 8.2). The files are for one split: ``dataset.split``, 'test' where it has none. Raises
    PellucidError where lengths disagree, scores are missing, or two images or classes would share a name.
    """
    stems, files = _stems(dataset), _files(dataset)
    if len(annotations) != len(stems):
        raise PellucidError(f"{dataset.title}: {len(annotations)} predictions for {len(stems)} images; give one each")
    lines: list[list[str]] = [[] for _ in files]
    for stem, said in zip(stems, annotations, strict=True):
        found = said.instances
        if found is None or len(found) == 0:
            continue
        if found.scores is None:
            raise PellucidError(f"{dataset.title}: {stem}: its objects have no scores; VOC's results need them")
        rows = zip(found.labels.tolist(), found.scores.tolist(), found.boxes.double().tolist(), strict=True)
        for label, score, (x1, y1, x2, y2) in rows:
            if not 0 <= label < len(lines):
                raise PellucidError(f"{dataset.title}: {stem}: label {label}, but there are {len(lines)} classes")
            corners = " ".join(map(coordinate, (x1 + 1, y1 + 1, x2, y2)))
            lines[label].append(f"{stem} {score:.9g} {corners}\n")
    target = made_folder(Path(folder))
    paths = [target / f"{challenge}_det_{dataset.split or 'test'}_{file}.txt" for file in files]
    for path, text in zip(paths, lines, strict=True):
        write_text(path, "".join(text))
    return paths


def read_results(where: str | Path | Iterable[str | Path], dataset: Dataset) -> list[Annotations]:
    """Reads results as ``write_results`` writes them: what was said of each sample of ``dataset``, in order.

    ``where``: the files, or a folder of which those of ``dataset.split`` are read. Raises PellucidError, with file and
    line, for an image or class that the data set lacks, for what is no number, and where a folder holds no results or
    those of several challenges.
    """
    images = {stem: at for at, stem in enumerate(_stems(dataset))}
    chosen = _chosen(where, dataset)
    rows: list[list[tuple[int, float, tuple[float, ...]]]] = [[] for _ in images]
    for path, label in chosen:
        for at, line in enumerate(read_lines(path), start=1):
            parts = line.rsplit(None, 5)
            if len(parts) != 6:
                raise PellucidError(f"{path}: line {at}: {len(parts)} parts, not 6 (image score xmin ymin xmax ymax)")
            stem, *texts = parts
            if stem not in images:
                raise PellucidError(
                    f"{path}: line {at}: no image is called '{stem[:80]}'{nearest(stem, images)}; "
                    f"are these results for {dataset.title}?"
                )
            score, *corners = map(number, texts)
            if not all(map(math.isfinite, (score, *corners))):
                raise PellucidError(f"{path}: line {at}: '{line[:80]}' holds what is no number; correct or remove it")
            x1, y1, x2, y2 = corners
            rows[images[stem]].append((label, score, (x1 - 1, y1 - 1, x2, y2)))
    return [_annotations(found, dataset, at) for at, found in enumerate(rows)]


def _annotations(rows: list[tuple[int, float, tuple[float, ...]]], dataset: Dataset, at: int) -> Annotations:
    instances = Instances(
        boxes=torch.tensor([box for _, _, box in rows], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([label for label, _, _ in rows], dtype=torch.int64),
        scores=torch.tensor([score for _, score, _ in rows], dtype=torch.float32),
    )
    return Annotations(dataset.size(at), dataset.classes, instances=instances)


def _stems(dataset: Dataset) -> list[str]:
    """The images' names without suffix. Raises PellucidError where two are the same."""
    stems = [name[: name.rindex(".")] if name.lower().endswith(SUFFIXES) else name for name in dataset.names]
    if len(set(stems)) < len(stems):
        twice = next(stem for at, stem in enumerate(stems) if stem in set(stems[:at]))
        raise PellucidError(f"{dataset.title}: two images are called '{twice}' but for their suffix; rename one")
    return stems


def _files(dataset: Dataset) -> list[str]:
    """The classes' names as parts of file names. Raises PellucidError where two are the same."""
    names = [re.sub(r'[\0-\x1f/\\:*?"<>|]', "_", name) for name in dataset.classes.names]
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise PellucidError(f"{dataset.title}: two classes would share the file '{twice}'; rename one")
    return names


def _chosen(where: str | Path | Iterable[str | Path], dataset: Dataset) -> list[tuple[Path, int]]:
    """The files to read, and the class of each."""
    single = Path(where) if isinstance(where, (str, Path)) else None
    classes = {file: label for label, file in enumerate(_files(dataset))}
    if single is None or not single.is_dir():
        paths = [single] if single is not None else [Path(path) for path in where]  # type: ignore[union-attr]
        return [(path, _class_of(path, classes, dataset)) for path in paths]
    names = [name for name in names_in(single) if re.search(r"_det_.*\.txt$", name)]
    if dataset.split is not None:
        names = [name for name in names if f"_det_{dataset.split}_" in name]
    challenges = sorted({name.split("_det_")[0] for name in names})
    if len(challenges) > 1:
        raise PellucidError(f"{single}: holds results of {', '.join(challenges)}; give the files of one")
    if not names:
        split = f" of '{dataset.split}'" if dataset.split else ""
        raise PellucidError(f"{single}: holds no results{split}, such as comp4_det_test_cat.txt; check the folder")
    return [(single / name, _class_of(single / name, classes, dataset)) for name in names]


def _class_of(path: Path, classes: dict[str, int], dataset: Dataset) -> int:
    rest = path.stem.partition("_det_")[2]
    if dataset.split is not None and rest.startswith(f"{dataset.split}_"):
        named = rest[len(dataset.split) + 1 :]
        if named in classes:
            return classes[named]
    fitting = [name for name in classes if rest.endswith(f"_{name}")]
    if not fitting:
        named = rest.partition("_")[2]
        raise PellucidError(f"{path}: no class is called '{named[:80]}'{nearest(named, classes)}; correct its name")
    return classes[max(fitting, key=len)]
