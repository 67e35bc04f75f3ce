"""Measures of calibration, worked out by hand, and the evaluators that stream them."""

import json
import math
import pickle
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics import calibration
from pellucid.metrics.calibration import arrays
from pellucid.metrics.calibration.tally import bin_edges, bin_of
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes

THREE = Classes(("cat", "dog", "hen"))


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def same(a: calibration.ReliabilityCurve, b: calibration.ReliabilityCurve) -> bool:
    """Whether two curves agree in every digit."""
    names = ("edges", "counts", "accuracy", "confidence")
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=True) for n in names)


def identical(a: dict[str, float], b: dict[str, float]) -> bool:
    """Whether two summaries agree in every digit, NaN with NaN."""
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


# Bins


@pytest.mark.parametrize(
    ("confidence", "bins", "place"),
    [
        (0.0, 10, 0),
        (5e-324, 10, 0),
        (0.1, 10, 0),
        (math.nextafter(0.1, 1), 10, 1),
        (0.3, 10, 2),
        (0.1 * 3, 10, 3),  # 0.30000000000000004 is more than 3 / 10
        (0.6, 10, 5),  # linspace and k · 0.1 put this edge at 0.6000000000000001
        (0.7, 10, 6),
        (0.07, 100, 6),  # 0.07 · 100 is 7.000000000000001
        (0.29, 100, 28),  # 0.29 · 100 is 28.999999999999996
        (7 / 15, 15, 6),
        (0.5, 1, 0),
        (math.nextafter(1, 0), 15, 14),
        (1.0, 15, 14),
    ],
)
def test_the_bin_of_a_confidence(confidence: float, bins: int, place: int) -> None:
    curve = calibration.reliability([confidence], [True], bins)
    assert curve.counts.tolist() == [int(k == place) for k in range(bins)]


@pytest.mark.parametrize(("precision", "most"), [(np.float64, 300), (np.float32, 300), (np.float16, 30)])
def test_every_edge_is_the_upper_end_of_its_bin_in_every_precision(precision: type, most: int) -> None:
    for bins in range(1, most):
        edges = np.array([k / bins for k in range(1, bins + 1)]).astype(precision)
        above = np.nextafter(edges[:-1], precision(1))
        assert bin_of(edges, bins).tolist() == list(range(bins))
        assert bin_of(above, bins).tolist() == list(range(1, bins))


def test_edges_are_the_doubles_nearest_to_the_fractions() -> None:
    assert bin_edges(10).tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@pytest.mark.parametrize("bins", [0, -1, 2.0, True, "15"])
def test_bins_are_a_positive_whole_number(bins: object) -> None:
    with pytest.raises(PellucidError, match=r"bins: .*give a whole number"):
        calibration.reliability([0.5], [True], bins)  # type: ignore[arg-type]


# Measures


def test_a_curve_worked_out_by_hand() -> None:
    # (0, .25]: none. (.25, .5]: .5 right, .5 wrong, .3 wrong. (.5, .75]: .75 right. (.75, 1]: 1.0 right, .9 wrong.
    curve = calibration.reliability([0.5, 0.5, 0.3, 0.75, 1.0, 0.9], [1, 0, 0, 1, 1, 0], 4)
    assert curve.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.counts.tolist() == [0, 3, 1, 2]
    np.testing.assert_array_equal(curve.accuracy, [np.nan, 1 / 3, 1, 0.5])
    np.testing.assert_allclose(curve.confidence, [np.nan, 1.3 / 3, 0.75, 0.95], rtol=1e-15)
    # Gaps .1, .25, .45 over 3, 1 and 2 of six samples.
    assert curve.ece == pytest.approx((0.1 * 3 + 0.25 + 0.45 * 2) / 6, abs=1e-15)
    assert curve.mce == pytest.approx(0.45, abs=1e-15)
    np.testing.assert_allclose(curve.gaps, [np.nan, -0.1, 0.25, -0.45], atol=1e-15)


def test_an_empty_bin_is_no_gap() -> None:
    # Of ten bins nine are empty; counted by their middles with accuracy 0, that of (.7, .8] would be the largest.
    assert calibration.maximum_calibration_error([0.9, 0.9], [True, False], 10) == pytest.approx(0.4)
    assert calibration.expected_calibration_error([0.9, 0.9], [True, False], 10) == pytest.approx(0.4)


