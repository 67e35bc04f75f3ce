"""Weights of torchvision's and detectron2's detectors: every name and shape of their layouts finds its place."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import detection

import pellucid
from pellucid.errors import PellucidError
from pellucid.models import Detector
from pellucid.models.detectors import begin_from, from_foreign
from pellucid.models.recipes import build
from pellucid.models.region.foreign import is_foreign, translated
from pellucid.structures import Classes

NORM = ("weight", "bias", "running_mean", "running_var")


def detectron2_layout(classes: int = 80, masks: bool = True, keypoints: bool = False) -> dict[str, tuple[int, ...]]:
    """The names and shapes of R_50_FPN, written out from its layout."""
    made: dict[str, tuple[int, ...]] = {"pixel_mean": (3, 1, 1), "pixel_std": (3, 1, 1)}

    def conv(name: str, out: int, inside: int, side: int) -> None:
        made[f"backbone.bottom_up.{name}.weight"] = (out, inside, side, side)
        made.update({f"backbone.bottom_up.{name}.norm.{part}": (out,) for part in NORM})

    def biased(name: str, *shape: int, out: int | None = None) -> None:
        made[f"{name}.weight"], made[f"{name}.bias"] = shape, (shape[0] if out is None else out,)

    conv("stem.conv1", 64, 3, 7)
    inside = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 2):
        for block in range(blocks):
            name = f"res{stage}.{block}"
            conv(f"{name}.conv1", width, inside, 1)
            conv(f"{name}.conv2", width, width, 3)
            conv(f"{name}.conv3", 4 * width, width, 1)
            if block == 0:
                conv(f"{name}.shortcut", 4 * width, inside, 1)
            inside = 4 * width
        biased(f"backbone.fpn_lateral{stage}", 256, inside, 1, 1)
        biased(f"backbone.fpn_output{stage}", 256, 256, 3, 3)
    biased("proposal_generator.rpn_head.conv", 256, 256, 3, 3)
    biased("proposal_generator.rpn_head.objectness_logits", 3, 256, 1, 1)
    biased("proposal_generator.rpn_head.anchor_deltas", 12, 256, 1, 1)
    biased("roi_heads.box_head.fc1", 1024, 256 * 49)
    biased("roi_heads.box_head.fc2", 1024, 1024)
    biased("roi_heads.box_predictor.cls_score", classes + 1, 1024)
    biased("roi_heads.box_predictor.bbox_pred", 4 * classes, 1024)
    if masks:
        for layer in range(1, 5):
            biased(f"roi_heads.mask_head.mask_fcn{layer}", 256, 256, 3, 3)
        biased("roi_heads.mask_head.deconv", 256, 256, 2, 2)
        biased("roi_heads.mask_head.predictor", classes, 256, 1, 1)
    if keypoints:
        for layer in range(1, 9):
            biased(f"roi_heads.keypoint_head.conv_fcn{layer}", 512, 256 if layer == 1 else 512, 3, 3)
        biased("roi_heads.keypoint_head.score_lowres", 512, 17, 4, 4, out=17)
    return made


def numbers(layout: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: 0.01 * torch.rand(shape, generator=generator) for name, shape in layout.items()}


@pytest.mark.parametrize(
    ("options", "recipe", "count"),
    [({}, "mask_rcnn", 80), ({"masks": False}, "faster_rcnn", 80),
     ({"classes": 1, "masks": False, "keypoints": True}, "keypoint_rcnn", 1)],
)  # fmt: skip
def test_detectron2s_layout_is_ours(tmp_path: Any, options: dict[str, Any], recipe: str, count: int) -> None:
    tensors = numbers(detectron2_layout(**options))
    path = tmp_path / "model.pth"
    torch.save({"model": tensors, "__author__": "someone"}, path)
    model = pellucid.load(path)
    assert isinstance(model, Detector)
    assert (model.recipe, len(model.classes), model.settings["convention"]) == (recipe, count, "detectron2")
    own = model.network.state_dict()
    stem = own["backbone.body.conv1.weight"]
    assert torch.equal(stem, tensors["backbone.bottom_up.stem.conv1.weight"].flip(1))
    shortcut = own["backbone.body.layer2.0.downsample.1.running_var"]
    assert torch.equal(shortcut, tensors["backbone.bottom_up.res3.0.shortcut.norm.running_var"])
    assert torch.equal(own["neck.lateral.3.weight"], tensors["backbone.fpn_lateral5.weight"])
    assert torch.equal(own["predictor.deltas.bias"], tensors["roi_heads.box_predictor.bbox_pred.bias"])
    bottleneck = model.network.backbone.body.layer2[0]
    assert (bottleneck.conv1.stride, bottleneck.conv2.stride) == ((2, 2), (1, 1))
    assert len(model.predict([torch.rand(3, 60, 80)])) == 1


def test_detectron2s_coco_classes_have_their_ids() -> None:
    said = translated(numbers(detectron2_layout()), "file")
    assert (said.classes[0], said.classes.source_ids[0]) == ("person", 1)
    assert (said.classes[79], said.classes.source_ids[79]) == ("toothbrush", 90)


def test_older_names_of_torchvision_mean_the_same() -> None:
    network = detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)
    new = network.state_dict()
    old = {}
    for key, value in new.items():
        for now, then in (("inner_blocks.{}.0.", "inner_blocks.{}."), ("layer_blocks.{}.0.", "layer_blocks.{}.")):
            for level in range(4):
                key = key.replace(now.format(level), then.format(level))
        for layer in range(4):
            key = key.replace(f"mask_head.{layer}.0.", f"mask_head.mask_fcn{layer + 1}.")
        old[key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")] = value
    assert old.keys() != new.keys()
    first, second = (translated(tensors, "file").tensors for tensors in (old, new))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_files_that_are_cut_or_of_something_else_are_refused() -> None:
    tensors = numbers(detectron2_layout())
    missing = {k: v for k, v in tensors.items() if "res4.2" not in k}
    with pytest.raises(PellucidError, match="tensors missing"):
        from_foreign(translated(missing, "file"), "file")
    with pytest.raises(PellucidError, match="no box predictor"):
        translated({k: v for k, v in tensors.items() if "box_predictor" not in k}, "file")
    with pytest.raises(PellucidError, match=r"tensor 'roi_heads\.odd\.weight' is of no detector"):
        translated({**tensors, "roi_heads.odd.weight": torch.zeros(1)}, "file")
    with pytest.raises(PellucidError, match="holds a mask_rcnn, not a faster_rcnn"):
        from_foreign(translated(tensors, "file"), "file", "faster_rcnn")
    assert not is_foreign({"conv1.weight": torch.zeros(1)})


def test_training_begins_with_other_weights(tmp_path: Any) -> None:
    tensors = numbers(detectron2_layout(masks=False))
    path = tmp_path / "model.pth"
    torch.save(tensors, path)
    sizes = {"min_side": 64, "max_side": 96, "channels": 96}
    model, fresh = begin_from(str(path), "faster_rcnn", Classes(("cat", "dog")), settings=sizes)
    assert {name.split(".")[0] for name in fresh} == {"predictor"}
    assert (model.settings["min_side"], model.backbone) == (64, "resnet50")
    assert "channels" not in model.settings  # the network is as the weights are
    assert torch.equal(model.network.state_dict()["box_head.fc6.bias"], tensors["roi_heads.box_head.fc1.bias"])
    own = model.save(tmp_path / "own.safetensors")
    assert begin_from(str(own), "faster_rcnn", Classes(("cat", "dog")))[1] == []
    assert begin_from(str(own), "faster_rcnn", Classes(("dog", "cat")))[1] == fresh


@pytest.mark.parametrize("recipe", ["localizer", "rcnn"])
def test_training_begins_anew_with_what_depends_on_the_classes(recipe: str, tmp_path: Any) -> None:
    first = build(recipe, Classes(("cat", "dog")), pretrained=False)
    path = first.save(tmp_path / "own.safetensors")
    assert begin_from(str(path), recipe, Classes(("cat", "dog")))[1] == []
    fresh = {name.split(".")[0] for name in begin_from(str(path), recipe, Classes(("dog", "cat")))[1]}
    svms = {"fitted", "scale", "box_scale", "svm_weight", "svm_bias", "box_weight", "box_bias"}
    assert fresh == {"classifier"} | (svms if recipe == "rcnn" else set())


def test_weights_that_training_cannot_begin_with(tmp_path: Any) -> None:
    path = tmp_path / "model.pth"
    torch.save(numbers(detectron2_layout()), path)
    with pytest.raises(PellucidError, match="holds a mask_rcnn, not a faster_rcnn"):
        begin_from(str(path), "faster_rcnn", Classes(("cat",)))
    with pytest.raises(PellucidError, match="has the backbone resnet50, not resnet18"):
        begin_from(str(path), "mask_rcnn", Classes(("cat",)), "resnet18")
    with pytest.raises(PellucidError, match="there are none of fast_rcnn with resnet50"):
        begin_from("torchvision", "fast_rcnn", Classes(("cat",)))
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, other)
    with pytest.raises(PellucidError, match="holds no detector"):
        begin_from(str(other), "faster_rcnn", Classes(("cat",)))
