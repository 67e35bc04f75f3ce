"""torchvision's detectors and ours, with the same weights: the same detections."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection._utils import overwrite_eps
from torchvision.ops.misc import FrozenBatchNorm2d

from pellucid.models.base import Detector
from pellucid.models.detectors import from_foreign
from pellucid.models.region.foreign import translated


def _photo(height: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, height // 16, width // 16, generator=generator)
    return nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]


PHOTOS = [_photo(160, 208, 1), _photo(240, 144, 2)]


def _freeze(network: nn.Module) -> nn.Module:
    """The network with frozen normalisation, as its published weights have it, with the statistics of photos."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train().backbone(
            torch.stack([nn.functional.interpolate(p[None], (192, 192))[0] for p in PHOTOS]) * 4 - 2
        )
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(module.num_features)
            frozen.weight.copy_(torch.rand(module.num_features) * 0.5 + 0.5)
            frozen.bias.copy_(torch.randn(module.num_features) * 0.1)
            frozen.running_mean.copy_(module.running_mean)
            frozen.running_var.copy_(module.running_var + 1e-3)
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, frozen)
    return network


def _lively(network: nn.Module, factor: float) -> None:
    """Predictors as sure of themselves as trained ones: with the usual small weights nothing would be found."""
    for name, parameter in network.named_parameters():
        if "cls_score.weight" in name or "rpn.head.cls_logits.weight" in name:
            nn.init.normal_(parameter, std=0.2 * factor)
        if "bbox_pred.weight" in name:
            nn.init.normal_(parameter, std=0.02 * factor)
        if "mask_fcn_logits" in name and parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)


def _theirs(make: Callable[..., nn.Module], eps: float, factor: float, **options: Any) -> nn.Module:
    torch.manual_seed(1)
    network = _freeze(make(weights=None, weights_backbone=None, **options))
    overwrite_eps(network, eps)
    _lively(network, factor)
    return network.eval()


def _ours(theirs: nn.Module, **settings: Any) -> Detector:
    said = translated(theirs.state_dict(), "state dict")
    said.settings.update(settings)
    return from_foreign(said, "state dict")


SMALL = {"min_size": 192, "max_size": 320, "box_detections_per_img": 30}
CASES = {
    "faster": (detection.fasterrcnn_resnet50_fpn, 0.0, 1.0, {"num_classes": 21}, "faster_rcnn"),
    "mobilenet": (detection.fasterrcnn_mobilenet_v3_large_fpn, 1e-5, 6.0, {"num_classes": 21}, "faster_rcnn"),
    "mask": (detection.maskrcnn_resnet50_fpn, 0.0, 1.0, {"num_classes": 6}, "mask_rcnn"),
    "keypoint": (
        detection.keypointrcnn_resnet50_fpn,
        0.0,
        1.0,
        {"num_classes": 2, "num_keypoints": 17},
        "keypoint_rcnn",
    ),
}


@pytest.fixture(scope="module", params=list(CASES))
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, Detector, str]:
    make, eps, factor, options, recipe = CASES[request.param]
    theirs = _theirs(make, eps, factor, **options, **SMALL)
    return theirs, _ours(theirs, min_side=192, max_side=320, detections=30), recipe


def _order(boxes: Tensor, labels: Tensor, other: dict[str, Tensor]) -> list[int]:
    """For each of their objects the row of ours: of two with scores a last bit apart either may come first."""
    far = (boxes[None] - other["boxes"][:, None]).abs().amax(-1) + 1e6 * (labels[None] != other["labels"][:, None])
    rows: list[int] = far.argmin(1).tolist()
    assert len(set(rows)) == len(rows)
    assert max(abs(row - place) for place, row in enumerate(rows)) <= 2
    return rows


def test_the_same_detections(pair: tuple[nn.Module, Detector, str]) -> None:
    theirs, ours, recipe = pair
    assert ours.recipe == recipe
    with torch.no_grad():
        expected = theirs(PHOTOS)
    said = ours.predict(PHOTOS)
    for own, other in zip(said, expected, strict=True):
        objects = own.instances
        assert objects is not None
        assert len(objects) == len(other["boxes"]) > 5
        # where the limit cuts among scores a last bit apart, either may be left
        sure = other["scores"] > other["scores"][-1] + 1e-4
        assert sure.sum() > 5
        other = {name: value[sure] for name, value in other.items()}
        objects = objects[_order(objects.boxes, objects.labels + 1, other)]
        torch.testing.assert_close(objects.boxes, other["boxes"], atol=1e-2, rtol=1e-4)
        torch.testing.assert_close(objects.scores, other["scores"], atol=1e-4, rtol=0)
        assert (objects.labels + 1).tolist() == other["labels"].tolist()
        if "masks" in other:
            assert objects.masks is not None
            assert objects.mask_logits is not None
            different = objects.masks.to_bool() != (other["masks"][:, 0] >= 0.5)
            assert float(different.float().mean()) < 1e-4
        if "keypoints" in other:
            assert objects.keypoints is not None
            torch.testing.assert_close(objects.keypoints[..., :2], other["keypoints"][..., :2], atol=1e-2, rtol=1e-4)
            torch.testing.assert_close(objects.keypoint_scores, other["keypoints_scores"], atol=1e-3, rtol=1e-4)
