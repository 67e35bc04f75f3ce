import pytest
import torch

from pellucid.explain.synthesis import Synthesis
from pellucid.report.synthesis import curves, draw_synthesis


def made(number, size=(128, 128), objectives=None, snapshots=(), steps=20):
    images = torch.rand(number, 3, *size, generator=torch.Generator().manual_seed(0))
    history = torch.linspace(-1, 30, steps)[:, None].expand(steps, number)
    names = tuple(objectives or ["blocks.3.1:42"] * number)
    kept = dict.fromkeys(snapshots, images)
    return Synthesis(images, torch.arange(number) + 0.5, history, names, kept)


def texts(page):
    return [text.get_text() for text in page.figure().texts]


@pytest.mark.parametrize(
    ("number", "size", "snapshots"),
    [(1, (128, 128), ()), (1, (64, 200), (1, 5, 20)), (6, (32, 32), ()), (30, (512, 300), ()), (2, (9, 8), (3,))],
)
def test_every_page_is_tidy(number, size, snapshots, assert_tidy):
    page = draw_synthesis(made(number, size, snapshots=snapshots), "a network of some name")
    assert_tidy(page)
    assert texts(page).count("0.5") == 1
    assert ("step 5" in texts(page)) == (5 in snapshots)


def test_each_image_of_a_way_has_its_objective(assert_tidy):
    way = ["logit:tabby", "0.5*logit:tabby + 0.5*blocks.3.1:42 and much more of the same", "blocks.3.1:42"]
    page = draw_synthesis(made(3, objectives=way), "network")
    assert_tidy(page)
    assert "logit:tabby to blocks.3.1:42" in texts(page)
    assert "logit:tabby" in texts(page)


@pytest.mark.parametrize("lines", [torch.zeros(1, 1), torch.zeros(2, 50), torch.tensor([[1.0, float("nan"), 3]])])
def test_curves_of_anything(lines):
    assert curves(lines, 200, 60).shape == (60, 200, 3)


def test_a_rising_line_is_high_on_the_right():
    picture = curves(torch.linspace(0, 1, 30)[None], 120, 60).astype(int)
    blue = picture[..., 2] - picture[..., 0] > 80
    rows = [int(blue[:, x].nonzero()[0].mean()) for x in (12, 108)]
    assert rows[0] > 45
    assert rows[1] < 15
