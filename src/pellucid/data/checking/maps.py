"""Defects of semantic and panoptic maps: unreadable, of another size, with values that mean nothing."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pellucid.data.checking.masks import check_extent
from pellucid.data.checking.places import listed, told, unwrapped
from pellucid.data.coco.panoptic import PanopticMaps, read_ids
from pellucid.data.defects import Defects
from pellucid.data.folders.masks import MaskReader
from pellucid.data.folders.values import read_mask
from pellucid.data.records import Records
from pellucid.data.voc.maps import VOID, SemanticMaps, read_indices
from pellucid.errors import PellucidError
from pellucid.structures import IGNORE

_MOST = 12
"""How many values a message lists."""

_FEW = 5
"""How many maps must hold a value before it can be how the source marks void."""


@dataclass
class MapLook:
    """What one look at an image's map found: pixels of each class, segments with their extent, and what is wrong."""

    pixels: NDArray[np.int64]
    unknown: list[str] = field(default_factory=list)
    problem: tuple[str, str] | None = None
    file: str = ""
    values: set[int] = field(default_factory=set)
    segments: dict[int, tuple[NDArray[np.float64], int]] = field(default_factory=dict)


def look_at_map(records: Records, image: int, size: tuple[int, int]) -> MapLook:
    """Reads the map of an image. What is wrong with it becomes part of the answer, not an error."""
    made = MapLook(np.zeros(len(records.classes), dtype=np.int64))
    file = records.said_of(image)
    try:
        if records.panoptic is not None:
            _panoptic(records, image, size, made)
        else:
            _semantic(records, image, size, made)
    except PellucidError as error:
        made.problem = told(error, file)
    return made


def _semantic(records: Records, image: int, size: tuple[int, int], made: MapLook) -> None:
    reader, at = unwrapped(records.semantic, image)
    if isinstance(reader, MaskReader):
        made.file = reader.files[at]
        pixels = read_mask(Path(made.file))
        # The reader raises what is wrong with the size; else the file is not read again.
        labels = reader(at, size).numpy() if pixels.shape[:2] != size else reader.values.decode(pixels)
        distinct = _distinct(pixels)
        made.unknown = reader.values.unknown(distinct)
        if reader.values.cut:
            made.values = set(distinct.ravel().tolist())
    elif isinstance(reader, SemanticMaps):
        made.file = reader.files[at]
        indices = read_indices(Path(made.file), size)
        found = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
        made.unknown = [str(v) for v in found.tolist() if v not in (0, VOID) and reader.labels[v] == IGNORE]
        labels = reader.labels[indices]
    else:
        labels = reader(at, size).numpy()
    _count(labels, made)


