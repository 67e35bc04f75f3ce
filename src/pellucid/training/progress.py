"""What a training tells while it runs."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text


class Watcher:
    """Hears what a training does; this one says nothing. Make a subclass to be told."""

    def begin(self, steps: int, done: int, epochs: int) -> None:
        """It begins, or goes on: ``steps`` in all, of which ``done`` are done."""

    def step(self, epoch: int, loss: float, rate: float, images_per_second: float) -> None:
        """A step is done; ``rate``: the learning rate."""

    def working(self, what: str, done: int, total: int) -> None:
        """Something other than learning is under way, such as validation; done == total ends it."""

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        """An epoch is over; ``record``: its line of the log."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def end(self) -> None:
        """Nothing follows."""


class _Said(ProgressColumn):
    """Loss, images a second and learning rate, where there are any."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("said", "")))


class _Left(TimeRemainingColumn):
    """The time left, of all steps."""

    def render(self, task: Task) -> Text:
        if task.fields.get("brief"):
            return Text("")
        left = super().render(task)
        left.append(" left")
        return left


class TerminalWatcher(Watcher):
    """A line that moves on stderr where that is a terminal; else a plain line an epoch."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=18),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            _Said(),
            _Left(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            disable=not self.live,
            speed_estimate_period=120,
        )
        self._main: Any = None
        self._other: Any = None
        self._epochs = 0

    def begin(self, steps: int, done: int, epochs: int) -> None:
        self._epochs = epochs
        if self.live:
            self._bar.start()
            self._main = self._bar.add_task("training", total=steps, completed=done, said="")

    def step(self, epoch: int, loss: float, rate: float, images_per_second: float) -> None:
        if self._main is not None:
            said = f"loss {loss:.3f}  {images_per_second:.1f} images/s  rate {rate:.1e}"
            self._bar.update(self._main, advance=1, description=f"epoch {epoch}/{self._epochs}", said=said)

    def working(self, what: str, done: int, total: int) -> None:
        if not self.live:
            return
        self._bar.start()
        if self._other is None:
            self._other = self._bar.add_task(what, total=total, brief=True)
        self._bar.update(self._other, completed=done, total=total, description=what)
        if done >= total:
            self._bar.remove_task(self._other)
            self._other = None

    def epoch(self, record: Mapping[str, Any], epochs: int) -> None:
        self._print(epoch_line(record, epochs))

    def note(self, text: str) -> None:
        self._print(f"pellucid: {text}")

    def _print(self, text: str) -> None:
        if self.live:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.live:
            self._bar.stop()


def epoch_line(record: Mapping[str, Any], epochs: int) -> str:
    """An epoch in one line."""
    parts = [
        f"epoch {record['epoch']}/{epochs}",
        f"loss {record['loss']:.4f}",
        f"rate {record['learning_rate']:.2e}",
        f"{record['images_per_second']:.1f} images/s",
    ]
    for figures in record["scores"].values():
        for name, value in list(figures.items())[:2]:
            parts.append(f"{name} {'–' if value is None or value != value else f'{value:.3f}'}")
    return "  ".join(parts) + ("  (best)" if record["best"] else "")
