"""Objectives of objects, and the explanation of many of them at once."""

from typing import Any

import pytest
import torch
from torch import Tensor

from pellucid import PellucidError, explain
from pellucid.explain.forward import followed, objective_values
from pellucid.explain.objectives import Objective
from pellucid.explain.rectifiers import UndefinedMethodError
from pellucid.explain.subject import Subject
from pellucid.models import Detector, build
from pellucid.structures import Classes
from pellucid.structures.keypoints import KeypointNames

TINY = {
    "min_side": 64,
    "max_side": 96,
    "box_features": 16,
    "score_threshold": 0.0,
    "detections": 20,
    "proposals_after": 100,
}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "fast": ("fast_rcnn", {"external_limit": 40}),
    "fast, RoIPool": ("fast_rcnn", {"external_limit": 40, "pooling": "pool"}),
    "fpn": ("faster_rcnn", {"channels": 8}),
    "c4": ("faster_rcnn", {"neck": "none", "head": "stage", "proposals_after": 12}),
    "soft": ("faster_rcnn", {"channels": 8, "suppression": "soft-gaussian"}),
    "adaptive": ("faster_rcnn", {"channels": 8, "convention": "detectron2"}),
    "mask": ("mask_rcnn", {"channels": 8, "mask_channels": 8}),
    "keypoint": ("keypoint_rcnn", {"channels": 8, "keypoint_channels": 8}),
}


def made(name: str) -> Detector:
    torch.manual_seed(0)
    recipe, settings = RECIPES[name]
    points = (KeypointNames(("x", "y", "z")),) * 3 if name == "keypoint" else ()
    model = build(recipe, Classes(("a", "b", "c"), keypoints=points), pretrained=False, **{**TINY, **settings}).eval()
    for parameter in model.network.predictor.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter, std=0.3)  # so that objects differ
    return model


def photo() -> Tensor:
    return torch.rand(3, 50, 70, generator=torch.Generator().manual_seed(1))


def objectives(name: str, count: int) -> list[Objective]:
    asked = [explain.detection(k) for k in range(count)]
    asked += [explain.instead_of("a", "b", 0), explain.missed((10, 10, 40, 45), "c"), 2 * explain.detection(1)]
    if name == "mask":
        asked += [explain.mask(k) for k in range(4)]
    if name == "keypoint":
        asked += [explain.keypoint(k, 1) for k in range(4)]
    return asked


@pytest.mark.parametrize("name", RECIPES)
def test_all_at_once_is_one_at_a_time(name: str) -> None:
    model = made(name)
    asked = objectives(name, 6)
    for method in ("grad_cam", "odam", "layer_cam"):
        for objective, many in zip(asked, explain.attribute_all(model, photo(), asked, method=method), strict=True):
            alone = explain.attribute(model, photo(), objective, method=method, layer=many.layer)
            assert alone.target == many.target == str(objective)
            scale = float(alone.frame_map.abs().max())
            torch.testing.assert_close(many.frame_map, alone.frame_map, rtol=0, atol=max(1e-5 * scale, 1e-12))
    assert any(float(alone.frame_map.max()) > 0 for alone in explain.attribute_all(model, photo(), asked))


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_explained_is_what_was_reported(name: str) -> None:
    model = made(name)
    said = model.predict([photo()])[0].instances
    assert said is not None
    assert said.scores is not None
    subject = Subject(model, photo())
    count = min(len(said), 8)
    asked = [explain.detection(k) for k in range(count)]
    scores = objective_values(subject, subject.frame, asked, probabilities=True)[0]
    if name != "soft":  # soft suppression lowers what is reported
        assert scores.tolist() == said.scores[:count].tolist()
    odds = objective_values(subject, subject.frame, asked)[0]
    torch.testing.assert_close(odds.sigmoid(), scores)
    edges: list[explain.Objective] = [explain.box_edge(0, "left"), explain.box_edge(0, "bottom")]
    assert objective_values(subject, subject.frame, edges)[0].tolist() == said.boxes[0, [0, 3]].tolist()


