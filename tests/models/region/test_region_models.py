"""The detectors of regions: what they learn from, what they say, and that it can be differentiated."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import pellucid
from pellucid.data import open_dataset
from pellucid.errors import PellucidError
from pellucid.models import Detector, build
from pellucid.models.recipes import settings_of
from pellucid.models.region.learning import _background_from
from pellucid.ops.matching import BELOW, BETWEEN
from pellucid.structures import Annotations, Classes, Instances, Masks
from pellucid.structures.keypoints import KeypointNames

TINY = {"min_side": 64, "max_side": 96, "box_features": 16, "region_samples": 32, "score_threshold": 0.0}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "fast": ("fast_rcnn", {"external_limit": 40}),
    "fpn": ("faster_rcnn", {"channels": 8}),
    "c4": ("faster_rcnn", {"neck": "none", "head": "stage"}),
    "mask": ("mask_rcnn", {"channels": 8, "mask_channels": 8}),
    "keypoint": ("keypoint_rcnn", {"channels": 8, "keypoint_channels": 8}),
    "soft": ("faster_rcnn", {"channels": 8, "suppression": "soft-gaussian"}),
    "alternating": ("faster_rcnn", {"channels": 8, "alternating": True}),
}
CLASSES = Classes(
    ("cat", "dog"), keypoints=(KeypointNames(("left_ear", "right_ear", "tail")), KeypointNames(("left_ear", "nose")))
)


def tiny(kind: str, **settings: Any) -> Detector:
    recipe, own = RECIPES[kind]
    torch.manual_seed(0)
    return build(recipe, CLASSES, pretrained=False, **{**TINY, **own, **settings})


def photo(height: int = 72, width: int = 96, seed: int = 0) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def truth(boxes: list[list[float]], size: tuple[int, int] = (72, 96), **flags: Tensor) -> Annotations:
    """Objects of classes 0, 1, 0, … with masks that fill their boxes and keypoints in them."""
    corners = torch.tensor(boxes).reshape(-1, 4)
    N = len(corners)
    masks = torch.zeros(N, *size, dtype=torch.bool)
    points = torch.zeros(N, 3, 3)
    for row, (x1, y1, x2, y2) in enumerate(corners.tolist()):
        masks[row, int(y1) : int(y2), int(x1) : int(x2)] = True
        points[row] = torch.tensor([[x1 + 1, y1 + 1, 2], [(x1 + x2) / 2, (y1 + y2) / 2, 2], [0, 0, 0]])
    labels = torch.arange(N) % 2
    objects = Instances(corners, labels, masks=Masks.from_bool(masks), keypoints=points, **flags)
    proposals = torch.cat((corners + 1, torch.tensor([[0.0, 0.0, 20.0, 30.0], [30.0, 10.0, 90.0, 60.0]])))
    return Annotations(size, CLASSES, instances=objects, proposals=proposals)


OBJECTS = [[10.0, 8.0, 50.0, 40.0], [40.0, 20.0, 90.0, 66.0]]


@pytest.mark.parametrize("kind", list(RECIPES))
def test_the_gradient_of_any_number_reaches_the_photo(kind: str) -> None:
    model = tiny(kind)
    image = photo().requires_grad_()
    objects = model([image])[0].instances
    assert objects is not None
    assert objects.scores is not None
    assert objects.logits is not None
    assert len(objects) > 1
    wanted = {"score": objects.scores[1], "logit": objects.logits[1, 0], "left edge": objects.boxes[1, 0]}
    if objects.boxes[1, 0] == 0:  # clipped at the border: that edge is a constant
        wanted["left edge"] = objects.boxes[1].sum()
    if kind == "mask":
        assert objects.mask_logits is not None
        wanted["mask pixel"] = objects.mask_logits[1, 3, 4]
    if kind == "keypoint":
        assert objects.keypoint_scores is not None
        wanted["keypoint"] = objects.keypoint_scores[1, 0]
    for name, number in wanted.items():
        (gradient,) = torch.autograd.grad(number, image, retain_graph=True)
        assert bool(gradient.isfinite().all()), name
        assert float(gradient.abs().sum()) > 0, name


@pytest.mark.parametrize("kind", list(RECIPES))
def test_every_parameter_learns_also_from_images_without_objects(kind: str) -> None:
    model = tiny(kind, alternating=False)
    losses = model.loss([photo(), photo(96, 64)], [truth([]), truth([], (96, 64))], [0, 1])
    total = torch.stack(list(losses.values())).sum()
    assert bool(total.isfinite())
    total.backward()
    missing = [n for n, p in model.network.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


@pytest.mark.parametrize("kind", list(RECIPES))
def test_a_batch_is_the_mean_of_its_images(kind: str) -> None:
    model = tiny(kind, alternating=False).double()
    images, truths = [photo(seed=1), photo(seed=2)], [truth(OBJECTS), truth(OBJECTS[:1])]
    whole = model.loss(images, truths, [5, 6])
    parts = [model.loss([image], [one], [seed]) for image, one, seed in zip(images, truths, (5, 6), strict=True)]
    for name, value in whole.items():
        mean = (parts[0][name] + parts[1][name]) / 2
        torch.testing.assert_close(value, mean, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["fpn", "mask", "keypoint", "fast"])
def test_a_checkpoint_gives_the_same_model(kind: str, tmp_path: Any) -> None:
    model = tiny(kind)
    path = model.save(tmp_path / "model.safetensors", {"epoch": 3})
    again = pellucid.load(path)
    assert isinstance(again, Detector)
    assert (again.task, again.classes, again.settings) == (model.task, CLASSES, model.settings)
    first, second = model.predict([photo()])[0].instances, again.predict([photo()])[0].instances
    assert first is not None
    assert second is not None
    assert torch.equal(first.boxes, second.boxes)
    assert torch.equal(first.scores, second.scores)  # type: ignore[arg-type]


def test_other_checkpoints_are_refused(tmp_path: Any) -> None:
    path = tiny("mask").save(tmp_path / "mask.safetensors")
    with pytest.raises(PellucidError, match="holds a mask_rcnn, not a faster_rcnn"):
        pellucid.load("faster_rcnn", checkpoint=path)
    with pytest.raises(PellucidError, match="tells 2 classes apart, but names are given for 3"):
        pellucid.load(path, classes=["a", "b", "c"])
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PellucidError, match="cut short"):
        pellucid.load(cut)


def test_recipes_need_classes_and_known_settings() -> None:
    with pytest.raises(PellucidError, match="train it"):
        pellucid.load("faster_rcnn")
    with pytest.raises(PellucidError, match="no classes"):
        build("faster_rcnn", Classes(()))
    with pytest.raises(PellucidError, match="has no setting 'chanels'; did you mean 'channels'"):
        build("faster_rcnn", CLASSES, chanels=3)
    with pytest.raises(PellucidError, match="pooling 'mean': give align or pool"):
        build("faster_rcnn", CLASSES, pooling="mean")
    with pytest.raises(PellucidError, match="no class has keypoints"):
        build("keypoint_rcnn", Classes(("a",)), pretrained=False)
    with pytest.raises(PellucidError, match="unknown recipe 'fastest_rcnn'"):
        build("fastest_rcnn", CLASSES)
    assert settings_of("fast_rcnn")["pooling"] == "pool"


def test_what_is_said_lies_in_the_photo_in_falling_order() -> None:
    for size in ((72, 96), (200, 31), (1, 1), (1, 300)):
        said = tiny("mask").predict([photo(*size)])[0]
        objects = said.instances
        assert objects is not None
        assert objects.scores is not None
        assert said.size == size
        assert bool((objects.boxes >= 0).all())
        assert bool((objects.boxes <= torch.tensor([size[1], size[0]] * 2) + 1e-3).all())
        assert bool((objects.scores.diff() <= 0).all())
        assert objects.masks is not None
        assert objects.masks.size == size


def test_photos_of_different_sizes_do_not_change_one_another() -> None:
    model = tiny("fpn").double()
    photos = [photo(64, 96).double(), photo(96, 64, 3).double()]
    together = model.predict(photos)
    for said, image in zip(together, photos, strict=True):
        alone = model.predict([image])[0].instances
        assert said.instances is not None
        assert alone is not None
        assert len(said.instances) == len(alone)


def test_truths_that_do_not_fit_are_named() -> None:
    model = tiny("fpn")
    with pytest.raises(PellucidError, match="1 images but 2 truths"):
        model.loss([photo()], [truth([]), truth([])])
    with pytest.raises(PellucidError, match="truth 0 is of an image of 10 × 10 pixels"):
        model.loss([photo()], [truth([], (10, 10))])
    with pytest.raises(PellucidError, match="classes that are not the model's"):
        model.loss([photo()], [Annotations((72, 96), Classes(("bird",)))])
    with pytest.raises(PellucidError, match="has no proposals"):
        tiny("fast").loss([photo()], [replace(truth(OBJECTS), proposals=None)])


def test_hostile_truths_are_learned_from() -> None:
    """One pixel, a thousand objects, a box beyond the photo, none with area."""
    model = tiny("mask")
    corners = torch.rand(1000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([80.0, 60.0])
    many = torch.cat((corners, corners + 3), 1).tolist()
    for boxes in ([[5.0, 5.0, 6.0, 6.0]], many, [[-20.0, -20.0, 200.0, 200.0]], [[5.0, 5.0, 5.0, 9.0]]):
        losses = model.loss([photo()], [truth(boxes)], [0])
        assert all(bool(value.isfinite()) for value in losses.values())


def test_background_is_what_overlaps_little() -> None:
    iou = torch.tensor([[0.6, 0.3, 0.05, 0.0], [0.1, 0.4, 0.0, 0.0]])
    assert _background_from(iou, 0.0, 0.5).tolist() == [0, BELOW, BELOW, BELOW]
    assert _background_from(iou, 0.1, 0.5).tolist() == [0, BELOW, BETWEEN, BETWEEN]
    assert _background_from(iou[:, 2:], 0.1, 0.5).tolist() == [BELOW, BELOW]  # there is nothing else
    assert _background_from(torch.zeros(0, 2), 0.1, 0.5).tolist() == [BELOW, BELOW]


def test_heads_learn_from_background_too() -> None:
    """Of a photo with one object most regions are background, which the class loss must see."""
    model = tiny("fpn")
    with torch.no_grad():
        model.network.predictor.logits.weight.zero_()
        model.network.predictor.logits.bias.copy_(torch.tensor([20.0, -20.0, 0.0]))  # all is class 0
    loss = model.loss([photo()], [truth(OBJECTS[:1])], [0])["class"]
    assert float(loss.detach()) > 10  # three quarters of the regions or more, at 20 each


def test_crowds_and_difficult_objects_are_nobodys_truth() -> None:
    model = tiny("fpn")
    for flag in ("crowd", "difficult", "group_of"):
        flagged = truth(OBJECTS, **{flag: torch.tensor([True, True])})
        assert float(model.loss([photo()], [flagged], [0])["box"].detach()) == 0


def test_the_four_steps_of_alternating_training() -> None:
    model = tiny("alternating")
    names = {name.split(".")[0] for name, _ in model.network.named_parameters()}
    seen = []
    for stage in model.stages():  # type: ignore[attr-defined]
        assert stage.begin is not None
        assert stage.trainable is not None
        stage.begin()
        losses = model.loss([photo()], [truth(OBJECTS)], [0])
        seen.append((set(losses), {name for name in names if stage.trainable(f"{name}.x")}))
        assert not any(key.startswith(("teacher", "initial")) for key in model.weights())
    proposals, regions = {"objectness", "proposal_box"}, {"class", "box"}
    heads = {"box_head", "predictor"}
    assert seen == [
        (proposals, {"backbone", "neck", "proposer"}),
        (regions, {"backbone", "neck"} | heads),
        (proposals, {"proposer"}),
        (regions, heads),
    ]


@pytest.mark.slow
def test_a_few_scenes_are_learned() -> None:
    torch.manual_seed(0)
    data = open_dataset("scenes:easy,n=6,seed=3")
    model = build("mask_rcnn", data.classes, min_side=128, max_side=160, channels=48, box_features=128,
                  mask_channels=32, region_samples=64, training_proposals_after=200)  # fmt: skip
    images, truths = [s.image for s in data], [s.annotations for s in data]
    parameters = [p for p in model.network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, 1e-3)
    for step in range(60):
        optimiser.zero_grad()
        torch.stack(list(model.loss(images, truths, [step] * 6).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 10)
        optimiser.step()
    said = model.predict(images)
    assert pellucid.metrics.evaluate(data, said, "coco").summary["AP50"] > 0.9
    assert pellucid.metrics.evaluate(data, said, "coco-segm").summary["AP50"] > 0.9
