"""How a tensor depends on the image's rows or columns: along which dimension, and on which interval at each index."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

BIG = 2**62

Spans = NDArray[np.int64]
"""(n, 2): the half-open interval [first, last) of the image's rows, or columns, for each index; (BIG, 0) is empty."""


@dataclass(frozen=True)
class Axis:
    """How a tensor depends on the image's rows (or columns): along which dimension they lie, and what each index sees.

    ``dim``: None where every element sees the same, ``spans`` (1, 2).
    """

    dim: int | None
    spans: Spans

    @property
    def everywhere(self) -> "Axis":
        """All that any element depends on, for every element."""
        return Axis(None, np.array([[self.spans[:, 0].min(), self.spans[:, 1].max()]]))

    def moved(self, dim: int | None) -> "Axis":
        """The same along another dimension; None: the dimension is gone."""
        return self.everywhere if dim is None else replace(self, dim=dim)

    def mixed(self, dims: Iterable[int]) -> "Axis":
        """After an operation in which all indices along ``dims`` come together."""
        return self.everywhere if self.dim in set(dims) else self

    def gathered(self, index: NDArray[np.int64], valid: NDArray[np.bool_] | None = None) -> "Axis":
        """Output m reads the inputs ``index[m]`` (m, taps); those that are not ``valid`` lie in the padding."""
        inside = (index >= 0) & (index < len(self.spans))
        inside = inside if valid is None else inside & valid
        safe = np.where(inside, index, 0)
        first = np.where(inside, self.spans[safe, 0], BIG).min(1, initial=BIG)
        last = np.where(inside, self.spans[safe, 1], 0).max(1, initial=0)
        return replace(self, spans=np.stack([first, last], 1))


def union(axes: Iterable[Axis | None]) -> Axis | None:
    """What depends on all of them; None where none depends on the image."""
    known = [axis for axis in axes if axis is not None]
    if not known:
        return None
    dim = next((axis.dim for axis in known if axis.dim is not None), None)
    spans = [(axis if axis.dim == dim else axis.everywhere).spans for axis in known]
    first, last = spans[0][:, 0], spans[0][:, 1]
    for more in spans[1:]:
        first, last = np.minimum(first, more[:, 0]), np.maximum(last, more[:, 1])
    return Axis(dim, np.stack([first, last], 1))
