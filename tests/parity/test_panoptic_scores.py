"""Panoptic quality against hotcoco, torchmetrics, and a slow evaluator that follows the protocol's sentences."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hotcoco import panoptic as hotcoco
from numpy.typing import NDArray
from PIL import Image
from torchmetrics.functional.detection import panoptic_quality

from pellucid import open_dataset
from pellucid.metrics.panoptic import PanopticEvaluator
from pellucid.structures import Annotations, Classes, Panoptic, Segment
from pellucid.structures.panoptic import ids_to_rgb

CLASSES = Classes(tuple("abcdef"), source_ids=(7, 8, 20, 3, 92, 200), things=(True, True, True, False, False, False))

Pair = tuple[Annotations, Annotations]


def noisy_map(generator: np.random.Generator, size: tuple[int, int], crowds: bool) -> Panoptic:
    """Rectangles of all sizes over one another, on void: ids in no order."""
    ids = np.zeros(size, dtype=np.int64)
    segments = []
    for id in generator.choice(2**24 - 1, 9, replace=False) + 1:
        y, x = generator.integers(0, size[0]), generator.integers(0, size[1])
        ids[y : y + generator.integers(2, 14), x : x + generator.integers(2, 14)] = id
        segments.append(Segment(int(id), int(generator.integers(6)), bool(crowds and generator.random() < 0.25)))
    left = set(np.unique(ids).tolist())
    return Panoptic(torch.from_numpy(ids), tuple(s for s in segments if s.id in left))


def disturbed(truth: Panoptic, generator: np.random.Generator, classes: Classes, keep: float = 0.8) -> Panoptic:
    """The map moved a little, some segments joined or lost, some of another class, the void partly filled."""
    ids = np.roll(truth.ids.numpy(), generator.integers(-3, 4, 2), (0, 1))
    ids[:, : ids.shape[1] // 7] = 0
    fill = np.unique(ids)[-1]
    if fill:
        ids[(ids == 0) & (generator.random(ids.shape) < 0.6)] = fill
    segments = []
    for segment in truth.segments:
        here = ids == segment.id
        if generator.random() > keep:
            ids[here] = 0
        elif here.any():
            new = int(generator.integers(2**23, 2**24))
            label = segment.label if generator.random() < keep else int(generator.integers(len(classes)))
            ids[here] = new
            segments.append(Segment(new, label))
    return Panoptic(torch.from_numpy(ids), tuple(s for s in segments if (ids == s.id).any()))


def made_pairs(seed: int, crowds: bool = True, images: int = 40) -> list[Pair]:
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(images):
        truth = noisy_map(generator, (24, 33), crowds)
        found = disturbed(truth, generator, CLASSES)
        pairs.append((said(truth, CLASSES), said(found, CLASSES)))
    return pairs


def said(panoptic: Panoptic, classes: Classes) -> Annotations:
    return Annotations(panoptic.size, classes, panoptic=panoptic)


def ours(pairs: list[Pair], **options: bool) -> dict[str, tuple[float, int, int, int]]:
    score = evaluated(pairs, **options).score()
    return {n: (f["IoU_sum"], int(f["TP"]), int(f["FP"]), int(f["FN"])) for n, f in score.per_class.items()}


def evaluated(pairs: list[Pair], **options: bool) -> PanopticEvaluator:
    evaluator = PanopticEvaluator(pairs[0][0].classes, **options)
    for index, (truth, found) in enumerate(pairs):
        evaluator.add(f"image {index}", truth, found)
    return evaluator


def boundary_of(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """A pixel of the mask with a pixel off it, or off the image, at most ``distance`` rows and columns away."""
    wide = np.pad(mask, distance)
    H, W = mask.shape
    inside = np.ones_like(mask)
    for y in range(2 * distance + 1):
        for x in range(2 * distance + 1):
            inside &= wide[y : y + H, x : x + W]
    return mask & ~inside


def slowly(pairs: list[Pair], boundary: bool = False) -> dict[str, tuple[float, int, int, int]]:
    """Panoptic quality mask by mask, as the protocol says it in words."""
    classes = pairs[0][0].classes
    sums = {k: [0.0, 0, 0, 0] for k in range(len(classes))}
    for truth, found in pairs:
        assert truth.panoptic is not None
        assert found.panoptic is not None
        true_ids, found_ids = truth.panoptic.ids.numpy(), found.panoptic.ids.numpy()
        void = true_ids == 0
        trues = [(s, true_ids == s.id) for s in truth.panoptic.segments]
        finds = [(s, found_ids == s.id) for s in found.panoptic.segments]
        crowd = {s.label: mask for s, mask in trues if s.crowd}
        distance = max(1, round(0.02 * math.hypot(*truth.size)))
        matched: set[int] = set()
        for s, mask in trues:
            if s.crowd:
                continue
            hits = []
            for f, other in finds:
                if f.label == s.label:
                    iou = (mask & other).sum() / (mask | (other & ~void)).sum()
                    if boundary and iou > 0.5:
                        a, b = boundary_of(mask, distance), boundary_of(other, distance)
                        iou = min(iou, (a & b).sum() / (a | (b & ~void)).sum())
                    if iou > 0.5:
                        hits.append((f.id, iou))
            assert len(hits) <= 1
            if hits:
                matched.add(hits[0][0])
                sums[s.label][0] += hits[0][1]
            sums[s.label][1 if hits else 3] += 1
        for f, other in finds:
            excused = void | crowd.get(f.label, np.zeros_like(void))
            if f.id not in matched and (other & excused).sum() / other.sum() <= 0.5:
                sums[f.label][2] += 1
    return {name: (sums[k][0], *map(int, sums[k][1:])) for k, name in enumerate(classes)}  # type: ignore[return-value,misc]


def written(pairs: list[Pair], folder: Path) -> dict[str, dict]:
    """The same pairs in COCO's files, scored by hotcoco."""
    classes = pairs[0][0].classes
    categories = [
        {"id": classes.source_id(k), "name": name, "isthing": int(classes.is_thing(k))}
        for k, name in enumerate(classes)
    ]
    for which, part in enumerate(("truth", "found")):
        (folder / part).mkdir(parents=True)
        entries, images = [], []
        for index, pair in enumerate(pairs):
            panoptic = pair[which].panoptic
            assert panoptic is not None
            Image.fromarray(ids_to_rgb(panoptic.ids.numpy())).save(folder / part / f"{index}.png")
            infos = [
                {
                    "id": s.id,
                    "category_id": classes.source_id(s.label),
                    "iscrowd": int(s.crowd),
                    "area": area,
                    "bbox": [0, 0, 1, 1],
                }
                for s, area in zip(panoptic.segments, panoptic.areas().tolist(), strict=True)
            ]
            entries.append({"image_id": index, "file_name": f"{index}.png", "segments_info": infos})
            images.append(
                {"id": index, "height": panoptic.size[0], "width": panoptic.size[1], "file_name": f"{index}.jpg"}
            )
        content = {"images": images, "annotations": entries, "categories": categories}
        (folder / f"{part}.json").write_text(json.dumps(content))
    return hotcoco.pq_compute(folder / "truth.json", folder / "found.json", folder / "truth", folder / "found")


