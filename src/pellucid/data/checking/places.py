"""Where a defect is: what errors that readers raise say of it, and the reader behind those laid around it."""

import os
from typing import Any

from pellucid.data.records import AtRows
from pellucid.errors import PellucidError


def told(error: PellucidError, file: str) -> tuple[str, str]:
    """The file that an error names, else ``file``, and what is wrong with it, without the remedy."""
    text = str(error)
    start, colon, rest = text.partition(": ")
    if colon and (start == file or os.path.exists(start)):
        file, text = start, rest
    what, semicolon, _ = text.rpartition("; ")
    return file, what if semicolon else text


def unwrapped(reader: Any, index: int) -> tuple[Any, int]:
    """The reader behind those that removing rows or images laid around it, and the index that it knows."""
    while isinstance(reader, AtRows):
        index = int(reader.rows[index])
        reader = reader.read
    return reader, index


def listed(names: list[str], most: int = 3) -> str:
    """'a, b, c and 4 more'."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
