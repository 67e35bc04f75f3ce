"""COCO's JSON: as pycocotools reads it, both ways of parsing alike, every defect noted, written so that it reads."""

import contextlib
import io
import json
import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from pellucid import PellucidError, open_dataset
from pellucid.data import DataWarning
from pellucid.data.coco.parsing import _Patient, parse, parse_json
from pellucid.data.coco.results import read_results, write_results
from pellucid.data.converting import convert
from pellucid.data.defects import Defects

from .conftest import photo, real


def small() -> dict:
    """Two images, two categories, three objects: a polygon, run lengths, and one with keypoints."""
    return {
        "images": [
            {"id": 7, "file_name": "a.jpg", "height": 60, "width": 80},
            {"id": 3, "file_name": "b.jpg", "height": 40, "width": 50},
        ],
        "categories": [
            {"id": 18, "name": "dog", "keypoints": ["left_eye", "right_eye"], "skeleton": [[1, 2]]},
            {"id": 2, "name": "cat"},
        ],
        "annotations": [
            {"id": 11, "image_id": 3, "category_id": 2, "bbox": [5, 6, 10, 20], "area": 200, "iscrowd": 0,
             "segmentation": [[5, 6, 15, 6, 15, 26, 5, 26]]},
            {"id": 12, "image_id": 7, "category_id": 18, "bbox": [0.5, 1.25, 20, 10], "area": 111.5, "iscrowd": 0,
             "segmentation": [], "keypoints": [3, 4, 2, 9, 9, 1]},
            {"id": 13, "image_id": 7, "category_id": 2, "bbox": [0, 0, 2, 60], "area": 120, "iscrowd": 1,
             "segmentation": {"counts": [0, 120, 4680], "size": [60, 80]}},
        ],
    }  # fmt: skip


