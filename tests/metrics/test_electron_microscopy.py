"""The ISBI 2012 challenge's figures: worked out by hand on small grids, and what holds for all maps."""

import math
import pickle
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from pellucid.errors import PellucidError
from pellucid.metrics.electron_microscopy import (
    ElectronMicroscopyEvaluator,
    cells,
    foreground_restricted_rand,
    pixel_error,
    rand_counts,
    rand_error,
    thinned_cells,
    warped,
    warping_error,
)
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes

CLASSES = Classes(("membrane", "cell"))
ROOT = Path(__file__).parents[2]


def grid(text):
    """Rows of '#' (membrane) and '.' (cell) as a bool map of cells."""
    return np.array([[character == "." for character in row] for row in text.split()])


def said(cell_map):
    return Annotations(cell_map.shape, CLASSES, semantic=torch.from_numpy(cell_map.astype(np.int64)))


def probable(probabilities, dtype=torch.float64):
    cell = torch.as_tensor(np.asarray(probabilities), dtype=dtype)
    return Annotations(tuple(cell.shape), CLASSES, semantic_probabilities=torch.stack((1 - cell, cell)))


def scored(*pairs, **options):
    evaluator = ElectronMicroscopyEvaluator(CLASSES, **options)
    for i, (truth, prediction) in enumerate(pairs):
        evaluator.add(f"{i}.png", truth, prediction)
    return evaluator.score()


bool_maps = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda size: st.tuples(arrays(bool, size), arrays(bool, size))
)

# --- Rand -----------------------------------------------------------------------------------------------------------


def test_the_same_map_is_perfect():
    truth = grid("..#.. ..#.. #####")
    assert foreground_restricted_rand(truth, truth) == (1.0, 1.0, 1.0)


def test_a_cell_split_in_two():
    # n = 5. A = 1; proposed segments of 2 and 2 and one pixel on membrane: B = AB = (4 + 4)/25 + (1/5)/5.
    score = foreground_restricted_rand(grid("....."), grid("..#.."))
    assert score.precision == 1.0
    assert score.recall == 9 / 25
    assert score.F == 2 * 9 / (25 + 9)


def test_two_cells_merged():
    # n = 4 of 5 pixels, since the true membrane does not count. A = AB = (4 + 4)/16; B = 1.
    score = foreground_restricted_rand(grid("..#.."), grid("....."))
    assert score.precision == 8 / 16
    assert score.recall == 1.0
    assert score.F == 2 * 8 / (8 + 16)


def test_a_proposal_of_membrane_alone():
    # Every pixel is a segment of its own: B = AB = 1/n, which is 4/16; A = (4 + 4)/16.
    score = foreground_restricted_rand(grid("..#.."), grid("#####"))
    assert score == (1.0, 4 / 8, 2 * 4 / (8 + 4))


def test_a_wider_membrane_costs_recall_alone():
    # Two cells of 3, each with one pixel under membrane: A = 18, AB = B = 4 + 4 + 2.
    score = foreground_restricted_rand(grid("...#..."), grid("..###.."))
    assert score == (1.0, 10 / 18, 2 * 10 / (18 + 10))


def test_cells_are_4_connected():
    assert foreground_restricted_rand(grid(".# #."), grid(".. ..")).precision == 2 / 4


def test_a_truth_without_cells_has_no_score():
    assert all(math.isnan(value) for value in foreground_restricted_rand(grid("##"), grid("..")))


def pairs_of(truth, proposal):
    """A, B and AB times n² by going through all ordered pairs of the pixels that are cell in the truth."""
    a, b = cells(truth), cells(proposal)
    pixels = [(int(a[p]), int(b[p]) or ("alone", p)) for p in zip(*np.nonzero(truth), strict=True)]
    same = [(x[0] == y[0], x[1] == y[1]) for x in pixels for y in pixels]
    return sum(s for s, _ in same), sum(t for _, t in same), sum(s and t for s, t in same)


@settings(deadline=None, max_examples=100)
@given(bool_maps)
def test_the_sums_are_counts_of_pairs(pair):
    """With AB as the protocol's formula has it: a lone pixel is with itself in both."""
    truth, proposal = pair
    assert tuple(rand_counts(cells(truth), cells(proposal))) == pairs_of(truth, proposal)


