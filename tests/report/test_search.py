"""Contact sheets of a search: what stands where, and what they say of what is left out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pellucid.errors import PellucidError
from pellucid.explain import class_logit
from pellucid.explain.search import Found, Hit, search
from pellucid.report.page import Page
from pellucid.report.search import compose_hits, compose_rows, draw_classes, draw_layer, draw_objective

Tidy = Callable[[Page], None]


class Colours(nn.Module):
    """Many channels, each a mixture of the photo's colours; classes are their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.maps(x).mean((2, 3))


def found_in(photos: list[Path], channels: int, k: int) -> Found:
    torch.manual_seed(0)
    network = Colours(channels)
    return search(network, photos, ["maps"], k=k, classes=True, objectives=[class_logit(1)])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    made = []
    for i, size in enumerate([(40, 30), (30, 50), (64, 20), (9, 9)]):
        pixels = np.random.default_rng(i).integers(0, 255, (*size, 3), dtype=np.uint8)
        made.append(folder / f"a photo with a rather long name {i}.png")
        Image.fromarray(pixels).save(made[-1])
    return made


@pytest.mark.parametrize(("channels", "k"), [(1, 1), (3, 9), (40, 4)])
def test_sheets_of_any_shape_are_written(channels: int, k: int, photos: list[Path], tmp_path: Path) -> None:
    found = found_in(photos, max(channels, 2), k)
    for path in (
        draw_layer(found, "maps", path=tmp_path / "layer.png"),
        draw_classes(found, path=tmp_path / "classes.png"),
        draw_objective(found, "1", path=tmp_path / "objective.png"),
    ):
        with Image.open(path) as picture:
            picture.load()
            assert picture.format == "PNG"
            assert 600 <= picture.width <= 1700


def test_rows_are_tidy_and_stand_beside_their_labels(photos: list[Path], assert_tidy: Tidy, tmp_path: Path) -> None:
    for i, colour in enumerate([(250, 0, 0), (0, 250, 0)]):
        Image.new("RGB", (30, 30), colour).save(tmp_path / f"{i}.png")
    hits = [Hit(str(tmp_path / f"{i}.png"), -0.00012 * 10**i, (0, 0), (0, 0, 30, 30)) for i in (0, 1)]
    rows = [[hits[0]], [hits[1], hits[0]], [], [hits[1]] * 30]
    labels = ["0", "great white shark, man-eater, Carcharodon carcharias", "2", "a"]
    page = compose_rows("net: layer", "searched in 2 photos", "Some words. " * 30, labels, rows, 150)
    assert_tidy(page)
    texts = {text.get_text(): text.get_position() for text in page.figure().texts}
    assert "−0.000120" in texts
    red = (page.pixels == (250, 0, 0)).all(2)
    green = (page.pixels == (0, 250, 0)).all(2)
    assert red.sum() == 2 * 96 * 96
    assert green.sum() == (1 + 16) * 96 * 96
    first, last = (page.height - texts[label][1] for label in ("0", "a"))
    assert red.any(1).nonzero()[0][0] < first < red.any(1).nonzero()[0][0] + 96
    assert green.any(1).nonzero()[0][-1] - 96 < last < green.any(1).nonzero()[0][-1]


def test_an_objectives_photos_have_value_and_name(photos: list[Path], assert_tidy: Tidy) -> None:
    found = found_in(photos, 3, 4)
    page = compose_hits(found, "1", found.top_objective("1"))
    assert_tidy(page)
    texts = [text.get_text() for text in page.figure().texts]
    assert sum(text.startswith("a photo with") for text in texts) == 4
    assert "searched in 4 photos" in texts


def test_it_says_how_many_are_left_out(photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    write = Page.write
    monkeypatch.setattr(
        Page, "write", lambda self, x, y, text, **more: said.append(text) or write(self, x, y, text, **more)
    )
    draw_layer(found_in(photos, 40, 2), "maps", path=tmp_path / "a.png")
    assert any(text.startswith("The first 24 of 40 channels.") for text in said)
    assert "23" in said
    assert "24" not in said
    said.clear()
    draw_classes(found_in(photos, 25, 2), path=tmp_path / "b.png")
    assert any(text.startswith("The first 24 of 25 classes.") for text in said)
    assert "class 23" in said


def test_what_cannot_be_drawn_is_refused(photos: list[Path], tmp_path: Path) -> None:
    found = found_in(photos, 2, 2)
    with pytest.raises(PellucidError, match="layer 'map' was not searched"):
        draw_layer(found, "map", path=tmp_path / "a.png")
    with pytest.raises(PellucidError, match=r"end the name in \.png"):
        draw_layer(found, "maps", path=tmp_path / "a.jpg")
    without = search(Colours(2), photos[:1], "maps")
    with pytest.raises(PellucidError, match="did not rank classes"):
        draw_classes(without, path=tmp_path / "a.png")
    tensors = search(Colours(2), torch.rand(1, 3, 9, 9), "maps")
    draw_layer(tensors, "maps", path=tmp_path / "b.png")
    tensors.save(tmp_path / "found.npz")
    tensors = Found.read(tmp_path / "found.npz")  # which does not hold the photos
    with pytest.raises(PellucidError, match="photo 0: no such file"):
        draw_layer(tensors, "maps", path=tmp_path / "a.png")
