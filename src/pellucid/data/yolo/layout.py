"""Where a YOLO data set keeps its images, labels and class names: data.yaml, Darknet's lists, or folders alone."""

import csv
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pellucid.data.defects import Defects
from pellucid.data.images import ImageFinder, inside, photos_in
from pellucid.data.numbers import whole
from pellucid.data.tables import numbered_lines
from pellucid.errors import PellucidError
from pellucid.structures import Classes, KeypointNames
from pellucid.structures.classes import unique_names

SPLITS = ("train", "val", "valid", "validation", "test")
SIZES = "image_sizes.csv"
"""Written where a data set is written without its images: file, width, height a line."""
_LARGEST_YAML = 1 << 20
_MOST_NESTED = 500
_NESTED_LINE = re.compile(r"(?:[-?:]\s+){20}|(?:[&!]\S*\s+){20}|^ {200}", re.MULTILINE)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
NAME_FILES = ("classes.txt", "obj.names", "data/obj.names", "labels/classes.txt", "names.txt", "predefined_classes.txt")


@dataclass(frozen=True)
class Entry:
    """An image: its name in the data set, its file ('' where there is none), its label file's path, and its size where
    the list of sizes has it."""

    name: str
    file: str
    labels: Path
    size: tuple[int, int] = (0, 0)


@dataclass
class Layout:
    """``root``: the data set's folder. ``splits``: what data.yaml or the folders name, each with the places of its
    images: folders, or lists in text files. ``names``: the classes, None where nothing tells them.
    ``keypoints``: how many a line has and of how many numbers each."""

    root: Path
    splits: dict[str, list[Path]]
    names: list[str] | None = None
    keypoints: tuple[int, int] | None = None
    flip: tuple[int, ...] = ()
    keypoint_names: tuple[str, ...] = ()
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def classes(self, most: int) -> Classes:
        """The classes; where nothing names them, as many as the labels use."""
        names = self.names if self.names is not None else [f"class {i}" for i in range(most + 1)]
        unique = unique_names(names, range(len(names)))
        points = self._points()
        return Classes(unique, keypoints=(points,) * len(unique) if points else ())

    def _points(self) -> KeypointNames | None:
        if self.keypoints is None:
            return None
        K = self.keypoints[0]
        names = self.keypoint_names if len(self.keypoint_names) == K else tuple(f"keypoint {i}" for i in range(K))
        flip = self.flip if sorted(self.flip) == list(range(K)) else tuple(range(K))
        return KeypointNames(names, flip=flip)


def yaml_file(root: Path) -> Path | None:
    """The data set's YAML: data.yaml, dataset.yaml, or the only one there is with train or val in it."""
    if root.is_file():
        return root if root.suffix.lower() in (".yaml", ".yml") else None
    for name in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml"):
        if (root / name).is_file():
            return root / name
    others = [p for p in sorted([*root.glob("*.yaml"), *root.glob("*.yml")]) if _names_splits(p)]
    return others[0] if len(others) == 1 else None


def _names_splits(path: Path) -> bool:
    try:
        content = _load(path)
    except PellucidError:
        return False
    return isinstance(content, dict) and "names" in content and ("train" in content or "val" in content)


def _load(path: Path) -> Any:
    """A small YAML file. Raises PellucidError for what is none, and for one too large to be a list of classes."""
    try:
        if path.stat().st_size > _LARGEST_YAML:
            raise PellucidError(f"{path}: is larger than any data.yaml; give the data set's own")
        text = path.read_text(encoding="utf-8-sig")
        # A YAML reader takes the square of the depth to read what is nested: a data.yaml nests two or three levels.
        if sum(map(text.count, "[{")) > _MOST_NESTED or _NESTED_LINE.search(text):
            raise PellucidError(f"{path}: is nested too deeply for a data.yaml; write it without")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=_LOADER)):
            raise PellucidError(f"{path}: uses YAML aliases, which a data.yaml has no need of; write it without")
        return yaml.load(text, Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, PellucidError):
            raise
        reason = " ".join(str(error).split())[:160]
        raise PellucidError(f"{path}: is no readable YAML ({reason}); correct it") from error


def read_layout(root: Path) -> Layout:
    """How a data set is laid out. Raises PellucidError for a data.yaml that cannot be used."""
    path = yaml_file(root)
    folder = root if root.is_dir() else root.parent
    if path is None:
        made = Layout(folder, _splits_of_folders(folder), names=_names_file(folder))
    else:
        made = _from_yaml(path, folder)
    made.sizes = _sizes(folder)
    return made


def _from_yaml(path: Path, folder: Path) -> Layout:
    content = _load(path)
    if not isinstance(content, dict):
        raise PellucidError(f"{path}: holds no keys such as train, val and names; correct it")
    names = content.get("names")
    if isinstance(names, dict):
        by_index = {whole(key): str(value) for key, value in names.items()}
        if None in by_index or min(by_index, default=0) < 0 or max(by_index, default=0) > 100_000:  # type: ignore[operator,type-var]
            raise PellucidError(f"{path}: names must be numbered from 0; correct them")
        top = max((i for i in by_index if i is not None), default=-1)
        listed: list[str] | None = [by_index.get(i, f"class {i}") for i in range(top + 1)]
    elif isinstance(names, list):
        listed = [str(name) for name in names]
    else:
        count = whole(content.get("nc"))
        listed = _names_file(folder) or (
            [f"class {i}" for i in range(count)] if count and 0 < count < 100_000 else None
        )
    bases = [folder]
    if isinstance(content.get("path"), str) and inside(content["path"]):
        bases.insert(0, folder / content["path"])
    splits = {}
    for key in SPLITS:
        given = content.get(key)
        places = [_place(str(p), bases, path) for p in (given if isinstance(given, list) else [given]) if p]
        if places:
            splits[key] = places
    made = Layout(folder, splits or _splits_of_folders(folder), names=listed)
    shape = content.get("kpt_shape")
    if isinstance(shape, list) and len(shape) == 2:
        K, D = (whole(v) for v in shape)
        if K is None or D is None or not (0 < K <= 1000 and D in (2, 3)):
            raise PellucidError(f"{path}: kpt_shape {shape} is not [keypoints, 2 or 3]; correct it")
        made.keypoints = (K, D)
        flip = content.get("flip_idx")
        made.flip = tuple(i for i in map(whole, flip) if i is not None) if isinstance(flip, list) else ()
        told = content.get("kpt_names")
        told = next(iter(told.values()), None) if isinstance(told, dict) else told
        made.keypoint_names = tuple(map(str, told)) if isinstance(told, list) else ()
    return made