@pytest.mark.parametrize("fitted", [False, True])
def test_the_crops_of_rcnn_are_explained_one_by_one(fitted: bool) -> None:
    torch.manual_seed(0)
    model: Any = build("rcnn", Classes(("a", "b")), pretrained=False, proposals=12, crop_size=64, score_threshold=0.01)
    network = model.eval().network
    for tensor in (network.classifier.weight, network.svm_weight, network.box_weight):
        torch.nn.init.normal_(tensor.detach(), std=0.2)
    network.fitted.fill_(float(fitted))
    network.scale.fill_(1.0)
    network.box_scale.fill_(0.05)
    said = model.predict([photo()])[0].instances
    subject = Subject(model, photo())
    (one,) = model.traced(subject.frame, subject.placements)
    trace = one.trace
    assert one.instances.boxes.tolist() == model(photo()[None])[0].instances.boxes.tolist()
    assert trace.scores[trace.rows, trace.labels].tolist() == said.scores.tolist()
    count = min(len(trace), 5)
    asked = [explain.detection(k) for k in range(count)]
    odds = objective_values(subject, subject.frame, asked)[0]
    torch.testing.assert_close(odds.sigmoid(), said.scores[:count])
    many = explain.attribute_all(model, photo(), [*asked, explain.missed((5, 5, 40, 45), "b")])
    for k, (objective, found) in enumerate(zip(asked, many, strict=False)):
        alone = explain.attribute(model, photo(), objective)
        torch.testing.assert_close(found.frame_map, alone.frame_map, rtol=1e-4, atol=1e-6)
        place = trace.places[trace.rows[k]]
        x1, y1, x2, y2 = [round(v) for v in place.tolist()]
        assert (
            float(found.frame_map[y1:y2, x1:x2].sum()) > 0.5 * float(found.frame_map.sum()) or not found.frame_map.any()
        )
        # by hand, from the crop on
        maps = network.trunk(model.crops(model.normalised(subject.frame[0]))(place[None])).detach().requires_grad_()
        judged = model.judged_features(*network.pooled(maps), place[None])
        own = judged.log_odds(torch.tensor([0]), trace.labels[k : k + 1])
        (gradient,) = torch.autograd.grad(own.sum(), maps)
        expected = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()
        assert (float(expected.detach().max()) > 0) == (float(found.frame_map.max()) > 0)
    assert many[0].layer == "trunk"
    assert float(explain.attribute(model, photo(), explain.box_edge(0, "left"), method="saliency").map.max()) > 0
    assert trace.fate((5.0, 5.0, 40.0, 45.0), 1, 0.3).reason in {"found", *trace.reasons}
    assert [step.name for step in trace.origin(0)] == ["class", "region", "proposal"]


def test_log_odds_are_exact_where_scores_are_1() -> None:
    model = made("fpn")
    with torch.no_grad():
        model.network.predictor.logits.bias[0] = 40.0  # type: ignore[union-attr]
    subject = Subject(model, photo())
    value = objective_values(subject, subject.frame, [explain.detection(0)])[0, 0]
    assert 20 < float(value) < 80
    assert float(explain.attribute(model, photo(), explain.detection(0)).frame_map.max()) > 0


def test_every_gradient_method_explains_every_output() -> None:
    model = made("mask")
    asked = [explain.detection(0), explain.mask(0), explain.box_edge(0, "top")]
    for method in ("saliency", "guided_backprop", "integrated_gradients", "smooth_grad"):
        options = {"steps": 2} if method == "integrated_gradients" else {"samples": 2} if "smooth" in method else {}
        for one in explain.attribute_all(model, photo(), asked[:2] if options else asked, method=method, **options):
            assert one.map.shape[-2:] == (50, 70)
            assert float(one.frame_map.abs().max()) > 0, (method, one.target)


def test_a_mask_pixel_is_its_logit() -> None:
    model = made("mask")
    said = model.predict([photo()])[0].instances
    assert said is not None
    assert said.mask_logits is not None
    x1, y1, x2, y2 = said.boxes[0].tolist()
    M = said.mask_logits.shape[-1]
    row, column = 5, 9  # where its middle lies on the photo
    at = (y1 + (row + 0.5) * (y2 - y1) / M - 0.5, x1 + (column + 0.5) * (x2 - x1) / M - 0.5)
    subject = Subject(model, photo())
    value = objective_values(subject, subject.frame, [explain.mask(0, at)])[0, 0]
    torch.testing.assert_close(value, said.mask_logits[0, row, column], rtol=1e-3, atol=1e-5)
    with pytest.raises(PellucidError, match="is not in its box"):
        explain.attribute(model, photo(), explain.mask(0, (-4, 0)), method="saliency")


def test_in_changed_images_an_objective_follows_its_object() -> None:
    model = made("fpn")
    subject = Subject(model, photo())
    (there,) = followed(subject, subject.frame, [explain.detection(3)])
    assert str(there) == "detection 3"
    trace = model.traced(subject.frame, subject.placements)[0].trace  # type: ignore[operator]
    box, label = trace.boxes_of(int(trace.labels[3]))[trace.rows[3]].tolist(), int(trace.labels[3])
    other = subject.frame.flip(0) * 0.3
    wanted = objective_values(subject, other, [explain.missed(box, label)])
    assert objective_values(subject, other, [there]).tolist() == wanted.tolist()
    edge, both = followed(
        subject, subject.frame, [explain.box_edge(3, "left"), explain.detection(3) - explain.detection(0)]
    )
    assert float(objective_values(subject, subject.frame, [edge])) != 0
    assert both.following is None


