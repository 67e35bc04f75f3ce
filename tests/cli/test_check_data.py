"""``pellucid check``: what it prints, as text and as JSON, and its exit codes."""

import json
from pathlib import Path

import pytest

from pellucid.data.coco.writing import write
from pellucid.data.images import ImageStore
from pellucid.data.opening import open_dataset

from .conftest import Run


@pytest.fixture
def spoiled(tmp_path: Path) -> Path:
    """Eight scenes as COCO; four boxes of zero area, an image cut short, an object boxed twice."""
    write(open_dataset("scenes:n=8,seed=1,size=48"), tmp_path, "train", ImageStore("copy"), {}, None)
    (file,) = (tmp_path / "annotations").iterdir()
    content = json.loads(file.read_text())
    image = content["images"][0]["id"]
    content["annotations"] += [
        {"id": 900 + i, "image_id": image, "category_id": 1, "bbox": [5 * i, 5, 4, 0]} for i in range(4)
    ]
    large = max(content["annotations"], key=lambda entry: entry["bbox"][2] * entry["bbox"][3])
    content["annotations"].append({**large, "id": 990})
    file.write_text(json.dumps(content))
    cut = tmp_path / "train" / "scene_00002.png"
    cut.write_bytes(cut.read_bytes()[:-900])
    return tmp_path


def test_it_tells_what_is_wrong_where_and_what_to_do(pellucid: Run, spoiled: Path):
    answer = pellucid("check", f"coco:{spoiled}", "--show", "2")
    assert answer.code == 0
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0] == f"coco:{spoiled}"
    found = [line.split(None, 2) for line in lines if line.startswith(("  error", "  warning"))]
    assert found == [
        ["error", "4", "boxes of zero area (dropped when read)"],
        ["error", "1", "damaged image"],
        ["warning", "1", "object boxed twice"],
    ]
    assert "4 boxes of zero area (error): draw it anew, or remove it" in lines
    assert "  … and 2 more (--all, or --json)" in lines
    assert sum("annotation 90" in line for line in lines) == 2
    assert any(line.startswith("  train/scene_00002.png: damaged or cut short") for line in lines)
    assert any("annotation 990: is the box of annotation" in line for line in lines)
    everything = pellucid("check", f"coco:{spoiled}", "--option", "images=train", "--all").out
    assert everything.count("annotation 90") == 4
    assert "more (" not in everything


def test_json_holds_everything_and_strict_exits_with_2(pellucid: Run, spoiled: Path):
    answer = pellucid("check", f"coco:{spoiled}", "--option", "images=train", "--json", "--strict")
    assert answer.code == 2
    assert answer.err.startswith("pellucid: ")
    assert "5 errors were found" in answer.err
    record = answer.items
    assert (record["errors"], record["warnings"]) == (5, 1)
    assert {d["kind"] for d in record["defects"] if d["severity"] == "error"} == {"zero area", "damaged image"}
    assert all({"file", "item", "what", "action"} <= d.keys() for d in record["defects"])


def test_without_content_no_image_is_opened(pellucid: Run, spoiled: Path):
    answer = pellucid("check", f"coco:{spoiled}", "--split", "tr", "--no-content")
    assert answer.code == 0
    assert "damaged" not in answer.out
    assert "4  boxes of zero area" in answer.out


def test_strict_passes_what_is_clean(pellucid: Run, tmp_path: Path):
    write(open_dataset("scenes:n=4,seed=1,size=48"), tmp_path, "train", ImageStore("copy"), {}, None)
    assert pellucid("check", f"coco:{tmp_path}", "--strict").code == 0


def test_bad_input_is_one_line(pellucid: Run, spoiled: Path):
    assert "no such file" in pellucid("check", f"coco:{spoiled / 'nowhere'}").complaint
    assert "no split is called 'vel'" in pellucid("check", f"coco:{spoiled}", "--split", "vel").complaint
    assert "key=value" in pellucid("check", f"coco:{spoiled}", "--option", "masks").complaint
    assert "unknown option" in pellucid("check", f"coco:{spoiled}", "--option", "colour=red").complaint
    assert "generated" in pellucid("check", "scenes:n=3").complaint
