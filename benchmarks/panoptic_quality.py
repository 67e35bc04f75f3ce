"""Panoptic quality of 500 images of 480 × 640 with some thirty segments each. Claim: ≥ 5 × the reference's algorithm.

The reference, panopticapi, is not on the package index. ``reference`` below is its algorithm, written from its
description: numpy's unique over ids of both maps combined to 64 bits, then dictionaries. It omits the checks of bad
input, which Pellucid's time includes, and Pellucid also keeps a record of every match and error.

Three comparisons, each in one process. With maps in memory no PNG is read by anyone. From files all read JSON and
PNGs: Pellucid as its command does it, with Pillow in threads; the reference with Pillow, one after another, as it does
in each of its processes; hotcoco, which takes nothing but files, with its own decoder in threads. torchmetrics, with
maps in memory, gets the first images only.

Give a number of images to make it shorter: ``python benchmarks/panoptic_quality.py 50``.
"""

import contextlib
import io
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hotcoco.panoptic import pq_compute
from numpy.typing import NDArray
from PIL import Image
from torchmetrics.functional.detection import panoptic_quality

from pellucid import open_dataset
from pellucid.data import read_predictions
from pellucid.metrics import evaluate
from pellucid.metrics.panoptic import PanopticEvaluator
from pellucid.structures import Annotations, Classes, Panoptic, Segment
from pellucid.structures.panoptic import ids_to_rgb

from common import print_ratios, setup, timed

IMAGES, CHUNK, ROUNDS, SLOW_IMAGES = 500, 50, 3, 10
SIZE, SEGMENTS = (480, 640), 40
CLASSES = Classes(tuple(f"class {i}" for i in range(133)), things=tuple(i < 80 for i in range(133)))

Said = tuple[NDArray[np.int64], list[Segment]]
Counts = dict[int, list[float]]


def drawn(generator: np.random.Generator, shapes: list[tuple[float, ...]], labels: list[int]) -> Said:
    """Ellipses over one another on stuff, their outlines uneven as annotators' are; a stripe stays void."""
    H, W = SIZE
    ids = np.zeros(SIZE, dtype=np.int64)
    numbers = generator.choice(2**24 - 1, len(shapes), replace=False) + 1
    y, x = np.mgrid[:H, :W].astype(np.float32)
    uneven = 0.08 * generator.standard_normal(SIZE).astype(np.float32)
    for id, (cy, cx, ry, rx) in zip(numbers, shapes, strict=True):
        window = (
            slice(max(0, int(cy - 1.3 * ry)), int(cy + 1.3 * ry)),
            slice(max(0, int(cx - 1.3 * rx)), int(cx + 1.3 * rx)),
        )
        inside = ((y[window] - cy) / ry) ** 2 + ((x[window] - cx) / rx) ** 2 < 1 + uneven[window]
        ids[window][inside] = id
    ids[:, -20:] = 0
    left = set(np.unique(ids).tolist())
    return ids, [Segment(int(i), label) for i, label in zip(numbers, labels, strict=True) if i in left]


def images(count: int, seed: int) -> list[tuple[Said, Said]]:
    """Truths and predictions, which are the truths moved a little, some of another class, one in ten a crowd."""
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        centres = generator.random((SEGMENTS, 2)) * SIZE
        radii = np.exp(generator.uniform(np.log(12), np.log(160), (SEGMENTS, 2)))
        order = np.argsort(-radii.prod(1))
        shapes = np.concatenate((centres, radii), 1)[order]
        labels = generator.integers(0, len(CLASSES), SEGMENTS)
        moved = shapes * (1 + 0.04 * generator.standard_normal(shapes.shape))
        other = np.where(generator.random(SEGMENTS) < 0.2, generator.integers(0, len(CLASSES), SEGMENTS), labels)
        true, found = (
            drawn(generator, shapes.tolist(), labels.tolist()),
            drawn(generator, moved.tolist(), other.tolist()),
        )
        crowds = [Segment(s.id, s.label, bool(generator.random() < 0.1)) for s in true[1]]
        made.append(((true[0], crowds), found))
    return made


