"""The commands evaluate and compare, end to end."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid.data import convert, open_dataset, read_predictions
from pellucid.metrics import evaluate

from .conftest import Run

FIGURES = [
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR1",
    "AR10",
    "AR100",
    "AR_small",
    "AR_medium",
    "AR_large",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes as COCO, panoptic and masks, with two files of disturbed results, a bad one and a worse one."""
    made = tmp_path_factory.mktemp("scores")
    for format in ("coco", "panoptic", "masks", "voc"):
        convert("scenes:n=12,size=96,seed=5", f"{format}:{made / format}")
    data = open_dataset(f"coco:{made / 'coco'}", as_annotated=True)
    columns = data.columns()
    rng = np.random.default_rng(0)
    for name, spread in (("good", 1.5), ("poor", 6.0)):
        boxes = columns.boxes + rng.normal(size=columns.boxes.shape) * spread
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
        entries = [
            {
                "image_id": data.ids[image],
                "category_id": data.classes.source_id(int(label)),
                "bbox": box.tolist(),
                "score": round(float(score), 2),
            }
            for image, label, box, score in zip(
                columns.images, columns.labels, boxes, rng.random(len(boxes)), strict=True
            )
        ]
        (made / f"{name}.json").write_text(json.dumps(entries))
    return made


def truth(root: Path) -> str:
    return f"coco:{root / 'coco'}"


