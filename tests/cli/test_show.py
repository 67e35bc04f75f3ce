"""``pellucid show``: which images it takes, what it writes and prints, and what it says of bad input."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
from PIL import Image

from pellucid.cli.data_options import told_in_one_line
from pellucid.data import DataWarning

from .conftest import Run, left_behind


def is_picture(path: str | Path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.format == "PNG"


@pytest.fixture
def coco(tmp_path: Path, cat: Image.Image) -> Path:
    """Two splits in COCO's form: three photos to train, one of them damaged, and one to validate."""
    root = tmp_path / "pets"
    categories = [{"id": 7, "name": "cat"}, {"id": 9, "name": "Hund"}]
    for split, names in (("train2017", ["a.png", "b.png", "c.png"]), ("val2017", ["d.png"])):
        folder = root / split
        folder.mkdir(parents=True)
        for name in names:
            cat.save(folder / name)
        images = [{"id": i, "file_name": n, "width": 225, "height": 150} for i, n in enumerate(names)]
        objects = [
            {"id": 10 + i, "image_id": i, "category_id": 7, "bbox": [20, 20, 100, 90], "area": 9000, "iscrowd": 0}
            for i in range(len(names))
        ]
        (root / "annotations").mkdir(exist_ok=True)
        text = json.dumps({"images": images, "annotations": objects, "categories": categories})
        (root / "annotations" / f"instances_{split}.json").write_text(text)
    (root / "train2017" / "b.png").write_bytes(b"not a picture")
    return root


@pytest.fixture
def yolo(tmp_path: Path, cat: Image.Image) -> Path:
    """One split in YOLO's form, with a box of zero area."""
    root = tmp_path / "boxes"
    for part in ("images/train", "labels/train"):
        (root / part).mkdir(parents=True)
    for number in range(3):
        cat.save(root / "images/train" / f"{number}.png")
        (root / "labels/train" / f"{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n1 0.2 0.2 0.1 0.1\n")
    (root / "labels/train/2.txt").write_text("0 0.5 0.5 0 0\n")
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nnames: [cat, dog]\n")
    return root


def test_annotations_without_images_are_drawn_on_a_blank_ground(pellucid: Run, coco: Path, tmp_path: Path):
    out = tmp_path / "alone.png"
    shutil.rmtree(coco / "val2017")
    answer = pellucid("show", str(coco), "--split", "val", "--out", str(out))
    assert (answer.code, answer.err) == (0, "")
    with Image.open(out) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert (200, 200, 200) in colours


def test_scenes(pellucid: Run):
    answer = pellucid("show", "scenes:n=30,seed=1,size=48", "--count", "3")
    assert answer.code == 0, answer.err
    assert answer.err == ""
    first, *rows = answer.out.splitlines()
    assert first == "shown.png: 3 of 30 images of scenes:n=30,seed=1,size=48, with keypoints, segments"
    assert [row.split()[0] for row in rows] == ["scene_00000.png", "scene_00010.png", "scene_00020.png"]
    assert "object" in rows[0]
    assert is_picture("shown.png")
    assert left_behind(Path()) == []


def test_json_says_what_is_shown(pellucid: Run):
    arguments = ("scenes:n=5,seed=1,size=48", "--count", "2", "--layers", "boxes,masks", "--layers", "semantic")
    record = pellucid("show", *arguments, "--json", "--out", "o/sheet.png").items
    assert record["file"] == str(Path("o/sheet.png"))
    assert is_picture(record["file"])
    assert record["layers"] == ["boxes", "masks", "semantic"]
    assert record["images"] == 5
    assert record["split"] is None
    assert "circle" in record["classes"]
    one, other = record["shown"]
    assert (one["name"], one["height"], one["width"], one["path"]) == ("scene_00000.png", 48, 48, None)
    assert sum(one["objects"].values()) >= 1
    assert sum(other["pixels"].values()) == 48 * 48


def test_the_first_split_is_shown_where_none_is_named_and_a_damaged_photo_has_its_tile(pellucid: Run, coco: Path):
    answer = pellucid("show", coco)
    assert answer.code == 0
    note, trouble = answer.err.splitlines()
    assert note == f"pellucid: {coco}: showing the split 'train2017' of train2017, val2017; --split names another"
    assert trouble.startswith("pellucid: ")
    assert "b.png" in trouble
    first, *rows = answer.out.splitlines()
    assert first == f"shown.png: 3 of 3 images of coco:{coco} (train2017), with boxes"
    assert rows == ["  a.png  1 object: 1 cat", "  b.png  cannot be shown", "  c.png  1 object: 1 cat"]
    assert is_picture("shown.png")


