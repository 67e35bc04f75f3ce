"""``pellucid evaluate MODEL DATA``: the same figures as of the model's predictions in a file."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import pellucid as library
from pellucid.data import convert, open_dataset
from pellucid.models import build
from pellucid.models.predicting import agreeing, predict_all, renamed, united
from pellucid.structures import Annotations, Classes, Instances, KeypointNames

from .conftest import Run

SMALL = {"channels": 16, "box_features": 32, "min_side": 64, "max_side": 96, "pretrained": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained detectors of the classes of scenes, and of others, and scenes as COCO and VOC."""
    made = tmp_path_factory.mktemp("evaluate")
    for format in ("coco", "voc"):
        convert("scenes:n=8,size=96,seed=5", f"{format}:{made / format}")
    classes = open_dataset(f"coco:{made / 'coco'}").classes
    torch.manual_seed(0)
    build("faster_rcnn", classes, **SMALL).save(made / "faster.safetensors")
    build("faster_rcnn", Classes(("cat", "dog")), **SMALL).save(made / "pets.safetensors")
    build("mask_rcnn", classes, mask_channels=8, **SMALL).save(made / "mask.safetensors")
    return made


def test_the_same_figures_as_of_its_predictions_in_a_file(pellucid: Run, root: Path):
    data, model = f"coco:{root / 'coco'}", root / "faster.safetensors"
    found = pellucid("evaluate", model, data, "--json", "--save", "said.json", "--errors", "--per-class")
    assert found.code == 0, found.err
    assert found.items["model"] == "faster_rcnn"
    assert found.items["summary"]["AR100"] > 0
    again = pellucid("evaluate", data, "said.json", "--json", "--errors").items
    assert found.items["summary"] == pytest.approx(again["summary"], abs=1e-6, nan_ok=True)
    assert found.items["errors"]["counts"] == again["errors"]["counts"]
    assert pellucid("predict", model, data, "--out", "out").code == 0
    assert pellucid("evaluate", data, "out/predictions.json", "--json").items["summary"] == again["summary"]
    lines = pellucid("evaluate", model, data, "-p", "voc2012", "--plots", "p", "--bootstrap", "20").out.splitlines()
    assert lines[0] == "faster_rcnn"
    assert Path("p/curves.png").is_file()
    # batches of other sizes see other borders, so that figures agree but nearly
    assert pellucid("evaluate", model, data, "--batch-size", "1", "--json").code == 0


def test_the_waterfall_adds_up_to_all_objects(pellucid: Run, root: Path):
    data, model = f"coco:{root / 'coco'}", root / "faster.safetensors"
    found = pellucid("evaluate", model, data, "--waterfall", "--json").items
    water = found["waterfall"]
    truths = sum(row["truths"] for row in found["per_class"].values())
    assert water["total"] == truths == water["found"] + sum(water["lost"].values())
    assert water["lost"]["no anchor near"] + water["lost"]["scored as another class"] > 0
    assert found["summary"] == pellucid("evaluate", model, data, "--json").items["summary"]
    # of the classes of the data the model knows but one: the objects of the others can't be found
    pets = pellucid(
        "evaluate", root / "faster.safetensors", data, "--classes", _one_class_kept(root), "--waterfall", "--json"
    )
    assert pets.items["waterfall"]["lost"]["class unknown to the model"] > 0
    assert pets.items["waterfall"]["total"] == truths
    told = pellucid("evaluate", model, data, "--waterfall").out
    assert "where objects are lost" in told
    refused = pellucid("evaluate", data, data, "--waterfall")
    assert (refused.code, refused.out) == (2, "")
    assert "--waterfall" in refused.err


def _one_class_kept(root: Path) -> Path:
    names = open_dataset(f"coco:{root / 'coco'}").classes.names
    (root / "names.txt").write_text("\n".join([names[0], *(f"other {n}" for n in names[1:])]))
    return root / "names.txt"


def test_by_all_protocols_of_its_task(pellucid: Run, root: Path):
    data, model = f"coco:{root / 'coco'}", root / "mask.safetensors"
    found = pellucid("evaluate", model, data, "--json", "--plots", "p").items
    assert list(found["protocols"]) == ["coco-segm", "coco"]
    assert {path.name for path in Path("p").iterdir()} == {"coco-segm", "coco"}
    told = pellucid("evaluate", model, data)
    assert "COCO, masks, 8 images" in told.out
    assert "COCO, boxes, 8 images" in told.out
    assert "protocols" not in pellucid("evaluate", model, data, "-p", "coco", "--json").items
    flat = pellucid("evaluate", model, f"yolo:{_boxes_alone(root)}", "--json")
    assert "has no masks, so that coco-segm is left out" in flat.err
    assert flat.items["protocol"] == "coco"


def _boxes_alone(root: Path) -> Path:
    if not (root / "yolo").exists():
        convert("scenes:n=4,size=96,seed=5", f"yolo:{root / 'yolo'}")
    return root / "yolo"


def test_classes_meet_by_name(pellucid: Run, root: Path):
    data = f"coco:{root / 'coco'}"
    plain = pellucid("evaluate", root / "faster.safetensors", data, "--json").items["per_class"]
    often = max(plain, key=lambda name: plain[name]["detections"] if plain[name]["AP"] is not None else -1)
    # the same network, its classes called a little otherwise and one of them unknown to the data
    model = library.load(root / "faster.safetensors")
    model.classes = Classes(tuple("dog" if name == often else name.upper() for name in model.classes))
    model.save(root / "renamed.safetensors")
    answer = pellucid("evaluate", root / "renamed.safetensors", data, "--json")
    assert answer.code == 0, answer.err
    does_not_have, does_not_know = answer.err.splitlines()
    assert "does not have 1 of the model's" in does_not_have
    assert "(dog); what is predicted of them is left out" in does_not_have
    assert "does not know 1 of the data's" in does_not_know
    found = answer.items["per_class"]
    for name, figures in plain.items():
        if name != often:
            assert found[name]["AP"] == figures["AP"]
    assert found[often]["AP"] == 0
    assert found[often]["detections"] == 0
    unknown = {one["what"]: one["count"] for one in answer.items["findings"]}["predictions: unknown classes"]
    assert unknown >= plain[often]["detections"] > 0
    (Path("names.txt")).write_text("".join(f"{name}\n" for name in open_dataset(data).classes))
    named = pellucid("evaluate", root / "renamed.safetensors", data, "--classes", "names.txt", "--json")
    assert (named.err, named.items["per_class"]) == ("", plain)


