import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.report import draw_adversarial
from pellucid.report.adversarial import _perturbation, compose_adversarial
from pellucid.structures import ClassScore

AFTER = [ClassScore("teapot", 9, 0.9), ClassScore("tabby", 0, 0.05), ClassScore("a long name " * 9, 3, 0.01)]


def changed(photo, most):
    noise = torch.randint(-most, most + 1, photo.shape, generator=torch.Generator().manual_seed(0))
    return (photo.int() + noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("size", [(300, 451), (90, 300), (300, 90), (1, 1)])
@pytest.mark.parametrize("whole", [False, True])
def test_the_row_is_tidy_for_any_aspect(size, whole, scores, explain, centred, squashed, assert_tidy):
    photo = torch.full((3, *size), 100, dtype=torch.uint8)
    place = (squashed if whole else centred)(photo)
    page = compose_adversarial(
        photo, changed(photo, 4), before=scores, after=AFTER, title="tabby becomes teapot", subtitle="PGD",
        explanation_before=explain("grad_cam", "tabby", place), explanation_after=explain("grad_cam", "teapot", place),
    )  # fmt: skip
    assert page.width == 1676
    assert_tidy(page)
    written = [text.get_text() for text in page.figure().texts]
    assert "Grad-CAM, before" in written
    assert "for teapot, blocks.6.0.bn3" in written


def test_it_writes_a_png(cat, scores, explain, centred, tmp_path):
    made = draw_adversarial(
        cat, changed(cat, 2), before=scores, after=AFTER, path=tmp_path / "a.png", title="a", subtitle="b",
        explanation_before=explain("rise", "tabby", centred(cat)),
        explanation_after=explain("rise", "teapot", centred(cat)),
    )  # fmt: skip
    with Image.open(made) as picture:
        picture.load()
        assert picture.size[0] == 1676


@pytest.mark.parametrize(("most", "told"), [(1, "× 127"), (4, "× 31"), (100, "× 1"), (0, "No perturbation")])
def test_the_perturbation_reaches_full_range_and_its_factor_is_told(most, told, scores, explain, squashed):
    photo = torch.full((3, 64, 64), 128, dtype=torch.uint8)
    page = compose_adversarial(
        photo, changed(photo, most), before=scores, after=AFTER, title="", subtitle="",
        explanation_before=explain("rise", "tabby", squashed(photo)),
        explanation_after=explain("rise", "teapot", squashed(photo)),
    )  # fmt: skip
    assert any(text.get_text().endswith(told) for text in page.figure().texts)


def test_the_perturbation_is_drawn_around_mid_grey_pixel_by_pixel():
    photo = torch.full((3, 100, 100), 50, dtype=torch.uint8)
    adversarial = photo.clone()
    adversarial[0, :, ::2] += 4
    adversarial[0, :, 1::2] -= 4
    drawn = _perturbation(photo, adversarial, (0, 0, 100, 100), (30, 30), 31)
    assert set(np.unique(drawn[..., 0])) <= {128 - 124, 128 + 124}
    assert (drawn[..., 1:] == 128).all()


def test_photos_of_two_sizes_are_refused(cat, scores, explain, centred):
    with pytest.raises(PellucidError, match="two photos of one size"):
        compose_adversarial(
            cat, cat[:, 1:], before=scores, after=AFTER, title="", subtitle="",
            explanation_before=explain("rise", "tabby", centred(cat)),
            explanation_after=explain("rise", "teapot", centred(cat)),
        )  # fmt: skip
