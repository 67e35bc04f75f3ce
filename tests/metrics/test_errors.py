"""Error types and confusion matrices by hand: each type, what comes first, what is ignored, costs, and records."""

import json
import math
import pickle
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.metrics.detection.confusion import Confusion, confusion
from pellucid.metrics.detection.error_records import KINDS, ErrorRecord
from pellucid.metrics.detection.errors import ErrorAnalysis, error_types
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.structures import Annotations, Classes, Instances, Masks, columns_of

CLASSES = Classes(("cat", "dog", "cow"))
CAT, DOG, COW, NONE = range(4)
A, B = (0, 0, 10, 10), (50, 50, 60, 60)

Objects = list[tuple]


def truths(objects: Objects, classes: Classes = CLASSES, **more: object) -> Annotations:
    """Boxes and labels, and a flag where there is a third."""
    flags = {
        name: torch.tensor([name in row[2:] for row in objects], dtype=torch.bool)
        for name in ("crowd", "difficult", "group_of")
    }
    boxes = torch.tensor([row[0] for row in objects], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([row[1] for row in objects], dtype=torch.int64)
    return Annotations((100, 100), classes, instances=Instances(boxes, labels, **flags, **more))


def found(objects: Objects, classes: Classes = CLASSES, **more: object) -> Annotations:
    """Boxes, labels and scores."""
    boxes = torch.tensor([row[0] for row in objects], dtype=torch.float32).reshape(-1, 4)
    labels = torch.tensor([row[1] for row in objects], dtype=torch.int64)
    scores = torch.tensor([row[2] for row in objects], dtype=torch.float64)
    return Annotations((100, 100), classes, instances=Instances(boxes, labels, scores=scores, **more))


def fed(*images: tuple[Objects, Objects], protocol: str = "coco", classes: Classes = CLASSES) -> DetectionEvaluator:
    evaluator = DetectionEvaluator(classes, protocol)
    for i, (there, said) in enumerate(images):
        evaluator.add(f"{i}.jpg", truths(there, classes), found(said, classes))
    return evaluator


def kinds(there: Objects, said: Objects, **options: object) -> list[str]:
    """The type of each detection, '' for none, then of each missed truth."""
    records = error_types(fed((there, said)), **options).records
    made = {(r.kind == "Miss", r.number): r.kind for r in records}
    return [made.get((False, i), "") for i in range(len(said))] + ["Miss"] * len(records.of("Miss"))


@pytest.mark.parametrize(
    ("there", "said", "expected"),
    [
        pytest.param([(A, CAT)], [(A, CAT, 0.5)], [""], id="right"),
        pytest.param([(A, CAT)], [(A, DOG, 0.5)], ["Cls"], id="of another class"),
        pytest.param([(A, CAT)], [((0, 0, 10, 4), CAT, 0.5)], ["Loc"], id="IoU 0.4"),
        pytest.param([(A, CAT)], [((0, 0, 10, 4), DOG, 0.5)], ["Both", "Miss"], id="IoU 0.4 with another class"),
        pytest.param([(A, CAT)], [(A, CAT, 0.5), (A, CAT, 0.4)], ["", "Dupe"], id="twice"),
        pytest.param([(A, CAT)], [(B, CAT, 0.5)], ["Bkg", "Miss"], id="nothing there"),
        pytest.param([(A, CAT)], [], ["Miss"], id="missed"),
        pytest.param([], [(A, CAT, 0.5)], ["Bkg"], id="no truth at all"),
        pytest.param([(A, CAT)], [((0, 0, 10, 5), CAT, 0.5)], [""], id="IoU 0.5 reaches the foreground"),
        pytest.param([(A, CAT)], [((0, 0, 10, 1), CAT, 0.5)], ["Loc"], id="IoU 0.1 is no background for its class"),
        pytest.param([(A, CAT)], [((0, 0, 10, 1), DOG, 0.5)], ["Bkg", "Miss"], id="IoU 0.1 is for another class"),
        pytest.param([(A, CAT)], [((0, 0, 10, 5), DOG, 0.5)], ["Cls"], id="IoU 0.5 with another class"),
    ],
)
def test_each_type(there: Objects, said: Objects, expected: list[str]) -> None:
    assert kinds(there, said) == expected


@pytest.mark.parametrize(
    ("there", "said", "expected"),
    [
        # IoU 0.4 with the cat, 0.6 with the dog.
        pytest.param([(A, CAT), ((0, 0, 10, 2.4), DOG)], [((0, 0, 10, 4), CAT, 0.5)], ["Loc", "Miss"], id="Loc, Cls"),
        # The cat is taken; the second detection is a duplicate, but also the dog's box exactly.
        pytest.param([(A, CAT), (A, DOG)], [(A, CAT, 0.9), (A, CAT, 0.5)], ["", "Cls"], id="Cls, Dupe"),
        # IoU 0.5 with a taken cat: up to the foreground inclusive it is Loc.
        pytest.param([(A, CAT)], [(A, CAT, 0.9), ((0, 0, 10, 5), CAT, 0.5)], ["", "Loc"], id="Loc, Dupe"),
        # IoU 0.6 with a taken cat, 0.3 with a dog: it is Dupe, not Both.
        pytest.param(
            [(A, CAT), ((0, 0, 10, 1.8), DOG)], [(A, CAT, 0.9), ((0, 0, 10, 6), CAT, 0.5)], ["", "Dupe", "Miss"],
            id="Dupe, Both",
        ),
    ],
)  # fmt: skip
def test_the_first_that_fits(there: Objects, said: Objects, expected: list[str]) -> None:
    assert kinds(there, said) == expected


def test_thresholds_can_be_set() -> None:
    there, said = [(A, CAT)], [((0, 0, 10, 6), CAT, 0.5), ((0, 0, 10, 2), CAT, 0.4)]
    assert kinds(there, said) == ["", "Loc"]
    assert kinds(there, said, foreground=0.75, background=0.3) == ["Loc", "Bkg"]
    for foreground, background in ((0.5, 0), (0.5, 0.6), (1.5, 0.1), (0.5, math.nan)):
        with pytest.raises(PellucidError, match="give 0 < background ≤ foreground ≤ 1"):
            kinds(there, said, foreground=foreground, background=background)


@pytest.mark.parametrize("flag", ["crowd", "difficult", "group_of"])
def test_what_lies_in_ignored_truths_is_no_error(flag: str) -> None:
    region = (0, 0, 20, 20)
    assert kinds([(region, CAT, flag)], [((1, 1, 5, 5), CAT, 0.5)]) == [""]
    assert kinds([(region, CAT, flag)], [((1, 1, 5, 5), DOG, 0.5)]) == ["Bkg"]  # of another class
    assert kinds([(region, CAT, flag)], [((15, 0, 25, 10), CAT, 0.5)]) == ["Bkg"]  # half in it: not more than 0.5
    assert kinds([(region, CAT, flag)], []) == []  # it cannot be missed
    assert kinds([(region, CAT, flag), (A, CAT)], [(A, CAT, 0.5)]) == [""]  # a truth that counts comes first
    ap = error_types(
        fed(([(region, CAT, flag), (B, CAT)], [((1, 1, 5, 5), CAT, 0.9), (B, CAT, 0.5)]))
    ).average_precision
    assert ap == 1


def test_only_a_hundred_detections_of_an_image_over_all_classes() -> None:
    said = [(A, i % 2, 0.9 - i / 1000) for i in range(100)] + [(B, DOG, 0.1)]
    analysis = error_types(fed(([(A, CAT), (B, DOG)], said)))
    assert sum(analysis.counts[kind] for kind in KINDS[:-1]) == 99
    assert [(r.kind, r.number) for r in analysis.records.of("Miss")] == [("Miss", 1)]


def test_costs_worked_out_by_hand() -> None:
    # Cats A and B. A is found first, then comes nothing, then B badly placed: recall 1/2 at precision 1, 51 points.
    said = [(A, CAT, 0.9), ((80, 80, 90, 90), CAT, 0.8), ((50, 50, 60, 54), CAT, 0.7)]
    analysis = error_types(fed(([(A, CAT), (B, CAT)], said)))
    assert analysis.counts == {"Cls": 0, "Loc": 1, "Both": 0, "Dupe": 0, "Bkg": 1, "Miss": 0}
    assert analysis.average_precision == pytest.approx(51 / 101)
    # With B placed well: recall 1 at precision 2/3. Without misses B is gone: recall 1 at precision 1.
    expected = {"Cls": 0, "Loc": 50 * 2 / 3 / 101, "Both": 0, "Dupe": 0, "Bkg": 0, "Miss": 0, "FP": 0, "FN": 50 / 101}
    assert analysis.cost == pytest.approx(expected)
    assert list(analysis.cost) == [*KINDS, "FP", "FN"]


def test_a_class_with_detections_alone_counts_as_0_until_they_are_gone() -> None:
    analysis = error_types(fed(([(A, CAT)], [(A, CAT, 0.5), (B, COW, 0.9)])))
    assert analysis.average_precision == 0.5  # cat 1, cow 0; dog occurs nowhere
    assert analysis.cost["Bkg"] == 0.5
    assert analysis.cost["FP"] == 0


def test_the_best_of_all_who_claim_a_truth_is_repaired_and_the_others_vanish() -> None:
    # About the cat are Loc errors at 0.8 and 0.6 and a Cls error at 0.7: the first claims it.
    loc, cls = (0, 0, 10, 4), A
    analysis = error_types(fed(([(A, CAT)], [(loc, CAT, 0.8), (cls, DOG, 0.7), (loc, CAT, 0.6)])))
    assert analysis.counts["Loc"] == 2
    assert analysis.counts["Cls"] == 1
    assert analysis.average_precision == 0
    assert analysis.cost["Loc"] == 0.5  # the cat is right, and nothing else of it left; dog stays 0
    assert analysis.cost["Cls"] == 0  # the dog vanishes and is no cat, as the truth is claimed better


def test_a_truth_that_was_found_cannot_be_claimed() -> None:
    analysis = error_types(fed(([(A, CAT)], [(A, CAT, 0.5), (A, DOG, 0.9)])))
    assert analysis.counts["Cls"] == 1
    assert analysis.average_precision == 0.5
    assert analysis.cost["Cls"] == 0.5  # it vanishes, and the class of dogs with it


def test_records_say_which_object_and_which_partner() -> None:
    images = (
        ([(B, DOG), (A, CAT)], [(B, CAT, 0.5), (A, CAT, 0.9), ((0, 0, 10, 8), CAT, 0.8), ((80, 80, 90, 95), COW, 0.7)]),
        ([(A, CAT), (B, COW)], [((0, 0, 10, 4), DOG, 0.3)]),
    )
    records = error_types(fed(*images)).records
    assert records[0] == ErrorRecord("0.jpg", "Dupe", CAT, 0.8, (0, 0, 10, 8), 2, 1, CAT, 0.8)
    assert records[1] == ErrorRecord("0.jpg", "Bkg", COW, 0.7, (80, 80, 90, 95), 3, None, None, 0.0)
    assert records[2] == ErrorRecord("0.jpg", "Cls", CAT, 0.5, (50, 50, 60, 60), 0, 0, DOG, 1.0)
    assert records[3] == ErrorRecord("1.jpg", "Both", DOG, 0.3, (0, 0, 10, 4), 0, 0, CAT, 0.4)
    missed = ErrorRecord("1.jpg", "Miss", CAT, math.nan, (0, 0, 10, 10), 0, 0, DOG, 0.4).record()
    assert records[4].record() == missed
    assert missed["score"] is None
    assert records[-1].record() == {
        "image": "1.jpg", "kind": "Miss", "label": COW, "score": None, "box": [50, 50, 60, 60], "number": 1,
        "partner": None, "partner_label": None, "iou": 0.0,
    }  # fmt: skip
    assert len(records) == 6
    assert [r.kind for r in records] == ["Dupe", "Bkg", "Cls", "Both", "Miss", "Miss"]
    assert [r.kind for r in records[1:3]] == ["Bkg", "Cls"]
    assert [r.number for r in records.of("Miss")] == [0, 1]
    assert [r.kind for r in records.of_class(CAT)] == ["Dupe", "Cls", "Miss"]
    assert [r.kind for r in records.of_image("1.jpg")] == ["Both", "Miss", "Miss"]
    assert [r.score for r in records.worst(3)] == [0.8, 0.7, 0.5]
    assert [r.kind for r in records.worst(99)] == ["Dupe", "Bkg", "Cls", "Both", "Miss", "Miss"]
    with pytest.raises(PellucidError, match="did you mean 'Loc'"):
        records.of("Lock")
    with pytest.raises(PellucidError, match=r"no image '2.jpg' was scored"):
        records.of_image("2.jpg")
    with pytest.raises(IndexError):
        records[6]
    for one in pickle.loads(pickle.dumps(records)):
        assert one.image in ("0.jpg", "1.jpg")


def test_a_missed_object_names_a_neighbour_from_the_background_on_alone() -> None:
    near = error_types(fed(([(A, CAT)], [((0, 0, 10, 1), DOG, 0.5)]))).records.of("Miss")[0]
    assert (near.partner, near.partner_label, near.iou) == (0, DOG, 0.1)
    far = error_types(fed(([(A, CAT)], [((0, 0, 9, 1), DOG, 0.5)]))).records.of("Miss")[0]
    assert (far.partner, far.partner_label, far.iou) == (None, None, 0.09)


def test_the_places_are_those_that_were_given() -> None:
    broken = (0, 0, -5, 5)
    records = error_types(fed(([(broken, CAT), (A, CAT)], [(broken, CAT, 0.9), (A, DOG, 0.5)]))).records
    assert [(r.kind, r.number, r.partner) for r in records] == [("Cls", 1, 1)]


def test_the_record_for_json() -> None:
    analysis = error_types(fed(([(A, CAT)], [(A, DOG, 0.5), (B, CAT, 0.5)])))
    record = analysis.record(worst=1)
    json.dumps(record, allow_nan=False)
    assert record["counts"]["Cls"] == 1
    assert [one["number"] for one in record["worst"]["Bkg"]] == [1]
    assert "worst" not in analysis.record()


def test_nothing_to_score_is_undefined() -> None:
    analysis = error_types(fed(([], []), ([(A, CAT, "crowd")], [])))
    assert math.isnan(analysis.average_precision)
    assert all(math.isnan(value) for value in analysis.cost.values())
    assert sum(analysis.counts.values()) == 0
    alone = error_types(fed(([], [(A, CAT, 0.5)])))
    assert alone.average_precision == 0
    assert math.isnan(alone.cost["Bkg"])  # nothing would remain to be scored
    json.dumps(alone.record(), allow_nan=False)
    with pytest.raises(PellucidError, match="no image was scored"):
        error_types(DetectionEvaluator(CLASSES))


def test_boxes_that_count_pixels() -> None:
    # 10 × 4 of 10 × 10 with the last pixel counted: 11 · 5 / 121 = 0.4545; 10 × 5: 0.54.
    there = [(A, CAT)]
    assert error_types(fed((there, [((0, 0, 10, 4), CAT, 0.5)]), protocol="voc2012")).records[0].iou == 5 / 11
    assert error_types(fed((there, [((0, 0, 10, 4.6), CAT, 0.5)]), protocol="voc2012")).counts["Loc"] == 0
    assert error_types(fed((there, [((0, 0, 10, 4.6), CAT, 0.5)]))).counts["Loc"] == 1


def test_a_copy_in_a_class_above_is_no_other_class() -> None:
    classes = Classes(("animal", "cat"), parents=((), (0,)))
    evaluator = fed(([(A, 1)], [(A, 1, 0.9), (A, 1, 0.8), (A, 0, 0.7)]), protocol="openimages", classes=classes)
    records = error_types(evaluator).records
    assert [(r.kind, r.number, r.partner, r.partner_label) for r in records] == [("Dupe", 1, 0, 1)]
    made = confusion(evaluator)
    assert made.matrix.tolist() == [[0, 0, 0], [0, 1, 0], [1, 1, 0]]  # the cat counts once


def test_lvis_counts_300_and_spares_classes_whose_objects_are_not_all_marked() -> None:
    said = [((i % 90, 90, i % 90 + 5, 95), DOG, 0.5) for i in range(200)] + [(B, CAT, 0.4)]
    columns = [columns_of(CLASSES, ["a.jpg"], [side]) for side in (truths([(A, CAT), (B, DOG)]), found(said))]
    for unexhausted, kinds in (({}, {"Bkg": 200, "Cls": 1}), ({0: (DOG,)}, {"Cls": 1}), ({0: (DOG, CAT)}, {})):
        evaluator = DetectionEvaluator(CLASSES, "lvis")
        evaluator.add_columns(replace(columns[0], unexhausted=unexhausted), columns[1])
        counts = error_types(evaluator).counts
        assert {kind: n for kind, n in counts.items() if n and kind != "Miss"} == kinds
        made = confusion(evaluator).matrix
        assert made[NONE, DOG] == (0 if unexhausted else 200)
        assert made[DOG, CAT] == 1


def pixels(*boxes: tuple[int, int, int, int]) -> Masks:
    made = np.zeros((len(boxes), 100, 100), dtype=bool)
    for mask, (x1, y1, x2, y2) in zip(made, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    return Masks.from_bool(made)


def masks_fed(*, errors: bool) -> DetectionEvaluator:
    """The second image is a crowd; boxes say that all is well, masks differ."""
    evaluator = DetectionEvaluator(CLASSES, "coco-segm", errors=errors)
    there = truths([(A, DOG), (B, CAT)], masks=pixels((0, 0, 10, 10), (50, 50, 60, 60)))
    said = found([(A, CAT, 0.9), (B, CAT, 0.8), (B, CAT, 0.7)], masks=pixels(A, (50, 50, 60, 54), (50, 50, 60, 60)))
    evaluator.add("b.jpg", there, said)
    crowd = truths([((0, 0, 90, 90), CAT, "crowd"), (B, DOG)], masks=pixels((0, 0, 90, 90), B))
    evaluator.add("a.jpg", crowd, found([(A, CAT, 0.5), (B, DOG, 0.4)], masks=pixels(A, B)))
    return evaluator


def test_masks() -> None:
    evaluator = masks_fed(errors=True)
    records = error_types(evaluator).records
    assert [(r.image, r.kind, r.number, r.partner, r.iou) for r in records] == [
        ("b.jpg", "Cls", 0, 0, 1.0), ("b.jpg", "Loc", 1, 1, 0.4),
    ]  # fmt: skip
    assert confusion(evaluator).matrix.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_keeping_overlaps_across_classes_changes_no_score() -> None:
    with_them, without = masks_fed(errors=True).score(), masks_fed(errors=False).score()
    assert with_them.record() == without.record()


def test_masks_without_their_overlaps_are_an_error() -> None:
    for ask in (error_types, confusion):
        with pytest.raises(PellucidError, match=r"COCO, masks: overlaps with other classes were not kept.*errors=True"):
            ask(masks_fed(errors=False))


def test_keypoints() -> None:
    classes = Classes(("person", "ape"))
    points = torch.tensor([[5.0, 5.0, 2.0]]).repeat(17, 1)[None]
    labels = torch.tensor([0, 0])
    there = Instances(torch.tensor([A, A]).float(), labels, keypoints=torch.cat((points, points * 0)))
    said = found([(A, 1, 0.9), (A, 0, 0.8)], classes, keypoints=torch.cat((points, points + 80)))
    evaluator = DetectionEvaluator(classes, "coco-keypoints", errors=True)
    evaluator.add("a.jpg", Annotations((100, 100), classes, instances=there), said)
    records = error_types(evaluator).records
    assert [(r.kind, r.number, r.partner) for r in records] == [("Cls", 0, 0), ("Bkg", 1, None)]


def test_score_and_matches_give_the_same() -> None:
    evaluator = fed(([(A, CAT)], [(A, DOG, 0.5), (B, CAT, 0.4)]))
    score = evaluator.score()
    for analysis in (score.errors(), error_types(score.matches), error_types(evaluator)):
        assert analysis.counts["Cls"] == analysis.counts["Bkg"] == 1
    for made in (score.confusion(score_threshold=0.45), confusion(evaluator, score_threshold=0.45)):
        assert made.matrix[CAT, DOG] == made.matrix.sum() == 1
        assert made.names == ("cat", "dog", "cow", "background")
    assert confusion(score.matches).names[0] == "class 0"


boxes = st.tuples(*[st.integers(0, 6)] * 4).map(lambda b: (b[0], b[1], b[0] + b[2] + 1, b[1] + b[3] + 1))
truth_lists = st.lists(st.tuples(boxes, st.integers(0, 2), st.sampled_from(["", "", "crowd"])), max_size=5)
found_lists = st.lists(st.tuples(boxes, st.integers(0, 2), st.sampled_from([0.25, 0.5, 0.75])), max_size=6)
image_lists = st.lists(st.tuples(truth_lists, found_lists), min_size=1, max_size=4)


def same(one: ErrorAnalysis, other: ErrorAnalysis) -> None:
    assert one.record() == other.record()
    assert [r.record() for r in one.records] == [r.record() for r in other.records]


@settings(deadline=None, max_examples=60)
@given(image_lists)
def test_shards_and_order_change_nothing(images: list[tuple[Objects, Objects]]) -> None:
    whole = fed(*images)
    merged: DetectionEvaluator | None = None
    for i in reversed(range(len(images))):
        shard = DetectionEvaluator(CLASSES)
        shard.add(f"{i}.jpg", truths(images[i][0]), found(images[i][1]))
        shard = pickle.loads(pickle.dumps(shard))
        if merged is None:
            merged = shard
        else:
            merged.merge(shard)
    assert merged is not None
    same(error_types(whole), error_types(merged))
    assert (confusion(whole).matrix == confusion(merged).matrix).all()


def overlap(one: tuple, other: tuple, *, own: bool = False) -> Fraction:
    """IoU of boxes at whole pixels; ``own``: intersection over the area of the first."""
    w = min(one[2], other[2]) - max(one[0], other[0])
    h = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(w, 0) * max(h, 0)
    area, other_area = ((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return Fraction(shared, area if own else area + other_area - shared)


def right_and_ignored(there: Objects, said: Objects) -> tuple[set[int], set[int]]:
    """The places of detections that are right, and of those that are ignored, told in plain words."""
    free = [(box, label) for box, label, flag in there if not flag]
    crowds = [(box, label) for box, label, flag in there if flag]
    right, ignored = set(), set()
    for n in sorted(range(len(said)), key=lambda n: -said[n][2]):
        box, label, _ = said[n]
        able = [t for t in free if t[1] == label and overlap(box, t[0]) >= Fraction(1, 2)]
        if able:
            free.remove(max(able, key=lambda t: overlap(box, t[0])))
            right.add(n)
        elif any(of == label and overlap(box, crowd, own=True) > Fraction(1, 2) for crowd, of in crowds):
            ignored.add(n)
    return right, ignored


@settings(deadline=None, max_examples=100)
@given(image_lists)
def test_every_detection_that_is_wrong_has_one_record_and_ignored_ones_change_nothing(images: list) -> None:
    analysis = error_types(fed(*images))
    told = [right_and_ignored(*image) for image in images]
    wrong = [set(range(len(said))) - right - ignored for (_, said), (right, ignored) in zip(images, told, strict=True)]
    records = [(r.image, r.number) for r in analysis.records if r.kind != "Miss"]
    assert sorted(records) == sorted((f"{i}.jpg", n) for i, found in enumerate(wrong) for n in found)
    without = [
        ([t for t in there if not t[2]], [d for n, d in enumerate(said) if n not in ignored])
        for (there, said), (_, ignored) in zip(images, told, strict=True)
    ]
    cleaned = error_types(fed(*without))
    assert cleaned.counts == analysis.counts
    assert cleaned.cost == pytest.approx(analysis.cost, abs=1e-15, nan_ok=True)
    assert cleaned.average_precision == pytest.approx(analysis.average_precision, abs=1e-15, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(image_lists)
def test_every_truth_is_in_one_cell_of_its_row(images: list[tuple[Objects, Objects]]) -> None:
    made = confusion(fed(*images)).matrix
    counted = [label for there, _ in images for _, label, flag in there if not flag]
    assert made[:-1].sum(1).tolist() == np.bincount(counted, minlength=3).tolist()
    assert made[:, :-1].sum() <= sum(len(said) for _, said in images)
    assert made[-1, -1] == 0


def matrix(there: Objects, said: Objects, **options: float) -> list[list[int]]:
    return confusion(fed((there, said)), **options).matrix.tolist()


def cells(there: Objects, said: Objects, **options: float) -> dict[tuple[int, int], int]:
    made = np.array(matrix(there, said, **options))
    return {(int(i), int(j)): int(made[i, j]) for i, j in np.argwhere(made)}


@pytest.mark.parametrize(
    ("there", "said", "expected"),
    [
        pytest.param([(A, CAT)], [(A, CAT, 0.5)], {(CAT, CAT): 1}, id="right"),
        pytest.param([(A, CAT)], [(A, DOG, 0.5)], {(CAT, DOG): 1}, id="confused"),
        pytest.param([(A, CAT)], [(B, DOG, 0.5)], {(CAT, NONE): 1, (NONE, DOG): 1}, id="missed and made up"),
        pytest.param([(A, CAT)], [(A, CAT, 0.2)], {(CAT, NONE): 1}, id="below the score"),
        pytest.param([(A, CAT)], [(A, CAT, 0.25)], {(CAT, CAT): 1}, id="at the score"),
        pytest.param([(A, CAT)], [((0, 0, 10, 5), CAT, 0.5)], {(CAT, CAT): 1}, id="at the threshold"),
        pytest.param([(A, CAT)], [(A, DOG, 0.9), (A, CAT, 0.5)], {(CAT, DOG): 1, (NONE, CAT): 1}, id="by score"),
        pytest.param([(A, CAT), (A, DOG)], [(A, DOG, 0.5)], {(DOG, DOG): 1, (CAT, NONE): 1}, id="own class at a tie"),
        pytest.param([(A, DOG), (A, CAT)], [(A, DOG, 0.5)], {(DOG, DOG): 1, (CAT, NONE): 1}, id="the other way round"),
        pytest.param([(A, CAT), (A, DOG)], [(A, COW, 0.5)], {(CAT, COW): 1, (DOG, NONE): 1}, id="else the first"),
        pytest.param(
            [((0, 0, 10, 9), CAT), (A, DOG)], [(A, CAT, 0.5)], {(DOG, CAT): 1, (CAT, NONE): 1}, id="the higher IoU"
        ),
        pytest.param(
            [((0, 0, 10, 9), CAT), (A, DOG)], [(A, DOG, 0.9), (A, CAT, 0.5)], {(DOG, DOG): 1, (CAT, CAT): 1}, id="free"
        ),
        pytest.param([(A, CAT, "crowd")], [((1, 1, 3, 3), DOG, 0.5)], {}, id="in a crowd, of any class"),
        pytest.param([(A, CAT, "difficult")], [(A, CAT, 0.5)], {}, id="difficult"),
        pytest.param([((0, 0, 20, 20), CAT, "crowd"), (A, DOG)], [(A, DOG, 0.5)], {(DOG, DOG): 1}, id="truths first"),
    ],
)  # fmt: skip
def test_confusion(there: Objects, said: Objects, expected: dict[tuple[int, int], int]) -> None:
    assert cells(there, said) == expected


def test_confusion_with_thresholds() -> None:
    there, said = [(A, CAT)], [((0, 0, 10, 6), DOG, 0.1)]
    assert cells(there, said, score_threshold=0.05) == {(CAT, DOG): 1}
    assert cells(there, said, score_threshold=0.05, iou_threshold=0.7) == {(CAT, NONE): 1, (NONE, DOG): 1}
    with pytest.raises(PellucidError, match="IoU threshold 0; give one above 0"):
        matrix(there, said, iou_threshold=0)


def test_confusion_as_shares() -> None:
    made = Confusion(np.array([[3, 1, 0], [0, 0, 0], [1, 0, 0]]), ("a", "b", "background"), 0.5, 0.25)
    assert made.normalised()[0].tolist() == [0.75, 0.25, 0]
    assert np.isnan(made.normalised()[1]).all()
    assert made.normalised("prediction")[:, 0].tolist() == [0.75, 0, 0.25]
    assert np.isnan(made.normalised("prediction")[:, 2]).all()
    with pytest.raises(PellucidError, match="give truth or prediction"):
        made.normalised("rows")  # type: ignore[arg-type]
    assert json.loads(json.dumps(made.record()))["matrix"] == [[3, 1, 0], [0, 0, 0], [1, 0, 0]]
