"""COCO's JSON as columns: one fast way for files as they should be, and a patient one that finds every defect.

The fast way reads with a schema, leaves segmentations undecoded as the bytes they are, and gives up at the first thing
that is not as it should be. The patient way then reads the file again, entry by entry.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pellucid.data.defects import Defects
from pellucid.data.numbers import MOST, identity, number, whole
from pellucid.errors import PellucidError
from pellucid.structures.photo import MAX_PIXELS

NOTHING = b"null"


_Id = Annotated[int, msgspec.Meta(ge=-MOST, le=MOST)]
_Side = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _Image(msgspec.Struct, gc=False):
    id: _Id
    file_name: str
    width: _Side = 0
    height: _Side = 0
    neg_category_ids: list[int] = []
    not_exhaustive_category_ids: list[int] = []


class _Annotation(msgspec.Struct, gc=False):
    id: _Id
    image_id: _Id
    category_id: _Id
    bbox: tuple[float, float, float, float]
    area: float = math.nan
    iscrowd: int = 0
    segmentation: msgspec.Raw = msgspec.Raw(NOTHING)
    keypoints: list[float] | None = None
    difficult: int = 0
    group_of: int = 0
    truncated: int = 0
    occluded: int = 0
    depiction: int = 0
    inside: int = 0


class _Category(msgspec.Struct, gc=False):
    id: _Id
    name: str
    supercategory: str = ""
    keypoints: list[str] = []
    skeleton: list[tuple[int, int]] = []
    isthing: int = 1
    color: tuple[int, int, int] | None = None
    frequency: str = ""


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


@dataclass
class Category:
    """One entry of "categories"."""

    id: int | str
    name: str
    keypoints: list[str] = field(default_factory=list)
    skeleton: list[tuple[int, int]] = field(default_factory=list)
    thing: bool = True
    colour: tuple[int, int, int] | None = None
    frequency: str = ""


@dataclass
class Columns:
    """A COCO file: images, categories, and annotations column by column, in the file's order.

    ``boxes``: float64 (M, 4) xywh, NaN where they are no numbers. ``areas``: NaN where there is none. ``flags``: one
    bit each, crowd first, see ``FLAG_BITS``. ``texts``: the segmentations as JSON, one after another, the m-th from
    ``ends[m − 1]`` to ``ends[m]``. ``keypoints``: a list for each annotation, or None where no annotation has any.
    """

    image_ids: list[int | str]
    file_names: list[str]
    sizes: NDArray[np.int32]
    absent: dict[int, list[int]]
    unexhausted: dict[int, list[int]]
    categories: list[Category]
    ids: list[int | str] | NDArray[np.int64]
    of_image: list[int | str] | NDArray[np.int64]
    of_category: list[int | str] | NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    flags: NDArray[np.uint8]
    texts: bytes
    ends: NDArray[np.int64]
    keypoints: list[list[float]] | None


_FLAGS = ("difficult", "group_of", "truncated", "occluded", "depiction", "inside")


def read_bytes(path: Path) -> bytes:
    """A file's bytes. Raises PellucidError where it cannot be read."""
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "no such file"
            raise PellucidError(f"{path}: {what}; give a .json file")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PellucidError(f"{path}: cannot be read ({reason}); check the path and its permissions") from error


def parse(path: Path, defects: Defects) -> Columns:
    """Reads a COCO file of instances or keypoints. Raises PellucidError where it is no such file at all."""
    data = read_bytes(path)
    try:
        file = msgspec.json.decode(data, type=_File)
        return _fast(file)
    except (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeDecodeError):
        return _Patient(path, defects).columns(parse_json(path, data))