def reference(pairs: Iterator[tuple[Said, Said]]) -> Counts:
    """The reference's algorithm: class → sum of IoU, TP, FP, FN."""
    sums: Counts = defaultdict(lambda: [0.0, 0, 0, 0])
    for (true_ids, true), (found_ids, found) in pairs:
        truths, founds = {s.id: s for s in true}, {s.id: s for s in found}
        found_areas = dict(zip(*(v.tolist() for v in np.unique(found_ids, return_counts=True)), strict=True))
        true_areas = {s.id: 0 for s in true}
        shared: dict[tuple[int, int], int] = {}
        combined = true_ids.astype(np.uint64) * np.uint64(2**24) + found_ids.astype(np.uint64)
        for code, pixels in zip(*np.unique(combined, return_counts=True), strict=True):
            pair = int(code) // 2**24, int(code) % 2**24
            shared[pair] = int(pixels)
            if pair[0] in truths:
                true_areas[pair[0]] += int(pixels)
        hits: tuple[set[int], set[int]] = (set(), set())
        for (t, p), pixels in shared.items():
            if t not in truths or p not in founds or truths[t].crowd or truths[t].label != founds[p].label:
                continue
            iou = pixels / (true_areas[t] + found_areas[p] - pixels - shared.get((0, p), 0))
            if iou > 0.5:
                sums[truths[t].label][0] += iou
                sums[truths[t].label][1] += 1
                hits[0].add(t)
                hits[1].add(p)
        crowds = {}
        for t, segment in truths.items():
            if segment.crowd:
                crowds[segment.label] = t
            elif t not in hits[0]:
                sums[segment.label][3] += 1
        for p, segment in founds.items():
            if p not in hits[1]:
                ignored = shared.get((0, p), 0)
                if segment.label in crowds:
                    ignored += shared.get((crowds[segment.label], p), 0)
                if ignored / found_areas[p] <= 0.5:
                    sums[segment.label][2] += 1
    return sums


def quality(sums: Counts) -> float:
    """The mean PQ of classes that occur."""
    values = [iou / (TP + FP / 2 + FN / 2) for iou, TP, FP, FN in sums.values() if TP + FP + FN]
    return sum(values) / len(values)


def annotations(said: Said) -> Annotations:
    """The same as Pellucid takes it, with no copy of the map."""
    return Annotations(SIZE, CLASSES, panoptic=Panoptic(torch.from_numpy(said[0]), tuple(said[1])))


def ours(pairs: Iterator[tuple[Said, Said]]) -> float:
    evaluator = PanopticEvaluator(CLASSES)
    for index, (true, found) in enumerate(pairs):
        evaluator.add(str(index), annotations(true), annotations(found))
    return evaluator.score().summary["PQ"]


def write(pairs: list[tuple[Said, Said]], folder: Path, first: int, entries: dict[str, list[Any]]) -> None:
    """The PNGs of some images; what JSON says of them is added to ``entries``."""
    for index, pair in enumerate(pairs, first):
        for part, (ids, segments) in zip(("truth", "found"), pair, strict=True):
            (folder / part).mkdir(exist_ok=True)
            Image.fromarray(ids_to_rgb(ids)).save(folder / part / f"{index}.png", compress_level=1)
            areas = dict(zip(*(v.tolist() for v in np.unique(ids, return_counts=True)), strict=True))
            infos = [
                {"id": s.id, "category_id": s.label, "iscrowd": int(s.crowd), "area": areas[s.id], "bbox": [0, 0, 1, 1]}
                for s in segments
            ]
            entries[part].append({"image_id": index, "file_name": f"{index}.png", "segments_info": infos})


