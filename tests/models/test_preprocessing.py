"""Preprocessing: the numbers of timm's and torchvision's own transforms, and a placement that is exact."""

import json
import math

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data
from timm.data import resolve_model_data_config
from timm.data.transforms import ResizeKeepRatio, str_to_interp_mode, str_to_pil_interp
from timm.data.transforms_factory import transforms_imagenet_eval
from torchvision.models import get_model_weights

from pellucid.errors import PellucidError
from pellucid.models import Preprocessing
from pellucid.structures import read_photo

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOLERANCE = 1.5 / 255
"""Pillow rounds to 8 bits after each axis; ours does not round."""

NOISE = np.random.default_rng(0).integers(0, 256, (300, 301, 3), dtype=np.uint8)
PHOTOS = {
    "chelsea": data.chelsea(),
    "coffee": data.coffee(),
    "astronaut": data.astronaut(),
    "tall": data.chelsea()[:, 200:237],
    "one pixel": data.chelsea()[:1, :1],
    "strip": NOISE[:3, :280],
    "noise": NOISE,
    "exact": data.chelsea()[:224, :224],
}


def framed(preprocessing: Preprocessing, photo: np.ndarray) -> torch.Tensor:
    return preprocessing.frame(read_photo(photo) / 255)[0]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("size", "crop_fraction"), [((224, 224), 0.875), ((224, 224), 1.0), ((128, 200), 0.95)])
def test_parity_with_timm(size, crop_fraction, crop_mode, interpolation):
    resize = tuple(math.floor(side / crop_fraction) for side in size)
    ours = Preprocessing(size, resize, interpolation, crop_mode, MEAN, STD)
    theirs = transforms_imagenet_eval(
        size, crop_pct=crop_fraction, crop_mode=crop_mode, interpolation=interpolation, normalize=False, mean=MEAN
    )
    keeping = [t for t in theirs.transforms if isinstance(t, ResizeKeepRatio)]
    if keeping and keeping[0].interpolation != str_to_interp_mode(interpolation):
        pytest.skip("this version of timm takes bilinear for every frame that is not square")
    for name, photo in PHOTOS.items():
        image = Image.fromarray(np.ascontiguousarray(photo))
        if crop_mode == "squash":  # Pillow 13 may go along the height first, earlier ones never do
            image = image.resize((resize[1], image.height), str_to_pil_interp(interpolation))
        expected = theirs(image).float() / 255
        frame = framed(ours, photo)
        assert frame.shape == expected.shape
        assert (frame - expected).abs().max() < TOLERANCE, name
        assert frame.min() >= -1e-5, name
        assert frame.max() <= 1 + 1e-5, name


@pytest.mark.parametrize("name", ["resnet50", "vit_b_16", "inception_v3"])
def test_parity_with_torchvision(name):
    transforms = get_model_weights(name).DEFAULT.transforms()
    ours = Preprocessing.from_torchvision(transforms)
    for photo in PHOTOS.values():
        expected = transforms(Image.fromarray(np.ascontiguousarray(photo)))
        difference = ours.normalise(framed(ours, photo)) - expected
        assert (difference * torch.tensor(STD)[:, None, None]).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "mobilenetv3_small_050"])
