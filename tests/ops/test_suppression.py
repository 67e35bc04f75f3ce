"""Suppression: hard and soft, by hand, against the paper's algorithm word by word, and the two ways of computing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import PellucidError
from pellucid.ops.boxes import pairwise_iou
from pellucid.ops.suppression import _decay_compiled, _decay_in_torch, batched_nms, batched_soft_nms, nms, soft_nms

METHODS = ("linear", "gaussian")
ROW = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]])  # neighbours have an IoU of 1/3

# Whole pixels and few scores, so that overlaps and scores tie.
few = st.tuples(
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(0, 8),
    st.integers(0, 8),
    st.sampled_from([0.0, 0.0005, 0.3, 0.5, 0.9]),
)
scenes = st.lists(st.tuples(few, st.integers(0, 2)), max_size=14)


def tensors(scene):
    boxes = torch.tensor([(x, y, x + w, y + h) for (x, y, w, h, _), _ in scene], dtype=torch.float32).reshape(-1, 4)
    return boxes, torch.tensor([one[4] for one, _ in scene]), torch.tensor([g for _, g in scene], dtype=torch.int64)


def made_up(count, seed=0, side=60.0):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 600
    boxes = torch.cat((corner, corner + 1 + side * torch.rand(count, 2, generator=generator)), 1)
    return boxes, torch.rand(count, generator=generator)


def by_the_paper(boxes, scores, method, threshold=0.3, sigma=0.5, least=0.001):
    """Figure 2 of the paper, one box at a time, in Python's own numbers."""
    iou, now = pairwise_iou(boxes.double(), boxes.double()).tolist(), scores.double().tolist()
    left, kept, new = [i for i in range(len(now)) if now[i] >= least], [], []
    while left:
        best = max(left, key=lambda i: (now[i], -i))
        left.remove(best)
        kept.append(best)
        new.append(now[best])
        for i in left:
            overlap = iou[best][i]
            if method == "gaussian":
                now[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                now[i] *= 1 - overlap
        left = [i for i in left if now[i] >= least]
    return kept, new


def test_hard_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert nms(ROW, scores, 0.3).tolist() == [0, 2]
    assert nms(ROW, scores, 0.34).tolist() == [0, 1, 2]
    assert nms(ROW, torch.tensor([0.1, 0.9, 0.2]), 0.3).tolist() == [1]


def test_of_tied_scores_the_earlier_comes_first():
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(2000, 1) + torch.arange(2000)[:, None] * 100
    tied = torch.full((2000,), 0.5)
    assert nms(boxes, tied, 0.5).tolist() == list(range(2000))
    assert batched_nms(boxes, tied, torch.arange(2000) % 7, 0.5).tolist() == list(range(2000))
    assert soft_nms(boxes, tied)[0].tolist() == list(range(2000))
    assert nms(ROW[[1, 1, 1]], tied[:3], 0.5).tolist() == [0]


def test_soft_by_hand():
    scores = torch.tensor([0.9, 0.8, 0.7])
    kept, new = soft_nms(ROW, scores, "linear")
    # 0 lowers 1 to .533; then 2 is the best, and lowers 1 again.
    assert kept.tolist() == [0, 2, 1]
    assert new.tolist() == pytest.approx([0.9, 0.7, 0.8 * 4 / 9])
    kept, new = soft_nms(ROW, scores, "gaussian")
    assert kept.tolist() == [0, 2, 1]
    assert new.tolist() == pytest.approx([0.9, 0.7, 0.8 * math.exp(-4 / 9)])


def test_the_linear_threshold_is_reached():
    half = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])
    scores = torch.tensor([0.9, 0.8])
    assert soft_nms(half, scores, iou_threshold=0.5)[1].tolist() == pytest.approx([0.9, 0.4])
    assert soft_nms(half, scores, iou_threshold=0.500001)[1].tolist() == pytest.approx([0.9, 0.8])


def test_what_falls_under_the_threshold_is_gone():
    twins = ROW[[0, 0, 2]]
    kept, new = soft_nms(twins, torch.tensor([0.9, 0.8, 0.0005]))
    assert (kept.tolist(), new.tolist()) == ([0], [pytest.approx(0.9)])
    assert soft_nms(twins, torch.tensor([0.9, 0.8, 0.0005]), score_threshold=0)[0].tolist() == [0, 2, 1]


@settings(deadline=None, max_examples=80)
@given(scenes, st.sampled_from(METHODS), st.sampled_from([0.001, 0.0]))
def test_as_in_the_paper(scene, method, least):
    boxes, scores, _ = tensors(scene)
    kept, new = soft_nms(boxes, scores, method, score_threshold=least)
    expected, lowered = by_the_paper(boxes, scores, method, least=least)
    # A score is the old one times all factors here, and multiplied step by step there: ties may part by a last bit.
    assert sorted(kept.tolist()) == sorted(expected)
    assert new.tolist() == pytest.approx(lowered, abs=1e-6)


