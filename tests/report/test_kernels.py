import pytest
import torch
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.report import draw_kernels
from pellucid.report.kernels import compose_kernels

SHAPES = [(64, 3, 11, 11), (64, 3, 7, 7), (32, 3, 3, 3), (768, 3, 16, 16), (20, 1, 5, 5), (6, 64, 3, 3), (1, 3, 1, 1),
          (40, 3, 1, 9), (40, 3, 9, 1), (17, 2, 100, 100)]  # fmt: skip


def texts(page):
    return [text.get_text() for text in page.figure().texts]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_drawn_with_its_numbers(shape, tmp_path, assert_tidy):
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    page = compose_kernels(weights, title="conv1", subtitle="alexnet, first layer")
    assert page.width <= 2000
    assert_tidy(page)
    assert "+0" in texts(page)
    with Image.open(draw_kernels(weights, path=tmp_path / "k.png", title="conv1", subtitle="")) as picture:
        picture.load()
        assert picture.format == "PNG"


def test_kernel_17_stands_in_row_16_column_1():
    weights = torch.zeros(64, 3, 8, 8)
    weights[17, 0] = 5.0
    page = compose_kernels(weights, title="", subtitle="")
    red = (page.pixels == (255, 128, 128)).all(axis=2).nonzero()
    figure = page.figure()
    at = {text.get_text(): text.get_position() for text in figure.texts}
    assert red[1].min() < at["+1"][0] < red[1].max()
    assert red[0].min() < page.height - at["16"][1] < red[0].max()


def test_each_kernel_is_scaled_by_its_own_largest_weight_and_zero_is_grey():
    weights = torch.zeros(2, 3, 1, 2)
    weights[0, :, 0, 0] = torch.tensor([1e-6, -1e-6, 0])
    weights[1, :, 0, 0] = torch.tensor([1e6, -1e6, 0])
    pixels = compose_kernels(weights, title="", subtitle="").pixels.reshape(-1, 3).tolist()
    assert pixels.count([255, 1, 128]) == 2 * 48 * 48
    assert pixels.count([128, 128, 128]) == 2 * 48 * 48


def test_the_first_256_are_shown_and_it_says_so():
    caption = " ".join(texts(compose_kernels(torch.randn(768, 3, 4, 4), title="", subtitle="")))
    assert "First 256 of 768 kernels" in caption
    assert "mid-grey is zero" in caption
    caption = " ".join(texts(compose_kernels(torch.randn(4, 5, 4, 4), title="", subtitle="")))
    assert "4 kernels" in caption
    assert "mean over 5 input channels" in caption


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(PellucidError, match="give"):
        compose_kernels(torch.zeros(3, 3), title="", subtitle="")
    with pytest.raises(PellucidError, match="NaN"):
        compose_kernels(torch.full((2, 3, 3, 3), float("nan")), title="", subtitle="")
