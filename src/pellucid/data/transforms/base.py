"""What every transform is, how several make one, and the draws that they share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

from pellucid.data.transforms.moves import Fill, Move, Size
from pellucid.data.transforms.warping import MIN_VISIBLE, warp
from pellucid.errors import PellucidError
from pellucid.structures import Annotations

Pair: TypeAlias = tuple[Tensor, Annotations]
"""An image, uint8 (3, H, W), and what is said of it."""


class Transform(ABC):
    """``transform(image, annotations, generator, others=…)`` gives a new image and new annotations.

    All chance comes from the generator, a CPU one. The inputs stay as they are; what no transform changes may be shared
    with them. ``needs``: how many further pairs it wants in ``others``.
    """

    @property
    def needs(self) -> int:
        """How many further pairs it mixes in."""
        return 0

    @abstractmethod
    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        """The image and the annotations, transformed together."""


@dataclass(frozen=True)
class Geometric(Transform):
    """A transform that is one move of every point.

    ``fill``: the colour (0 to 255, or three) of pixels that the image does not reach. ``min_visible``: an object of
    which a smaller share stays in the picture is dropped.
    """

    fill: Fill = field(default=0, kw_only=True)
    min_visible: float = field(default=MIN_VISIBLE, kw_only=True)

    @abstractmethod
    def move(self, annotations: Annotations, generator: torch.Generator) -> Move | None:
        """The move for an image with these annotations; None leaves it as it is."""

    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        move = self.move(annotations, generator)
        if move is None:
            return image, annotations
        return warp(image, annotations, move, fill=self.fill, min_visible=self.min_visible)


@dataclass(frozen=True)
class Compose(Transform):
    """Transforms one after another.

    Where one of them mixes further samples in, those have gone through the transforms before it as well: Mosaic (4
    samples) and then MixUp (2) want seven others.
    """

    transforms: Sequence[Transform]

    @property
    def needs(self) -> int:
        wanted = 1
        for transform in self.transforms:
            wanted *= transform.needs + 1
        return wanted - 1

    def __call__(
        self, image: Tensor, annotations: Annotations, generator: torch.Generator, others: Sequence[Pair] = ()
    ) -> Pair:
        pairs = [(image, annotations), *enough(self, others)]
        for transform in self.transforms:
            step = transform.needs + 1
            pairs = [
                transform(*pairs[i], generator, others=pairs[i + 1 : i + step]) for i in range(0, len(pairs), step)
            ]
        return pairs[0]


def enough(transform: Transform, others: Sequence[Pair]) -> Sequence[Pair]:
    """As many others as the transform needs. Raises PellucidError where there are fewer."""
    if len(others) < transform.needs:
        raise PellucidError(
            f"{type(transform).__name__}: {transform.needs} further samples are needed, {len(others)} given; "
            "Transformed(dataset, transform) fetches them"
        )
    return others[: transform.needs]


def uniform(generator: torch.Generator, low: float, high: float) -> float:
    """A number between two."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def integer(generator: torch.Generator, low: int, high: int) -> int:
    """A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def chance(generator: torch.Generator, p: float) -> bool:
    """True with probability p."""
    return uniform(generator, 0, 1) < p


def checked_size(size: int | Sequence[int], name: str) -> Size:
    """(H, W) from two numbers, or one for both. Raises PellucidError unless they are whole and positive."""
    both = (size, size) if isinstance(size, int) else tuple(size)
    if len(both) != 2 or any(not isinstance(side, int) or side < 1 for side in both):
        raise PellucidError(f"{name}: size {size} is none; give (height, width) in whole pixels, 1 or more")
    return both[0], both[1]
