"""What annotations hold, counted and said in a line."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pellucid.data import Dataset
from pellucid.data.records import RecordDataset
from pellucid.structures import IGNORE, Annotations, Classes


@dataclass(frozen=True)
class Tally:
    """What is said of one image or of several.

    ``objects``: how many of each class, by its index; None where nothing is said of objects. ``pixels``: how many
    pixels a semantic map gives each class. ``present`` and ``absent``: how many images have a label.
    """

    objects: Counter[int] | None = None
    pixels: Counter[int] = field(default_factory=Counter)
    present: Counter[int] = field(default_factory=Counter)
    absent: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, annotations: Annotations) -> "Tally":
        """Counts what is said of one image."""
        instances, panoptic, semantic = annotations.instances, annotations.panoptic, annotations.semantic
        objects = None
        if instances is not None:
            objects = Counter(instances.labels.tolist())
        elif panoptic is not None:
            things = (s.label for s in panoptic.segments if annotations.classes.is_thing(s.label))
            objects = Counter(things)
        if semantic is None and panoptic is not None:
            semantic = panoptic.semantic()
        pixels: Counter[int] = Counter()
        if semantic is not None:
            counts = semantic.flatten().bincount()
            pixels = Counter({v: int(counts[v]) for v in counts.nonzero().flatten().tolist() if v != IGNORE})
        return cls(objects, pixels, Counter(annotations.present), Counter(annotations.absent))

    def __add__(self, other: "Tally") -> "Tally":
        if self.objects is None or other.objects is None:
            objects = other.objects if self.objects is None else self.objects
        else:
            objects = self.objects + other.objects
        return Tally(objects, self.pixels + other.pixels, self.present + other.present, self.absent + other.absent)

    def line(self, classes: Classes) -> str:
        """'14 objects: 12 RBC, 1 WBC, 1 Platelets'; 'road 34 %, sky 20 %'; 'tabby'; 'no: dog'."""
        parts = []
        if self.objects is not None:
            parts.append(counted(self.objects, classes))
        elif self.pixels:
            total = self.pixels.total()
            parts.append(", ".join(f"{_name(classes, i)} {share(n / total)}" for i, n in self.pixels.most_common()))
        if self.present and self.objects is None:
            parts.append(", ".join(_name(classes, i) for i in self.present))
        if self.absent:
            parts.append("no: " + ", ".join(_name(classes, i) for i in self.absent))
        return "; ".join(parts) or "no annotations"


def counted(objects: Mapping[int, int], classes: Classes) -> str:
    """'3 objects: 2 cat, 1 dog', the most frequent first."""
    total = sum(objects.values())
    if total == 0:
        return "no objects"
    each = sorted(objects.items(), key=lambda item: (-item[1], item[0]))
    names = ", ".join(f"{n:,} {_name(classes, i)}" for i, n in each)
    return f"{total:,} object{'' if total == 1 else 's'}: {names}"


def share(value: float) -> str:
    """A share in whole per cent: '34 %', '< 1 %'."""
    return f"{100 * value:.0f} %" if value >= 0.005 else "< 1 %"


def _name(classes: Classes, index: int) -> str:
    return classes[index] if 0 <= index < len(classes) else f"class {index}"


def known_objects(dataset: Dataset) -> Counter[int] | None:
    """How many objects of each class a data set holds, where that is known without reading its samples."""
    if not isinstance(dataset, RecordDataset) or "boxes" not in dataset.holds:
        return None
    counts = np.bincount(dataset.records.labels, minlength=len(dataset.classes))
    return Counter({i: int(n) for i, n in enumerate(counts) if n})
