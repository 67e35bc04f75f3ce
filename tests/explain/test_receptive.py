"""Receptive fields against the network itself: which rows and columns turn NaN when one of the image's does."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pellucid import PellucidError
from pellucid.explain import watch
from pellucid.explain.grids import as_grid, grid_shape
from pellucid.explain.receptive import receptive_fields
from pellucid.models.classification import Classifier

SIZE = (97, 81)


def by_perturbation(
    network: nn.Module, size: tuple[int, int], layers: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each layer the smallest intervals of image rows and columns that reach each of its rows and columns.

    Each image of a batch has one row, or column, of NaN; a NaN goes through every multiplication, even by zero.
    """
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for axis in (0, 1):
        touched: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
        for start in range(0, size[axis], 16):
            part = range(start, min(start + 16, size[axis]))
            images = torch.full((len(part), 3, *size), 0.5)
            for image, at in zip(images, part, strict=True):
                image.select(1 + axis, at).fill_(float("nan"))
            with torch.no_grad(), watch(network, layers) as seen:
                for layer, activation in seen(images).items():
                    maps = as_grid(activation, size[0] / size[1], layer)
                    touched[layer].append(maps.isnan().any(1).any(2 - axis).numpy())
        for layer in layers:
            reached = np.concatenate(touched[layer])  # (image rows, layer rows)
            first, last = reached.argmax(0), size[axis] - reached[::-1].argmax(0)
            spans = np.where(reached.any(0)[:, None], np.stack([first, last], 1), 0)
            found[layer] = (spans, spans) if axis == 0 else (found[layer][0], spans)
    return found


def assert_exact(network: nn.Module, layers: Sequence[str], size: tuple[int, int] = SIZE) -> None:
    expected = by_perturbation(network, size, layers)
    found = receptive_fields(network, size, layers)
    assert list(found) == list(layers)
    for layer, spans in expected.items():
        ours = found[layer].rows.numpy(), found[layer].columns.numpy()
        # Where every unit reads padding alone in one direction, what it would read in the other shows nowhere.
        for mine, theirs, across in zip(ours, spans, ours[::-1], strict=True):
            np.testing.assert_array_equal(mine if across.any() else 0 * mine, theirs, layer)


def test_the_embedded_network(embedded: Classifier) -> None:
    layers = ["conv_stem", "blocks.0.0", "blocks.1.0.conv_dw", "blocks.2", "blocks.3.1", "blocks.5", "bn2"]
    assert_exact(embedded.network, layers)
    # Through the model and its normalisation as through the network alone, and at the network's own size.
    whole = receptive_fields(embedded, SIZE, layers)
    for layer, field in receptive_fields(embedded.network, SIZE, layers).items():
        assert torch.equal(whole[layer].rows, field.rows)
    # A pencil's work: a 3×3 kernel of stride 2, padded by one pixel at the end alone, then a 3×3 kernel of stride 1.
    fields = receptive_fields(embedded, (224, 224), ["conv_stem", "blocks.0.0.conv_dw"])
    assert fields["conv_stem"].box(0, 111) == (222, 0, 224, 3)
    assert fields["blocks.0.0.conv_dw"].box(5, 0) == (0, 8, 5, 15)


TORCHVISION = {
    "resnet18": ["conv1", "maxpool", "layer1.0", "layer2.0.downsample.0", "layer2", "layer4.1.conv1", "layer4"],
    "densenet121": ["features.pool0", "features.denseblock1", "features.transition2", "features.denseblock3"],
    "googlenet": ["maxpool1", "inception3a", "maxpool3", "inception4c.branch4"],
    "squeezenet1_1": ["features.2", "features.3", "features.5", "features.8", "classifier.1"],
    "vgg11_bn": ["features.3", "features.7", "features.13"],
    "mobilenet_v2": ["features.0", "features.4", "features.10", "features.18"],
    "shufflenet_v2_x0_5": ["maxpool", "stage2.0", "stage2.1.branch2", "stage3", "conv5"],
    "regnet_y_400mf": ["stem", "trunk_output.block1.block1-0.f.b", "trunk_output.block1", "trunk_output.block3"],
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_networks_of_torchvision(name: str) -> None:
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}
    assert_exact(torchvision.models.get_model(name, weights=None, **options).eval(), TORCHVISION[name])