def _place(text: str, bases: list[Path], path: Path) -> Path:
    """A folder of images or a list of them. Exported files often climb one folder too many: that is mended."""
    plain = text.replace("\\", "/").rstrip("/")
    while plain.startswith(("../", "./")):
        plain = plain.split("/", 1)[1]
    if not inside(plain):
        raise PellucidError(f"{path}: '{text}' is no path inside the data folder; write it relative to the file")
    for base in bases:
        if (base / plain).exists():
            return base / plain
    return bases[-1] / plain


def _splits_of_folders(root: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for name in SPLITS:
        for folder in (root / "images" / name, root / name / "images", root / name):
            if folder.is_dir():
                found[name] = [folder]
                break
    if not found and (root / "images").is_dir():
        inner = [p for p in sorted((root / "images").iterdir()) if p.is_dir() and photos_in(p)]
        found = {p.name: [p] for p in inner}
    lists = {name: [root / f"{name}.txt"] for name in SPLITS if (root / f"{name}.txt").is_file()}
    return found or lists


def _names_file(root: Path) -> list[str] | None:
    candidates = [root / name for name in NAME_FILES] + sorted(root.glob("*.names"))
    for path in candidates:
        if path.is_file():
            names = [line.strip() for line in numbered_lines(path, "class names")]
            while names and not names[-1]:
                names.pop()
            return names or None
    return None


def _sizes(root: Path) -> dict[str, tuple[int, int]]:
    path = root / SIZES
    made: dict[str, tuple[int, int]] = {}
    if path.is_file():
        try:
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.reader(file):
                    W, H = (whole(v) if len(row) == 3 else None for v in (row[1:] or ["", ""])[:2])
                    if W and H and 0 < W < 2**31 and 0 < H < 2**31:
                        made[row[0]] = (H, W)
        except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
            raise PellucidError(f"{path}: cannot be read; write the data set again") from error
    return made


def images_of(layout: Layout, places: list[Path], defects: Defects) -> list[Entry]:
    """The images of a split, by folders and lists, sorted in folders and in the order of lists."""
    entries: list[Entry] = []
    for place in places:
        if place.is_file():
            entries += _listed(layout, place, defects)
        elif place.is_dir():
            entries += _below(layout, place)
        else:
            entries += _imagined(layout, place, defects)
    seen: set[str] = set()
    unique = []
    for entry in entries:
        if entry.name in seen:
            defects.add("duplicate image", layout.root, entry.name, "stands twice in the list", "dropped")
        else:
            unique.append(entry)
        seen.add(entry.name)
    return unique


def _below(layout: Layout, folder: Path) -> list[Entry]:
    made = []
    for base, folders, _ in os.walk(folder):
        folders.sort()
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in photos_in(Path(base)):
            file = Path(base, name)
            made.append(Entry(file.relative_to(folder).as_posix(), str(file), label_file(file, layout.root)))
    return made or _by_sizes(layout, folder)


def _by_sizes(layout: Layout, folder: Path) -> list[Entry]:
    """The images that were left out when the data set was written, by the list of their sizes."""
    start = folder.relative_to(layout.root).as_posix() + "/" if folder.is_relative_to(layout.root) else ""
    return [
        Entry(name.removeprefix(start), "", label_file(layout.root / name, layout.root), size)
        for name, size in layout.sizes.items()
        if start and name.startswith(start)
    ]


def _imagined(layout: Layout, place: Path, defects: Defects) -> list[Entry]:
    found = _by_sizes(layout, place)
    if not found:
        defects.add("unreadable", layout.root, str(place), "no such folder or list of images", "dropped")
    return found


def _listed(layout: Layout, path: Path, defects: Defects) -> list[Entry]:
    lines = numbered_lines(path, "the list of images")
    finder = ImageFinder([path.parent, layout.root])
    made = []
    for number, line in enumerate(lines, 1):
        text = line.strip().replace("\\", "/")
        if not text:
            continue
        # Lists made on another machine have its absolute paths: what stands from images/ on is the data set's own.
        if "/images/" in text and not inside(text):
            text = "images/" + text.rsplit("/images/", 1)[1]
        text = text.removeprefix("./")
        if not inside(text):
            defects.add("outside folder", path, f"line {number}", f"{text[:100]!r} leads out of the folder", "dropped")
            continue
        file = finder.find(text)
        image = Path(file) if file else layout.root / text
        made.append(Entry(text, file, label_file(image, layout.root), layout.sizes.get(text, (0, 0))))
    return made


def label_file(image: Path, root: Path) -> Path:
    """The text file of an image: in labels/ where it lies in images/, else beside it."""
    try:
        parts = list(image.relative_to(root).parts)
    except ValueError:
        return image.with_suffix(".txt")
    if "images" in parts[:-1]:
        at = len(parts) - 2 - parts[:-1][::-1].index("images")
        parts[at] = "labels"
    return root.joinpath(*parts).with_suffix(".txt")
