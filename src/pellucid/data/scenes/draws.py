"""Random numbers that depend on a key alone."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")
_AT_ONCE = 128


class Draws:
    """Numbers drawn from a generator that is seeded by the hash of a key: the same in every process and order.

    Drawn in blocks, since a call of NumPy's generator costs more than the number.
    """

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(int.from_bytes(digest, "little"))))
        self._left: list[float] = []

    def number(self) -> float:
        """Uniform in [0, 1)."""
        if not self._left:
            self._left = self.generator.random(_AT_ONCE).tolist()
        return self._left.pop()

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * self.number()

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both of them possible."""
        return low + int((high - low + 1) * self.number())

    def chance(self, probability: float) -> bool:
        """Whether what has this probability happens."""
        return self.number() < probability

    def one_of(self, items: Sequence[_T]) -> _T:
        """One item, each as likely."""
        return items[int(len(items) * self.number())]

    def some_of(self, items: Sequence[_T], count: int) -> list[_T]:
        """Different items, ``count`` of them or all there are, in random order."""
        left = list(items)
        return [left.pop(int(len(left) * self.number())) for _ in range(min(count, len(left)))]
