"""The format ``panoptic``: COCO's panoptic maps, one JSON file a split with a folder of PNGs, read and written."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pellucid.data.building import RecordsBuilder
from pellucid.data.coco.format import classes_of, image_folders
from pellucid.data.coco.parsing import Category, parse_json, read_bytes, rgb
from pellucid.data.coco.writing import categories, whole_ids
from pellucid.data.dataset import Dataset
from pellucid.data.defects import Defects
from pellucid.data.formats import Format, Options, Progress
from pellucid.data.images import ImageFinder, ImageStore, inside
from pellucid.data.numbers import identity, number, whole
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.structures import FLAG_BITS, IGNORE, Annotations, Classes, Mask, Panoptic, Segment
from pellucid.structures.panoptic import ids_to_rgb
from pellucid.structures.photo import MAX_PIXELS, opened_photo

_NAMES = re.compile(r"panoptic_(.+)\.json", re.IGNORECASE)


def _files(root: Path) -> dict[str, Path]:
    """The JSON file of each split."""
    if root.is_file():
        named = _NAMES.fullmatch(root.name)
        return {named[1] if named else root.stem: root}
    found: dict[str, Path] = {}
    for folder in (root / "annotations", root):
        for path in sorted(folder.glob("*panoptic*.json")):
            named = _NAMES.fullmatch(path.name)
            if named and _is_panoptic(path):
                found.setdefault(named[1], path)
    return found


class _Marked(msgspec.Struct):
    segments_info: msgspec.Raw


class _Marks(msgspec.Struct):
    annotations: list[_Marked]


def _is_panoptic(path: Path) -> bool:
    """Whether the annotations of a JSON file speak of segments."""
    try:
        return bool(msgspec.json.decode(path.read_bytes(), type=_Marks).annotations)
    except (msgspec.MsgspecError, OSError, RecursionError, UnicodeDecodeError, ValueError):
        return False


def _recognises(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".json" and _is_panoptic(path)
    return path.is_dir() and bool(_files(path))


def _splits(path: Path, options: Options) -> list[str]:
    return [] if path.is_file() else sorted(_files(path), key=lambda name: (not name.startswith("train"), name))


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of one split: things as objects, and lazily their masks, the segments and the semantic map."""
    files = _files(path)
    if not files:
        raise PellucidError(f"{path}: holds no annotations/panoptic_….json; name the .json file itself")
    name = split_named(split, list(files), path) if split and not path.is_file() else next(iter(files))
    return _Reading(files[name], path, name, defects, options).records()


