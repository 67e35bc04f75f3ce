"""What each step of an epoch learns from, whatever the number of processes and of batches that make a step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pellucid.data import Dataset
from pellucid.data.loading import Batch, Loader
from pellucid.training.recipe import Recipe


@dataclass(frozen=True)
class Portion:
    """A batch of this process as part of a step.

    ``first``: the position of its first image among all of the step. ``weight``: its share of the step's images, 0 for
    a batch that is repeated only because other processes have one more.
    """

    batch: Batch
    first: int
    weight: float


class Feed:
    """The batches of each epoch, in steps.

    The images of a step are the same, in the same places, for two processes with batches of b, for one that accumulates
    two, and for one with batches of 2b.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, rank: int = 0, count: int = 1, *, pin: bool = False) -> None:
        data = recipe.data

        def loader(shard: tuple[int, int], workers: int) -> Loader:
            return Loader(
                dataset,
                recipe.batch_size,
                shuffle=True,
                seed=recipe.seed,
                workers=workers,
                group_by_aspect=data.group_by_aspect,
                shard=shard,
                pin=pin,
            )

        self.rank, self.count = rank, count
        self.accumulate = recipe.optimiser.accumulate
        self._loader = loader((rank, count), data.workers)
        self._whole = loader((0, 1), 0) if count > 1 else self._loader
        sizes = self._sizes(0)
        together = count * self.accumulate
        self.steps = -(-len(sizes) // together)
        full = recipe.batch_size * together
        if data.drop_last and self.steps > 1 and sum(sizes[(self.steps - 1) * together :]) < full:
            self.steps -= 1

    def _sizes(self, epoch: int) -> list[int]:
        """How many images each batch of all processes has, in the order in which they are dealt out."""
        self._whole.set_epoch(epoch)
        return [len(batch) for batch in self._whole.batches()]

    def epoch(self, epoch: int, begin: int = 0) -> Iterator[list[Portion]]:
        """The steps of an epoch from the one at ``begin``; nothing of those before it is read."""
        sizes = self._sizes(epoch)
        together = self.count * self.accumulate
        self._loader.set_epoch(epoch, start=begin * self.accumulate)
        batches = iter(self._loader)
        for step in range(begin, self.steps):
            here = sizes[step * together : (step + 1) * together]
            portions = []
            for number in range(-(-len(here) // self.count)):
                place = number * self.count + self.rank
                real = place < len(here)
                weight = here[place] / sum(here) if real else 0.0
                portions.append(Portion(next(batches), sum(here[:place]) if real else 0, weight))
            yield portions


def seed_of(*numbers: int) -> int:
    """A seed, 0 to 2⁶³ − 1, that is another for any other numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
