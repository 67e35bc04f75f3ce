"""ILSVRC's localization error by hand: each rule of the protocol, bad input, and how parts add up."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.metrics.localization import LocalizationEvaluator
from pellucid.structures import Annotations, Classes, Instances

CLASSES = Classes(("cat", "dog", "owl"))
CAT, DOG, OWL = range(3)
SIZE = (100, 100)

Guess = tuple[int, tuple[float, float, float, float]]


def said(*guesses: Guess, scores: list[float] | None = None, present: tuple[int, ...] = ()) -> Annotations:
    boxes = torch.tensor([box for _, box in guesses], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([label for label, _ in guesses], dtype=torch.int64)
    scored = None if scores is None else torch.tensor(scores)
    return Annotations(SIZE, CLASSES, instances=Instances(boxes, labels, scores=scored), present=present)


def scored(truth: Annotations, prediction: Annotations | None, **options: object) -> LocalizationEvaluator:
    evaluator = LocalizationEvaluator(CLASSES, **options)  # type: ignore[arg-type]
    evaluator.add("a", truth, prediction)
    return evaluator


def error(truth: Annotations, prediction: Annotations | None, **options: object) -> float:
    return scored(truth, prediction, **options).score().summary["localization_error_top5"]


WHOLE = (0, 0, 9, 9)  # 10 × 10 pixels where both ends belong to it


@pytest.mark.parametrize(("box", "wrong"), [((0, 0, 4, 9), 0.0), ((0, 0, 9, 4), 0.0), ((0, 0, 3, 9), 1.0)])
def test_an_iou_of_exactly_a_half_is_accepted(box: tuple[int, int, int, int], wrong: float) -> None:
    assert error(said((CAT, WHOLE)), said((CAT, box))) == wrong


def test_boxes_are_inclusive_unless_said_otherwise() -> None:
    # 0 to 4 is half of 0 to 9 counted in pixels, and 4/9 of it as continuous corners.
    truth, prediction = said((CAT, (0, 0, 9, 0))), said((CAT, (0, 0, 4, 0)))
    assert scored(truth, prediction).records()[0].iou == 0.5
    assert scored(truth, prediction, inclusive=False).records()[0].iou == 0.0  # without height there is no area
    ended = said((CAT, (0, 0, 10, 1))), said((CAT, (0, 0, 5, 1)))
    assert scored(*ended, inclusive=False).records()[0].iou == 0.5
    # Intersections get the 1 too: two pixels that touch at a corner share none, the same pixel twice shares all.
    assert scored(said((CAT, (3, 3, 3, 3))), said((CAT, (4, 4, 4, 4)))).records()[0].iou == 0.0
    assert scored(said((CAT, (3, 3, 3, 3))), said((CAT, (3, 3, 3, 3)))).records()[0].iou == 1.0


def test_any_box_of_the_class_will_do() -> None:
    truth = said((CAT, WHOLE), (CAT, (50, 50, 69, 69)))
    assert error(truth, said((CAT, (50, 50, 69, 69)))) == 0.0
    assert error(truth, said((CAT, (30, 30, 49, 49)))) == 1.0


def test_class_and_place_must_be_right_in_one_guess() -> None:
    evaluator = scored(said((CAT, WHOLE)), said((DOG, WHOLE), (CAT, (40, 40, 49, 49))))
    assert evaluator.score().summary == {
        "localization_error_top1": 1.0,
        "localization_error_top5": 1.0,
        "classification_error_top1": 1.0,
        "classification_error_top5": 0.0,
    }
    record = evaluator.records()[0]
    assert (record.kind, record.guess, record.guessed, record.iou, record.class_guess) == ("wrong place", 1, CAT, 0, 1)


def test_only_the_first_guesses_count() -> None:
    guesses = [(DOG, WHOLE), (OWL, WHOLE), (CAT, WHOLE)]
    record = scored(said((CAT, WHOLE)), said(*guesses)).records()[0]
    assert (record.kind, record.guess, record.iou, record.class_guess) == ("right", 2, 1.0, 2)
    evaluator = scored(said((CAT, WHOLE)), said(*guesses))
    assert evaluator.score().summary["localization_error_top1"] == 1.0
    assert evaluator.score().summary["localization_error_top5"] == 0.0
    two = scored(said((CAT, WHOLE)), said(*guesses), top_k=2)
    assert two.score().summary["localization_error_top2"] == 1.0
    assert two.records()[0].kind == "wrong class"
    assert set(scored(said((CAT, WHOLE)), said(*guesses), top_k=1).score().summary) == {
        "localization_error_top1",
        "classification_error_top1",
    }


def test_guesses_go_by_score_and_equal_ones_as_given() -> None:
    guesses = [(DOG, WHOLE), (CAT, WHOLE), (OWL, WHOLE)]
    for scores, first in (([0.1, 0.9, 0.5], CAT), ([0.5, 0.5, 0.5], DOG), (None, DOG), ([0.1, 0.7, 0.7], CAT)):
        record = scored(said((first, WHOLE)), said(*guesses, scores=scores)).records()[0]
        assert (record.kind, record.guess) == ("right", 0)


def test_a_sixth_guess_is_dropped_and_noted() -> None:
    evaluator = scored(said((CAT, WHOLE)), said(*[(DOG, WHOLE)] * 5, (CAT, WHOLE), (CAT, WHOLE)))
    score = evaluator.score()
    assert score.summary["localization_error_top5"] == 1.0
    assert score.summary["classification_error_top5"] == 1.0
    assert score.findings.count("guesses beyond the first 5") == 2


def test_excluded_images_leave_the_localization_error_alone() -> None:
    evaluator = LocalizationEvaluator(CLASSES, excluded=["b", "c.JPEG", "nowhere"])
    evaluator.add("a", said((CAT, WHOLE)), said((CAT, WHOLE)))
    evaluator.add("b.JPEG", said((CAT, WHOLE)), said((DOG, WHOLE)))
    evaluator.add("c.JPEG", said((CAT, WHOLE)), said((DOG, WHOLE)))
    evaluator.add("d", said((OWL, WHOLE)), said((DOG, WHOLE)))
    score = evaluator.score()
    assert score.summary["localization_error_top5"] == 1 / 2
    assert score.summary["classification_error_top5"] == 3 / 4
    assert score.per_class["cat"]["localization_error_top5"] == 0.0
    assert score.per_class["cat"]["classification_error_top5"] == 2 / 3
    assert score.per_class["owl"]["localization_error_top1"] == 1.0
    assert math.isnan(score.per_class["dog"]["localization_error_top5"])
    assert score.images == 4
    assert score.findings.lines() == ["excluded images that were not scored: 1 (dropped): nowhere"]
    assert [r.located for r in evaluator.records()] == [True, False, False, True]


def test_kaggle_has_one_figure_and_no_exclusions() -> None:
    evaluator = scored(said((CAT, WHOLE)), said((CAT, (0, 0, 4, 9))), kaggle=True)
    assert evaluator.score().summary == {"error": 0.0}
    assert evaluator.score().per_class["cat"] == {"error": 0.0}
    with pytest.raises(PellucidError, match="exclude no image"):
        LocalizationEvaluator(CLASSES, kaggle=True, excluded=["a"])


@pytest.mark.parametrize("prediction", [None, Annotations(SIZE, CLASSES), said()])
def test_no_prediction_is_wrong_and_noted(prediction: Annotations | None) -> None:
    evaluator = scored(said((CAT, WHOLE)), prediction)
    assert set(evaluator.score().summary.values()) == {1.0}
    assert evaluator.records()[0].kind == "no guess"
    assert evaluator.score().findings.count("images without a guess, counted as wrong") == 1


def test_the_label_is_the_image_s_own_or_its_objects() -> None:
    truth = said((CAT, WHOLE), (DOG, (50, 50, 59, 59)), present=(CAT,))
    assert error(truth, said((CAT, (50, 50, 59, 59)))) == 1.0  # that box is the dog's
    assert error(truth, said((CAT, WHOLE))) == 0.0
    with pytest.raises(PellucidError, match="a: the truth names 2 classes"):
        error(said((CAT, WHOLE), (DOG, WHOLE)), said((CAT, WHOLE)))
    with pytest.raises(PellucidError, match="a: the truth names 2 classes"):
        error(said((CAT, WHOLE), present=(CAT, DOG)), said((CAT, WHOLE)), kaggle=True)
    with pytest.raises(PellucidError, match="a: the truth names no class"):
        error(said(), said((CAT, WHOLE)))


def test_an_image_without_a_box_of_its_class_leaves_the_localization_error() -> None:
    evaluator = scored(said(present=(CAT,)), said((CAT, WHOLE)))
    score = evaluator.score()
    assert math.isnan(score.summary["localization_error_top5"])
    assert score.summary["classification_error_top1"] == 0.0
    assert score.findings.count("images without a box of their class, left out of the localization error") == 1
    lost = scored(said((CAT, (math.nan, 0, 5, 5)), (CAT, WHOLE)), said((CAT, WHOLE)))
    assert lost.score().summary["localization_error_top5"] == 0.0
    assert lost.score().findings.count("true boxes without extent") == 1


def test_bad_guesses_are_noted() -> None:
    nan = math.nan
    evaluator = scored(said((CAT, WHOLE)), said((CAT, WHOLE), (DOG, WHOLE), scores=[nan, 0.2]))
    assert evaluator.records()[0].kind == "wrong class"
    assert evaluator.score().findings.count("guesses with a score that is no number") == 1
    for box in ((nan, 0, 9, 9), (9, 0, 0, 9), (0, 0, math.inf, 9)):
        evaluator = scored(said((CAT, WHOLE)), said((CAT, box)))
        assert evaluator.records()[0].kind == "wrong place"
        assert evaluator.records()[0].iou == 0.0
        assert evaluator.score().summary["classification_error_top1"] == 0.0
        assert evaluator.score().findings.count("guesses whose box has no extent") == 1


def test_a_wrong_class_names_the_best_placed_guess() -> None:
    record = scored(said((CAT, WHOLE)), said((DOG, (40, 40, 49, 49)), (OWL, (0, 0, 4, 9)))).records()[0]
    assert (record.kind, record.guess, record.guessed, record.iou) == ("wrong class", 1, OWL, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k=0"),
        ({"top_k": 6}, "top_k=6"),
        ({"top_k": True}, "top_k=True"),
        ({"excluded": "list.txt"}, "excluded='list.txt'"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        LocalizationEvaluator(CLASSES, **options)


def test_bad_images_are_refused_by_name() -> None:
    truth = said((CAT, WHOLE))
    with pytest.raises(PellucidError, match="a: guess 0 is of class 3"):
        scored(truth, said((3, WHOLE)))
    with pytest.raises(PellucidError, match="a: the truth is of class 3"):
        scored(said((3, WHOLE)), said((CAT, WHOLE)))
    with pytest.raises(PellucidError, match="a: the prediction has other classes"):
        scored(truth, Annotations(SIZE, Classes(("x",))))
    with pytest.raises(PellucidError, match=r"a: predicted at \(50, 50\)"):
        scored(truth, Annotations((50, 50), CLASSES))
    evaluator = scored(truth, None)
    with pytest.raises(PellucidError, match="a: was scored before"):
        evaluator.add("a", truth, None)
    with pytest.raises(PellucidError, match="a: was scored in both"):
        evaluator.merge(pickle.loads(pickle.dumps(evaluator)))
    with pytest.raises(PellucidError, match="different top_k"):
        evaluator.merge(LocalizationEvaluator(CLASSES, top_k=1))
    with pytest.raises(PellucidError, match="classes"):
        evaluator.merge(LocalizationEvaluator(Classes(("x",))))


def test_nothing_scored_is_undefined() -> None:
    assert all(math.isnan(value) for value in LocalizationEvaluator(CLASSES).score().summary.values())


corner = st.integers(0, 12)
boxes = st.tuples(corner, corner, corner, corner).map(lambda c: (*map(min, c[:2], c[2:]), *map(max, c[:2], c[2:])))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Annotations, Annotations]:
    label = draw(st.integers(0, 2))
    true = draw(st.lists(boxes, min_size=1, max_size=3))
    guesses = draw(st.lists(st.tuples(st.integers(0, 2), boxes), max_size=7))
    scores = draw(st.none() | st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=len(guesses), max_size=len(guesses)))
    return said(*((label, box) for box in true)), said(*guesses, scores=scores)


def slowly_right(truth: Annotations, prediction: Annotations, k: int) -> bool:
    """Counting the pixels that boxes share."""

    def pixels(box: list[float]) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = map(int, box)
        return {(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)}

    guesses = prediction.instances
    assert guesses is not None
    assert truth.instances is not None
    order = list(range(len(guesses)))
    if guesses.scores is not None:
        order.sort(key=lambda i: -guesses.scores[i].item())  # type: ignore[index]
    for i in order[:k]:
        mine = pixels(guesses.boxes[i].tolist())
        for box, label in zip(truth.instances.boxes.tolist(), truth.instances.labels.tolist(), strict=True):
            theirs = pixels(box)
            if label == guesses.labels[i] and 2 * len(mine & theirs) >= len(mine | theirs):
                return True
    return False


@settings(deadline=None, max_examples=60)
@given(st.lists(pairs(), min_size=1, max_size=6), st.randoms())
def test_counting_pixels_agrees_and_neither_order_nor_sharding_matters(images: list, random: object) -> None:
    whole = LocalizationEvaluator(CLASSES, excluded=["1"])
    parts = [LocalizationEvaluator(CLASSES, excluded=["1"]) for _ in range(2)]
    named = [(str(i), *pair) for i, pair in enumerate(images)]
    for image in named:
        whole.add(*image)
    random.shuffle(named)  # type: ignore[attr-defined]
    for i, image in enumerate(named):
        parts[i % 2].add(*image)
    merged = pickle.loads(pickle.dumps(parts[1]))
    merged.merge(parts[0])
    assert merged.score().record()["summary"] == whole.score().record()["summary"]
    assert merged.score().record()["per_class"] == whole.score().record()["per_class"]
    assert merged.records() == whole.records()
    counted = [pair for i, pair in enumerate(images) if i != 1]
    for k in (1, 5):
        wrong = sum(not slowly_right(*pair, k) for pair in counted)
        assert whole.score().summary[f"localization_error_top{k}"] == wrong / len(counted)