def _distinct(pixels: NDArray) -> NDArray:
    """The distinct values of a mask, as a mask of one row."""
    if pixels.ndim == 3:
        wide = pixels.astype(np.int64)
        codes = np.unique(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
        return np.stack((codes >> 16, codes >> 8 & 255, codes & 255), -1)[None]
    if pixels.dtype == np.uint8:
        return np.flatnonzero(np.bincount(pixels.ravel(), minlength=256))[None]
    return np.unique(pixels)[None]


def _count(labels: NDArray[np.int64], made: MapLook) -> None:
    n = len(made.pixels)
    wrong = (labels < 0) | ((labels >= n) & (labels != IGNORE))
    if wrong.any():
        made.unknown = made.unknown or [str(v) for v in np.unique(labels[wrong]).tolist()]
    kept = labels[~wrong & (labels != IGNORE)] if n <= IGNORE or wrong.any() else labels[~wrong]
    made.pixels += np.bincount(kept.ravel(), minlength=n)[:n]


def _panoptic(records: Records, image: int, size: tuple[int, int], made: MapLook) -> None:
    reader, at = unwrapped(records.panoptic, image)
    maps = getattr(reader, "__self__", None)
    if not isinstance(maps, PanopticMaps):
        _count(reader(at, size).semantic().numpy(), made)
        return
    made.file = maps.files[at]
    ids = read_ids(Path(made.file), size)
    found, place, counts = np.unique(ids, return_inverse=True, return_counts=True)
    place = place.reshape(ids.shape)
    known = {segment.id: segment.label for segment in maps.segments[at]}
    ys, xs = np.indices(ids.shape)
    bounds = np.zeros((len(found), 4), dtype=np.float64)
    for column, (values, ufunc) in enumerate(((xs, np.minimum), (ys, np.minimum), (xs, np.maximum), (ys, np.maximum))):
        start = max(ids.shape) if column < 2 else -1
        side = np.full(len(found), start, dtype=np.int64)
        ufunc.at(side, place.ravel(), values.ravel())
        bounds[:, column] = side + (column >= 2)
    for index, id in enumerate(found.tolist()):
        if id in known:
            made.segments[id] = bounds[index], int(counts[index])
            made.pixels[known[id]] += counts[index]
        elif id:
            made.unknown.append(str(id))
    for id in known:
        made.segments.setdefault(id, (np.zeros(4), 0))


class Blurred:
    """Masks that a lossy format has blurred, and the values that they hold, by folder."""

    def __init__(self) -> None:
        self.values: dict[str, set[int]] = {}
        self.masks: Counter[str] = Counter()

    def add(self, file: str, values: set[int]) -> None:
        """Counts a mask."""
        folder = str(Path(file).parent)
        self.values.setdefault(folder, set()).update(values)
        self.masks[folder] += 1

    def check(self, defects: Defects) -> None:
        """Notes them, a folder a line."""
        for folder, values in self.values.items():
            halves = [v for v in values if v < 128], [v for v in values if v >= 128]
            spans = " and ".join(f"{min(half)} to {max(half)}" for half in halves if half)
            what = (
                f"{self.masks[folder]:,} masks hold {len(values)} gray values, {spans}, where two are meant: cut at 128"
            )
            defects.add("lossy masks", folder, "", what, "mended")


class Maps:
    """Notes what looks at a split's maps found."""

    def __init__(self, records: Records, blurred: Blurred, defects: Defects) -> None:
        self.records, self.blurred, self.defects = records, blurred, defects
        self.unknown: dict[str, list[int]] = {}
        self.files: dict[int, str] = {}
        self.areas = _stated_areas(records)

    def check(self, image: int, look: MapLook) -> None:
        """One image's."""
        file, item = look.file or self.records.said_of(image), self.records.names[image]
        if look.problem is not None:
            self.defects.add("bad map", look.problem[0], item, look.problem[1])
            return
        for value in look.unknown:
            self.unknown.setdefault(value, []).append(image)
            self.files[image] = file
        if look.values:
            self.blurred.add(file, look.values)
        if not look.pixels.any() and not look.unknown:
            self.defects.add("no annotations", file, item, "no pixel of its map has a class")
        self._check_segments(image, look)

    def _check_segments(self, image: int, look: MapLook) -> None:
        records = self.records
        if not look.segments:
            return
        rows = range(int(records.first[image]), int(records.first[image + 1]))
        ids = records.ids
        row_of = {int(ids[row]): row for row in rows} if ids is not None else {}
        said = self.areas.get(_image_id(records, image), {})
        for id, (tight, area) in look.segments.items():
            place = records.said_of(image), f"{records.names[image]}, segment {id}"
            if area == 0:
                self.defects.add("empty mask", *place, f"no pixel of {look.file} has its id")
                continue
            if id in said and said[id] != area:
                what = f"its area is given as {said[id]:,.0f}, its mask has {area:,} pixels"
                self.defects.add("area disagrees", *place, what)
            if id in row_of:
                check_extent(records.boxes[row_of[id]], tight, place, self.defects)

    def finish(self) -> None:
        """Notes values that mean nothing: once where most maps hold one, since that is how the source marks void."""
        meant = "no segment" if self.records.panoptic is not None else "no class"
        single: dict[int, list[str]] = {}
        for value, images in self.unknown.items():
            if len(images) >= _FEW and len(images) > len(self.records) / 2:
                folder = str(Path(self.files[images[0]]).parent)
                what = f"{len(images):,} of {len(self.records):,} maps hold it, but it stands for {meant}"
                self.defects.add("unknown value", folder, f"value {value}", what)
                continue
            for image in images:
                single.setdefault(image, []).append(value)
        for image, values in sorted(single.items()):
            several = (
                f"values {listed(values, _MOST)}, which stand"
                if len(values) > 1
                else f"value {values[0]}, which stands"
            )
            self.defects.add(
                "unknown value", self.files[image], self.records.names[image], f"holds the {several} for {meant}"
            )


def _image_id(records: Records, image: int) -> Any:
    return records.image_ids[image] if records.image_ids is not None else None


class _Info(msgspec.Struct):
    id: int
    area: float


class _Entry(msgspec.Struct):
    image_id: int | str
    segments_info: list[_Info]


class _Annotations(msgspec.Struct):
    annotations: list[_Entry]


def _stated_areas(records: Records) -> dict[int | str, dict[int, float]]:
    """The areas that panoptic JSON gives, by image and segment; none where it does not for all."""
    if records.panoptic is None:
        return {}
    try:
        content = msgspec.json.decode(Path(records.said_of(0)).read_bytes(), type=_Annotations)
    except (msgspec.MsgspecError, OSError, ValueError, IndexError):
        return {}
    return {entry.image_id: {info.id: info.area for info in entry.segments_info} for entry in content.annotations}


def check_empty(records: Records, noted: set[str], defects: Defects) -> None:
    """Notes images without any annotation, where data sets are of boxes or of whole images' labels."""
    if not records.holds & {"boxes", "labels"} or records.holds & {"semantic", "panoptic"}:
        return
    counts = np.diff(records.first)
    for image in np.flatnonzero(counts == 0).tolist():
        name = records.names[image]
        if name not in noted and image not in records.present and image not in records.absent:
            defects.add("no annotations", *records.place(image), "nothing is said of it")
