"""Sampling of positives and negatives: how many, which, and that a seed repeats."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import PellucidError
from pellucid.ops.sampling import sample


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def matches(positive, negative, neither):
    made = torch.tensor([3] * positive + [-1] * negative + [-2] * neither, dtype=torch.int64)
    return made[torch.randperm(len(made), generator=seeded(9))]


@pytest.mark.parametrize(
    ("there", "drawn"),
    [
        ((500, 500, 5), (128, 128)),
        ((10, 500, 5), (10, 246)),  # negatives fill up
        ((500, 10, 5), (128, 10)),  # positives do not
        ((0, 500, 5), (0, 256)),
        ((500, 0, 5), (128, 0)),
        ((0, 0, 5), (0, 0)),
        ((0, 0, 0), (0, 0)),
    ],
)
def test_how_many(there, drawn):
    positive, negative = sample(matches(*there), 256, 0.5, seeded())
    assert (len(positive), len(negative)) == drawn
    assert positive.dtype == negative.dtype == torch.int64


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-2, 4), max_size=60), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_properties(values, count, share, seed):
    given_matches = torch.tensor(values, dtype=torch.int64)
    positive, negative = sample(given_matches, count, share, seeded(seed))
    assert (given_matches[positive] >= 0).all()
    assert (given_matches[negative] == -1).all()
    assert len(positive) <= count * share
    assert len(positive) + len(negative) <= count
    for drawn in (positive, negative):
        assert drawn.tolist() == sorted(set(drawn.tolist()))
    again = sample(given_matches, count, share, seeded(seed))
    assert torch.equal(again[0], positive)
    assert torch.equal(again[1], negative)


def test_each_is_drawn_as_often():
    generator, hits = seeded(), torch.zeros(20)
    for _ in range(2_000):
        hits[sample(torch.full((20,), -1), 5, 0.5, generator)[1]] += 1
    assert hits.sum() == 10_000
    assert ((hits - 500).abs() < 100).all()  # five standard deviations


def test_what_is_wrong_is_said():
    for count, share in ((0, 0.5), (256, 1.5), (256, -0.1)):
        with pytest.raises(PellucidError, match="give ≥ 1, and 0 to 1"):
            sample(torch.zeros(3, dtype=torch.int64), count, share, seeded())
    with pytest.raises(PellucidError, match="one image"):
        sample(torch.zeros(2, 3, dtype=torch.int64), 256, 0.5, seeded())
