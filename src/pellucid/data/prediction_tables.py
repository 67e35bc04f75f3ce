"""Tables of predicted boxes: ImageNet's and Open Images' on Kaggle, an image a row, or Open Images', a box a row."""

from pathlib import Path

import numpy as np

from pellucid.data.dataset import Dataset
from pellucid.data.defects import Defects
from pellucid.data.images import stem_of
from pellucid.data.numbers import number
from pellucid.data.openimages.boxes import numbers
from pellucid.data.tables import read_rows, read_table
from pellucid.errors import PellucidError
from pellucid.structures import ObjectColumns


def read_box_table(path: Path, dataset: Dataset, defects: Defects) -> ObjectColumns:
    """The predictions in a table, in columns, the images in the data set's order.

    With the column PredictionString: five parts a box (class, x1, y1, x2, y2 in pixels, as ILSVRC's guesses, best
    first), or six where the data set is of Open Images (class, score, then the corners in shares of the image). Else a
    box a row: ImageID, LabelName, Score or Confidence, XMin, XMax, YMin, YMax in shares. Unknown images and classes are
    noted and dropped. Raises PellucidError where it is no such table.
    """
    return _Table(path, dataset, defects).columns()


class _Table:
    def __init__(self, path: Path, dataset: Dataset, defects: Defects) -> None:
        self.path, self.dataset, self.defects = path, dataset, defects
        self.images: dict[str, int] = {}
        for index, name in enumerate(dataset.names):
            for known in (name, name.rsplit(".", 1)[0], stem_of(name)):
                self.images.setdefault(known, index)
        classes = dataset.classes
        self.labels = {str(classes.source_id(k)): k for k in range(len(classes))}
        self.labels |= {name: k for k, name in enumerate(classes.names) if name not in self.labels}
        self.rows: list[list[tuple[int, float, tuple[float, ...], int]]] = [[] for _ in dataset.names]

    def columns(self) -> ObjectColumns:
        header = {name.strip().lower() for name in (read_rows(self.path) or [[]])[0]}
        scored = self._strings() if "predictionstring" in header else self._boxes(header)
        counts = [len(rows) for rows in self.rows]
        flat = [row for rows in self.rows for row in rows]
        corners = np.array([box for _, _, box, _ in flat], dtype=np.float64).reshape(-1, 4)
        dataset = self.dataset
        return ObjectColumns(
            dataset.classes,
            dataset.names,
            np.zeros((len(dataset), 2), dtype=np.int64),
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1),
            np.array([label for label, *_ in flat], dtype=np.int64),
            np.zeros(len(flat), dtype=np.uint8),
            ids=None if None in dataset.ids else [id for id in dataset.ids if id is not None],
            scores=np.array([score for _, score, *_ in flat]) if scored else None,
            item=_Lines([line for *_, line in flat]),
            source=str(self.path),
        )

    def _broken(self, line: int, what: str) -> None:
        self.defects.add("malformed", self.path, f"line {line}", what, "dropped")

    def _image(self, name: str, line: int) -> int:
        found = self.images.get(name, -1)
        if found < 0:
            self.defects.add("unknown image", self.path, f"line {line} ({name[:80]})", "is not in the truth", "dropped")
        return found

    def _add(self, image: int, name: str, score: float, box: tuple[float, ...], line: int, scale: bool) -> None:
        label = self.labels.get(name, -1)
        if label < 0:
            self.defects.add(
                "unknown class", self.path, f"line {line}", f"class '{name[:80]}' is not in the truth", "dropped"
            )
            return
        if scale:
            H, W = self.dataset.size(image)
            box = (box[0] * W, box[1] * H, box[2] * W, box[3] * H)
        self.rows[image].append((label, score, box, line))

    def _strings(self) -> bool:
        parts = 6 if self.dataset.format == "openimages" else 5
        for lines, (names, texts) in read_table(self.path, ("ImageId", "PredictionString"), broken=self._broken):
            for line, name, text in zip(lines, names, texts, strict=True):
                image = self._image(name, line)
                words = text.split()
                if image < 0:
                    continue
                if len(words) % parts:
                    self._broken(line, f"{name} has {len(words)} parts, which are no boxes of {parts}")
                    continue
                for at in range(0, len(words), parts):
                    values = [number(word) for word in words[at + 1 : at + parts]]
                    if parts == 6:
                        self._add(image, words[at], values[0], tuple(values[1:]), line, True)
                    else:
                        x1, y1, x2, y2 = values  # counted from 0, both corners inside, as the truth was read
                        shift = 1 if self.dataset.inclusive else 0
                        self._add(image, words[at], 1.0, (x1, y1, x2 + shift, y2 + shift), line, False)
        return parts == 6

    def _boxes(self, header: set[str]) -> bool:
        score = next((name for name in ("Score", "Confidence", "Conf") if name.lower() in header), None)
        if score is None and "imageid" in header:
            raise PellucidError(
                f"{self.path}: has no column PredictionString, Score or Confidence; is it of predictions?"
            )
        wanted = ("ImageID", "LabelName", score or "Score", "XMin", "YMin", "XMax", "YMax")
        for lines, (names, mids, *texts) in read_table(self.path, wanted, broken=self._broken):
            columns = np.stack([numbers(column) for column in texts], 1).tolist()
            for line, name, mid, (value, *box) in zip(lines, names, mids, columns, strict=True):
                image = self._image(name, line)
                if image >= 0:
                    self._add(image, mid, value, tuple(box), line, True)
        return True


class _Lines:
    def __init__(self, lines: list[int]) -> None:
        self.lines = lines

    def __call__(self, row: int) -> str:
        return f"line {self.lines[row]}"
