"""The format ``yolo``: reading the lines of label files."""

import math
from pathlib import Path

import numpy as np

from pellucid.data.building import RecordsBuilder
from pellucid.data.dataset import Holding
from pellucid.data.defects import Defects
from pellucid.data.formats import Format, Options
from pellucid.data.images import oriented_size
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.data.yolo.layout import SPLITS, Entry, Layout, images_of, read_layout, yaml_file
from pellucid.data.yolo.writing import write
from pellucid.errors import PellucidError
from pellucid.structures import Mask, Polygons


def _recognises(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() in (".yaml", ".yml") and yaml_file(path) is not None
    if yaml_file(path) is not None:
        return True
    if any((path / name).is_dir() for name in ("labels", *(f"{s}/labels" for s in SPLITS))):
        labels = [path / "labels", *(path / "labels" / s for s in SPLITS), *(path / s / "labels" for s in SPLITS)]
        return any(next(folder.glob("*.txt"), None) is not None for folder in labels if folder.is_dir())
    return False


def _splits(path: Path, options: Options) -> list[str]:
    return list(read_layout(path).splits)


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of one split. Raises PellucidError where no image is found."""
    layout = read_layout(path)
    if layout.splits:
        name = split_named(split, list(layout.splits), path) if split else next(iter(layout.splits))
        places = layout.splits[name]
    else:
        places = [layout.root / "images" if (layout.root / "images").is_dir() else layout.root]
    entries = images_of(layout, places, defects)
    if not entries:
        where = ", ".join(map(str, places))
        raise PellucidError(f"{path}: no image was found in {where}; check the paths in data.yaml, or the folder")
    return Reading(layout, defects).records(entries)


class Reading:
    """Reads label files, a line an object, into ``builder``; what means nothing is noted in ``defects``."""

    def __init__(self, layout: Layout, defects: Defects) -> None:
        self.layout = layout
        self.defects = defects
        self.builder = RecordsBuilder()
        self.segments = False
        self.most = -1

    def records(self, entries: list[Entry]) -> Records:
        for entry in entries:
            size = self._size(entry)
            self.builder.image(entry.name, entry.file if size != (0, 0) else "", str(entry.labels), size)
            if size != (0, 0):
                self.lines(entry.labels, size)
        holds: set[Holding] = {"boxes"}
        holds |= {"masks"} if self.segments else set()
        holds |= {"keypoints"} if self.layout.keypoints else set()
        return self.builder.finish(self.layout.classes(self.most), holds)

    def _size(self, entry: Entry) -> tuple[int, int]:
        if not entry.file:
            return entry.size
        try:
            return oriented_size(Path(entry.file))
        except PellucidError as error:
            what = str(error).removeprefix(f"{entry.file}: ")
            self.defects.add("damaged image", entry.file, "", what, "dropped")
            return 0, 0

    def lines(self, path: Path, size: tuple[int, int]) -> None:
        """Reads the file of the image last begun, of (H, W) pixels; without a file it shows nothing."""
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return  # an image without a label file shows nothing
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no UTF-8 text"
            self.defects.add("unreadable", path, "", f"cannot be read ({reason})", "dropped")
            return
        for number, line in enumerate(text.split("\n"), 1):
            fields = line.split()
            if fields:
                self._object(path, number, fields, size)

    def _object(self, path: Path, number: int, fields: list[str], size: tuple[int, int]) -> None:
        def drop(kind: str, what: str) -> None:
            self.defects.add(kind, path, f"line {number}", what, "dropped")

        try:
            values = [float(v) for v in fields]
        except ValueError:
            return drop("malformed", f"{' '.join(fields)[:60]!r} holds what is no number")
        label = int(values[0]) if math.isfinite(values[0]) and values[0].is_integer() else -1
        names = self.layout.names
        if label < 0 or (names is not None and label >= len(names)) or label > 100_000:
            known = f"; there are {len(names)}" if names is not None else ""
            return drop("unknown class", f"class {fields[0][:20]} is none{known}")
        self.most = max(self.most, label)
        H, W = size
        item = f"line {number}"
        points = self.layout.keypoints
        if points is not None:
            K, D = points
            if len(values) != 5 + K * D:
                return drop("malformed", f"has {len(values)} numbers, not 5 + {K} × {D}")
            self.builder.object(_corners(values, W, H), label, keypoints=_keypoints(values[5:], K, D, W, H), item=item)
        elif len(values) in (5, 6):
            self.builder.object(_corners(values, W, H), label, score=values[5] if len(values) == 6 else None, item=item)
        elif len(values) >= 7 and len(values) % 2 == 1:
            self.segments = True
            xs, ys = values[1::2], values[2::2]
            box = (min(xs) * W, min(ys) * H, max(xs) * W, max(ys) * H)
            if not all(map(math.isfinite, values)):
                box = (math.nan,) * 4
            self.builder.object(box, label, mask=_Outline(values[1:]), item=item)
        else:
            return drop("malformed", f"has {len(values)} numbers; a box has 5, an outline 7 or more, an odd number")
        return None


def _corners(values: list[float], W: int, H: int) -> tuple[float, float, float, float]:
    _, cx, cy, w, h = values[:5]
    return (cx - w / 2) * W, (cy - h / 2) * H, (cx + w / 2) * W, (cy + h / 2) * H


def _keypoints(values: list[float], K: int, D: int, W: int, H: int) -> list[list[float]]:
    made = []
    for k in range(K):
        x, y = values[k * D] * W, values[k * D + 1] * H
        v = values[k * D + 2] if D == 3 else (2.0 if x or y else 0.0)
        good = math.isfinite(x) and math.isfinite(y) and v in (0, 1, 2) and abs(x) < 1e9 and abs(y) < 1e9
        made.append([x, y, v] if good else [0.0, 0.0, 0.0])
    return made


class _Outline:
    """The polygon of a line, as a mask."""

    def __init__(self, values: list[float]) -> None:
        self.values = np.array(values)

    def __call__(self, size: tuple[int, int]) -> Mask | None:
        H, W = size
        points = self.values.reshape(-1, 2) * (W, H)
        try:
            return Polygons.from_lists([points], size)
        except PellucidError:
            return None


def _written(options: Options) -> frozenset[Holding]:
    further: dict[str, Holding] = {"segments": "masks", "keypoints": "keypoints"}
    labels = options.get("labels", "boxes")
    return frozenset({"boxes", further[labels]}) if labels in further else frozenset({"boxes"})


FORMAT = Format(
    name="yolo",
    title="YOLO: data.yaml, images/ and labels/ with one .txt an image",
    holds=frozenset({"boxes", "masks", "keypoints"}),
    recognises=_recognises,
    splits=_splits,
    read=read,
    write=write,
    options={"labels": "when writing: boxes (the default), segments or keypoints"},
    flags=frozenset(),
    written=_written,
)
