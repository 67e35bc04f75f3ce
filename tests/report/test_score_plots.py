"""Plots of scores: written whole, of the promised size, with no text over another, and saying what the data say."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.metrics.calibration.measures import reliability
from pellucid.metrics.calibration.tally import ReliabilityCurve
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.protocols import custom
from pellucid.metrics.score import Score
from pellucid.report.scores import (
    plot_confusion,
    plot_curves,
    plot_errors,
    plot_intervals,
    plot_mean_curve,
    plot_reliability,
)
from pellucid.report.scores.curves import mean_precision
from pellucid.structures import Classes, ObjectColumns

LONG = "a really rather long name of a class that nobody would care to abbreviate"


def scored(count=3, protocol="coco", *, images=12, per=6, truths=True, found=True, names=None, seed=0):
    """A score of ``count`` classes with made-up truths and detections; the last class is in neither where it can be."""
    rng = np.random.default_rng(seed)
    M = images * per
    classes = Classes(tuple(names or [f"class {k}" for k in range(count)]))
    boxes = np.concatenate((rng.random((M, 2)) * 250, 10 + rng.random((M, 2)) * 140), 1)
    labels = rng.integers(0, max(count - 1, 1), M)
    every = ObjectColumns(
        classes, [f"{i}.jpg" for i in range(images)], np.full((images, 2), 400), np.arange(0, M + 1, per),
        boxes, labels, np.zeros(M, dtype=np.uint8), areas=boxes[:, 2] * boxes[:, 3],
    )  # fmt: skip
    none = replace(every.taken(np.zeros(0, dtype=np.int64)), first=np.zeros(images + 1, dtype=np.int64))
    wrong = np.where(rng.random(M) < 0.2, rng.integers(0, max(count - 1, 1), M), labels)
    moved = replace(every, boxes=boxes + rng.normal(0, 5, boxes.shape), labels=wrong, areas=None)
    evaluator = DetectionEvaluator(classes, protocol)
    predictions = replace(moved if found else none, scores=0.05 + 0.95 * rng.random(M if found else 0), areas=None)
    evaluator.add_columns(every if truths else none, predictions)
    return evaluator.score()


class Drawn:
    """What the last plot drew: its texts with their places, its figure, and its size in pixels."""

    def __init__(self) -> None:
        self.figure: Figure
        self.boxes: dict[int, tuple[str, object]] = {}

    @property
    def texts(self) -> list[str]:
        return [said for said, _ in self.boxes.values()]

    def assert_tidy(self) -> None:
        """No text over another, and none beyond the edge."""
        width, height = self.figure.canvas.get_width_height()
        boxes = list(self.boxes.values())
        assert boxes
        for i, (said, box) in enumerate(boxes):
            assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -1, said
            for other, beside in boxes[:i]:
                apart = min(box.x1, beside.x1) - max(box.x0, beside.x0) < 1 or (
                    min(box.y1, beside.y1) - max(box.y0, beside.y0) < 1
                )
                assert apart, f"'{said}' over '{other}'"


@pytest.fixture
def drawn(monkeypatch):
    """Follows what is drawn: every figure is drawn once more at 200 dots an inch, and its texts are noted."""
    noted = Drawn()
    draw, save = Text.draw, Figure.savefig

    def noting(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            noted.boxes[id(self)] = self.get_text(), self.get_window_extent(renderer)
        return draw(self, renderer, *args, **kwargs)

    def saving(self, *args, **kwargs):
        noted.figure = self
        self.set_dpi(200)
        FigureCanvasAgg(self).draw()
        noted.boxes.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Text, "draw", noting)
            self.canvas.draw()
        return save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", saving)
    return noted


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def assert_drawn(path, width: float) -> None:
    """A PNG of ``width`` inches at 200 dots that is not blank."""
    picture = pixels(path)
    assert picture.shape[1] == round(200 * width)
    assert (picture != 255).any(2).mean() > 0.005


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_curves_of_one_to_nine_classes(count, tmp_path, drawn):
    score = scored(count, per=12, names=[LONG] + [f"class {k}" for k in range(1, count)])
    assert plot_curves(score, tmp_path / "c.png") == tmp_path / "c.png"
    assert_drawn(tmp_path / "c.png", 3.4 if count == 1 else 7.0)
    drawn.assert_tidy()
    first = score.curve(0)
    assert f"AP50 {first.average_precision:.3f}" in drawn.texts
    assert f"score ≥ {first.best['score']:.2f}" in drawn.texts
    assert any("…" in said for said in drawn.texts)
    assert "precision (IoU ≥ 0.50)" in drawn.texts
    if count > 1:
        assert drawn.texts.count("no truth") == 1  # the last class is in no image


@pytest.mark.parametrize(("protocol", "points"), [("coco", 101), ("voc2007", 11), ("voc2012", None)])
def test_the_curve_that_the_protocol_reads_off(protocol, points, tmp_path, drawn):
    score = scored(2, protocol)
    plot_curves(score, tmp_path / "c.png", ["class 0"])
    drawn.assert_tidy()
    raw, read = drawn.figure.axes[0].lines[:2]
    curve = score.curve("class 0")
    assert np.array_equal(raw.get_xydata(), np.stack((curve.recall, curve.precision), 1))
    x, y = read.get_xydata().T
    if points:
        assert len(x) == points
        assert math.isclose(y.mean(), curve.average_precision, abs_tol=1e-12)
    else:  # the area under steps that take the value at their right end
        assert math.isclose((np.diff(x) * y[1:]).sum(), curve.average_precision, abs_tol=1e-12)
    ring = drawn.figure.axes[0].lines[2]
    assert ring.get_xydata().tolist() == [[curve.best["recall"], curve.best["precision"]]]


def test_another_threshold_and_classes_by_name_or_index(tmp_path, drawn):
    score = scored(4)
    plot_curves(score, tmp_path / "c.png", ["class 1", 0], threshold=0.75)
    assert f"AP75 {score.curve(1, 0.75).average_precision:.3f}" in drawn.texts
    assert [axes.get_title(loc="left") for axes in drawn.figure.axes] == ["class 1", "class 0"]
    plot_curves(scored(2, custom((0.3,), generalised=True)), tmp_path / "g.png", [0])
    assert "precision (GIoU ≥ 0.30)" in drawn.texts


def test_curves_refuse_what_they_cannot_draw(tmp_path):
    score = scored(12)
    for classes, said in ([], "0 classes"), (list(range(10)), "10 classes"):
        with pytest.raises(PellucidError, match=f"{said} to draw curves of; choose 1 to 9"):
            plot_curves(score, tmp_path / "c.png", classes)
    with pytest.raises(PellucidError, match="none of its thresholds"):
        plot_curves(score, tmp_path / "c.png", [0], threshold=0.51)
    assert list(tmp_path.iterdir()) == []


def test_mean_curves_have_the_ap_of_each_threshold_under_them(tmp_path, drawn):
    score = scored(4)
    precision = mean_precision(score)
    expected = np.nanmean(score.averages.precision[0], axis=1)
    assert np.allclose(precision.mean(1), expected, rtol=0, atol=1e-12)
    assert math.isclose(precision.mean(), score.summary["AP"], abs_tol=1e-12)
    plot_mean_curve(score, tmp_path / "m.png")
    assert_drawn(tmp_path / "m.png", 3.4)
    drawn.assert_tidy()
    assert f"AP {score.summary['AP']:.3f}" in drawn.texts
    assert f"0.50   {expected[0]:.3f}" in drawn.texts
    assert len(drawn.figure.axes[0].lines) == 10
    plot_mean_curve(scored(3, "voc2012"), tmp_path / "v.png")
    assert len(drawn.figure.axes[0].lines) == 1


@pytest.mark.parametrize(("truths", "found", "said"), [(False, True, "no truth"), (True, False, "no detection")])
def test_curves_without_truths_or_detections_say_so(truths, found, said, tmp_path, drawn):
    score = scored(2, truths=truths, found=found)
    plot_curves(score, tmp_path / "c.png", [0])
    drawn.assert_tidy()
    assert said in drawn.texts
    assert ("AP50 –" in drawn.texts) == (not truths)
    plot_mean_curve(score, tmp_path / "m.png")
    drawn.assert_tidy()
    assert ("no truth" in drawn.texts) == (not truths)


def analysis(scale=1.0, **changes):
    cost = {"Cls": 0.07, "Loc": 0.11, "Both": 0.0, "Dupe": 0.01, "Bkg": 0.02, "Miss": 0.13, "FP": 0.14, "FN": 0.2}
    return SimpleNamespace(
        counts={"Cls": 78, "Loc": 1230, "Both": 0, "Dupe": 131, "Bkg": 123_709, "Miss": 304},
        cost={kind: scale * value for kind, value in cost.items()} | changes,
        average_precision=0.539,
        foreground=0.5,
    )


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (analysis(), None),
        (analysis(0), None),
        (analysis(7), None),
        (analysis(Miss=math.nan, FN=math.nan), None),
        (analysis(), {LONG: analysis(2), "third": analysis(0.5)}),
    ],
)
def test_errors(first, others, tmp_path, drawn):
    plot_errors(first, tmp_path / "e.png", others)
    assert_drawn(tmp_path / "e.png", 3.4)
    drawn.assert_tidy()
    assert f"{first.cost['Loc']:.3f} (1,230)" in drawn.texts
    bars = drawn.figure.axes[0].patches
    assert len(bars) == 8 * (1 + len(others or {}))
    assert [bar.get_width() for bar in bars[:8]] == [
        0 if math.isnan(v) else v
        for v in (first.cost[k] for k in ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FP", "FN"))
    ]
    assert ("– (304)" in drawn.texts) == math.isnan(first.cost["Miss"])


def test_too_many_analyses(tmp_path):
    with pytest.raises(PellucidError, match="7 analyses to draw side by side; give 6 at most"):
        plot_errors(analysis(), tmp_path / "e.png", {str(i): analysis() for i in range(6)})


def intervals_of(score, spread=0.05):
    def around(value):
        return SimpleNamespace(low=value - spread, high=value + spread)

    return SimpleNamespace(
        figures={name: around(value) for name, value in score.summary.items()},
        per_class={name: {figure: around(v) for figure, v in row.items()} for name, row in score.per_class.items()},
        level=0.95,
    )


@pytest.mark.parametrize(("count", "panels", "rows"), [(2, 1, 0), (5, 2, 4), (25, 3, 24), (81, 3, 40)])
def test_intervals_of_figures_and_classes(count, panels, rows, tmp_path, drawn):
    score = scored(count, per=60, names=[LONG] + [f"class {k}" for k in range(1, count)])
    plot_intervals(score, intervals_of(score), tmp_path / "i.png")
    assert_drawn(tmp_path / "i.png", 3.4 if panels == 1 else 7.0)
    drawn.assert_tidy()
    dots = [axes.lines[0].get_xdata().tolist() for axes in drawn.figure.axes]
    assert len(dots) == panels
    assert dots[0] == list(score.summary.values())
    values = [value for panel in dots[1:] for value in panel]
    every = sorted((row["AP"] for row in score.per_class.values() if not math.isnan(row["AP"])), reverse=True)
    assert values == ([] if panels == 1 else every if count < 80 else every[:20] + every[-20:])
    assert len(values) == rows
    bars = drawn.figure.axes[0].collections[0].get_segments()
    assert np.allclose(bars[0][:, 0], [score.summary["AP"] - 0.05, score.summary["AP"] + 0.05])


def test_intervals_of_other_scores(tmp_path, drawn):
    voc = scored(4, "voc2012")
    found = intervals_of(voc)
    found.per_class = {name: {"mAP": row["AP"]} for name, row in found.per_class.items()}
    plot_intervals(voc, found, tmp_path / "i.png")
    drawn.assert_tidy()
    assert len(drawn.figure.axes) == 2
    nothing = scored(3, truths=False)
    plot_intervals(nothing, intervals_of(nothing), tmp_path / "n.png")
    drawn.assert_tidy()
    assert "–" in drawn.texts
    plain = Score("x", "X", {"F": 0.5})
    plot_intervals(plain, SimpleNamespace(figures={"F": SimpleNamespace(low=-0.2, high=0.6)}), tmp_path / "p.png")
    drawn.assert_tidy()
    assert drawn.figure.axes[0].get_xlim()[0] == -0.2
    with pytest.raises(PellucidError, match="no figure of X has an interval"):
        plot_intervals(plain, SimpleNamespace(figures={}), tmp_path / "q.png")


def test_reliability(tmp_path, drawn):
    rng = np.random.default_rng(0)
    confidences = rng.beta(5, 1.2, 20_000)
    curve = reliability(confidences, rng.random(20_000) < confidences**1.5)
    plot_reliability(curve, tmp_path / "r.png", LONG)
    assert_drawn(tmp_path / "r.png", 3.4)
    drawn.assert_tidy()
    assert f"ECE {curve.ece:.3f}\nMCE {curve.mce:.3f}" in drawn.texts
    upper, lower = drawn.figure.axes
    filled = curve.counts > 0
    top = [bar.get_y() + bar.get_height() for bar in upper.patches[filled.sum() :]]
    assert np.allclose(top, curve.confidence[filled])
    assert "too sure" in drawn.texts
    assert "not sure enough" not in drawn.texts
    assert lower.get_yscale() == "log"
    assert [bar.get_height() for bar in lower.patches] == curve.counts.tolist()


def test_reliability_of_a_modest_network_and_of_none(tmp_path, drawn):
    plot_reliability(reliability([0.1, 0.3, 0.3, 0.9], [True, True, False, True], 5), tmp_path / "m.png")
    drawn.assert_tidy()
    assert "not sure enough" in drawn.texts
    assert "too sure" not in drawn.texts
    assert drawn.figure.axes[1].get_yscale() == "linear"
    plot_reliability(reliability(np.zeros(0), np.zeros(0, dtype=bool)), tmp_path / "n.png")
    drawn.assert_tidy()
    assert {"no sample", "ECE –\nMCE –"} <= set(drawn.texts)
    counts = np.array([1, 10**9])
    wide = ReliabilityCurve(np.array([0, 0.5, 1]), counts, np.array([1.0, 0.6]), np.array([0.2, 0.9]))
    plot_reliability(wide, tmp_path / "w.png")
    drawn.assert_tidy()
    assert any(said in ("1G", "100M", "1M", "10M") for said in drawn.texts)


def matrix_of(K, rows=1, columns=1, seed=0):
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 3, (K + rows, K + columns))
    made[np.arange(K), np.arange(K)] += 40
    if rows and columns:
        made[K, K] = 0
    return made


@pytest.mark.parametrize("count", [1, 3, 20, 21, 80])
def test_confusion(count, tmp_path, drawn):
    names = ([LONG] if count > 3 else []) + [f"class {k}" for k in range(count - (count > 3))]
    confusion = SimpleNamespace(matrix=matrix_of(count), names=(*names, "background"))
    confusion.matrix[0, 0], confusion.matrix[0, 1:] = 30, 0
    confusion.matrix[0, -1] = 10
    plot_confusion(confusion, tmp_path / "c.png")
    assert_drawn(tmp_path / "c.png", 3.4 if count <= 8 else 7.0)
    drawn.assert_tidy()
    assert drawn.texts.count("background") == 2
    assert ({"75", "25"} <= set(drawn.texts)) == (count <= 20)
    assert ("class 0" in drawn.texts) == (count <= 21)
    told = "prediction (% of each row)" if count <= 20 else "prediction"
    assert told in drawn.texts


def test_confusion_of_pixels_and_without_background(tmp_path, drawn):
    for rows, columns, shown in (0, 1, 1), (0, 0, 0), (1, 0, 1):
        plot_confusion(SimpleNamespace(matrix=matrix_of(4, rows, columns), names="abcd"), tmp_path / "c.png")
        drawn.assert_tidy()
        assert drawn.texts.count("background") == shown
    empty = SimpleNamespace(matrix=np.zeros((4, 4), dtype=int), names=("a", "b", "c", "background"))
    plot_confusion(empty, tmp_path / "e.png")
    drawn.assert_tidy()
    assert not any(said.isdigit() for said in drawn.texts)
    with pytest.raises(PellucidError, match=r"shape \(4, 4\) with 2 names"):
        plot_confusion(SimpleNamespace(matrix=np.zeros((4, 4)), names="ab"), tmp_path / "x.png")


ODD = ["$x_1$ & <b>", "鸟\u200d类", "tab\tand\nline", "\x1b[31m"]


def test_odd_names_are_drawn_as_they_are(tmp_path, drawn, recwarn):
    plot_curves(scored(4, names=ODD), tmp_path / "c.svg", list(range(4)))
    assert "$x_1$ & <b>" in drawn.texts
    assert "tab and line" in drawn.texts
    plot_confusion(SimpleNamespace(matrix=matrix_of(4), names=ODD), tmp_path / "c.svg")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_files_are_what_their_suffix_says_and_the_same_twice(tmp_path):
    score = scored(2)
    for suffix in ("svg", "pdf", "PNG"):
        first, second = (plot_curves(score, tmp_path / f"{i}.{suffix}", [0]) for i in range(2))
        assert first.read_bytes() == second.read_bytes()
    svg = ElementTree.parse(tmp_path / "0.svg").getroot()
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(svg.get("width").removesuffix("pt")) == pytest.approx(72 * 3.4)
    pdf = (tmp_path / "0.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    box = re.search(rb"/MediaBox \[ *0 0 ([\d.]+)", pdf)
    assert box is not None
    assert float(box[1]) == pytest.approx(72 * 3.4)
    assert pixels(tmp_path / "0.PNG").shape == (550, 680, 3)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    score = scored(2)
    with pytest.raises(
        PellucidError, match=r"plots are written as PNG, PDF or SVG; end the name in \.png, \.pdf, \.svg"
    ):
        plot_curves(score, tmp_path / "c.jpg", [0])

    def broken(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", broken)
        (tmp_path / "c.png").write_bytes(b"before")
        with pytest.raises(PellucidError, match=r"c\.png: cannot be written"):
            plot_curves(score, tmp_path / "c.png", [0])
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]
    assert (tmp_path / "c.png").read_bytes() == b"before"


def test_the_callers_style_changes_nothing_and_stays(tmp_path):
    score = scored(2)
    plain = plot_curves(score, tmp_path / "a.png", [0]).read_bytes()
    with matplotlib.rc_context({"font.size": 31, "lines.linewidth": 9, "axes.grid": True, "savefig.dpi": 30}):
        before = dict(matplotlib.rcParams)
        assert plot_curves(score, tmp_path / "b.png", [0]).read_bytes() == plain
        assert dict(matplotlib.rcParams) == before