def write(folder, content, name="annotations/instances_val2017.json"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def opened(folder, content, **options):
    path = write(folder, content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return open_dataset(f"coco:{path}", **options)


def test_what_is_read(tmp_path):
    photo(tmp_path / "val2017" / "a.jpg", (60, 80))
    photo(tmp_path / "val2017" / "b.jpg", (40, 50))
    write(tmp_path, small())
    data = open_dataset(tmp_path, "val")
    assert (data.format, data.split, data.names) == ("coco", "val2017", ["a.jpg", "b.jpg"])
    assert data.holds == {"boxes", "masks", "keypoints"}
    assert data.classes.names == ("dog", "cat")
    assert data.classes.source_ids == (18, 2)
    assert data.classes.keypoints[0].names == ("left_eye", "right_eye")
    assert data.classes.keypoints[0].skeleton == ((0, 1),)
    first, second = data
    assert (first.id, second.id) == (7, 3)
    assert first.image.shape == (3, 60, 80)
    objects = first.annotations.instances
    assert objects.boxes.tolist() == [[0.5, 1.25, 20.5, 11.25], [0, 0, 2, 60]]
    assert objects.labels.tolist() == [0, 1]
    assert objects.crowd.tolist() == [False, True]
    assert objects.areas.tolist() == [111.5, 120]
    assert objects.ids.tolist() == [12, 13]
    assert objects.keypoints.tolist() == [[[3, 4, 2], [9, 9, 1]], [[0, 0, 0], [0, 0, 0]]]
    assert objects.masks.to_bool().sum((1, 2)).tolist() == [0, 120]
    assert second.annotations.instances.masks.to_bool()[0, 6:26, 5:15].all()
    assert len(data.defects) == 0


def test_real_files_as_pycocotools_reads_them():
    root = real("coco_mini")
    data = open_dataset(root, "val")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(root / "annotations" / "instances_val2017.json"))
    assert len(data) == 151
    count = 0
    for sample in data:
        objects = sample.annotations.instances
        entries = theirs.imgToAnns[sample.id]
        count += len(entries)
        assert objects.ids.tolist() == [e["id"] for e in entries]
        boxes = torch.tensor([e["bbox"] for e in entries], dtype=torch.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        assert torch.allclose(objects.boxes.double(), boxes, atol=1e-4)
        assert [data.classes.source_ids[i] for i in objects.labels.tolist()] == [e["category_id"] for e in entries]
        assert objects.crowd.tolist() == [bool(e["iscrowd"]) for e in entries]
        for mask, entry in zip(objects.masks.to_bool(), entries, strict=True):
            assert np.array_equal(mask.numpy(), theirs.annToMask(entry).astype(bool))
    assert count == 1321


def test_both_ways_of_parsing_agree(tmp_path):
    for content in (small(), None):
        path = write(tmp_path, content) if content else real("coco_mini") / "annotations" / "instances_val2017.json"
        fast = parse(path, Defects())
        patient = _Patient(path, Defects()).columns(parse_json(path, path.read_bytes()))
        assert fast.image_ids == patient.image_ids
        assert fast.file_names == patient.file_names
        assert np.array_equal(fast.sizes, patient.sizes)
        assert [(c.id, c.name, c.keypoints, c.skeleton) for c in fast.categories] == [
            (c.id, c.name, c.keypoints, c.skeleton) for c in patient.categories
        ]
        for name in ("ids", "of_image", "of_category", "boxes", "areas", "flags"):
            assert np.array_equal(getattr(fast, name), np.array(getattr(patient, name)), equal_nan=True)
        starts = np.concatenate(([0], fast.ends))
        others = np.concatenate(([0], patient.ends))
        for row in range(len(fast.ends)):
            ours = json.loads(fast.texts[starts[row] : starts[row + 1]])
            assert ours == json.loads(patient.texts[others[row] : others[row + 1]])


def changed(change):
    content = small()
    change(content)
    return content


DEFECTS = [
    ("unknown image", "annotation 11", lambda c: c["annotations"][0].update(image_id=99)),
    ("unknown class", "annotation 11", lambda c: c["annotations"][0].update(category_id=5)),
    ("duplicate id", "annotation 11", lambda c: c["annotations"][1].update(id=11)),
    ("duplicate id", "image 7", lambda c: c["images"][1].update(id=7)),
    ("duplicate image", "image 3", lambda c: c["images"][1].update(file_name="a.jpg")),
    ("duplicate id", "category 18", lambda c: c["categories"][1].update(id=18)),
    ("outside folder", "image 7", lambda c: c["images"][0].update(file_name="../../etc/passwd")),
    ("outside folder", "image 7", lambda c: c["images"][0].update(file_name="/etc/passwd")),
    ("outside folder", "image 7", lambda c: c["images"][0].update(file_name="C:\\secret.jpg")),
    ("missing key", "images[0]", lambda c: c["images"][0].pop("id")),
    ("missing key", "images[0]", lambda c: c["images"][0].pop("file_name")),
    ("malformed", "images[0]", lambda c: c["images"][0].update(width=-80)),
    ("malformed", "images[0]", lambda c: c["images"][0].update(width="wide")),
    ("malformed", "images[0]", lambda c: c["images"][0].update(width=2**31 - 1, height=2**31 - 1)),
    ("malformed", "images[1]", lambda c: c["images"].insert(1, 5)),
    ("missing key", "annotations[0]", lambda c: c["annotations"][0].pop("image_id")),
    ("missing key", "annotations[1]", lambda c: c["annotations"][1].pop("bbox")),
    ("malformed", "annotations[1]", lambda c: c["annotations"][1].update(bbox=[1, 2, 3])),
    ("not a number", "annotation 12", lambda c: c["annotations"][1].update(bbox=[1, 2, "x", 4])),
    ("not a number", "annotation 12", lambda c: c["annotations"][1].update(bbox=[1, float("nan"), 3, 4])),
    ("not a number", "annotation 12", lambda c: c["annotations"][1].update(bbox=[1, float("inf"), 3, 4])),
    ("not a number", "annotation 12", lambda c: c["annotations"][1].update(bbox=[1, 10**400, 3, 4])),
    ("negative size", "annotation 12", lambda c: c["annotations"][1].update(bbox=[1, 2, -3, 4])),
    ("zero area", "annotation 12", lambda c: c["annotations"][1].update(bbox=[1, 2, 0, 4])),
    ("box outside", "annotation 12", lambda c: c["annotations"][1].update(bbox=[70, 2, 20, 4])),
    ("box off image", "annotation 12", lambda c: c["annotations"][1].update(bbox=[90, 2, 20, 4])),
    ("bad keypoints", "annotation 12", lambda c: c["annotations"][1].update(keypoints=[1, 2])),
    ("bad keypoints", "annotation 12", lambda c: c["annotations"][1].update(keypoints=[1, 2, 7, 1, 1, 1])),
    ("missing key", '"annotations"', lambda c: c.pop("annotations")),
    ("missing key", '"categories"', lambda c: c.update(categories={})),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "item", "change"), DEFECTS)
def test_every_defect_is_noted_with_its_item(tmp_path, kind, item, change):
    content = changed(change)
    data = opened(tmp_path, content)
    found = data.defects.of(kind)
    assert found, data.defects.summary()
    assert any(item in defect.item for defect in found)
    assert all(defect.file.endswith("instances_val2017.json") for defect in found)
    for sample in data:
        assert torch.isfinite(sample.annotations.instances.boxes).all()
    with pytest.raises(PellucidError, match=r"instances_val2017.json: .*; "):
        opened(tmp_path, content, strict=True)


def test_boxes_beyond_the_image_are_clipped_and_warned_of_once(tmp_path):
    path = write(tmp_path, changed(lambda c: c["annotations"][1].update(bbox=[70, 2, 20, 4])))
    with pytest.warns(DataWarning, match=r"1 box beyond the image \(clipped\)") as told:
        data = open_dataset(f"coco:{path}")
    assert len(told) == 1
    assert data[0].annotations.instances.boxes[0].tolist() == [70, 2, 80, 6]


def test_ids_may_be_text(tmp_path):
    content = small()
    for image in content["images"]:
        image["id"] = f"img-{image['id']}"
    for entry in content["annotations"]:
        entry["image_id"] = f"img-{entry['image_id']}"
        entry["category_id"] = str(entry["category_id"])
    data = opened(tmp_path, content)
    assert len(data.defects) == 0
    assert data[0].id == "img-7"
    assert data[0].annotations.instances.labels.tolist() == [0, 1]


def test_broken_masks_leave_the_object(tmp_path):
    for broken in (
        {"counts": [5, 5], "size": [60, 80]},
        {"counts": "~~~", "size": [60, 80]},
        {"counts": [0, 4800], "size": [61, 80]},
        [[1, 2, 3]],
        "text",
        7,
        [[1, 2, 3, 4, 5, 1e300]],
    ):
        data = opened(tmp_path, changed(lambda c, b=broken: c["annotations"][2].update(segmentation=b)))
        objects = data[0].annotations.instances
        assert len(objects) == 2
        assert objects.masks.areas().tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"images": [', "cut short"),
        ('{"images": [}, "annotations": []}', "damaged"),
        ("", "cut short"),
        ("[" * 100_000, "nested too deeply"),
        ("\x01\x02 and more", "damaged"),
        ("[]", "is a list, as results are"),
        ('{"annotations": []}', 'has no "images"'),
        ("5", 'has no "images"'),
        ('{"images": [], "annotations": [], "categories": [' + "9" * 5000 + "]}", "no JSON text"),
    ],
)
def test_what_is_no_data_set_is_said(tmp_path, text, what):
    with pytest.raises(PellucidError, match=what) as caught:
        opened(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_very_many_annotations_of_one_image(tmp_path):
    content = small()
    one = json.dumps(content["annotations"][0])
    entries = content.pop("annotations")
    text = json.dumps(content)[:-1] + ', "annotations": [' + ",".join([one] * 200_000) + "]}"
    data = opened(tmp_path, text)
    assert len(data[1].annotations.instances) == 200_000
    assert data.defects.count("duplicate id") == 199_999
    assert len(data.defects.found) <= 2000
    assert entries


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_files_give_records_or_one_line(tmp_path, data):
    text = bytearray(json.dumps(small()).encode())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(text) - 1))
        kind = data.draw(st.sampled_from(("cut", "byte", "insert", "drop")))
        if kind == "cut":
            del text[at:]
            text = text or bytearray(b" ")
        elif kind == "byte":
            text[at] = data.draw(st.integers(0, 255))
        elif kind == "insert":
            pieces = (b"null", b"-1", b"1e999", b"NaN", b'"', b"[]", b"{}", b"\xff", b"0")
            text[at:at] = data.draw(st.sampled_from(pieces))
        else:
            del text[at : at + data.draw(st.integers(1, 30))]
            text = text or bytearray(b" ")
    path = tmp_path / "fuzz.json"
    path.write_bytes(bytes(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        with contextlib.suppress(PellucidError):
            for sample in open_dataset(f"coco:{path}"):
                assert sample.annotations.instances is not None


def test_written_files_open_in_pycocotools(tmp_path):
    convert("scenes:n=8,seed=3,size=96", f"coco:{tmp_path / 'out'}")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
    truth = open_dataset("scenes:n=8,seed=3,size=96")
    for sample, (_, image) in zip(truth, sorted(theirs.imgs.items()), strict=True):
        entries = theirs.imgToAnns[image["id"]]
        objects = sample.annotations.instances
        assert (image["height"], image["width"]) == sample.annotations.size
        assert len(entries) == len(objects)
        for mask, entry in zip(objects.masks.to_bool(), entries, strict=True):
            assert np.array_equal(theirs.annToMask(entry).astype(bool), mask.numpy())
            assert entry["num_keypoints"] == sum(v > 0 for v in entry["keypoints"][2::3])
    assert theirs.getCatIds()[0] == 1


def test_results_there_and_back(tmp_path):
    root = real("coco_mini")
    data = open_dataset(root, "val")[:20]
    predictions = [sample.annotations for sample in data]
    for said in predictions:
        said.instances.scores = torch.linspace(1, 0.5, len(said.instances))
    path = write_results(predictions, data, tmp_path / "results.json")
    back = read_results(path, data)
    for a, b in zip(predictions, back, strict=True):
        assert torch.allclose(a.instances.boxes, b.instances.boxes, atol=1e-3)
        assert torch.allclose(a.instances.scores, b.instances.scores)
        assert torch.equal(a.instances.labels, b.instances.labels)
        if len(a.instances):
            assert torch.equal(a.instances.masks.to_bool(), b.instances.masks.to_bool())
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(root / "annotations" / "instances_val2017.json")).loadRes(str(path))
    assert len(loaded.anns) == sum(len(said.instances) for said in predictions)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"image_id": 5}, "entry 0: image_id 5 is not in"),
        ({"category_id": 9}, "entry 0: category_id 9 is not in"),
        ({"score": "high"}, "entry 0: its score is no number"),
        ({"bbox": [1, 2, 3]}, "entry 0: its bbox or keypoints"),
        ({"bbox": [1, 2, float("nan"), 4]}, "entry 0: its bbox or keypoints"),
        ({"segmentation": {"counts": [3], "size": [60, 80]}}, "entry 0: run lengths cover 3 pixels"),
    ],
)
def test_bad_results_are_refused(tmp_path, change, what):
    data = opened(tmp_path, small())
    entry = {"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5} | change
    with pytest.raises(PellucidError, match=what):
        read_results(write(tmp_path, [entry], "results.json"), data)
