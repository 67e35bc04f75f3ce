"""The format ``coco``: instances and keypoints, one JSON file a split, images in a folder."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pellucid.data.coco.parsing import Category, Columns, in_order, parse
from pellucid.data.coco.segmentations import Segmentations
from pellucid.data.coco.writing import write
from pellucid.data.dataset import Holding
from pellucid.data.defects import Defects
from pellucid.data.formats import Format, Options
from pellucid.data.images import ImageFinder, inside
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.errors import PellucidError
from pellucid.structures import Classes, KeypointNames
from pellucid.structures.classes import unique_names

_KINDS = ("instances", "keypoints")
_NAMES = re.compile(r"(?:person_)?(instances|keypoints)_(.+)\.json", re.IGNORECASE)
_ROBOFLOW = "_annotations.coco.json"
_OTHER = re.compile(r"(captions|stuff|panoptic|image_info|images_info|results?|detections?)[_.]", re.IGNORECASE)


def annotation_files(root: Path, options: Options) -> dict[str, Path]:
    """The JSON file of each split of a data set, by the split's name."""
    if root.is_file():
        named = _NAMES.fullmatch(root.name)
        return {named[2] if named else root.stem: root}
    if "kind" not in options:
        return annotation_files(root, {"kind": "instances"}) or annotation_files(root, {"kind": "keypoints"})
    kind = options["kind"]
    if kind not in _KINDS:
        raise PellucidError(f"coco: kind={kind}; give {' or '.join(_KINDS)}")
    found: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for folder in (root / "annotations", root):
        for path in sorted(folder.glob("*.json")):
            named = _NAMES.fullmatch(path.name)
            if named and named[1].lower() == kind:
                found.setdefault(named[2], path)
            elif not named and not _OTHER.match(path.name) and path.name != _ROBOFLOW and is_coco(path):
                others.setdefault(path.stem, path)
    for path in sorted(root.glob(f"*/{_ROBOFLOW}")):
        found.setdefault(path.parent.name, path)
    return found or others


def _top_keys(path: Path) -> set[str]:
    """The keys of a JSON object, without what stands behind them; none where it is no such thing."""
    try:
        return set(msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw]))
    except (msgspec.MsgspecError, OSError, RecursionError, UnicodeDecodeError, ValueError):
        return set()


def is_coco(path: Path) -> bool:
    """Whether a file is a COCO data set, by its outermost keys."""
    return {"images", "annotations"} <= _top_keys(path)


