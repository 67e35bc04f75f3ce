"""Paired comparison of two sets of predictions."""

import json
import math

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.metrics.comparing import compare, paired
from pellucid.metrics.detection.bootstrap import bootstrap
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.score import DetectionScore
from pellucid.structures import Classes, ObjectColumns

TWO = Classes(("cell", "cyst"))


def scored(truths, found, *, classes=TWO, protocol="coco", names=None, ids=None) -> DetectionScore:
    """The score of images, each a table of box x, y, width, height, label, and for detections a score."""
    names = [str(i) for i in range(len(truths))] if names is None else names
    made = []
    for tables in (truths, found):
        rows = np.concatenate([np.reshape(table, (-1, 6)) for table in tables])
        made.append(
            ObjectColumns(
                classes,
                names,
                np.full((len(tables), 2), 500),
                np.append(0, np.cumsum([len(table) for table in tables])),
                rows[:, :4],
                rows[:, 4].astype(np.int64),
                np.zeros(len(rows), dtype=np.uint8),
                ids=ids,
                scores=rows[:, 5],
            )
        )
    evaluator = DetectionEvaluator(classes, protocol)
    evaluator.add_columns(*made)
    return evaluator.score()


def truth(images=60, seed=0):
    generator = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        n = 1 + generator.poisson(3)
        boxes = np.concatenate((generator.uniform(0, 300, (n, 2)), generator.uniform(20, 120, (n, 2))), 1)
        made.append(np.column_stack((boxes, generator.integers(2, size=n), np.zeros(n))))
    return made


def found(truths, noise, seed, decimals=6):
    """Each truth moved a little, and a wrong one with a low score for every third."""
    generator = np.random.default_rng(seed)
    made = []
    for table in truths:
        moved = table.copy()
        moved[:, :4] += generator.normal(0, noise, (len(table), 4)) * table[:, 2:3]
        moved[:, 5] = generator.beta(4, 2, len(table)).round(decimals)
        wrong = moved[::3] + np.array([200, 200, 0, 0, 0, 0])
        wrong[:, 5] = generator.beta(2, 4, len(wrong)).round(decimals)
        made.append(np.concatenate((moved, wrong)))
    return made


TRUTH = truth()


def test_the_same_twice_is_undecided():
    score = scored(TRUTH, found(TRUTH, 0.05, 1))
    made = compare(score, score, replicates=100)
    assert list(made.figures) == list(score.summary)
    for name, one in made.figures.items():
        if math.isnan(score.summary[name]):
            assert math.isnan(one.p_value)
            continue
        assert (one.a, one.b, one.difference, one.low, one.high) == (one.a, one.a, 0.0, 0.0, 0.0)
        assert (one.p_value, one.verdict, one.within_ties) == (1.0, "undecided", True)


def test_what_is_better_is_found_and_the_other_way_round_worse():
    a, b = scored(TRUTH, found(TRUTH, 0.12, 1)), scored(TRUTH, found(TRUTH, 0.04, 2))
    there, back = compare(a, b, replicates=400).figures["AP"], compare(b, a, replicates=400).figures["AP"]
    assert there.difference == b.summary["AP"] - a.summary["AP"] > 0.1
    assert (there.verdict, back.verdict) == ("better", "worse")
    assert 0 < there.low < there.difference < there.high
    assert there.p_value == back.p_value == pytest.approx(2 / 401)  # no replicate on the other side, plus one
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert not there.within_ties
    assert there.tie_a.value == there.a


def test_of_two_alike_few_seem_to_differ():
    verdicts = []
    for seed in range(40):
        truths = truth(40, seed)
        a, b = (scored(truths, found(truths, 0.1, 2 * seed + i)) for i in range(2))
        verdicts.append(compare(a, b, replicates=128, seed=seed).figures["AP50"].verdict)
    assert verdicts.count("undecided") >= 34  # 38 expected


def test_pairing_narrows_the_interval():
    detections = found(TRUTH, 0.1, 1)
    generator = np.random.default_rng(3)
    nearly = [table + generator.normal(0, 0.3, table.shape) * [1, 1, 1, 1, 0, 0] for table in detections]
    a, b = scored(TRUTH, detections), scored(TRUTH, nearly)
    one = compare(a, b, replicates=200).figures["AP"]
    alone = bootstrap(a, 200).figures["AP"]
    assert one.high - one.low < 0.5 * (alone.high - alone.low)


