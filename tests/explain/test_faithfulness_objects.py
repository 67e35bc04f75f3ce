"""Tests of explanations of objects, on a detector whose evidence is planted: what it looks at is known to the pixel."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pellucid import PellucidError, explain
from pellucid.explain import Explanation
from pellucid.explain.attribution import explain_subject
from pellucid.explain.faithfulness import check_subject
from pellucid.explain.faithfulness_table import faithfulness_table
from pellucid.explain.quick_test import quick_test
from pellucid.explain.regions import place_in_frame
from pellucid.explain.subject import Subject
from pellucid.structures import Annotations, Classes, Instances, Placement, Sample
from pellucid.structures.trace import Fate, Step, Trace

H, W = 24, 40
BOXES = ((2.0, 2.0, 14.0, 14.0), (22.0, 6.0, 38.0, 22.0))
CLASSES = Classes(("a", "b"))


class PlantedTrace(Trace):
    reasons = ()

    def __init__(self, odds: Tensor) -> None:
        self.size, self.classes = (H, W), CLASSES
        self.boxes = torch.tensor(BOXES)[:, None]
        self.odds = torch.stack([odds, odds - 50], 1)  # (candidate, class)
        self.odds[1] = self.odds[1].flip(0)
        self.scores = self.odds.sigmoid()
        self.rows, self.labels = torch.tensor([0, 1]), torch.tensor([0, 1])

    def logits(self, rows: Tensor) -> Tensor:
        return self.odds[rows]

    def log_odds(self, rows: Tensor, labels: Tensor) -> Tensor:
        return self.odds[rows, labels]

    def origin(self, number: int) -> list[Step]:
        return []

    def fate(self, box: Any, label: int, iou: float = 0.5) -> Fate:
        return Fate("found", "")


class Looks(nn.Module):
    """The log-odds (N, 2) of two objects: how bright the pixels are at which each is looked at."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.zeros(2, H, W)
        weight[0, 4:8, 4:8] = weight[1, 10:16, 26:30] = 1.0
        self.weight = nn.Parameter(weight / weight.sum((1, 2), keepdim=True))
        self.images = 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        return 8 * torch.einsum("nhw,khw->nk", x.mean(1), self.weight) - 4


class Planted(nn.Module):
    """A detector that reports two objects in fixed boxes."""

    classes = CLASSES

    def __init__(self) -> None:
        super().__init__()
        self.network = Looks()

    def prepare(self, images: Any) -> tuple[Tensor, list[Placement]]:
        batch = torch.stack([image.float() / 255 for image in images])
        return batch, [Placement.whole(H, W)] * len(batch)

    def traced(self, batch: Tensor, placements: Any = None) -> list[Annotations]:
        said = []
        for odds in self.network(batch):
            trace = PlantedTrace(odds)
            objects = Instances(torch.tensor(BOXES), trace.labels, scores=trace.scores[trace.rows, trace.labels])
            said.append(Annotations((H, W), CLASSES, instances=objects, trace=trace))
        return said

    from_frame = traced


