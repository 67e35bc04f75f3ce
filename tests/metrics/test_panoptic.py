"""Panoptic quality by hand: each rule of the protocol, bad input, and how parts add up."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.metrics.panoptic import PanopticError, PanopticEvaluator
from pellucid.metrics.panoptic import overlaps as counting
from pellucid.structures import Annotations, Classes, Instances, Panoptic, Segment

CLASSES = Classes(("cat", "dog", "grass", "sky"), things=(True, True, False, False))
CAT, DOG, GRASS, SKY = range(4)


def said(
    rows: object, *segments: Segment, classes: Classes = CLASSES, instances: Instances | None = None
) -> Annotations:
    ids = torch.tensor(rows, dtype=torch.int64)
    ids = ids[None] if ids.ndim == 1 else ids
    return Annotations((ids.shape[0], ids.shape[1]), classes, panoptic=Panoptic(ids, segments), instances=instances)


def scored(truth: Annotations, prediction: Annotations | None, **options: bool) -> PanopticEvaluator:
    evaluator = PanopticEvaluator(CLASSES, **options)
    evaluator.add("a", truth, prediction)
    return evaluator


def counts(evaluator: PanopticEvaluator, name: str) -> tuple[float, float, float, float]:
    figures = evaluator.score().per_class[name]
    return figures["IoU_sum"], figures["TP"], figures["FP"], figures["FN"]


def test_a_case_worked_out_by_hand() -> None:
    # Cat: 4 of 5 pixels, IoU 0.8. Grass: 2 of 5 found, IoU 0.4: one missed, one too many. A dog nobody sees: missed.
    truth = said([5] * 5 + [6] * 5 + [7] * 2, Segment(5, CAT), Segment(6, GRASS), Segment(7, DOG))
    prediction = said([1] * 4 + [0] * 4 + [2] * 2 + [0] * 2, Segment(1, CAT), Segment(2, GRASS))
    evaluator = scored(truth, prediction)
    score = evaluator.score()
    assert score.protocol == "panoptic"
    assert score.images == 1
    assert score.per_class["cat"] == {"PQ": 0.8, "SQ": 0.8, "RQ": 1.0, "IoU_sum": 0.8, "TP": 1, "FP": 0, "FN": 0}
    assert score.per_class["grass"] == {"PQ": 0.0, "SQ": 0.0, "RQ": 0.0, "IoU_sum": 0.0, "TP": 0, "FP": 1, "FN": 1}
    assert score.summary["PQ"] == pytest.approx(0.8 / 3, abs=1e-15)  # sky occurs nowhere and is left out
    assert score.summary["PQ_things"] == 0.4
    assert score.summary["SQ_things"] == 0.4
    assert score.summary["RQ_things"] == 0.5
    assert score.summary["PQ_stuff"] == 0.0
    assert math.isnan(score.per_class["sky"]["PQ"])
    assert list(score.summary) == [q + s for s in ("", "_things", "_stuff") for q in ("PQ", "SQ", "RQ")]
    assert evaluator.records() == [
        PanopticError("a", "match", CAT, 5, 1, 0.8),
        PanopticError("a", "false positive", GRASS, 6, 2, 0.4),
        PanopticError("a", "false negative", GRASS, 6, 2, 0.4),
        PanopticError("a", "false negative", DOG, 7, None, 0.0),
    ]


def test_an_iou_of_exactly_a_half_does_not_match() -> None:
    truth = said([1, 1, 2, 2], Segment(1, CAT), Segment(2, SKY))
    assert counts(scored(truth, said([1, 0, 2, 2], Segment(1, CAT), Segment(2, SKY))), "cat") == (0, 0, 1, 1)
    wider = said([1, 1, 1, 2, 2], Segment(1, CAT), Segment(2, SKY))
    iou, TP, FP, FN = counts(scored(wider, said([1, 1, 0, 2, 2], Segment(1, CAT), Segment(2, SKY))), "cat")
    assert (iou, TP, FP, FN) == (2 / 3, 1, 0, 0)


def test_another_class_never_matches_whatever_it_covers() -> None:
    evaluator = scored(said([1, 1], Segment(1, CAT)), said([9, 9], Segment(9, DOG)))
    assert counts(evaluator, "cat") == (0, 0, 0, 1)
    assert counts(evaluator, "dog") == (0, 0, 1, 0)
    assert evaluator.records()[1] == PanopticError("a", "false negative", CAT, 1, 9, 1.0)


def test_the_union_leaves_out_predicted_pixels_on_void() -> None:
    # 3 pixels shared, 2 on void, 1 on sky: 3 / (3 + 6 − 3 − 2) = 0.75, not 3 / 6 which would be no match.
    truth = said([1, 1, 1, 0, 0, 2], Segment(1, CAT), Segment(2, SKY))
    prediction = said([7] * 6, Segment(7, CAT))
    assert counts(scored(truth, prediction), "cat") == (0.75, 1, 0, 0)


def test_a_truth_id_that_no_segment_has_is_no_void_and_is_noted() -> None:
    truth = said([1, 1, 1, 4, 4, 2], Segment(1, CAT), Segment(2, SKY))
    evaluator = scored(truth, said([7] * 6, Segment(7, CAT)))
    assert counts(evaluator, "cat") == (0, 0, 1, 1)  # 3 / 6 is no match
    assert evaluator.score().findings.count("images with ids in the true map that no segment has") == 1


def test_crowds_are_neither_matched_nor_missed() -> None:
    truth = said([1, 1, 1, 2], Segment(1, CAT, crowd=True), Segment(2, SKY))
    evaluator = scored(truth, said([3, 3, 3, 2], Segment(3, CAT), Segment(2, SKY)))
    assert counts(evaluator, "cat") == (0, 0, 0, 0)
    assert math.isnan(evaluator.score().summary["PQ_things"])


@pytest.mark.parametrize(("ignored", "FP"), [(2, 1), (3, 0)])
def test_only_more_than_half_on_void_and_crowd_excuses(ignored: int, FP: int) -> None:
    # 4 pixels of a predicted cat: 1 on void, the rest of the ignored ones on the crowd of its class.
    row = [0] + [1] * (ignored - 1) + [2] * (4 - ignored) + [2] * 4
    truth = said(row, Segment(1, CAT, crowd=True), Segment(2, SKY))
    assert counts(scored(truth, said([5] * 4 + [2] * 4, Segment(5, CAT), Segment(2, SKY))), "cat") == (0, 0, FP, 0)


def test_the_crowd_of_another_class_excuses_nothing() -> None:
    truth = said([1, 1, 1, 2], Segment(1, DOG, crowd=True), Segment(2, SKY))
    assert counts(scored(truth, said([5, 5, 5, 2], Segment(5, CAT), Segment(2, SKY))), "cat") == (0, 0, 1, 0)


def test_of_two_crowds_of_a_class_only_the_last_excuses() -> None:
    prediction = said([5, 5, 5, 6, 6, 6], Segment(5, CAT), Segment(6, CAT))
    first, last = Segment(9, CAT, crowd=True), Segment(3, CAT, crowd=True)
    evaluator = scored(said([9, 9, 9, 3, 3, 3], first, last), prediction)
    assert [r.prediction_id for r in evaluator.records()] == [5]  # the order of the list tells, not that of the ids
    turned = scored(said([9, 9, 9, 3, 3, 3], last, first), prediction)
    assert [r.prediction_id for r in turned.records()] == [6]


def test_a_missed_segment_names_what_covers_most_of_it() -> None:
    truth = said([1] * 10 + [2] * 10, Segment(1, CAT), Segment(2, GRASS))
    prediction = said([4] * 4 + [8] * 16, Segment(4, CAT), Segment(8, GRASS))
    record = next(r for r in scored(truth, prediction).records() if r.kind == "false negative")
    assert record == PanopticError("a", "false negative", CAT, 1, 8, 6 / 20)


def test_a_true_segment_without_pixels_is_missed_and_noted() -> None:
    evaluator = scored(said([1, 1], Segment(1, CAT), Segment(2, DOG)), said([1, 1], Segment(1, CAT)))
    assert counts(evaluator, "dog") == (0, 0, 0, 1)
    assert evaluator.score().findings.lines() == ["true segments without pixels: 1 (counted as given): a, segment 2"]


def test_annotated_areas_that_differ_from_the_pixels_reserve_the_figures() -> None:
    def truth(area: float, id: int = 1) -> Annotations:
        instances = Instances(
            torch.zeros(1, 4), torch.tensor([CAT]), areas=torch.tensor([area]), ids=torch.tensor([id])
        )
        return said([1, 1, 1], Segment(1, CAT), instances=instances)

    prediction = said([1, 1, 1], Segment(1, CAT))
    assert scored(truth(3), prediction).score().reservations == {}
    assert scored(truth(math.nan), prediction).score().reservations == {}
    assert scored(truth(7, id=2), prediction).score().reservations == {}  # an object of some other file
    score = scored(truth(4), prediction).score()
    assert set(score.reservations) == set(score.summary)
    assert score.summary["PQ"] == 1.0


def test_boundaries_lower_the_iou_to_theirs() -> None:
    # A square of 20 × 20 against one of 18 × 18 in it. The diagonal of 50 × 50 times 0.02 is 1.41: a boundary of 1.
    true, found = np.zeros((50, 50), dtype=np.int64), np.zeros((50, 50), dtype=np.int64)
    true[10:30, 10:30] = 1
    true[true == 0] = 2
    found[11:29, 11:29] = 5
    found[found == 0] = 6
    truth = said(true.tolist(), Segment(1, CAT), Segment(2, SKY))
    prediction = said(found.tolist(), Segment(5, CAT), Segment(6, SKY))
    assert counts(scored(truth, prediction), "cat") == (324 / 400, 1, 0, 0)
    evaluator = scored(truth, prediction, boundary=True)
    assert counts(evaluator, "cat") == (0, 0, 1, 1)  # rings of 76 and 68 pixels that share none
    # Sky: boundaries of 196 along the image, and of 84 and 76 around the squares (with corners), which share none.
    assert counts(evaluator, "sky") == (196 / (196 + 84 + 76), 1, 0, 0)
    assert evaluator.score().protocol == "boundary-panoptic"
    wide = PanopticEvaluator(CLASSES, boundary=True, boundary_ratio=1.0)
    wide.add("a", truth, prediction)
    assert counts(wide, "cat") == (324 / 400, 1, 0, 0)  # so wide that the whole of a segment is its boundary


def test_a_boundary_on_void_leaves_the_union() -> None:
    true = np.full((40, 40), 2)
    true[5:15, 5:15] = 1
    true[5:15, 15:17] = 0
    found = np.full((40, 40), 2)
    found[5:15, 5:17] = 1
    segments = Segment(1, CAT), Segment(2, SKY)
    evaluator = scored(said(true.tolist(), *segments), said(found.tolist(), *segments), boundary=True)
    # A width of 1: rings of 36 and 40 pixels; 28 are shared, 12 of the found one lie on void.
    assert counts(evaluator, "cat") == (28 / (36 + 40 - 28 - 12), 1, 0, 0)


def truth_and(prediction: Annotations | None) -> PanopticEvaluator:
    return scored(said([[1, 1, 0]], Segment(1, CAT)), prediction)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (None, "a: no panoptic map is predicted"),
        (Annotations((1, 3), CLASSES), "a: no panoptic map is predicted"),
        (said([[1, 1]], Segment(1, CAT)), r"a: the predicted map is of 2 × 1 pixels, the true one of 3 × 1"),
        (said([[1, 8, 0]], Segment(1, CAT)), "a: the predicted map has id 8, which no segment has"),
        (said([[1, -1, 0]], Segment(1, CAT)), "a: the predicted map has id -1"),
        (said([[1, 1, 0]], Segment(1, CAT), Segment(4, DOG)), "a: predicted segment 4 has no pixel"),
        (said([[1, 1, 0]], Segment(1, 4)), "a: predicted segment 1 is of class 4"),
        (said([[1, 1, 0]], Segment(1, CAT), classes=Classes(("x",))), "a: the prediction has other classes"),
    ],
)
def test_a_bad_prediction_is_refused_by_name(prediction: Annotations | None, message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        truth_and(prediction)


def test_maps_must_be_whole_numbers_and_segments_unique() -> None:
    bad = said([[1, 1, 0]], Segment(1, CAT))
    assert bad.panoptic is not None
    bad.panoptic.ids = bad.panoptic.ids.float()
    with pytest.raises(PellucidError, match="a: the prediction's map is float32"):
        truth_and(bad)
    with pytest.raises(PellucidError, match="id of its own"):
        said([[1, 1, 0]], Segment(1, CAT), Segment(1, DOG))


def test_a_refused_image_leaves_no_trace() -> None:
    evaluator = PanopticEvaluator(CLASSES)
    truth = said([1, 1, 3], Segment(1, CAT))
    with pytest.raises(PellucidError):
        evaluator.add("a", truth, said([8, 8, 8], Segment(1, CAT)))
    evaluator.add("a", truth, said([1, 1, 0], Segment(1, CAT)))
    assert evaluator.score().images == 1
    with pytest.raises(PellucidError, match="a: was scored before"):
        evaluator.add("a", truth, said([1, 1, 0], Segment(1, CAT)))


def test_nothing_scored_is_undefined() -> None:
    assert all(math.isnan(value) for value in PanopticEvaluator(CLASSES).score().summary.values())


def test_parts_that_do_not_fit_are_refused() -> None:
    one = scored(said([1], Segment(1, CAT)), said([1], Segment(1, CAT)))
    with pytest.raises(PellucidError, match="a: was scored in both"):
        one.merge(pickle.loads(pickle.dumps(one)))
    with pytest.raises(PellucidError, match="classes"):
        one.merge(PanopticEvaluator(Classes(CLASSES.names)))
    with pytest.raises(PellucidError, match="boundaries"):
        one.merge(PanopticEvaluator(CLASSES, boundary=True))
    with pytest.raises(PellucidError, match="boundary_ratio"):
        PanopticEvaluator(CLASSES, boundary_ratio=0)


@st.composite
def maps(draw: st.DrawFn, crowds: bool = True) -> Annotations:
    """A small map whose every listed segment has pixels."""
    ids = draw(st.lists(st.sampled_from([0, 2, 3, 900, 2**24 - 1]), min_size=24, max_size=24))
    there = draw(st.permutations(sorted(set(ids) - {0})))
    segments = [Segment(i, draw(st.integers(0, 3)), crowds and draw(st.booleans())) for i in there]
    return said(np.array(ids).reshape(4, 6).tolist(), *segments)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(maps(), maps()), min_size=1, max_size=6), st.randoms(), st.booleans())
def test_order_and_sharding_change_nothing(images: list, random: object, boundary: bool) -> None:
    whole = PanopticEvaluator(CLASSES, boundary=boundary)
    named = [(f"{i}", *pair) for i, pair in enumerate(images)]
    for image in named:
        whole.add(*image)
    parts = [PanopticEvaluator(CLASSES, boundary=boundary) for _ in range(3)]
    random.shuffle(named)  # type: ignore[attr-defined]
    for i, image in enumerate(named):
        parts[i % 3].add(*image)
    parts = [pickle.loads(pickle.dumps(part)) for part in parts]
    parts[1].merge(parts[2])
    parts[1].merge(parts[0])
    assert parts[1].score().record() == whole.score().record()
    assert parts[1].records() == whole.records()


@settings(deadline=None, max_examples=30)
@given(maps(crowds=False))
def test_a_map_against_itself_is_perfect(image: Annotations) -> None:
    score = scored(image, image, boundary=True).score()
    assert all(math.isnan(value) or value == 1.0 for value in score.summary.values())


@settings(deadline=None, max_examples=30)
@given(maps(), maps())
def test_counting_into_a_table_and_sorting_agree(truth: Annotations, prediction: Annotations) -> None:
    given = [truth.panoptic.ids.numpy(), prediction.panoptic.ids.numpy()]  # type: ignore[union-attr]
    # 900 is listed in neither, so that both ways meet unknown ids.
    given += [np.array([2**24 - 1, 2]), np.array([3, 2**24 - 1, 2])]
    table = counting.overlaps(*given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "MOST_CELLS", 0)
        sorted_ = counting.overlaps(*given)
    for name in table.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(table, name), getattr(sorted_, name))
    t, p = truth.panoptic.ids, prediction.panoptic.ids  # type: ignore[union-attr]
    assert dict(zip(zip(table.truth, table.prediction, strict=True), table.pixels, strict=True)) == {
        (i, j): n
        for i, a in enumerate(given[2])
        for j, b in enumerate(given[3])
        if (n := int(((t == int(a)) & (p == int(b))).sum()))
    }
    assert table.void.tolist() == [int(((t == 0) & (p == int(b))).sum()) for b in given[3]]
    assert table.truth_unknown == int(torch.isin(t, torch.tensor([3, 900])).sum())
