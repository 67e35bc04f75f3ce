"""The recall waterfall, and the fate of each object in the trace of a detector of regions."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import PellucidError
from pellucid.metrics.detection.waterfall import TAKEN, recall_waterfall
from pellucid.models import build
from pellucid.structures import Annotations, Classes, Instances
from pellucid.structures.trace import FOUND

CLASSES = Classes(("a", "b"))


def model(**settings: Any) -> Any:
    torch.manual_seed(0)
    made = build(
        "faster_rcnn",
        CLASSES,
        pretrained=False,
        **{"min_side": 64, "max_side": 64, "channels": 8, "box_features": 16, "score_threshold": 0.0, **settings},
    ).eval()
    for parameter in made.network.predictor.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def photo(seed: int = 1) -> Tensor:
    return torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(seed))


def truth(boxes: list[list[float]], labels: list[int], **flags: Tensor) -> Annotations:
    return Annotations((64, 64), CLASSES, instances=Instances(torch.tensor(boxes), torch.tensor(labels), **flags))


def traced(detector: Any, image: Tensor) -> Annotations:
    with torch.no_grad():
        said: Annotations = detector.traced(*detector.prepare([image]))[0]
    return said


def test_every_object_is_found_or_lost_somewhere() -> None:
    detector = model(detections=5)
    generator = torch.Generator().manual_seed(0)
    truths, said = [], []
    for seed in range(3):
        corners = torch.rand(30, 2, generator=generator) * 50
        boxes = torch.cat((corners, corners + 4 + torch.rand(30, 2, generator=generator) * 40), 1).clamp(max=64)
        labels = torch.randint(0, 2, (30,), generator=generator)
        truths.append(truth(boxes.tolist(), labels.tolist()))
        said.append(traced(detector, photo(seed)))
    found = recall_waterfall(truths, said)
    assert found.total == 90 == found.found + sum(found.lost.values())
    assert len(found.objects) == sum(found.lost.values())
    assert list(found.remaining.values())[-1] == found.found
    assert list(found.lost)[:-1] == list(said[0].trace.reasons)  # type: ignore[union-attr]
    assert len([reason for reason, count in found.lost.items() if count]) >= 3
    assert 0 < found.recall < 1


def test_objects_are_lost_at_the_stage_that_lost_them() -> None:
    detector = model()
    base = detector.choices
    said = traced(detector, photo())
    assert said.trace is not None
    place = tuple(said.instances.boxes[0].tolist())  # type: ignore[union-attr]
    label = int(said.instances.labels[0])  # type: ignore[union-attr]
    assert said.trace.fate(place, label).reason == FOUND

    def fate(box: Any = place, own: int = label, **choices: Any) -> str:
        detector.choices = replace(base, **choices)
        detector.network.proposer.settings = detector.choices
        return traced(detector, photo()).trace.fate(box, own).reason  # type: ignore[union-attr]

    assert fate(score_threshold=0.9999) in ("scored as background", "scored as another class", "below the threshold")
    assert fate((0.0, 0.0, 1.0, 1.0)) == "no anchor near"
    reasons = {
        fate(tuple(box), own, detections=3, proposals_before=before, proposals_after=after, proposal_iou=iou)
        for before, after, iou in ((1000, 1000, 0.7), (2, 1000, 0.7), (1000, 2, 0.7), (1000, 1000, 0.05))
        for box, own in ((place, label), ([20.0, 20.0, 44.0, 44.0], 0), ([0.0, 0.0, 45.0, 23.0], 1))
    }
    assert {"cut before the proposals' suppression", "cut after the proposals' suppression"} <= reasons


def test_what_suppression_took_names_the_box_that_was_kept() -> None:
    detector = model(iou_threshold=0.3)
    said = traced(detector, photo())
    trace, objects = said.trace, said.instances
    assert trace is not None
    assert objects is not None
    met = 0
    for row in range(len(trace.scores)):
        for label in range(2):
            fate = trace.fate(trace.boxes_of(label)[row].tolist(), label, 0.9)
            if fate.reason == "suppressed" and fate.by is not None:
                met += 1
                assert int(objects.labels[fate.by]) == label
                assert fate.score is not None
                assert float(objects.scores[fate.by]) >= fate.score  # type: ignore[index]
    assert met


def test_two_objects_of_one_detection_and_those_that_do_not_count() -> None:
    detector = model(detections=1)
    said = traced(detector, photo())
    box, label = said.instances.boxes[0].tolist(), int(said.instances.labels[0])  # type: ignore[union-attr]
    found = recall_waterfall([truth([box, box], [label, label])], [said])
    assert (found.total, found.found, found.lost[TAKEN]) == (2, 1, 1)
    crowd = truth([box, box], [label, label], crowd=torch.tensor([False, True]))
    assert recall_waterfall([crowd], [said]).total == 1
    nothing = recall_waterfall([Annotations((64, 64), CLASSES)], [said])
    assert nothing.total == 0
    assert nothing.recall != nothing.recall


def test_what_cannot_be_followed_is_said() -> None:
    detector = model()
    with pytest.raises(PellucidError, match="has no trace"):
        recall_waterfall([truth([[0, 0, 9, 9]], [0])], detector.predict([photo()]))
    with pytest.raises(PellucidError, match="one for each"):
        recall_waterfall([truth([[0, 0, 9, 9]], [0])], [])
    with pytest.raises(PellucidError, match="IoU 0"):
        recall_waterfall([], [], 0)