def known(value: float) -> float:
    """A figure as hotcoco has it: −1 where it is undefined."""
    return -1.0 if math.isnan(value) else value


def assert_like_hotcoco(pairs: list[Pair], folder: Path) -> None:
    theirs = written(pairs, folder)
    mine = evaluated(pairs).score()
    for suffix, group in (("", "All"), ("_things", "Things"), ("_stuff", "Stuff")):
        for quality in ("PQ", "SQ", "RQ"):
            assert known(mine.summary[quality + suffix]) == pytest.approx(theirs[group][quality.lower()], abs=1e-12)
    classes = pairs[0][0].classes
    for k, name in enumerate(classes):
        for quality in ("PQ", "SQ", "RQ"):
            other = theirs["per_class"][classes.source_id(k)][quality.lower()]
            assert known(mine.per_class[name][quality]) == pytest.approx(other, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("boundary", [False, True])
def test_the_slow_evaluator_finds_the_same(seed: int, boundary: bool) -> None:
    pairs = made_pairs(seed, images=25)
    mine, theirs = ours(pairs, boundary=boundary), slowly(pairs, boundary)
    assert sum(counts[1] for counts in mine.values()) > (3 if boundary else 10)
    assert all(counts[2] and counts[3] for counts in mine.values())
    for name in CLASSES:
        assert mine[name][1:] == theirs[name][1:]
        assert mine[name][0] == pytest.approx(theirs[name][0], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_hotcoco_finds_the_same(seed: int, tmp_path: Path) -> None:
    assert_like_hotcoco(made_pairs(10 + seed), tmp_path)


def test_the_last_crowd_of_a_class_counts_in_hotcoco_too(tmp_path: Path) -> None:
    ids = torch.tensor([[9, 9, 3, 3, 5, 5], [9, 9, 3, 3, 5, 5]])
    true = Panoptic(ids, (Segment(9, 0, crowd=True), Segment(3, 0, crowd=True), Segment(5, 1)))
    found = Panoptic(ids, (Segment(9, 0), Segment(3, 0), Segment(5, 1)))
    pairs = [(said(true, CLASSES), said(found, CLASSES))]
    assert ours(pairs)["a"] == (0.0, 0, 1, 0)
    assert_like_hotcoco(pairs, tmp_path)


@pytest.mark.parametrize("shared", [1, 2, 3])
def test_ties_at_a_half_in_hotcoco_too(shared: int, tmp_path: Path) -> None:
    true = Panoptic(torch.tensor([[1, 1, 1, 1, 2, 2]]), (Segment(1, 0), Segment(2, 3)))
    ids = torch.tensor([[1] * shared + [0] * (4 - shared) + [2, 2]])
    found = Panoptic(ids, (Segment(1, 0), Segment(2, 3)))
    pairs = [(said(true, CLASSES), said(found, CLASSES))]
    assert ours(pairs)["a"][1] == (shared == 3)
    assert_like_hotcoco(pairs, tmp_path)


def test_torchmetrics_finds_the_same_where_its_rules_are_the_same() -> None:
    """Without crowds, stuff in one segment a class (it knows no others), and no void in the predictions.

    It takes truth on predicted void off the union and the misses, unlike the reference, and divides in float32.
    """
    generator = np.random.default_rng(5)
    pairs, true_stack, found_stack = [], [], []
    for pair in made_pairs(20, crowds=False, images=30):
        merged = []
        for annotations, stack in zip(pair, (true_stack, found_stack), strict=True):
            assert annotations.panoptic is not None
            ids = annotations.panoptic.ids
            coded = torch.full((*annotations.size, 2), 0)
            coded[..., 0] = 99 if stack is true_stack else 5
            for s in annotations.panoptic.segments:
                coded[ids == s.id] = torch.tensor([s.label, s.id if CLASSES.is_thing(s.label) else 0])
            stack.append(coded)
            flat = coded[..., 0] * 2**24 + coded[..., 1]
            flat[coded[..., 0] == 99] = -1
            values = [v for v in flat.unique().tolist() if v >= 0]
            ids_of = dict(zip(values, generator.permutation(len(values)) + 1, strict=True))
            ids = torch.zeros_like(flat)
            for value, id in ids_of.items():
                ids[flat == value] = int(id)
            segments = tuple(Segment(int(id), value // 2**24) for value, id in ids_of.items())
            merged.append(said(Panoptic(ids, segments), CLASSES))
        pairs.append((merged[0], merged[1]))
    theirs = panoptic_quality(
        torch.stack(found_stack),
        torch.stack(true_stack),
        {0, 1, 2},
        {3, 4, 5},
        allow_unknown_preds_category=True,
        return_sq_and_rq=True,
        return_per_class=True,
    )
    mine = evaluated(pairs).score().per_class
    for k, name in enumerate(CLASSES):
        assert [mine[name][q] for q in ("PQ", "SQ", "RQ")] == pytest.approx(theirs[k].tolist(), abs=1e-7)


def test_real_maps_against_a_disturbed_copy(real_data, tmp_path: Path) -> None:
    data = open_dataset(f"panoptic:{real_data('panoptic_sample') / 'panoptic_examples.json'}")
    generator = np.random.default_rng(3)
    pairs = []
    for sample in data:
        truth = sample.annotations
        assert truth.panoptic is not None
        pairs.append((truth, said(disturbed(truth.panoptic, generator, data.classes), data.classes)))
    assert len(pairs) == 2
    mine, theirs = ours(pairs), slowly(pairs)
    assert mine == {name: (pytest.approx(iou, abs=1e-12), *counts) for name, (iou, *counts) in theirs.items()}
    assert evaluated(pairs).score().reservations == {}
    assert sum(counts[1] for counts in mine.values()) > 15
    assert_like_hotcoco(pairs, tmp_path)
    itself = evaluated([(truth, truth) for truth, _ in pairs]).score()
    assert itself.summary["PQ"] == 1.0
