"""The trace of ``rcnn-imagenet``: what explains a score, other thresholds, and why a thing was not found."""

from typing import Any

import pytest
import torch
from skimage import data
from torch import Tensor

from pellucid import PellucidError, explain
from pellucid.explain.forward import input_gradients, objective_values
from pellucid.explain.subject import Subject
from pellucid.models.region.imagenet_judging import Evidence, Judged, Looks
from pellucid.models.region.imagenet_proposals import rcnn_imagenet
from pellucid.models.region.imagenet_trace import ImagenetTrace
from pellucid.models.region.rcnn_crops import CONTEXT
from pellucid.models.region.rcnn_photos import View
from pellucid.structures import Placement

K = 1000


@pytest.fixture(scope="module")
def model() -> Any:
    return rcnn_imagenet(proposals=20, max_side=160, crop_size=64, score_threshold=0.05)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """A cat beside a cup, (3, 150, 320)."""
    cat, cup = (
        torch.from_numpy(image.copy()).permute(2, 0, 1)[:, ::2, ::2] for image in (data.chelsea(), data.coffee())
    )
    return torch.cat((cat[:, :150, 20:180], cup[:, 30:180, 60:220]), 2)


@pytest.fixture(scope="module")
def subject(model: Any, photo: Tensor) -> Subject:
    made = Subject(model, photo)
    made.keep()
    return made


def trace_of(subject: Subject) -> ImagenetTrace:
    trace = subject.keep()[0].trace
    assert isinstance(trace, ImagenetTrace)
    return trace


def test_what_is_explained_is_what_was_reported(model: Any, photo: Tensor, subject: Subject) -> None:
    said = model.predict([photo])[0].instances
    assert len(said) >= 1
    kept, trace = subject.keep()[0].instances, trace_of(subject)
    assert kept is not None
    for column in ("boxes", "labels", "scores", "logits"):
        assert torch.equal(getattr(kept, column), getattr(said, column)), column
    asked = [explain.detection(k) for k in range(len(said))]
    assert objective_values(subject, subject.frame, asked, probabilities=True)[0].tolist() == said.scores.tolist()
    torch.testing.assert_close(objective_values(subject, subject.frame, asked)[0].sigmoid(), said.scores)
    edges: list[explain.Objective] = [explain.box_edge(0, "left"), explain.box_edge(0, "bottom")]
    assert objective_values(subject, subject.frame, edges)[0].tolist() == said.boxes[0, [0, 3]].tolist()
    assert trace.boxes_of(0)[trace.rows].tolist() == said.boxes.tolist()
    # of other classes too: a score and its log-odds are of one formula
    rows = torch.arange(len(trace.boxes))
    for label in (7, int(said.labels[0])):
        odds = trace.log_odds(rows, torch.full_like(rows, label))
        torch.testing.assert_close(odds.sigmoid(), trace.scores[:, label], rtol=1e-4, atol=1e-12)
    steps = trace.origin(0)
    assert [step.name for step in steps] == ["class", "looks", "proposal"]
    assert steps[0].score == float(said.scores[0])


def test_maps_are_those_of_the_tight_look(model: Any, photo: Tensor, subject: Subject) -> None:
    trace = trace_of(subject)
    first = int(trace.labels[0])
    asked = [explain.detection(0), explain.missed((180, 20, 300, 140), "espresso"), explain.instead_of(first, 7, 0)]
    for method in ("grad_cam", "odam"):
        for objective, many in zip(asked, explain.attribute_all(model, photo, asked, method=method), strict=True):
            alone = explain.attribute(model, photo, objective, method=method)
            assert alone.layer == many.layer == "bn2"
            scale = float(alone.frame_map.abs().max())
            assert scale > 0
            # three crops in a batch are convolved in another order of sums than one: float32 agrees to about 1e-5
            torch.testing.assert_close(many.frame_map, alone.frame_map, rtol=0, atol=5e-5 * scale)
    # by hand: the maps of the crop, weighted by the gradient of the log-odds, which only the tight look carries
    row, evidence = trace.rows[:1], trace._judged.evidence
    crop = model.close(trace._image, CONTEXT)(evidence.boxes[row])
    maps = model.features(crop).detach().requires_grad_()
    torch.testing.assert_close(model.said_of(maps), evidence.looks.tight[row], rtol=1e-4, atol=1e-4)
    with trace.opened("class", row.tolist()) as leaf:
        torch.testing.assert_close(trace.logits(row), evidence.looks.inside[row], rtol=1e-4, atol=1e-4)
        odds = trace.log_odds(row, trace.labels[:1])
        (gradient,) = torch.autograd.grad(odds.sum(), leaf)
        (patch,) = trace.patches("class", row.tolist(), leaf.detach(), gradient)
    s = float(odds.detach().sigmoid())
    (tight,) = torch.autograd.grad(model.said_of(maps)[0, first], maps)
    torch.testing.assert_close(gradient, 0.5 / (1 - s) * tight, rtol=1e-2, atol=1e-4 * float(gradient.abs().max()))
    x1, _, x2, _ = evidence.boxes[row][0].tolist()
    wider = (x2 - x1) * CONTEXT / (1 - 2 * CONTEXT)
    assert patch.placement.box[0] == pytest.approx(x1 - wider, abs=1e-3)
    assert patch.placement.box[2] == pytest.approx(x2 + wider, abs=1e-3)
    with pytest.raises(KeyError), trace.opened("mask", [0]):
        pass