def test_without_samples_all_is_undefined() -> None:
    curve = calibration.reliability([], [])
    assert math.isnan(curve.ece)
    assert math.isnan(curve.mce)
    assert curve.counts.sum() == 0
    assert math.isnan(calibration.negative_log_likelihood(np.zeros((0, 3)), np.zeros(0, int)))
    assert math.isnan(calibration.brier_score(np.zeros((0, 3)), np.zeros(0, int)))


def test_tensors_arrays_and_lists_give_the_same() -> None:
    confidences, correct = [0.2, 0.5, 0.75], [True, False, True]
    curve = calibration.reliability(confidences, correct)
    assert same(curve, calibration.reliability(np.array(confidences), np.array(correct)))
    tensor = torch.tensor(confidences, dtype=torch.float64, requires_grad=True)
    assert same(curve, calibration.reliability(tensor, torch.tensor(correct)))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.randoms(), st.integers(1, 20))
def test_the_order_of_samples_changes_no_digit(
    samples: list[tuple[float, bool]], random: "st.Random", bins: int
) -> None:
    shuffled = samples.copy()
    random.shuffle(shuffled)
    one, two = (calibration.reliability([c for c, _ in s], [r for _, r in s], bins) for s in (samples, shuffled))
    assert same(one, two)
    assert 0 <= one.ece <= one.mce + 1e-15 <= 1 + 2e-15
    assert one.counts.sum() == len(samples)


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan, math.inf])
def test_a_confidence_is_a_probability(wrong: float) -> None:
    with pytest.raises(PellucidError, match=r"confidences: the one at 1 is .*0 to 1"):
        calibration.reliability([0.5, wrong], [True, False])


def test_a_confidence_above_1_by_rounding_is_1() -> None:
    assert calibration.reliability(np.array([1.0000001], np.float32), [True]).ece == 0


def test_correct_is_one_flag_each() -> None:
    with pytest.raises(PellucidError, match="one value each"):
        calibration.reliability([0.5, 0.5], [True])
    with pytest.raises(PellucidError, match="other than 0 and 1"):
        calibration.reliability([0.5, 0.5], [1, 2])


def test_likelihood_by_hand() -> None:
    # softmax (ln 1, ln 2, ln 5) = (1, 2, 5) / 8
    logits = np.log([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]]) + 7
    expected = (math.log(8 / 5) + math.log(8)) / 2
    assert calibration.negative_log_likelihood(logits, [2, 0]) == pytest.approx(expected, abs=1e-15)
    probabilities = np.array([[1.0, 2.0, 5.0], [1.0, 2.0, 5.0]]) / 8
    found = calibration.negative_log_likelihood(probabilities, [2, 0], given="probabilities")
    assert found == pytest.approx(expected, abs=1e-15)


def test_likelihood_is_stable() -> None:
    assert calibration.negative_log_likelihood([[1000.0, 0.0]], [1]) == 1000
    assert calibration.negative_log_likelihood(np.array([[0, 30]], np.float32), [1]) == pytest.approx(math.exp(-30))
    assert calibration.negative_log_likelihood([[0.0, -math.inf]], [0]) == 0


def test_what_was_said_to_be_impossible_is_infinitely_surprising() -> None:
    assert calibration.negative_log_likelihood([[1.0, 0.0]], [1], given="probabilities") == math.inf
    assert calibration.negative_log_likelihood([[0.0, -math.inf]], [1]) == math.inf


