"""Scores of boxes, masks and keypoints against pycocotools, on made-up data with every trap, and on real truth."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage

from pellucid import open_dataset
from pellucid.data.coco.results import result_columns
from pellucid.data.defects import Defects
from pellucid.metrics.detection.evaluator import DetectionEvaluator

KINDS = {"bbox": "coco", "segm": "coco-segm", "keypoints": "coco-keypoints"}


def of_pycocotools(truth: str, results: str, kind: str) -> tuple[np.ndarray, COCOeval]:
    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO(truth)
        found = there.loadRes(results)
        for entry in found.anns.values():  # what has a mask is of the mask's size, whatever box stands beside it
            if kind == "segm":
                entry["area"] = float(coco_mask.area(entry["segmentation"]))
        judge = COCOeval(there, found, kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats, judge


def of_ours(truth: str, results: str, kind: str):
    data = open_dataset(f"coco:{truth}", as_annotated=True)
    evaluator = DetectionEvaluator(data.classes, KINDS[kind])
    evaluator.add_columns(data.columns(), result_columns(results, data, Defects()))
    return evaluator.score()


def compare(truth: str, results: str, kind: str) -> None:
    expected, judge = of_pycocotools(truth, results, kind)
    ours = of_ours(truth, results, kind)
    mine = [-1.0 if np.isnan(v) else v for v in ours.summary.values()]
    assert np.allclose(mine, expected, rtol=0, atol=1e-12), dict(
        zip(ours.summary, zip(mine, expected, strict=True), strict=True)
    )
    precision = judge.eval["precision"][:, :, :, :, -1]  # T, R, K, A
    theirs = np.where(precision[:, 0] < 0, np.nan, precision.mean(1)).transpose(2, 0, 1)
    assert np.allclose(ours.averages.precision, theirs, rtol=0, atol=1e-12, equal_nan=True)
    recall = judge.eval["recall"].transpose(2, 0, 1, 3)  # A, T, K, M
    assert np.allclose(ours.averages.recall, np.where(recall < 0, np.nan, recall), rtol=0, atol=1e-12, equal_nan=True)


def _run_lengths(mask: np.ndarray) -> dict:
    made = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": made["counts"].decode()}


def made_up(folder, seed: int, *, masks: bool = False, keypoints: bool = False, crowded: bool = False):
    """Truth and results with crowds, ties of scores and of overlaps, empty images, images without truth, small and
    large objects, boxes that repeat, more than a hundred detections."""
    rng = np.random.default_rng(seed)
    sizes = [(int(h), int(w)) for h, w in rng.integers(60, 200, (14, 2))]
    ids = rng.permutation(np.arange(1, 400))[: len(sizes)]  # not in the order of the file
    truths, results = [], []
    for place, (H, W) in enumerate(sizes):
        image = int(ids[place])
        here = []
        for _ in range(0 if place == 3 else int(rng.integers(0, 7))):
            w, h = rng.integers(2, [W // 2, H // 2]) * 1.0
            x, y = float(rng.integers(0, W - w)), float(rng.integers(0, H - h))
            label = int(rng.integers(1, 4))
            crowd = int(rng.random() < 0.2)
            entry = {"id": len(truths) + 1, "image_id": image, "category_id": label * 7, "bbox": [x, y, w, h],
                     "area": float(w * h * rng.choice([1, 0.5])), "iscrowd": crowd}  # fmt: skip
            if masks:
                mask = np.zeros((H, W), bool)
                mask[int(y) : int(y + h), int(x) : int(x + w)] = rng.random((int(h), int(w))) < 0.9
                entry["segmentation"] = _run_lengths(mask)
            if keypoints:
                points = np.concatenate((rng.uniform((x, y), (x + w, y + h), (17, 2)), rng.integers(0, 3, (17, 1))), 1)
                if rng.random() < 0.2:
                    points[:, 2] = 0
                entry["keypoints"] = points.round(2).ravel().tolist()
                entry["num_keypoints"] = int((points[:, 2] > 0).sum())
            truths.append(entry)
            here.append(entry)
        for number in range(140 if crowded and place == 0 else 0 if place == 5 else int(rng.integers(0, 14))):
            score = float(rng.choice([0.25, 0.5, 0.5, 0.75, rng.random()]))
            near = here[int(rng.integers(len(here)))] if here and rng.random() < 0.7 else None
            x, y, w, h = near["bbox"] if near else (1.0, 2.0, float(W // 3), float(H // 3))
            shift = rng.choice([0, 0, 0.5, 1, rng.normal() * 4], 4)
            box = [x + shift[0], y + shift[1], max(w + shift[2], 1.0), max(h + shift[3], 1.0)]
            label = near["category_id"] if near and rng.random() < 0.9 else int(rng.integers(1, 5)) * 7
            entry = {"image_id": image, "category_id": label, "bbox": [float(v) for v in box], "score": score}
            if crowded and number > 100:
                entry["score"] = 0.01
            if masks:
                mask = np.zeros((H, W), bool)
                top, left = max(int(box[1]), 0), max(int(box[0]), 0)
                mask[top : top + int(box[3]), left : left + int(box[2])] = True
                entry["segmentation"] = _run_lengths(mask)
            if keypoints:
                del entry["bbox"]
                base = np.array(near["keypoints"]).reshape(17, 3) if near else rng.uniform(0, 60, (17, 3))
                base[:, :2] += rng.normal(size=(17, 2)) * rng.choice([0, 1, 4])
                base[:, 2] = 1
                entry["keypoints"] = base.round(2).ravel().tolist()
            results.append(entry)
    categories = [{"id": i * 7, "name": f"c{i}"} for i in range(1, 5)]
    order = rng.permutation(len(results)).tolist()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(
        json.dumps(
            {
                "images": [
                    {"id": int(i), "file_name": f"{i}.jpg", "height": H, "width": W}
                    for i, (H, W) in zip(ids, sizes, strict=True)
                ],
                "annotations": truths,
                "categories": categories,
            }
        )
    )
    (folder / "results.json").write_text(json.dumps([results[i] for i in order]))
    return str(folder / "truth.json"), str(folder / "results.json")


@pytest.mark.parametrize("seed", range(25))
def test_boxes(tmp_path, seed):
    compare(*made_up(tmp_path, seed, crowded=seed % 5 == 0), "bbox")


@pytest.mark.parametrize("seed", range(8))
def test_masks(tmp_path, seed):
    compare(*made_up(tmp_path, seed, masks=True, crowded=seed == 0), "segm")


@pytest.mark.parametrize("seed", range(8))
def test_keypoints(tmp_path, seed):
    compare(*made_up(tmp_path, seed, keypoints=True, crowded=seed == 0), "keypoints")


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_real_truth_with_disturbed_predictions(tmp_path, kind, real_data):
    root = real_data("coco_mini")
    truth = str(root / "annotations" / "instances_val2017.json")
    data = open_dataset(f"coco:{truth}", as_annotated=True)
    columns, rng = data.columns(), np.random.default_rng(0)
    results = []
    for row, image in enumerate(columns.images.tolist()):
        for _ in range(int(rng.integers(0, 3))):
            box = columns.boxes[row] + rng.normal(size=4) * rng.choice([0, 2, 15])
            entry = {
                "image_id": columns.ids[image],
                "category_id": data.classes.source_id(int(columns.labels[row])),
                "score": float(rng.choice([0.3, 0.7, rng.random()])),
            }
            if kind == "bbox":
                entry["bbox"] = [*box[:2].tolist(), *np.maximum(box[2:], 1).tolist()]
            else:
                mask = np.roll(columns.mask(row).to_mask(), rng.integers(-4, 5, 2).tolist(), (0, 1))
                entry["segmentation"] = _run_lengths(mask)
            results.append(entry)
    (tmp_path / "results.json").write_text(json.dumps(results))
    compare(truth, str(tmp_path / "results.json"), kind)


@pytest.mark.parametrize("seed", range(4))
def test_boundaries(tmp_path, seed):
    """pycocotools, given the smaller of mask IoU and boundary IoU; crowds keep mask IoU (Cheng et al. 2021)."""
    truth, results = made_up(tmp_path, seed, masks=True)

    class Judge(COCOeval):
        def computeIoU(self, image, label):  # noqa: N802
            values = super().computeIoU(image, label)
            if len(values) == 0:
                return values
            there, found = self._gts[image, label], self._dts[image, label]
            found = [found[i] for i in np.argsort([-d["score"] for d in found], kind="mergesort")]
            bands = [[band(coco_mask.decode(one["segmentation"])) for one in side] for side in (found, there)]
            for d, mine in enumerate(bands[0]):
                for g, theirs in enumerate(bands[1]):
                    if not there[g]["iscrowd"]:
                        both, either = (mine & theirs).sum(), (mine | theirs).sum()
                        values[d, g] = min(values[d, g], both / either if either else 0)
            return values

    def band(mask: np.ndarray) -> np.ndarray:
        distance = max(1, round(0.02 * np.hypot(*mask.shape)))
        padded = np.pad(mask.astype(bool), 1)
        return mask.astype(bool) & ~ndimage.binary_erosion(padded, np.ones((3, 3)), distance)[1:-1, 1:-1]

    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO(truth)
        found = there.loadRes(results)
        for entry in found.anns.values():
            entry["area"] = float(coco_mask.area(entry["segmentation"]))
        judge = Judge(there, found, "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    data = open_dataset(f"coco:{truth}", as_annotated=True)
    evaluator = DetectionEvaluator(data.classes, "coco-boundary")
    evaluator.add_columns(data.columns(), result_columns(results, data, Defects()))
    mine = [-1.0 if np.isnan(v) else v for v in evaluator.score().summary.values()]
    assert np.allclose(mine, judge.stats, rtol=0, atol=1e-12)
