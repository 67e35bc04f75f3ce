"""The localizer: what it says, what it learns from, and that it learns."""

import pytest
import torch

from pellucid.data import open_dataset
from pellucid.errors import PellucidError
from pellucid.metrics.localization import LocalizationEvaluator
from pellucid.models.checkpoints import load_tensors, read_checkpoint
from pellucid.models.recipes import build
from pellucid.ops.boxes import pairwise_iou
from pellucid.structures import Annotations, Classes, Instances, Placement

CLASSES = Classes(("cat", "dog", "cow"))


def small(**settings):
    torch.manual_seed(0)
    return build("localizer", CLASSES, pretrained=False, size=64, cells=2, hidden=16, **settings)


def truth(boxes, labels, size=(40, 60), **columns):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    columns = {name: torch.tensor(values) for name, values in columns.items()}
    return Annotations(size, CLASSES, instances=Instances(boxes, torch.tensor(labels, dtype=torch.int64), **columns))


def test_it_gives_one_box_inside_the_photo_with_its_class_and_probability():
    photos = [torch.rand(3, 40, 60), torch.rand(3, 1, 1), torch.randint(0, 256, (1, 90, 20), dtype=torch.uint8)]
    for photo, said in zip(photos, small().predict(photos), strict=True):
        assert said.size == tuple(photo.shape[1:])
        found = said.instances
        assert len(found) == 1
        assert int(found.labels[0]) == int(said.logits.argmax())
        assert torch.equal(found.scores[0], said.probabilities.max())
        x1, y1, x2, y2 = found.boxes[0].tolist()
        assert 0 <= x1 < x2 <= said.size[1]
        assert 0 <= y1 < y2 <= said.size[0]
    assert small().predict([]) == []


def test_boxes_of_a_frame_are_put_on_the_photo():
    model = small()
    frame = torch.rand(1, 3, 64, 64)
    plain = model.from_frame(frame)[0].instances.boxes[0]
    moved = model.from_frame(frame, [Placement((128, 32), (64, 64), (0.0, 0.0, 32.0, 128.0))])[0].instances.boxes[0]
    assert torch.allclose(moved, plain * torch.tensor([0.5, 2.0, 0.5, 2.0]), atol=1e-4)


def test_several_guesses_each_with_the_box_of_its_class():
    found = small(per_class=True, guesses=3).predict([torch.rand(3, 40, 60)])[0].instances
    assert sorted(found.labels.tolist()) == [0, 1, 2]
    assert len(found.boxes.unique(dim=0)) == 3
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_score_and_edge_have_a_gradient_to_the_photo():
    for index in (0, 1):
        photo = torch.rand(3, 40, 60, requires_grad=True)
        found = small()([photo])[0].instances
        (found.scores[0] if index == 0 else found.boxes[0, 0]).backward()
        assert photo.grad.isfinite().all()
        assert photo.grad.abs().sum() > 0


def test_the_largest_object_that_is_no_crowd_is_learned():
    model = small()
    placement = Placement.whole(40, 60)
    said = truth([[0, 0, 10, 10], [6, 4, 36, 24], [0, 0, 60, 40]], [0, 1, 2], crowd=[False, False, True])
    label, box = model._wanted(said, placement)
    assert label == 1
    assert torch.allclose(box, torch.tensor([0.1, 0.1, 0.6, 0.6]))
    assert model._wanted(truth([], []), placement) == (None, None)
    assert model._wanted(truth([[5, 5, 5, 9]], [1]), placement) == (None, None)
    assert model._wanted(Annotations((40, 60), CLASSES, present=(2,)), placement) == (2, None)


def test_the_box_loss_is_what_is_written():
    guess, wanted = torch.tensor([0.0, 0.0, 0.5, 1.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert float(small()._box_loss(guess, wanted)) == pytest.approx(0.5)
    # one edge is half a side off: .5 − .05 / 2
    assert float(small(box_loss="smooth_l1")._box_loss(guess, wanted)) == pytest.approx(0.475)


def test_an_image_without_objects_counts_nothing_and_reaches_every_parameter():
    model = small().train()
    images = [torch.rand(3, 40, 60), torch.rand(3, 40, 60)]
    empty = model.loss(images, [truth([], [])] * 2)
    assert {key: float(value.detach()) for key, value in empty.items()} == {"classification": 0.0, "box": 0.0}
    sum(empty.values()).backward()
    assert all(p.grad is not None for p in model.network.parameters() if p.requires_grad)
    one = truth([[6, 4, 36, 24]], [1])
    both = model.loss(images, [one, truth([], [])])
    alone = model.loss(images[:1], [one])
    for key in both:
        assert float(both[key].detach()) == pytest.approx(float(alone[key].detach()) / 2, rel=1e-4)


def test_bad_truths_and_settings_are_told():
    model = small()
    with pytest.raises(PellucidError, match="1 images but 0 truths"):
        model.loss([torch.rand(3, 40, 60)], [])
    with pytest.raises(PellucidError, match="of class 3; there are 3"):
        model.loss([torch.rand(3, 40, 60)], [truth([[0, 0, 9, 9]], [3])])
    with pytest.raises(PellucidError, match="give each image its own"):
        model.loss([torch.rand(3, 40, 60)], [truth([[0, 0, 9, 9]], [1], size=(9, 9))])
    with pytest.raises(PellucidError, match="did you mean 'giou'"):
        small(box_loss="gious")
    with pytest.raises(PellucidError, match="vit_tiny_patch16_224: gives no maps"):
        build("localizer", CLASSES, "vit_tiny_patch16_224", pretrained=False)


def test_saved_and_built_again_it_says_the_same(tmp_path):
    model = small(per_class=True)
    file = read_checkpoint(model.save(tmp_path / "localizer.safetensors"))
    said = file.assembly
    again = build(said.recipe, said.classes, said.backbone, pretrained=False, **said.settings)
    load_tensors(again.network, file.tensors, "file", "localizer")
    photo = torch.rand(3, 50, 70)
    one, other = (m.predict([photo])[0] for m in (model, again))
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.instances.boxes, other.instances.boxes)


def test_it_learns_eight_scenes():
    scenes = open_dataset("scenes:n=8,things=1,size=64,scale=0.4-0.7,seed=3,cut=0")
    images, truths = [sample.image for sample in scenes], [sample.annotations for sample in scenes]
    torch.manual_seed(0)
    model = build("localizer", scenes.classes, size=96, cells=3).train()
    learning = [p for p in model.network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, 1e-3)
    for _ in range(25):
        optimiser.zero_grad()
        sum(model.loss(images, truths).values()).backward()
        optimiser.step()
    said = model.predict(images)
    evaluator = LocalizationEvaluator(scenes.classes, inclusive=False)
    for name, wanted, found in zip(scenes.names, truths, said, strict=True):
        evaluator.add(name, wanted, found)
    assert evaluator.score().summary["classification_error_top1"] == 0
    ious = [
        float(pairwise_iou(found.instances.boxes, wanted.instances.boxes).max())
        for wanted, found in zip(truths, said, strict=True)
    ]
    assert sum(ious) / len(ious) > 0.7
