"""Trainings as processes: killed and resumed, several at once under torchrun, stopped by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pellucid.training.recipe_files import read_recipe
from pellucid.training.state import read_state
from pellucid.training.training import train

from .conftest import SCENES, lines_of

_COMMAND = str(Path(__file__).with_name("run_tiny.py"))
_RECIPE = """
model: tiny
optimiser: {learning_rate: 0.01}
data: {drop_last: false, train: "%s", val: "scenes:n=4,size=40,seed=4"}
state: {steps: 1}
settings: {dropout: 0.0}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(_RECIPE % SCENES)
    return tmp_path


@pytest.fixture(scope="module", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        if "PYTHONDONTWRITEBYTECODE" in os.environ:  # else each process would compile all of torch's Python anew
            patch.delenv("PYTHONDONTWRITEBYTECODE")
            patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("bytecode")))
        yield


def _started(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *launcher, _COMMAND, "train", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _done(process: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out, err


def _step(path: Path) -> int:
    return read_state(path)[0].step if path.exists() else 0


def test_killed_in_an_epoch_and_resumed(folder: Path) -> None:
    options = ("tiny.yaml", "--epochs", "8", "--batch-size", "2", "--set", "validation.every=4")
    running = _started(folder, *options, "--out", "broken")
    state = folder / "broken" / "resume.pt"
    deadline = time.monotonic() + 200
    while _step(state) < 8 and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    stopped = read_state(state)[0]
    assert 8 <= stopped.step < 40
    assert not stopped.finished
    _, err = _done(_started(folder, "broken", "--resume"))
    assert f"epoch {stopped.epoch + 1}/8" in err
    made = read_recipe(folder / "broken" / "recipe.yaml")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes
    try:
        train(made, out=folder / "whole", device="cpu")
    finally:
        torch.set_num_threads(threads)
    assert lines_of(folder / "broken" / "log.jsonl") == lines_of(folder / "whole" / "log.jsonl")
    ours, theirs = (read_state(folder / name / "resume.pt")[1] for name in ("broken", "whole"))
    assert all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())


def test_two_processes_equal_one_with_twice_the_batch(folder: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    options = ("tiny.yaml", "--epochs", "2", "--device", "cpu")
    two = _started(folder, *options, "--batch-size", "2", "--out", "two", launcher=launcher)
    train(
        read_recipe(folder / "tiny.yaml", ["epochs=2", "batch_size=4"]),
        out=folder / "one",
        device="cpu",
    )
    out, err = _done(two)
    assert out.count("written: two/best.safetensors") == 1
    assert err.count("epoch 2/2") == 1
    (place, ours), (same, theirs) = (read_state(folder / name / "resume.pt") for name in ("one", "two"))
    assert place.step == same.step == 6
    for name, column in place.curves.items():
        assert same.curves[name] == pytest.approx(column, abs=1e-5)
    for name, value in ours["model"].items():
        torch.testing.assert_close(theirs["model"][name], value, atol=1e-5, rtol=0)
    assert [one["scores"] for one in place.history] == [one["scores"] for one in same.history]


def test_ctrl_c_writes_the_state_and_says_how_to_go_on(folder: Path) -> None:
    running = _started(folder, "tiny.yaml", "--epochs", "100000", "--set", "state.steps=0", "--set", "state.seconds=0")
    state = folder / "runs" / "tiny" / "log.jsonl"
    deadline = time.monotonic() + 200
    while not (state.exists() and state.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = _done(running, 130)
    assert out == ""
    assert err.splitlines()[-1] == "pellucid: interrupted; continue with --resume"
    assert _step(folder / "runs" / "tiny" / "resume.pt") > 0
    assert not [p for p in (folder / "runs" / "tiny").iterdir() if p.name.startswith(".")]
