"""Peak memory of Grad-CAM beyond a plain forward pass. Claim: below captum's and pytorch-grad-cam's.

Each contestant runs in a process of its own; what is counted is how far the process's largest resident size grows over
what the forward pass alone had reached.
"""

import multiprocessing
import resource
import sys
from collections.abc import Callable

import torch

from common import batch, resnet50, setup

IMAGES = 8


def _largest() -> float:
    """The process's largest resident size so far, in MiB."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 2**20 if sys.platform == "darwin" else size / 2**10


def ours(network: torch.nn.Module, images: torch.Tensor) -> None:
    from pellucid import explain

    explain.attribute(network, images, 3, method="grad_cam", layer="layer4")


def captum(network: torch.nn.Module, images: torch.Tensor) -> None:
    from captum.attr import LayerGradCam

    maps = LayerGradCam(network, network.layer4).attribute(images, target=3, relu_attributions=True)
    torch.nn.functional.interpolate(maps, images.shape[-2:], mode="bilinear")


def pytorch_grad_cam(network: torch.nn.Module, images: torch.Tensor) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(model=network, target_layers=[network.layer4]) as method:
        method(input_tensor=images, targets=[ClassifierOutputTarget(3)] * len(images))


def _measure(method: Callable[[torch.nn.Module, torch.Tensor], None], results: "multiprocessing.Queue[float]") -> None:
    setup()
    network, images = resnet50(), batch(IMAGES)
    method(network, images[:1, :, :64, :64])  # imports and hooks, at a size that counts for nothing
    network.zero_grad(set_to_none=True)
    with torch.no_grad():
        network(images)
    before = _largest()
    method(network, images)
    results.put(_largest() - before)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    print(f"\nGrad-CAM, ResNet-50, batch {IMAGES} at 224: peak memory beyond a plain forward pass")
    for name, method in {"pellucid": ours, "captum": captum, "pytorch-grad-cam": pytorch_grad_cam}.items():
        results: multiprocessing.Queue[float] = context.Queue()
        process = context.Process(target=_measure, args=(method, results))
        process.start()
        print(f"  {name:<34} {results.get():8.0f} MiB", flush=True)
        process.join()


if __name__ == "__main__":
    main()