class _Reading:
    def __init__(self, file: Path, root: Path, split: str, defects: Defects, options: Options) -> None:
        self.file, self.root, self.split = file, root, split
        self.defects, self.options = defects, options

    def records(self) -> Records:
        content = parse_json(self.file, read_bytes(self.file))
        if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
            raise PellucidError(f'{self.file}: is no panoptic data set: it has no "annotations"; give another file')
        images = self._images(content.get("images"))
        classes, label_of = self._classes(content.get("categories"))
        finder = ImageFinder(
            image_folders(self.file, self.root, self.split, [i[0] for i in images.values()], self.options)
        )
        maps = self._map_finder(content["annotations"])
        builder = RecordsBuilder()
        reader = PanopticMaps()
        for index, entry in enumerate(content["annotations"]):
            item = f"annotations[{index}]"
            if not isinstance(entry, dict):
                self._drop("malformed", item, f"is a {type(entry).__name__}, not an object")
                continue
            image_id = identity(entry.get("image_id"))
            known = images.pop(image_id, None) if image_id is not None else None
            if known is None:
                self._drop("unknown image", item, f'is of image {image_id}, which is not in "images", or was before')
                continue
            png = entry.get("file_name")
            found = maps.find(png) if isinstance(png, str) and inside(png) else ""
            if not found:
                self._drop("bad map", f"{item} (image {image_id})", f"its map {str(png)[:100]!r} was not found")
                continue
            name, size = known
            place = builder.image(name, finder.find(name), str(self.file), size, id=image_id)
            reader.add(
                found, self._segments(entry.get("segments_info"), item, classes, label_of, builder, reader, place)
            )
        for image_id, (name, _) in images.items():
            self._drop("missing annotation", f"image {image_id} ({name})", "no annotation speaks of it")
        records = builder.finish(classes, ("boxes", "masks", "panoptic", "semantic"))
        records.panoptic = reader.panoptic
        records.panoptic_as_annotated = reader.as_annotated
        records.semantic = reader.semantic
        return records

    def _drop(self, kind: str, item: str, what: str) -> None:
        self.defects.add(kind, self.file, item, what, "dropped")

    def _images(self, entries: object) -> dict[int | str, tuple[str, tuple[int, int]]]:
        made: dict[int | str, tuple[str, tuple[int, int]]] = {}
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            item = f"images[{index}]"
            id = identity(entry.get("id")) if isinstance(entry, dict) else None
            name = entry.get("file_name") if isinstance(entry, dict) else None
            if id is None or not isinstance(name, str):
                self._drop("malformed", item, "has no usable id and file_name")
            elif not inside(name):
                self._drop("outside folder", item, f"file_name {name[:100]!r} is no path inside the data folder")
            elif id in made:
                self._drop("duplicate id", item, f"image {id} stands twice")
            else:
                H, W = (
                    v if v and 0 < v < 2**31 else 0 for v in (whole(entry.get("height")), whole(entry.get("width")))
                )
                made[id] = (name, (H, W) if H * W <= MAX_PIXELS else (0, 0))
        return made

    def _classes(self, entries: object) -> tuple[Classes, dict[int | str, int]]:
        kept: dict[int | str, Category] = {}
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            id = identity(entry.get("id")) if isinstance(entry, dict) else None
            if id is None or id in kept:
                self._drop(
                    "duplicate id" if id in kept else "malformed", f"categories[{index}]", "has no id of its own"
                )
                continue
            name = entry.get("name")
            name = name if isinstance(name, str) and name.strip() else f"category {id}"
            kept[id] = Category(
                id, name, thing=entry.get("isthing", 1) not in (0, False), colour=rgb(entry.get("color"))
            )
        return classes_of(list(kept.values())), {id: index for index, id in enumerate(kept)}

    def _map_finder(self, entries: list[Any]) -> ImageFinder:
        """Finds the PNGs: in the folder called as the JSON file, or where most of the first are."""
        given = self.options.get("maps")
        base = self.root if self.root.is_dir() else self.file.parent
        if given is not None:
            if not (base / given).is_dir():
                raise PellucidError(f"maps={given}: no such folder in {base}")
            return ImageFinder([base / given])
        some = [e["file_name"] for e in entries[:16] if isinstance(e, dict) and isinstance(e.get("file_name"), str)]
        tops = dict.fromkeys((self.file.parent, base))
        folders = [top / part for top in tops for part in (self.file.stem, ".")]
        folders += [below for top in tops for below in sorted(top.iterdir()) if below.is_dir()]
        hits = {f: sum((f / name).is_file() for name in some if inside(name)) for f in dict.fromkeys(folders)}
        return ImageFinder([max(hits, key=lambda folder: hits[folder])])

    def _segments(
        self,
        entries: object,
        item: str,
        classes: Classes,
        label_of: dict[int | str, int],
        builder: RecordsBuilder,
        reader: "PanopticMaps",
        place: int,
    ) -> tuple[Segment, ...]:
        made: dict[int, Segment] = {}
        for number_, entry in enumerate(entries if isinstance(entries, list) else []):
            where = f"{item}, segment {number_}"
            id = whole(entry.get("id")) if isinstance(entry, dict) else None
            if id is None or not 0 < id < 2**24 or id in made:
                self._drop("malformed", where, "has no id of its own, from 1 to 16,777,215")
                continue
            category = identity(entry.get("category_id"))
            if category not in label_of:
                self._drop("unknown class", where, f'is of category {category}, which is not in "categories"')
                continue
            crowd = entry.get("iscrowd") in (1, True)
            made[id] = Segment(id, label_of[category], crowd)
            if classes.is_thing(label_of[category]):
                box = entry.get("bbox")
                x, y, w, h = map(number, box) if isinstance(box, list) and len(box) == 4 else [np.nan] * 4
                builder.object(
                    (x, y, x + w, y + h),
                    label_of[category],
                    FLAG_BITS["crowd"] if crowd else 0,
                    id=id,
                    area=number(entry.get("area")),
                    mask=_OneSegment(reader, place, id),
                    item=f"segment {id}",
                )
        return tuple(made.values())


