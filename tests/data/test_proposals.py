"""Data sets with proposals: what they carry, and when the cache is believed."""

import numpy as np
import pytest
import torch

from pellucid.data import open_dataset, proposals
from pellucid.data.proposals import with_proposals
from pellucid.errors import PellucidError
from pellucid.ops.selective_search import selective_search

SCENES = "scenes:n=3,size=40,seed=5"


@pytest.fixture
def searches(monkeypatch):
    """The images that were searched, counted."""
    seen = []

    def counted(image, mode, *, limit):
        seen.append(image)
        return selective_search(image, mode, limit=limit)

    monkeypatch.setattr(proposals, "selective_search", counted)
    return seen


def test_annotations_carry_what_the_search_finds_when_they_are_asked_for(searches):
    scenes = open_dataset(SCENES)
    made = with_proposals(scenes, limit=20)
    assert not searches
    assert torch.equal(made[1].image, scenes[1].image)
    assert not searches
    said = made[1].annotations
    assert torch.equal(said.proposals, selective_search(scenes[1].image, limit=20))
    assert said.proposals.dtype == torch.float32
    assert torch.equal(said.instances.boxes, scenes[1].annotations.instances.boxes)
    assert torch.equal(made.annotations(1).proposals, said.proposals)
    assert made.annotations(2, ("boxes",)).proposals is None
    assert len(searches) == 1
    assert torch.equal(made[1:][0].annotations.proposals, said.proposals)
    assert [sample.name for sample in made] == list(scenes.names)


def test_progress_tells_of_every_image_and_all_are_searched(searches):
    told = []
    made = with_proposals(open_dataset(SCENES), limit=5, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [len(sample.annotations.proposals) for sample in made] == [5, 5, 5]
    assert len(searches) == 3


def test_the_cache_is_read_where_it_fits(tmp_path, searches):
    file = tmp_path / "boxes.npz"
    first = with_proposals(open_dataset(SCENES), limit=7, cache=file)
    again = with_proposals(open_dataset(SCENES), limit=7, cache=file)
    assert len(searches) == 3
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.annotations.proposals, other.annotations.proposals)
    assert [path.name for path in tmp_path.iterdir()] == ["boxes.npz"]


@pytest.mark.parametrize(
    ("scenes", "settings"),
    [
        (SCENES, {"limit": 8}),
        (SCENES, {"limit": 7, "mode": "quality"}),
        ("scenes:n=2,size=40,seed=5", {"limit": 7}),
        ("scenes:n=3,size=41,seed=5", {"limit": 7}),
    ],
)
def test_a_stale_cache_is_made_anew(tmp_path, searches, scenes, settings):
    file = tmp_path / "boxes.npz"
    with_proposals(open_dataset(SCENES), limit=7, cache=file)
    made = with_proposals(open_dataset(scenes), cache=file, **settings)
    assert len(searches) == 3 + len(made)
    with_proposals(open_dataset(scenes), cache=file, **settings)
    assert len(searches) == 3 + len(made)


def test_a_damaged_cache_is_made_anew(tmp_path, searches):
    file = tmp_path / "boxes.npz"
    whole = with_proposals(open_dataset(SCENES), limit=7, cache=file)
    good = file.read_bytes()
    with np.load(file) as kept:
        arrays = dict(kept)
    for bad in (b"", b"nothing", good[:200], good[:-40]):
        file.write_bytes(bad)
        made = with_proposals(open_dataset(SCENES), limit=7, cache=file)
        assert torch.equal(made[0].annotations.proposals, whole[0].annotations.proposals)
        assert file.read_bytes()[:2] == b"PK"
    counted = len(searches)
    np.savez(file, **{**arrays, "counts": arrays["counts"] + 1})
    with_proposals(open_dataset(SCENES), limit=7, cache=file)
    assert len(searches) == counted + 3


def test_bad_settings_are_told():
    with pytest.raises(PellucidError, match="limit 0"):
        with_proposals(open_dataset(SCENES), limit=0)
    with pytest.raises(PellucidError, match="end the name so"):
        with_proposals(open_dataset(SCENES), cache="boxes.txt")
    with pytest.raises(PellucidError, match="'fats' is unknown; did you mean 'fast'"):
        with_proposals(open_dataset(SCENES), mode="fats", progress=lambda done, total: None)
