"""Batches: their order, their shards, their workers, and samples that cannot be read."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pellucid.data import open_dataset
from pellucid.data.dataset import Dataset
from pellucid.data.loading import Batch, Loader, padded
from pellucid.data.transforms import HorizontalFlip, Mosaic, RandomCrop, Transformed
from pellucid.errors import PellucidError
from pellucid.structures import Annotations, Classes, Instances, Masks, Panoptic, Sample, Segment

CLASSES = Classes(("one", "other"))


class Made(Dataset):
    """Samples made from their index; some cannot be read."""

    def __init__(self, n: int, broken: tuple[int, ...] = (), fatal: tuple[int, ...] = ()) -> None:
        super().__init__("made", CLASSES, ["boxes", "masks"])
        self.n, self.broken, self.fatal = n, broken, fatal

    @property
    def names(self) -> list[str]:
        return [f"{i}.png" for i in range(self.n)]

    def size(self, index: int) -> tuple[int, int]:
        return (12, 20) if index % 3 else (22 + index % 2, 14)

    def sample(self, index: int) -> Sample:
        return Sample(f"{index}.png", lambda: self._image(index), lambda: self._annotations(index))

    def _image(self, index: int) -> Tensor:
        if index in self.broken:
            raise PellucidError(f"{index}.png: cut short; restore it from the source")
        if index in self.fatal:
            os._exit(9)
        return torch.randint(0, 256, (3, *self.size(index)), generator=torch.Generator().manual_seed(index)).byte()

    def _annotations(self, index: int) -> Annotations:
        H, W = size = self.size(index)
        n = index % 4
        masks = np.zeros((n, H, W), bool)
        for i in range(n):
            masks[i, i : i + 4, 2:9] = True
        exact = Masks.from_bool(masks)
        if index % 2:
            exact = Masks(exact.run_lengths(), size)
        instances = Instances(exact.boxes(), torch.arange(n) % 2, masks=exact) if index else None
        panoptic = Panoptic(torch.ones(size).long(), (Segment(1, 0),))
        return Annotations(size, CLASSES, instances=instances, semantic=torch.zeros(size).long(), panoptic=panoptic)


def same(one: Batch, other: Batch) -> bool:
    assert one.names == other.names
    for image, again in zip(one.images, other.images, strict=True):
        assert torch.equal(image, again)
    for said, again in zip(one.annotations, other.annotations, strict=True):
        assert said.size == again.size
        assert (said.instances is None) == (again.instances is None)
        assert torch.equal(said.semantic, again.semantic)  # type: ignore[arg-type]
        if said.instances is not None and again.instances is not None:
            assert torch.equal(said.instances.boxes, again.instances.boxes)
            assert torch.equal(said.instances.masks.to_bool(), again.instances.masks.to_bool())  # type: ignore[union-attr]
    return True


def test_batches_hold_the_samples_as_they_are() -> None:
    data = Made(7)
    batches = list(Loader(data, 3))
    assert [batch.names for batch in batches] == [["0.png", "1.png", "2.png"], ["3.png", "4.png", "5.png"], ["6.png"]]
    flat = [pair for batch in batches for pair in zip(batch.images, batch.annotations, strict=True)]
    for index, (image, said) in enumerate(flat):
        assert torch.equal(image, data[index].image)
        assert said.classes is CLASSES
        image += 1  # nothing is read-only
        if said.instances is not None:
            assert torch.equal(said.instances.boxes, data[index].annotations.instances.boxes)  # type: ignore[union-attr]
            said.instances.boxes += 1


def test_workers_change_nothing() -> None:
    data = Transformed(Made(11), Mosaic(32), seed=5)
    here, there = (Loader(data, 2, shuffle=True, seed=1, group_by_aspect=True, workers=w) for w in (0, 2))
    for epoch in (0, 3):
        here.set_epoch(epoch)
        one = list(here)
        there.set_epoch(epoch)
        other = list(there)
        assert len(one) == len(other) == len(here) == 6
        assert all(same(a, b) for a, b in zip(one, other, strict=True))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    loader = Loader(Transformed(Made(20), RandomCrop(8)), 4, shuffle=True)
    first = list(loader)
    assert all(same(a, b) for a, b in zip(first, loader, strict=True))
    loader.set_epoch(1)
    second = list(loader)
    assert [b.names for b in first] != [b.names for b in second]
    assert sorted(n for b in first for n in b.names) == sorted(n for b in second for n in b.names)
    assert Loader(Made(20), 4, shuffle=True, seed=1).batches() != Loader(Made(20), 4, shuffle=True).batches()
    fixed = Loader(Made(20), 4)
    order = fixed.batches()
    fixed.set_epoch(1)
    assert fixed.batches() == order


def test_the_epoch_reaches_transforms_under_a_subset() -> None:
    loader = Loader(Transformed(Made(8), RandomCrop(4))[2:6], 4)
    first = next(iter(loader))
    loader.set_epoch(1)
    second = next(iter(loader))
    assert first.names == second.names
    assert not all(torch.equal(a, b) for a, b in zip(first.images, second.images, strict=True))


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 40),
    st.integers(1, 7),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
)
def test_shards_cover_everything(
    n: int, size: int, count: int, shuffle: bool, grouped: bool, pad: bool, epoch: int
) -> None:
    data = Made(n)
    shards = []
    for rank in range(count):
        loader = Loader(data, size, shuffle=shuffle, group_by_aspect=grouped, shard=(rank, count), pad=pad)
        loader.set_epoch(epoch)
        shards.append(loader.batches())
        assert len(loader) == len(shards[-1])
    read = Counter(index for shard in shards for batch in shard for index in batch)
    assert set(read) == set(range(n))
    assert all(1 <= len(batch) <= size for shard in shards for batch in shard)
    lengths = {len(shard) for shard in shards}
    if pad:
        assert len(lengths) == 1
    else:
        assert set(read.values()) <= {1}
        assert max(lengths) - min(lengths) <= 1
    if grouped:
        for shard in shards:
            for batch in shard:
                assert len({data.size(i)[0] > data.size(i)[1] for i in batch}) == 1


def test_drop_last_gives_full_batches_alone() -> None:
    loaders = [Loader(Made(23), 3, shuffle=True, drop_last=True, shard=(rank, 2)) for rank in range(2)]
    assert [[len(batch) for batch in loader.batches()] for loader in loaders] == [[3, 3, 3]] * 2
    assert len(list(Loader(Made(0), 3))) == 0
    with pytest.raises(PellucidError, match="made: 2 samples make no full batch of 3 for each of 1 shards"):
        Loader(Made(2), 3, drop_last=True)


def test_numbers_out_of_range_are_said() -> None:
    with pytest.raises(PellucidError, match="batch size 0"):
        Loader(Made(2), 0)
    with pytest.raises(PellucidError, match="shard 2 of 2"):
        Loader(Made(2), 1, shard=(2, 2))
    with pytest.raises(PellucidError, match="unreadable 'ignore'"):
        Loader(Made(2), 1, unreadable="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sample_that_cannot_be_read_ends_or_is_counted(workers: int) -> None:
    data = Made(8, broken=(2, 6, 7))
    with pytest.raises(PellucidError) as caught:
        list(Loader(data, 2, workers=workers))
    assert str(caught.value) == "2.png: cut short; restore it from the source"
    loader = Loader(data, 2, workers=workers, unreadable="skip")
    for _ in range(2):
        assert [b.names for b in loader] == [["0.png", "1.png"], ["3.png"], ["4.png", "5.png"]]
        assert [message[:5] for message in loader.skipped] == ["2.png", "6.png", "7.png"]


def test_an_error_without_a_name_gets_one() -> None:
    class Wrong(Made):
        def _image(self, index: int) -> Tensor:
            return torch.zeros((3, 5, 5), dtype=torch.uint8)

    with pytest.raises(PellucidError, match=r"^made: 0\.png: the image has 5 × 5 pixels"):
        list(Loader(Transformed(Wrong(2), HorizontalFlip(1.0)), 2))


def test_a_worker_that_dies_is_said() -> None:
    with pytest.raises(PellucidError, match="made: a loading process was ended from outside"):
        list(Loader(Made(6, fatal=(3,)), 2, workers=1))


def test_a_data_set_and_its_loader_can_be_sent() -> None:
    loader = pickle.loads(pickle.dumps(Loader(Transformed(Made(4), Mosaic(16)), 2, shuffle=True)))
    assert len(list(loader)) == 2


INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[1])
from test_loading import Made
from pellucid.data.loading import Loader
try:
    while True:
        for batch in Loader(Made(40), 2, workers=2):
            print("batch", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def interrupted(wait: float) -> tuple[str, str]:
    """What a loop over a loader prints, and complains of, when it is interrupted a moment after its first batch."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, os.path.dirname(__file__)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "batch\n"
    time.sleep(wait)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    try:
        return process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()