def test_an_image_that_cannot_be_read_is_left_out_and_told(pellucid: Run, root: Path, tmp_path: Path):
    shutil.copytree(root / "coco", tmp_path / "coco")
    broken = sorted((tmp_path / "coco" / "train").glob("*.png"))[2]
    broken.write_bytes(b"no image")
    answer = pellucid("evaluate", root / "faster.safetensors", f"coco:{tmp_path / 'coco'}", "--json")
    assert answer.code == 0, answer.err
    assert "1 of 8 images cannot be read and are left out of the score" in answer.err
    assert answer.items["images"] == 7
    assert any("unreadable" in one["what"] for one in answer.items["findings"])
    whole = open_dataset(f"coco:{root / 'coco'}", as_annotated=True)
    rest = whole.subset(i for i in range(8) if whole.names[i] != broken.name)
    from pellucid.metrics import evaluate

    model = library.load(root / "faster.safetensors")
    score = evaluate(rest, list(predict_all(model, [s.image for s in rest])), "coco")
    assert answer.items["summary"]["AR100"] == pytest.approx(score.summary["AR100"], abs=0.02)


def test_classifiers_are_scored_by_their_probabilities(pellucid: Run, cat: Image.Image, tmp_path: Path):
    for name, count in (("tabby", 2), ("espresso", 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            cat.rotate(3 * number).save(tmp_path / name / f"{number}.png")
    answer = pellucid("evaluate", "tf_efficientnet_lite0", f"folder:{tmp_path}", "--json")
    assert answer.code == 0, answer.err
    assert answer.items["protocol"] == "calibration"
    assert answer.items["images"] == 3
    refused = pellucid("evaluate", "tf_efficientnet_lite0", f"folder:{tmp_path}", "-p", "coco")
    assert "is of classification; score it by calibration" in refused.complaint


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("{root}/pets.safetensors", "coco:{root}/coco"), "no class is in both"),
        (("{root}/none.safetensors", "coco:{root}/coco"), "no such file"),
        (("{root}/faster.safetensors", "{root}/nowhere"), "no such file or folder"),
        (("{root}/faster.safetensors", "coco:{root}/bare"), "annotations alone and no image"),
        (("{root}/faster.safetensors", "coco:{root}/coco", "--save", "x.txt"), "end the name in .json"),
        (("{root}/faster.safetensors", "coco:{root}/coco", "-p", "cocco"), "unknown; did you mean 'coco'"),
        (("{root}/faster.safetensors", "coco:{root}/coco", "-p", "calibration"), "score it by coco"),
        (("{root}/faster.safetensors", "coco:{root}/coco", "-p", "coco-segm"), "have no masks"),
        (("coco:{root}/coco", "coco:{root}/coco", "--save", "x.json"), "--save: is of a model"),
        (("coco:{root}/coco", "coco:{root}/coco", "--device", "cpu"), "--device: is of a model"),
        (("faster_rcnn", "coco:{root}/coco"), "is a recipe, untrained"),
    ],
)
def test_bad_input_is_one_line(pellucid: Run, root: Path, arguments: tuple[str, ...], what: str):
    if not (root / "bare").exists():
        shutil.copytree(root / "coco" / "annotations", root / "bare" / "annotations")
    assert what in pellucid("evaluate", *(text.format(root=root) for text in arguments)).complaint
    assert list(Path().iterdir()) == []


def test_classes_agree_by_names_and_synonyms():
    own = Classes(("Tabby", "dog", "1", "car"), (("cat",), (), (), ("auto", "automobile")))
    data = Classes(("cat", "bird", "AUTOMOBILE", "tree"), ((), (), (), ("dog",)), source_ids=(3, 5, 9, 12))
    assert agreeing(own, data) == [0, 3, None, 2]  # "1" is a name, not the index of bird
    classes, places = united(data, own)
    assert classes.names == ("cat", "bird", "AUTOMOBILE", "tree", "1")
    assert classes.source_ids == (3, 5, 9, 12, 13)
    assert places == [0, 3, 4, 2]
    assert united(Classes(("a",)), Classes(("A",)))[0] == Classes(("a",))
    pointed = Classes(("b",), keypoints=(KeypointNames(("x",)),))
    assert united(Classes(("a",)), pointed)[0].keypoints == (None, pointed.keypoints[0])


def test_what_is_said_in_other_classes():
    own, data = Classes(("a", "b", "c")), Classes(("c", "x", "a"))
    objects = Instances(torch.rand(3, 4), torch.tensor([0, 1, 2]), torch.tensor([0.9, 0.8, 0.7]))
    made = renamed(Annotations((4, 5), own, torch.tensor([1.0, 2.0, 3.0]), objects), data, [2, None, 0])
    assert made.instances is not None
    assert made.instances.labels.tolist() == [2, 0]
    assert torch.equal(made.instances.boxes, objects.boxes[[0, 2]])
    assert made.logits is not None
    assert made.logits[[0, 2]].tolist() == [3, 1]
    assert made.probabilities[1] == 0