def test_brier_score_by_hand() -> None:
    # Squares .04 + .04 + 0 and .49 + .25 + .04, summed over the classes and not divided by them.
    rows = [[0.8, 0.2, 0.0], [0.3, 0.5, 0.2]]
    assert calibration.brier_score(rows, [0, 0]) == pytest.approx((0.08 + 0.78) / 2, abs=1e-15)
    assert calibration.brier_score([[0.0, 1.0]], [0]) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration.negative_log_likelihood([[1.0, math.nan]], [0]), "sample 0 hold NaN"),
        (lambda: calibration.negative_log_likelihood([[1.0, math.inf]], [0]), "sample 0 hold NaN or inf"),
        (lambda: calibration.negative_log_likelihood([[-math.inf, -math.inf]], [0]), "sample 0"),
        (lambda: calibration.negative_log_likelihood([[1.0, 2.0]], [2]), "the one at 0 is 2, but there are 2 classes"),
        (lambda: calibration.negative_log_likelihood([[1.0, 2.0]], [-1]), "the one at 0 is -1"),
        (lambda: calibration.negative_log_likelihood([[1.0, 2.0]], [0.0]), "whole numbers"),
        (lambda: calibration.negative_log_likelihood([1.0, 2.0], [0, 1]), r"give \(N, K\) and \(N,\)"),
        (lambda: calibration.negative_log_likelihood([[1.0]], [0], given="odds"), "say 'logits'"),  # type: ignore[arg-type]
        (lambda: calibration.brier_score([[0.5, 0.5], [0.5, 0.9]], [0, 1]), "sample 1 add up to 1.4"),
        (lambda: calibration.brier_score([[0.5, 0.5], [-2.0, 3.0]], [0, 1]), r"the one at \(1, 0\) is -2"),
        (lambda: calibration.brier_score([["a", "b"]], [0]), "give numbers"),
    ],
)
def test_bad_scores_are_named(call: Callable[[], float], message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        call()


def test_chunks_change_no_digit_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 7)), rng.integers(0, 7, 50)
    whole = calibration.negative_log_likelihood(logits, labels)
    monkeypatch.setattr(arrays, "CHUNK", 20)
    assert calibration.negative_log_likelihood(logits, labels) == pytest.approx(whole, rel=1e-15)


# Classification


def truth(label: int | None) -> Annotations:
    return Annotations((4, 4), THREE, present=() if label is None else (label,))


def said(logits: "list[float] | Tensor") -> Annotations:
    return Annotations((4, 4), THREE, logits=torch.as_tensor(logits))


def test_a_classifier_is_scored_as_the_functions_say() -> None:
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 2, (200, 3)).astype(np.float32), rng.integers(0, 3, 200)
    scored = calibration.ClassificationCalibration(THREE)
    for i, (row, label) in enumerate(zip(logits, labels, strict=True)):
        scored.add(f"{i}.jpg", truth(int(label)), said(torch.from_numpy(row).requires_grad_()))
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(1, keepdims=True)
    right = logits.argmax(1) == labels
    score = scored.score()
    assert score.protocol == "calibration"
    assert score.images == 200
    assert score.summary == pytest.approx(
        {
            "ECE": calibration.expected_calibration_error(probabilities.max(1), right),
            "MCE": calibration.maximum_calibration_error(probabilities.max(1), right),
            "NLL": calibration.negative_log_likelihood(logits, labels),
            "Brier": calibration.brier_score(probabilities, labels),
            "accuracy": right.mean(),
            "mean_confidence": probabilities.max(1).mean(),
        },
        abs=1e-14,
    )
    assert scored.curve.ece == score.summary["ECE"]
    assert score.reservations == {}


def test_at_a_tie_the_first_class_is_predicted() -> None:
    scored = calibration.ClassificationCalibration(THREE)
    scored.add("a", truth(0), said([1.0, 1.0, 0.0]))
    scored.add("b", truth(1), said([1.0, 1.0, 0.0]))
    assert scored.score().summary["accuracy"] == 0.5


def test_two_equal_classes_lie_on_an_edge() -> None:
    scored = calibration.ClassificationCalibration(Classes(("a", "b")), bins=2)
    scored.add(
        "x", Annotations((1, 1), scored.classes, present=(0,)), Annotations((1, 1), scored.classes, torch.ones(2))
    )
    assert scored.curve.counts.tolist() == [1, 0]


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.lists(st.floats(-9, 9), min_size=3, max_size=3), st.integers(0, 2)), max_size=12),
    st.randoms(),
    st.integers(1, 3),
)
def test_shards_in_any_order_give_every_digit_of_one_pass(
    samples: list[tuple[list[float], int]], random: "st.Random", shards: int
) -> None:
    whole = calibration.ClassificationCalibration(THREE)
    parts = [calibration.ClassificationCalibration(THREE) for _ in range(shards)]
    numbered = list(enumerate(samples))
    for i, (logits, label) in numbered:
        whole.add(str(i), truth(label), said(logits))
    random.shuffle(numbered)
    for i, (logits, label) in numbered:
        parts[random.randrange(shards)].add(str(i), truth(label), said(logits))
    merged = pickle.loads(pickle.dumps(parts[0]))
    for part in parts[1:]:
        merged.merge(part)
    assert identical(merged.score().summary, whole.score().summary)
    assert same(merged.curve, whole.curve)
    assert merged.score().images == len(samples)


