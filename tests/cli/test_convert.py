"""``pellucid convert``: what it writes and prints, and what it says of bad input; searching a data set by its name."""

import json
from pathlib import Path

import pytest

from .conftest import Run, left_behind


@pytest.fixture
def yolo(tmp_path: Path, pellucid: Run) -> Path:
    """Two splits in YOLO's form, made from generated scenes."""
    for split in ("train", "val"):
        assert pellucid("convert", "scenes:n=3,size=32", f"yolo:{tmp_path / split}", "--split", split).code == 0
    root = tmp_path / "both"
    (tmp_path / "train").rename(root)
    for part in ("images", "labels"):
        (tmp_path / "val" / part / "val").rename(root / part / "val")
    (root / "data.yaml").write_text((root / "data.yaml").read_text() + "val: images/val\n")
    return root


def test_all_splits(pellucid: Run, yolo: Path, tmp_path: Path):
    answer = pellucid("convert", str(yolo), f"voc:{tmp_path / 'out'}")
    assert (answer.code, answer.err) == (0, "")
    assert f"{tmp_path / 'out'}: written as voc, images copied" in answer.out
    assert "train        3 images" in answer.out
    assert "val          3 images" in answer.out
    assert len(list((tmp_path / "out" / "JPEGImages").iterdir())) == 6
    assert (tmp_path / "out" / "ImageSets" / "Main" / "val.txt").read_text().count("\n") == 3


def test_json_and_one_split(pellucid: Run, yolo: Path, tmp_path: Path):
    answer = pellucid("convert", str(yolo), f"coco:{tmp_path / 'out'}", "--split", "v", "--images", "none", "--json")
    assert answer.items["splits"].keys() == {"val"}
    assert answer.items["format"] == "coco"
    written = json.loads((tmp_path / "out" / "annotations" / "instances_val.json").read_text())
    assert len(written["annotations"]) == answer.items["splits"]["val"]["objects"]


def test_what_is_lost_and_what_was_wrong(pellucid: Run, yolo: Path, tmp_path: Path):
    label = next((yolo / "labels" / "train").iterdir())
    label.write_text(label.read_text() + "0 0.5 0.5 0 0\n")
    answer = pellucid("convert", "scenes:n=3,size=32", f"yolo:{tmp_path / 'lines'}")
    assert "what yolo has no word for is lost:" in answer.out
    assert "masks (say labels=segments for them)" in answer.out
    answer = pellucid("convert", str(yolo), f"coco:{tmp_path / 'out'}")
    assert answer.code == 0
    assert answer.err == f"pellucid: yolo:{yolo} (train): 1 box of zero area (dropped); pellucid check lists them\n"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["nowhere", "yolo:out"], "nowhere: no such file or folder"),
        (["scenes:n=2,size=32", "out"], "out: say the format too, as in coco:out"),
        (["scenes:n=2,size=32", "yolov8:out"], "out: say the format too|unknown format"),
        (["scenes:n=2,size=32", "yolo:full"], "full: is there already and not empty; give a new folder"),
        (["scenes:n=2,size=32", "yolo:out", "--images", "move"], "images 'move'; give one of copy, link, none"),
        (["scenes:n=2,sise=32", "yolo:out"], "sise"),
    ],
)
def test_bad_input(pellucid: Run, tmp_path: Path, monkeypatch, arguments, what):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    complaint = pellucid("convert", *arguments).complaint
    assert any(part in complaint for part in what.split("|"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine"]


def test_searching_a_data_set_by_its_name(pellucid: Run, yolo: Path, tmp_path: Path):
    out = tmp_path / "found"
    answer = pellucid(
        *(
            "search",
            "blocks.1.0:3",
            "--data",
            f"yolo:{yolo}",
            "--split",
            "train",
            "-k",
            "2",
            "--out",
            str(out),
            "--json",
        )
    )
    assert answer.code == 0, answer.err
    assert answer.items["photos"] == 3
    out = tmp_path / "scenes"
    answer = pellucid("search", "blocks.1.0:3", "--data", "scenes:n=4,size=48", "-k", "2", "--out", str(out), "--json")
    assert answer.code == 0, answer.err
    assert {hit["photo"] for hit in answer.items["channels"]["blocks.1.0:3"]} <= {
        f"scene_0000{i}.png" for i in range(4)
    }
    assert (out / "blocks.1.0_3.png").is_file()
    assert left_behind(tmp_path) == []
