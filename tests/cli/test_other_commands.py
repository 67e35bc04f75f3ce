"""``pellucid adversarial``, ``kernels``, ``models``, ``demo`` and the program itself."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pellucid import __version__
from pellucid.cli import demo as demo_command

from .conftest import Run, check_whole, left_behind


@pytest.mark.parametrize(("norm", "attack"), [("linf", "fgsm"), ("l2", "pgd")])
def test_adversarial(pellucid: Run, photo: Path, norm: str, attack: str):
    options = ("--norm", norm, "--attack", attack, "--steps", "3", "--epsilon", "4")
    answer = pellucid("adversarial", photo, *options, "--json")
    assert answer.code == 0, answer.err
    item = answer.items
    assert (item["photo"], item["norm"], item["attack"]) == (str(photo), norm, attack)
    assert item["perturbation"] <= item["epsilon"] + 1e-6
    assert item["succeeded"] is (item["before"][0]["class"] != item["after"][0]["class"])
    with Image.open(photo) as before, Image.open(item["image"]) as after, Image.open(item["panel"]) as panel:
        change = np.asarray(after).astype(int) - np.asarray(before.convert("RGB"))
        assert panel.width == 1676
    if norm == "linf":
        assert 0 < np.abs(change).max() <= 4
    else:
        assert 0 < np.sqrt((change**2).mean()) <= 4.001
    assert left_behind(Path()) == []


def test_adversarial_of_the_smallest_photo(pellucid: Run, cat: Image.Image, tmp_path: Path):
    cat.crop((0, 0, 1, 1)).save(tmp_path / "one.png")
    answer = pellucid("adversarial", tmp_path / "one.png", "--steps", "1")
    assert answer.code == 0, answer.err
    assert answer.err == ""
    assert "each value changed by at most" in answer.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--attack", "fgms"], "unknown attack 'fgms'; the attacks are fgsm and pgd"),
        (["--norm", "l1"], "unknown norm 'l1'; the norms are linf and l2"),
        (["--epsilon", "0"], "--epsilon 0: must be above 0"),
        (["--epsilon", "nan"], "--epsilon nan: must be above 0"),
        (["--epsilon", "inf"], "--epsilon inf: must be above 0 and at most 255"),
        (["--target", "tabbi"], "unknown class 'tabbi'; did you mean 'tabby'"),
        (["--method", "all"], "unknown method 'all'"),
        (["--out", __file__], f"{__file__} is a file; choose a folder"),
    ],
)
def test_adversarial_refuses(pellucid: Run, photo: Path, arguments: list[str], told: str):
    assert told in pellucid("adversarial", photo, *arguments).complaint


def test_adversarial_of_a_missing_photo_and_of_a_folder(pellucid: Run, tmp_path: Path):
    assert pellucid("adversarial", "cat.jpg").complaint == "cat.jpg: no such file"
    assert f"{tmp_path}: is a folder" in pellucid("adversarial", tmp_path).complaint


def test_kernels(pellucid: Run, tmp_path: Path):
    answer = pellucid("kernels")
    assert answer.code == 0
    assert answer.out == "tf_efficientnet_lite0, conv_stem: 32 kernels of 3×3\n  picture kernels.png\n"
    folder = tmp_path / "v1.0"
    folder.mkdir()
    assert pellucid("kernels", "--out", folder).code == 0
    with Image.open("kernels.png") as here, Image.open(folder / "kernels.png") as there:
        assert here.tobytes() == there.tobytes()
    assert "pictures are written as PNG" in pellucid("kernels", "--out", "k.jpg").complaint
    assert "is no 2-D convolution" in pellucid("kernels", "--layer", "classifier").complaint
    assert "did you mean 'conv_stem'" in pellucid("kernels", "--layer", "conv_sten").complaint


def test_models(pellucid: Run):
    listed = pellucid("models", "*efficientnet_lite0*", "--json").items
    assert listed[0] == {"name": "tf_efficientnet_lite0", "source": "embedded", "on_disk": True}
    assert all("efficientnet_lite0" in item["name"] for item in listed)
    assert pellucid("models", "TF_efficientnet_lite0").out.splitlines()[0].split()[0] == "tf_efficientnet_lite0"
    assert pellucid("models", "--on-disk").out.splitlines()[0].endswith("on this machine")
    assert "no network is called 'nosuch'" in pellucid("models", "nosuch").complaint


def test_models_lists_layers(pellucid: Run):
    rows = pellucid("models", "tf_efficientnet_lite0", "--layers", "--json").items
    assert {"layer": "conv_stem", "type": "Conv2dSame"} in rows
    assert len(pellucid("models", "--layers").out.splitlines()) == len(rows)
    assert "unknown model" in pellucid("models", "efficientnet_lite*", "--layers").complaint


def test_demo(pellucid: Run, monkeypatch: pytest.MonkeyPatch):
    settings = {"masks": 2, "samples": 1, "steps": 1, "window": 112, "stride": 112}
    monkeypatch.setattr(demo_command, "SETTINGS", settings)
    monkeypatch.setattr(demo_command, "PHOTOS", {"cat": "chelsea"})
    monkeypatch.setattr(demo_command, "SCENES", "scenes:n=8,size=96,seed=1")
    monkeypatch.setattr(demo_command, "OTHER_SCENES", "scenes:n=3,size=96,seed=2")
    monkeypatch.setattr(demo_command, "EPOCHS", 1)
    monkeypatch.setattr(demo_command, "CASES", 2)
    answer = pellucid("demo", "--out", "seen")
    assert answer.code == 0, answer.err
    assert "tabby" in answer.out
    assert len(check_whole(Path("seen/cat"))["maps"]) == 39
    assert "Egyptian cat" in answer.out  # found by rcnn-imagenet
    assert Path("seen/pictures/cat.png").is_file()
    assert "COCO, masks: AP " in answer.out
    page = Path("seen/report.html").read_text("utf-8")
    assert "ODAM" in page
    assert "was not found: " in page
    assert answer.out.splitlines()[-1] == "Next: pellucid serve seen/detector/best.safetensors"
    demo_command.train_and_report(Path("seen"))  # a second demo goes on where the first one ended


def test_the_program_itself(pellucid: Run):
    assert pellucid("--version").out == f"pellucid {__version__}\n"
    for wrong in (["--bogus"], ["explian"], ["explain", "a.png", "--top-k", "0"], ["explain", "-k.png"]):
        answer = pellucid(*wrong)
        assert answer.code == 2
        assert answer.out == ""
        assert "Error: " in answer.err