def test_images_that_cannot_be_scored_are_left_out_and_noted() -> None:
    scored = calibration.ClassificationCalibration(THREE)
    scored.add("good", truth(0), said([2.0, 0.0, 0.0]))
    alone = scored.score().summary
    scored.add("no truth", truth(None), said([1.0, 0.0, 0.0]))
    scored.add("two", Annotations((4, 4), THREE, present=(0, 1)), said([1.0, 0.0, 0.0]))
    scored.add("no prediction", truth(0), None)
    scored.add("no logits", truth(0), Annotations((4, 4), THREE))
    scored.add("nan", truth(0), said([math.nan, 0.0, 0.0]))
    scored.add("inf", truth(0), said([math.inf, 0.0, 0.0]))
    scored.add("nothing", truth(0), said([-math.inf] * 3))
    score = scored.score()
    assert score.summary == alone
    assert score.images == 1
    assert score.findings.count("images whose truth is not one class") == 2
    assert score.findings.count("images without predicted class scores") == 2
    assert score.findings.count("predictions with class scores that are no numbers") == 3


def test_a_masked_true_class_makes_the_likelihood_infinite_and_is_noted() -> None:
    scored = calibration.ClassificationCalibration(THREE)
    scored.add("a", truth(1), said([0.0, -math.inf, 0.0]))
    score = scored.score()
    assert score.summary["NLL"] == math.inf
    assert score.summary["Brier"] == 1.5
    assert score.findings.lines() == ["images whose true class has a score of −inf: 1 (counted as given): a"]


def test_nothing_scored_is_undefined() -> None:
    for scored in (
        calibration.ClassificationCalibration(THREE),
        calibration.SegmentationCalibration(THREE),
        calibration.DetectionCalibration(),
    ):
        assert all(math.isnan(v) for v in scored.score().summary.values())
        assert set(json.loads(json.dumps(scored.score().record()))["summary"].values()) == {None}


def test_what_a_person_can_mend_stops_the_run() -> None:
    scored = calibration.ClassificationCalibration(THREE)
    scored.add("a.jpg", truth(0), said([1.0, 0.0, 0.0]))
    with pytest.raises(PellucidError, match=r"a\.jpg: was scored before"):
        scored.add("a.jpg", truth(0), None)
    with pytest.raises(PellucidError, match=r"b\.jpg: logits of shape \(2,\)"):
        scored.add("b.jpg", truth(0), said([1.0, 0.0]))
    with pytest.raises(PellucidError, match=r"c\.jpg: the true class is 3"):
        scored.add("c.jpg", truth(3), said([1.0, 0.0, 0.0]))
    other = Annotations((4, 4), Classes(("dog", "cat", "hen")), logits=torch.zeros(3))
    with pytest.raises(PellucidError, match=r"d\.jpg: the prediction's classes are not those scored"):
        scored.add("d.jpg", truth(0), other)


def test_only_parts_of_one_kind_merge_and_a_refusal_changes_nothing() -> None:
    scored = calibration.ClassificationCalibration(THREE)
    scored.add("a.jpg", truth(0), said([1.0, 0.0, 0.0]))
    before = pickle.dumps(scored)
    again = calibration.ClassificationCalibration(THREE)
    again.add("a.jpg", truth(1), said([1.0, 0.0, 0.0]))
    for other, message in (
        (again, r"a\.jpg: stands in both parts"),
        (calibration.ClassificationCalibration(THREE, bins=10), "15 bins and 10"),
        (calibration.ClassificationCalibration(Classes(("cat", "dog", "cow"))), "different classes"),
        (calibration.DetectionCalibration(), "DetectionCalibration is of another kind"),
    ):
        with pytest.raises(PellucidError, match=message):
            scored.merge(other)
    assert pickle.dumps(scored) == before


def test_other_bins_than_the_paper_are_a_reservation() -> None:
    assert set(calibration.ClassificationCalibration(THREE, bins=10).score().reservations) == {"ECE", "MCE"}


# Segmentation


def maps(seed: int, size: tuple[int, int] = (9, 11)) -> tuple[Annotations, Annotations]:
    generator = torch.Generator().manual_seed(seed)
    probabilities = (2 * torch.randn(3, *size, generator=generator)).softmax(0)
    semantic = torch.randint(0, 3, size, generator=generator)
    semantic[torch.rand(size, generator=generator) < 0.2] = 255
    return Annotations(size, THREE, semantic=semantic), Annotations(size, THREE, semantic_probabilities=probabilities)


