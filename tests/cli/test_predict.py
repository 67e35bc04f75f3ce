"""``pellucid predict``: what it prints, what it writes, and what it says of bad input."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid as library
from pellucid.data import convert, open_dataset, read_predictions
from pellucid.models import build
from pellucid.structures import Annotations, Classes, Instances, read_photo

from .conftest import Run, left_behind

SMALL = {"channels": 16, "box_features": 32, "min_side": 64, "max_side": 96, "pretrained": False, "detections": 8}
ALL = ("--score-threshold", "0.01")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained detectors of the classes of scenes, two scenes as COCO, and photos of all kinds, two of them broken."""
    made = tmp_path_factory.mktemp("predict")
    convert("scenes:n=5,size=96,seed=5", f"coco:{made / 'coco'}")
    classes = open_dataset(f"coco:{made / 'coco'}").classes
    torch.manual_seed(0)
    build("faster_rcnn", classes, **SMALL).save(made / "faster.safetensors")
    build("mask_rcnn", classes, mask_channels=8, **SMALL).save(made / "mask.safetensors")
    build("keypoint_rcnn", classes, keypoint_channels=8, **SMALL).save(made / "points.safetensors")
    build("faster_rcnn", Classes(("Circle", "dog", "SQUARE")), **SMALL).save(made / "other.safetensors")
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 255, (60, 90, 3)).astype(np.uint8))
    odd = made / "odd"
    (odd / "below").mkdir(parents=True)
    photo.save(odd / "plain.png")
    photo.convert("L").save(odd / "grey.jpg")
    photo.convert("CMYK").save(odd / "cmyk.jpg")
    photo.resize((1, 1)).save(odd / "one.png")
    Image.fromarray(rng.integers(0, 65535, (40, 50)).astype(np.uint16)).save(odd / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(odd / "below" / "turned.jpg", exif=exif)
    (odd / "bad.jpg").write_bytes(b"not a photo")
    (odd / "void.jpg").touch()
    return made


def test_lines_and_json_say_what_the_model_says(pellucid: Run, root: Path):
    photo = root / "odd" / "plain.png"
    (said,) = library.load(root / "faster.safetensors").predict([read_photo(photo)])
    assert said.instances is not None
    assert said.instances.scores is not None
    answer = pellucid("predict", root / "faster.safetensors", photo, *ALL, "--top-k", "2")
    assert answer.code == 0, answer.err
    first, *rows = answer.out.splitlines()
    assert first == f"{photo}: 2 objects"
    for row, line in enumerate(rows):
        x1, y1, x2, y2 = (round(v) for v in said.instances.boxes[row].tolist())
        name, score = said.classes[int(said.instances.labels[row])], float(said.instances.scores[row])
        assert line.split() == [name, f"{score:.2f}", "at", f"{x1},{y1}–{x2},{y2}"]
    found = pellucid("predict", root / "faster.safetensors", photo, *ALL, "--json").items
    assert (found["task"], found["written"]) == ("detection", [])
    (image,) = found["images"]
    assert image["size"] == [90, 60]
    assert [one["index"] for one in image["objects"]] == said.instances.labels.tolist()
    assert [one["score"] for one in image["objects"]] == pytest.approx(said.instances.scores.tolist())
    assert [one["box"] for one in image["objects"]] == [
        pytest.approx(box, abs=1e-3) for box in said.instances.boxes.tolist()
    ]


def test_of_unsure_objects_the_best_is_told(pellucid: Run, root: Path):
    answer = pellucid("predict", root / "faster.safetensors", root / "odd" / "plain.png")
    assert answer.code == 0
    assert "nothing of a score of 0.5 or more; the best is " in answer.out


def test_a_threshold_below_the_models_own_gives_more(pellucid: Run, root: Path):
    classes = library.load(root / "faster.safetensors").classes
    torch.manual_seed(0)
    build("faster_rcnn", classes, score_threshold=0.9, **SMALL).save(root / "choosy.safetensors")
    arguments = ("predict", root / "choosy.safetensors", root / "odd" / "plain.png", "--json")
    assert pellucid(*arguments).items["images"][0]["objects"] == []
    found = pellucid(*arguments, *ALL).items["images"][0]["objects"]
    assert len(found) == 8
    assert pellucid(*arguments, *ALL, "--iou-threshold", "0.01").items["images"][0]["objects"] != found


def test_classifiers_name_classes_as_explain_does(pellucid: Run, photo: Path):
    explained = pellucid("explain", photo, "--method", "grad_cam", "--json").items[0]["predictions"]
    answer = pellucid("predict", "tf_efficientnet_lite0", photo, "--json")
    (image,) = answer.items["images"]
    assert [one["class"] for one in image["predictions"]] == [one["class"] for one in explained]
    assert [one["probability"] for one in image["predictions"]] == pytest.approx(
        [one["probability"] for one in explained], abs=1e-5
    )
    line = pellucid("predict", "tf_efficientnet_lite0", photo, "-k", "2").out
    assert line.startswith(f"{photo}: ")
    assert line.count("%") == 2
    assert pellucid("predict", "tf_efficientnet_lite0", photo, "--out", "c", "--draw", "-k", "3").code == 0
    rows = list(csv.DictReader(Path("c/predictions.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == [one["class"] for one in explained][:3]
    assert Path("c/pictures/cat.png").is_file()
    refused = pellucid("predict", "tf_efficientnet_lite0", photo, "--format", "coco")
    assert "whose form is csv" in refused.complaint


def test_one_bad_photo_does_not_stop_the_rest(pellucid: Run, root: Path):
    answer = pellucid("predict", root / "mask.safetensors", root / "odd", *ALL, "--out", "out", "--draw")
    assert answer.code == 2
    bad, void, total = answer.err.splitlines()
    assert "bad.jpg: is text" in bad
    assert "void.jpg: the file is empty" in void
    assert total == "6 of 8 images done, 2 failed"
    images = {one["file_name"]: one for one in json.loads(Path("out/images.json").read_text())["images"]}
    assert {(name, one["width"], one["height"]) for name, one in images.items()} == {
        ("plain.png", 90, 60),
        ("grey.jpg", 90, 60),
        ("cmyk.jpg", 90, 60),
        ("one.png", 1, 1),
        ("deep.png", 50, 40),
        ("below/turned.jpg", 60, 90),
    }
    assert {path.name for path in Path("out/pictures").iterdir()} == {
        *("plain.png", "grey.png", "cmyk.png", "one.png", "deep.png", "below-turned.png")
    }
    assert left_behind(Path("out")) == []
    # the files stand for themselves
    truth = open_dataset("coco:out/images.json", as_annotated=True)
    said = read_predictions("out/predictions.json", truth)
    assert len(said.defects) == 0
    assert sum(len(one.instances) for one in said if one.instances is not None) > 20


def test_ids_are_the_numbers_in_file_names_where_all_have_one(pellucid: Run, root: Path, tmp_path: Path):
    for name in ("000000000139.png", "7.png"):
        shutil.copy(root / "odd" / "plain.png", tmp_path / name)
    found = pellucid("predict", root / "faster.safetensors", tmp_path, "--json").items["images"]
    assert {Path(one["photo"]).name: one["id"] for one in found} == {"000000000139.png": 139, "7.png": 7}


@pytest.mark.parametrize("form", ["coco", "voc", "yolo", "openimages", "imagenet"])
def test_every_form_is_read_again(pellucid: Run, root: Path, form: str):
    spec = f"coco:{root / 'coco'}"
    answer = pellucid("predict", root / "mask.safetensors", spec, *ALL, "--out", "out", "--format", form)
    assert answer.code == 0, answer.err
    assert ("left out" in answer.err) == (form != "coco")
    files = [line.removeprefix("written: ") for line in answer.out.splitlines() if line.startswith("written: ")]
    assert all(Path(file).exists() for file in files)
    dataset = open_dataset(spec, as_annotated=True)
    read = read_predictions(Path("out") if form == "voc" else files[0], dataset)
    assert len(read.defects) == 0
    model = library.load(root / "mask.safetensors")
    for sample, said in zip(dataset, read, strict=True):
        (wanted,) = model.predict([sample.image])
        assert wanted.instances is not None
        assert said.instances is not None
        ours, theirs = _sorted(wanted.instances), _sorted(said.instances)
        assert ours.labels.tolist() == theirs.labels.tolist()
        # VOC's whole pixels are written with decimals, YOLO's shares with nine digits
        assert torch.allclose(ours.boxes, theirs.boxes, atol=2e-2 if form == "voc" else 2e-3)
        if form != "imagenet":  # which knows an order alone
            assert ours.scores is not None
            assert theirs.scores is not None
            assert torch.allclose(ours.scores, theirs.scores.float(), atol=1e-5)
        if form == "coco":
            assert ours.masks is not None
            assert theirs.masks is not None
            assert (ours.masks.to_bool() == theirs.masks.to_bool()).all()


def _sorted(objects: Instances) -> Instances:
    """By the label, then the box: an order that every form keeps."""
    keys = [
        (int(label), *(round(v, 1) for v in box))
        for label, box in zip(objects.labels, objects.boxes.tolist(), strict=True)
    ]
    return objects[sorted(range(len(objects)), key=keys.__getitem__)]


def test_keypoints_have_names_and_are_written(pellucid: Run, root: Path):
    arguments = ("predict", root / "points.safetensors", f"coco:{root / 'coco'}", *ALL, "--json")
    names = {"circle": {"top", "right", "bottom", "left"}}
    for image in pellucid(*arguments).items["images"]:
        for one in image["objects"]:
            if one["class"] in names:
                assert {point["name"] for point in one["keypoints"]} == names[one["class"]]
    assert pellucid(*arguments, "--out", "out").code == 0
    assert all("keypoints" in entry for entry in json.loads(Path("out/predictions.json").read_text()))


def test_classes_that_the_data_lack_keep_away_from_theirs(pellucid: Run, root: Path):
    answer = pellucid("predict", root / "other.safetensors", f"coco:{root / 'coco'}", *ALL, "--out", "out")
    assert answer.code == 0, answer.err
    assert "does not have 1 of the model's 3 classes (dog)" in answer.err
    dataset = open_dataset(f"coco:{root / 'coco'}", as_annotated=True)
    ids = {dataset.classes.source_id(k): name for k, name in enumerate(dataset.classes.names)}
    listed = {one["id"]: one["name"] for one in json.loads(Path("out/images.json").read_text())["categories"]}
    assert listed.items() >= ids.items()
    model = library.load(root / "other.safetensors")
    words: dict[str, list[str]] = {}
    for name, id, sample in zip(dataset.names, dataset.ids, dataset, strict=True):
        entries = json.loads(Path("out/predictions.json").read_text())
        words[name] = [listed[entry["category_id"]].lower() for entry in entries if entry["image_id"] == id]
        said: Annotations = model.predict([sample.image])[0]
        assert said.instances is not None
        assert words[name] == [model.classes[int(label)].lower() for label in said.instances.labels]
    read = read_predictions("out/predictions.json", dataset)
    assert read.defects.count("unknown class") == sum(name == "dog" for all in words.values() for name in all) > 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("{root}/odd", "{root}/odd/plain.png"), "is a folder; give a checkpoint file"),
        (("{root}", "{root}/odd/plain.png"), "is a folder; give the checkpoint in it"),
        (("{root}/cut.safetensors", "{root}/odd/plain.png"), "cut short"),
        (("{root}/nothing.safetensors", "{root}/odd/plain.png"), "no such file"),
        (("faster_rcnn", "{root}/odd/plain.png"), "is a recipe, untrained"),
        (("nonsense", "{root}/odd/plain.png"), "unknown model"),
        (("{root}/faster.safetensors", "{root}/empty"), "holds no photo"),
        (("{root}/faster.safetensors", "nowhere"), "nowhere: no such file or folder"),
        (("{root}/faster.safetensors", "{root}/odd/plain.png", "scenes:n=2"), "is a data set; give it alone"),
        (("{root}/faster.safetensors", "{root}/odd/plain.png", "--format", "vok"), "unknown; did you mean 'voc'"),
        (("{root}/faster.safetensors", "{root}/odd/plain.png", "--out", "{root}/cut.safetensors"), "is a file"),
        (("tf_efficientnet_lite0", "{root}/odd/plain.png", "--iou-threshold", "0.3"), "has no suppression"),
        (("{root}/faster.safetensors", "{root}/odd/plain.png", "--device", "cuda:77"), "not available here"),
        (("{root}/faster.safetensors", "{root}/odd/plain.png", "--classes", "{root}/two.txt"), "given for 2"),
    ],
)
def test_bad_input_is_one_line(pellucid: Run, root: Path, arguments: tuple[str, ...], what: str):
    (root / "empty").mkdir(exist_ok=True)
    (root / "two.txt").write_text("a\nb\n")
    (root / "cut.safetensors").write_bytes((root / "faster.safetensors").read_bytes()[:3000])
    assert what in pellucid("predict", *(text.format(root=root) for text in arguments)).complaint
    assert list(Path().iterdir()) == []


def test_names_that_would_collide_are_refused_before_the_work(pellucid: Run, root: Path, tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(root / "odd" / "plain.png", tmp_path / folder / "x.png")
    answer = pellucid("predict", root / "faster.safetensors", tmp_path, "--out", "out", "--format", "yolo")
    assert "several are called 'x'" in answer.complaint
    assert pellucid("predict", root / "faster.safetensors", tmp_path, "--out", "out", "--draw").code == 0
    assert {path.name for path in Path("out/pictures").iterdir()} == {"a-x.png", "b-x.png"}


def test_ctrl_c_keeps_what_is_finished(root: Path, environment: dict[str, str], tmp_path: Path):
    running = subprocess.Popen(
        [
            *(sys.executable, "-m", "pellucid.cli.main", "predict", root / "faster.safetensors"),
            *("scenes:n=100,size=64", "--out", "out", "--draw", *ALL),
        ],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("out/pictures/[!.]*.png"))) < 6 and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert err == "pellucid: interrupted; what was finished is kept\n"
    assert left_behind(tmp_path) == []
    images = json.loads((tmp_path / "out" / "images.json").read_text())["images"]
    assert len(images) >= 5
    assert {entry["image_id"] for entry in json.loads((tmp_path / "out" / "predictions.json").read_text())} <= {
        one["id"] for one in images
    }


def test_a_model_needs_no_training(pellucid: Run, photo: Path):
    answer = pellucid("predict", "rcnn-imagenet", photo)
    assert answer.code == 0, answer.err
    assert "cat" in answer.out.splitlines()[1]