def test_an_interrupt_is_quiet() -> None:
    for wait in (0.05, 0.15, 0.3):
        out, err = interrupted(wait)
        if "Exception ignored in" not in err:  # Python swallows what falls into a finalizer or a callback
            break
    assert out.endswith("interrupted\n")
    assert err == ""


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4), st.sampled_from([1, 2, 8, 32])
)
def test_padding_keeps_every_image_in_its_corner(sizes: list[tuple[int, int]], stride: int) -> None:
    images = [torch.full((3, h, w), i + 1, dtype=torch.uint8) for i, (h, w) in enumerate(sizes)]
    batch, given_sizes = padded(images, stride, fill=114)
    assert given_sizes == sizes
    H, W = batch.shape[2:]
    assert (H % stride, W % stride) == (0, 0)
    assert H - stride < max(h for h, _ in sizes) <= H
    assert W - stride < max(w for _, w in sizes) <= W
    for i, (h, w) in enumerate(sizes):
        assert (batch[i, :, :h, :w] == i + 1).all()
        assert (batch[i, :, h:] == 114).all()
        assert (batch[i, :, :, w:] == 114).all()


def test_no_images_make_no_batch() -> None:
    with pytest.raises(PellucidError, match="no images"):
        padded([])


def test_an_epoch_that_begins_in_its_middle():
    data = open_dataset("scenes:n=9,size=16", "train")
    loader = Loader(data, 2, shuffle=True, seed=1)
    loader.set_epoch(3)
    whole = [batch.names for batch in loader]
    loader.set_epoch(3, start=2)
    assert len(loader) == len(whole) - 2
    assert [batch.names for batch in loader] == whole[2:]
    loader.set_epoch(3, start=99)
    assert list(loader) == []
    with pytest.raises(PellucidError, match="from batch -1"):
        loader.set_epoch(0, start=-1)
