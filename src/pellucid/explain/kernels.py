"""First-layer kernels: the patterns that a network looks for in the pixels themselves."""

from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain.subject import is_framed
from pellucid.explain.watching import match_layers


def first_kernels(model: nn.Module, layer: str | None = None) -> tuple[str, Tensor]:
    """The name and the weights (C_out, C_in, kh, kw) of the first convolution, or of the convolution named.

    Raises PellucidError where the network has none, and for a named layer that is no 2-D convolution.
    """
    network = model.network if is_framed(model) else model
    convolutions = {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    if layer is None:
        if not convolutions:
            raise PellucidError("this network has no convolution, so it has no kernels to draw")
        layer = next(iter(convolutions))
    else:
        (layer, *_) = match_layers(network, layer)
        if layer not in convolutions:
            some = ", ".join(list(convolutions)[:4])
            raise PellucidError(f"layer '{layer}' is no 2-D convolution; the convolutions are {some} …")
    return layer, convolutions[layer].weight.detach()
