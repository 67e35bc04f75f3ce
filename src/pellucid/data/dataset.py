"""A data set: samples in order, what the class indices mean, and what is said of its images."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, overload

from pellucid.data.defects import Defects
from pellucid.errors import PellucidError, nearest
from pellucid.structures import Annotations, Classes, ObjectColumns, Sample, columns_of

Holding = Literal["boxes", "masks", "keypoints", "semantic", "panoptic", "labels"]
"""What a data set says of its images: boxes (with class labels), masks and keypoints of objects, semantic maps,
panoptic maps, labels of whole images."""


class Dataset(Sequence[Sample], ABC):
    """Samples in order; nothing of an image is read before it is asked for.

    ``title``: what messages call it. ``classes``: what the indices mean. ``holds``: what is said of its images.
    ``format`` and ``split``: where it comes from. ``defects``: what reading it found wrong, and mended or dropped.
    ``inclusive``: whether its source counts pixels, so that a box's width in the files includes its last pixel.
    Indexed by a number or by a sample's name it gives a ``Sample``, by a slice a ``Dataset``.
    """

    def __init__(
        self,
        title: str,
        classes: Classes,
        holds: Iterable[Holding],
        *,
        format: str = "",
        split: str | None = None,
        root: Path | None = None,
        defects: Defects | None = None,
        inclusive: bool = False,
    ) -> None:
        self.inclusive = inclusive
        self.title = title
        self.classes = classes
        self.holds: frozenset[Holding] = frozenset(holds)
        self.format = format
        self.split = split
        self.root = root
        self.defects = defects or Defects()
        self._by_name: dict[str, int] | None = None

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The samples' names, in order."""

    @abstractmethod
    def sample(self, index: int) -> Sample:
        """The sample at an index from 0 to len − 1."""

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image, without reading its pixels where the data set knows it."""
        return self.sample(index).annotations.size

    def annotations(self, index: int, only: Collection[Holding] | None = None) -> Annotations:
        """What is said of an image. ``only``: what is wanted of it; the rest may be left out, and is not read then."""
        return self.sample(index).annotations

    @property
    def without_images(self) -> bool:
        """Whether there are annotations alone, and not one image."""
        return False

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int | str) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Dataset": ...
    def __getitem__(self, index: int | str | slice) -> "Sample | Dataset":
        if isinstance(index, slice):
            return self.subset(range(len(self))[index])
        if isinstance(index, str):
            return self.sample(self.index_of(index))
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.title}: sample {index} of {len(self)}")
        return self.sample(index % len(self))

    def index_of(self, name: str) -> int:
        """The index of a sample's name. Raises PellucidError with the nearest names where there is none."""
        if self._by_name is None:
            self._by_name = {known: i for i, known in enumerate(self.names)}
        if name not in self._by_name:
            raise PellucidError(f"{self.title}: no image is called '{name}'{nearest(name, self.names)}")
        return self._by_name[name]

    def __iter__(self) -> Iterator[Sample]:
        return map(self.sample, range(len(self)))

    @property
    def ids(self) -> Sequence[int | str | None]:
        """The source's own id of every sample, None where it has none."""
        return [sample.id for sample in self]

    def columns(self) -> ObjectColumns:
        """The objects of all images, column by column, for scoring."""
        return columns_of(
            self.classes,
            self.names,
            [sample.annotations for sample in self],
            ids=self.ids,
            inclusive=self.inclusive,
            source=self.title,
        )

    def subset(self, indices: Iterable[int]) -> "Dataset":
        """The samples at some indices, in their order."""
        return _Subset(self, list(indices))

    def where(self, wanted: Callable[[Sample], bool]) -> "Dataset":
        """The samples for which a question is answered with yes."""
        return self.subset(i for i in range(len(self)) if wanted(self.sample(i)))

    def __repr__(self) -> str:
        holds = ", ".join(sorted(self.holds)) or "no annotations"
        return f"<{self.title}: {len(self):,} images, {len(self.classes)} classes, {holds}>"


class View(Dataset):
    """The samples of a data set, ``whole``, seen through something; as they are, unless a subclass says otherwise."""

    def __init__(self, whole: Dataset) -> None:
        super().__init__(
            whole.title,
            whole.classes,
            whole.holds,
            format=whole.format,
            split=whole.split,
            root=whole.root,
            defects=whole.defects,
            inclusive=whole.inclusive,
        )
        self.whole = whole

    @property
    def names(self) -> Sequence[str]:
        return self.whole.names

    @property
    def ids(self) -> Sequence[int | str | None]:
        return self.whole.ids

    def __len__(self) -> int:
        return len(self.whole)

    def sample(self, index: int) -> Sample:
        return self.whole.sample(index)

    def size(self, index: int) -> tuple[int, int]:
        return self.whole.size(index)

    @property
    def without_images(self) -> bool:
        return self.whole.without_images


class _Subset(View):
    def __init__(self, whole: Dataset, indices: list[int]) -> None:
        super().__init__(whole)
        self.indices = indices

    @property
    def names(self) -> Sequence[str]:
        return [self.whole.names[i] for i in self.indices]

    @property
    def ids(self) -> Sequence[int | str | None]:
        known = self.whole.ids
        return [known[i] for i in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int) -> Sample:
        return self.whole.sample(self.indices[index])

    def size(self, index: int) -> tuple[int, int]:
        return self.whole.size(self.indices[index])

    def annotations(self, index: int, only: Collection[Holding] | None = None) -> Annotations:
        return self.whole.annotations(self.indices[index], only)


class Samples(Dataset):
    """A data set of samples that are there already: predictions, or made by hand."""

    def __init__(
        self, samples: Iterable[Sample], classes: Classes, holds: Iterable[Holding], title: str = "samples"
    ) -> None:
        super().__init__(title, classes, holds)
        self._samples = list(samples)

    @property
    def names(self) -> Sequence[str]:
        return [sample.name for sample in self._samples]

    def sample(self, index: int) -> Sample:
        return self._samples[index]
