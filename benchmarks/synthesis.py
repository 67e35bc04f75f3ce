"""Synthesis against lucent: steps a second on ResNet-50, and how near its floor, a forward and backward pass, is.

Claims: like for like (the same layer, size, steps and transforms; lucent resizes what it shows the network to 224, and
so does ours here) at least 1.8 × lucent's steps a second at layer2, and no slower at the last layer; with our own
defaults, one warp at 128 pixels, at least 3 ×. The floor is the stopped network, forward and backward to its input,
with no gradient for any weight. The first 16 steps of a run, where dead units are given a gradient (which lucent does
not do for this network), are a fifth slower; 16 of 512, they are left out.
"""

from collections.abc import Callable
from functools import partial

import torch
from lucent.modelzoo.util import get_model_layers
from lucent.optvis import param, render
from torch import Tensor, nn

from pellucid import explain
from pellucid.explain.forward import run_pass, watch_for
from pellucid.explain.subject import Subject, untouched

from common import print_rates, resnet50, setup, timed

STEPS = 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(images: Tensor) -> Tensor:
    """What lucent does before the network."""
    return (images - images.new_tensor(MEAN)[:, None, None]) / images.new_tensor(STD)[:, None, None]


def shown_at_224(images: Tensor) -> Tensor:
    """Lucent's last step before the network."""
    return nn.functional.interpolate(normalised(images), (224, 224), mode="bilinear", align_corners=True)


def lucent(network: nn.Module, layer: str) -> None:
    render.render_vis(
        network,
        f"{layer.replace('.', '_')}:5",
        lambda: param.image(128),
        thresholds=(STEPS,),
        progress=False,
        show_image=False,
    )


def ours(network: nn.Module, layer: str, preprocess: Callable[[Tensor], Tensor]) -> None:
    channel = explain.channel(layer, 5)
    explain.synthesize(network, channel, steps=STEPS, size=128, preprocess=preprocess, redirected_steps=0)


def floor(network: nn.Module, layer: str, side: int) -> None:
    """The stopped network alone, forward and backward to its input, as often as there are steps."""
    objective = explain.channel(layer, 5)
    images = torch.randn(1, 3, side, side)
    subject = Subject.of_frames(network, images)
    with untouched(network), torch.enable_grad():
        seen = watch_for(subject, [objective])
        assert seen is not None
        with seen:
            for _ in range(STEPS):
                x = images.clone().requires_grad_()
                torch.autograd.grad(objective(run_pass(subject, x, [objective], seen)).sum(), x)


def main() -> None:
    setup()
    network = resnet50()
    get_model_layers(network)  # lucent's own warm-up
    for layer in ("layer2", "layer4"):
        rates = timed(
            {
                "lucent": partial(lucent, network, layer),
                "pellucid, shown at 224 as lucent does": partial(ours, network, layer, shown_at_224),
                "pellucid, its own defaults": partial(ours, network, layer, normalised),
                "floor: forward and backward at 224": partial(floor, network, layer, 224),
                "floor: forward and backward at 128": partial(floor, network, layer, 128),
            },
            rounds=5,
        )
        print_rates(f"ResNet-50, {layer}, one image of 128 pixels, {STEPS} steps", rates, "lucent", STEPS)


if __name__ == "__main__":
    main()
