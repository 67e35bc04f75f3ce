"""Why two protocols differ: each cause alone, what it says, and that the causes add up."""

import math

import pytest
import torch

from pellucid.errors import PellucidError
from pellucid.metrics import PROTOCOLS, evaluate
from pellucid.metrics.differences import differences
from pellucid.structures import Annotations, Classes, Instances, columns_of

ONE = Classes(("thing",))


def columns(rows, scores=None, **marks):
    n = len(rows)
    flags = {name: torch.tensor([i in found for i in range(n)], dtype=torch.bool) for name, found in marks.items()}
    objects = Instances(
        torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(n, dtype=torch.int64),
        scores=None if scores is None else torch.tensor(scores),
        **flags,
    )
    return columns_of(ONE, ["a.jpg"], [Annotations((400, 400), ONE, instances=objects)])


def split(truths, found, first="coco", second="voc2012", **options):
    made = differences(truths, found, PROTOCOLS[first], PROTOCOLS[second], **options)
    assert math.fsum(cause.effect for cause in made.causes) == pytest.approx(made.difference, abs=1e-12)
    return made, {cause.name: cause for cause in made.causes}


def test_the_two_ends_are_the_protocols_own_figures():
    truths = columns([(0, 0, 10, 10), (50, 50, 90, 90)])
    found = columns([(0, 0, 10, 7), (50, 50, 90, 80), (50, 52, 90, 90)], [0.9, 0.8, 0.7])
    made, _ = split(truths, found)

    class Whole(list):
        def __init__(self, whole):
            self.columns = lambda: whole
            self.names, self.ids, self.classes = whole.names, [None], ONE

        def __len__(self):
            return 1

    ends = [evaluate(Whole(truths), Whole(found), name) for name in ("coco", "voc2012")]
    assert made.values == (
        pytest.approx(ends[0].summary["AP"], abs=1e-12),
        pytest.approx(ends[1].summary["mAP"], abs=1e-12),
    )


def test_the_pixel_that_is_added():
    # Corners 0 to 9 against 0 to 4: 36 / 81 without it, 50 / 100 with it.
    made, causes = split(columns([(0, 0, 9, 9)]), columns([(0, 0, 9, 4)], [0.9]))
    cause = causes["the +1 of pixels"]
    assert made.values == (0, 1)
    assert (cause.first, cause.second) == ("x2 − x1", "x2 − x1 + 1")
    assert cause.changed == 1
    one = cause.detections[0]
    assert (one.image, one.number, one.label, one.before, one.after) == ("a.jpg", 0, "thing", "wrong", "right")
    assert one.box == (0, 0, 9, 4)


def test_which_truth_may_be_taken():
    truths = columns([(0, 0, 99, 99), (20, 0, 119, 99)])
    found = columns([(0, 0, 99, 99), (5, 0, 104, 99)], [0.9, 0.8])
    _, causes = split(truths, found, "voc2012", "coco")
    cause = causes["which truth a detection may take"]
    assert cause.alone == pytest.approx(0.5)
    assert [(one.number, one.before, one.after) for one in cause.detections] == [(1, "wrong", "right")]


def test_crowds_and_limits():
    truths = columns([(0, 0, 100, 100), (200, 200, 220, 220)], crowd=(0,))
    boxes = [(i % 10, i // 10, i % 10 + 50, i // 10 + 50) for i in range(105)] + [(200, 200, 220, 220)]
    found = columns(boxes, [0.9] * 105 + [0.1])
    made, causes = split(truths, found)
    crowd = causes["difficult, crowd and groups"]
    assert crowd.changed == 100  # beyond the limit of a hundred nothing counts
    assert {one.before for one in crowd.detections} == {"ignored"}
    limits = causes["limits and empty boxes"]
    assert limits.first.startswith("the best 100 of an image and class")
    assert limits.alone == pytest.approx(1, abs=1e-6)  # the one detection of the truth was cut off
    assert {one.before for one in limits.detections} == {"not counted"}
    assert made.record()["causes"][0]["name"] in causes


def test_interpolation_decides_no_detection():
    truths = columns([(0, 0, 50, 50), (100, 0, 150, 50), (200, 0, 250, 50)])
    found = columns([(0, 0, 50, 50), (300, 300, 350, 350), (100, 0, 150, 50)], [0.9, 0.8, 0.7])
    made, causes = split(truths, found, "voc2007", "voc2012")
    assert list(causes) == ["interpolation"]
    assert causes["interpolation"].changed == 0
    assert made.values[0] != made.values[1]


def test_a_protocol_does_not_differ_from_itself():
    made, causes = split(columns([(0, 0, 9, 9)]), columns([(0, 0, 9, 9)], [0.5]), "coco", "coco")
    assert made.difference == 0
    assert causes == {}


def test_boxes_and_masks_cannot_be_compared():
    with pytest.raises(PellucidError, match="coco compares boxes, coco-segm masks"):
        split(columns([]), columns([], []), "coco", "coco-segm")
