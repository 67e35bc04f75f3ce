"""What is wrong with a data set: found while reading or checking, counted, and said in one line each."""

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pellucid.errors import PellucidError

Action = Literal["kept", "clipped", "dropped", "mended"]
"""What tolerant reading does about a defect."""


class DataWarning(UserWarning):
    """A data set was read, but not all of it as it stands."""


@dataclass(frozen=True)
class Kind:
    """A kind of defect: what one is called, several, and what a person can do about it."""

    one: str
    many: str
    remedy: str


KINDS = {
    "unreadable": Kind("unreadable file", "unreadable files", "restore it from the source, or remove it"),
    "malformed": Kind("malformed entry", "malformed entries", "correct or remove the entry"),
    "missing key": Kind("missing key", "missing keys", "add the key"),
    "unknown image": Kind(
        "annotation of an unknown image", "annotations of unknown images", "add the image or remove the annotation"
    ),
    "unknown class": Kind("unknown class", "unknown classes", "correct the name, or add the class to the list"),
    "duplicate id": Kind("duplicate id", "duplicate ids", "give each an id of its own"),
    "duplicate image": Kind("image listed twice", "images listed twice", "list it once"),
    "outside folder": Kind("path out of the data folder", "paths out of the data folder", "use a path inside it"),
    "missing image": Kind("missing image", "missing images", "restore the file, or remove the image from the list"),
    "missing annotation": Kind(
        "image without annotation file", "images without annotation file", "add the file, or remove the image"
    ),
    "damaged image": Kind("damaged image", "damaged images", "restore the file from the source"),
    "size disagrees": Kind("size that disagrees", "sizes that disagree", "correct the size, or restore the image"),
    "mixed modes": Kind("mixture of pixel types", "mixtures of pixel types", "none is needed: all are read as RGB"),
    "rotated": Kind(
        "image turned by its EXIF tag", "images turned by their EXIF tag", "rotate the pixels and remove the tag"
    ),
    "not a number": Kind("coordinate that is no number", "coordinates that are no numbers", "correct or remove it"),
    "negative size": Kind("box of negative size", "boxes of negative size", "exchange the corners, or remove it"),
    "zero area": Kind("box of zero area", "boxes of zero area", "draw it anew, or remove it"),
    "box outside": Kind("box beyond the image", "boxes beyond the image", "cut it at the border"),
    "box off image": Kind("box wholly off the image", "boxes wholly off the image", "remove it"),
    "duplicate box": Kind("object boxed twice", "objects boxed twice", "remove one of the two"),
    "bad mask": Kind("broken mask", "broken masks", "draw it anew, or remove it"),
    "empty mask": Kind("empty mask", "empty masks", "draw it anew, or remove it"),
    "mask misses box": Kind("mask that misses its box", "masks that miss their box", "correct the box or the mask"),
    "bad keypoints": Kind("broken keypoints", "broken keypoints", "correct or remove them"),
    "keypoint outside": Kind("keypoint out of place", "keypoints out of place", "move it, or mark it as not labelled"),
    "area disagrees": Kind(
        "area that is not the mask's", "areas that are not the masks'", "compute it anew from the mask"
    ),
    "bad map": Kind("map that cannot be read", "maps that cannot be read", "restore the file from the source"),
    "lossy masks": Kind("folder of lossy masks", "folders of lossy masks", "make them anew as PNG"),
    "unknown value": Kind("map with unknown values", "maps with unknown values", "map them to classes, or to ignore"),
    "no annotations": Kind("image without annotations", "images without annotations", "annotate it, if it shows any"),
    "class missing": Kind(
        "image without a class that nearly all others have",
        "images without a class that nearly all others have",
        "look whether its annotation was forgotten",
    ),
    "unused class": Kind(
        "split without an example of some classes",
        "splits without an example of some classes",
        "add examples, or drop the classes",
    ),
    "imbalance": Kind("class imbalance", "class imbalances", "add examples of the rare class, or weigh it more"),
    "same image": Kind("image that stands twice", "images that stand twice", "remove one of the two"),
    "near duplicate": Kind("nearly the same image", "nearly the same images", "look at them, and keep one"),
    "split overlap": Kind(
        "image in two splits", "images in two splits", "keep it in one: scores on it are worth nothing"
    ),
    "split near overlap": Kind(
        "nearly the same image in two splits",
        "nearly the same images in two splits",
        "keep both in one split: scores on it flatter",
    ),
}
"""Every kind of defect, by its name."""


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong: its kind, the file that says it, the item in it, and what is wrong with that."""

    kind: str
    file: str
    item: str
    what: str
    action: Action = "kept"

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return KINDS[self.kind].remedy

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.item, self.what) if part) + f"; {self.remedy}"


class Defects:
    """The defects of a data set, counted by kind and by what was done; of each kind the first ``keep`` in full."""

    def __init__(self, keep: int = 1000) -> None:
        self.keep = keep
        self.found: list[Defect] = []
        self.counts: Counter[tuple[str, Action]] = Counter()
        self._kept: Counter[str] = Counter()

    def add(self, kind: str, file: object, item: str, what: str, action: Action = "kept") -> None:
        """Notes one."""
        self.counts[kind, action] += 1
        if self._kept[kind] < self.keep:
            self._kept[kind] += 1
            self.found.append(Defect(kind, str(file), item, what, action))

    def take(self, others: "Defects") -> None:
        """Adds all that another collection holds."""
        self.counts += others.counts
        for defect in others.found:
            if self._kept[defect.kind] < self.keep:
                self._kept[defect.kind] += 1
                self.found.append(defect)

    def count(self, kind: str) -> int:
        """How many of a kind."""
        return sum(n for (k, _), n in self.counts.items() if k == kind)

    def of(self, kind: str) -> list[Defect]:
        """Those of a kind, the first ``keep``."""
        return [defect for defect in self.found if defect.kind == kind]

    def __len__(self) -> int:
        return self.counts.total()

    def __iter__(self) -> Iterator[Defect]:
        return iter(self.found)

    def summary(self) -> str:
        """'3 boxes of zero area dropped, 1 box beyond the image clipped'."""
        parts = []
        for (kind, action), n in self.counts.items():
            name = KINDS[kind].one if n == 1 else KINDS[kind].many
            parts.append(f"{n:,} {name}" + (f" ({action})" if action != "kept" else ""))
        return ", ".join(parts)

    def settle(self, name: str, *, strict: bool) -> None:
        """Raises PellucidError for the first defect if ``strict``, else gives one warning about all of them."""
        if not self.counts:
            return
        if strict:
            rest = f" (and {len(self) - 1:,} more: pellucid check lists them)" if len(self) > 1 else ""
            raise PellucidError(f"{self.found[0]}{rest}")
        warnings.warn(f"{name}: {self.summary()}; pellucid check lists them", DataWarning, stacklevel=3)
