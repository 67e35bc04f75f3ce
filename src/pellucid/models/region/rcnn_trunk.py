"""A classification network without its classifier, for models that look at one crop or photo at a time."""

from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.models.loading import load
from pellucid.models.norms import freeze_norms
from pellucid.models.preprocessing import Preprocessing

_HEADS = ("avgpool", "classifier", "fc", "heads", "head")
_PROBE = 64
"""The side of the image by which a network's features are found out."""


class Trunk(nn.Module):
    """Maps of features (N, C, h, w) of a normalised batch (N, 3, s, s).

    ``channels``: C. ``frozen_norm``: batch normalisation keeps its statistics and weights in training, as small batches
    want it. A trunk whose features have no place, such as a vision transformer's tokens, is refused.
    """

    def __init__(self, body: nn.Module, frozen_norm: bool = True) -> None:
        super().__init__()
        example = torch.zeros(1, 3, _PROBE, _PROBE)
        self.body: Any = freeze_norms(body, example) if frozen_norm else body
        self.to(memory_format=torch.channels_last)
        self.eval()
        with torch.no_grad():
            maps = self(example)
        if maps.ndim != 4 or maps.shape[-1] > maps.shape[1]:
            raise PellucidError("its features are no maps of channels first")
        self.channels = int(maps.shape[1])

    def forward(self, batch: Tensor) -> Tensor:
        """(N, 3, s, s) as (N, C, h, w)."""
        features = getattr(self.body, "forward_features", self.body)
        maps: Tensor = features(batch.contiguous(memory_format=torch.channels_last))
        return maps


def make_trunk(name: str, pretrained: bool, frozen_norm: bool) -> tuple[Trunk, Preprocessing]:
    """The trunk of a classifier by its name, and how it wants its photos; raises PellucidError as ``load`` does."""
    classifier: Any = load(name, pretrained=pretrained)
    network: Any = classifier.network
    if hasattr(network, "forward_features"):
        network.reset_classifier(0)
    else:  # torchvision's: modules in order, up to the pooling
        children = list(network.named_children())
        end = next((i for i, (child, _) in enumerate(children) if child in _HEADS), len(children))
        network = nn.Sequential(*(module for _, module in children[:end]))
    try:
        return Trunk(network, frozen_norm), classifier.preprocessing
    except (PellucidError, RuntimeError, AssertionError, TypeError) as error:
        raise PellucidError(
            f"{name}: gives no maps of features for photos of any size; choose a convolutional network, such as "
            "tf_efficientnet_lite0 or resnet50"
        ) from error
