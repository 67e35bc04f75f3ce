import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

import pellucid.report
from pellucid import explain as explaining
from pellucid.errors import PellucidError
from pellucid.report import draw_panel, method_title
from pellucid.report.colours import muted
from pellucid.report.panel import compose_panel
from pellucid.report.tiles import heat_in, heat_tile, resized, seen
from pellucid.structures import ClassScore, Placement

METHODS = list(explaining.METHODS)

TARGETS = ["tabby", "Egyptian cat", "tiger cat", "lynx, catamount", "Windsor tie"]
HEAD = {"title": "chelsea.png", "subtitle": "tf_efficientnet_lite0 · ImageNet-1k"}


def test_it_writes_a_png_of_the_photo_the_classes_and_the_tiles(cat, scores, explain, centred, tmp_path):
    made = draw_panel(cat, scores, [explain("grad_cam", "tabby", centred(cat))], path=tmp_path / "a" / "p.png", **HEAD)
    assert made == tmp_path / "a" / "p.png"
    with Image.open(made) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        assert picture.width == 940
    assert [p.name for p in made.parent.iterdir()] == ["p.png"]


@pytest.mark.parametrize(("methods", "targets"), [(1, 1), (1, 3), (2, 1), (3, 2), (4, 5), (5, 1), (7, 1), (12, 3)])
def test_text_is_never_clipped_nor_overlaps_for_any_number_of_tiles(
    methods, targets, cat, scores, explain, centred, assert_tidy
):
    place = centred(cat)
    asked = [(method, target) for target in TARGETS[:targets] for method in METHODS[-methods:]]
    notes = {key: "fails randomisation check" if key[0] == "guided_grad_cam" else "insertion .61" for key in asked}
    page = compose_panel(cat, scores, [explain(m, t, place) for m, t in asked], notes=notes, **HEAD)
    assert 940 <= page.width <= 1716
    assert_tidy(page)
    written = [text.get_text() for text in page.figure().texts]
    for method, target in asked:
        assert method_title(method) in written
        assert target in written
    assert sum("insertion" in text or "fails" in text for text in written) == len(asked)


@pytest.mark.parametrize("size", [(100, 300), (300, 100), (200, 200), (1, 1), (2, 900), (900, 2), (33, 47)])
@pytest.mark.parametrize("whole", [False, True])
def test_text_is_never_clipped_nor_overlaps_for_any_aspect(
    size, whole, scores, explain, centred, squashed, assert_tidy
):
    photo = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    place = squashed(photo) if whole else centred(photo)
    page = compose_panel(photo, scores, [explain(m, "tabby", place) for m in METHODS[:7]], **HEAD)
    assert page.width <= 1716
    assert_tidy(page)


