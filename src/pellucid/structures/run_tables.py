"""Many masks as run lengths side by side: decoded, counted and boxed at once. It is compiled, so import it late."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.compiled import compiled
from pellucid.errors import PellucidError
from pellucid.structures.columns import ObjectColumns
from pellucid.structures.masks import as_run_lengths
from pellucid.structures.run_lengths import RunLengths


@dataclass
class RunTable:
    """M masks, each as its runs of ones, counted column by column.

    ``sizes``: int64 (M, 2), height and width. ``first``: int64 (M + 1,), mask m has the runs first[m] to first[m + 1].
    ``begins``, ``ends``: int64, where runs begin, and end (not included). Called with a row it gives ``RunLengths``.
    """

    sizes: NDArray[np.int64]
    first: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def areas(self) -> NDArray[np.int64]:
        """int64 (M,): pixels of each."""
        total = np.concatenate(([0], np.cumsum(self.ends - self.begins)))
        return total[self.first[1:]] - total[self.first[:-1]]

    @property
    def boxes(self) -> NDArray[np.float64]:
        """float64 (M, 4): the tight box of each, x, y, width, height; zeros for a mask without pixels."""
        made = np.zeros((len(self), 4))
        _boxes(self.first, self.begins, self.ends, self.sizes[:, 0].copy(), made)
        return made

    def __call__(self, row: int) -> RunLengths:
        H, W = self.sizes[row].tolist()
        part = slice(int(self.first[row]), int(self.first[row + 1]))
        edges = np.stack((self.begins[part], self.ends[part]), 1).ravel()
        return RunLengths.from_counts(np.diff(np.concatenate(([0], edges, [H * W]))), (H, W))

    def taken(self, rows: NDArray[np.int64]) -> "RunTable":
        """Some of the masks, in their order."""
        counts = np.diff(self.first)[rows]
        first = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        at = np.repeat(self.first[:-1][rows] - first[:-1], counts) + np.arange(first[-1])
        return RunTable(self.sizes[rows], first, self.begins[at], self.ends[at])


def run_table(columns: ObjectColumns) -> tuple[RunTable, dict[int, str]]:
    """The masks of all rows; a row whose mask cannot be read has none, and stands with the reason in the second."""
    if isinstance(columns.mask, RunTable):
        return columns.mask, {}
    texts: list[bytes] = []
    sizes: list[tuple[int, int]] = []
    broken: dict[int, str] = {}
    read: Any = columns.mask
    compressed = getattr(read, "compressed", None)
    known = None if compressed is None else compressed()
    for row in range(len(columns.labels)):
        try:
            found = None if known is None else known[row]
            if found is None:
                mask = None if read is None else read(row)
                if mask is None:
                    raise PellucidError("it has no mask")
                runs = as_run_lengths(mask)
                found = runs.counts, runs.size
            text, size = found
        except PellucidError as error:
            text, size = b"", (0, 0)
            broken[row] = str(error)
        texts.append(text)
        sizes.append(size)
    made, sound = from_texts(texts, np.array(sizes, dtype=np.int64).reshape(-1, 2))
    for row in np.flatnonzero(~sound).tolist():
        broken.setdefault(row, "its run lengths are damaged or do not cover the mask exactly")
    return made, broken


def from_texts(texts: list[bytes], sizes: NDArray[np.int64]) -> tuple[RunTable, NDArray[np.bool_]]:
    """From COCO's compressed texts; and bool (M,), which of them are sound. The others are left empty."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    first = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    data = np.frombuffer(b"".join(texts), dtype=np.uint8)
    begins = np.empty(len(data) // 2 + len(texts) + 1, dtype=np.int64)
    ends = np.empty_like(begins)
    runs_first = np.zeros(len(texts) + 1, dtype=np.int64)
    sound = np.zeros(len(texts), dtype=bool)
    count = _decode(data, first, sizes[:, 0] * sizes[:, 1], begins, ends, runs_first, sound)
    return RunTable(sizes, runs_first, begins[:count].copy(), ends[:count].copy()), sound


@compiled
def _decode(
    data: NDArray, first: NDArray, pixels: NDArray, begins: NDArray, ends: NDArray, runs_first: NDArray, sound: NDArray
) -> int:
    """COCO's text: base 32 from '0', low digits first; from the fourth on they are differences to the last but one."""
    made = 0
    for m in range(len(first) - 1):
        start, at, position = made, first[m], 0
        before, last, number, good = 0, 0, 0, True
        while at < first[m + 1] and good:
            value, shift, more = 0, 0, True
            while more:
                if at >= first[m + 1] or shift > 30:
                    good = False
                    break
                digit = int(data[at]) - 48
                at += 1
                if digit < 0 or digit > 63:
                    good = False
                    break
                value |= (digit & 0x1F) << shift
                shift += 5
                more = (digit & 0x20) != 0
                if not more and digit & 0x10:
                    value -= 1 << shift
            if not good:
                break
            if number > 2:
                value += before
            before, last = last, value
            if value < 0 or position + value > pixels[m]:
                good = False
                break
            if number % 2 and value > 0:
                begins[made], ends[made] = position, position + value
                made += 1
            position += value
            number += 1
        sound[m] = good and position == pixels[m] and pixels[m] > 0
        if not sound[m]:
            made = start
        runs_first[m + 1] = made
    return made


@compiled
def _boxes(first: NDArray, begins: NDArray, ends: NDArray, heights: NDArray, made: NDArray) -> None:
    for m in range(len(first) - 1):
        if first[m] == first[m + 1]:
            continue
        H = heights[m]
        top, bottom = H, 0
        for run in range(first[m], first[m + 1]):
            last = ends[run] - 1
            if begins[run] // H != last // H:  # from one column into the next: from the lower edge and from the upper
                top, bottom = 0, H
                break
            top, bottom = min(top, begins[run] % H), max(bottom, last % H + 1)
        left, right = begins[first[m]] // H, (ends[first[m + 1] - 1] - 1) // H + 1
        made[m] = left, top, right - left, bottom - top
