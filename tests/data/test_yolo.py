"""YOLO's text files: layouts, lines of every kind, defects by file and line, and what is written."""

import warnings

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid import PellucidError, open_dataset
from pellucid.data import DataWarning
from pellucid.data.converting import convert

from .conftest import photo


def lay_out(root, lines, *, yaml_text="path: .\ntrain: images/train\nnames: {0: cat, 1: dog}\n", where="images/train"):
    photo(root / where / "a.jpg", (60, 80))
    photo(root / where / "b.jpg", (40, 50))
    labels = root / where.replace("images", "labels")
    labels.mkdir(parents=True, exist_ok=True)
    if isinstance(lines, bytes):
        (labels / "a.txt").write_bytes(lines)
    else:
        (labels / "a.txt").write_text(lines)
    if yaml_text is not None:
        (root / "data.yaml").write_text(yaml_text)
    return root


def quietly(spec, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return open_dataset(spec, **options)


def test_boxes_and_images_without_labels(tmp_path):
    data = open_dataset(lay_out(tmp_path, "1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.1 0.1\n"))
    assert (data.format, data.split, data.holds) == ("yolo", "train", {"boxes"})
    assert data.classes.names == ("cat", "dog")
    first, second = data
    assert torch.allclose(first.annotations.instances.boxes, torch.tensor([[30.0, 15, 50, 45], [4, 3, 12, 9]]))
    assert first.annotations.instances.labels.tolist() == [1, 0]
    assert len(second.annotations.instances) == 0
    assert second.annotations.size == (40, 50)


def test_outlines_and_predictions(tmp_path):
    data = open_dataset(lay_out(tmp_path, "0 0 0 0.5 0 0.5 0.5 0 0.5\n1 0.5 0.5 0.25 0.5\n"))
    objects = data[0].annotations.instances
    assert data.holds == {"boxes", "masks"}
    assert objects.masks.areas().tolist() == [40 * 30, 0]
    assert objects.boxes[0].tolist() == [0, 0, 40, 30]
    scored = open_dataset(lay_out(tmp_path / "scored", "0 0.5 0.5 0.5 0.5 0.75\n"))
    assert scored[0].annotations.instances.scores.tolist() == [0.75]


def test_keypoints(tmp_path):
    text = "train: images/train\nnames: [pose]\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\n"
    data = open_dataset(lay_out(tmp_path, "0 .5 .5 .5 .5 .25 .5 2 0 0 0\n", yaml_text=text))
    assert data[0].annotations.instances.keypoints.tolist() == [[[20, 30, 2], [0, 0, 0]]]
    assert data.classes.keypoints[0].flip == (1, 0)
    two = text.replace("[2, 3]", "[2, 2]")
    data = open_dataset(lay_out(tmp_path / "two", "0 .5 .5 .5 .5 .25 .5 0 0\n", yaml_text=two))
    assert data[0].annotations.instances.keypoints.tolist() == [[[20, 30, 2], [0, 0, 0]]]


@pytest.mark.parametrize(
    ("where", "yaml_text"),
    [
        ("images/train", "train: ../images/train\nnames: [cat, dog]\n"),
        ("train/images", "train: ../train/images\nval: ../train/images\nnames: [cat, dog]\n"),
        ("images/train", "path: /somewhere/else\ntrain: images/train\nnames: [cat, dog]\n"),
        ("images/train", "train: images/train\nnc: 2\n"),
        ("images/train", None),
        ("images", None),
        ("train/images", None),
    ],
)
def test_layouts(tmp_path, where, yaml_text):
    root = lay_out(tmp_path, "1 0.5 0.5 0.25 0.5\n", where=where, yaml_text=yaml_text)
    split = "train" if "train" in where else None
    data = open_dataset(f"yolo:{root}", split)
    assert data.names == ["a.jpg", "b.jpg"]
    assert data[0].annotations.instances.labels.tolist() == [1]


def test_darknets_lists(tmp_path):
    photo(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "a.txt").write_text("0 .5 .5 .5 .5\n")
    (tmp_path / "train.txt").write_text("./photos/a.jpg\nphotos/gone.jpg\n../../etc/a.jpg\nphotos/a.jpg\n")
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    data = quietly(f"yolo:{tmp_path}")
    assert data.names == ["photos/a.jpg"]
    assert data.classes.names == ("cat", "dog")
    assert len(data[0].annotations.instances) == 1
    assert {kind for kind, _ in data.defects.counts} == {"missing image", "outside folder", "duplicate image"}
    assert data.defects.of("outside folder")[0].item == "line 3"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("2 .5 .5 .5 .5", "unknown class"),
        ("-1 .5 .5 .5 .5", "unknown class"),
        ("0.5 .5 .5 .5 .5", "unknown class"),
        ("nan .5 .5 .5 .5", "unknown class"),
        ("cat .5 .5 .5 .5", "malformed"),
        ("0 .5 .5", "malformed"),
        ("0 .5 .5 .5 .5 .5 .5 .5", "malformed"),
        ("0 nan .5 .5 .5", "not a number"),
        ("0 .5 .5 inf .5", "not a number"),
        ("0 1e999 .5 .5 .5", "not a number"),
        ("0 .5 .5 -.5 .5", "negative size"),
        ("0 .5 .5 0 .5", "zero area"),
        ("0 .9 .5 .5 .5", "box outside"),
        ("0 2 .5 .5 .5", "box off image"),
    ],
)
def test_defects_name_file_and_line(tmp_path, line, kind):
    root = lay_out(tmp_path, f"0 .5 .5 .5 .5\n\n{line}\n")
    data = quietly(root)
    (defect,) = data.defects.of(kind)
    assert defect.file.endswith("a.txt")
    assert defect.item == "line 3"
    assert len(data[0].annotations.instances) == (2 if kind == "box outside" else 1)
    with pytest.raises(PellucidError, match="line 3"):
        open_dataset(root, strict=True)


