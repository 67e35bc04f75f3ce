"""Guided backpropagation against captum's, as ratios to a plain forward pass. Claim: no slower than captum's."""

from functools import partial

import torch
from captum.attr import GuidedBackprop

from pellucid import explain

from common import batch, print_ratios, resnet50, setup, timed


def main() -> None:
    setup()
    network = resnet50()
    images = batch(8)

    def forward() -> None:
        with torch.no_grad():
            network(images)

    def captum() -> None:
        GuidedBackprop(network).attribute(images.clone().requires_grad_(), target=3)

    seconds = timed(
        {
            "plain forward pass, no grad": forward,
            "pellucid": partial(explain.attribute, network, images, 3, method="guided_backprop"),
            "captum": captum,
        },
        rounds=9,
    )
    print_ratios("Guided backpropagation, ResNet-50, batch 8 at 224", seconds, "plain forward pass, no grad")


if __name__ == "__main__":
    main()