def read(folder: Path) -> Iterator[tuple[Said, Said]]:
    """The images of a folder, one at a time."""
    parts = [json.loads((folder / f"{part}.json").read_bytes())["annotations"] for part in ("truth", "found")]
    for entries in zip(*parts, strict=True):
        pair = []
        for part, entry in zip(("truth", "found"), entries, strict=True):
            with Image.open(folder / part / entry["file_name"]) as image:
                pixels = np.array(image).astype(np.int64)
            ids = pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
            infos = entry["segments_info"]
            pair.append((ids, [Segment(i["id"], i["category_id"], bool(i["iscrowd"])) for i in infos]))
        yield pair[0], pair[1]


def ours_from_files(folder: Path) -> float:
    """As ``pellucid evaluate`` does it."""
    truths = open_dataset(f"panoptic:{folder / 'truth.json'},maps=truth", as_annotated=True)
    found = read_predictions(f"panoptic:{folder / 'found.json'},maps=found", truths)
    return evaluate(truths, found, "panoptic").summary["PQ"]


def hotcoco(folder: Path) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        result = pq_compute(folder / "truth.json", folder / "found.json", folder / "truth", folder / "found")
    return float(result["All"]["pq"])


def coded(saids: list[Said]) -> torch.Tensor:
    """The maps as torchmetrics takes them: (N, H, W, 2), class and number; class 133, unknown to it, is void."""
    made = torch.zeros((len(saids), *SIZE, 2), dtype=torch.int64)
    made[..., 0] = len(CLASSES)
    for image, (ids, segments) in zip(made, saids, strict=True):
        for segment in segments:
            image[torch.from_numpy(ids == segment.id)] = torch.tensor([segment.label, segment.id])
    return made


def main() -> None:
    """Makes the images, checks that the contestants agree, and times them."""
    setup()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    entries: dict[str, list[Any]] = {"truth": [], "found": []}
    seconds: dict[str, list[float]] = {}
    first: list[tuple[Said, Said]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A few images at a time: five hundred pairs of maps would be 2.5 GB.
        for began in range(0, count, CHUNK):
            pairs = images(min(CHUNK, count - began), seed=began)
            write(pairs, folder, began, entries)
            first = first or pairs[:SLOW_IMAGES]
            assert abs(quality(reference(iter(pairs))) - ours(iter(pairs))) < 1e-12
            contestants = {
                "pellucid": lambda pairs=pairs: ours(iter(pairs)),
                "the reference's algorithm": lambda pairs=pairs: reference(iter(pairs)),
            }
            for contestant, times in timed(contestants, ROUNDS).items():
                known = seconds.setdefault(contestant, [0.0] * ROUNDS)
                seconds[contestant] = [a + b for a, b in zip(known, times, strict=True)]
        print_ratios(f"{count} images, maps in memory", seconds, "pellucid")
        for part, listed in entries.items():
            content = {
                "images": [
                    {"id": i, "height": SIZE[0], "width": SIZE[1], "file_name": f"{i}.jpg"} for i in range(count)
                ],
                "annotations": listed,
                "categories": [
                    {"id": k, "name": c, "isthing": int(CLASSES.is_thing(k))} for k, c in enumerate(CLASSES)
                ],
            }
            (folder / f"{part}.json").write_text(json.dumps(content))
        assert abs(hotcoco(folder) - ours_from_files(folder)) < 1e-12
        from_files = {
            "pellucid": lambda: ours_from_files(folder),
            "the reference's algorithm": lambda: reference(read(folder)),
            "hotcoco (own decoder and threads)": lambda: hotcoco(folder),
        }
        print_ratios(f"{count} images, from JSON and PNG", timed(from_files, ROUNDS), "pellucid")
    true, found = coded([pair[0] for pair in first]), coded([pair[1] for pair in first])
    things = [k for k in range(len(CLASSES)) if CLASSES.is_thing(k)]
    stuff = [k for k in range(len(CLASSES)) if not CLASSES.is_thing(k)]
    slow = {
        "pellucid": lambda: ours(iter(first)),
        "torchmetrics": lambda: panoptic_quality(found, true, things, stuff, allow_unknown_preds_category=True),
    }
    print_ratios(f"{len(first)} images, maps in memory (torchmetrics knows no crowds)", timed(slow, ROUNDS), "pellucid")


if __name__ == "__main__":
    main()
