"""A data set whose images come with proposals: boxes of selective search, made once and kept."""

import hashlib
import json
import threading
import zipfile
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pellucid.data.dataset import Dataset, Holding, View
from pellucid.errors import PellucidError
from pellucid.files import written_whole
from pellucid.ops.selective_search import selective_search
from pellucid.structures import Annotations, Sample
from pellucid.threads import cores

Progress = Callable[[int, int], None]

_VERSION = 1


def with_proposals(
    dataset: Dataset,
    *,
    mode: str = "fast",
    limit: int = 2000,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The same samples, with ``annotations.proposals``: float32 (P, 4), at most ``limit``, the best first.

    Give it the data set as it was read; transforms that come after move the proposals along. Each image is searched
    when its annotations are first asked for; with ``progress`` or ``cache`` all of them at once, in threads. ``cache``:
    a file .npz from which they are read where it was made of a data set of this title, with images of these names and
    sizes, in this ``mode`` and with this ``limit``; else it is made anew, as it is where it is damaged. (The pixels are
    not compared: delete it where images were replaced by others of the same size.) ``progress``: told of images done
    and of all. Raises PellucidError for an unreadable image, an unknown mode and a file that cannot be written.
    """
    if limit < 1:
        raise PellucidError(f"proposals: limit {limit}: give how many boxes an image may have, 1 or more")
    if cache is not None and Path(cache).suffix != ".npz":
        raise PellucidError(f"{cache}: proposals are kept in a file .npz; end the name so")
    made = _Proposed(dataset, mode, limit)
    if cache is not None:
        key = made.key()
        kept = _read(Path(cache), key, len(dataset))
        if kept is not None:
            made.boxes = dict(enumerate(kept))
            return made
    if cache is not None or progress is not None:
        made.search_all(progress)
    if cache is not None:
        _write(Path(cache), key, [made.boxes[i] for i in range(len(dataset))])
    return made


class _Proposed(View):
    def __init__(self, whole: Dataset, mode: str, limit: int) -> None:
        super().__init__(whole)
        self.mode, self.limit = mode, limit
        self.boxes: dict[int, Tensor] = {}

    def sample(self, index: int) -> Sample:
        source = self.whole.sample(index)

        def annotations() -> Annotations:
            return replace(source.annotations, proposals=self._of(index, source))

        return Sample(source.name, source.read_image, annotations, path=source.path, id=source.id)

    def annotations(self, index: int, only: Collection[Holding] | None = None) -> Annotations:
        """What is said of an image; its proposals too, unless only some of it is wanted."""
        if only is not None:
            return self.whole.annotations(index, only)
        return self.sample(index).annotations

    def search_all(self, progress: Progress | None) -> None:
        """Searches every image, several at a time."""
        done, lock = 0, threading.Lock()

        def search(index: int) -> None:
            nonlocal done
            self._of(index, self.whole.sample(index))
            with lock:
                done += 1
                if progress is not None:
                    progress(done, len(self))

        with ThreadPoolExecutor(cores()) as pool:
            running = [pool.submit(search, index) for index in range(len(self))]
            try:
                for one in running:
                    one.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def key(self) -> str:
        """What the boxes depend on, in short."""
        images = [[name, *self.whole.size(index)] for index, name in enumerate(self.whole.names)]
        said = json.dumps([_VERSION, self.title, images, self.mode, self.limit])
        return hashlib.sha256(said.encode()).hexdigest()

    def _of(self, index: int, source: Sample) -> Tensor:
        if index not in self.boxes:
            self.boxes[index] = selective_search(source.read_image(), self.mode, limit=self.limit)  # type: ignore[arg-type]
        return self.boxes[index]


def _read(path: Path, key: str, count: int) -> list[Tensor] | None:
    """The boxes of every image; None where the file is not there, is damaged, or belongs to other images."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) != key:
                return None
            boxes, counts = file["boxes"], file["counts"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sound = boxes.ndim == 2 and boxes.shape[1] == 4 and boxes.dtype == np.float32 and np.isfinite(boxes).all()
    if not sound or counts.shape != (count,) or (counts < 0).any() or counts.sum() != len(boxes):
        return None
    return list(torch.from_numpy(boxes).split(counts.tolist())) if count else []


def _write(path: Path, key: str, boxes: list[Tensor]) -> None:
    counts = np.array([len(some) for some in boxes], dtype=np.int64)
    every = torch.cat([torch.zeros(0, 4), *boxes]).numpy()
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, key=np.array(key), boxes=every, counts=counts)