def photo() -> Tensor:
    """Bright where the network looks, and dim noise elsewhere."""
    image = torch.randint(0, 40, (3, H, W), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    image[:, 4:8, 4:8] = image[:, 10:16, 26:30] = 255
    return image


ASKED = [explain.detection(0), explain.detection(1)]


def made(k: int, values: Tensor, method: str = "saliency") -> Explanation:
    return Explanation(method, f"detection {k}", None, values, Placement.whole(H, W))


def evidence(model: Planted, k: int) -> Tensor:
    return model.network.weight.detach()[k]


def looked_at(k: int) -> Tensor:
    """Bool (H, W): where the k-th object is looked at."""
    return evidence(Planted(), k) > 0


def test_a_true_map_beats_chance_and_its_inverse_does_not() -> None:
    model = Planted()
    subject = Subject(model, photo())
    maps = [made(k, evidence(model, k)) for k in (0, 1)]
    maps += [made(k, (evidence(model, k) == 0).float()) for k in (0, 1)]
    found = check_subject(subject, ASKED, maps, steps=12, stages=2)
    assert all(one.better_than_chance for one in found[:2])
    assert not any(one.better_than_chance for one in found[2:])
    assert all(one.no_better_than_chance for one in found[2:])
    quick = quick_test(subject, ASKED, maps)
    assert [one.passes for one in quick] == [True, True, False, False]
    for one in quick[:2]:
        assert one.whole == pytest.approx(torch.tensor(4.0).sigmoid())
        assert one.shares == (0.1, 0.25, 0.5)
        assert one.values[-1] < 0.1 < one.by_chance[0]


def test_curves_begin_at_the_reported_score_as_a_probability() -> None:
    model = Planted()
    (found, _) = check_subject(Subject(model, photo()), ASKED, [made(k, evidence(model, k)) for k in (0, 1)], stages=2)
    said = model.traced(model.prepare([photo()])[0])[0].instances
    assert said is not None
    assert said.scores is not None
    assert found.deletion.values[0] == found.insertion.values[-1] == float(said.scores[0].detach())
    mean = photo().float().div(255).mean((1, 2), keepdim=True).expand(3, H, W)
    flat = model.traced(mean[None])[0].trace
    assert flat is not None
    assert found.deletion.values[-1] == pytest.approx(float(flat.scores[0, 0].detach()), abs=1e-5)


def test_the_random_order_is_shared_by_all_objects() -> None:
    model = Planted()
    subject = Subject(model, photo())
    maps = [made(k, evidence(model, k)) for k in (0, 1)]
    subject.keep()
    steps, before = 9, model.network.images
    check_subject(subject, ASKED, maps, steps=steps, stages=2)  # noise is a copy, and counts for itself
    originals = 1  # saliency of the network as it is, for the randomisation check
    curves = 2 * (steps - 1) * (len(maps) + 1) + 2
    assert model.network.images - before == curves + originals
    before = model.network.images
    quick_test(subject, ASKED, maps, shares=(0.1, 0.3))
    assert model.network.images - before == 2 * (len(maps) + 1)


def test_each_object_has_a_truth_of_its_own() -> None:
    model = Planted()
    maps = [made(k, evidence(model, k)) for k in (0, 1)]
    truth = {"detection 0": looked_at(0), "detection 1": looked_at(0)}
    first, second = explain.check(model, photo(), ASKED, maps, truth=truth, steps=2, stages=2)
    assert (first.pointing, first.energy_inside) == (True, pytest.approx(1.0))
    assert (second.pointing, second.energy_inside) == (False, 0.0)
    first, second = explain.check(model, photo(), ASKED, maps, truth={"detection 1": looked_at(1)}, steps=2, stages=2)
    assert first.pointing is None
    assert second.pointing is True
    with pytest.raises(PellucidError, match="a truth for 'detection 7'"):
        explain.check(model, photo(), ASKED, maps, truth={"detection 7": looked_at(1)}, steps=2, stages=2)


def test_an_object_is_compared_under_noise_where_it_is() -> None:
    subject = Subject(Planted(), photo())
    place = place_in_frame(subject, explain.detection(1))
    assert place is not None
    assert place.nonzero().amin(0).tolist() == [6, 22]
    assert place.nonzero().amax(0).tolist() == [21, 37]
    assert place_in_frame(subject, explain.of_predictions(lambda said: said.instances.scores[0])) is None


def test_an_objective_of_no_object_is_tested_over_the_frame() -> None:
    model = Planted()
    score = explain.of_predictions(lambda said: said.trace.scores[0, 0], "score")
    score = explain.Objective(score.text, (), True, score.value_of, traced=True)
    maps = [
        made(0, evidence(model, 0)),
        Explanation("saliency", "score", None, evidence(model, 0), Placement.whole(H, W)),
    ]
    found, over = quick_test(Subject(model, photo()), [ASKED[0], score], maps)
    assert found.passes
    assert over.passes
    with pytest.raises(PellucidError, match="above 0"):
        quick_test(Subject(model, photo()), ASKED, maps[:1], shares=(0.0,))


def truth_of(image: int) -> Annotations:
    """Both objects in the first image, the second alone in the others."""
    boxes = torch.tensor(BOXES) + 1
    both = Instances(boxes, torch.tensor([0, 1]))
    return Annotations((H, W), CLASSES, instances=both if image == 0 else both[1])


def test_the_table_is_the_mean_of_single_checks() -> None:
    model = Planted()
    samples = [Sample(f"{i}.png", photo().roll(i, 2), truth_of(i)) for i in range(3)]
    methods = ["saliency", "d_rise", "guided_backprop"]
    table = faithfulness_table(model, samples, methods, options={"d_rise": {"masks": 12}}, steps=4)
    assert [row.method for row in table.rows] == methods
    saliency, d_rise, undefined = table.rows
    assert undefined.undefined is not None
    assert undefined.maps == 0
    assert (table.images, table.objectives, table.without) == (3, 4, 0)
    singles = []
    for number, sample in enumerate(samples):
        asked = ASKED if number == 0 else ASKED[1:]
        subject = Subject(model, sample.image)
        regions = {}
        for objective in asked:
            x1, y1, x2, y2 = (int(v) + 1 for v in BOXES[int(str(objective)[-1])])
            regions[str(objective)] = torch.zeros(H, W, dtype=torch.bool)
            regions[str(objective)][y1:y2, x1:x2] = True
        maps = explain_subject(subject, asked, method="saliency")
        singles += check_subject(subject, asked, maps, truth=regions, steps=4, stages=2)
    for name, values in {
        "deletion": [c.deletion.area for c in singles],
        "insertion": [c.insertion.area for c in singles],
        "pointing": [float(bool(c.pointing)) for c in singles],
        "inside": [c.energy_inside or 0.0 for c in singles],
        "kept": [c.randomisation.kept for c in singles],
        "better": [float(c.better_than_chance) for c in singles],
        "passes": [float(not c.failures) for c in singles],
    }.items():
        found = getattr(saliency, name)
        assert found.value == pytest.approx(sum(values) / 4), name
        assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    assert table.random_deletion == pytest.approx(sum(c.random_deletion for c in singles) / 4)
    assert table.region == pytest.approx((144 + 3 * 256) / 4 / (H * W))
    assert d_rise.maps == 4


def test_images_without_a_true_detection_are_counted() -> None:
    model = Planted()
    other = Annotations((H, W), CLASSES, instances=Instances(torch.tensor(BOXES), torch.tensor([1, 0])))
    samples = [Sample("a.png", photo(), other), Sample("b.png", photo(), truth_of(0))]
    table = faithfulness_table(model, samples, ["saliency"], steps=2, objects=1)
    assert (table.images, table.without, table.objectives) == (1, 1, 1)
    assert table.rows[0].deletion is not None
    assert table.rows[0].deletion.low is None
    with pytest.raises(PellucidError, match="finds no true object"):
        faithfulness_table(model, samples[:1], ["saliency"])
    with pytest.raises(PellucidError, match="no image that can be read"):
        faithfulness_table(model, [], ["saliency"])
