"""What can stop a training: a signal, numbers that are none, memory that is full."""

import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch

from pellucid.errors import PellucidError


class InterruptedTrainingError(Exception):
    """A training that a signal ended; its state is written. ``number``: the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by signal {number}")
        self.number = number


class Interruption:
    """While it lasts, Ctrl-C and SIGTERM are only noted, so that the step that is under way can end.

    A second one does what it would do otherwise. ``number``: the signal that came, 0 for none.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if handler is not signal.SIG_IGN:
                    self._before[number] = handler
                    signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        before = self._before.get(number)
        if self.number and callable(before):
            before(number, frame)
        self.number = number

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def not_finite(what: str, epoch: int, step: int, names: Sequence[str], precision: str) -> PellucidError:
    """The error of a loss or gradient that is no number."""
    shown = ", ".join(names[:16]) + (f" and {len(names) - 16} more" if len(names) > 16 else "")
    wider = "--precision 32, or " if precision == "16" else ""
    return PellucidError(
        f"epoch {epoch}, step {step}: {what} for the images {shown}; the state before this step is kept; check these "
        f"images (pellucid check), or go on with --resume and {wider}a lower optimiser.learning_rate or clip"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in said for words in ("not enough memory", "out of memory", "can't allocate memory")
    )


def out_of_memory(batch_size: int, precision: str, accumulate: int) -> PellucidError:
    """The error of full memory: what to lower."""
    ways = []
    if batch_size > 1:
        half = max(1, batch_size // 2)
        more = accumulate * -(-batch_size // half)
        ways.append(f"--batch-size {half} (with --set optimiser.accumulate={more} it learns the same)")
    ways.append("a smaller image size in the model's settings")
    if precision == "32":
        ways.append("--precision bf16")
    return PellucidError(f"out of memory with batches of {batch_size}; lower one of: {'; '.join(ways)}")
