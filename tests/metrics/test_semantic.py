"""Semantic scores: worked out by hand from the protocol, and what holds for all maps."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pellucid.errors import PellucidError
from pellucid.metrics.boundary import boundary
from pellucid.metrics.semantic import SemanticEvaluator
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes

CLASSES = Classes(("sky", "road", "car", "moon"))


def said(rows, classes=CLASSES):
    labels = torch.as_tensor(np.asarray(rows, dtype=np.int64))
    return Annotations((labels.shape[0], labels.shape[1]), classes, semantic=labels)


def scored(*pairs, classes=CLASSES, **options):
    evaluator = SemanticEvaluator(classes, **options)
    for i, (truth, prediction) in enumerate(pairs):
        evaluator.add(f"{i}.png", said(truth, classes), said(prediction, classes))
    return evaluator


TRUTH = [[0, 0, 0, 1], [1, 1, 255, 255]]
PREDICTION = [[0, 0, 1, 1], [1, 2, 2, 0]]


def test_by_hand():
    evaluator = scored((TRUTH, PREDICTION))
    assert evaluator.confusion.tolist() == [[2, 1, 0, 0, 0], [0, 2, 1, 0, 0], [0] * 5, [0] * 5]
    assert evaluator.confusion.dtype == np.int64
    score = evaluator.score()
    assert list(score.summary) == ["pixel_accuracy", "mean_accuracy", "mIoU", "fwIoU", "mean_Dice"]
    assert score.summary["pixel_accuracy"] == pytest.approx(4 / 6, abs=1e-15)
    assert score.summary["mean_accuracy"] == pytest.approx(2 / 3, abs=1e-15)
    # The car is only predicted: 0, and it counts. The moon is in neither: left out.
    assert score.summary["mIoU"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3, abs=1e-15)
    assert score.summary["fwIoU"] == pytest.approx((3 * 2 / 3 + 3 * 1 / 2) / 6, abs=1e-15)
    assert score.summary["mean_Dice"] == pytest.approx((4 / 5 + 4 / 6 + 0) / 3, abs=1e-15)
    car, moon = score.per_class["car"], score.per_class["moon"]
    assert (car["IoU"], car["Dice"], car["pixels"]) == (0.0, 0.0, 0.0)
    assert math.isnan(car["accuracy"])
    assert all(math.isnan(moon[figure]) for figure in ("accuracy", "IoU", "Dice"))
    assert score.per_class["road"]["pixels"] == 3.0
    assert (score.protocol, score.images) == ("semantic", 1)


def test_what_is_predicted_where_the_truth_is_ignored_changes_nothing():
    other = [[0, 0, 1, 1], [1, 2, 255, 3]]
    a, b = scored((TRUTH, PREDICTION), boundary=True), scored((TRUTH, other), boundary=True)
    assert np.array_equal(a.confusion, b.confusion)
    assert np.array_equal(list(a.score().summary.values()), list(b.score().summary.values()))
    assert b.score().findings.counts == {}


def test_counts_run_over_the_set_and_are_no_means_of_images():
    # By image the sky's IoU is 1 and 0; over the set 9 of 10.
    evaluator = scored(([[0] * 9], [[0] * 9]), ([[0]], [[1]]))
    assert evaluator.score().per_class["sky"]["IoU"] == 9 / 10


def test_pixels_of_no_class_are_errors():
    score = scored(([[0, 0, 0, 1]], [[0, 255, 255, 1]])).score()
    assert score.per_class["sky"] == {"accuracy": 1 / 3, "IoU": 1 / 3, "Dice": 1 / 2, "pixels": 3.0}
    assert score.summary["pixel_accuracy"] == 2 / 4
    assert score.per_class["road"]["IoU"] == 1.0
    assert score.findings.lines() == [
        "pixels predicted as no class (255), which count as wrong: 2 (counted as given), such as 0.png, 2 pixels"
    ]


def test_probabilities_stand_in_for_a_map_and_the_first_class_wins_a_tie():
    probabilities = torch.tensor([[[0.5, 0.2]], [[0.5, 0.4]], [[0.0, 0.4]], [[0.0, 0.0]]], requires_grad=True)
    evaluator = SemanticEvaluator(CLASSES)
    evaluator.add("a", said([[0, 1]]), Annotations((1, 2), CLASSES, semantic_probabilities=probabilities))
    assert evaluator.score().summary["pixel_accuracy"] == 1.0


def test_a_map_goes_before_probabilities():
    prediction = said([[0, 1]])
    prediction.semantic_probabilities = torch.eye(4)[:, None, 2:4]
    evaluator = SemanticEvaluator(CLASSES)
    evaluator.add("a", said([[0, 1]]), prediction)
    assert evaluator.score().summary["pixel_accuracy"] == 1.0


def test_nothing_is_nan_without_a_warning(recwarn):
    for evaluator in (SemanticEvaluator(CLASSES, boundary=True), scored(([[255]], [[1]]), boundary=True)):
        score = evaluator.score()
        assert all(math.isnan(value) for value in score.summary.values())
    assert score.findings.lines() == ["images whose truth is ignored throughout: 1 (dropped): 0.png"]
    assert score.images == 1
    assert not recwarn.list


# --- boundaries -----------------------------------------------------------------------------------------------------


def test_boundary_iou_by_hand():
    truth = np.ones((6, 9), dtype=int)
    prediction = truth.copy()
    truth[0:5, 0:5] = 0
    prediction[0:5, 1:6] = 0
    evaluator = scored((truth, prediction), boundary=True)
    per_class = evaluator.score().per_class
    assert per_class["sky"]["boundary_IoU"] == 8 / 24
    # Rest: no pixel of the road's L shape is 1 away from its edge but (·, 6) and (·, 7) of rows 1 to 4 in the truth,
    # and (·, 7) in the prediction.
    one = boundary(truth == 1, 1)
    two = boundary(prediction == 1, 1)
    assert (int(one.sum()), int(two.sum())) == (29 - 8, 29 - 4)
    assert per_class["road"]["boundary_IoU"] == int((one & two).sum()) / int((one | two).sum())
    assert math.isnan(per_class["moon"]["boundary_IoU"])
    mean = (8 / 24 + per_class["road"]["boundary_IoU"]) / 2
    assert evaluator.score().summary["boundary_mIoU"] == pytest.approx(mean, abs=1e-15)
    assert list(evaluator.score().summary)[-1] == "boundary_mIoU"


def test_the_boundary_of_a_class_that_is_only_predicted_counts():
    score = scored(([[0, 0, 0]], [[0, 0, 1]]), boundary=True).score()
    assert score.per_class["road"]["boundary_IoU"] == 0.0
    assert score.summary["boundary_mIoU"] == pytest.approx((2 / 3 + 0) / 2)


def test_a_wide_boundary_is_the_plain_iou():
    score = scored((TRUTH, PREDICTION), boundary=True, boundary_ratio=1.0).score()
    for figures in score.per_class.values():
        assert figures["boundary_IoU"] == pytest.approx(figures["IoU"], nan_ok=True, abs=0)


def test_a_right_prediction_has_full_boundaries_beside_ignored_pixels():
    truth = np.zeros((12, 12), dtype=int)
    truth[:, 6:] = 1
    truth[4:9, 4:9] = 255
    prediction = truth.copy()
    prediction[4:9, 4:9] = 1
    assert scored((truth, prediction), boundary=True).score().summary["boundary_mIoU"] == 1.0


# --- adding up ------------------------------------------------------------------------------------------------------

maps = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
        lambda size: st.tuples(
            arrays(np.int64, size, elements=st.sampled_from([0, 1, 2, 3, 255])),
            arrays(np.int64, size, elements=st.sampled_from([0, 1, 2, 3, 255])),
        )
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(maps, st.data())
def test_shards_give_exactly_the_whole_in_any_order(pairs, data):
    whole = scored(*pairs, boundary=True)
    shards = [SemanticEvaluator(CLASSES, boundary=True) for _ in range(2)]
    for i in data.draw(st.permutations(range(len(pairs)))):
        shards[data.draw(st.integers(0, 1))].add(f"{i}.png", said(pairs[i][0]), said(pairs[i][1]))
    merged = pickle.loads(pickle.dumps(shards[0]))
    merged.merge(shards[1])
    assert merged.score().record() == whole.score().record()
    confusion = whole.confusion
    assert confusion.sum() == sum(int((t != 255).sum()) for t, _ in pairs)


@settings(deadline=None, max_examples=60)
@given(maps, st.permutations(range(4)))
def test_renaming_the_classes_changes_no_mean(pairs, order):
    table = np.arange(256)
    table[:4] = order
    one = scored(*pairs, boundary=True).score().summary
    two = scored(*[(table[t], table[p]) for t, p in pairs], boundary=True).score().summary
    for figure, value in one.items():
        assert two[figure] == value or (math.isnan(value) and math.isnan(two[figure]))


@settings(deadline=None, max_examples=60)
@given(maps)
def test_figures_lie_between_0_and_1_and_dice_above_iou(pairs):
    score = scored(*pairs, boundary=True).score()
    assert all(math.isnan(v) or 0 <= v <= 1 for v in score.summary.values())
    for figures in score.per_class.values():
        assert math.isnan(figures["IoU"]) or figures["Dice"] == pytest.approx(2 * figures["IoU"] / (1 + figures["IoU"]))


def test_merging_refuses_what_does_not_fit():
    one = scored((TRUTH, PREDICTION))
    with pytest.raises(PellucidError, match=r"0\.png: was scored in both"):
        one.merge(scored((TRUTH, PREDICTION)))
    with pytest.raises(PellucidError, match="different classes"):
        one.merge(SemanticEvaluator(Classes(("sky", "car", "road", "moon"))))
    with pytest.raises(PellucidError, match="different boundaries"):
        one.merge(SemanticEvaluator(CLASSES, boundary=True))
    assert one.score().images == 1


# --- bad input ------------------------------------------------------------------------------------------------------


def test_an_image_twice():
    evaluator = scored((TRUTH, PREDICTION))
    with pytest.raises(PellucidError, match=r"0\.png: was scored before"):
        evaluator.add("0.png", said(TRUTH), said(PREDICTION))


BLANK = Annotations((2, 4), CLASSES)
BAD = {
    "a: the prediction has other classes than are scored": (
        said(TRUTH),
        said(PREDICTION, Classes(("sky", "car", "road", "moon"))),
    ),
    "a: there is no prediction": (said(TRUTH), None),
    "a: the truth has no semantic map": (BLANK, said(PREDICTION)),
    "a: the prediction has no semantic map": (said(TRUTH), BLANK),
    "a: the prediction's semantic map has 1 × 4 pixels, the truth 2 × 4": (said(TRUTH), said(PREDICTION[:1])),
    "a: the truth's semantic map has 2 × 4 pixels, the image 2 × 5": (
        Annotations((2, 5), CLASSES, semantic=torch.tensor(TRUTH)),
        said(PREDICTION),
    ),
    "a: the truth says 7 at 2 pixels, which is no class (0 to 3": (said([[7, 7, 0]]), said([[0, 0, 0]])),
    "a: the prediction says 4 at 1 pixel, which is no class (0 to 3": (said([[0, 0]]), said([[4, 0]])),
    "a: the prediction says -1 at 1 pixel, which is no class": (said([[0, 0]]), said([[0, -1]])),
    "a: the truth says 256 at 2 pixels, which is no class": (said([[256, 256]]), said([[0, 0]])),
    "a: the prediction's semantic map holds torch.float32": (
        said([[0, 0]]),
        Annotations((1, 2), CLASSES, semantic=torch.zeros(1, 2)),
    ),
    "a: predicted probabilities of shape 2 × 1 × 2, but there are 4 classes and 1 × 2 pixels": (
        said([[0, 0]]),
        Annotations((1, 2), CLASSES, semantic_probabilities=torch.zeros(2, 1, 2)),
    ),
    "a: predicted probabilities that are no numbers (NaN)": (
        said([[0, 0]]),
        Annotations((1, 2), CLASSES, semantic_probabilities=torch.full((4, 1, 2), math.nan)),
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_maps_end_in_one_line_and_count_nothing(message):
    truth, prediction = BAD[message]
    evaluator = SemanticEvaluator(CLASSES, boundary=True)
    with pytest.raises(PellucidError) as caught:
        evaluator.add("a", truth, prediction)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert evaluator.confusion.sum() == 0
    assert evaluator.score().images == 0


def test_a_wrong_prediction_below_ignored_truth_is_still_named():
    with pytest.raises(PellucidError, match="the prediction says 9 at 1 pixel"):
        scored(([[0, 255]], [[0, 9]]))


@pytest.mark.parametrize("count", [0, 256])
def test_classes_that_do_not_fit(count):
    with pytest.raises(PellucidError, match=f"{count} classes"):
        SemanticEvaluator(Classes.unnamed(count))


def test_255_classes_fit():
    classes = Classes.unnamed(255)
    assert scored(([[254, 255]], [[254, 0]]), classes=classes).score().summary["mIoU"] == 1.0
