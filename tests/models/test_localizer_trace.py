"""The trace of a localizer: what explains its class and its box, and why its object was missed."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import PellucidError, explain
from pellucid.explain.attribution import explain_subject
from pellucid.explain.forward import objective_values
from pellucid.explain.subject import Subject
from pellucid.models import build
from pellucid.structures import Classes


def made(**settings: Any) -> Any:
    torch.manual_seed(0)
    given = {"size": 64, "cells": 2, "hidden": 16, "guesses": 2, **settings}
    model: Any = build("localizer", Classes(("cat", "dog", "cow")), pretrained=False, **given)
    for layer in (model.network.classifier, model.network.boxes[-1]):
        torch.nn.init.normal_(layer.weight, std=0.3)  # so that classes differ
    return model.eval()


def photo() -> Tensor:
    return torch.rand(3, 50, 70, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("per_class", [False, True])
def test_what_is_explained_is_what_was_reported(per_class: bool) -> None:
    model = made(per_class=per_class)
    said = model.predict([photo()])[0].instances
    subject = Subject(model, photo())
    asked = [explain.detection(k) for k in range(2)]
    scores = objective_values(subject, subject.frame, asked, probabilities=True)[0]
    assert scores.tolist() == said.scores.tolist()
    torch.testing.assert_close(objective_values(subject, subject.frame, asked)[0].sigmoid(), scores)
    for k in range(2):
        edges: list[explain.Objective] = [explain.box_edge(k, "left"), explain.box_edge(k, "bottom")]
        assert objective_values(subject, subject.frame, edges)[0].tolist() == said.boxes[k, [0, 3]].tolist()
    (kept,) = subject.keep()
    assert kept.trace is not None
    assert kept.trace.boxes.shape == (1, 3 if per_class else 1, 4)
    again = model.from_trace(kept.trace)
    assert torch.equal(again.instances.boxes, said.boxes)
    assert torch.equal(again.logits, kept.logits)
    assert model.thresholds == {}
    with pytest.raises(PellucidError, match="it has none"):
        model.choosing(score=0.5)
    assert [step.name for step in kept.trace.origin(0)] == ["class", "box", "photo"]
    assert "of the width" in kept.trace.origin(0)[1].text


def test_maps_are_those_of_the_trunk() -> None:
    model = made()
    asked = [explain.detection(0), explain.detection(1), explain.instead_of("cat", "cow", 0)]
    asked.append(explain.missed((10, 10, 40, 45), "cow"))
    for method in ("grad_cam", "odam", "layer_cam"):
        for objective, many in zip(asked, explain.attribute_all(model, photo(), asked, method=method), strict=True):
            alone = explain.attribute(model, photo(), objective, method=method, layer="trunk")
            assert many.layer == "trunk"
            scale = float(alone.frame_map.abs().max())
            torch.testing.assert_close(many.frame_map, alone.frame_map, rtol=0, atol=max(1e-5 * scale, 1e-12))
    for edge in ("left", "bottom"):
        of_edge = explain.attribute(model, photo(), explain.box_edge(0, edge))
        assert of_edge.layer == "trunk"
        assert float(of_edge.map.abs().max()) > 0
        assert float(explain.attribute(model, photo(), explain.box_edge(0, edge), method="saliency").map.max()) > 0
    both = explain.attribute_all(model, photo(), asked, method="saliency")
    assert all(float(one.map.max()) > 0 for one in both)
    # what is remembered is enough: the network is not run again
    subject = Subject(model, photo())
    subject.keep()
    runs: list[object] = []
    handle = model.network.trunk.register_forward_hook(lambda *_: runs.append(1))
    (one, *_) = explain_subject(subject, asked)
    handle.remove()
    assert not runs
    assert float((one.frame_map - explain.attribute(model, photo(), asked[0]).frame_map).abs().max()) < 1e-6


def test_scores_near_1_are_not_rounded_and_a_single_class_is_refused() -> None:
    model = made()
    with torch.no_grad():
        model.network.classifier.bias[1] += 60
    subject = Subject(model, photo())
    value = float(objective_values(subject, subject.frame, [explain.detection(0)])[0, 0])
    assert 30 < value < 90
    only = build("localizer", Classes(("cat",)), pretrained=False, size=64, cells=2, hidden=16)
    with pytest.raises(PellucidError, match="its probability always 1"):
        explain.attribute(only, photo(), explain.detection(0))
    assert float(explain.attribute(only, photo(), explain.box_edge(0, "top"), method="saliency").map.max()) > 0


def test_the_fate_of_an_object() -> None:
    model = made(guesses=1)
    (one,) = Subject(model, photo()).keep()
    trace, objects = one.trace, one.instances
    assert trace is not None
    assert objects is not None
    assert objects.scores is not None
    box, label = objects.boxes[0].tolist(), int(objects.labels[0])
    other, name = (label + 1) % 3, one.classes.names[label]
    score = float(objects.scores[0])
    assert trace.fate(box, label).reason == "found"
    wrong = trace.fate(box, other)
    assert wrong.reason == "scored as another class"
    assert f"said: {name} {score:.2f}" in wrong.text
    assert "IoU of 1.00" in wrong.text
    assert wrong.score == pytest.approx(float(trace.scores[0, other]))
    x1, y1, x2, y2 = box
    half = (x1, y1, x1 + 0.4 * (x2 - x1), y2)
    away = trace.fate(half, label)
    assert away.reason == "box elsewhere"
    assert "IoU of 0.40" in away.text
    assert trace.fate(half, label, 0.3).reason == "found"
    assert {wrong.reason, away.reason} <= set(trace.reasons)