@settings(deadline=None, max_examples=60)
@given(bool_maps, st.integers(1, 10**12))
def test_the_numbers_of_segments_do_not_matter(pair, factor):
    truth, proposal = cells(pair[0]).astype(np.int64), cells(pair[1]).astype(np.int64)
    renumbered = (proposal.max() + 1 - proposal) * factor * (proposal > 0)
    assert rand_counts(truth, proposal) == rand_counts(truth * factor, renumbered)
    assert rand_error(truth, proposal) == pytest.approx(rand_error(truth, renumbered), nan_ok=True, abs=0)


def test_rand_error_by_hand():
    # Pairs: together in a alone {0,1}, in both {2,3}, in b alone {1,2}, {1,3}: 3 of 6 differ.
    assert rand_error(np.array([[5, 5, 7, 7]]), np.array([[0, 1, 1, 1]])) == 3 / 6
    assert rand_error(np.array([[5, 5, 7, 7]]), np.array([[9, 9, 0, 0]])) == 0.0
    assert math.isnan(rand_error(np.array([[5]]), np.array([[5]])))
    inside = np.array([[True, True, False, False]])
    assert rand_error(np.array([[5, 5, 7, 7]]), np.array([[0, 1, 1, 1]]), inside) == 1.0


@settings(deadline=None, max_examples=60)
@given(bool_maps)
def test_rand_error_is_a_share_of_pairs(pair):
    a, b = (cells(m).ravel() for m in pair)
    differ = [(a[i] == a[j]) != (b[i] == b[j]) for i, j in combinations(range(a.size), 2)]
    expected = sum(differ) / len(differ) if differ else math.nan
    found = rand_error(cells(pair[0]), cells(pair[1]))
    assert found == pytest.approx(expected, nan_ok=True, abs=1e-15)
    assert rand_error(cells(pair[1]), cells(pair[0])) == pytest.approx(found, nan_ok=True, abs=0)


def test_many_segments_need_no_table_of_all_pairs():
    checks = np.indices((300, 300)).sum(0) % 2 == 0
    # 45,000 cells of one pixel each on both sides: a full table would have 2 · 10⁹ entries.
    assert foreground_restricted_rand(checks, checks).F == 1.0
    counts = rand_counts(cells(checks), cells(~checks))
    assert counts == (45_000, 45_000, 45_000)


@pytest.mark.parametrize("function", [foreground_restricted_rand, pixel_error, rand_error])
def test_other_sizes(function):
    with pytest.raises(PellucidError, match="one size"):
        function(grid(".."), grid("..."))


# --- thinning -------------------------------------------------------------------------------------------------------


def test_membranes_are_thinned_to_their_middle():
    thin = thinned_cells(grid("..###.. ..###.. ..###.."))
    assert thin.tolist() == [[1, 1, 1, 0, 2, 2, 2]] * 3


def test_a_membrane_that_parts_nothing_is_flooded():
    assert (thinned_cells(grid("..... .###. ...#.")) == 1).all()


def test_no_cell_and_no_membrane():
    assert (thinned_cells(grid("## ##")) == 0).all()
    assert (thinned_cells(grid(".. ..")) == 1).all()


def test_thinning_forgives_wide_membranes_but_no_merger():
    truth = grid("....#.... " * 3)
    wide, open_ = grid("..#####.. " * 3), grid("....#.... ......... ....#....")
    plain = scored((said(truth), said(wide)), warping=False).summary
    assert plain["rand_F_thinned"] == 1.0 > plain["rand_F"]
    merged = scored((said(truth), said(open_)), warping=False).summary
    assert merged["rand_F_thinned"] <= merged["rand_F"] < 1


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda size: arrays(bool, size)))
def test_thinned_cells_never_touch_and_keep_their_own(mask):
    thin, own = thinned_cells(mask), cells(mask)
    assert np.array_equal(thin[mask], own[mask])
    for one, other in ((thin[1:], thin[:-1]), (thin[:, 1:], thin[:, :-1])):
        assert ((one == other) | (one == 0) | (other == 0)).all()
    # No cell falls apart, and none comes into being.
    assert cells(thin > 0).max() == own.max()