def parse_json(path: Path, data: bytes) -> Any:
    """Any JSON, with NaN and Infinity as Python writes them. Raises PellucidError for what is none."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        cut = "cut short" if error.pos >= len(error.doc.rstrip()) - 1 else "damaged"
        raise PellucidError(
            f"{path}: is {cut} at line {error.lineno}, column {error.colno} ({error.msg}); download or export it again"
        ) from error
    except RecursionError as error:
        raise PellucidError(f"{path}: is nested too deeply to be a data set; export it again") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise PellucidError(f"{path}: is no JSON text ({' '.join(str(error).split())}); export it again") from error


def _fast(file: _File) -> Columns:
    images, annotations = file.images, file.annotations
    n, m = len(images), len(annotations)
    flags = np.fromiter((a.iscrowd != 0 for a in annotations), dtype=np.uint8, count=m)
    for bit, name in enumerate(_FLAGS, 1):
        flags |= np.fromiter((getattr(a, name) != 0 for a in annotations), dtype=np.uint8, count=m) << np.uint8(bit)
    raw = [bytes(a.segmentation) for a in annotations]
    sizes = np.zeros((n, 2), dtype=np.int32)
    sizes[:, 0] = [image.height for image in images]
    sizes[:, 1] = [image.width for image in images]
    if (sizes.astype(np.int64).prod(1) > MAX_PIXELS).any():
        raise OverflowError  # the patient way says which
    has_keypoints = any(a.keypoints for a in annotations)
    return Columns(
        image_ids=[image.id for image in images],
        file_names=[image.file_name for image in images],
        sizes=sizes,
        absent={i: image.neg_category_ids for i, image in enumerate(images) if image.neg_category_ids},
        unexhausted={
            i: image.not_exhaustive_category_ids for i, image in enumerate(images) if image.not_exhaustive_category_ids
        },
        categories=[
            Category(
                c.id, c.name, c.keypoints, [(a - 1, b - 1) for a, b in c.skeleton], c.isthing != 0, c.color, c.frequency
            )
            for c in file.categories
        ],
        ids=np.fromiter((a.id for a in annotations), dtype=np.int64, count=m),
        of_image=np.fromiter((a.image_id for a in annotations), dtype=np.int64, count=m),
        of_category=np.fromiter((a.category_id for a in annotations), dtype=np.int64, count=m),
        boxes=np.array([a.bbox for a in annotations], dtype=np.float64).reshape(m, 4),
        areas=np.fromiter((a.area for a in annotations), dtype=np.float64, count=m),
        flags=flags,
        texts=b"".join(raw),
        ends=np.cumsum(np.fromiter(map(len, raw), dtype=np.int64, count=m)),
        keypoints=[a.keypoints or [] for a in annotations] if has_keypoints else None,
    )


def rgb(value: object) -> tuple[int, int, int] | None:
    """A category's colour, None where it is none."""
    if not isinstance(value, list) or len(value) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in value):
        return None
    return value[0], value[1], value[2]