def test_asymmetric_kernels_of_inception_v3() -> None:
    torch.manual_seed(0)
    network = torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    assert_exact(network, ["maxpool2", "Mixed_5d", "Mixed_6b.branch7x7_2", "Mixed_6b.branch7x7dbl_3", "Mixed_6e"])


def test_channels_last_layers_of_convnext() -> None:
    torch.manual_seed(0)
    network = torchvision.models.convnext_tiny(weights=None).eval()
    layers = ["features.0", "features.1.0.block.3", "features.1.0", "features.2", "features.3.1.block.5", "features.5"]
    assert_exact(network, layers)
    assert_exact(timm.create_model("convnext_atto").eval(), ["stem", "stages.0", "stages.1.blocks.1", "stages.2"])


def test_windows_of_a_swin_transformer_are_followed() -> None:
    torch.manual_seed(0)
    network = torchvision.models.swin_t(weights=None).eval()
    field = receptive_fields(network, (224, 224), ["features.0", "features.1.0", "features.1.1", "features.7"])
    assert field["features.0"].box(3, 55) == (220, 12, 224, 16)
    assert field["features.1.0"].box(8, 0) == (0, 28, 28, 56)  # windows of 7 × 7 patches of 4 × 4 pixels
    assert field["features.1.1"].rows[20].tolist() == [
        56,
        112,
    ]  # windows moved by 3 patches reach into their neighbours
    assert field["features.7"].box(0, 0) == (0, 0, 224, 224)


def test_tokens_of_a_vision_transformer() -> None:
    network = timm.create_model("vit_tiny_patch16_224", img_size=(64, 96), depth=2, embed_dim=48, num_heads=3).eval()
    field = receptive_fields(network, (64, 96), ["patch_embed", "pos_drop", "blocks.0", "head"])
    for layer in ("patch_embed", "pos_drop"):  # without and with a class token
        assert field[layer].rows.tolist() == [[16 * i, 16 * i + 16] for i in range(4)]
        assert field[layer].columns.tolist() == [[16 * i, 16 * i + 16] for i in range(6)]
    assert field["blocks.0"].box(3, 5) == (0, 0, 96, 64)
    assert field["blocks.0"].rows.shape == (4, 2)
    assert field["head"].rows.tolist() == [[0, 64]]