# --- warping --------------------------------------------------------------------------------------------------------


def test_a_moved_boundary_costs_nothing():
    truth, proposal = grid("...#.... " * 4), grid("....#... " * 4)
    assert pixel_error(truth, proposal) == 8 / 32
    assert warping_error(truth, proposal.astype(float), 0.5) == 0.0
    assert np.array_equal(warped(truth, proposal.astype(float), 0.5), proposal)


def test_a_wider_boundary_costs_nothing():
    truth, proposal = grid("...#... " * 3), grid(".#####. " * 3)
    assert warping_error(truth, proposal.astype(float), 0.5) == 0.0


def test_a_gap_in_a_membrane_costs_its_last_pixel():
    truth, proposal = grid("..#.. " * 4), grid("..#.. ..... ..... ..#..")
    # The membrane is thinned from neither side; each of the two pixels alone would join the cells.
    assert warping_error(truth, proposal.astype(float), 0.5) == 2 / 20


def test_a_hole_cannot_be_warped_away():
    truth, proposal = grid("..... .###. .###. ....."), grid("..... " * 4)
    # The island of membrane shrinks to one pixel and stays.
    assert warping_error(truth, proposal.astype(float), 0.5) == 1 / 20
    assert warping_error(proposal, truth.astype(float), 0.5) == 6 / 20


def test_a_cell_cannot_vanish():
    truth, proposal = grid("##### #...# #...# #####"), grid("##### " * 4)
    assert warping_error(truth, proposal.astype(float), 0.5) == 1 / 20


def test_outside_the_image_is_membrane():
    # A cell that is the whole image may be dented at the edge: the dent is joined to the membrane outside.
    assert warping_error(grid("... ... ..."), grid("... #.. ...").astype(float), 0.5) == 0.0
    assert warping_error(grid("... ... ..."), grid("... .#. ...").astype(float), 0.5) == 1 / 9


def test_cells_are_joined_along_edges_and_membranes_over_corners():
    # The membrane runs on over the corner, so that the cells are two; filling either corner pixel joins nothing.
    truth, proposal = grid("..#. .#.. #..."), grid("..#. ..#. .#..")
    assert warping_error(truth, proposal.astype(float), 0.5) == 0.0


def test_what_is_furthest_from_the_threshold_moves_first():
    # An island of two pixels in a cell; either could go, but not both. The surer one goes.
    truth = grid("..... .##.. .....")
    for left, right in ((0.9, 0.6), (0.6, 0.9)):
        probabilities = np.ones((3, 5))
        probabilities[1, 1:3] = left, right
        moved = warped(truth, probabilities, 0.5)
        assert moved[1, 1:3].tolist() == [left > right, right > left]


def test_ties_go_column_by_column():
    # Of four equal pixels of a square island, the left ones go first, from above; row by row (1, 2) would be second.
    truth = grid(".... .##. .##. ....")
    moved = warped(truth, np.ones((4, 4)), 0.5)
    assert moved[1:3, 1:3].tolist() == [[True, True], [True, False]]
    # Whose turn it is shows where a pass changes what is simple: here the last in column order stays.
    tall = warped(grid(".... .#.. ..#. ...."), np.ones((4, 4)), 0.5)
    assert tall[1, 1]
    assert not tall[2, 2]
    lying = warped(grid(".... ..#. .#.. ...."), np.ones((4, 4)), 0.5)
    # Column 1 comes first, though its pixel stands in the lower row.
    assert lying[2, 1]
    assert not lying[1, 2]


@settings(deadline=None, max_examples=150)
@given(bool_maps, st.integers(0, 2**32 - 1))
def test_warping_keeps_the_topology_and_differs_no_more(pair, seed):
    truth, proposal = pair
    noise = np.random.default_rng(seed).random(truth.shape)
    probabilities = np.where(proposal, 0.5 + noise / 2 + 1e-9, 0.5 - noise / 2)
    moved = warped(truth, probabilities, 0.5)
    # All is membrane outside the image, and joined there.
    assert parts(np.pad(moved, 1)) == parts(np.pad(truth, 1))
    assert not (moved != truth)[truth == proposal].any()
    # What still differs could not be flipped: in its surroundings that would change a count.
    framed = np.pad(moved, 1)
    for row, column in zip(*np.nonzero(moved != proposal), strict=True):
        patch = framed[row : row + 3, column : column + 3]
        flipped = patch.copy()
        flipped[1, 1] ^= True
        assert parts(flipped) != parts(patch)


