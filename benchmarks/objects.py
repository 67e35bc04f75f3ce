"""Grad-CAM of a hundred boxes of one photo. Claim: all of them in 1.5 × one plain forward pass.

Faster R-CNN with a ResNet-50 pyramid (random weights, with lively statistics), a photo of 480 × 640 at torchvision's
usual size. pytorch-grad-cam explains torchvision's detector of the same weights box by box, here at the finest map of
the pyramid. Then guided backpropagation of twenty boxes, which has to go back to the pixels for each.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from pytorch_grad_cam import GradCAM
from torch import Tensor

from faster_rcnn import photo, torchvisions
from pellucid import explain
from pellucid.models.detectors import from_foreign
from pellucid.models.region.foreign import translated

from common import print_ratios, setup, timed

BOXES, GUIDED, ROUNDS = 100, 20, 3


def box_by_box(network: torch.nn.Module, image: Tensor, boxes: int) -> Callable[[], object]:
    """pytorch-grad-cam on torchvision's detector, a pass a box."""

    class Score(torch.nn.Module):
        """As GradCAM takes it: (N, boxes) scores."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, batch: Tensor) -> Tensor:
            found: Any = self.network(list(batch))
            return found[0]["scores"][None]

    layer: Any = network.get_submodule("backbone.fpn.layer_blocks.0")
    cam = GradCAM(model=Score().eval(), target_layers=[layer])

    def work() -> None:
        for box in range(boxes):
            cam(input_tensor=image[None], targets=[lambda scores, box=box: scores[box]])

    return work


def main() -> None:
    setup()
    theirs: Any = torchvisions().eval()
    theirs.roi_heads.score_thresh = 0.0
    ours: Any = from_foreign(translated(theirs.state_dict(), "torchvision"), "torchvision")
    ours.choices = replace(ours.choices, score_threshold=0.0)
    image = photo(2)
    count = len(ours.predict([image])[0].instances)
    assert count >= BOXES, f"{count} boxes alone"
    asked = [explain.detection(k) for k in range(BOXES)]
    seconds = timed(
        {
            "forward": lambda: ours.predict([image]),
            f"grad_cam, {BOXES} boxes": lambda: explain.attribute_all(ours, image, asked),
            f"guided_backprop, {GUIDED} boxes": lambda: explain.attribute_all(
                ours, image, asked[:GUIDED], method="guided_backprop"
            ),
            "pytorch-grad-cam, 1 box": box_by_box(theirs, image, 1),
        },
        ROUNDS,
    )
    print_ratios(f"Faster R-CNN R50-FPN, 480 × 640, {count} boxes", seconds, "forward")


if __name__ == "__main__":
    began = time.perf_counter()
    main()
    print(f"in all {time.perf_counter() - began:.0f} s")
