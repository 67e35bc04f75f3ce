"""Bootstrap intervals: replicates against images really repeated, and whether intervals hold what they should."""

import json
import math

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.metrics.detection.averaging import POINTS
from pellucid.metrics.detection.bootstrap import bootstrap, drawn, weighted
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.protocols import COCO, ILSVRC, LVIS, OPEN_IMAGES, VOC2007, VOC2012
from pellucid.metrics.detection.score import DetectionScore
from pellucid.structures import Classes, ObjectColumns

FOUR = Classes(("a", "b", "c", "d"), frequencies=("rare", "common", "common", "frequent"))

Objects = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Boxes x, y, width, height; labels; scores: of an image."""


def columns(objects: list[Objects], ids: list[int], classes: Classes) -> ObjectColumns:
    boxes = np.concatenate([np.reshape(b, (-1, 4)) for b, _, _ in objects]).astype(np.float64)
    labels = np.concatenate([k for _, k, _ in objects]).astype(np.int64)
    counts = [len(k) for _, k, _ in objects]
    scores = None if objects[0][2] is None else np.concatenate([s for _, _, s in objects])
    return ObjectColumns(
        classes,
        [str(i) for i in ids],
        np.full((len(ids), 2), 500),
        np.append(0, np.cumsum(counts)),
        boxes,
        labels,
        np.zeros(len(labels), dtype=np.uint8),
        ids=ids,
        scores=scores,
    )


def scored(truths: list[Objects], found: list[Objects], protocol="coco", classes=FOUR, ids=None) -> DetectionScore:
    evaluator = DetectionEvaluator(classes, protocol)
    ids = list(range(len(truths))) if ids is None else ids
    evaluator.add_columns(columns(truths, ids, classes), columns(found, ids, classes))
    return evaluator.score()


def population(seed: int, images: int, *, objects: float = 3, noise: float = 0.15, classes: int = 4):
    """Truths and detections; no two scores of an image tie, but scores of different images do."""
    generator = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(images):
        n, more = generator.poisson(objects), generator.poisson(objects)
        sides = np.exp(generator.uniform(2, 5.5, (n + more, 2)))
        boxes = np.concatenate((generator.uniform(0, 200, (n + more, 2)), sides), 1)
        labels = generator.integers(classes, size=n + more)
        moved = boxes + generator.normal(0, noise, boxes.shape) * np.tile(sides, 2)
        moved[:, 2:] = np.maximum(moved[:, 2:], 1)
        scores = np.clip(generator.permutation(n + more) + 5 * (np.arange(n + more) < n), 0, None) / 64
        scores += np.arange(n + more) / 4096
        kept = generator.random(n + more) < 0.85
        truths.append((boxes[:n], labels[:n], None))
        found.append((moved[kept], labels[kept], scores[kept]))
    return truths, found


@pytest.mark.parametrize("protocol", [COCO, VOC2007, VOC2012, ILSVRC, OPEN_IMAGES, LVIS], ids=lambda p: p.name)
def test_a_weight_is_so_many_copies_of_an_image(protocol):
    truths, found = population(1, 30)
    score = scored(truths, found, protocol)
    weights = np.random.default_rng(2).poisson(1, (5, 30))
    weights[4] = 0
    weights[4, 3] = 255
    made = weighted(score, weights)
    for r, row in enumerate(weights.tolist()):
        copies = [i for i, w in enumerate(row) for _ in range(w)]
        again = scored([truths[i] for i in copies], [found[i] for i in copies], protocol)
        for name, value in again.summary.items():
            assert made.figures[name][r] == pytest.approx(value, abs=1e-13, nan_ok=True), (name, r)
        for name, values in made.per_class.items():
            expected = [again.per_class[k]["AP" if name == "mAP" else name] for k in FOUR]
            assert values[r] == pytest.approx(expected, abs=1e-13, nan_ok=True)


@pytest.mark.parametrize("protocol", [COCO, VOC2007, VOC2012, LVIS], ids=lambda p: p.name)
def test_weights_of_one_give_the_score(protocol):
    score = scored(*population(3, 200), protocol)
    made = weighted(score, np.ones((70, 200), dtype=int))
    for name, value in score.summary.items():
        assert made.figures[name] == pytest.approx(np.full(70, value), abs=1e-15, nan_ok=True)


def test_a_recall_that_lies_on_a_point_is_decided_as_the_score_decides_it():
    # 100 truths a class, of which class k finds k + 1, each before one more wrong detection: recalls of 0.01, 0.02 …
    classes = Classes.unnamed(100)
    assert np.array_equal(POINTS, np.arange(101) * 0.01)
    labels = np.arange(100)
    here, there = np.tile([0.0, 0.0, 50.0, 50.0], (100, 1)), np.tile([300.0, 300.0, 50.0, 50.0], (100, 1))
    truths = [(here, labels, None) for _ in range(100)]
    found = []
    for i in range(100):
        right = labels >= i
        boxes, kinds = np.concatenate((here[right], there[right])), np.concatenate((labels[right], labels[right]))
        found.append((boxes, kinds, np.repeat([1 - i / 128, 1 - i / 128 - 1 / 256], right.sum())))
    for protocol in (COCO, VOC2007):
        score = scored(truths, found, protocol, classes)
        name = next(iter(score.summary))
        made = weighted(score, np.array([[1] * 100, [3] * 100]))
        expected = [row["AP"] for row in score.per_class.values()]
        assert made.per_class[name][0] == pytest.approx(expected, abs=1e-14)
        # Three copies of each: the same recalls, other precisions.
        thrice = scored(truths * 3, found * 3, protocol, classes)
        assert made.per_class[name][1] == pytest.approx([r["AP"] for r in thrice.per_class.values()], abs=1e-14)


def test_a_class_without_truths_in_a_replicate_is_left_out_of_its_mean():
    box = np.array([[0.0, 0.0, 50.0, 50.0]])
    truths = [(box, np.array([0]), None), (box, np.array([1]), None)]
    found = [(box, np.array([0]), np.array([0.9])), (box + 200, np.array([1]), np.array([0.9]))]
    made = weighted(scored(truths, found), np.array([[1, 1], [2, 0], [0, 2], [0, 0]]))
    assert made.figures["AP"].tolist()[:3] == pytest.approx([0.5, 1.0, 0.0])
    assert math.isnan(made.figures["AP"][3])
    assert made.per_class["AP"][1, 0] == pytest.approx(1)
    assert np.isnan(made.per_class["AP"][1, 1:]).all()


def test_the_same_seed_gives_the_same_replicates_however_many():
    score = scored(*population(4, 40))
    few, many = bootstrap(score, 70, seed=5), bootstrap(score, 200, seed=5)
    assert few.values["AP"].shape == (70,)
    assert np.array_equal(few.values["AP"], many.values["AP"][:70])
    assert not np.array_equal(few.values["AP"], bootstrap(score, 70, seed=6).values["AP"])
    lanes = drawn(40, 5)(0)
    assert (lanes.sum(0) == 40).all()
    assert np.array_equal(weighted(score, lanes.T).figures["AP50"], many.values["AP50"][:64])


def test_intervals_are_percentiles_around_the_value():
    score = scored(*population(6, 60))
    made = bootstrap(score, 300, level=0.8)
    assert list(made.figures) == list(score.summary)
    assert list(made.per_class) == list(FOUR)
    for name, found in made.figures.items():
        values = made.values[name]
        values = values[~np.isnan(values)]
        moved = values - values.mean() + score.summary[name]
        assert found.value == score.summary[name]
        assert (found.low, found.high) == pytest.approx(np.clip(np.quantile(moved, [0.1, 0.9]), 0, 1), abs=1e-12)
        assert found.standard_error == pytest.approx(values.std(ddof=1))
        assert found.bias == pytest.approx(values.mean() - found.value)
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert made.per_class["b"]["AP50"].value == score.per_class["b"]["AP50"]
    assert made.per_class["b"]["AP50"].standard_error > made.figures["AP50"].standard_error > 0
    assert bootstrap(score, 300, level=0.99).figures["AP"].low < made.figures["AP"].low


def test_intervals_hold_what_other_test_sets_give():
    # The mean of the figures of 80 test sets of one population should lie in 95 of 100 of their intervals.
    made = []
    for seed in range(80):
        score = scored(*population(1000 + seed, 80, classes=16), classes=Classes.unnamed(16))
        made.append(bootstrap(score, 192, seed=seed))
    for name in ("AP", "AP50", "AR1", "AR100"):
        found = [one.figures[name] for one in made]
        target = np.mean([one.value for one in found])
        held = np.mean([one.low <= target <= one.high for one in found])
        assert held >= 0.85, (name, held)
        # The standard error is how far the sets lie from one another.
        spread = np.std([one.value for one in found])
        assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.25)
        # Copies of images raise AP, and plain percentiles with it. They do nothing to recall.
        plain = [np.quantile(one.values[name], (0.025, 0.975)) for one in made]
        without = np.mean([low <= target <= high for low, high in plain])
        bias = np.mean([one.bias / one.standard_error for one in found])
        assert (bias > 0.5 and without < held) if name in ("AP", "AP50") else abs(bias) < 0.1, name


def test_undefined_figures_have_no_interval():
    box = np.array([[0.0, 0.0, 20.0, 20.0]])
    images = [(box, np.array([0]), None)] * 3, [(box, np.array([0]), np.array([0.9]))] * 3
    made = bootstrap(scored(*images), 10)
    assert (made.figures["AP"].low, made.figures["AP"].high, made.figures["AP"].standard_error) == (1.0, 1.0, 0.0)
    assert all(math.isnan(value) for value in vars(made.figures["AP_large"]).values())
    assert all(math.isnan(value) for value in vars(made.per_class["b"]["AP"]).values())
    record = json.loads(json.dumps(made.record(), allow_nan=False))
    assert record["figures"]["AP_large"]["low"] is None
    assert (record["replicates"], record["level"], record["per_class"]["a"]["AP"]["value"]) == (10, 0.95, 1.0)


def test_one_image_says_nothing_of_others():
    box = np.array([[0.0, 0.0, 20.0, 20.0]])
    made = bootstrap(scored([(box, np.array([0]), None)], [(box, np.array([0]), np.array([0.9]))]), 10)
    assert made.figures["AP"].value == pytest.approx(1)
    assert math.isnan(made.figures["AP"].low)


def test_images_without_detections():
    box = np.array([[0.0, 0.0, 20.0, 20.0]])
    nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    made = bootstrap(scored([(box, np.array([0]), None)] * 4, [nothing] * 4), 10)
    assert (made.figures["AP"].low, made.figures["AP"].value, made.figures["AP"].high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicates": 1}, "give 2 or more"),
        ({"level": 1.0}, "a share between 0 and 1"),
        ({"seed": -1}, "give 0 or more"),
    ],
)
def test_numbers_that_make_no_interval_are_told(options, message):
    with pytest.raises(PellucidError, match=message):
        bootstrap(scored(*population(7, 5)), **options)


@pytest.mark.parametrize("weights", [np.ones((2, 4), int), np.full((1, 5), 256), np.full((1, 5), -1), np.ones((1, 5))])
def test_weights_that_are_none_are_told(weights):
    with pytest.raises(PellucidError, match="whole numbers from 0 to 255, 5 in a row"):
        weighted(scored(*population(8, 5)), weights)


def test_a_score_without_matches_is_told():
    with pytest.raises(PellucidError, match="holds no matches"):
        bootstrap(DetectionScore("coco", "COCO, boxes", {}))
