"""What the commands share: loading the model that was asked for, progress, JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pellucid.errors import PellucidError
from pellucid.models import Classifier, load


def load_model(name: str, checkpoint: Path | None, classes: Path | None, device: str) -> Classifier:
    """The classifier that the options name, on the device that they name."""
    place = _device(device)
    return load(name, checkpoint=checkpoint, classes=classes).to(place)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise PellucidError(f"--device {name}: not available here; use cpu, or auto") from error
    return device


def progress_bar() -> Progress:
    """A progress bar on stderr with rate and time left, silent when stderr is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", table_column=None),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def print_json(value: Any) -> None:
    """JSON on stdout, readable, with names as they are."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def complain(message: str) -> None:
    """One line on stderr."""
    print(f"pellucid: {' '.join(message.split())}", file=sys.stderr, flush=True)
