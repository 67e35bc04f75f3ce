"""Scores and labels as arrays, checked."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError

Numbers: TypeAlias = Tensor | np.ndarray | Sequence[Any]
ROUNDING = 1e-6
"""How far outside of [0, 1] a probability may lie: what float32 loses in a softmax or in a mean of several."""
SUM_ROUNDING = 1e-2
"""How far from 1 the probabilities of a sample may add up: what float16 and bfloat16 lose."""
CHUNK = 1 << 21
"""How many numbers are held in double precision at a time."""


def as_array(values: Numbers) -> np.ndarray:
    """The same numbers as an array, in their own precision (bfloat16 as float32), without a graph."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def as_floats(values: Numbers, what: str) -> np.ndarray:
    """As ``as_array``; float64 for lists and for whole numbers. Raises PellucidError for anything but numbers."""
    array = as_array(values)
    if array.dtype.kind not in "fiub":
        raise PellucidError(f"{what}: values of type {array.dtype}; give numbers")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def as_probabilities(values: Numbers, what: str) -> np.ndarray:
    """Floats within [0, 1]; what lies outside by rounding alone is put on the end.

    Raises PellucidError for one outside, or one that is no number, with its place.
    """
    array = as_floats(values, what)
    wrong = ~((array >= -ROUNDING) & (array <= 1 + ROUNDING))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        place = at[0] if len(at) == 1 else at
        raise PellucidError(f"{what}: the one at {place} is {array[at]}; give probabilities, 0 to 1")
    return np.clip(array, 0, 1)


def as_flags(values: Numbers, shape: tuple[int, ...], what: str) -> np.ndarray:
    """bool of ``shape``. Raises PellucidError for another shape, or for values other than 0 and 1."""
    array = as_array(values)
    if array.shape != shape:
        raise PellucidError(f"{what}: shape {array.shape} where {shape} is needed; give one value each")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise PellucidError(f"{what}: values other than 0 and 1; give true or false")
    return array.astype(np.bool_)


def as_rows(values: Numbers, labels: Numbers, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Class scores (N, K) with the true class of each row, int64 (N,).

    Raises PellucidError where the shapes disagree or a label is no class.
    """
    rows, truth = as_floats(values, what), as_array(labels)
    if rows.ndim != 2 or rows.shape[1] == 0 or truth.shape != rows.shape[:1]:
        raise PellucidError(f"{what}: shape {rows.shape} with labels of {truth.shape}; give (N, K) and (N,)")
    if len(truth) and truth.dtype.kind not in "iu":
        raise PellucidError(f"labels: values of type {truth.dtype}; give class indices, whole numbers")
    wrong = (truth < 0) | (truth >= rows.shape[1])
    if wrong.any():
        at = int(np.argmax(wrong))
        raise PellucidError(
            f"labels: the one at {at} is {truth[at]}, but there are {rows.shape[1]} classes; leave such samples out"
        )
    return rows, truth.astype(np.int64)


def check_sums(rows: np.ndarray, what: str) -> None:
    """Raises PellucidError for a row of probabilities (N, K) that do not add up to 1."""
    sums = rows.sum(1, dtype=np.float64)
    wrong = ~(np.abs(sums - 1) <= SUM_ROUNDING)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise PellucidError(f"{what}: those of sample {at} add up to {sums[at]:.4g}; give a softmax over the classes")


def chunks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows, each of a bounded number of values."""
    step = max(1, CHUNK // max(1, columns))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
