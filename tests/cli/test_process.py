"""The command line as a process: exit codes, streams, signals."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from .conftest import QUICK, check_whole, left_behind

COMMAND = [sys.executable, "-m", "pellucid.cli.main"]


def _run(*arguments: str | Path, environment: dict[str, str], folder: Path, **more: Any) -> Any:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=environment, cwd=folder, capture_output=True, timeout=300, **more
    )


@pytest.mark.parametrize(
    "command",
    [
        *(
            "",
            "explain",
            "adversarial",
            "check",
            "show",
            "convert",
            "evaluate",
            "compare",
            "predict",
            "train",
            "synthesize",
            "search",
            "microscope",
            "blocks",
        ),
        *("kernels", "models", "demo"),
    ],
)
def test_help_imports_no_torch(command: str, environment: dict[str, str]):
    program = (
        "import sys\n"
        "from pellucid.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "heavy = {'torch', 'numpy', 'PIL', 'matplotlib', 'timm'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    arguments = [command, "--help"] if command else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment | {"COLUMNS": "80"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    many = ("COMMAND [ARGS]...", "{PHOTO}...", "{IMAGES}...", "LAYER]...")
    for argument in many:
        done.stdout = done.stdout.replace(argument, "")
    assert "..." not in done.stdout  # no sentence is cut


def test_a_conversion_that_is_broken_off_leaves_nothing(environment: dict[str, str], tmp_path: Path):
    running = subprocess.Popen(
        [*COMMAND, "convert", "scenes:n=100000,size=64", "coco:out"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not any(tmp_path.glob(".out-*/train/*.png")) and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert err == "pellucid: interrupted; what was finished is kept\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_what_is_finished_and_leaves_nothing_else(
    photo: Path, environment: dict[str, str], tmp_path: Path
):
    running = subprocess.Popen(
        [*COMMAND, "explain", *[str(photo)] * 100, *QUICK, "--out", "out"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for _ in range(2):  # the first photo's two lines
        assert running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130
    assert err == "pellucid: interrupted; what was finished is kept\n"
    assert left_behind(tmp_path) == []
    folders = sorted((tmp_path / "out").iterdir())
    assert folders
    for folder in folders:
        if any(folder.iterdir()):
            check_whole(folder)


def test_results_go_to_stdout_and_progress_to_the_terminal(
    cat: Image.Image, environment: dict[str, str], tmp_path: Path
):
    cat.save(tmp_path / "[red]a[b].png")
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "explain", "[red]a[b].png", "void.png", *QUICK],
            env=environment | {"TERM": "xterm", "NO_COLOR": "1"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            timeout=300,
        )
        shown = os.read(ours, 1 << 20).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.startswith("[red]a[b].png: ")
    assert "[red]a[b].png: " in shown
    assert "pellucid: void.png: no such file" in shown
    assert "\x1b[3" not in shown  # no colour


def test_no_progress_where_nobody_looks_and_any_file_name(
    cat: Image.Image, environment: dict[str, str], tmp_path: Path
):
    name = b"caf\xe9.png"  # no UTF-8
    try:
        os.rename(cat_file(cat, tmp_path), os.path.join(os.fsencode(tmp_path), name))
    except OSError:
        pytest.skip("this file system takes Unicode names alone")
    environment = environment | {"FORCE_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    done = _run("explain", ".", *QUICK, "--json", environment=environment, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    (item,) = json.loads(done.stdout)
    assert os.fsencode(item["photo"]) == name
    assert check_whole((tmp_path / item["panel"]).parent) == item


def cat_file(cat: Image.Image, folder: Path) -> bytes:
    cat.save(folder / "plain.png")
    return os.fsencode(folder / "plain.png")


def test_a_full_disk_is_one_line(photo: Path, environment: dict[str, str], tmp_path: Path):
    resource = pytest.importorskip("resource")
    done = _run(
        *("explain", photo, *QUICK, "--out", "out"),
        environment=environment,
        folder=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    assert done.returncode == 2
    # matplotlib may say besides that it could not write its list of fonts, on a machine's first run
    (line,) = [text for text in done.stderr.decode().splitlines() if text.startswith("pellucid:")]
    assert "cannot be written (File too large)" in line
    assert b"Traceback" not in done.stderr
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []


def test_head_ends_it_quietly(environment: dict[str, str], tmp_path: Path):
    running = subprocess.Popen(
        [*COMMAND, "models"], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stdout.readline().startswith(b"tf_efficientnet_lite0 ")
    running.stdout.close()
    assert running.stderr is not None
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait(timeout=120) == 1
