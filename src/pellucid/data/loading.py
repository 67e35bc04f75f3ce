"""Batches of a data set: in an order that a seed fixes, read by worker processes, shared between training processes."""

import contextlib
import io
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pellucid.data.dataset import Dataset
from pellucid.data.transforms import Transformed
from pellucid.errors import PellucidError
from pellucid.structures import Annotations, Classes

_ALIGNED = 64
"""Where a tensor may begin in the bytes that a worker sends."""


@dataclass
class Batch:
    """Samples of one step: ``images``, uint8 (3, H, W) each of its own size, their ``annotations`` and ``names``."""

    images: list[Tensor]
    annotations: list[Annotations]
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)


class Loader:
    """Batches of a data set; iterating reads one epoch.

    What it gives depends on the data set, ``seed``, the epoch and the shard alone, not on ``workers``, the number of
    processes that read (0: this one). ``shuffle`` draws a new order for each epoch. ``group_by_aspect`` puts only wide
    images, or only tall ones, into a batch, so that little is padded; of a ``Transformed`` data set the shapes before
    the transform count.

    ``shard``: (rank, count), which of the training processes this is. The batches of an epoch are dealt out in turn.
    Where ``pad`` (by default: where shuffled) the first batches are repeated so that every shard gets as many; without
    it every sample is read exactly once, and some shards get one batch less. ``drop_last`` leaves out batches that are
    not full and, with ``pad``, what cannot be dealt out evenly, instead of repeating.

    ``unreadable``: "raise" ends with the PellucidError of a sample that cannot be read; "skip" leaves the sample out
    and notes its message in ``skipped``, a list that each iteration begins anew; a batch of which nothing is left is
    not given. ``pin``: whether batches lie in page-locked memory, from which a GPU copies faster.

    Raises PellucidError for numbers out of range, and where ``drop_last`` leaves no batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        workers: int = 0,
        group_by_aspect: bool = False,
        shard: tuple[int, int] = (0, 1),
        drop_last: bool = False,
        pad: bool | None = None,
        unreadable: Literal["raise", "skip"] = "raise",
        pin: bool = False,
    ) -> None:
        rank, count = shard
        if batch_size < 1 or workers < 0 or seed < 0:
            raise PellucidError(
                f"batch size {batch_size}, {workers} workers, seed {seed}: none may be negative, the first not zero"
            )
        if not 0 <= rank < count:
            raise PellucidError(f"shard {rank} of {count}: give (rank, count) with 0 ≤ rank < count")
        if unreadable not in ("raise", "skip"):
            raise PellucidError(f"unreadable '{unreadable}': give 'raise' or 'skip'")
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.workers = workers
        self.shard = shard
        self.drop_last = drop_last
        self.pad = shuffle if pad is None else pad
        self.unreadable = unreadable
        self.pin = pin
        self.epoch = 0
        self.start = 0
        self.skipped: list[str] = []
        self._groups = _orientations(dataset) if group_by_aspect else None
        if len(dataset) and not self._all_batches():
            raise PellucidError(
                f"{dataset.title}: {len(dataset)} samples make no full batch of {batch_size} for each of {count} "
                "shards; take a smaller batch size, fewer shards, or no drop_last"
            )

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Chooses the epoch, 0 or more, that iterating reads, in the transforms as well.

        ``start``: how many of its batches are left out at its beginning, since they were read before; nothing of them
        is read.
        """
        if epoch < 0 or start < 0:
            raise PellucidError(f"epoch {epoch} from batch {start}: give whole numbers, 0 or more")
        self.epoch = epoch
        self.start = start
        for layer in _layers(self.dataset):
            if isinstance(layer, Transformed):
                layer.set_epoch(epoch)

    def batches(self) -> list[list[int]]:
        """The indices of the samples of each batch of this shard, in this epoch, from ``start`` on."""
        rank, count = self.shard
        return self._all_batches()[rank::count][self.start :]

    def _all_batches(self) -> list[list[int]]:
        """Those of all shards, in the order in which they are dealt out."""
        n, count = len(self.dataset), self.shard[1]
        order = list(range(n))
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(n).tolist()
        made: list[list[int]] = []
        waiting: dict[bool, list[int]] = {}
        for index in order:
            batch = waiting.setdefault(self._groups is not None and self._groups[index], [])
            batch.append(index)
            if len(batch) == self.batch_size:
                made.append(batch.copy())
                batch.clear()
        if not self.drop_last:
            made += [batch for batch in waiting.values() if batch]
        if self.pad and self.drop_last:
            made = made[: len(made) // count * count]
        elif self.pad and made:
            made = [made[i % len(made)] for i in range(-(-len(made) // count) * count)]
        return made

    def __len__(self) -> int:
        return len(self.batches())

    def __iter__(self) -> Iterator[Batch]:
        self.skipped = []
        classes = self.dataset.classes
        loader: DataLoader[Any] = DataLoader(
            _Readings(self.dataset),  # type: ignore[arg-type]
            batch_sampler=self.batches(),
            num_workers=self.workers,
            collate_fn=partial(_packed, classes=classes),
            pin_memory=self.pin,
            worker_init_fn=_leave_ending,
        )
        with _held_interrupts():
            batches = iter(loader)
        while True:
            try:
                packed, data, spans = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise PellucidError(
                    f"{self.dataset.title}: a loading process was ended from outside, most often for lack of memory; "
                    "use fewer workers or a smaller batch size"
                ) from error
            batch = self._batch(_unpacked(packed, data, spans, classes))
            if len(batch):
                yield batch

    def _batch(self, readings: "list[_Reading]") -> Batch:
        for reading in readings:
            if reading.failure:
                if self.unreadable == "raise":
                    raise PellucidError(reading.failure)
                self.skipped.append(reading.failure)
        read = [r for r in readings if r.image is not None and r.annotations is not None]
        return Batch([r.image for r in read], [r.annotations for r in read], [r.name for r in read])  # type: ignore[misc]


def padded(images: Sequence[Tensor], stride: int = 1, fill: int = 0) -> tuple[Tensor, list[tuple[int, int]]]:
    """Images (3, H, W) of different sizes as one batch, (N, 3, H, W), and the size (H, W) of each.

    Each lies in the upper left corner; the rest is ``fill``. Height and width are rounded up to multiples of
    ``stride``. Raises PellucidError for no image.
    """
    if not images:
        raise PellucidError("no images to make a batch of; give at least one")
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    height, width = (-(-max(sides) // stride) * stride for sides in zip(*sizes, strict=True))
    batch = images[0].new_full((len(images), images[0].shape[0], height, width), fill)
    for place, image, (h, w) in zip(batch, images, sizes, strict=True):
        place[:, :h, :w] = image
    return batch, sizes


@dataclass
class _Reading:
    """A sample that was read, or why it could not be."""

    name: str
    image: Tensor | None = None
    annotations: Annotations | None = None
    failure: str = ""


class _Readings:
    """The samples of a data set as readings; runs in the workers."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> _Reading:
        name = ""
        try:
            sample = self.dataset.sample(index)
            name = sample.name
            return _Reading(name, sample.image, sample.annotations)
        except PellucidError as error:
            message = str(error)
            return _Reading(name, failure=message if name in message else f"{self.dataset.title}: {name}: {message}")


class _Pickler(pickle.Pickler):
    """Pickles tensors as arrays, whose bytes can be kept apart, and leaves out the data set's classes."""

    classes: Classes

    def persistent_id(self, obj: Any) -> str | None:
        return "classes" if obj is self.classes else None

    def reducer_override(self, obj: Any) -> Any:
        return (torch.from_numpy, (obj.detach().contiguous().numpy(),)) if isinstance(obj, Tensor) else NotImplemented


class _Unpickler(pickle.Unpickler):
    classes: Classes

    def persistent_load(self, pid: str) -> Classes:
        return self.classes


def _packed(readings: list[_Reading], classes: Classes) -> tuple[bytes, Tensor, list[tuple[int, int]]]:
    """A batch as few bytes and one tensor with all pixels and numbers.

    Each tensor on its own would go through a shared-memory file of its own, of which there are not many.
    """
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    pickler = _Pickler(stream, protocol=5, buffer_callback=buffers.append)
    pickler.classes = classes
    pickler.dump(readings)
    parts = [np.frombuffer(buffer.raw(), dtype=np.uint8) for buffer in buffers]
    starts = np.cumsum([0] + [-(-len(part) // _ALIGNED) * _ALIGNED for part in parts]).tolist()
    spans = [(start, start + len(part)) for start, part in zip(starts, parts, strict=False)]
    data = torch.empty(starts[-1], dtype=torch.uint8)
    for (start, end), part in zip(spans, parts, strict=True):
        data.numpy()[start:end] = part
    return stream.getvalue(), data, spans


def _unpacked(text: bytes, data: Tensor, spans: list[tuple[int, int]], classes: Classes) -> list[_Reading]:
    """What was packed; its tensors share the memory of ``data``."""
    memory = memoryview(data.numpy())  # type: ignore[arg-type]
    unpickler = _Unpickler(io.BytesIO(text), buffers=[memory[start:end] for start, end in spans])
    unpickler.classes = classes
    readings: list[_Reading] = unpickler.load()
    return readings


@contextlib.contextmanager
def _held_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the workers have started: Python loses one that comes in the middle of a fork."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        before(*held[0])


def _leave_ending(worker: int) -> None:
    """Ctrl-C reaches every process; the workers leave it to the main one, which then ends them.

    A batch that is under way just then finds nobody at the other end of its pipe, which is nothing to report.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = sys.excepthook

    def quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, (ConnectionError, EOFError)):
            report(kind, error, trace)

    sys.excepthook = quiet


def _layers(dataset: Dataset) -> Iterator[Dataset]:
    """A data set and those that it is seen through: subsets and transforms."""
    layer: Any = dataset
    while isinstance(layer, Dataset):
        yield layer
        layer = getattr(layer, "whole", None)


def _orientations(dataset: Dataset) -> list[bool]:
    """Of every sample whether it is taller than wide; one whose size cannot be read counts as wide."""
    while isinstance(dataset, Transformed):
        dataset = dataset.whole
    made = []
    for index in range(len(dataset)):
        try:
            height, width = dataset.size(index)
        except PellucidError:
            height = width = 0
        made.append(height > width)
    return made
