"""What the server takes at most, and how it says that it takes no more."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What the server takes at most.

    ``bytes`` and ``pixels``: of one uploaded photo. ``photos`` and ``memory``: how many photos are remembered, and how
    many bytes they and what is known of them may take. ``waiting``: jobs in the queue. ``waiting_bytes``: of all
    uploads that are being read or wait.
    """

    bytes: int = 32 * MIB
    pixels: int = 50_000_000
    photos: int = 16
    memory: int = 1536 * MIB
    waiting: int = 256
    waiting_bytes: int = 512 * MIB


class AnswerError(Exception):
    """A refusal: the status of the answer, and one line that says why."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status = status
        self.line = line


def busy(line: str) -> AnswerError:
    """The refusal of a server that has too much to do at the moment."""
    return AnswerError(503, f"{line}; try again in a moment")


def size_text(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / MIB:.0f} MiB" if count >= MIB else f"{count / 1024:.0f} KiB"