def parts(mask):
    """How many cells, 4-connected, and membranes, 8-connected."""
    return ndimage.label(mask)[1], ndimage.label(~mask, structure=np.ones((3, 3)))[1]


# --- the evaluator --------------------------------------------------------------------------------------------------

TRUTH = grid("..#.. ..#.. ..#..")


def test_the_best_threshold_is_of_the_stack():
    # At 0.2 the membrane is seen, at 0.1 not; at 0.5 and more one cell is under membrane.
    probabilities = np.where(TRUTH, 0.9, 0.15)
    probabilities[:, 3:] = 0.45
    score = scored((said(TRUTH), probable(probabilities)))
    assert score.summary["rand_F"] == 1.0
    assert score.summary["best_threshold"] == 0.2
    assert score.summary["pixel_error"] == score.summary["warping_error"] == 0.0
    assert score.summary["pixel_F_error"] == score.summary["rand_F_error"] == score.summary["rand_error"] == 0.0
    assert (score.summary["rand_precision"], score.summary["rand_recall"]) == (1.0, 1.0)


def test_slices_are_averaged_at_a_threshold_before_the_best_is_taken():
    # Each slice would be perfect at one threshold; no threshold is perfect for both.
    first = np.where(TRUTH, 0.9, 0.15)  # perfect from 0.2 to 0.8
    second = np.where(TRUTH, 0.15, 0.0)  # perfect at 0 and 0.1
    one, two = (scored((said(TRUTH), probable(p)), thinned=False).summary for p in (first, second))
    assert one["rand_F"] == two["rand_F"] == 1.0
    both = scored((said(TRUTH), probable(first)), (said(TRUTH), probable(second)), thinned=False).summary
    # At 0: the first merges two cells of 6 (A = AB = 72, B = 144). At 0.2: the second is membrane (B = AB = 12).
    assert both["rand_F"] == pytest.approx((2 * 72 / (72 + 144) + 1) / 2)
    assert both["rand_F_pooled"] == pytest.approx(2 * (72 + 72) / (144 + 144 + 72))
    assert both["best_threshold"] == 0.0
    # Pixels: at 0 three of the first are wrong. F pooled: 24 right cells, 3 too many.
    assert both["pixel_error"] == pytest.approx((3 / 15 + 0) / 2)
    assert both["pixel_F_error"] == pytest.approx(1 - 48 / 51)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_probability_at_the_threshold_is_membrane(dtype):
    evaluator = ElectronMicroscopyEvaluator(CLASSES, thresholds=(0.5, 0.7))
    evaluator.add("a", said(grid("....")), probable([[0.5, 0.75, 0.75, 0.7]], dtype))
    # 0.7 as float32 is a little less than as float64.
    assert float(torch.tensor(0.7, dtype=torch.float32)) < 0.7
    assert evaluator.curves()["pixel_error"] == [1 / 4, 2 / 4]


def test_float32_is_compared_as_float64():
    evaluator = ElectronMicroscopyEvaluator(CLASSES, thresholds=(0.1,))
    value = torch.tensor([[0.1, 0.1]], dtype=torch.float32)
    assert float(value[0, 0]) > 0.1
    evaluator.add("a", said(grid("..")), probable(value, torch.float32))
    assert evaluator.curves()["pixel_error"] == [0.0]


def test_a_map_without_probabilities_is_the_same_at_every_threshold():
    proposal = grid(".###. .###. .###.")
    score = scored((said(TRUTH), said(proposal)))
    expected = foreground_restricted_rand(TRUTH, proposal)
    assert score.summary["rand_F"] == expected.F
    assert score.summary["rand_recall"] == expected.recall
    assert score.summary["pixel_error"] == 6 / 15
    assert math.isnan(score.summary["best_threshold"])
    # Beside a slice with probabilities it counts at each threshold, at 1 too.
    evaluator = ElectronMicroscopyEvaluator(CLASSES)
    evaluator.add("a", said(TRUTH), said(TRUTH))
    evaluator.add("b", said(TRUTH), probable(np.where(TRUTH, 1.0, 0.0)))
    assert evaluator.curves()["pixel_error"] == [0.0] * 10 + [12 / 15 / 2]


