"""How the classes are spread: those without an example, rare ones, and images that lack what nearly all others show."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pellucid.data.checking.places import listed
from pellucid.data.defects import Defects
from pellucid.data.records import Records
from pellucid.structures import Classes

NEARLY_ALL = 0.8
"""The share of images that must show a class before its absence from one is noted."""

RATIO = 20
PIXEL_RATIO = 100
"""How many times the largest class may outnumber the smallest: in objects or images, and in pixels of maps."""

_FEWEST_IMAGES = 10
_FEWEST_EXAMPLES = 100


@dataclass
class Spread:
    """How the classes of one split are spread. ``objects``, ``pixels``: int64 (C,). ``pairs``: int64 (P, 2), each image
    with each class that it shows once. ``mapped``: whether maps were read too."""

    split: str
    records: Records
    objects: NDArray[np.int64]
    pixels: NDArray[np.int64]
    pairs: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    mapped: bool = False

    @classmethod
    def of(cls, split: str, records: Records) -> "Spread":
        """By boxes and labels; maps are added as they are read."""
        n = len(records.classes)
        labels = [(i, label) for i, found in records.present.items() for label in found]
        pairs = np.concatenate(
            (np.stack((records.images, records.labels), 1), np.array(labels, dtype=np.int64).reshape(-1, 2))
        )
        pairs = np.unique(pairs, axis=0) if len(pairs) else np.zeros((0, 2), dtype=np.int64)
        objects = np.bincount(records.labels, minlength=n)
        return cls(split, records, objects, np.zeros(n, dtype=np.int64), pairs)

    @property
    def images(self) -> NDArray[np.int64]:
        """How many images show each class, as far as boxes and labels tell: int64 (C,)."""
        return np.bincount(self.pairs[:, 1], minlength=len(self.objects))

    @property
    def used(self) -> NDArray[np.bool_]:
        """Which classes have an example."""
        return (self.images > 0) | (self.pixels > 0)


def check_classes(spreads: list[Spread], root: str, defects: Defects) -> None:
    """Notes what is odd about the spread of a data set's classes."""
    for spread in spreads:
        _check_unused(spread, root, defects)
    if spreads and all(s.records.classes.names == spreads[0].records.classes.names for s in spreads):
        _check_ratio(spreads, root, defects)
        _check_lacking(spreads, defects)


def _check_unused(spread: Spread, root: str, defects: Defects) -> None:
    classes, used = spread.records.classes, spread.used
    # Stuff stands in maps alone: where none were read, nothing is known of it.
    unused = [c for c in np.flatnonzero(~used).tolist() if spread.mapped or (used.any() and classes.is_thing(c))]
    if not unused:
        return
    names = ", ".join(classes[c] for c in unused)
    what = f"{len(unused)} of {len(used)} classes have no example: {names}"
    defects.add("unused class", root, spread.split, what)


def _check_ratio(spreads: list[Spread], root: str, defects: Defects) -> None:
    classes = spreads[0].records.classes
    objects, images = sum(s.objects for s in spreads), sum(s.images for s in spreads)
    pixels = sum(s.pixels for s in spreads)
    assert not isinstance(objects, int)
    assert not isinstance(images, int)
    assert not isinstance(pixels, int)
    for counts, unit, ratio in (
        (objects, "objects", RATIO),
        (images, "images", RATIO),
        (pixels, "pixels", PIXEL_RATIO),
    ):
        if counts.sum() < _FEWEST_EXAMPLES:
            continue
        most, least = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
        if counts[most] > ratio * counts[least]:
            share = counts[most] / counts[least]
            what = f"{classes[most]} has {counts[most]:,} {unit}, {classes[least]} {counts[least]:,}: {share:,.0f} to 1"
            defects.add("imbalance", root, "", what)
        return


def _check_lacking(spreads: list[Spread], defects: Defects) -> None:
    """Images with annotations but without a class that nearly all others have."""
    classes: Classes = spreads[0].records.classes
    annotated = [np.unique(s.pairs[:, 0]) for s in spreads]
    total = sum(map(len, annotated))
    counts = sum(s.images for s in spreads)
    if total < _FEWEST_IMAGES or isinstance(counts, int):
        return
    for label in np.flatnonzero((counts >= NEARLY_ALL * total) & (counts < total)).tolist():
        for spread, there in zip(spreads, annotated, strict=True):
            having = spread.pairs[spread.pairs[:, 1] == label, 0]
            for image in np.setdiff1d(there, having).tolist():
                own = [classes[c] for c in spread.pairs[spread.pairs[:, 0] == image, 1].tolist()]
                what = f"no {classes[label]}, only {listed(own)}; {counts[label]:,} of {total:,} images have it"
                defects.add("class missing", *spread.records.place(image), what)
