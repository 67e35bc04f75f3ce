"""First-layer kernels."""

import pytest
import torch
from torch import nn

from pellucid import PellucidError
from pellucid.explain import first_kernels
from pellucid.models.classification import Classifier

from .networks import Linear, Small


def test_the_first_kernels_are_the_first_convolutions_weights() -> None:
    network = Small()
    name, weights = first_kernels(network)
    assert name == "conv1"
    assert torch.equal(weights, network.conv1.weight)
    assert not weights.requires_grad


def test_another_convolution_can_be_named_or_globbed() -> None:
    network = Small()
    for layer in ("conv2", "*2"):
        name, weights = first_kernels(network, layer)
        assert name == "conv2"
        assert torch.equal(weights, network.conv2.weight)


def test_our_own_models_kernels_are_their_networks(embedded: Classifier) -> None:
    name, weights = first_kernels(embedded)
    assert name == "conv_stem"
    assert weights.shape == (32, 3, 3, 3)


def test_a_network_that_is_a_single_convolution_in_a_sequence_has_its_kernels() -> None:
    convolution = nn.Conv2d(1, 2, 5)
    name, weights = first_kernels(nn.Sequential(nn.Identity(), convolution))
    assert name == "1"
    assert weights.shape == (2, 1, 5, 5)


def test_what_has_no_kernels_is_refused() -> None:
    with pytest.raises(PellucidError, match="no convolution"):
        first_kernels(Linear())
    with pytest.raises(PellucidError, match=r"layer 'fc' is no 2-D convolution; the convolutions are conv1, conv2"):
        first_kernels(Small(), "fc")
    with pytest.raises(PellucidError, match="unknown layer 'conv3'; did you mean"):
        first_kernels(Small(), "conv3")