class _Patient:
    """Reads a parsed COCO file entry by entry; what means nothing is noted and left out."""

    def __init__(self, path: Path, defects: Defects) -> None:
        self.path = path
        self.defects = defects

    def columns(self, file: object) -> Columns:
        if isinstance(file, list):
            raise PellucidError(f"{self.path}: is a list, as results are, not a data set; read it with read_results")
        if not isinstance(file, dict) or "images" not in file:
            raise PellucidError(f'{self.path}: is no COCO data set: it has no "images"; give another file')
        images = self._entries(file, "images", self._image)
        entries = self._entries(file, "annotations", self._annotation)
        categories = self._entries(file, "categories", self._category)
        m = len(entries)
        texts = [json.dumps(e["segmentation"]).encode() for e in entries]
        has_keypoints = any(e["keypoints"] for e in entries)
        return Columns(
            image_ids=[image[0] for image in images],
            file_names=[image[1] for image in images],
            sizes=np.array([image[2] for image in images], dtype=np.int32).reshape(-1, 2),
            absent={i: image[3] for i, image in enumerate(images) if image[3]},
            unexhausted={i: image[4] for i, image in enumerate(images) if image[4]},
            categories=categories,
            ids=[e["id"] for e in entries],
            of_image=[e["image_id"] for e in entries],
            of_category=[e["category_id"] for e in entries],
            boxes=np.array([e["bbox"] for e in entries], dtype=np.float64).reshape(m, 4),
            areas=np.array([e["area"] for e in entries], dtype=np.float64),
            flags=np.array([e["flags"] for e in entries], dtype=np.uint8),
            texts=b"".join(texts),
            ends=np.cumsum(np.array([len(t) for t in texts], dtype=np.int64)),
            keypoints=[e["keypoints"] for e in entries] if has_keypoints else None,
        )

    def _entries(self, file: dict[str, Any], key: str, read: Callable[[dict[str, Any], str], Any]) -> list[Any]:
        entries = file.get(key)
        if not isinstance(entries, list):
            what = "is missing" if entries is None else f"is a {type(entries).__name__}, not a list"
            self.defects.add("missing key", self.path, f'"{key}"', what, "dropped")
            return []
        made = []
        for index, entry in enumerate(entries):
            item = f"{key}[{index}]"
            if not isinstance(entry, dict):
                self._drop("malformed", item, f"is a {type(entry).__name__}, not an object")
                continue
            found = read(entry, item)
            if found is not None:
                made.append(found)
        return made

    def _drop(self, kind: str, item: str, what: str) -> None:
        self.defects.add(kind, self.path, item, what, "dropped")

    def _image(
        self, entry: dict[str, Any], item: str
    ) -> tuple[int | str, str, tuple[int, int], list[int], list[int]] | None:
        id, name = identity(entry.get("id")), entry.get("file_name")
        if id is None:
            self._drop("missing key" if "id" not in entry else "malformed", item, "has no usable id")
            return None
        if not isinstance(name, str):
            self._drop("missing key", item, f"image {id} has no file_name")
            return None
        size = whole(entry.get("height")), whole(entry.get("width"))
        H, W = (value if value is not None and 0 < value < 2**31 else 0 for value in size)
        H, W = (H, W) if H * W <= MAX_PIXELS else (0, 0)
        if 0 in (H, W) and ("height" in entry or "width" in entry):
            what = f"image {id} is said to be {_short(entry.get('width'))} × {_short(entry.get('height'))} pixels"
            self.defects.add("malformed", self.path, item, what, "mended")
        absent, unexhausted = (
            [i for i in map(whole, told) if i is not None] if isinstance(told, list) else []
            for told in (entry.get("neg_category_ids"), entry.get("not_exhaustive_category_ids"))
        )
        return id, name, (H, W), absent, unexhausted

    def _annotation(self, entry: dict[str, Any], item: str) -> dict[str, Any] | None:
        ids = {key: identity(entry.get(key)) for key in ("image_id", "category_id")}
        id = identity(entry.get("id"))
        named = f"{item} (annotation {id})" if id is not None else item
        for key, value in ids.items():
            if value is None:
                self._drop("missing key" if key not in entry else "malformed", named, f"has no usable {key}")
                return None
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            box = self._box_around(entry.get("segmentation"))
            if box is None:
                self._drop("malformed" if "bbox" in entry else "missing key", named, "has no bbox of four numbers")
                return None
        keypoints = entry.get("keypoints")
        if not isinstance(keypoints, list):
            keypoints = []
        if len(keypoints) % 3:
            self.defects.add(
                "bad keypoints", self.path, named, f"has {len(keypoints)} numbers, not three each", "dropped"
            )
            keypoints = []
        flags = sum(bool(entry.get(key) in (1, True, "1")) << bit for bit, key in enumerate(("iscrowd", *_FLAGS)))
        return {
            "id": id if id is not None else -1,
            **ids,
            "bbox": [number(value) for value in box],
            "area": number(entry.get("area")),
            "flags": flags,
            "segmentation": entry.get("segmentation"),
            "keypoints": [number(value) for value in keypoints],
        }

    def _box_around(self, segmentation: object) -> list[float] | None:
        """The box of polygons, where an annotation has no box of its own."""
        if not isinstance(segmentation, list) or not segmentation:
            return None
        values = [number(v) for part in segmentation if isinstance(part, list) for v in part]
        xs, ys = values[0::2], values[1::2]
        if len(xs) < 3 or len(xs) != len(ys) or not all(map(math.isfinite, values)):
            return None
        return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]

    def _category(self, entry: dict[str, Any], item: str) -> Category | None:
        id, name = identity(entry.get("id")), entry.get("name")
        if id is None:
            self._drop("missing key" if "id" not in entry else "malformed", item, "has no usable id")
            return None
        if not isinstance(name, str) or not name.strip():
            self.defects.add("missing key", self.path, item, f"category {id} has no name", "mended")
            name = f"category {id}"
        names = entry.get("keypoints")
        names = [str(n) for n in names] if isinstance(names, list) else []
        skeleton = [
            (edge[0] - 1, edge[1] - 1)
            for edge in (entry.get("skeleton") if isinstance(entry.get("skeleton"), list) else []) or []
            if isinstance(edge, list) and len(edge) == 2 and all(type(i) is int and 1 <= i <= len(names) for i in edge)
        ]
        thing, frequency = entry.get("isthing", 1) not in (0, False), entry.get("frequency")
        frequency = frequency if isinstance(frequency, str) else ""
        return Category(id, name, names, skeleton, thing, rgb(entry.get("color")), frequency)


def _short(value: object) -> str:
    return repr(value)[:40]


def in_order(values: Sequence[int | str] | NDArray[np.int64], known: Sequence[int | str]) -> NDArray[np.int64]:
    """For each id its place among the known ones, −1 where it is none: int64 (M,)."""
    if isinstance(values, np.ndarray) and all(type(k) is int for k in known):
        if not known:
            return np.full(len(values), -1, dtype=np.int64)
        table = np.array(known, dtype=np.int64)
        order = np.argsort(table, kind="stable")
        at = np.minimum(np.searchsorted(table[order], values), len(table) - 1)
        return np.where(table[order][at] == values, order[at], -1)
    place: dict[int | str, int] = {}
    for index, id in enumerate(known):
        place.setdefault(id, index)
    return np.array([place.get(value, -1) for value in values], dtype=np.int64)
