"""Folders, lists and tables as data sets hold them: read without harm, large tables in pieces."""

import csv
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from pellucid.errors import PellucidError, nearest

PIECE = 2048
"""How many rows of a table are handed over at once: few enough to stay in the processor's cache, thrice as fast."""


def names_in(folder: Path | str) -> list[str]:
    """The names in a folder, sorted, hidden ones left out; none where it cannot be listed."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (OSError, ValueError):
        return []


def folders_in(folder: Path | str) -> list[str]:
    """The names of the folders in a folder, sorted, hidden ones left out; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    except (OSError, ValueError):
        return []


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty, without the blanks around them. Raises PellucidError as it fails."""
    with _opened(path) as file:
        try:
            return [line for line in map(str.strip, file) if line]
        except OSError as error:
            raise PellucidError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def numbered_lines(path: Path, what: str) -> list[str]:
    """All lines of a text file of UTF-8, empty ones too, since their numbers count.

    ``what`` it holds, such as "class names", for the PellucidError where it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PellucidError(f"{path}: {what} cannot be read; save the file as UTF-8 text") from error


def read_table(
    path: Path, wanted: Sequence[str], optional: Sequence[str] = (), broken: Callable[[int, str], None] | None = None
) -> Iterator[tuple[Sequence[int], list[Sequence[str]]]]:
    """The columns of a table with a header, piece by piece: line numbers, and the columns ``wanted`` and ``optional``.

    An optional column that is not there is empty. Names match whatever their case. Rows that are too short, and what
    the csv module refuses, go to ``broken`` with their line. Raises PellucidError where the file cannot be read, or its
    header lacks a wanted column.
    """
    with _opened(path) as file:
        reader = csv.reader(file)
        header = _header(reader, path)
        places = []
        for name in (*wanted, *optional):
            place = header.get(name.lower(), -1)
            if place < 0 and name in wanted:
                raise PellucidError(f"{path}: has no column '{name}'{nearest(name, header)}; is it another table?")
            places.append(place)
        width = max(places) + 1
        for lines, rows in _pieces(reader, broken):
            if min(map(len, rows)) < width:
                whole = []
                for line, row in zip(lines, rows, strict=True):
                    if len(row) >= width:
                        whole.append((line, row))
                    elif row and broken is not None:
                        broken(line, f"has {len(row)} columns, not {width} or more")
                if not whole:
                    continue
                lines, rows = [line for line, _ in whole], [row for _, row in whole]
            yield lines, [[row[place] for row in rows] if place >= 0 else () for place in places]


def read_rows(path: Path, broken: Callable[[int, str], None] | None = None) -> list[list[str]]:
    """The rows of a small table, its header with them. Raises PellucidError where it cannot be read."""
    with _opened(path) as file:
        return [row for _, rows in _pieces(csv.reader(file), broken) for row in rows if row]


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes a table. Raises PellucidError where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="replace", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    except OSError as error:
        raise PellucidError(f"{path}: cannot be written ({error.strerror or error}); is the disk full?") from error


def write_text(path: Path, text: str) -> None:
    """Writes a text, as UTF-8, where its folder exists. Raises PellucidError where that fails."""
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PellucidError(f"{path}: cannot be written ({reason}); is the disk full?") from error


def made_folder(path: Path) -> Path:
    """The folder, made if need be. Raises PellucidError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PellucidError(f"{path}: this folder cannot be made ({reason}); choose another --out folder") from error
    return path


def _opened(path: Path) -> IO[str]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PellucidError(f"{path}: is no regular file; give a text file")
        return open(path, encoding="utf-8-sig", errors="replace", newline="")
    except OSError as error:
        raise PellucidError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    except ValueError as error:
        raise PellucidError(f"{str(path)!r}: not a file name ({error}); check the path") from error


def _header(reader: Iterator[list[str]], path: Path) -> dict[str, int]:
    try:
        names = [" ".join(name.split()).lower()[:80] for name in next(reader)]
        return {name: place for place, name in reversed(list(enumerate(names)))}
    except StopIteration as error:
        raise PellucidError(f"{path}: is empty; a line with the columns' names is wanted") from error
    except (csv.Error, OSError) as error:
        raise PellucidError(f"{path}: is no table ({error}); restore it from the source") from error


def _pieces(
    reader: Iterator[list[str]], broken: Callable[[int, str], None] | None
) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
    """Rows in pieces with the number of the line on which each ends; goes on after what the reader refuses."""
    ended = False
    while not ended:
        rows: list[list[str]] = []
        first = reader.line_num + 1  # type: ignore[attr-defined]
        try:
            rows.extend(islice(reader, PIECE))  # what it had before an error stays
            ended = not rows
        except csv.Error as error:
            if broken is not None:
                broken(reader.line_num, f"is no row of a table ({error})")  # type: ignore[attr-defined]
        except OSError:
            ended = True
            if broken is not None:
                broken(reader.line_num, "cannot be read on")  # type: ignore[attr-defined]
        if rows:
            yield range(first, first + len(rows)), rows
