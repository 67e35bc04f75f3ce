"""Backbones: which maps they give, with which weights, and what of them learns."""

import pytest
import torch

import pellucid
from pellucid.errors import PellucidError
from pellucid.models.backbones import Backbone
from pellucid.models.necks import FeaturePyramid

PHOTO = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))


def test_the_embedded_weights_give_the_classifiers_features() -> None:
    backbone = Backbone(frozen_stages=0).eval()
    network = pellucid.load().network
    x = backbone.normalise(PHOTO)
    with torch.no_grad():
        maps = backbone(x)
        kept = []
        x = network.bn1(network.conv_stem(x))
        for number, block in enumerate(network.blocks):
            x = block(x)
            if number in (1, 2, 4, 6):
                kept.append(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(24, 24, 32), (40, 12, 16), (112, 6, 8), (320, 3, 4)]
    for one, expected in zip(maps, kept, strict=True):
        torch.testing.assert_close(one, expected, atol=2e-3, rtol=1e-3)


def test_nothing_is_computed_after_the_last_map() -> None:
    assert len(Backbone(strides=(16,), pretrained=False).body.blocks) == 5
    assert not hasattr(Backbone("resnet18", strides=(8, 16), pretrained=False).body, "layer4")


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_the_last_stage_taken_off_is_what_was_there(name: str) -> None:
    torch.manual_seed(0)
    whole = Backbone(name, strides=(16, 32), pretrained=False).eval()
    torch.manual_seed(0)
    cut = Backbone(name, strides=(16, 32), pretrained=False).eval()
    stage = cut.take_last_stage().eval()
    x = whole.normalise(PHOTO)
    with torch.no_grad():
        (before,), (first, last) = cut(x), whole(x)
        torch.testing.assert_close(before, first)
        torch.testing.assert_close(stage(before), last)
    assert (cut.strides, cut.stage_channels) == ([16], whole.channels[1])


def test_frozen_stages() -> None:
    names = [
        n for n, p in Backbone("resnet18", frozen_stages=2, pretrained=False).named_parameters() if p.requires_grad
    ]
    assert {name.split(".")[1] for name in names} == {"layer2", "layer3", "layer4"}
    assert all(p.requires_grad for p in Backbone("resnet18", frozen_stages=0, pretrained=False).parameters())


def test_the_caller_hears_what_a_backbone_cannot() -> None:
    with pytest.raises(PellucidError, match="has no feature map of stride 3"):
        Backbone(strides=(3,), pretrained=False)
    with pytest.raises(PellucidError, match="frozen stages"):
        Backbone(frozen_stages=9, pretrained=False)
    with pytest.raises(PellucidError, match="unknown model"):
        Backbone("resnot50", pretrained=False)
    with pytest.raises(PellucidError, match="give 'frozen' or 'batch'"):
        Backbone(norm="group", pretrained=False)


def test_a_pyramid_adds_the_coarser_to_the_finer() -> None:
    neck = FeaturePyramid([1, 1], 1)
    with torch.no_grad():
        for layer in (*neck.lateral, *neck.output):
            layer.weight.zero_()
            layer.weight[..., layer.weight.shape[-2] // 2, layer.weight.shape[-1] // 2] = 1
    fine, coarse = torch.zeros(1, 1, 4, 4), torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    made = neck([fine + 10, coarse])
    assert made[0][0, 0].tolist() == [[11, 11, 12, 12], [11, 11, 12, 12], [13, 13, 14, 14], [13, 13, 14, 14]]
    assert made[1].tolist() == coarse.tolist()
    assert made[2].tolist() == [[[[1.0]]]]  # every second position of the coarsest


def test_balance_brings_every_level_to_unit_strength() -> None:
    torch.manual_seed(0)
    maps = [100 * torch.randn(1, 8, 16, 16), 0.01 * torch.randn(1, 8, 8, 8)]
    neck = FeaturePyramid([8, 8], 32)
    neck.balance(maps)
    for layer, x in zip(neck.lateral, maps, strict=True):
        assert 0.2 < float(layer(x).detach().std()) < 1.5