def test_the_cell_may_be_any_class_and_all_others_are_membrane():
    classes = Classes(("inside", "membrane", "vesicle"))
    labels = torch.tensor([[0, 0, 1, 2, 0, 0]])
    evaluator = ElectronMicroscopyEvaluator(classes, cell="inside")
    predicted = torch.tensor([[0, 0, 255, 0, 0, 0]])
    size = (1, 6)
    evaluator.add("a", Annotations(size, classes, semantic=labels), Annotations(size, classes, semantic=predicted))
    # 255 in a prediction is no cell, hence membrane.
    assert evaluator.score().summary["pixel_error"] == 1 / 6
    with pytest.raises(PellucidError, match="unknown class 'outside'"):
        ElectronMicroscopyEvaluator(classes, cell="outside")


def test_names_order_and_reservations():
    score = scored((said(TRUTH), said(TRUTH)))
    assert list(score.summary) == [
        "rand_F_thinned",
        "rand_F",
        "rand_precision",
        "rand_recall",
        "rand_F_error",
        "rand_F_pooled",
        "rand_error",
        "pixel_error",
        "pixel_F_error",
        "warping_error",
        "best_threshold",
    ]
    assert (score.protocol, score.images) == ("isbi", 1)
    assert set(score.reservations) == {"rand_F_thinned", "rand_error", "pixel_error", "warping_error"}
    bare = scored((said(TRUTH), said(TRUTH)), warping=False, thinned=False)
    assert not {"warping_error", "rand_F_thinned"} & (set(bare.summary) | set(bare.reservations))


def test_slices_without_cells_have_no_rand_score(recwarn):
    empty = grid("##### " * 3)
    score = scored((said(TRUTH), said(TRUTH)), (said(empty), said(TRUTH)))
    assert score.summary["rand_F"] == 1.0
    assert score.summary["pixel_error"] == pytest.approx((0 + 12 / 15) / 2)
    assert score.findings.lines() == [
        "slices without a cell in the truth, left out of the Rand F-scores: 1 (kept): 1.png"
    ]
    alone = scored((said(empty), said(empty))).summary
    assert all(math.isnan(alone[f]) for f in ("rand_F", "rand_F_pooled", "rand_F_error", "pixel_F_error"))
    assert alone["pixel_error"] == alone["warping_error"] == 0.0
    assert all(math.isnan(value) for value in ElectronMicroscopyEvaluator(CLASSES).score().summary.values())
    assert not recwarn.list


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.permutations(range(5)), st.lists(st.booleans(), min_size=5, max_size=5))
def test_shards_give_exactly_the_whole_in_any_order(seed, order, where):
    rng = np.random.default_rng(seed)
    slices = [(said(rng.random((6, 7)) < 0.7), probable(rng.random((6, 7)))) for _ in range(4)]
    slices.append((said(rng.random((6, 7)) < 0.7), said(rng.random((6, 7)) < 0.7)))
    whole = scored(*slices)
    shards = [ElectronMicroscopyEvaluator(CLASSES) for _ in range(2)]
    for i in order:
        shards[where[i]].add(f"{i}.png", *slices[i])
    merged = pickle.loads(pickle.dumps(shards[0]))
    merged.merge(shards[1])
    assert merged.score().record() == whole.record()


def test_averages_are_exact():
    slices = [(said(TRUTH), said(np.arange(15).reshape(3, 5) % k > 0)) for k in (2, 3, 4, 5, 7)]
    score = scored(*slices, warping=False, thinned=False)
    exact = sum(Fraction(s[1].semantic.ne(s[0].semantic).sum().item() / 15) for s in slices) / 5
    assert score.summary["pixel_error"] == float(exact)


