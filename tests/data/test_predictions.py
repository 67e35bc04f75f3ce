"""Predictions in every format, beside the data set they are of."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.data import convert, open_dataset, read_predictions
from pellucid.data.coco.results import write_results
from pellucid.data.voc.results import write_results as write_voc
from pellucid.errors import PellucidError
from pellucid.metrics import evaluate

from .conftest import photo


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """The same twelve scenes in several formats."""
    root = tmp_path_factory.mktemp("scenes")
    for target in ("coco", "voc", "yolo", "openimages", "imagenet", "panoptic", "masks"):
        convert("scenes:n=12,size=96,seed=3", f"{target}:{root / target}")
    return root


def scored(data):
    """What is said of each image, with scores that differ."""
    generator = torch.Generator().manual_seed(0)
    said = [sample.annotations for sample in data]
    for one in said:
        one.instances.scores = torch.rand(len(one.instances), generator=generator)
    return said


def test_coco_results(scenes, tmp_path):
    data = open_dataset(f"coco:{scenes / 'coco'}", as_annotated=True)
    found = read_predictions(write_results(scored(data), data, tmp_path / "results.json"), data)
    assert len(found) == len(data) == 12
    assert evaluate(data, found, "coco").summary["AP"] == pytest.approx(1)
    assert evaluate(data, found, "coco-segm").summary["AP"] == pytest.approx(1)
    assert found[3].size == data.size(3)
    assert found[-1].instances.labels.tolist() == data[11].annotations.instances.labels.tolist()


@pytest.mark.parametrize("spec", ["scenes:n=12,size=96,seed=3", "voc", "yolo"])
def test_coco_results_of_data_without_category_ids(scenes, tmp_path, spec):
    data = open_dataset(spec if ":" in spec else f"{spec}:{scenes / spec}")
    found = read_predictions(write_results(scored(data), data, tmp_path / "results.json"), data)
    assert evaluate(data, found, "coco").summary["AP"] == pytest.approx(1)
    entries = json.loads((tmp_path / "results.json").read_text())
    assert min(entry["category_id"] for entry in entries) == 1


def test_voc_results(scenes, tmp_path):
    data = open_dataset(f"voc:{scenes / 'voc'}", as_annotated=True)
    write_voc(scored(data), data, tmp_path / "results")
    for spec in (tmp_path / "results", f"voc:{tmp_path / 'results'}"):
        assert evaluate(data, read_predictions(spec, data), "voc2012").summary["mAP"] == pytest.approx(1)


@pytest.mark.parametrize("folder", ["preds", "preds/labels"])
def test_label_files_of_yolo_without_images(scenes, tmp_path, folder):
    data = open_dataset(f"coco:{scenes / 'coco'}", as_annotated=True)
    where = tmp_path / folder
    where.mkdir(parents=True)
    for index, sample in enumerate(data):
        H, W = data.size(index)
        lines = []
        objects = sample.annotations.instances
        for label, (x1, y1, x2, y2) in zip(objects.labels.tolist(), objects.boxes.double().tolist(), strict=True):
            lines.append(f"{label} {(x1 + x2) / 2 / W} {(y1 + y2) / 2 / H} {(x2 - x1) / W} {(y2 - y1) / H} 0.5")
        (where / sample.name).with_suffix(".txt").write_text("\n".join(lines))
    for spec in (tmp_path / "preds", f"yolo:{tmp_path / 'preds'}"):
        score = evaluate(data, read_predictions(spec, data))
        assert score.summary["AP75"] == pytest.approx(1)
        assert score.findings.count("detections without a score: each gets 1") == 0
    (where / "other.txt").write_text("0 0.5 0.5 0.1 0.1 0.9")
    with pytest.raises(PellucidError, match=r"1 predictions are of images that .* such as other.txt"):
        read_predictions(tmp_path / "preds", data)


@pytest.mark.parametrize("format", ["coco", "voc", "yolo", "openimages", "imagenet"])
def test_any_data_set_of_the_same_images(scenes, format):
    data = open_dataset(f"coco:{scenes / 'coco'}", as_annotated=True)
    found = read_predictions(f"{format}:{scenes / format}", data)
    score = evaluate(data, found, "coco")
    assert score.summary["AP50"] == pytest.approx(1)
    assert score.findings.count("detections without a score: each gets 1") > 0
    assert evaluate(data, found, "voc2012").per_class.keys() == score.per_class.keys()


def test_maps(scenes):
    panoptic = open_dataset(f"panoptic:{scenes / 'panoptic'}", as_annotated=True)
    found = read_predictions(f"panoptic:{scenes / 'panoptic'}", panoptic)
    assert evaluate(panoptic, found, "panoptic").summary["PQ"] == 1
    assert evaluate(panoptic, found, "semantic").summary["mIoU"] == 1
    masks = open_dataset(f"masks:{scenes / 'masks'}", as_annotated=True)
    assert evaluate(masks, read_predictions(f"masks:{scenes / 'masks'}", masks), "semantic").summary["mIoU"] == 1
    assert evaluate(masks, read_predictions(f"panoptic:{scenes / 'panoptic'}", masks), "semantic").summary["mIoU"] == 1


def test_tables(scenes, tmp_path):
    data = open_dataset(f"openimages:{scenes / 'openimages'}", as_annotated=True)
    rows, strings = ["ImageID,LabelName,Score,XMin,XMax,YMin,YMax"], ["ImageId,PredictionString"]
    for index, sample in enumerate(data):
        H, W = data.size(index)
        stem, words = sample.name.rsplit(".", 1)[0], []
        objects = sample.annotations.instances
        for label, (x1, y1, x2, y2) in zip(objects.labels.tolist(), objects.boxes.double().tolist(), strict=True):
            mid = data.classes.source_id(label)
            rows.append(f"{stem},{mid},0.5,{x1 / W},{x2 / W},{y1 / H},{y2 / H}")
            words.append(f"{mid} 0.5 {x1 / W} {y1 / H} {x2 / W} {y2 / H}")
        strings.append(f"{stem},{' '.join(words)}")
    for name, lines in (("rows.csv", rows), ("strings.csv", strings)):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        score = evaluate(data, read_predictions(tmp_path / name, data), "openimages")
        assert score.summary["mAP"] == pytest.approx(1), name


def test_guesses_of_imagenet(scenes, tmp_path):
    data = open_dataset(f"imagenet:{scenes / 'imagenet'}", as_annotated=True)
    some = data.subset(i for i in range(len(data)) if len(set(data[i].annotations.instances.labels.tolist())) == 1)
    lines = ["ImageId,PredictionString"]
    for sample in some:
        objects = sample.annotations.instances
        x1, y1, x2, y2 = objects.boxes[0].tolist()
        wnid = data.classes.source_id(int(objects.labels[0]))
        lines.append(
            f"{sample.name.rsplit('.', 1)[0].split('/')[-1]},{wnid} {x1:.0f} {y1:.0f} {x2 - 1:.0f} {y2 - 1:.0f}"
        )
    (tmp_path / "guesses.csv").write_text("\n".join(lines))
    if len(some):
        score = evaluate(some, read_predictions(tmp_path / "guesses.csv", some), "ilsvrc-loc")
        assert score.summary["localization_error_top5"] == 0


def test_probabilities_in_grey(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        photo(tmp_path / "set" / "images" / f"{name}.png", (20, 30))
        cells = rng.random((20, 30)) < 0.7
        (tmp_path / "set" / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.where(cells, 255, 0).astype(np.uint8)).save(tmp_path / "set" / "masks" / f"{name}.png")
        (tmp_path / "grey").mkdir(exist_ok=True)
        Image.fromarray(np.where(cells, 51, 10).astype(np.uint8)).save(tmp_path / "grey" / f"{name}.png")
    data = open_dataset(f"masks:{tmp_path / 'set'}", as_annotated=True)
    found = read_predictions(f"probabilities:{tmp_path / 'grey'}", data)
    assert sorted(found[0].semantic_probabilities[1].unique().tolist()) == [10 / 255, 51 / 255]
    score = evaluate(data, found, "isbi", warping=False, thinned=False)
    assert score.summary["pixel_error"] == 0  # 51 / 255 is above 0.1, and not above 0.2
    assert score.summary["best_threshold"] == pytest.approx(0.1)
    Image.fromarray(rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)).save(tmp_path / "grey" / "a.png")
    with pytest.raises(PellucidError, match=r"a\.png: is in colour"):
        found[0]
    with pytest.raises(PellucidError, match="no image is called as one of the truth's"):
        read_predictions(f"probabilities:{tmp_path}", data)


def entry(**change):
    return {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5} | change


@pytest.fixture
def two(tmp_path):
    """A data set of two images and two classes, without pixels."""
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 50, "width": 60} for i in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return open_dataset(f"coco:{tmp_path / 'truth.json'}", as_annotated=True)


def results(tmp_path, entries, name="results.json"):
    path = tmp_path / name
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_unknown_images_stop_and_unknown_classes_are_dropped(two, tmp_path):
    path = results(tmp_path, [entry(), entry(image_id=7), entry(image_id=8), entry(category_id=9)])
    with pytest.raises(PellucidError, match=r"2 predictions are of images that .* does not have, such as entry 1"):
        read_predictions(path, two)
    found = read_predictions(path, two, drop_unknown=True)
    assert found.defects.count("unknown class") == 1
    assert evaluate(two, found).summary["AP"] == pytest.approx(1)
    assert found.missing == ["2.jpg"]


def test_what_is_no_number_is_dropped_and_told(two, tmp_path):
    text = json.dumps([entry(), entry(bbox=[1, 2, 3]), entry(bbox=[0, 0, -4, 3]), entry(score="high")])
    path = results(tmp_path, text[:-1] + ', {"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": NaN}, 5]')
    found = read_predictions(path, two)
    assert found.defects.count("malformed") == 1
    score = evaluate(two, found)
    told = score.findings
    assert told.count("detections with a score that is no number") == 2
    assert told.count("detections with a box that is no four numbers") == 1
    assert told.count("detections with a box of negative size") == 1
    assert "1.jpg, entry 3" in "\n".join(told.lines())
    assert score.summary["AP"] == pytest.approx(1)


def test_masks_of_the_wrong_size_are_told(tmp_path):
    mask = {"size": [50, 60], "counts": [0, 5, 2995]}
    wrong = {"size": [60, 50], "counts": [0, 5, 2995]}
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 50, "width": 60}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 5], "area": 5, "iscrowd": 0,
                         "segmentation": mask}],
    }  # fmt: skip
    (tmp_path / "truth.json").write_text(json.dumps(content))
    data = open_dataset(f"coco:{tmp_path / 'truth.json'}", as_annotated=True)
    path = results(tmp_path, [entry(segmentation=mask), entry(segmentation=wrong), entry(segmentation=[])])
    score = evaluate(data, read_predictions(path, data), "coco-segm")
    assert score.findings.count("detections with a mask that cannot be read") == 2
    assert "run lengths are of size [60, 50]" in "\n".join(score.findings.lines())
    assert score.summary["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: p / "nothing.json", "no such file"),
        (lambda p: results(p, "[1, 2"), "cut short"),
        (lambda p: results(p, '{"a": 1}'), 'has no "images"'),
        (lambda p: results(p, "name,score\na,1\n", "table.csv"), "no column 'ImageID'"),
        (lambda p: results(p, "ImageID,LabelName\na,1\n", "rows.csv"), "no column PredictionString, Score"),
        (lambda p: results(p, "", "empty.csv"), "is empty|no column"),
        (lambda p: p, "several|no data set|holds"),
    ],
)
def test_what_holds_no_predictions_is_said_in_one_line(two, tmp_path, make, what):
    folder = tmp_path / "other"
    folder.mkdir()
    with pytest.raises(PellucidError, match=what) as caught:
        read_predictions(make(folder), two)
    assert "\n" not in str(caught.value)


def test_no_predictions_at_all(two, tmp_path):
    score = evaluate(two, read_predictions(results(tmp_path, []), two))
    assert score.summary["AP"] == 0
    assert "not one detection" in "\n".join(score.findings.lines())


def test_classes_of_other_names(two, tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 50, "width": 60}],
        "categories": [{"id": 5, "name": "zebra"}],
        "annotations": [],
    }
    (tmp_path / "other.json").write_text(json.dumps(content))
    with pytest.raises(PellucidError, match="no name is in both"):
        read_predictions(f"coco:{tmp_path / 'other.json'}", two)