@settings(deadline=None, max_examples=80)
@given(scenes, st.sampled_from(METHODS))
def test_groups_do_not_touch_one_another(scene, method):
    boxes, scores, groups = tensors(scene)
    kept, new = batched_soft_nms(boxes, scores, groups, method)
    hard = batched_nms(boxes, scores, groups, 0.3)
    found, lowered, hard_found = [], {}, []
    for g in range(3):
        rows = torch.nonzero(groups == g).flatten()
        part, part_new = soft_nms(boxes[rows], scores[rows], method)
        found += rows[part].tolist()
        lowered |= dict(zip(rows[part].tolist(), part_new.tolist(), strict=True))
        hard_found += rows[nms(boxes[rows], scores[rows], 0.3)].tolist()
    assert sorted(found) == sorted(kept.tolist())
    assert new.tolist() == [lowered[row] for row in kept.tolist()]
    assert hard.tolist() == sorted(hard_found, key=lambda row: (-scores[row].item(), row))
    assert new.tolist() == sorted(new.tolist(), reverse=True)


def both_ways(boxes, scores, groups, method, least=0.001):
    """Rows and scores by the compiled loops and by torch, each sorted as the public function sorts them."""
    results = []
    for decay in (_decay_compiled, _decay_in_torch):
        exact = scores.double()
        factors = decay(
            boxes.double(), exact, groups, method == "gaussian", 0.5 if method == "gaussian" else 0.3, least
        )
        results.append(torch.where(exact * factors >= least, exact * factors, -1))
    return results


@settings(deadline=None, max_examples=80)
@given(scenes, st.sampled_from(METHODS), st.sampled_from([0.001, 0.0]))
def test_compiled_and_torch_agree(scene, method, least):
    compiled, other = both_ways(*tensors(scene), method, least)
    assert torch.allclose(compiled, other, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_compiled_and_torch_agree_on_many(method):
    boxes, scores = made_up(1500, side=120)
    compiled, other = both_ways(boxes, scores, torch.arange(1500) % 3, method)
    assert torch.allclose(compiled, other, atol=1e-12)
    assert (compiled < 0).any()
    assert (compiled > 0).sum() > 100


@pytest.mark.parametrize("method", METHODS)
def test_other_devices_take_the_way_of_torch(method, monkeypatch):
    boxes, scores = made_up(50)
    ours = soft_nms(boxes, scores, method)
    monkeypatch.setattr("pellucid.ops.suppression._decay_compiled", _decay_in_torch)
    theirs = soft_nms(boxes, scores, method)
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[1], theirs[1])


def test_ten_thousand_boxes():
    boxes, scores = made_up(10_000)
    kept, new = soft_nms(boxes, scores)
    assert len(kept) > 1_000
    assert (new <= scores[kept]).all()
    hard = nms(boxes, scores, 0.3)
    assert pairwise_iou(boxes[hard], boxes[hard]).fill_diagonal_(0).max() <= 0.3


def test_scores_keep_their_graph():
    scores = torch.tensor([0.9, 0.8, 0.7], requires_grad=True)
    boxes = ROW.clone().requires_grad_()
    _, new = soft_nms(boxes, scores)
    new.sum().backward()
    assert scores.grad.tolist() == pytest.approx([1, 4 / 9, 1])
    assert boxes.grad is None
    assert not nms(boxes, scores, 0.3).requires_grad
    assert new.dtype == torch.float32


def test_nothing_one_and_one_pixel():
    none, one = torch.zeros(0, 4), torch.tensor([[5.0, 5, 6, 6]])
    no_groups, group = torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    assert nms(none, torch.zeros(0), 0.5).tolist() == batched_nms(none, torch.zeros(0), no_groups, 0.5).tolist() == []
    assert nms(one, torch.ones(1), 0.5).tolist() == batched_nms(one, torch.ones(1), group, 0.5).tolist() == [0]
    for method in METHODS:
        kept, new = soft_nms(none, torch.zeros(0), method)
        assert kept.dtype == torch.int64
        assert kept.shape == new.shape == (0,)
        assert batched_soft_nms(one, torch.ones(1), group, method)[1].tolist() == [1]
        assert soft_nms(one[[0, 0]], torch.tensor([0.5, 0.6]), method)[0][0] == 1
    point = torch.tensor([[5.0, 5, 5, 5]] * 2)
    assert nms(point, torch.tensor([0.5, 0.6]), 0.5).tolist() == soft_nms(point, torch.tensor([0.5, 0.6]))[0].tolist()


def test_half_precision():
    scores = torch.tensor([0.9, 0.8, 0.7])
    kept, new = soft_nms(ROW.bfloat16(), scores.bfloat16())
    assert kept.tolist() == [0, 2, 1]
    assert new.dtype == torch.bfloat16
    assert nms(ROW.half(), scores.half(), 0.3).tolist() == [0, 2]


def test_what_is_wrong_is_said():
    scores = torch.tensor([0.9, math.nan, 0.7])
    for call in (lambda: nms(ROW, scores, 0.3), lambda: soft_nms(ROW, scores)):
        with pytest.raises(PellucidError, match=r"box 1 of 3, .* with score nan, is no number"):
            call()
    with pytest.raises(PellucidError, match=r"box 0 of 3, .*inf"):
        nms(ROW + math.inf, torch.ones(3), 0.3)
    with pytest.raises(PellucidError, match="a score and a group for each"):
        batched_nms(ROW, torch.ones(3), torch.zeros(2, dtype=torch.int64), 0.3)
    with pytest.raises(PellucidError, match="'gausian' is unknown; did you mean 'gaussian'"):
        soft_nms(ROW, torch.ones(3), "gausian")
    for wrong in ({"iou_threshold": 0.0}, {"sigma": -1.0}, {"score_threshold": math.nan}):
        with pytest.raises(PellucidError, match="soft-NMS: IoU threshold"):
            soft_nms(ROW, torch.ones(3), **wrong)
