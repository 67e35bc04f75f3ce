"""Grad-CAM against a plain forward pass, captum and pytorch-grad-cam: one class of a batch, twenty classes of an image.

Claims: at most 1.10 × the no-grad forward pass for ResNet-50, batch 8 at 224; at most 1.3 × one for twenty classes.
"""

from functools import partial

import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from pellucid import explain

from common import batch, print_ratios, resnet50, setup, timed


def main() -> None:
    setup()
    network = resnet50()
    layer = network.layer4

    def forward(images: torch.Tensor) -> None:
        with torch.no_grad():
            network(images)

    def ours(images: torch.Tensor, classes: list[int]) -> None:
        explain.attribute_all(network, images, classes, method="grad_cam", layer="layer4")

    def captum(images: torch.Tensor, classes: list[int]) -> None:
        method = LayerGradCam(network, layer)
        for index in classes:
            maps = method.attribute(images, target=index, relu_attributions=True)
            torch.nn.functional.interpolate(maps, images.shape[-2:], mode="bilinear")

    def pytorch_grad_cam(images: torch.Tensor, classes: list[int]) -> None:
        with GradCAM(model=network, target_layers=[layer]) as method:
            for index in classes:
                method(input_tensor=images, targets=[ClassifierOutputTarget(index)] * len(images))

    def contestants(images: torch.Tensor, classes: list[int]) -> dict[str, partial[None]]:
        return {
            "plain forward pass, no grad": partial(forward, images),
            "pellucid": partial(ours, images, classes),
            "captum": partial(captum, images, classes),
            "pytorch-grad-cam": partial(pytorch_grad_cam, images, classes),
        }

    baseline = "plain forward pass, no grad"
    eight = timed(contestants(batch(8), [3]), rounds=9)
    print_ratios("Grad-CAM, ResNet-50, batch 8 at 224, one class", eight, baseline)
    twenty = timed(contestants(batch(1), list(range(20))), rounds=5)
    print_ratios("Grad-CAM, ResNet-50, one image at 224, twenty classes", twenty, baseline)


if __name__ == "__main__":
    main()
