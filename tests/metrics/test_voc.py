"""VOC's rules: the lecture's table of 24 detections over 7 images, and each trap by hand."""

import math
from dataclasses import replace

import pytest
import torch

from pellucid.metrics import evaluate
from pellucid.metrics.detection.protocols import VOC2007, VOC2012
from pellucid.structures import Annotations, Classes, Instances

ONE = Classes(("object",))
TRUTHS = {
    1: "25,16,38,56 129,123,41,62",
    2: "123,11,43,55 38,132,59,45",
    3: "16,14,35,48 123,30,49,44 99,139,47,47",
    4: "53,42,40,52 154,43,31,34",
    5: "59,31,44,51 48,128,34,52",
    6: "36,89,52,76 62,58,44,67",
    7: "28,31,55,63 58,67,50,58",
}
DETECTIONS = {
    1: ".88:5,67,31,48 .70:119,111,40,67 .80:124,9,49,67",
    2: ".71:64,111,64,58 .54:26,140,60,47 .74:19,18,43,35",
    3: ".18:109,15,77,39 .67:86,63,46,45 .38:160,62,36,53 .91:105,131,47,47 .44:18,148,40,44",
    4: ".35:83,28,28,26 .78:28,68,42,67 .45:87,89,25,39 .14:10,155,60,26",
    5: ".62:50,38,28,46 .44:95,11,53,28 .95:29,131,72,29 .23:29,163,72,29",
    6: ".45:43,48,74,38 .84:17,155,29,35 .43:95,110,25,42",
    7: ".48:16,20,101,88 .95:33,116,37,49",
}


def boxes(texts) -> torch.Tensor:
    made = torch.tensor([[float(v) for v in text.split(",")] for text in texts])
    made[:, 2:] += made[:, :2]
    return made


def lecture(order=tuple(TRUTHS)):
    truths, predictions = [], []
    for image in order:
        there = boxes(TRUTHS[image].split())
        said = [entry.split(":") for entry in DETECTIONS[image].split()]
        truths.append(
            Annotations((200, 200), ONE, instances=Instances(there, torch.zeros(len(there), dtype=torch.int64)))
        )
        found = Instances(
            boxes([box for _, box in said]),
            torch.zeros(len(said), dtype=torch.int64),
            scores=torch.tensor([float(score) for score, _ in said]),
        )
        predictions.append(Annotations((200, 200), ONE, instances=found))
    return truths, predictions


@pytest.mark.parametrize(
    ("protocol", "threshold", "expected"),
    [
        (VOC2012, 0.3, 0.24568668046928915),
        (VOC2007, 0.3, 0.26839826839826836),
        (VOC2012, 0.5, 0.0222222222222222),
        (VOC2007, 0.5, 0.0303030303030303),
        (replace(VOC2012, inclusive=False), 0.3, 0.22540),
        (replace(VOC2007, inclusive=False), 0.3, 0.26840),
    ],
)
def test_the_published_table(protocol, threshold, expected):
    score = evaluate(*lecture(), replace(protocol, thresholds=(threshold,)))
    assert score.summary["mAP"] == pytest.approx(expected, abs=1e-15 if len(str(expected)) > 10 else 5e-6)
    right = int((score.matches.states == 1).sum())
    assert right == (1 if threshold == 0.5 else 7 if protocol.inclusive else 6)
    assert (score.matches.states == 0).sum() == 24 - right


def test_the_order_of_images_decides_the_tie_of_the_table():
    backwards = lecture(tuple(reversed(TRUTHS)))
    values = [evaluate(*backwards, replace(p, thresholds=(0.3,))).summary["mAP"] for p in (VOC2012, VOC2007)]
    assert values == pytest.approx([0.22346, 0.23810], abs=5e-6)


