"""Photos, maps and a check of the lettering for the tests of pictures."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from pellucid.explain.attribution.explanation import Explanation
from pellucid.report.page import Page
from pellucid.structures import ClassScore, Placement

Explain = Callable[..., Explanation]
Place = Callable[[Tensor], Placement]


@pytest.fixture(scope="session")
def cat() -> Tensor:
    return torch.from_numpy(data.chelsea().transpose(2, 0, 1).copy())


@pytest.fixture
def scores() -> list[ClassScore]:
    named = {"tabby": 0.612, "Egyptian cat": 0.28, "tiger cat": 0.052, "lynx, catamount": 0.011, "Windsor tie": 0.0004}
    return [ClassScore(name, index, p) for index, (name, p) in enumerate(named.items())]


@pytest.fixture
def centred() -> Place:
    """The placement of a square in the middle of a photo."""

    def placed(photo: Tensor) -> Placement:
        height, width = photo.shape[1:]
        side = min(height, width) * 0.875
        box = ((width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2)
        return Placement((height, width), (96, 96), box)

    return placed


@pytest.fixture
def squashed() -> Place:
    """The placement of a whole photo squeezed to a square."""

    def placed(photo: Tensor) -> Placement:
        height, width = photo.shape[1:]
        return Placement((height, width), (96, 96), (0.0, 0.0, float(width), float(height)))

    return placed


@pytest.fixture
def explain() -> Explain:
    def made(method: str, target: str, placement: Placement, *, seed: int = 0) -> Explanation:
        h, w = placement.frame
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:h, :w]
        cy, cx = rng.uniform(0.2, 0.8, 2) * (h, w)
        blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (0.15 * h) ** 2)
        fine = "cam" not in method and method not in ("saliency", "occlusion", "rise")
        values = rng.normal(size=(3, h, w)) * blob if fine else blob
        layer = "blocks.6.0.bn3" if "cam" in method else None
        return Explanation(method, target, layer, torch.from_numpy(values).float(), placement)

    return made


@pytest.fixture
def assert_tidy() -> Callable[[Page], None]:
    return _assert_tidy


def _assert_tidy(page: Page) -> None:
    """Every text lies on the page, on a plain ground (so over no picture and no bar), and touches no other text."""
    figure = page.figure()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts]
    assert boxes
    for number, (text, box) in enumerate(boxes):
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= page.width, text
        assert box.y1 <= page.height, text
        rows = slice(int(page.height - box.y1), int(np.ceil(page.height - box.y0)))
        ground = page.pixels[rows, int(box.x0) : int(np.ceil(box.x1))].reshape(-1, 3)
        assert (ground == ground[0]).all(), f"{text!r} lies over a picture"
        for other, beside in boxes[number + 1 :]:
            apart = box.x1 <= beside.x0 or beside.x1 <= box.x0 or box.y1 <= beside.y0 or beside.y1 <= box.y0
            assert apart, f"{text!r} overlaps {other!r}"
