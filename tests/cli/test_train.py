"""``pellucid train``: what it prints, what it refuses, what it goes on with."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.models.recipes import RECIPES

from .conftest import Run

QUICK_RUN = ("--data", "scenes:n=4,size=32", "--epochs", "1", "--batch-size", "2", "--device", "cpu")


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "tiny", "training.tiny")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("model: tiny\n")
    return path


def test_a_training_prints_its_scores_and_its_files(pellucid: Run, recipe: Path) -> None:
    done = pellucid("train", recipe, *QUICK_RUN, "--set", "optimiser.clip=1")
    assert done.code == 0, done.err
    assert "AP50" in done.out
    assert "written: runs/mine/best.safetensors" in done.out
    (line,) = done.err.splitlines()
    assert line.startswith("epoch 1/1  loss ")
    again = pellucid("train", "mine", "--resume", "--json")
    assert again.items["was_finished"]
    assert again.items["folder"] == "runs/mine"
    more = pellucid("train", "runs/mine", "--resume", "--epochs", "2", "--json")
    assert "pellucid: --resume: epochs: 2, no longer 1" in more.err
    assert [one["epoch"] for one in more.items["history"]] == [1, 2]
    assert "clip: 1.0" in Path("runs/mine/recipe.yaml").read_text()
    beside = pellucid("train", recipe, *QUICK_RUN, "--json")
    assert beside.items["best"] == "runs/mine-2/best.safetensors"
    assert json.loads(Path("runs/mine-2/log.jsonl").read_text())["epoch"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fast_rcn",), "no recipe is called 'fast_rcn'; did you mean 'fast_rcnn'"),
        (("faster_rcnn",), "no data to learn from; give --data"),
        (("faster_rcnn", "--data", "scenes:n=2", "--set", "learning_rate=1"), "did you mean 'optimiser.learning_rate'"),
        (("faster_rcnn", "--data", "nowhere"), "nowhere: no such file or folder"),
        (("faster_rcnn", "--data", "scenes:n=2", "--precision", "8"), "precision: unknown '8'; there are 32, bf16, 16"),
        (("faster_rcnn", "--data", "scenes:n=2", "--device", "abacus"), "--device abacus: give auto, cpu"),
        (("faster_rcnn", "--resume"), "there is no training in runs/faster_rcnn"),
        (("--resume",), "say of which training"),
        (("--resume", "--out", "there"), "there holds no training"),
        (("--out", "there"), "name a recipe"),
        (("none.yaml",), "none.yaml: no such file"),
    ],
)
def test_what_it_refuses_in_one_line(pellucid: Run, arguments: tuple[str, ...], said: str) -> None:
    assert said in pellucid("train", *arguments).complaint
    assert not list(Path().iterdir())


def test_a_contradiction_and_a_class_that_is_unknown(pellucid: Run, recipe: Path, tmp_path: Path) -> None:
    assert pellucid("train", recipe, *QUICK_RUN, "--out", "run").code == 0
    refused = pellucid("train", "run", "--resume", "--batch-size", "3")
    assert "--resume: batch_size is 2 in run/recipe.yaml, not 3" in refused.complaint
    taken = pellucid("train", recipe, *QUICK_RUN, "--out", "run")
    assert "run: holds a training already; continue it with --resume" in taken.complaint
    other = pellucid("train", recipe, "--data", "scenes:n=2,classes=circle", "--val", "scenes:n=2")
    assert "is not among those of scenes" in other.complaint


def test_help_imports_no_torch(environment: dict[str, str]) -> None:
    program = (
        "import sys\nfrom pellucid.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "assert not {'torch', 'numpy', 'yaml', 'matplotlib'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "train", "--help"],
        env=environment | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "..." not in done.stdout


def test_a_full_disk_is_one_line(recipe: Path, environment: dict[str, str], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    command = Path(__file__).parents[1] / "training" / "run_tiny.py"
    done = subprocess.run(
        [sys.executable, str(command), "train", str(recipe), *QUICK_RUN, "--out", "run"],
        # without bytecode, which the limit would cut short
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
    )
    assert done.returncode == 2, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("pellucid:")]
    assert "cannot be written (File too large)" in line
    assert "Traceback" not in done.stderr
    assert not [p for p in os.listdir(tmp_path / "run") if p.startswith(".")]