def test_merging_refuses_what_does_not_fit():
    one = ElectronMicroscopyEvaluator(CLASSES)
    one.add("a", said(TRUTH), said(TRUTH))
    with pytest.raises(PellucidError, match="a: was scored in both"):
        one.merge(pickle.loads(pickle.dumps(one)))
    with pytest.raises(PellucidError, match="different classes"):
        one.merge(ElectronMicroscopyEvaluator(Classes(("cell", "membrane"))))
    for options in ({"cell": 0}, {"thresholds": (0.5,)}, {"warping": False}, {"thinned": False}):
        with pytest.raises(PellucidError, match="different settings"):
            one.merge(ElectronMicroscopyEvaluator(CLASSES, **options))
    with pytest.raises(PellucidError, match="a: was scored before"):
        one.add("a", said(TRUTH), said(TRUTH))
    assert one.score().images == 1


unlabelled = torch.from_numpy(TRUTH.astype(np.int64))
unlabelled[0, 0] = 255
BAD = {
    "a: the prediction has other classes than are scored": (
        said(TRUTH),
        Annotations((3, 5), Classes(("cell", "membrane")), semantic=torch.zeros(3, 5, dtype=torch.int64)),
    ),
    "a: there is no prediction": (said(TRUTH), None),
    "a: the truth has no semantic map": (Annotations((3, 5), CLASSES), said(TRUTH)),
    "a: the prediction has no semantic map": (said(TRUTH), Annotations((3, 5), CLASSES)),
    "a: the prediction's semantic map has 2 × 5 pixels": (said(TRUTH), said(TRUTH[:2])),
    "a: 1 pixels of the truth are unlabelled (255)": (
        Annotations((3, 5), CLASSES, semantic=unlabelled),
        said(TRUTH),
    ),
    "a: the prediction says 2 at 15 pixels": (
        said(TRUTH),
        Annotations((3, 5), CLASSES, semantic=torch.full((3, 5), 2)),
    ),
    "a: probabilities of 'cell' run from 0 to 255": (said(TRUTH), probable(TRUTH * 255)),
    "a: predicted probabilities of shape 2 × 2 × 5": (said(TRUTH), probable(np.zeros((2, 5)))),
    "a: predicted probabilities that are no numbers": (said(TRUTH), probable(np.full((3, 5), math.nan))),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_slices_end_in_one_line_and_count_nothing(message):
    evaluator = ElectronMicroscopyEvaluator(CLASSES)
    with pytest.raises(PellucidError) as caught:
        evaluator.add("a", *BAD[message])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert evaluator.score().images == 0


@pytest.mark.parametrize("thresholds", [(), (0.5, math.nan)])
def test_thresholds_that_are_none(thresholds):
    with pytest.raises(PellucidError, match="thresholds"):
        ElectronMicroscopyEvaluator(CLASSES, thresholds=thresholds)


# --- real slices ----------------------------------------------------------------------------------------------------


def test_real_slices(real_data):
    folder = real_data("isbi_em") / "labels"
    truths = [np.asarray(Image.open(path))[100:260, 80:240] > 0 for path in sorted(folder.glob("*.png"))[:2]]
    same = scored(*((said(t), said(t)) for t in truths)).summary
    errors = [name for name in same if name.endswith("error")]
    assert all(same[name] == 0.0 for name in errors)
    assert same["rand_F"] == 1.0
    # Thinning takes nothing from truth-cell pixels: what was cell stays the same cell.
    assert same["rand_F_thinned"] == 1.0

    rng = np.random.default_rng(0)
    noisy = [np.clip(ndimage.gaussian_filter(t + rng.normal(0, 0.6, t.shape), 1.5), 0, 1) for t in truths]
    found = scored(*((said(t), probable(p)) for t, p in zip(truths, noisy, strict=True))).summary
    assert 0.9 < found["rand_F"] < found["rand_F_thinned"] < 1
    assert 0.4 <= found["best_threshold"] <= 0.8
    # Most wrong pixels are boundaries that moved a little.
    assert 0 < found["warping_error"] < found["pixel_error"] / 10

    opened = [t | (np.indices(t.shape).sum(0) % 40 < 3) for t in truths]
    merged = scored(*((said(t), said(p)) for t, p in zip(truths, opened, strict=True))).summary
    assert merged["rand_precision"] < 0.5
    assert merged["rand_recall"] == 1.0