class Net(nn.Module):
    """A function around some layers, and the layer ``out``, which hands its result on."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.function, self.out = nn.ModuleList(layers), function, nn.Identity()
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.function(x, *self.layers))


def conv(kernel: int | tuple[int, int] = 3, **more: object) -> nn.Conv2d:
    return nn.Conv2d(3, 3, kernel, **more)  # type: ignore[arg-type]


def transposed(kernel: int, **more: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(3, 3, kernel, **more)


def in_a_chain(x: Tensor, *layers: nn.Module) -> Tensor:
    return nn.Sequential(*layers)(x)


def cut_and_joined(x: Tensor, one: nn.Module, other: nn.Module) -> Tensor:
    left, right = x[..., :7].contiguous(), x[..., 7:]
    return torch.cat([torch.zeros_like(left), one(x)[..., 3:9], other(right), left.flip(-1)], dim=-1)


def written_in_parts(x: Tensor, one: nn.Module) -> Tensor:
    y = torch.zeros_like(x)
    y[:, :1] = x[:, :1]  # in place, on a part: what is known of y is not enough any more
    return one(y)


def in_place_between_aliases(x: Tensor, one: nn.Module) -> Tensor:
    y = one(x)
    part = y[:, 1:]
    y += y.mean((2, 3), keepdim=True)
    return part


def through_windows(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    windows = x.reshape(n, c, h // 4, 4, w // 2, 2)
    return (windows * windows.softmax(3).amax(5, keepdim=True)).reshape(n, c, h, w)


HAND_MADE: dict[str, tuple[Net, tuple[int, int]]] = {
    "dilated": (Net(in_a_chain, conv(3, dilation=4, padding=2), conv((2, 5), dilation=(3, 1), stride=2)), (33, 29)),
    "transposed": (Net(in_a_chain, conv(3, stride=3), transposed(4, stride=3, padding=1, output_padding=2)), (23, 30)),
    "transposed, dilated": (Net(in_a_chain, conv(2, stride=2), transposed(3, stride=2, dilation=3)), (21, 16)),
    "kernels smaller than strides": (Net(in_a_chain, conv(1, stride=3, padding=2), conv(2, stride=3)), (31, 26)),
    "pools": (Net(in_a_chain, nn.MaxPool2d(3, 2, 1), nn.AvgPool2d((2, 3), ceil_mode=True)), (29, 35)),
    "dilated pool, ceil mode": (Net(in_a_chain, nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True)), (30, 27)),
    "adaptive pools": (Net(in_a_chain, nn.AdaptiveAvgPool2d((7, 11)), nn.AdaptiveMaxPool2d((3, 20))), (17, 30)),
    "reflected": (Net(in_a_chain, nn.ReflectionPad2d((5, 2, 0, 7)), conv(3, stride=2)), (17, 12)),
    "replicated and cropped": (
        Net(in_a_chain, nn.ReplicationPad2d((3, 1, 2, 4)), nn.ZeroPad2d((-2, 5, 3, -4))),
        (9, 14),
    ),
    "nearest": (Net(in_a_chain, conv(3), nn.Upsample(scale_factor=(2.5, 3))), (13, 11)),
    "bilinear": (Net(lambda x: F.interpolate(x, (31, 9), mode="bilinear")), (13, 22)),
    "bilinear, corners": (Net(lambda x: F.interpolate(x, (31, 50), mode="bilinear", align_corners=True)), (13, 22)),
    "bicubic": (Net(in_a_chain, conv(3), nn.Upsample(scale_factor=1.7, mode="bicubic")), (13, 11)),
    "antialiased": (Net(lambda x: F.interpolate(x, (6, 40), mode="bilinear", antialias=True)), (29, 22)),
    "pixel shuffles": (
        Net(lambda x, a: F.pixel_unshuffle(F.pixel_shuffle(a(x).repeat(1, 3, 1, 1)[:, :9], 3), 2), conv()),
        (10, 14),
    ),
    "slices": (Net(lambda x, a: a(x[:, :, 3:-2:2, -20:])[:, :, :, 1::3], conv(3, padding=1)), (25, 31)),
    "splits": (Net(lambda x, a: torch.cat(a(x).split([4, 9, 5], 2)[::-1], 2).roll(3, 3), conv()), (20, 17)),
    "a column of each half": (
        Net(lambda x, a: torch.stack([a(x).chunk(2, 3)[1][..., 2], a(x)[..., 4]], -1), conv()),
        (12, 16),
    ),
    "cut and joined": (Net(cut_and_joined, conv(3, padding=1), conv(5, padding=2)), (12, 19)),
    "two branches": (Net(lambda x, a, b: a(x) + b(x), conv(5, padding=2), conv(1)), (14, 15)),
    "gate": (Net(lambda x, a: a(x) * x.mean((2, 3), keepdim=True).sigmoid(), conv(3, padding=1)), (10, 12)),
    "a mean of each row": (Net(lambda x, a: a(x) * x.mean(3, keepdim=True), conv(3, padding=1)), (10, 12)),
    "flattened and back": (Net(lambda x, a: a(x).flatten(2).transpose(1, 2).mT.unflatten(2, (8, 9)), conv()), (10, 11)),
    "rows and columns exchanged twice": (Net(lambda x, a, b: b(a(x).mT).mT, conv((3, 5)), conv((1, 4))), (15, 16)),
    "a linear layer along the rows": (Net(lambda x, a: a(x.mT).mT, nn.Linear(14, 9)), (14, 11)),
    "channels last": (
        Net(lambda x, a, b: b(a(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2), nn.Linear(3, 4), nn.LayerNorm(4)),
        (9, 13),
    ),
    "windows": (Net(through_windows), (16, 12)),
    "batch statistics": (Net(in_a_chain, conv(3), nn.BatchNorm2d(3, track_running_stats=False)), (9, 8)),
    "group norm": (Net(in_a_chain, conv(3), nn.GroupNorm(3, 3)), (9, 8)),
    "unfolded": (Net(lambda x, a: a(x).unfold(2, 3, 2).amax(4), conv(3)), (19, 8)),
    "in place": (Net(lambda x, a: a(x).relu_().mul_(2).add_(x[..., 1:-1, 1:-1]), conv(3)), (9, 8)),
    "in place between aliases": (Net(in_place_between_aliases, conv(3)), (9, 8)),
}


@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_networks(name: str) -> None:
    network, size = HAND_MADE[name]
    assert_exact(network, ["out"], size)


def test_unknown_operations_and_writes_into_parts_count_as_the_whole_image() -> None:
    for network in (
        Net(written_in_parts, conv(1)),
        Net(lambda x: torch.fft.fft2(x).real),
        Net(lambda x, a: a(x) if float(x.mean()) > 0 else x, conv(1)),  # what was run depends on the whole image
        Net(lambda x: torch.as_strided(x, x.shape, x.stride())),
    ):
        field = receptive_fields(network, (9, 12), "out")["out"]
        assert field.rows.tolist() == [[0, 9]] * 9
        assert field.columns.tolist() == [[0, 12]] * 12


def test_a_layer_that_reads_padding_alone_has_empty_intervals() -> None:
    field = receptive_fields(Net(in_a_chain, conv(1, padding=2)), (4, 4), "out")["out"]
    assert field.rows.tolist() == [[0, 0], [0, 0], [0, 1], [1, 2], [2, 3], [3, 4], [0, 0], [0, 0]]


def test_unknown_layers_are_refused_and_the_network_is_left_as_it_was() -> None:
    network = Net(in_a_chain, conv(), nn.BatchNorm2d(3)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    receptive_fields(network, (9, 9), "layers.1")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(module.training for module in network.modules())
    with pytest.raises(PellucidError, match="unknown layer"):
        receptive_fields(network, (9, 9), "layers.7")


LAYER = st.one_of(
    st.builds(
        lambda k, s, p, d: nn.Conv2d(2, 2, k, stride=s, padding=p, dilation=d),
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
        st.tuples(st.integers(1, 3), st.integers(1, 3)),
        st.tuples(st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ),
    st.builds(
        lambda k, s, p: nn.ConvTranspose2d(2, 2, k, stride=s, padding=p),
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(0, 1),
    ),
    st.builds(
        lambda k, s, ceil, d: nn.MaxPool2d(k, s, k // 2, d, ceil_mode=ceil),
        st.integers(1, 4),
        st.integers(1, 3),
        st.booleans(),
        st.integers(1, 2),
    ),
    st.builds(lambda k, s, ceil: nn.AvgPool2d(k, s, k // 2, ceil), st.integers(1, 4), st.integers(1, 3), st.booleans()),
    st.builds(lambda h, w: nn.AdaptiveAvgPool2d((h, w)), st.integers(1, 9), st.integers(1, 9)),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(LAYER, min_size=1, max_size=4), st.integers(5, 24), st.integers(5, 24))
def test_any_stack_of_convolutions_and_pools(layers: list[nn.Module], height: int, width: int) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), *layers, nn.Identity()).eval()
    try:
        with torch.no_grad():
            shape = network(torch.zeros(1, 3, height, width)).shape
    except RuntimeError:  # the image is too small for this stack
        return
    kind, *_ = grid_shape(shape, height / width) or ("none",)
    assume(kind == "maps")  # some shapes look as if channels were last
    assert_exact(network, [str(len(layers) + 1)], (height, width))