def _recognises(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".json"
    return path.is_dir() and bool(annotation_files(path, {}))


def _splits(path: Path, options: Options) -> list[str]:
    return [] if path.is_file() else sorted(annotation_files(path, options), key=_train_first)


def _train_first(name: str) -> tuple[bool, str]:
    return not name.startswith("train"), name


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of one split."""
    files = annotation_files(path, options)
    if not files:
        raise PellucidError(f"{path}: holds no annotations/instances_….json; name the .json file itself")
    name = split_named(split, list(files), path) if split and not path.is_file() else next(iter(files))
    file = files[name]
    columns = parse(file, defects)
    return _Assembly(file, columns, defects).records(image_folders(file, path, name, columns.file_names, options))


def image_folders(file: Path, root: Path, split: str, names: Sequence[str], options: Options) -> list[Path]:
    """Where the images are: what the option says, else the folder in which most of the first images are found."""
    base = root if root.is_dir() else file.parent
    if "images" in options:
        folder = Path(options["images"])
        folder = folder if folder.is_absolute() else base / folder
        if not folder.is_dir():
            raise PellucidError(f"images={options['images']}: no such folder in {base}")
        return [folder]
    tops = dict.fromkeys((base, file.parent, file.parent.parent if file.parent.name == "annotations" else base))
    guesses = [top / part for top in tops for part in (split, f"images/{split}", "images", "JPEGImages", ".")]
    plain = list(dict.fromkeys(guesses))
    guesses += [below for top in tops for below in sorted(top.iterdir()) if below.is_dir()]
    some = [name for name in names[:16] if inside(name)]
    counted = {folder: sum((folder / name).is_file() for name in some) for folder in dict.fromkeys(guesses)}
    best = max(counted, key=lambda folder: counted[folder])
    # Where none is found they may have another suffix. Folders of other splits are left alone: they may hold images of
    # the same names.
    return [best] if counted[best] else [folder for folder in plain if folder.is_dir()]


class _Assembly:
    """From columns in a file's order to records in the images' order."""

    def __init__(self, file: Path, columns: Columns, defects: Defects) -> None:
        self.file = file
        self.columns = columns
        self.defects = defects

    def records(self, folders: list[Path]) -> Records:
        columns = self.columns
        finder = ImageFinder(folders)
        classes, class_ids = self._classes()
        images = self._images()
        rows, place, label = self._rows([columns.image_ids[i] for i in images], class_ids)
        order = np.argsort(place, kind="stable")
        rows, place, label = rows[order], place[order], label[order]
        x, y, w, h = columns.boxes[rows].T
        ends = columns.ends[rows]
        starts = np.where(rows > 0, columns.ends[rows - 1], 0)
        keypoints = self._keypoints(rows)
        ids = np.array([i if isinstance(i, (int, np.integer)) else -1 for i in columns.ids], dtype=np.int64)
        counts = np.bincount(place, minlength=len(images))
        areas = columns.areas[rows]
        # COCO's scoring needs an area for every object; where one has none, it is the box's, as in its own tools.
        areas = np.where(np.isfinite(areas) & (areas >= 0), areas, np.abs(w * h))
        texts = Segmentations(columns.texts, starts, ends, str(self.file), ids[rows])
        holds: set[Holding] = {"boxes"}
        holds |= {"masks"} if texts.any() else set()
        holds |= {"keypoints"} if keypoints is not None else set()
        label_of = dict(zip(class_ids, range(len(class_ids)), strict=True))
        return Records(
            classes=classes,
            holds=frozenset(holds),
            names=[columns.file_names[i] for i in images],
            files=[finder.find(columns.file_names[i]) for i in images],
            sizes=columns.sizes[images],
            said_by=str(self.file),
            first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            boxes=np.stack((x, y, x + w, y + h), 1),
            labels=label,
            flags=columns.flags[rows],
            image_ids=[columns.image_ids[i] for i in images],
            extents=np.stack((w, h), 1),
            ids=ids[rows],
            areas=areas,
            keypoints=keypoints,
            items=_Item(ids[rows]),
            mask=texts if texts.any() else None,
            absent=_verdicts(columns.absent, images, label_of),
            unexhausted=_verdicts(columns.unexhausted, images, label_of),
        )

    def _classes(self) -> tuple[Classes, list[int | str]]:
        """The classes, and the category ids in their order."""
        kept: dict[int | str, Category] = {}
        for category in self.columns.categories:
            if category.id in kept:
                self.defects.add(
                    "duplicate id", self.file, f"category {category.id} ({category.name})", "stands twice", "dropped"
                )
            else:
                kept[category.id] = category
        return classes_of(list(kept.values())), list(kept)

    def _images(self) -> NDArray[np.int64]:
        """The places in the file of the images to keep."""
        seen: set[int | str] = set()
        names: set[str] = set()
        kept = []
        for index, (id, name) in enumerate(zip(self.columns.image_ids, self.columns.file_names, strict=True)):
            if id in seen:
                self._drop("duplicate id", f"image {id} ({name})", 'its id stands twice in "images"')
            elif not inside(name):
                self._drop(
                    "outside folder", f"image {id}", f"file_name {name[:100]!r} is no path inside the data folder"
                )
            elif name in names:
                self._drop("duplicate image", f"image {id}", f'{name} stands twice in "images", under another id')
            else:
                kept.append(index)
            seen.add(id)
            names.add(name)
        return np.array(kept, dtype=np.int64)

    def _drop(self, kind: str, item: str, what: str) -> None:
        self.defects.add(kind, self.file, item, what, "dropped")

    def _rows(
        self, image_ids: list[int | str], class_ids: list[int | str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The annotations to keep, and the image and the class of each."""
        columns = self.columns
        place = in_order(columns.of_image, image_ids)
        label = in_order(columns.of_category, class_ids)
        for row in np.flatnonzero(place < 0).tolist():
            image = columns.of_image[row]
            self._drop(
                "unknown image", f"annotation {columns.ids[row]}", f'is of image {image}, which is not in "images"'
            )
        for row in np.flatnonzero((place >= 0) & (label < 0)).tolist():
            what = f'is of category {columns.of_category[row]}, which is not in "categories"'
            self._drop("unknown class", f"annotation {columns.ids[row]}", what)
        rows = np.flatnonzero((place >= 0) & (label >= 0))
        self._check_ids(rows)
        return rows, place[rows], label[rows]

    def _check_ids(self, rows: NDArray[np.int64]) -> None:
        ids = [self.columns.ids[row] for row in rows.tolist()]
        if len(set(ids)) == len(ids):
            return
        seen: set[Any] = set()
        for id in ids:
            if id in seen:
                item = "annotation without id" if id == -1 else f"annotation {id}"
                self.defects.add("duplicate id", self.file, item, "its id is another's too", "kept")
            seen.add(id)

    def _keypoints(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        if self.columns.keypoints is None:
            return None
        lists = [self.columns.keypoints[row] for row in rows.tolist()]
        most = max((len(points) // 3 for points in lists), default=0)
        made = np.zeros((len(lists), most * 3))
        for index, points in enumerate(lists):
            values = np.array(points[: len(points) // 3 * 3], dtype=np.float64)
            bad = not (np.abs(values) < np.finfo(np.float32).max).all() or not np.isin(values[2::3], (0, 1, 2)).all()
            if bad or len(points) % 3:
                item = f"annotation {self.columns.ids[int(rows[index])]}"
                what = "has keypoints that are no three numbers each, with a visibility of 0, 1 or 2"
                self.defects.add("bad keypoints", self.file, item, what, "dropped")
                continue
            made[index, : len(values)] = values
        return made.reshape(len(lists), most, 3)


def classes_of(categories: list[Category]) -> Classes:
    """Categories as classes, in the file's order; a name that stands twice gets its id beside it."""
    names = unique_names((c.name for c in categories), (f"id {c.id}" for c in categories))
    keypoints = []
    for category in categories:
        edges = tuple(e for e in category.skeleton if max(e) < len(category.keypoints) and min(e) >= 0)
        keypoints.append(KeypointNames(tuple(category.keypoints), edges) if category.keypoints else None)
    classes = Classes(
        names,
        source_ids=tuple(category.id for category in categories),
        things=tuple(category.thing for category in categories),
        colours=tuple(c.colour for c in categories if c.colour) if all(c.colour for c in categories) else (),
    )
    if all(category.frequency in _FREQUENCIES for category in categories):
        classes = replace(classes, frequencies=tuple(_FREQUENCIES[category.frequency] for category in categories))
    return replace(classes, keypoints=tuple(keypoints)) if any(keypoints) else classes


_FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}
"""LVIS' tags of its categories."""


def _verdicts(
    said: dict[int, list[int]], images: NDArray[np.int64], label_of: dict[int | str, int]
) -> dict[int, tuple[int, ...]]:
    """Lists of category ids by an image's place in the file as class indices by its place among those kept."""
    return {
        new: tuple(label_of[c] for c in said[old] if c in label_of)
        for new, old in enumerate(images.tolist())
        if old in said
    }


class _Item:
    def __init__(self, ids: NDArray[np.int64]) -> None:
        self.ids = ids

    def __call__(self, row: int) -> str:
        return f"annotation {self.ids[row]}"


FORMAT = Format(
    name="coco",
    title="MS COCO: instances_….json or person_keypoints_….json, images in folders",
    holds=frozenset({"boxes", "masks", "keypoints"}),
    recognises=_recognises,
    splits=_splits,
    read=read,
    write=write,
    options={
        "kind": "instances or keypoints, where a folder has both",
        "images": "the folder with the images, where it is not found",
    },
)