def test_binary_labels_and_damaged_images(tmp_path):
    root = lay_out(tmp_path, b"\xff\xfe\x00 0 0 0")
    (root / "images" / "train" / "b.jpg").write_bytes(b"no photo")
    data = quietly(root)
    assert data.names == ["a.jpg"]
    assert data.defects.count("unreadable") == 1
    assert data.defects.count("damaged image") == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("names: [a\n", "no readable YAML"),
        ("a: &x [1]\nb: *x\nnames: [a]\ntrain: t\n", "YAML aliases"),
        ("- 1\n- 2\n", "holds no keys"),
        ("train: images/train\nnames: {a: b}\n", "numbered from 0"),
        ("train: images/train\nnames: {5000000: b}\n", "numbered from 0"),
        ("train: /etc\nnames: [a]\n", "no path inside the data folder"),
        ("train: a/../../etc\nnames: [a]\n", "no path inside the data folder"),
        ("train: images/none\nnames: [a]\n", "no image was found"),
        ("train: images/train\nnames: [a]\nkpt_shape: [0, 9]\n", "kpt_shape"),
    ],
)
def test_yaml_that_cannot_be_used(tmp_path, text, what):
    root = lay_out(tmp_path, "0 .5 .5 .5 .5\n", yaml_text=text)
    with pytest.raises(PellucidError, match=what) as caught:
        open_dataset(f"yolo:{root}")
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="0123456789.- \n\te+infa\x00é", max_size=60))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_lines_are_read(tmp_path, text):
    root = lay_out(tmp_path, text.encode())
    for sample in quietly(root):
        objects = sample.annotations.instances
        assert torch.isfinite(objects.boxes).all()
        assert objects.masks is None or objects.masks.to_bool().shape[1:] == sample.annotations.size


@pytest.mark.parametrize("labels", ["boxes", "segments", "keypoints"])
def test_written_and_read_again(tmp_path, labels):
    before = open_dataset("scenes:n=8,seed=2,size=96")
    made = convert("scenes:n=8,seed=2,size=96", f"yolo:{tmp_path / 'out'},labels={labels}")
    after = open_dataset(tmp_path / "out", "train")
    assert made.splits == {"train": (8, sum(len(s.annotations.instances) for s in before))}
    content = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert content["train"] == "images/train"
    assert content["names"][0] == before.classes[0]
    for old, new in zip(before, after, strict=True):
        a, b = old.annotations.instances, new.annotations.instances
        assert torch.equal(old.image, new.image)
        assert torch.equal(a.labels, b.labels)
        assert torch.allclose(a.boxes, b.boxes, atol=1e-3)
        if labels == "segments":
            assert torch.equal(a.masks.to_bool(), b.masks.to_bool())
        if labels == "keypoints":
            seen = a.keypoints[..., 2] > 0
            assert torch.equal(a.keypoints[..., 2], b.keypoints[..., 2])
            assert np.allclose(a.keypoints[seen], b.keypoints[seen], atol=1e-3)


@pytest.mark.parametrize("text", ["[" * 500_000, "{" * 500_000, "- " * 400_000, "? " * 400_000, "&a " * 300_000])
def test_yaml_that_nests_without_end_is_refused(tmp_path, text):
    root = lay_out(tmp_path, "", yaml_text=text)
    with pytest.raises(PellucidError, match="nested too deeply"):
        open_dataset(f"yolo:{root}")