def test_from_timm_is_timms_own_transform(name):
    network = timm.create_model(name)
    config = resolve_model_data_config(network)
    ours = Preprocessing.from_timm(network)
    theirs = timm.data.create_transform(**config, is_training=False)
    difference = ours.normalise(framed(ours, data.chelsea())) - theirs(Image.fromarray(data.chelsea()))
    assert (difference * torch.tensor(config["std"])[:, None, None]).abs().max() < TOLERANCE


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("height", "width"), [(300, 451), (451, 300), (50, 70), (64, 64), (10, 333), (97, 31)])
def test_the_placement_is_exact(crop_mode, height, width):
    # An image whose values are its own coordinates tells where each pixel of the frame came from.
    xs = (torch.arange(width) + 0.5).expand(height, width) / width
    ys = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    ours = Preprocessing((64, 80), (70, 90), "bilinear", crop_mode, MEAN, STD)
    frame, placement = ours.frame(torch.stack([xs, ys, torch.ones(height, width)]))
    assert (placement.photo, placement.frame) == ((height, width), (64, 80))
    x1, y1, x2, y2 = placement.box
    columns = (x1 + (torch.arange(80) + 0.5) * (x2 - x1) / 80) / width
    rows = (y1 + (torch.arange(64) + 0.5) * (y2 - y1) / 64) / height
    # at the rim of the photo the filter is cut off, which moves its centre
    reach_x, reach_y = (max(1.0, (x2 - x1) / 80) + 0.5) / width, (max(1.0, (y2 - y1) / 64) + 0.5) / height
    inner = ((rows > reach_y) & (rows < 1 - reach_y))[:, None] & ((columns > reach_x) & (columns < 1 - reach_x))[None]
    assert inner.any()
    for off in ((frame[0] - columns)[inner] * width, (frame[1] - rows[:, None])[inner] * height):
        # in pixels of the photo; the sampled filter's own centre wavers where it reduces by little
        assert off.abs().max() < 0.06
        assert off.mean().abs() < 2e-3
    outside = ((rows < 0) | (rows > 1))[:, None] | ((columns < 0) | (columns > 1))[None]
    fill = round(255 * MEAN[2]) / 255 if crop_mode == "border" else 0.0
    assert torch.allclose(frame[2][outside], torch.tensor(fill))
    assert torch.allclose(frame[2][~outside], torch.tensor(1.0))


def test_frames_are_differentiable():
    photo = torch.rand(3, 12, 7, dtype=torch.float64) * 0.5 + 0.25
    for interpolation in ("bicubic", "bilinear", "nearest"):
        for crop_mode in ("center", "border"):
            ours = Preprocessing((4, 4), (5, 5), interpolation, crop_mode, MEAN, STD)
            assert torch.autograd.gradcheck(lambda x, p=ours: p.frame(x)[0], photo.clone().requires_grad_())


def test_a_batch_is_framed_as_its_images_are():
    ours = Preprocessing((32, 32), (36, 36), "bicubic", "center", MEAN, STD)
    batch = torch.rand(3, 3, 50, 40)
    frames, placement = ours.frame(batch)
    for image, frame in zip(batch, frames, strict=True):
        assert torch.allclose(ours.frame(image)[0], frame, atol=1e-6)
        assert ours.frame(image)[1] == placement


def test_what_fits_is_left_as_it_is():
    ours = Preprocessing((32, 32), (32, 32), "bicubic", "center", MEAN, STD)
    image = torch.rand(3, 32, 32)
    frame, placement = ours.frame(image)
    assert placement.is_identity
    assert torch.equal(frame, image)


def test_plain_white_keeps_its_gradient():
    photo = torch.ones(3, 50, 61, requires_grad=True)
    Preprocessing((32, 32), (40, 40), "bicubic", "center", MEAN, STD).frame(photo)[0].sum().backward()
    assert photo.grad is not None
    assert photo.grad.sum().item() == pytest.approx(3 * 32 * 32, rel=1e-4)


def test_extreme_photos_are_enlarged_only_where_they_are_seen():
    # the whole of it resized would be 256 × 3,072,000 pixels
    frame, placement = Preprocessing((224, 224), (256, 256), "bicubic", "center", MEAN, STD).frame(
        torch.rand(3, 1, 12_000)
    )
    assert frame.shape == (3, 224, 224)
    assert placement.box[2] - placement.box[0] == pytest.approx(224 / 256)


def test_dictionaries_and_json_round_trip():
    ours = Preprocessing((224, 200), (256, 230), "bicubic", "border", MEAN, STD)
    assert Preprocessing.from_dict(json.loads(json.dumps(ours.to_dict()))) == ours


@pytest.mark.parametrize(
    "change",
    [
        {"interpolation": "lanczos"},
        {"crop_mode": "corner"},
        {"mean": (0.5,)},
        {"size": (0, 5)},
        {"std": (1.0, 0.0, 1.0)},
    ],
)
def test_nonsense_is_refused(change):
    valid = Preprocessing((224, 224), (256, 256), "bicubic", "center", MEAN, STD).to_dict()
    with pytest.raises(PellucidError, match=r"^preprocessing: "):
        Preprocessing.from_dict({**valid, **change})


def test_networks_of_other_channels_are_refused():
    with pytest.raises(PellucidError, match="1 channels"):
        Preprocessing.from_timm(
            timm.create_model("resnet18", in_chans=1, pretrained_cfg_overlay={"input_size": (1, 64, 64)})
        )