def scored(truths, found, protocol=VOC2012, difficult=(), K=1):
    """The score of one image: truths as (label, box), detections as (label, score, box)."""
    classes = Classes.unnamed(K)
    marks = torch.tensor([i in difficult for i in range(len(truths))], dtype=torch.bool)
    there = Instances(
        torch.tensor([box for _, box in truths], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([label for label, _ in truths], dtype=torch.int64),
        difficult=marks,
    )
    said = Instances(
        torch.tensor([box for _, _, box in found], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([label for label, _, _ in found], dtype=torch.int64),
        scores=torch.tensor([score for _, score, _ in found], dtype=torch.float32),
    )
    size = (200, 200)
    return evaluate(
        [Annotations(size, classes, instances=there)], [Annotations(size, classes, instances=said)], protocol
    )


def states(score):
    return score.matches.states[:, 0, 0].tolist()


def test_a_taken_truth_is_not_exchanged_for_a_free_one():
    # Both detections overlap most with the first truth; the second would be free, and near enough.
    truths = [(0, (0, 0, 99, 99)), (0, (20, 0, 119, 99))]
    found = [(0, 0.9, (0, 0, 99, 99)), (0, 0.8, (5, 0, 104, 99))]
    assert states(scored(truths, found)) == [1, 0]
    assert states(scored(truths, found, "coco")) == [1, 1]


def test_at_equal_overlap_the_first_truth_is_taken():
    truths = [(0, (0, 0, 99, 99)), (0, (0, 0, 99, 99))]
    found = [(0, 0.9, (0, 0, 99, 99)), (0, 0.8, (0, 0, 99, 99))]
    assert states(scored(truths, found)) == [1, 0]  # the second detection looks at the first truth too
    assert states(scored(truths, found, difficult=(0,))) == [2, 2]  # however often


def test_an_overlap_of_one_half_is_enough():
    # 9 + 1 by 9 + 1 pixels against 9 + 1 by 4 + 1: exactly half.
    assert states(scored([(0, (0, 0, 9, 9))], [(0, 0.9, (0, 0, 9, 4))])) == [1]
    # Continuous boxes of the same corners: 36 / 81.
    assert states(scored([(0, (0, 0, 9, 9))], [(0, 0.9, (0, 0, 9, 4))], replace(VOC2012, inclusive=False))) == [0]


def test_boxes_of_pixel_counting_sources_get_no_second_pixel():
    classes = Classes.unnamed(1)

    class Counting(list):
        inclusive = True

    truth = Annotations((20, 20), classes, instances=Instances(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([0])))
    said = Instances(torch.tensor([[0.0, 0, 9, 4]]), torch.tensor([0]), scores=torch.tensor([0.5]))
    found = Annotations((20, 20), classes, instances=said)
    assert states(evaluate([truth], [found], "voc2012")) == [1]
    assert states(evaluate(Counting([truth]), [found], "voc2012")) == [0]


def test_leading_ignored_detections_leave_precision_undefined_and_out():
    truths = [(0, (0, 0, 50, 50)), (0, (100, 100, 150, 150))]
    found = [(0, 0.9, (0, 0, 50, 50)), (0, 0.8, (100, 100, 150, 150))]
    for protocol in ("voc2007", "voc2012"):
        assert scored(truths, found, protocol, difficult=(0,)).summary["mAP"] == 1


@pytest.mark.parametrize("right", [3, 6, 7])
def test_recall_at_tenths_is_decided_in_whole_numbers(right):
    # Of ten truths `right` are found: recall reaches right / 10 exactly, which no double says of 0.3, 0.6 and 0.7.
    truths = [(0, (i * 15, 0, i * 15 + 9, 9)) for i in range(10)]
    found = [(0, 1 - i / 100, (i * 15, 0, i * 15 + 9, 9)) for i in range(right)]
    assert scored(truths, found, "voc2007").summary["mAP"] == pytest.approx((right + 1) / 11, abs=1e-15)


def test_a_class_without_truth_is_left_out():
    score = scored([(0, (0, 0, 9, 9))], [(0, 0.9, (0, 0, 9, 9)), (1, 0.9, (0, 0, 9, 9))], "voc2012", K=3)
    assert score.summary["mAP"] == 1
    assert math.isnan(score.per_class["class 1"]["AP"])
    assert "detections of classes without a truth" in "\n".join(score.findings.lines())
    nothing = scored([(0, (0, 0, 9, 9))], [], difficult=(0,))
    assert math.isnan(nothing.summary["mAP"])
    assert nothing.record()["summary"] == {"mAP": None}
