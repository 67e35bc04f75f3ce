"""What the commands share: loading the model that was asked for, progress, JSON."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from pellucid.errors import PellucidError
from pellucid.files import written_whole

if TYPE_CHECKING:
    import torch

    from pellucid.models import Classifier, PhotoModel


# What networks need is imported with the first of them: commands on data sets start without it.


def load_model(name: str, checkpoint: Path | None, classes: Path | None, device: str) -> "Classifier":
    """The classifier that the options name, on the device that they name."""
    from pellucid.models import Classifier

    model = load_any(name, checkpoint, classes, device)
    if not isinstance(model, Classifier):
        raise PellucidError(
            f"{checkpoint or name}: holds a model for {model.task}, and this command takes classifiers; "
            "see pellucid predict"
        )
    return model


def load_any(name: str, checkpoint: Path | None, classes: Path | None, device: str) -> "PhotoModel":
    """The model that the options name, of whatever task, on the device that they name."""
    from pellucid.models import load

    place = _device(device)
    return load(name, checkpoint=checkpoint, classes=classes).to(place)


def _device(name: str) -> "torch.device":
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # a meta tensor has no value
    except (RuntimeError, AssertionError, ImportError) as error:  # NotImplementedError is a RuntimeError
        raise PellucidError(f"--device {name}: not available here; use cpu, or auto") from error
    return device


def check_folder(out: Path) -> None:
    """Raises PellucidError where nothing can be written to --out: before the work rather than after it."""
    try:
        existing = out
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            raise PellucidError(f"--out {out}: {existing} is a file; choose a folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PellucidError(f"--out {out}: {existing} may not be written to; choose another folder")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PellucidError(f"--out {out}: cannot write here ({reason}); choose another folder") from error


class _Bar(Progress):
    """A bar that does nothing at all where it is disabled: rich's own ends with an empty line even then."""

    def start(self) -> None:
        if not self.disable:
            super().start()

    def stop(self) -> None:
        if not self.disable:
            super().stop()


def progress_bar() -> Progress:
    """A progress bar on stderr with rate and time left, silent when stderr is no terminal.

    What is printed meanwhile belongs inside ``paused``.
    """
    return _Bar(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # What goes to stdout stays there, though rich would send it where the bar is.
        redirect_stdout=False,
        # Asked of the stream itself: where FORCE_COLOR is set, rich takes a file for a terminal.
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def paused(bar: Progress) -> Iterator[None]:
    """Within it the bar is off the screen, so that lines can be printed."""
    bar.stop()
    try:
        yield
    finally:
        bar.start()


def json_text(value: Any, encoding: str = "utf-8") -> str:
    """JSON, readable, with names as they are wherever the encoding has them all (a file's name may be no text)."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, indent=2, allow_nan=False)
    return text


def write_json(path: Path, value: Any) -> Path:
    """Writes JSON to a file, whole or not at all; returns its path."""
    with written_whole(path) as temporary:
        temporary.write_text(json_text(value) + "\n", encoding="utf-8")
    return path


def print_json(value: Any) -> None:
    """JSON on stdout."""
    print(json_text(value, getattr(sys.stdout, "encoding", None) or "utf-8"))


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"pellucid: {' '.join(message.split())}", file=sys.stderr, flush=True)
