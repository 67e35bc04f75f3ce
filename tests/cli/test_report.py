"""``pellucid report``: one page, of a model or of its results, whose figures are those that evaluate prints."""

import re
from pathlib import Path

import pytest
import torch

from pellucid.data import convert, open_dataset
from pellucid.models import build
from pellucid.structures import Classes

from .conftest import Run

SMALL = {"channels": 16, "box_features": 32, "min_side": 64, "max_side": 96, "pretrained": False}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Mask R-CNN of the classes of scenes, another that knows none of them, and scenes."""
    made = tmp_path_factory.mktemp("report")
    convert("scenes:n=6,size=96,seed=5", f"coco:{made / 'coco'}")
    classes = open_dataset(f"coco:{made / 'coco'}").classes
    torch.manual_seed(0)
    build("mask_rcnn", classes, mask_channels=8, score_threshold=0.01, **SMALL).save(made / "mask.safetensors")
    build("faster_rcnn", Classes(("cat", "dog")), **SMALL).save(made / "pets.safetensors")
    return made


@pytest.fixture
def page(pellucid: Run, root: Path) -> str:
    done = pellucid("report", root / "mask.safetensors", f"coco:{root / 'coco'}", "--cases", "4", "--out", "a.html")
    assert done.code == 0, done.err
    assert "written: a.html" in done.out
    return Path("a.html").read_text("utf-8")


def test_the_page_has_the_figures_of_evaluate(pellucid: Run, root: Path, page: str):
    found = pellucid("evaluate", root / "mask.safetensors", f"coco:{root / 'coco'}", "--batch-size", "1",
                     "--waterfall", "--json").items  # fmt: skip
    for name in ("coco-segm", "coco"):
        for figure in ("AP", "AR100"):
            assert f"{found['protocols'][name]['summary'][figure]:.3f}" in page
    total = found["waterfall"]["total"]
    assert re.search(rf"Of {total} objects, {found['waterfall']['found']} are found", " ".join(page.split()))
    for reason in found["waterfall"]["lost"]:
        assert reason.replace("'", "&#39;") in page


def test_every_error_comes_with_its_explanation(page: str):
    assert page.count('data-gallery="wrong"') >= 4 or page.count("<article") >= 8
    assert "ODAM" in page
    assert "was not found: " in page
    assert page.count("data:image/png;base64,") >= 8
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_results_alone_make_a_page_without_explanations(pellucid: Run, root: Path):
    model, data = root / "mask.safetensors", f"coco:{root / 'coco'}"
    assert pellucid("evaluate", model, data, "--save", "said.json", "--json").code == 0
    done = pellucid("report", data, "said.json", "--out", "b.html", "--cases", "3")
    assert done.code == 0, done.err
    page = Path("b.html").read_text("utf-8")
    assert "ODAM" not in page
    assert "without the model nothing can be explained" in page
    assert page.count("data:image/jpeg;base64,") >= 6
    summary = pellucid("evaluate", data, "said.json", "--json").items["summary"]
    assert f"{summary['AP']:.3f}" in page


def test_another_method_and_none(pellucid: Run, root: Path):
    model, data = root / "mask.safetensors", f"coco:{root / 'coco'}"
    assert pellucid("report", model, data, "--cases", "1", "--method", "saliency", "--out", "c.html").code == 0
    assert "Saliency" in Path("c.html").read_text("utf-8")
    tested = pellucid("report", model, data, "--cases", "1", "--no-explain", "--trust", "1", "--out", "d.html")
    assert (tested.code, tested.err) == (0, "")  # without explanations there is nothing to trust
    assert "was not found: " in Path("d.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "page.pdf"], "--out page.pdf: a report is one HTML file; end the name in .html"),
        (["--protocol", "panoptic"], "--protocol panoptic: a report is of detections"),
        (["--method", "gradcamm"], "unknown method 'gradcamm'"),
    ],
)
def test_bad_options_are_said_in_one_line(pellucid: Run, root: Path, options: list[str], said: str):
    done = pellucid("report", root / "mask.safetensors", f"coco:{root / 'coco'}", *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(Path().glob("*.html"))


def test_models_that_find_nothing_of_the_data_or_no_objects_at_all(pellucid: Run, root: Path):
    data = f"coco:{root / 'coco'}"
    strange = pellucid("report", root / "pets.safetensors", data)
    assert strange.code == 2
    assert "no class is in both" in strange.err
    classifier = pellucid("report", "tf_efficientnet_lite0", data)
    assert classifier.code == 2
    assert "a report is of detections" in classifier.err
    assert not Path("report.html").exists()
