"""A data set seen through a transform."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pellucid.data.dataset import Dataset, View
from pellucid.data.transforms.base import Pair, Transform, integer
from pellucid.errors import PellucidError
from pellucid.structures import Annotations, Sample


class Transformed(View):
    """The samples of a data set, each transformed when it is read.

    Chance comes from a generator of each sample's own, seeded by ``seed``, ``epoch`` and its index, so that a sample is
    the same in any order and in any worker. Further samples for Mosaic and MixUp are drawn from the data set by the
    same generator. ``set_epoch`` draws everything anew; samples taken before keep theirs.
    """

    def __init__(self, dataset: Dataset, transform: Transform, seed: int = 0) -> None:
        super().__init__(dataset)
        if seed < 0:
            raise PellucidError(f"seed {seed}: give a whole number, 0 or more")
        self.transform = transform
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch, 0 or more, whose draws the samples have from now on."""
        if epoch < 0:
            raise PellucidError(f"epoch {epoch}: give a whole number, 0 or more")
        self.epoch = epoch

    def sample(self, index: int) -> Sample:
        """The sample at an index; nothing is read or transformed before its image or annotations are asked for.

        It has no path: its file holds another image.
        """
        source = self.whole.sample(index)
        drawn = _Drawn(self.whole, self.transform, index, (self.seed, self.epoch, index))
        return Sample(source.name, drawn.image, drawn.annotations, id=source.id)

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) after the transform, which is made for it."""
        return self.sample(index).annotations.size


class _Drawn:
    """One sample under one draw."""

    def __init__(self, dataset: Dataset, transform: Transform, index: int, seeds: tuple[int, ...]) -> None:
        self.whole, self.transform, self.index, self.seeds = dataset, transform, index, seeds

    @cached_property
    def _pair(self) -> Pair:
        seed = int(np.random.SeedSequence(self.seeds).generate_state(1, np.uint64)[0] >> np.uint64(1))
        generator = torch.Generator().manual_seed(seed)
        indices = [integer(generator, 0, len(self.whole) - 1) for _ in range(self.transform.needs)]
        first, *others = (self.whole.sample(i) for i in (self.index, *indices))
        return self.transform(
            first.image, first.annotations, generator, others=[(other.image, other.annotations) for other in others]
        )

    def image(self) -> Tensor:
        return self._pair[0]

    def annotations(self) -> Annotations:
        return self._pair[1]
