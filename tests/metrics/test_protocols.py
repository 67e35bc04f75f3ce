"""ILSVRC's, Open Images', LVIS' and COCO's own traps, each by hand, and what can be fed and merged."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.metrics import DetectionEvaluator, custom, evaluate
from pellucid.metrics.detection.protocols import COCO, COCO_KEYPOINTS, ILSVRC, OPEN_IMAGES, PROTOCOLS
from pellucid.structures import Annotations, Classes, Instances, ObjectColumns, columns_of

SIZE = (1000, 1000)


def said(classes, rows, *, scores=None, present=(), absent=(), **marks) -> Annotations:
    """Annotations of boxes: rows of (label, (x1, y1, x2, y2))."""
    n = len(rows)
    flags = {name: torch.tensor([i in found for i in range(n)], dtype=torch.bool) for name, found in marks.items()}
    objects = Instances(
        torch.tensor([box for _, box in rows], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([label for label, _ in rows], dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores, dtype=torch.float32),
        **flags,
    )
    return Annotations(SIZE, classes, instances=objects, present=present, absent=absent)


ONE, TWO = Classes.unnamed(1), Classes.unnamed(2)


def states(score, area=0, threshold=0):
    return score.matches.states[:, area, threshold].tolist()


class TestILSVRC:
    def test_small_objects_ask_for_less(self):
        # A truth of 10 × 10 pixels (corners 0 to 9) asks for 100 / 400; half of it overlaps by 50 / 100.
        truth = said(ONE, [(0, (0, 0, 9, 9))])
        found = said(ONE, [(0, (0, 0, 9, 2))], scores=[0.9])  # 3 of 10 rows: 0.3
        assert states(evaluate([truth], [found], "ilsvrc")) == [1]
        assert states(evaluate([truth], [said(ONE, [(0, (0, 0, 9, 1))], scores=[0.9])], "ilsvrc")) == [0]  # 0.2

    def test_the_threshold_itself_is_enough(self):
        truth = said(ONE, [(0, (0, 0, 9, 9))])
        # 10 × 10 over 10 × 40: exactly 0.25.
        assert states(evaluate([truth], [said(ONE, [(0, (0, 0, 9, 39))], scores=[0.9])], "ilsvrc")) == [1]

    def test_the_second_best_truth_may_serve(self):
        truth = said(ONE, [(0, (0, 0, 99, 99)), (0, (20, 0, 119, 99))])
        found = said(ONE, [(0, (0, 0, 99, 99)), (0, (5, 0, 104, 99))], scores=[0.9, 0.8])
        assert states(evaluate([truth], [found], "ilsvrc")) == [1, 1]
        assert states(evaluate([truth], [found], "voc2012")) == [1, 0]

    def test_a_truth_whose_own_threshold_is_not_reached_is_passed_over(self):
        # The large truth overlaps more (0.45) but asks for 0.5; the small one, with 0.3, asks for 0.25.
        truth = said(ONE, [(0, (0, 0, 99, 99)), (0, (200, 0, 209, 9))])
        found = said(ONE, [(0, (0, 0, 99, 44))], scores=[0.9])
        assert states(evaluate([truth], [found], "ilsvrc")) == [0]

    def test_excluded_pairs_count_neither_way(self):
        truth = said(TWO, [(0, (0, 0, 99, 99)), (1, (0, 0, 99, 99))])
        found = said(TWO, [(0, (500, 500, 599, 599)), (1, (0, 0, 99, 99))], scores=[0.9, 0.8])
        evaluator = DetectionEvaluator(TWO, "ilsvrc", excluded=[("a", 0)])
        evaluator.add("a", truth, found)
        score = evaluator.score()
        assert math.isnan(score.per_class["class 0"]["AP"])
        assert score.summary["mAP"] == 1
        assert score.findings.count("detections of a class that is excluded in the image") == 1


class TestOpenImages:
    classes = Classes(("animal", "cat", "dog", "entity"), parents=((3,), (0,), (0,), ()))
    flat = Classes(("cat", "dog"))

    def test_truths_are_copied_upwards_and_detections_are_not(self):
        truth = said(self.classes, [(1, (0, 0, 10, 10))], present=(1,))
        found = said(self.classes, [(1, (0, 0, 10, 10))], scores=[0.9])
        score = evaluate([truth], [found], "openimages")
        assert score.per_class["cat"]["AP"] == 1
        assert score.per_class["animal"]["AP"] == 0  # its copy is there and nobody found it
        assert math.isnan(score.per_class["dog"]["AP"])

    def test_unverified_classes_are_dropped_and_absent_ones_are_wrong(self):
        truth = said(self.flat, [(0, (0, 0, 10, 10))])
        found = said(self.flat, [(0, (0, 0, 10, 10)), (1, (0, 0, 10, 10))], scores=[0.9, 0.8])
        score = evaluate([truth], [found], "openimages")
        assert score.findings.count("detections of a class that was not verified in the image") == 1
        assert len(score.matches.rows) == 1
        truth.absent = (1,)
        assert states(evaluate([truth], [found], "openimages")) == [1, 0]

    def test_negative_labels_reach_all_below(self):
        truth = said(self.classes, [], absent=(0,))
        found = said(self.classes, [(2, (0, 0, 10, 10)), (3, (0, 0, 9, 9))], scores=[0.9, 0.8])
        score = evaluate([truth], [found], replace(OPEN_IMAGES))
        assert score.matches.part.detections.labels.tolist() == [2]

    def test_a_group_is_one_positive_however_many_are_in_it(self):
        truth = said(self.flat, [(0, (0, 0, 100, 100)), (0, (500, 500, 520, 520))], group_of=(0,))
        found = said(
            self.flat,
            [(0, (0, 0, 20, 20)), (0, (30, 30, 60, 60)), (0, (500, 500, 520, 520)), (0, (95, 95, 125, 125))],
            scores=[0.5, 0.9, 0.7, 0.6],
        )
        score = evaluate([truth], [found], "openimages")
        # By score: in the group (right), on the truth (right), mostly outside (wrong), in the group again (gone).
        assert states(score) == [1, 1, 0, 2]
        assert score.matches.positives[0].tolist() == [2, 0]
        assert evaluate([truth], [said(self.flat, [], scores=[])], "openimages").summary["mAP"] == 0
        old = evaluate([truth], [found], "openimages-v2")
        assert states(old) == [2, 1, 0, 2]
        assert old.matches.positives[0].tolist() == [1, 0]

    def test_a_second_detection_of_a_taken_truth_may_belong_to_a_group(self):
        truth = said(self.flat, [(0, (0, 0, 10, 10)), (0, (0, 0, 100, 100))], group_of=(1,))
        found = said(self.flat, [(0, (0, 0, 10, 10)), (0, (0, 0, 10, 10))], scores=[0.9, 0.8])
        assert states(evaluate([truth], [found], "openimages")) == [1, 1]

    def test_empty_boxes_are_dropped(self):
        truth = said(self.flat, [(0, (0, 0, 10, 10))])
        found = said(self.flat, [(0, (0, 0, 10, 10)), (0, (5, 5, 5, 9))], scores=[0.5, 0.9])
        score = evaluate([truth], [found], "openimages")
        assert states(score) == [1]
        assert score.findings.count("detections with an empty box") == 1


class TestCOCO:
    def test_at_equal_overlap_the_later_truth_wins(self):
        truth = said(ONE, [(0, (0, 0, 10, 10)), (0, (0, 0, 10, 10))])
        evaluator = DetectionEvaluator(ONE)
        evaluator.add("a", truth, said(ONE, [(0, (0, 0, 10, 10))], scores=[0.9]))
        assert evaluator.matches(partners=True).partners[0].tolist() == [1] * 10

    def test_a_truth_with_id_zero_is_matched_like_any_other(self):
        truth = said(ONE, [(0, (0, 0, 10, 10))])
        truth.instances.ids = torch.tensor([0])
        assert evaluate([truth], [said(ONE, [(0, (0, 0, 10, 10))], scores=[0.9])]).summary["AP"] == pytest.approx(1)

    def test_a_crowd_takes_any_number(self):
        truth = said(ONE, [(0, (0, 0, 100, 100)), (0, (500, 0, 510, 10))], crowd=(0,))
        found = said(ONE, [(0, (i * 10, 0, i * 10 + 10, 10)) for i in range(10)], scores=[0.5] * 10)
        assert states(evaluate([truth], [found])) == [2] * 10

    def test_area_ranges_include_both_ends(self):
        truth = said(ONE, [(0, (0, 0, 32, 32))])  # 1024: small and medium
        score = evaluate([truth], [said(ONE, [(0, (0, 0, 32, 32))], scores=[0.9])])
        assert score.summary["AP_small"] == score.summary["AP_medium"] == pytest.approx(1)
        assert math.isnan(score.summary["AP_large"])

    def test_annotated_area_decides_not_the_box(self):
        truth = said(ONE, [(0, (0, 0, 200, 200))])
        truth.instances.areas = torch.tensor([500.0])
        score = evaluate([truth], [said(ONE, [(0, (0, 0, 200, 200))], scores=[0.9])])
        assert score.summary["AP_small"] == pytest.approx(1)
        assert math.isnan(score.summary["AP_large"])

    def test_keypoints_ask_for_keypoints(self):
        with pytest.raises(PellucidError, match="no keypoints"):
            evaluate([said(ONE, [(0, (0, 0, 9, 9))])], [said(ONE, [(0, (0, 0, 9, 9))], scores=[0.9])], COCO_KEYPOINTS)
        with pytest.raises(PellucidError, match="no masks"):
            evaluate([said(ONE, [(0, (0, 0, 9, 9))])], [said(ONE, [(0, (0, 0, 9, 9))], scores=[0.9])], "coco-segm")


class TestCustom:
    def test_generalised_overlap(self):
        truth = said(ONE, [(0, (0, 0, 10, 10))])
        far = said(ONE, [(0, (20, 0, 30, 10))], scores=[0.9])  # GIoU = 0 − (300 − 200) / 300
        near = custom((-0.3, -0.35), generalised=True)
        assert states(evaluate([truth], [far], near)) == [0]
        assert states(evaluate([truth], [far], near), threshold=1) == [1]

    def test_any_thresholds(self):
        truth = said(ONE, [(0, (0, 0, 10, 10))])
        found = said(ONE, [(0, (0, 0, 10, 7))], scores=[0.9])
        summary = evaluate([truth], [found], custom((0.6, 0.7, 0.8))).summary
        assert [round(summary[f"AP@{t}"]) for t in (0.6, 0.7, 0.8)] == [1, 1, 0]
        assert evaluate([truth], [found], custom((0.6,))).reservations["AP"].startswith("a protocol of your own")

    @pytest.mark.parametrize(
        ("make", "what"),
        [
            (lambda: custom(()), "thresholds"),
            (lambda: custom((2.0,)), "thresholds"),
            (lambda: custom((0.5,), tresholds=3), "unknown field 'tresholds'"),
            (lambda: replace(COCO, generalised=True, geometry="masks"), "GIoU is of boxes"),
            (
                lambda: evaluate([said(ONE, [])], [said(ONE, [])], "cocco"),
                "unknown protocol 'cocco'; did you mean 'coco'",
            ),
        ],
    )
    def test_what_cannot_be_is_said(self, make, what):
        with pytest.raises(PellucidError, match=what):
            make()


class TestBadInput:
    def test_faults_are_counted_and_the_rest_is_right(self):
        truth = said(TWO, [(0, (0, 0, 10, 10)), (1, (float("nan"), 0, 5, 5)), (1, (9, 9, 3, 3))])
        found = said(
            TWO,
            [
                (0, (0, 0, 10, 10)),
                (0, (0, 0, 10, 10)),
                (0, (8, 8, 2, 2)),
                (0, (1, 1, 1, 1)),
                (5, (0, 0, 4, 4)),
                (1, (0, 0, 3, 3)),
            ],
            scores=[0.9, float("nan"), 0.8, 0.1, 0.7, 0.6],
        )
        score = evaluate([truth], [found])
        lines = "\n".join(score.findings.lines())
        for count, what in [
            (1, "truths with a box that is no four numbers"),
            (1, "truths with a box of negative size"),
            (1, "detections with a score that is no number"),
            (1, "detections with a box of negative size"),
            (1, "detections with an empty box"),
            (1, "detections of an unknown class"),
            (1, "detections of classes without a truth that counts, which no mean includes"),
        ]:
            assert score.findings.count(what) == count, lines
        assert score.summary["AP"] == pytest.approx(1)

    def test_no_detections_and_no_truths(self):
        empty = evaluate([said(ONE, [(0, (0, 0, 9, 9))])], [said(ONE, [], scores=[])])
        assert empty.summary["AP"] == 0
        assert "not one detection" in "\n".join(empty.findings.lines())
        nothing = evaluate([said(ONE, [])], [said(ONE, [(0, (0, 0, 9, 9))], scores=[0.5])])
        assert math.isnan(nothing.summary["AP"])
        assert "not one truth" in "\n".join(nothing.findings.lines())

    def test_predictions_without_scores_get_one(self):
        score = evaluate([said(ONE, [(0, (0, 0, 9, 9))])], [said(ONE, [(0, (0, 0, 9, 9))])])
        assert score.findings.count("detections without a score: each gets 1") == 1
        assert score.summary["AP"] == pytest.approx(1)

    def test_repeated_detections_are_told(self):
        found = said(ONE, [(0, (0, 0, 9, 9))] * 3, scores=[0.5] * 3)
        score = evaluate([said(ONE, [(0, (0, 0, 9, 9))])], [found])
        assert score.findings.count("detections that repeat another to the last digit") == 2

    def test_images_must_be_the_same(self):
        one = said(ONE, [])
        with pytest.raises(PellucidError, match="2 predictions for 1 images"):
            evaluate([one], [one, one])
        with pytest.raises(PellucidError, match=r"'a.json' is a path; give what pellucid.data.read_predictions"):
            evaluate([one], "a.json")
        with pytest.raises(PellucidError, match="that have no truth, such as 'b'"):
            evaluate({"a": one}, {"b": one})
        assert evaluate({"a": one, "c": one}, {"a": one}).images == 2
        with pytest.raises(PellucidError, match="class 0 is 'x', not 'class 0'"):
            evaluate([one], [said(Classes(("x",)), [])])
        evaluator = DetectionEvaluator(ONE)
        evaluator.add("a", one, None)
        with pytest.raises(PellucidError, match="'a' was scored before"):
            evaluator.add("a", one, None)


def random_columns(rng: np.random.Generator, images: int, predicted: bool) -> ObjectColumns:
    parts = []
    for _ in range(images):
        n = int(rng.integers(0, 6))
        corner = rng.integers(0, 20, (n, 2))
        boxes = np.concatenate((corner, corner + rng.integers(1, 20, (n, 2))), 1)
        rows = [(int(k), tuple(map(float, box))) for k, box in zip(rng.integers(0, 2, n), boxes, strict=True)]
        scores = rng.choice([0.2, 0.5, 0.5, 0.9], n).tolist() if predicted else None
        crowd = tuple(np.flatnonzero(rng.random(n) < 0.2).tolist()) if not predicted else ()
        parts.append(said(TWO, rows, scores=scores, crowd=crowd, difficult=crowd))
    return columns_of(TWO, [f"image {i}" for i in range(images)], parts)


def shards(columns: ObjectColumns, cuts: list[int]) -> list[ObjectColumns]:
    made = []
    for a, b in zip([0, *cuts], [*cuts, len(columns)], strict=True):
        rows = np.arange(columns.first[a], columns.first[b])
        made.append(replace(columns.taken(rows), names=columns.names[a:b], sizes=columns.sizes[a:b],
                            first=columns.first[a : b + 1] - columns.first[a]))  # fmt: skip
    return made


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["coco", "voc2007", "ilsvrc", "openimages-v2"]), st.integers(0, 8))
def test_merged_shards_equal_one_pass_in_any_order(seed, protocol, cut):
    rng = np.random.default_rng(seed)
    truths, found = random_columns(rng, 8, False), random_columns(rng, 8, True)
    whole = DetectionEvaluator(TWO, protocol)
    whole.add_columns(truths, found)
    parts = []
    for t, d in zip(shards(truths, [cut]), shards(found, [cut]), strict=True):
        one = DetectionEvaluator(TWO, protocol)
        one.add_columns(t, d)
        parts.append(pickle.loads(pickle.dumps(one)))
    parts[1].merge(parts[0])  # the later images first
    once, merged = whole.score(), parts[1].score()
    assert once.findings.counts == merged.findings.counts  # the examples named are the first that came
    assert {**once.record(), "findings": 0} == {**merged.record(), "findings": 0}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["coco", "voc2012", "ilsvrc"]))
def test_a_wrong_detection_below_every_score_changes_no_precision_above_it(seed, protocol):
    rng = np.random.default_rng(seed)
    truths, found = random_columns(rng, 5, False), random_columns(rng, 5, True)
    assert found.scores is not None
    rows = np.concatenate((np.arange(len(found.labels)), [0])) if len(found.labels) else np.zeros(0, dtype=np.int64)
    if len(rows) == 0:
        return
    more = found.taken(rows)
    assert more.scores is not None
    more.first = np.append(found.first[:-1], len(rows))
    more.scores[-1], more.boxes[-1], more.labels[-1] = 0.001, (900, 900, 5, 5), 0
    curves = []
    for said_ in (found, more):
        evaluator = DetectionEvaluator(TWO, protocol)
        evaluator.add_columns(truths, said_)
        score = evaluator.score()
        curves.append((score.curve(0).precision, score.summary, score.per_class["class 1"]))
    before, after = curves
    assert np.array_equal(before[0], after[0][: len(before[0])])
    assert len(after[0]) == len(before[0]) + 1
    assert before[1].keys() == after[1].keys()
    assert repr(before[2]) == repr(after[2])


def test_every_protocol_scores_an_empty_image():
    for name, protocol in PROTOCOLS.items():
        if protocol.geometry == "boxes":
            assert set(evaluate([said(ONE, [])], [said(ONE, [], scores=[])], name).summary)
    assert ILSVRC.small_boxes


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["coco", "voc2012", "openimages-v2"]), st.permutations(range(6)))
def test_the_order_of_images_changes_nothing(seed, protocol, order):
    rng = np.random.default_rng(seed)
    truths, found = random_columns(rng, 6, False), random_columns(rng, 6, True)
    singles = [list(zip(shards(c, [1, 2, 3, 4, 5]), strict=True)) for c in (truths, found)]
    records = []
    for images in (range(6), order):
        evaluator = DetectionEvaluator(TWO, protocol)
        for i in images:
            evaluator.add_columns(singles[0][i][0], singles[1][i][0])
        records.append({**evaluator.score().record(), "findings": 0})
    assert records[0] == records[1]
