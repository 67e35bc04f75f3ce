"""``pellucid explain`` with a detector: its objects, their edges and masks, and what it missed."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.cli.explain_targets import Wanted, check_wanted
from pellucid.errors import PellucidError
from pellucid.models import build
from pellucid.structures import Classes

from .conftest import Run

TINY = {"min_side": 64, "max_side": 96, "channels": 8, "box_features": 16, "proposals_after": 50, "detections": 8}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("detector")
    torch.manual_seed(0)
    paths = {}
    for name, recipe in (("boxes", "faster_rcnn"), ("masks", "mask_rcnn"), ("located", "localizer")):
        settings = {"size": 64} if name == "located" else {**TINY, "score_threshold": 0.0}
        model = build(recipe, Classes(("cell", "dust")), pretrained=False, **settings)
        if name != "located":
            for parameter in model.network.predictor.parameters():  # type: ignore[union-attr]
                torch.nn.init.normal_(parameter, std=0.3)
        paths[name] = str(model.save(folder / f"{name}.safetensors"))
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    paths["photo"] = str(folder / "slide.png")
    Image.fromarray(pixels).save(paths["photo"])
    return paths


def test_the_surest_objects_are_explained(pellucid: Run, files: dict[str, str]) -> None:
    answer = pellucid("explain", files["photo"], "--model", files["boxes"], "-k", "2", "--json")
    assert answer.code == 0, answer.err
    (item,) = answer.items
    assert len(item["predictions"]) == 8
    assert [target["object"] for target in item["targets"]] == [1, 2]
    assert len(item["maps"]) == 6
    assert {one["method"] for one in item["maps"]} == {"grad_cam", "odam", "saliency"}
    assert {one["layer"] for one in item["maps"] if one["method"] == "grad_cam"} <= {
        f"neck.output.{i}" for i in range(4)
    }
    assert Path(item["panel"]).is_file()
    map_ = np.load(item["maps"][0]["file"])
    assert map_["map"].shape == (60, 80)
    assert json.loads(str(map_["record"]))["target"] == f"1 {item['predictions'][0]['class']}"


def test_parts_classes_and_missed_objects(pellucid: Run, files: dict[str, str]) -> None:
    masks = pellucid("explain", files["photo"], "--model", files["masks"], "-k", "1", "--part", "mask", "--json")
    assert masks.code == 0, masks.err
    edge = pellucid(
        "explain",
        files["photo"],
        "--model",
        files["boxes"],
        "--part",
        "left",
        "-t",
        "dust",
        "--method",
        "saliency",
        "--json",
    )
    assert edge.code == 0, edge.err
    assert {target["class"] for target in edge.items[0]["targets"]} == {"dust"}
    missed = pellucid(
        "explain",
        files["photo"],
        "--model",
        files["boxes"],
        "--missed",
        "cell@10,10,40,45",
        "--method",
        "grad_cam",
        "--json",
    )
    assert missed.code == 0, missed.err
    assert missed.items[0]["targets"] == [{"missed": "cell@10,10,40,45"}]


def test_a_localizers_class_and_box_are_explained(pellucid: Run, files: dict[str, str]) -> None:
    for part in ("score", "top"):
        answer = pellucid("explain", files["photo"], "--model", files["located"], "--part", part, "--json")
        assert answer.code == 0, answer.err
        (item,) = answer.items
        assert len(item["predictions"]) == 1
        assert {one["layer"] for one in item["maps"] if one["method"] == "grad_cam"} == {"trunk"}


def test_a_model_that_keeps_no_trace_is_refused() -> None:
    with pytest.raises(PellucidError, match="keeps no trace of its objects; give a classifier, rcnn-imagenet, or"):
        check_wanted(SimpleNamespace(name="mine"), Wanted((), 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--model", "{boxes}", "--part", "mask"), "gives no masks"),
        (("--model", "{boxes}", "--part", "lft"), "did you mean 'left'"),
        (("--model", "{boxes}", "--missed", "cell@1,2,3"), "CLASS@x1,y1,x2,y2"),
        (("--model", "{boxes}", "--missed", "cat@1,2,30,40"), "unknown class 'cat'"),
        (("--model", "{boxes}", "--missed", "cell@30,2,3,40"), "x1 < x2"),
        (("--model", "{boxes}", "-t", "cat"), "unknown class 'cat'"),
        (("--model", "{located}", "--part", "mask"), "gives no masks"),
        (("--part", "left"), "is a classifier and finds no objects"),
        (("--missed", "cell@1,2,30,40"), "is a classifier and finds no objects"),
        (("--method", "d_rise"), "is no object"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_told_in_a_line(
    pellucid: Run, files: dict[str, str], options: tuple[str, ...], told: str
) -> None:
    answer = pellucid("explain", files["photo"], *(option.format(**files) for option in options))
    assert told in answer.complaint