class PanopticMaps:
    """The maps of a split and what their ids mean, read one at a time; the last one read is kept."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.segments: list[tuple[Segment, ...]] = []
        self._last: tuple[int, Panoptic] | None = None

    def add(self, file: str, segments: tuple[Segment, ...]) -> None:
        """Adds the map of the next image."""
        self.files.append(file)
        self.segments.append(segments)

    def panoptic(self, index: int, size: tuple[int, int]) -> Panoptic:
        """The map of an image. Raises PellucidError where it cannot be read, or is of another size."""
        last = self._last  # another thread may read another image meanwhile
        if last is None or last[0] != index:
            ids = torch.from_numpy(read_ids(Path(self.files[index]), size))
            there = set(ids.unique().tolist())
            segments = tuple(s for s in self.segments[index] if s.id in there)
            known = torch.tensor([s.id for s in segments], dtype=torch.int64)
            self._last = last = index, Panoptic(torch.where(torch.isin(ids, known), ids, 0), segments)
        return last[1]

    def as_annotated(self, index: int, size: tuple[int, int]) -> Panoptic:
        """The map of an image with every id in it and every segment listed, whether or not they have each other."""
        return Panoptic(torch.from_numpy(read_ids(Path(self.files[index]), size)), self.segments[index])

    def semantic(self, index: int, size: tuple[int, int]) -> Tensor:
        """The class of every pixel, 255 for none."""
        return self.panoptic(index, size).semantic()


class _OneSegment:
    """The mask of one segment, read when it is asked for."""

    def __init__(self, maps: PanopticMaps, index: int, id: int) -> None:
        self.maps, self.index, self.id = maps, index, id

    def __call__(self, size: tuple[int, int]) -> Mask:
        mask: Mask = (self.maps.panoptic(self.index, size).ids == self.id).numpy()
        return mask


def read_ids(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The segment ids of a panoptic PNG: int64 (H, W). Raises PellucidError for another size or too few channels."""
    with opened_photo(path) as image:
        W, H = image.size
        # Pillow keeps four bytes a pixel: taken together they are the id already, a third of the time saved.
        packed = (image if image.mode == "RGB" else image.convert("RGB")).tobytes("raw", "RGBX")
    if tuple(size) != (H, W):
        raise PellucidError(f"{path}: is {W} × {H} pixels, its image {size[1]} × {size[0]}; restore it from the source")
    return (np.frombuffer(packed, dtype="<u4") & 0xFFFFFF).astype(np.int64).reshape(H, W)


def write(
    dataset: Dataset, folder: Path, split: str, store: ImageStore, options: Options, progress: Progress | None
) -> None:
    """Writes one split: ``annotations/panoptic_SPLIT.json``, its PNGs in a folder beside it, images in ``SPLIT/``."""
    ids = whole_ids(dataset.classes)
    maps = folder / "annotations" / f"panoptic_{split}"
    maps.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index, sample in enumerate(dataset):
        name = store.name(sample, folder / split)
        store.put(sample, folder / split / name)
        H, W = sample.annotations.size
        image_id = index + 1
        images.append({"id": image_id, "file_name": name, "height": H, "width": W})
        said = panoptic_of(sample.annotations)
        png = Path(name).stem + ".png"
        Image.fromarray(ids_to_rgb(said.ids.numpy())).save(maps / png)
        annotations.append({"image_id": image_id, "file_name": png, "segments_info": _infos(said, ids)})
        if progress is not None:
            progress(index + 1, len(dataset))
    made = {"images": images, "annotations": annotations, "categories": categories(dataset.classes, ids)}
    for entry in made["categories"]:
        entry.setdefault("isthing", 1)
    with written_whole(folder / "annotations" / f"panoptic_{split}.json") as temporary:
        temporary.write_bytes(msgspec.json.encode(made))


def panoptic_of(said: Annotations) -> Panoptic:
    """The panoptic map of an image: its own, else its instances laid over its semantic map, small objects on top."""
    if said.panoptic is not None:
        return said.panoptic
    ids = torch.zeros(said.size, dtype=torch.int64)
    segments: list[Segment] = []
    if said.semantic is not None:
        for label in said.semantic.unique().tolist():
            if label != IGNORE and not said.classes.is_thing(label):
                segments.append(Segment(len(segments) + 1, label))
                ids[said.semantic == label] = len(segments)
    objects = said.instances
    if objects is not None and objects.masks is not None:
        for row in objects.masks.areas().argsort(descending=True, stable=True).tolist():
            mask = objects.masks[row : row + 1].to_bool()[0]
            if mask.any():
                score = None if objects.scores is None else float(objects.scores[row])
                segments.append(Segment(len(segments) + 1, int(objects.labels[row]), bool(objects.crowd[row]), score))
                ids[mask] = len(segments)
    left = set(ids.unique().tolist())
    return Panoptic(ids, tuple(s for s in segments if s.id in left))


def _infos(said: Panoptic, ids: list[int]) -> list[dict[str, Any]]:
    made = []
    for segment, area in zip(said.segments, said.areas().tolist(), strict=True):
        ys, xs = torch.where(said.ids == segment.id)
        box = [0, 0, 0, 0]
        if len(xs):
            x, y = int(xs.min()), int(ys.min())
            box = [x, y, int(xs.max()) + 1 - x, int(ys.max()) + 1 - y]
        entry = {"id": segment.id, "category_id": ids[segment.label], "area": area, "bbox": box}
        made.append(entry | {"iscrowd": int(segment.crowd)})
    return made


FORMAT = Format(
    name="panoptic",
    title="COCO panoptic: panoptic_….json with a folder of PNGs",
    holds=frozenset({"panoptic", "semantic", "boxes", "masks"}),
    recognises=_recognises,
    splits=_splits,
    read=read,
    write=write,
    flags=frozenset({"crowd"}),
    options={
        "images": "the folder with the images, where it is not found",
        "maps": "the folder with the PNGs, where it is not found",
    },
)
