"""Files written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pellucid.errors import PellucidError


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; on success it is flushed to disk and renamed to ``path``, else removed.

    The temporary name keeps the suffix, since many writers choose the format by it. Raises PellucidError where the
    folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise PellucidError(f"{path}: cannot write here ({error.strerror}); choose another --out folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise PellucidError(f"{path}: cannot be written ({error.strerror or error}); is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