def test_pixel_gradients_go_through_everything(model: Any, photo: Tensor, subject: Subject) -> None:
    asked: list[explain.Objective] = [explain.detection(0), explain.box_edge(0, "left")]
    _, (score, edge) = input_gradients(subject, subject.frame, asked)
    frame = subject.frame.clone().requires_grad_()
    found = model.from_frame(frame, subject.placements)[0].instances
    s = float(found.scores[0].detach())
    (by_score,) = torch.autograd.grad(found.scores[0] / (s * (1 - s)), frame, retain_graph=True)
    (by_edge,) = torch.autograd.grad(found.boxes[0, 0], frame)
    for own, expected in ((score, by_score), (edge, by_edge)):
        assert float(expected.abs().max()) > 0
        torch.testing.assert_close(own, expected, rtol=1e-2, atol=1e-3 * float(expected.abs().max()))


def test_other_thresholds_choose_as_if_asked_anew(model: Any, photo: Tensor, subject: Subject) -> None:
    trace = trace_of(subject)
    assert model.thresholds == {"score": 0.05}
    best = float(trace.scores[trace.rows[0], trace.labels[0]])
    counts = set()
    with torch.no_grad():
        for score in (0.05, best / 2 + 0.02, (1 + best) / 2, 0.0):
            other = model.choosing(score=score)
            chosen, fresh = other.from_trace(trace), other.predict([photo])[0]
            for column in ("boxes", "labels", "scores", "logits"):
                assert torch.equal(getattr(chosen.instances, column), getattr(fresh.instances, column)), (score, column)
            assert len(chosen.trace) == len(fresh.instances)
            counts.add(len(fresh.instances))
        assert len(counts) > 1
        # what was seen with boxes painted over is remembered
        runs: list[object] = []
        handle = model.network.register_forward_hook(lambda *_: runs.append(1))
        for score in (0.0, 0.05, (1 + best) / 2):
            model.choosing(score=score).from_trace(trace)
        handle.remove()
    assert not runs
    assert model.settings["score_threshold"] == 0.05
    with pytest.raises(PellucidError, match="no threshold 'overlap'; it has score"):
        model.choosing(overlap=0.5)


def test_nothing_to_look_at_is_an_empty_trace(model: Any) -> None:
    view = View(torch.zeros(3, 20, 30), Placement.whole(20, 30))
    trace = ImagenetTrace(model, view, torch.zeros(0, 4))
    assert len(trace) == 0
    assert trace.scores.shape == (0, K)
    assert len(trace.objects()) == 0
    assert trace.fate((0, 0, 9, 9), 3).reason == "no proposal near"


def evidence_of(boxes: list[list[float]], labels: list[int], chances: list[float], outside: float = 1e-6) -> Evidence:
    """Boxes (pixels of 100 × 100) of which each is its only neighbour, said to be of a class by a chance."""
    here, N = torch.tensor(boxes, dtype=torch.float32), len(boxes)

    def look(chance: Tensor) -> Tensor:
        said = torch.full((N, K), 0.0) + ((1 - chance) / (K - 1))[:, None]
        return said.scatter(1, torch.tensor(labels)[:, None], chance[:, None]).log()

    seen = look(torch.tensor(chances))
    looks = Looks(seen, seen, look(torch.full((N,), outside)))
    first = torch.full((N, K), 1.0)
    shares = (here[:, 2:] - here[:, :2]).prod(1) / 1e4
    return Evidence(here, shares, looks, torch.arange(N)[:, None], torch.ones(N, 1), here, first)


