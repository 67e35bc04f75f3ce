"""``pellucid faithfulness MODEL DATA``: from a checkpoint and a data set to a table."""

import json
from pathlib import Path

import pytest
import torch

from pellucid import PellucidError
from pellucid.cli.faithfulness import run
from pellucid.data import convert, open_dataset
from pellucid.explain.faithfulness_table import Estimate, FaithfulnessTable, MethodRow
from pellucid.models import build
from pellucid.structures import Classes

SMALL = {"channels": 16, "box_features": 32, "min_side": 64, "max_side": 96, "pretrained": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained detectors of the classes of scenes, and of others, and scenes as COCO."""
    made = tmp_path_factory.mktemp("faithfulness")
    convert("scenes:n=6,size=96,seed=5", f"coco:{made / 'coco'}")
    torch.manual_seed(0)
    build("faster_rcnn", open_dataset(f"coco:{made / 'coco'}").classes, **SMALL).save(made / "faster.safetensors")
    build("faster_rcnn", Classes(("cat", "dog")), **SMALL).save(made / "pets.safetensors")
    return made


def ask(root: Path, **changed: object) -> None:
    settings: dict[str, object] = {
        "model": str(root / "faster.safetensors"),
        "data": f"coco:{root / 'coco'}",
        "split": None,
        "methods": ["grad_cam,odam"],
        "images": 4,
        "objects": 1,
        "masks": 4,
        "steps": 3,
        "seed": 0,
        "checkpoint": None,
        "classes": None,
        "device": "cpu",
        "json_output": False,
    }
    run(**(settings | changed))  # type: ignore[arg-type]


def test_a_table_for_programs_and_for_people(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    ask(root, json_output=True)
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == "faster_rcnn"
    assert found["images"] + found["images_without"] == 4
    assert found["objectives"] == found["images"] > 0
    assert [row["method"] for row in found["methods"]] == ["grad_cam", "odam"]
    for row in found["methods"]:
        assert row["maps"] == found["objectives"]
        assert 0 <= row["deletion"]["value"] <= 1
        assert row["pointing"]["low"] <= row["pointing"]["value"] <= row["pointing"]["high"]
    row = MethodRow("odam", 4, *[Estimate(0.25, 0.2, 0.4)] * 7, 0.5)
    rows = (row, MethodRow("guided_backprop", undefined="it has no ReLU"))
    table = FaithfulnessTable(rows, 2, 1, 4, 0.61, 0.72, 0.03)
    monkeypatch.setattr("pellucid.cli.faithfulness.faithfulness_table", lambda *given, **options: table)
    ask(root)
    text = capsys.readouterr().out
    assert text.startswith("faster_rcnn on ")
    assert "4 objects in 2 images" in text
    assert text.count("0.25 ±0.10") == 7
    assert "Guided backprop left out: it has no ReLU" in text
    assert "1 image without anything to explain" in text
    assert "(chance)" in text
    assert "Read a row against chance" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"model": "pets.safetensors"}, "no class is in both"),
        ({"methods": ["grad_cma"]}, "unknown method 'grad_cma'; did you mean 'grad_cam'"),
        ({"data": "nowhere"}, "no such file or folder"),
        ({"model": "none.safetensors"}, "no such file"),
    ],
)
def test_bad_input_is_one_line(root: Path, changed: dict[str, object], what: str):
    if "model" in changed:
        changed = {"model": str(root / str(changed["model"]))}
    with pytest.raises(PellucidError, match=what) as refused:
        ask(root, **changed)
    assert "\n" not in str(refused.value)
