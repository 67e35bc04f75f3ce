"""The command line: one file a command, each of them imported only when it runs."""

import os
import signal
import sys
from io import TextIOWrapper

from pellucid.cli.application import app
from pellucid.errors import PellucidError

# isort: split
# They join in the order in which the help lists them.
from pellucid.cli import photo_commands  # noqa: F401

# isort: split
from pellucid.cli import data_commands  # noqa: F401

# isort: split
from pellucid.cli import score_commands  # noqa: F401

# isort: split
from pellucid.cli import why_commands  # noqa: F401

# isort: split
from pellucid.cli import train_commands  # noqa: F401

# isort: split
from pellucid.cli import model_commands  # noqa: F401

# isort: split
from pellucid.cli import unit_commands  # noqa: F401

# isort: split
from pellucid.cli import other_commands  # noqa: F401


class _StoppedError(BaseException):
    """A signal asks to end: not a KeyboardInterrupt, which typer would end by itself and without a word."""


def _stop(number: int, frame: object) -> None:
    raise _StoppedError(number)


def main() -> None:
    """The entry point: one line and exit code 2 for what a person can mend, 130 for Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):  # a file's name or a class may not be of the terminal's alphabet
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in handlers.items():
            if handler is not signal.SIG_IGN:  # nohup, or a shell's background job
                signal.signal(number, _stop)
        try:
            app()
        finally:
            sys.stdout.flush()
    except PellucidError as error:
        _complain(str(error))
        sys.exit(2)
    except _StoppedError as stopped:
        _complain("interrupted; what was finished is kept")
        sys.exit(128 + stopped.args[0])
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does: nothing to say, and no one to hear
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _complain(message: str) -> None:
    print(f"pellucid: {' '.join(message.split())}", file=sys.stderr)


if __name__ == "__main__":
    main()