def test_each_way_to_be_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: dict[str, tuple[list[float], int, float]] = {
        "taken": ([0, 0, 60, 60], 0, 0.9),
        "covered": ([5, 5, 55, 55], 0, 0.8),
        "painted": ([50, 50, 100, 100], 1, 0.7),
        "below": ([70, 0, 100, 30], 2, 0.2),
        "half": ([0, 70, 30, 100], 3, 0.45),
        "second": ([70, 70, 100, 100], 4, 0.9),
        "moved": ([61, 0, 69, 60], 5, 0.9),
    }
    evidence = evidence_of(*(list(column) for column in zip(*cases.values(), strict=True)))
    rows = {name: row for row, name in enumerate(cases)}
    moved, unlikely = torch.tensor([62.0, 40.0, 70.0, 100.0]), torch.tensor([35.0, 62.0, 45.0, 99.0])
    near = evidence.near.clone()
    near[rows["moved"]] = len(cases)
    others = torch.cat((evidence.others, torch.stack((moved, unlikely))))
    evidence = Evidence(
        evidence.boxes, evidence.shares, evidence.looks, near, evidence.ious, others, torch.ones(len(others), K)
    )
    labels = torch.tensor([label for _, label, _ in cases.values()])
    judged = Judged(evidence, labels, evidence.scores(labels), evidence.placed(labels))
    model: Any = rcnn_imagenet(proposals=5, crop_size=32, score_threshold=0.3)
    monkeypatch.setattr(model, "judged", lambda image, boxes: judged)
    monkeypatch.setattr(model, "_probabilities", lambda crops: torch.full((len(crops), K), 0.01))
    trace = ImagenetTrace(model, View(torch.rand(3, 100, 100), Placement.whole(100, 100)), others)
    assert trace.rows.tolist()[0] == rows["taken"]
    assert rows["second"] in trace.rows.tolist()

    def fate(name: str, of: ImagenetTrace = trace) -> Any:
        box, label, _ = cases[name]
        found = of.fate(box, label, 0.7)
        assert found.reason == "found" or found.reason in trace.reasons
        return found

    assert fate("taken").reason == fate("second").reason == "found"
    names, best = model.classes.names, float(judged.scores.max())
    covered = fate("covered")
    assert (covered.reason, covered.by, covered.candidate) == ("explained away by another box", 0, rows["covered"])
    first = float(judged.scores[0])
    assert covered.text.endswith(f"but the {names[0]} box of {first:.2f} covers 100% of it")
    painted = fate("painted")
    assert (painted.reason, painted.by) == ("explained away by another box", 0)
    assert painted.text.endswith(f"but 0.01 once the {names[0]} box of {first:.2f} was painted over")
    assert painted.score == float(judged.scores[rows["painted"]])
    assert fate("below").reason == "below the threshold"
    assert fate("below").text.endswith("below 0.3")
    assert fate("half").reason == "half as sure as the best"
    assert fate("half").text.endswith(f"the photo's best, {best:.2f}")
    assert fate("moved").reason == "box moved away"
    assert trace.fate(unlikely.tolist(), 3).reason == "not among the likely"
    assert trace.fate((80, 35, 99, 48), 3).reason == "no proposal near"
    other = trace.fate(cases["second"][0], 77, 0.7)
    assert (other.reason, other.candidate) == ("scored as another class", rows["second"])
    assert f", as {names[4]} " in other.text
    # one object at most: the second best is beyond the limit; a higher threshold turns half as sure into below
    model.settings["detections"] = 1
    assert fate("second", trace.chosen_by(model)).reason == "beyond the limit"
    assert fate("half", trace.chosen_by(model.choosing(score=0.5))).reason == "below the threshold"


def test_log_odds_are_not_rounded_where_a_look_is_all_but_certain() -> None:
    sure = evidence_of([[0, 0, 100, 100]] * 3, [0, 1, 2], [0.5, 0.5, 0.5], outside=0.5)
    labels, rows = torch.arange(3), torch.arange(3)
    for look, values in ((sure.looks.tight, (20.0, 30.0, 40.0)), (sure.looks.loose, (20.0, 30.0, 40.0))):
        odds = torch.zeros(3, K).index_put((rows, labels), torch.tensor(values))
        look.copy_(odds.log_softmax(1))
    sure.looks.outside.copy_(
        torch.zeros(3, K).index_put((rows, labels), torch.tensor((-40.0, -60.0, 40.0))).log_softmax(1)
    )
    rest = torch.tensor(K - 1.0, dtype=torch.float64).log()
    against = torch.nn.functional.softplus(rest - torch.tensor((20.0, 30.0, 40.0), dtype=torch.float64))
    painted = torch.nn.functional.softplus(torch.tensor((-40.0, -60.0, 40.0), dtype=torch.float64) - rest)
    total = against + 2 * painted
    expected = -total.expm1().log()
    torch.testing.assert_close(sure.log_odds(labels).double(), expected, rtol=1e-3, atol=1e-3)
    # the score of the third is rounded to 0, its log-odds are not
    assert float(sure.scores(labels)[2]) == 0
    assert sure.log_odds(labels).isfinite().all()