def test_black_boxes_are_explained_by_what_they_report() -> None:
    model = made("fpn")
    asked = [explain.detection(0), explain.missed((10, 10, 40, 45), "c")]
    maps = explain.attribute_all(model, photo(), asked, method="d_rise", masks=6, cells=4)
    assert all(one.map.shape == (50, 70) and float(one.map.abs().max()) > 0 for one in maps)
    with pytest.raises(UndefinedMethodError, match="is no object"):
        explain.attribute(model, photo(), explain.instead_of("a", "b", 0), method="d_rise")


def test_faithfulness_of_a_detection() -> None:
    model = made("c4")
    asked = [explain.detection(0)]
    maps = explain.attribute_all(model, photo(), asked)
    (checked,) = explain.check(model, photo(), asked, maps, steps=2, stages=2)
    assert 0 <= checked.deletion.values[0] <= 1
    assert checked.randomisation.kept == checked.randomisation.kept


def test_what_cannot_be_asked_is_said() -> None:
    model = made("fpn")
    with pytest.raises(PellucidError, match=r"reports 20 objects, 0 to 19"):
        explain.attribute(model, photo(), explain.detection(20))
    with pytest.raises(PellucidError, match="gives no masks"):
        explain.attribute(model, photo(), explain.mask(0))
    with pytest.raises(PellucidError, match="gives no keypoints"):
        explain.attribute(model, photo(), explain.keypoint(0, 0), method="saliency")
    with pytest.raises(PellucidError, match="unknown class"):
        explain.attribute(model, photo(), explain.missed((0, 0, 9, 9), "dog"))
    with pytest.raises(PellucidError, match="x1 < x2"):
        explain.missed((9, 0, 3, 9), "a")
    with pytest.raises(PellucidError, match="left, top, right, bottom"):
        explain.box_edge(0, "upper")  # type: ignore[arg-type]
    with pytest.raises(PellucidError, match="number of a detection"):
        explain.detection(-1)
    with pytest.raises(PellucidError, match="reports no objects"):
        explain.attribute(torch.nn.Conv2d(3, 4, 1), photo(), explain.detection(0), method="saliency")
    empty = made("fpn")
    empty.choices = type(empty.choices)(**{**vars(empty.choices), "score_threshold": 0.9999})  # type: ignore[attr-defined, operator]
    with pytest.raises(PellucidError, match="reports no object in this photo"):
        explain.attribute(empty, photo(), explain.detection(0))
    assert float(explain.attribute(empty, photo(), explain.missed((10, 10, 40, 45), "c")).frame_map.max()) >= 0


def test_the_model_is_as_it_was() -> None:
    model = made("mask").train()
    before = {key: value.clone() for key, value in model.network.state_dict().items()}
    explain.attribute_all(model, photo(), [explain.detection(0), explain.mask(0)])
    assert model.training
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.network.state_dict().items())


def test_the_layers_of_a_detector_are_searched_batch_by_batch() -> None:
    model = made("fpn")
    photos = [torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    layer = "neck.lateral.0"
    found = explain.search(model, photos, layers=[layer], objectives=[explain.detection(0)], k=3, batch_size=1)
    expected = []
    for one in photos:
        with explain.watch(model.network, [layer]) as seen:
            expected.append(float(seen(*model.prepare([one]), through=model.from_frame)[layer][0, 0].max()))
    assert [hit.value for hit in found.top(layer, 0)] == pytest.approx(sorted(expected, reverse=True), rel=1e-4)
    assert len({hit.value for hit in found.top_objective("detection 0")}) == 3


@pytest.mark.parametrize("name", ["fpn", "mask", "keypoint"])
def test_edges_masks_and_keypoints_are_looked_at_and_checked_where_they_were_read(name: str) -> None:
    model = made(name)
    score = explain.attribute(model, photo(), explain.detection(0))
    asked = [explain.box_edge(0, "left"), explain.detection(0)]
    edge, same = explain.attribute_all(model, photo(), asked)  # not separable together
    assert edge.layer == same.layer == score.layer
    assert float(edge.map.abs().max()) > 0
    parts = {"fpn": explain.box_edge(1, "top"), "mask": explain.mask(1), "keypoint": explain.keypoint(1, 2)}
    part = parts[name]
    (map_,) = explain.attribute_all(model, photo(), [part])
    assert str(map_.layer).startswith("neck.output.")
    (checked,) = explain.check(model, photo(), [part], [map_], steps=3, stages=2)
    assert checked.deletion.values[0] == pytest.approx(checked.insertion.values[-1], abs=1e-4)
    if name != "keypoint":
        assert all(0 <= value <= 1 for value in checked.deletion.values + checked.insertion.values)
    if name == "fpn":
        assert checked.deletion.values[0] == pytest.approx(1)  # an edge keeps its place where nothing is hidden
