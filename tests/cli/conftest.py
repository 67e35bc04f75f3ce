"""What the tests of the command line share: photos on disk, and the commands run in this process."""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from skimage import data

from pellucid.cli import main


@dataclass(frozen=True)
class Answer:
    """What a command left: its exit code and its two streams."""

    code: int
    out: str
    err: str

    @property
    def items(self) -> Any:
        """Its JSON; fails where anything else is on stdout."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr, of a command that prints nothing else and exits 2."""
        assert self.code == 2, self.err
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("pellucid: ")
        return line.removeprefix("pellucid: ")


Run = Callable[..., Answer]

QUICK = ("--method", "grad_cam", "--top-k", "1")


@pytest.fixture
def pellucid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """Runs a command in this process, in an empty folder of its own, as its entry point does."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))

    def run(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["pellucid", *map(str, arguments)])
        before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(SystemExit) as ended:
            main.main()
        assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
        code = ended.value.code
        return Answer(code if isinstance(code, int) else 0, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def cat() -> Image.Image:
    """A small photo of a tabby, 225 × 150."""
    return Image.fromarray(data.chelsea()).resize((225, 150))


@pytest.fixture
def photo(cat: Image.Image, tmp_path: Path) -> Path:
    """The tabby as a file."""
    path = tmp_path / "cat.png"
    cat.save(path)
    return path


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For commands in a process of their own: no download, nothing that colours or forces a terminal."""
    unwanted = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "PYTHONIOENCODING", "PYTHONDONTWRITEBYTECODE")
    made = {k: v for k, v in os.environ.items() if k not in unwanted} | {"HF_HUB_OFFLINE": "1"}
    if "PYTHONDONTWRITEBYTECODE" in os.environ:  # else each process would compile all of torch's Python anew
        made["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("bytecode"))
    return made


def left_behind(folder: Path) -> list[Path]:
    """Temporary files: none may outlive a command."""
    return [p for p in folder.rglob(".*") if p.is_file()]


def check_whole(folder: Path) -> dict[str, Any]:
    """The record of one photo's folder, which holds what the record names and nothing else."""
    record: dict[str, Any] = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    named = {Path(record["panel"]).name, *(Path(item["file"]).name for item in record["maps"]), "record.json"}
    assert {p.name for p in folder.iterdir()} == named
    with Image.open(folder / "panel.png") as panel:
        panel.load()
    return record
