"""Reading Open Images."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.data.dataset import Holding
from pellucid.data.defects import Defects
from pellucid.data.formats import Options
from pellucid.data.openimages.boxes import Boxes, read_boxes
from pellucid.data.openimages.classes import read_classes
from pellucid.data.openimages.images import Images
from pellucid.data.openimages.layout import find_layout
from pellucid.data.openimages.masks import CORNERS as CORNERS_OF_MASKS
from pellucid.data.openimages.masks import ObjectMasks, match_masks
from pellucid.data.records import Records
from pellucid.data.splits import split_named
from pellucid.data.tables import read_table
from pellucid.errors import PellucidError
from pellucid.structures import Classes

_VERIFIED = {"1": True, "0": False, "1.0": True, "0.0": False}


@dataclass(frozen=True)
class _Lines:
    """What messages call a row: its line in the table."""

    lines: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: Classes

    def __call__(self, row: int) -> str:
        return f"line {self.lines[row]} ({self.classes[int(self.labels[row])]})"


def read(path: Path, split: str | None, defects: Defects, options: Options) -> Records:
    """The records of a split.

    Boxes are normalised in the tables; the images' sizes come from a table of sizes, else from the images' headers.
    Where some images are there, those that are not are dropped. Labels that a person verified are ``present`` or
    ``absent``; those of machines, with a confidence between 0 and 1, are passed over. Raises PellucidError where
    nothing at all can be read, as without images and sizes.
    """
    layout = find_layout(path, options)
    if split is None and len(layout.splits) == 1:
        split = layout.splits[0]
    if split is None:
        raise PellucidError(f"{path}: holds several splits; name one of them: {', '.join(layout.splits)}")
    split = split_named(split, layout.splits, path)
    images = Images(layout, split, defects)
    if not images.there and not images.stated:
        raise _sizeless(path, split)
    classes = read_classes(layout, defects)
    for id in images.stated:
        images.add(id, layout.tables["sizes"][split])
    tables = {kind: layout.tables[kind].get(split) for kind in ("boxes", "labels", "masks")}
    boxes = masks = None
    if tables["boxes"] is not None:
        boxes = read_boxes(tables["boxes"], classes, images, defects)
    elif tables["masks"] is not None:
        boxes = read_boxes(tables["masks"], classes, images, defects, CORNERS_OF_MASKS)
    present, absent = _labels(tables["labels"], classes, images, defects)
    if tables["masks"] is not None and boxes is not None:
        with _noted(tables["masks"], defects):
            found = match_masks(tables["masks"], classes, images, boxes, defects)
            masks = ObjectMasks(found, layout.mask_folders(split), str(tables["masks"]))
    if images.index and not images.ids and defects.count("missing image") == len(images.index):
        raise _sizeless(path, split)
    said_by = str(tables["boxes"] or tables["labels"] or tables["masks"])
    for name in images.unnamed():
        defects.add("missing annotation", said_by, name, "stands in no table", "dropped")
    return _records(classes, images, boxes, masks, (present, absent), tables["labels"] is not None, said_by)


def _sizeless(path: Path, split: str) -> PellucidError:
    return PellucidError(
        f"{path}: boxes are in shares of their image's size, but neither images of '{split}' nor a table of sizes "
        "were found; put the images there, or give sizes=FILE.csv with ImageID,Width,Height"
    )


@contextmanager
def _noted(path: Path, defects: Defects) -> Iterator[None]:
    """A table without which the others can be read: that it cannot be is noted."""
    try:
        yield
    except PellucidError as error:
        defects.add("unreadable", path, "", str(error).removeprefix(f"{path}: "), "dropped")


def _records(
    classes: Classes,
    images: Images,
    boxes: Boxes | None,
    masks: ObjectMasks | None,
    labels: tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]],
    labelled: bool,
    said_by: str,
) -> Records:
    N = len(images.ids)
    holds: set[Holding] = set()
    if boxes is not None:
        holds.add("boxes")
    if labelled:
        holds.add("labels")
    if masks is not None:
        holds.add("masks")
    if boxes is None:
        none = np.zeros(0, dtype=np.int64)
        boxes = Boxes(none, none, np.zeros((0, 4)), np.zeros(0, dtype=np.uint8), none, None)
    sizes = np.array(images.sizes, dtype=np.int32).reshape(-1, 2)
    scale = sizes[boxes.images][:, [1, 0, 1, 0]].astype(np.float64)
    counts = np.bincount(boxes.images, minlength=N)
    with np.errstate(invalid="ignore", over="ignore"):  # what is no number is found by cleaning
        corners = boxes.boxes * scale
    return Records(
        classes=classes,
        holds=frozenset(holds),
        names=images.names(),
        files=images.files,
        sizes=sizes,
        said_by=said_by,
        first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        boxes=corners,
        labels=boxes.labels,
        flags=boxes.flags,
        image_ids=images.ids,
        scores=boxes.scores,
        items=_Lines(boxes.lines, boxes.labels, classes),
        mask=masks,
        present=labels[0],
        absent=labels[1],
    )


def _labels(
    path: Path | None, classes: Classes, images: Images, defects: Defects
) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
    """The labels that a person verified, by image: present, and absent."""
    if path is None:
        return {}, {}
    index = {str(mid): label for label, mid in enumerate(classes.source_ids)}
    found: dict[bool, defaultdict[int, dict[int, None]]] = {True: defaultdict(dict), False: defaultdict(dict)}

    def broken(line: int, what: str) -> None:
        defects.add("malformed", path, f"line {line}", what, "dropped")

    with _noted(path, defects):
        for lines, (ids, mids, texts) in read_table(path, ("ImageID", "LabelName", "Confidence"), (), broken):
            for line, id, mid, text in zip(lines, ids, mids, texts, strict=True):
                verified = _VERIFIED.get(text.strip())
                if verified is None:
                    continue
                image = images.index.get(id)
                if image is None:
                    image = images.add(id, path)
                label = index.get(mid)
                if image >= 0 and label is not None:
                    found[verified][image][label] = None
                elif image >= 0:
                    what = f"the class '{mid[:80]}' of a label of {id} is not in the list"
                    defects.add("unknown class", path, f"line {line}", what, "dropped")
    present, absent = ({image: tuple(labels) for image, labels in found[key].items()} for key in (True, False))
    return present, absent