def test_pixels_are_scored_as_the_functions_say_and_255_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "CHUNK", 50)
    scored = calibration.SegmentationCalibration(THREE)
    rows, labels = [], []
    for seed in range(4):
        true, predicted = maps(seed)
        scored.add(f"{seed}.png", true, predicted)
        assert true.semantic is not None
        assert predicted.semantic_probabilities is not None
        known = true.semantic != 255
        rows.append(predicted.semantic_probabilities[:, known].T.numpy())
        labels.append(true.semantic[known].numpy())
    p, y = np.concatenate(rows), np.concatenate(labels)
    curve = calibration.reliability(p.max(1), p.argmax(1) == y)
    score = scored.score()
    assert score.protocol == "semantic-calibration"
    assert 0 < len(y) < 4 * 99
    assert scored.curve.counts.tolist() == curve.counts.tolist()
    assert score.summary == pytest.approx(
        {
            "ECE": curve.ece,
            "MCE": curve.mce,
            "NLL": calibration.negative_log_likelihood(p, y, given="probabilities"),
            "Brier": calibration.brier_score(p.astype(np.float64), y),
            "accuracy": (p.argmax(1) == y).mean(),
            "mean_confidence": p.max(1).astype(np.float64).mean(),
        },
        abs=1e-12,
    )


def test_shards_of_maps_in_any_order_give_every_digit() -> None:
    whole = calibration.SegmentationCalibration(THREE)
    parts = [calibration.SegmentationCalibration(THREE) for _ in range(3)]
    for seed in range(9):
        whole.add(str(seed), *maps(seed))
    for seed in (7, 2, 5, 0, 8, 1, 4, 6, 3):
        parts[seed % 3].add(str(seed), *maps(seed))
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        merged = calibration.SegmentationCalibration(THREE)
        for k in order:
            merged.merge(pickle.loads(pickle.dumps(parts[k])))
        assert merged.score().summary == whole.score().summary
        assert same(merged.curve, whole.curve)


def one_row(probabilities: list[list[float]], labels: list[int]) -> tuple[Annotations, Annotations]:
    """An image of one row: the probabilities of each pixel, and its true class."""
    p = torch.tensor(probabilities, dtype=torch.float32).T[:, None]
    size = (1, len(labels))
    return Annotations(size, THREE, semantic=torch.tensor([labels])), Annotations(size, THREE, semantic_probabilities=p)


def test_a_true_class_of_probability_0_is_bounded_and_noted() -> None:
    scored = calibration.SegmentationCalibration(THREE)
    scored.add("a", *one_row([[1, 0, 0], [1, 0, 0]], [0, 1]))
    score = scored.score()
    assert score.summary["NLL"] == pytest.approx(-math.log(float(np.finfo(np.float32).tiny)) / 2)
    assert score.summary["Brier"] == 1
    assert score.findings.count(scored.ZERO) == 1
    assert score.reservations["NLL"].startswith("1 pixels")


def test_pixels_that_are_no_numbers_are_left_out_and_noted() -> None:
    good, bad = calibration.SegmentationCalibration(THREE), calibration.SegmentationCalibration(THREE)
    good.add("a", *one_row([[0.5, 0.3, 0.2]], [0]))
    bad.add("a", *one_row([[0.5, 0.3, 0.2], [math.nan, 0.5, 0.5], [math.nan] * 3], [0, 1, 255]))
    assert bad.score().summary == good.score().summary
    assert bad.score().findings.count("pixels with probabilities that are no numbers") == 1


def test_an_image_of_nothing_but_255_counts_for_nothing() -> None:
    scored = calibration.SegmentationCalibration(THREE)
    scored.add("a", *one_row([[0.5, 0.3, 0.2]], [255]))
    assert math.isnan(scored.score().summary["ECE"])
    scored.add("b", *one_row([[0.5, 0.3, 0.2]], [0]))
    assert scored.score().summary["ECE"] == pytest.approx(0.5)