def test_each_image_gets_its_own_weight_wherever_it_stands():
    a, b = found(TRUTH, 0.1, 1), found(TRUTH, 0.1, 2)
    ours = scored(TRUTH, a)
    one = compare(ours, scored(TRUTH, b), replicates=100)
    other = scored(TRUTH, b, ids=list(range(len(TRUTH)))[::-1])
    assert other.matches.part.names == ours.matches.part.names[::-1]
    for name, found_there in compare(ours, other, replicates=100).figures.items():
        expected = one.figures[name]
        assert (found_there.low, found_there.high, found_there.p_value) == pytest.approx(
            (expected.low, expected.high, expected.p_value), abs=1e-12, nan_ok=True
        )


def test_a_gain_that_is_only_the_order_of_ties():
    # All scores are one: b has its right ones in the images that come first.
    box = [0.0, 0.0, 50.0, 50.0, 0, 1.0]
    away = [300.0, 300.0, 50.0, 50.0, 0, 1.0]
    truths = [[box]] * 10
    a = scored(truths, [[away]] * 5 + [[box]] * 5)
    b = scored(truths, [[box]] * 5 + [[away]] * 5)
    one = compare(a, b, replicates=100).figures["AP50"]
    assert one.difference > 0.2
    assert one.within_ties
    assert one.verdict == "tie order"
    assert one.tie_a.high == pytest.approx(one.b)


def test_classes_apart():
    a = found(TRUTH, 0.12, 1)
    b = [table.copy() for table in a]
    for table, true in zip(b, TRUTH, strict=True):
        mine = true[:, 4] == 1
        table[: len(true)][mine, :4] = true[mine, :4]
    made = compare(scored(TRUTH, a), scored(TRUTH, b), replicates=200)
    assert made.per_class["cell"]["AP"].difference == 0
    assert made.per_class["cell"]["AP"].verdict == "undecided"
    assert made.per_class["cyst"]["AP"].verdict == "better"
    assert made.per_class["cyst"]["AP"].low > 0
    assert made.per_class["cyst"]["AP"].tie_a is None


def test_record():
    made = compare(scored(TRUTH, found(TRUTH, 0.1, 1)), scored(TRUTH, found(TRUTH, 0.1, 2, 1)), replicates=50)
    record = json.loads(json.dumps(made.record(), allow_nan=False))
    assert (record["replicates"], record["level"], record["seed"]) == (50, 0.95, 0)
    assert record["figures"]["AP"]["difference"] == made.figures["AP"].difference
    assert record["figures"]["AP"]["tie_b"]["low"] < record["figures"]["AP"]["tie_b"]["high"]
    assert "tie_a" not in record["per_class"]["cell"]["AP50"]


def test_one_image_decides_nothing():
    one = compare(*(scored(TRUTH[:1], found(TRUTH[:1], noise, 1)) for noise in (0.2, 0.0)), replicates=10)
    assert math.isnan(one.figures["AP"].p_value)
    assert one.figures["AP"].verdict == "undecided"


def test_p_value_counts_the_other_side():
    values = np.arange(-2.0, 18.0)[:, None]  # moved onto 7.5 / 1000: two of twenty are not above zero
    one = paired([0.5], [0.5 + values.mean() / 1000], np.zeros((20, 1)), values / 1000, 0.5)[0]
    assert one.p_value == pytest.approx(2 * (3 + 1) / 21)  # −2, −1 and 0
    assert one.verdict == "better"


def test_what_cannot_be_compared_is_told():
    score = scored(TRUTH, found(TRUTH, 0.1, 1))
    named = [*map(str, range(59)), "other"]
    others = {
        "image 'other' is in one of the scores alone": scored(TRUTH, found(TRUTH, 0.1, 1), names=named),
        "image '59' is in one of the scores alone": scored(TRUTH[:59], found(TRUTH[:59], 0.1, 1)),
        "different protocols, 'coco' and 'voc2012'": scored(TRUTH, found(TRUTH, 0.1, 1), protocol="voc2012"),
        "different classes": scored(TRUTH, found(TRUTH, 0.1, 1), classes=Classes(("cell", "nucleus"))),
        "image '7' has different truths": scored(
            [*TRUTH[:7], TRUTH[7][:-1], *TRUTH[8:]], found(TRUTH, 0.1, 1)
        ),
        "holds no matches": DetectionScore("coco", "COCO, boxes", {}),
    }  # fmt: skip
    for message, other in others.items():
        with pytest.raises(PellucidError, match=message):
            compare(score, other, replicates=10)
    with pytest.raises(PellucidError, match="level 95"):
        compare(score, score, level=95)
