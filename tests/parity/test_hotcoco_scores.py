"""LVIS and Open Images against hotcoco, on made-up data."""

import contextlib
import io
import json
from dataclasses import replace

import hotcoco
import numpy as np
import pytest

from pellucid import open_dataset
from pellucid.data import read_predictions
from pellucid.metrics import evaluate
from pellucid.metrics.detection.protocols import OPEN_IMAGES


def made_up(folder, seed: int, *, lvis: bool):
    rng = np.random.default_rng(seed)
    K = 7
    images, truths, results = [], [], []
    for image in range(1, 21):
        present = rng.integers(1, K + 1, 3)
        rest = np.setdiff1d(np.arange(1, K + 1), present)
        negative = rng.choice(rest, min(2, len(rest)), replace=False)
        entry = {"id": image, "file_name": f"{image}.jpg", "height": 300, "width": 400}
        if lvis:
            entry["neg_category_ids"] = negative.tolist()
            entry["not_exhaustive_category_ids"] = [int(present[0])] if rng.random() < 0.5 else []
        images.append(entry)
        for _ in range(int(rng.integers(0, 8))):
            w, h = np.exp(rng.uniform(np.log(8), np.log(200), 2))
            x, y = rng.uniform(0, 400 - w), rng.uniform(0, 300 - h)
            truths.append({"id": len(truths) + 1, "image_id": image, "category_id": int(rng.choice(present)),
                           "bbox": [round(float(v), 1) for v in (x, y, w, h)], "area": float(w * h),
                           "iscrowd": 0, "is_group_of": bool(rng.random() < 0.25)})  # fmt: skip
            if not lvis:
                truths[-1]["group_of"] = int(truths[-1]["is_group_of"])
        here = [t for t in truths if t["image_id"] == image]
        for _ in range(int(rng.integers(0, 340 if lvis and image == 3 else 25))):
            near = here[int(rng.integers(len(here)))] if here and rng.random() < 0.7 else None
            box = np.array(near["bbox"] if near else [20.0, 30, 60, 40])
            box += rng.normal(size=4) * rng.choice([0.5, 5, 20])
            if near and near["is_group_of"] and rng.random() < 0.5:  # a part of the group
                box = np.array(near["bbox"]) * [1, 1, 0.5, 0.5] + [1, 1, 0, 0]
            box[2:] = np.maximum(box[2:], 1)
            label = near["category_id"] if near and rng.random() < 0.85 else int(rng.integers(1, K + 1))
            score = float(np.round(rng.random(), 4 if lvis else 9))
            results.append(
                {"image_id": image, "category_id": label, "bbox": [round(float(v), 1) for v in box], "score": score}
            )
    categories = [{"id": k, "name": f"c{k}", "frequency": "rcf"[k % 3]} for k in range(1, K + 1)]
    if not lvis:
        categories = [{"id": k, "name": f"c{k}"} for k in range(1, K + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.json").write_text(json.dumps({"images": images, "annotations": truths, "categories": categories}))
    (folder / "results.json").write_text(json.dumps(results))
    return str(folder / "truth.json"), str(folder / "results.json")


def ours(truth: str, results: str, protocol):
    data = open_dataset(f"coco:{truth}", as_annotated=True)
    return evaluate(data, read_predictions(results, data), protocol)


def theirs(truth: str, results: str, **style):
    with contextlib.redirect_stdout(io.StringIO()):
        there = hotcoco.COCO(truth)
        judge = hotcoco.COCOeval(there, there.load_res(results), "bbox", **style)
        judge.run()
    return judge


@pytest.mark.parametrize("seed", range(8))
def test_lvis(tmp_path, seed):
    paths = made_up(tmp_path, seed, lvis=True)
    expected = theirs(*paths, lvis_style=True).get_results()
    summary = ours(*paths, "lvis").summary
    names = {"AP": "AP", "AP50": "AP50", "AP75": "AP75", "APs": "AP_small", "APm": "AP_medium", "APl": "AP_large",
             "APr": "AP_rare", "APc": "AP_common", "APf": "AP_frequent", "AR@300": "AR300", "ARs@300": "AR_small",
             "ARm@300": "AR_medium", "ARl@300": "AR_large"}  # fmt: skip
    assert set(expected) == set(names)
    for theirs_name, name in names.items():
        assert summary[name] == pytest.approx(expected[theirs_name], abs=1e-12), name


@pytest.mark.filterwarnings("ignore:hotcoco")
@pytest.mark.parametrize("hierarchy", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_open_images(tmp_path, seed, hierarchy):
    """But for the rule of verified labels, which hotcoco does not have."""
    paths = made_up(tmp_path, seed, lvis=False)
    rules = replace(OPEN_IMAGES, verified=False)
    data = open_dataset(f"coco:{paths[0]}", as_annotated=True)
    style = {}
    if hierarchy:
        above = {0: (5,), 1: (5,), 2: (6,), 5: (6,)}  # by index; ids are one more
        data.records.classes = data.classes = replace(
            data.classes, parents=tuple(above.get(k, ()) for k in range(len(data.classes)))
        )
        style = {"hierarchy": hotcoco.Hierarchy.from_parent_map({k + 1: p[0] + 1 for k, p in above.items()})}
    judge = theirs(*paths, oid_style=True, **style)
    score = evaluate(data, read_predictions(paths[1], data), rules)
    assert score.summary["mAP"] == pytest.approx(judge.get_results()["AP"], abs=1e-12)
    assert (score.matches.states == 2).any()