def test_maps_that_do_not_fit_are_named() -> None:
    true, predicted = one_row([[0.5, 0.3, 0.2]], [0])
    scored = calibration.SegmentationCalibration(THREE)
    with pytest.raises(PellucidError, match=r"logits\.png: semantic_probabilities from -1 to 3 .* softmax"):
        scored.add("logits.png", *one_row([[3, -1, 0]], [0]))
    with pytest.raises(PellucidError, match=r"sum\.png: .*softmax"):
        scored.add("sum.png", *one_row([[0.5, 0.5, 0.5]], [0]))
    with pytest.raises(PellucidError, match=r"label\.png: the true class 3 at a pixel"):
        scored.add("label.png", *one_row([[0.5, 0.3, 0.2]], [3]))
    larger = Annotations((1, 2), THREE, semantic=torch.zeros(1, 2, dtype=torch.int64))
    with pytest.raises(
        PellucidError, match=r"size\.png: semantic_probabilities of shape \(3, 1, 1\); give \(3, 1, 2\)"
    ):
        scored.add("size.png", larger, predicted)
    scored.add("none.png", true, None)
    scored.add("hard.png", true, Annotations((1, 1), THREE, semantic=torch.zeros(1, 1, dtype=torch.int64)))
    scored.add("no truth.png", Annotations((1, 1), THREE), predicted)
    assert scored.score().findings.count("images without predicted probabilities of pixels") == 2
    assert scored.score().findings.count("images without a semantic truth") == 1


def test_half_precision_maps_are_taken() -> None:
    for precision in (torch.float16, torch.bfloat16, torch.float64):
        true, predicted = maps(3)
        assert predicted.semantic_probabilities is not None
        predicted.semantic_probabilities = predicted.semantic_probabilities.to(precision)
        scored = calibration.SegmentationCalibration(THREE)
        scored.add("a", true, predicted)
        assert 0 < scored.score().summary["ECE"] < 1


# Detection


def test_a_detector_by_hand() -> None:
    scored = calibration.DetectionCalibration(bins=2)
    scored.add("a", np.array([0.9, 0.8, 0.5], np.float32), np.array([True, False, False]))
    scored.add("b", torch.tensor([0.2]), torch.tensor([True]))
    scored.add("nothing found", [], [])
    score = scored.score()
    # (0, .5]: .5 wrong, .2 right: precision .5, confidence .35. (.5, 1]: precision .5, confidence .85.
    assert score.protocol == "detection-calibration"
    assert score.images == 3
    assert score.summary == pytest.approx(
        {
            "ECE": (0.15 + 0.35) / 2,
            "MCE": 0.35,
            "Brier": (0.01 + 0.64 + 0.25 + 0.64) / 4,
            "precision": 0.5,
            "mean_confidence": 0.6,
        },
        abs=1e-7,
    )


def test_scores_written_with_one_digit_stay_in_their_bins_as_float32() -> None:
    scores = [k / 10 for k in range(1, 11)]
    wide, narrow = calibration.DetectionCalibration(bins=10), calibration.DetectionCalibration(bins=10)
    wide.add("a", scores, [True] * 10)
    narrow.add("a", torch.tensor(scores), [True] * 10)
    assert wide.curve.counts.tolist() == narrow.curve.counts.tolist() == [1] * 10


def test_detections_whose_score_is_no_number_are_left_out_and_noted() -> None:
    scored = calibration.DetectionCalibration()
    scored.add("a.jpg", [0.5, math.nan], [True, True])
    assert scored.curve.counts.sum() == 1
    assert scored.score().findings.lines() == [
        "detections with a score that is no number: 1 (dropped): a.jpg, detection 1"
    ]
    with pytest.raises(PellucidError, match=r"b\.jpg: scores: the one at 1 is 7"):
        scored.add("b.jpg", [math.nan, 7.0], [True, True])
    with pytest.raises(PellucidError, match=r"c\.jpg: correct: shape \(1,\)"):
        scored.add("c.jpg", [0.5, 0.5], [True])


def test_shards_of_detections_in_any_order_give_every_digit() -> None:
    rng = np.random.default_rng(5)
    images = {str(i): (rng.random(i), rng.random(i) < 0.5) for i in range(20)}
    whole, odd, even = (calibration.DetectionCalibration() for _ in range(3))
    for name, (scores, correct) in images.items():
        whole.add(name, scores, correct)
    for name, (scores, correct) in reversed(images.items()):
        (odd if int(name) % 2 else even).add(name, scores, correct)
    odd.merge(even)
    assert odd.score().summary == whole.score().summary
