"""A COCO results file as columns: fast where every entry is as it should be, else patiently, entry by entry."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pellucid.data.coco.parsing import NOTHING, parse_json, read_bytes
from pellucid.data.defects import Defects
from pellucid.data.numbers import identity, number
from pellucid.errors import PellucidError


class _Box(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    score: float
    bbox: tuple[float, float, float, float]


class _Entry(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    score: float
    bbox: tuple[float, float, float, float] | None = None
    segmentation: msgspec.Raw = msgspec.Raw(NOTHING)
    keypoints: list[float] | None = None


@dataclass
class Entries:
    """The entries of a results file in its order, M of them.

    ``places``: where each stands in the file. ``of_image``, ``of_category``: the ids. ``scores``: NaN for what is no
    number. ``boxes``: float64 (M, 4) xywh, NaN where there is none. ``texts`` and ``ends``: the segmentations as JSON,
    see ``parsing.Columns``. ``keypoints``: a list for each, None where no entry has any.
    """

    places: NDArray[np.int64]
    of_image: Sequence[int | str] | NDArray[np.int64]
    of_category: Sequence[int | str] | NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    texts: bytes
    ends: NDArray[np.int64]
    keypoints: list[list[float]] | None


def parse_results(path: Path, defects: Defects) -> Entries:
    """Reads a results file. Entries that mean nothing are noted and left out.

    Raises PellucidError for what is no list of results at all.
    """
    data = read_bytes(path)
    plain = b'"segmentation"' not in data and b'"keypoints"' not in data
    scanned = _scanned(data) if plain and len(data) > _LARGE else None
    if scanned is not None:
        return scanned
    try:
        return (
            _boxes(msgspec.json.decode(data, type=list[_Box]))
            if plain
            else _fast(msgspec.json.decode(data, type=list[_Entry]))
        )
    except (msgspec.MsgspecError, RecursionError, OverflowError, UnicodeDecodeError):
        entries = parse_json(path, data)
        if not isinstance(entries, list):
            raise PellucidError(f"{path}: is no list of results; give the file of predictions") from None
        return _patient(path, entries, defects)


_LARGE = 2**22
"""The bytes from which on the compiled pass pays, which takes a third of a second to load."""


def _scanned(data: bytes) -> Entries | None:
    from pellucid.data.coco.results_scan import scan

    found = scan(data)
    if found is None:
        return None
    images, categories, scores, boxes = found
    m = len(scores)
    return Entries(np.arange(m), images, categories, scores, boxes, b"", np.zeros(m, dtype=np.int64), None)


def _boxes(entries: Sequence[_Box | _Entry]) -> Entries:
    """Entries of boxes alone."""
    m = len(entries)
    boxes: Iterable[tuple[float, ...]] = (entry.bbox or _NO_BOX for entry in entries)
    if entries and isinstance(entries[0], _Box):
        boxes = map(attrgetter("bbox"), entries)
    return Entries(
        places=np.arange(m),
        of_image=np.fromiter(map(attrgetter("image_id"), entries), np.int64, m),
        of_category=np.fromiter(map(attrgetter("category_id"), entries), np.int64, m),
        scores=np.fromiter(map(attrgetter("score"), entries), np.float64, m),
        boxes=np.fromiter(chain.from_iterable(boxes), np.float64, 4 * m).reshape(m, 4),
        texts=b"",
        ends=np.zeros(m, dtype=np.int64),
        keypoints=None,
    )


def _fast(entries: list[_Entry]) -> Entries:
    made = _boxes(entries)
    raw = [bytes(entry.segmentation) for entry in entries]
    made.texts = b"".join(raw)
    made.ends = np.cumsum(np.fromiter(map(len, raw), np.int64, len(raw)))
    if any(entry.keypoints for entry in entries):
        made.keypoints = [entry.keypoints or [] for entry in entries]
    return made


_NO_BOX = (math.nan, math.nan, math.nan, math.nan)


def _patient(path: Path, entries: list[Any], defects: Defects) -> Entries:
    kept: list[tuple[int, int | str, int | str, dict[str, Any]]] = []
    for place, entry in enumerate(entries):
        ids = [identity(entry.get(key)) for key in ("image_id", "category_id")] if isinstance(entry, dict) else []
        if not ids:
            defects.add("malformed", path, f"entry {place}", "is no object", "dropped")
        elif ids[0] is None or ids[1] is None:
            missing = "image_id" if ids[0] is None else "category_id"
            defects.add("malformed", path, f"entry {place}", f"has no usable {missing}", "dropped")
        else:
            kept.append((place, ids[0], ids[1], entry))
    texts = [json.dumps(entry.get("segmentation")).encode() for *_, entry in kept]
    keypoints = [_numbers(entry.get("keypoints")) for *_, entry in kept]
    boxes = [_numbers(entry.get("bbox")) for *_, entry in kept]
    return Entries(
        places=np.array([place for place, *_ in kept], dtype=np.int64),
        of_image=[image for _, image, _, _ in kept],
        of_category=[category for _, _, category, _ in kept],
        scores=np.array([number(entry.get("score")) for *_, entry in kept], dtype=np.float64),
        boxes=np.array([box if len(box) == 4 else _NO_BOX for box in boxes], dtype=np.float64).reshape(-1, 4),
        texts=b"".join(texts),
        ends=np.cumsum(np.array([len(text) for text in texts], dtype=np.int64)),
        keypoints=keypoints if any(keypoints) else None,
    )


def _numbers(value: object) -> list[float]:
    return [number(v) for v in value] if isinstance(value, list) else []
