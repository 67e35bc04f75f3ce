"""RoIAlign over four levels on two threads. Claim: twice as fast as torchvision forwards, 3 × with the gradient.

1,000 boxes of all sizes in an image of 800 × 1088, 256 channels, 7 × 7 bins, 2 × 2 samples a bin; then 512 boxes with
the gradient, as in training. Results are compared before they are timed. Also RoIPool on a map of stride 16, masks
pasted into an image of 480 × 640, and keypoints read from heatmaps.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision import ops
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, paste_masks_in_image

from pellucid.ops.heatmaps import decode_heatmaps
from pellucid.ops.pasting import PasteConvention, pasted_masks
from pellucid.ops.pooling import pool_levels, roi_pool
from pellucid.structures.masks import Masks

from common import print_ratios, setup, timed

HEIGHT, WIDTH, CHANNELS, ROUNDS = 800, 1088, 256, 9


def made_up(count: int, height: int, width: int, largest: float) -> Tensor:
    """Boxes xyxy inside an image, their sides from 16 pixels up, even in the logarithm."""
    sides = torch.exp(math.log(16) + math.log(largest / 16) * torch.rand(count, 2))
    corner = torch.rand(count, 2) * (torch.tensor([width, height]) - sides)
    return torch.cat((corner, corner + sides), 1)


def _with_gradient(out: Tensor, features: list[Tensor], learning: bool) -> list[Tensor]:
    return [out, *torch.autograd.grad(out, features, torch.ones_like(out))] if learning else [out]


def levels() -> None:
    """RoIAlign over a feature pyramid."""
    features = [torch.randn(1, CHANNELS, HEIGHT >> k, WIDTH >> k) for k in range(2, 6)]
    named = {str(k): map_ for k, map_ in enumerate(features)}
    pool, scales = ops.MultiScaleRoIAlign(list(named), 7, 2), [2.0**-k for k in range(2, 6)]
    for count, learning in ((1000, False), (512, True)):
        boxes, images = made_up(count, HEIGHT, WIDTH, 700), torch.zeros(count, dtype=torch.int64)
        for map_ in features:
            map_.requires_grad_(learning)

        def ours(boxes: Tensor = boxes, images: Tensor = images, learning: bool = learning) -> list[Tensor]:
            return _with_gradient(pool_levels(features, boxes, images, scales, 7), features, learning)

        def theirs(boxes: Tensor = boxes, learning: bool = learning) -> list[Tensor]:
            return _with_gradient(pool(named, [boxes], [(HEIGHT, WIDTH)]), features, learning)

        same = [torch.allclose(a, b, atol=1e-3) for a, b in zip(ours(), theirs(), strict=True)]
        assert all(same), "the two do not agree"
        contestants: dict[str, Callable[[], object]] = {"pellucid": ours, "torchvision": theirs}
        title = f"{count} boxes over four levels, " + ("forwards and backwards" if learning else "forwards")
        print_ratios(title, timed(contestants, ROUNDS), "pellucid")


def single() -> None:
    """RoIPool, pasting and heatmaps."""
    features, boxes = torch.randn(1, 512, 50, 68), made_up(300, HEIGHT, WIDTH, 700)
    images = torch.zeros(len(boxes), dtype=torch.int64)
    pooled = {
        "pellucid": lambda: roi_pool(features, boxes, images, 1 / 16, 7),
        "torchvision": lambda: ops.roi_pool(features, [boxes], 7, 1 / 16),
    }
    assert torch.equal(*(work() for work in pooled.values())), "the two do not agree"
    print_ratios("RoIPool of 300 boxes, 512 channels", timed(pooled, ROUNDS), "pellucid")

    places = made_up(100, 480, 640, 400)
    # Masks as a network makes them: one smooth shape each.
    seeds = torch.randn(100, 1, 4, 4)
    masks = torch.nn.functional.interpolate(seeds, size=(28, 28), mode="bicubic")[:, 0].mul(4).sigmoid()
    convention = PasteConvention.torchvision()
    pasted = {
        "pellucid, run lengths": lambda: pasted_masks(masks, places, (480, 640), convention),
        "torchvision, pixels": lambda: paste_masks_in_image(masks[:, None], places, (480, 640)) > 0.5,
        "torchvision, run lengths": lambda: Masks.from_bool(
            (paste_masks_in_image(masks[:, None], places, (480, 640)) > 0.5)[:, 0]
        ).run_lengths(),
    }
    print_ratios("100 masks on 480 × 640", timed(pasted, ROUNDS), "pellucid, run lengths")

    logits = torch.randn(50, 17, 56, 56)
    read = {
        "pellucid": lambda: decode_heatmaps(logits, places[:50]),
        "torchvision": lambda: heatmaps_to_keypoints(logits, places[:50]),
    }
    print_ratios("17 keypoints of 50 boxes", timed(read, ROUNDS), "pellucid")


def main() -> None:
    """Times them all."""
    setup()
    levels()
    with torch.no_grad():
        single()


if __name__ == "__main__":
    main()