def test_a_named_split_and_sample(pellucid: Run, coco: Path):
    answer = pellucid("show", f"coco:{coco}", "--split", "val", "--json")
    assert (answer.code, answer.err) == (0, "")
    assert [tile["name"] for tile in answer.items["shown"]] == ["d.png"]
    assert answer.items["objects"] == {"cat": 1}
    chosen = pellucid("show", coco, "--split", "train", "--sample", "c.png", "--sample", "a.png", "--json").items
    assert [tile["name"] for tile in chosen["shown"]] == ["c.png", "a.png"]


def test_first_and_shuffle(pellucid: Run):
    def names(*options: str) -> list[str]:
        record = pellucid("show", "scenes:n=40,size=32", "--count", "4", *options, "--json").items
        return [tile["name"] for tile in record["shown"]]

    assert names("--first") == [f"scene_0000{i}.png" for i in range(4)]
    assert names("--shuffle", "3") == names("--shuffle", "3")
    assert names("--shuffle", "3") != names("--shuffle", "4")


def test_what_was_wrong_with_the_data_comes_in_one_line(pellucid: Run, yolo: Path):
    answer = pellucid("show", f"yolo:{yolo}")
    assert answer.code == 0, answer.err
    (line,) = answer.err.splitlines()
    assert line == f"pellucid: yolo:{yolo} (train): 1 box of zero area (dropped); pellucid check lists them"
    assert "  2.png  no objects" in answer.out.splitlines()
    assert "  0.png  2 objects: 1 cat, 1 dog" in answer.out.splitlines()


def test_other_warnings_are_left_as_they_are(capsys: pytest.CaptureFixture[str]):
    shown = warnings.showwarning
    with told_in_one_line():
        warnings.warn("three boxes\nof zero area", DataWarning, stacklevel=1)
    assert capsys.readouterr().err == "pellucid: three boxes of zero area\n"
    assert warnings.showwarning is shown

    def speak() -> None:
        with told_in_one_line():
            warnings.warn("something else", UserWarning, stacklevel=1)

    with pytest.warns(UserWarning, match="something else"):
        speak()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere: no such file or folder"),
        (("scenes:n=4", "--sample", "scene_0000.png"), "no image is called 'scene_0000.png'; did you mean 'scene_0000"),
        (("scenes:n=4", "--layers", "boxs"), "unknown layer 'boxs'; did you mean 'boxes'?"),
        (("scenes:n=4", "--layers", ","), "--layers names none"),
        (("scenes:n=4", "--colours", "class"), "--colours class: give instances or classes"),
        (("scenes:n=4", "--out", "sheet.jpg"), "end the name in .png"),
        (("scenes:n=4", "--first", "--shuffle", "1"), "--first and --shuffle exclude each other"),
        (("scenes:n=4", "--sample", "scene_00000.png", "--count", "3"), "--sample names the images"),
        (("scenes:n=4", "--split", "tran"), "unknown split 'tran'; did you mean 'train'"),
        (("scenes:m=4",), "unknown key 'm'"),
        (("vok:somewhere",), "unknown format 'vok'; did you mean 'voc'"),
    ],
)
def test_bad_input_is_one_line(pellucid: Run, arguments: tuple[str, ...], said: str):
    assert said in pellucid("show", *arguments).complaint
    assert list(Path().iterdir()) == []


def test_layers_that_the_data_lacks_are_refused(pellucid: Run, coco: Path):
    complaint = pellucid("show", f"coco:{coco}", "--split", "val", "--layers", "semantic").complaint
    assert complaint == f"coco:{coco} (val2017): holds no semantic maps; --layers can be of boxes"


def test_help_lists_what_there_is(pellucid: Run):
    answer = pellucid("show", "--help")
    assert answer.code == 0
    for option in ("DATA", "--split", "--count", "--sample", "--shuffle", "--first", "--layers", "--out", "--json"):
        assert option in answer.out
    assert "show" in pellucid("--help").out