def test_twelve_lines(pellucid: Run, root: Path):
    answer = pellucid("evaluate", truth(root), root / "good.json")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == "COCO, boxes, 12 images"
    assert sum(line.startswith(" Average") for line in lines) == 12
    assert lines[2].startswith(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.")


def test_json_has_all_parts(pellucid: Run, root: Path):
    plain = pellucid("evaluate", truth(root), root / "good.json", "--json").items
    assert list(plain["summary"]) == FIGURES
    assert plain["protocol"] == "coco"
    assert plain["errors"] is None
    assert plain["intervals"] is None
    full = pellucid(
        *("evaluate", truth(root), root / "good.json", "--errors", "--bootstrap", "50", "--ties"),
        *("--versus", "voc2012", "--per-class", "--json"),
    ).items
    assert full["summary"] == plain["summary"]
    assert set(full["errors"]["counts"]) == {"Cls", "Loc", "Both", "Dupe", "Bkg", "Miss"}
    assert all(one["class"] in full["per_class"] for found in full["errors"]["worst"].values() for one in found)
    low, value, high = (full["intervals"]["figures"]["AP"][key] for key in ("low", "value", "high"))
    assert low < value < high
    assert value == pytest.approx(full["summary"]["AP"])
    assert set(full["ties"]) == set(FIGURES)
    assert sum(cause["effect"] for cause in full["versus"]["causes"]) == pytest.approx(full["versus"]["difference"])
    again = pellucid("evaluate", truth(root), root / "good.json", "--bootstrap", "50", "--json").items
    assert again["intervals"] == full["intervals"]


def test_everything_in_the_terminal(pellucid: Run, root: Path):
    answer = pellucid(
        *("evaluate", truth(root), root / "poor.json", "--errors", "--bootstrap", "50", "--ties"),
        *("--versus", "voc2007", "--per-class"),
    )
    assert answer.code == 0, answer.err
    for what in ("Loc ", "[0.", "the +1 of pixels", "the worst errors", "best_F1"):
        assert what in answer.out, what
    assert max(map(len, answer.out.splitlines())) <= 120


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plots(pellucid: Run, root: Path, suffix: str):
    answer = pellucid(
        *("evaluate", truth(root), root / "poor.json", "--errors", "--bootstrap", "50", "--plots", "plots"),
        *("--plot-format", suffix, "--json"),
    )
    assert answer.code == 0, answer.err
    names = {Path(path).name for path in answer.items["plots"]}
    wanted = ("curves", "mean_curve", "errors", "confusion", "reliability", "intervals")
    assert names == {f"{name}.{suffix}" for name in wanted} == {path.name for path in Path("plots").iterdir()}
    if suffix == "png":
        for path in Path("plots").iterdir():
            with Image.open(path) as image:
                assert min(image.size) > 300
                assert len(np.unique(np.asarray(image.convert("L")))) > 10


@pytest.mark.parametrize(
    ("protocol", "source", "figure"),
    [("panoptic", "panoptic", "PQ"), ("semantic", "masks", "mIoU"), ("semantic", "panoptic", "pixel_accuracy")],
)
def test_maps(pellucid: Run, root: Path, protocol: str, source: str, figure: str):
    spec = f"{source}:{root / source}"
    answer = pellucid("evaluate", spec, spec, "--protocol", protocol, "--json")
    assert answer.code == 0, answer.err
    assert answer.items["summary"][figure] == 1
    assert figure in pellucid("evaluate", spec, spec, "--protocol", protocol, "--per-class").out
    if protocol == "semantic":
        assert pellucid("evaluate", spec, spec, "-p", protocol, "--plots", "p").code == 0
        assert Path("p/confusion.png").is_file()


def test_voc_from_its_own_files(pellucid: Run, root: Path):
    spec = f"voc:{root / 'voc'}"
    found = pellucid("evaluate", spec, spec, "--protocol", "voc2007", "--json").items
    assert found["summary"]["mAP"] == 1
    assert found["reservations"] == {}
    assert pellucid("evaluate", truth(root), root / "good.json", "-p", "voc2007", "--json").items["reservations"]


def test_isbi_by_probabilities(pellucid: Run, root: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks", "grey"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        cells = np.ones((60, 60), dtype=bool)
        cells[:, 29:31] = cells[29:31] = False
        Image.fromarray(rng.integers(0, 255, (60, 60)).astype(np.uint8)).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(np.where(cells, 255, 0).astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
        Image.fromarray(np.where(cells, 200, 30).astype(np.uint8)).save(tmp_path / "grey" / f"{name}.png")
    answer = pellucid(
        "evaluate", f"masks:{tmp_path}", f"probabilities:{tmp_path / 'grey'}", "-p", "isbi", "--json", "--plots", "p"
    )
    assert answer.code == 0, answer.err
    assert answer.items["summary"]["rand_F"] == 1
    assert Path("p/reliability.png").is_file()


def test_compare(pellucid: Run, root: Path):
    answer = pellucid("compare", truth(root), root / "poor.json", root / "good.json", "--bootstrap", "200", "--json")
    assert answer.code == 0, answer.err
    assert answer.items["figures"]["AP"]["verdict"] == "better"
    assert answer.items["figures"]["AP"]["difference"] > 0
    told = pellucid("compare", truth(root), root / "good.json", root / "good.json", "--bootstrap", "100", "--per-class")
    assert told.code == 0, told.err
    assert "better" not in told.out.split("verdict")[-1]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["nowhere.json", "{good}"], "no such file"),
        (["{truth}", "nowhere.json"], "nowhere.json: no such file"),
        (["{truth}", "{good}", "--protocol", "cocco"], "unknown; did you mean 'coco'"),
        (["{truth}", "{good}", "--versus", "voc2011"], "unknown protocol 'voc2011'"),
        (["{truth}", "{good}", "--versus", "coco-segm"], "coco compares boxes, coco-segm masks"),
        (["{truth}", "{good}", "--protocol", "coco-segm"], "have no masks"),
        (["{truth}", "{good}", "--protocol", "coco-keypoints"], "no keypoints"),
        (["{truth}", "{good}", "--protocol", "semantic"], "has no semantic map"),
        (["{truth}", "{good}", "--protocol", "semantic", "--errors"], "--errors: semantic has figures alone"),
        (["{truth}", "{good}", "--boundary"], "--protocol coco-boundary"),
        (["{truth}", "{good}", "--plots", "{good}"], "is a file; choose a folder"),
        (["{truth}", "{good}", "--plots", "p", "--plot-format", "bmp"], "--plot-format bmp"),
        (["{truth}", "{good}", "--exclude", "{good}"], "--exclude: is of ilsvrc"),
        (["{truth}", "{other}"], "does not have, such as entry 0"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(
    pellucid: Run, root: Path, tmp_path: Path, arguments: list[str], what: str
):
    (tmp_path / "other.json").write_text('[{"image_id": 999999, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 1}]')
    known = {"truth": truth(root), "good": root / "good.json", "other": tmp_path / "other.json"}
    answer = pellucid("evaluate", *(text.format(**known) for text in arguments))
    assert what in answer.complaint
    assert not Path("p").exists()


def test_unknown_images_can_be_dropped(pellucid: Run, root: Path, tmp_path: Path):
    entries = json.loads((root / "good.json").read_text())
    entries += [entries[0] | {"image_id": 999999}, entries[0] | {"category_id": 999}]
    (tmp_path / "more.json").write_text(json.dumps(entries))
    found = pellucid("evaluate", truth(root), tmp_path / "more.json", "--drop-unknown", "--json").items
    assert found["summary"] == pellucid("evaluate", truth(root), root / "good.json", "--json").items["summary"]
    assert {one["what"]: one["count"] for one in found["findings"]}["predictions: unknown classes"] == 1


def test_pairs_on_ilsvrcs_list_count_neither_way(pellucid: Run, root: Path, tmp_path: Path):
    data = open_dataset(truth(root), as_annotated=True)
    label = int(data.columns().labels[0])
    (tmp_path / "list.txt").write_text("".join(f"{name} {data.classes[label]}\n" for name in data.names))
    arguments = ("evaluate", truth(root), root / "good.json", "--protocol", "ilsvrc", "--json")
    found = pellucid(*arguments, "--exclude", tmp_path / "list.txt").items
    assert found["per_class"][data.classes[label]]["AP"] is None
    assert pellucid(*arguments).items["per_class"][data.classes[label]]["AP"] is not None
    (tmp_path / "bad.txt").write_text("nobody cat\n")
    assert "line 1: no image is called 'nobody'" in pellucid(*arguments, "--exclude", tmp_path / "bad.txt").complaint


def test_segments_that_went_wrong_are_listed(pellucid: Run, root: Path):
    spec = f"panoptic:{root / 'panoptic'}"
    worse = f"panoptic:{root / 'worse'}"
    convert("scenes:n=12,size=96,seed=5", worse)
    for path in sorted((root / "worse" / "annotations").glob("panoptic_*/*.png"))[:3]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        Image.fromarray(np.roll(pixels, 25, 1)).save(path)
    found = pellucid("evaluate", spec, worse, "-p", "panoptic", "--errors", "--json")
    assert found.code == 0, found.err
    assert found.items["errors"]["counts"]["false negative"] > 0
    assert "false positive" in pellucid("evaluate", spec, worse, "-p", "panoptic", "--errors").out


def test_filters_of_warnings_are_left_as_they_were(root: Path):
    before = list(warnings.filters)
    truths = open_dataset(f"panoptic:{root / 'panoptic'}", as_annotated=True)
    evaluate(truths, read_predictions(f"panoptic:{root / 'panoptic'}", truths), "panoptic")
    assert warnings.filters == before
