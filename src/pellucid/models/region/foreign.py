"""Weights of other projects' detectors of regions: torchvision's and detectron2's, by the names of their tensors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, KeypointRCNN_ResNet50_FPN_Weights

from pellucid.errors import PellucidError
from pellucid.structures import Classes
from pellucid.structures.classes import unique_names
from pellucid.structures.keypoints import PERSON

TORCHVISION = {
    "fasterrcnn_resnet50_fpn": ("faster_rcnn", "resnet50", {}),
    "fasterrcnn_mobilenet_v3_large_fpn": ("faster_rcnn", "torchvision/mobilenet_v3_large", {"proposal_score": 0.05}),
    "fasterrcnn_mobilenet_v3_large_320_fpn": (
        "faster_rcnn",
        "torchvision/mobilenet_v3_large",
        {
            "proposal_score": 0.05,
            "min_side": 320,
            "max_side": 640,
            "proposals_before": 150,
            "proposals_after": 150,
            "training_proposals_before": 150,
            "training_proposals_after": 150,
        },
    ),
    "maskrcnn_resnet50_fpn": ("mask_rcnn", "resnet50", {}),
    "keypointrcnn_resnet50_fpn": ("keypoint_rcnn", "resnet50", {}),
}
"""torchvision's detectors that are ours as well: recipe, backbone and what differs from its usual settings."""

_MOBILENET = {
    "convention": "torchvision-mobilenet",
    "strides": (32, 32),
    "anchor_sizes": ((32, 64, 128, 256, 512),) * 3,
}
_RESNET = {"convention": "torchvision"}
_SHARED = {"training_proposals_before": 2000, "training_proposals_after": 2000}

_FROM_TORCHVISION = (
    (r"backbone\.body\.(.+)", r"backbone.body.\1"),
    (r"backbone\.fpn\.inner_blocks\.(\d)(?:\.0)?\.(\w+)", r"neck.lateral.\1.\2"),
    (r"backbone\.fpn\.layer_blocks\.(\d)(?:\.0)?\.(\w+)", r"neck.output.\1.\2"),
    (r"rpn\.head\.conv(?:\.0\.0)?\.(weight|bias)", r"proposer.conv.\1"),
    (r"rpn\.head\.cls_logits\.(\w+)", r"proposer.objectness.\1"),
    (r"rpn\.head\.bbox_pred\.(\w+)", r"proposer.deltas.\1"),
    (r"roi_heads\.box_head\.(fc[67])\.(\w+)", r"box_head.\1.\2"),
    (r"roi_heads\.box_predictor\.cls_score\.(\w+)", r"predictor.logits.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(\w+)", r"predictor.deltas.\1"),
    (r"roi_heads\.mask_head\.(\d)\.0\.(\w+)", r"mask_head.convs.\1.\2"),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(\w+)", r"mask_head.upsample.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(\w+)", r"mask_head.logits.\1"),
    (r"roi_heads\.keypoint_predictor\.kps_score_lowres\.(\w+)", r"keypoint_head.logits.\1"),
)

_FROM_DETECTRON2 = (
    (r"backbone\.bottom_up\.stem\.conv1\.weight", r"backbone.body.conv1.weight"),
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    (r"backbone\.fpn_lateral(\d)\.(\w+)", r"neck.lateral.<\1>.\2"),
    (r"backbone\.fpn_output(\d)\.(\w+)", r"neck.output.<\1>.\2"),
    (r"proposal_generator\.rpn_head\.conv\.(\w+)", r"proposer.conv.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(\w+)", r"proposer.objectness.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(\w+)", r"proposer.deltas.\1"),
    (r"roi_heads\.box_head\.fc1\.(\w+)", r"box_head.fc6.\1"),
    (r"roi_heads\.box_head\.fc2\.(\w+)", r"box_head.fc7.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(\w+)", r"predictor.logits.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(\w+)", r"predictor.deltas.\1"),
    (r"roi_heads\.mask_head\.deconv\.(\w+)", r"mask_head.upsample.\1"),
    (r"roi_heads\.mask_head\.predictor\.(\w+)", r"mask_head.logits.\1"),
    (r"roi_heads\.keypoint_head\.score_lowres\.(\w+)", r"keypoint_head.logits.\1"),
)

_IGNORED = re.compile(r".*num_batches_tracked|pixel_(mean|std)|.*anchor_generator.*|sem_seg_head\..*")


@dataclass(frozen=True)
class Foreign:
    """Another project's detector, said in our words: how it is built, and its tensors under our names."""

    recipe: str
    backbone: str
    settings: dict[str, Any]
    classes: Classes
    tensors: dict[str, Tensor]


def is_foreign(tensors: Mapping[str, Tensor]) -> bool:
    """Whether tensors are of a detector of regions of torchvision or detectron2, by their names."""
    return any(key.startswith(("roi_heads.box_predictor.", "roi_heads.box_head.")) for key in tensors)