def test_class_names_may_hold_anything(cat, explain, centred, assert_tidy, tmp_path, caplog):
    names = [
        "虎斑猫 🐈‍⬛ $x_1$ $5",
        "\\frac{1}{2} $",
        "Ελληνικά – кот",
        "tab\tby\nnew\x00",
        "W" * 300,
        "word " * 99,
        "",
        " ",
    ]
    scores = [ClassScore(name, index, 1 / (index + 1)) for index, name in enumerate(names)]
    explanations = [explain(m, name, centred(cat)) for name in names for m in ("saliency", "rise")]
    notes = {("rise", name): name for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = compose_panel(cat, scores, explanations, title=names[0] * 20, subtitle=names[1] * 99, notes=notes)
        page.save(tmp_path / "p.png")
    assert not [record for record in caplog.records if record.name.startswith("matplotlib")]
    assert_tidy(page)
    written = [text.get_text() for text in page.figure().texts]
    assert "\\frac{1}{2} $" in written
    assert any(text.startswith("WWW") and text.endswith("…") for text in written)


def test_no_prediction_at_all_still_draws(cat, explain, centred, assert_tidy):
    assert_tidy(compose_panel(cat, [], [explain("rise", "tabby", centred(cat))], title="", subtitle=""))


def test_many_predictions_are_all_listed(cat, explain, centred, assert_tidy):
    scores = [ClassScore(f"class {i}", i, 0.05) for i in range(20)]
    page = compose_panel(cat, scores, [explain("rise", "class 3", centred(cat))], **HEAD)
    assert_tidy(page)
    assert {s.name for s in scores} <= {text.get_text() for text in page.figure().texts}


def test_a_method_that_one_target_lacks_leaves_its_place_empty(cat, scores, explain, centred, assert_tidy):
    place = centred(cat)
    asked = [explain("saliency", "tabby", place), explain("rise", "tabby", place), explain("rise", "lynx", place)]
    page = compose_panel(cat, scores, asked, **HEAD)
    assert_tidy(page)
    assert "not computed" in [text.get_text() for text in page.figure().texts]


def test_a_map_of_zeros_shows_the_muted_photo_alone(cat, explain, centred):
    place = centred(cat)
    zero = replace(explain("rise", "tabby", place), frame_map=torch.zeros(96, 96))
    under = resized(cat, seen(place), (200, 200))
    assert (heat_tile(zero, under, seen(place)) == muted(under)).all()


def test_a_constant_map_is_the_same_heat_everywhere(cat, explain, centred):
    place = centred(cat)
    constant = replace(explain("rise", "tabby", place), frame_map=torch.full((96, 96), -3.0))
    assert np.allclose(heat_in(constant, seen(place), (200, 200)), 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_map_that_is_not_finite_is_refused_by_name(bad, cat, scores, explain, centred):
    broken = explain("rise", "tabby", centred(cat))
    broken.frame_map[3, 4] = bad
    with pytest.raises(PellucidError, match="rise of 'tabby': the map holds NaN"):
        compose_panel(cat, scores, [broken], **HEAD)


def test_a_map_that_carries_its_graph_is_drawn(cat, scores, explain, centred):
    made = explain("rise", "tabby", centred(cat))
    compose_panel(cat, scores, [replace(made, frame_map=made.frame_map.clone().requires_grad_())], **HEAD)


def test_what_cannot_be_drawn_is_refused(cat, scores, explain, centred, tmp_path):
    made = explain("rise", "tabby", centred(cat))
    with pytest.raises(PellucidError, match="stands twice"):
        compose_panel(cat, scores, [made, made], **HEAD)
    with pytest.raises(PellucidError, match="no explanation"):
        compose_panel(cat, scores, [], **HEAD)
    with pytest.raises(PellucidError, match="not of"):
        compose_panel(cat[:, :50], scores, [made], **HEAD)
    with pytest.raises(PellucidError, match="give uint8"):
        compose_panel(cat.float(), scores, [made], **HEAD)
    with pytest.raises(PellucidError, match=r"give \(h, w\)"):
        compose_panel(cat, scores, [replace(made, frame_map=torch.zeros(2, 96, 96))], **HEAD)
    with pytest.raises(PellucidError, match=r"end the name in \.png"):
        draw_panel(cat, scores, [made], path=tmp_path / "p.jpg", **HEAD)
    assert list(tmp_path.iterdir()) == []


def test_heat_falls_where_the_explanation_puts_it_on_the_photo(explain):
    photo = (120, 200)
    placement = Placement(photo, (24, 24), (40.0, 10.0, 140.0, 110.0))
    made = explain("occlusion", "x", placement, seed=3)
    drawn = heat_in(made, seen(placement), (100, 100))
    # Half a cell in from the rim both are the same bilinear interpolation.
    assert np.allclose(drawn, made.heat().numpy()[10:110, 40:140], atol=0.02)


def test_a_padded_frame_is_cut_to_the_photo(explain):
    placement = Placement((50, 100), (32, 32), (0.0, -25.0, 100.0, 75.0))
    assert seen(placement) == (0.0, 0.0, 100.0, 50.0)
    hot = replace(explain("rise", "x", placement), frame_map=torch.zeros(32, 32))
    hot.frame_map[9:16, :16] = 1  # the photo's upper left quarter: rows 8 to 24 of the frame are the photo
    drawn = heat_in(hot, seen(placement), (100, 50))
    assert drawn[8:20, 5:45].min() > 0.9
    assert drawn[30:].max() < 0.1
    assert drawn[:, 55:].max() < 0.1


def test_a_map_beyond_its_own_frame_is_cold(explain):
    placement = Placement((100, 100), (10, 10), (0.0, 0.0, 50.0, 100.0))
    hot = replace(explain("rise", "x", placement), frame_map=torch.ones(10, 10))
    drawn = heat_in(hot, (0.0, 0.0, 100.0, 100.0), (100, 100))
    assert (drawn[:, :50] == 1).all()
    assert (drawn[:, 50:] == 0).all()


def test_the_frame_is_outlined_and_the_rest_faded(cat, scores, explain, centred, squashed):
    blue = [37, 99, 205]
    framed = compose_panel(cat, scores, [explain("rise", "lynx", centred(cat))], **HEAD).pixels[:420, :480]
    whole = compose_panel(cat, scores, [explain("rise", "lynx", squashed(cat))], **HEAD).pixels[:420, :480]
    assert (framed == blue).all(axis=2).sum() > 2000
    assert (whole == blue).all(axis=2).sum() == 0
    assert framed[114:380, 44:100].mean() > whole[114:380, 44:100].mean() + 20


def test_rendering_changes_nothing_global_and_depends_on_nothing_global(cat, scores, explain, centred):
    def settings() -> dict[str, object]:
        # Merely reading the backend makes matplotlib choose one.
        return {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}

    explanations = [explain("grad_cam", "tabby", centred(cat))]
    before = settings()
    plain = compose_panel(cat, scores, explanations, **HEAD).rendered()
    assert settings() == before
    fonts = {"font.family": "serif", "font.weight": "bold", "text.usetex": True, "text.color": "red"}
    figures = {"figure.dpi": 31, "figure.facecolor": "red", "figure.autolayout": True, "image.origin": "lower"}
    with matplotlib.rc_context({**fonts, **figures}):
        assert (compose_panel(cat, scores, explanations, **HEAD).rendered() == plain).all()


def test_pyplot_has_no_part_in_it(cat, scores, explain, centred, monkeypatch):
    for source in Path(pellucid.report.__file__).parent.glob("*.py"):
        assert not re.search(r"^\s*(import|from) .*pyplot", source.read_text("utf-8"), re.MULTILINE), source
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # any import of it would now raise
    compose_panel(cat, scores, [explain("grad_cam", "tabby", centred(cat))], **HEAD).rendered()


def test_methods_have_their_papers_names():
    assert method_title("guided_grad_cam") == "Guided Grad-CAM"
    assert method_title("grad_cam_plus_plus") == "Grad-CAM++"
    assert method_title("my_own_method") == "My own method"
    assert method_title("") == ""