def translated(tensors: Mapping[str, Tensor], source: str, name: str | None = None) -> Foreign:
    """A detector of torchvision or detectron2 in our words.

    ``source``: the file, for messages. ``name``: of torchvision's detector, where the tensors do not say it all (the
    two MobileNets differ in the size of the photo). Raises PellucidError for tensors that mean nothing here.
    """
    of_detectron2 = any(key.startswith("backbone.bottom_up.") for key in tensors)
    named = {}
    for key, tensor in tensors.items():
        if _IGNORED.fullmatch(key):
            continue
        own = _detectron2_name(key) if of_detectron2 else _torchvision_name(key)
        if own is None:
            raise PellucidError(
                f"{source}: tensor '{key}' is of no detector that is known here; give a Faster, Mask or Keypoint R-CNN "
                "with a ResNet-50 pyramid or MobileNetV3"
            )
        named[own] = tensor
    if "predictor.logits.weight" not in named or "predictor.deltas.weight" not in named:
        raise PellucidError(f"{source}: has no box predictor; is the file cut short?")
    recipe = "mask_rcnn" if any(k.startswith("mask_head") for k in named) else "faster_rcnn"
    recipe = "keypoint_rcnn" if any(k.startswith("keypoint_head") for k in named) else recipe
    if of_detectron2:
        stem = "backbone.body.conv1.weight"
        named[stem] = named[stem].flip(1)  # its photos are BGR
        count = len(named["predictor.logits.weight"]) - 1
        settings: dict[str, Any] = {"convention": "detectron2"}
        return Foreign(recipe, "resnet50", settings, _classes(count, recipe, of_detectron2), named)
    for kind in ("weight", "bias"):
        logits, deltas = named[f"predictor.logits.{kind}"], named[f"predictor.deltas.{kind}"]
        named[f"predictor.logits.{kind}"] = torch.cat((logits[1:], logits[:1]))
        named[f"predictor.deltas.{kind}"] = deltas[4:]
        if f"mask_head.logits.{kind}" in named:
            named[f"mask_head.logits.{kind}"] = named[f"mask_head.logits.{kind}"][1:]
    count = len(named["predictor.logits.weight"]) - 1
    mobile = any(key.startswith("backbone.body.0.") for key in named)
    own_settings = (
        TORCHVISION[name][2] if name else TORCHVISION["fasterrcnn_mobilenet_v3_large_fpn"][2] if mobile else {}
    )
    settings = {**_SHARED, **(_MOBILENET if mobile else _RESNET), **own_settings}
    backbone = "torchvision/mobilenet_v3_large" if mobile else "resnet50"
    return Foreign(recipe, backbone, settings, _classes(count, recipe, of_detectron2), named)


def _torchvision_name(key: str) -> str | None:
    for pattern, own in _FROM_TORCHVISION:
        if re.fullmatch(pattern, key):
            return re.sub(pattern, own, key)
    numbered = re.fullmatch(r"roi_heads\.(mask_head)\.mask_fcn(\d)\.(\w+)", key)
    if numbered:
        return f"mask_head.convs.{int(numbered[2]) - 1}.{numbered[3]}"
    numbered = re.fullmatch(r"roi_heads\.keypoint_head\.(\d+)\.(\w+)", key)
    return f"keypoint_head.convs.{int(numbered[1]) // 2}.{numbered[2]}" if numbered else None


def _detectron2_name(key: str) -> str | None:
    for pattern, own in _FROM_DETECTRON2:
        if re.fullmatch(pattern, key):
            return re.sub(r"<(\d)>", lambda m: str(int(m[1]) - 2), re.sub(pattern, own, key))
    block = re.fullmatch(r"backbone\.bottom_up\.res(\d)\.(\d+)\.(conv\d|shortcut)\.(norm\.)?(\w+)", key)
    if block:
        layer, part = f"backbone.body.layer{int(block[1]) - 1}.{block[2]}", block[3]
        if part == "shortcut":
            return f"{layer}.downsample.{1 if block[4] else 0}.{block[5]}"
        return f"{layer}.{part.replace('conv', 'bn') if block[4] else part}.{block[5]}"
    numbered = re.fullmatch(r"roi_heads\.(mask_head\.mask_fcn|keypoint_head\.conv_fcn)(\d)\.(\w+)", key)
    return f"{numbered[1].split('.')[0]}.convs.{int(numbered[2]) - 1}.{numbered[3]}" if numbered else None


def _classes(count: int, recipe: str, of_detectron2: bool) -> Classes:
    """The classes that a published model of so many has; unnamed ones for another number."""
    person = (PERSON,) * count if recipe == "keypoint_rcnn" else ()
    coco = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:]
    real = [(name, number) for number, name in enumerate(coco, 1) if name != "N/A"]
    if of_detectron2 and count == len(real):
        return Classes(tuple(n for n, _ in real), source_ids=tuple(i for _, i in real), keypoints=person)
    if count == len(coco):
        ids = tuple(range(1, count + 1))
        return Classes(unique_names(coco, ids), source_ids=ids, keypoints=person)
    if recipe == "keypoint_rcnn" and count == 1:
        names = KeypointRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
        return Classes((names[-1],), source_ids=(1,), keypoints=person)
    return Classes(Classes.unnamed(count).names, keypoints=person)
