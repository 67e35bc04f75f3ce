"""What a report says of errors: chosen, told in one sentence, and cut out of their photos."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pellucid.data import open_dataset
from pellucid.explain import Explanation
from pellucid.explain.faithfulness_table import Estimate, FaithfulnessTable, MethodRow
from pellucid.metrics import evaluate
from pellucid.metrics.detection.waterfall import Lost
from pellucid.report.html.breakdowns import breakdowns_of
from pellucid.report.html.build import Judged, report_content
from pellucid.report.html.choosing import Chosen, Near, hits, missed, not_found, size_of, worst
from pellucid.report.html.pictures import Window
from pellucid.report.html.scoring import curves_of, scores_of
from pellucid.report.html.sentences import farthest_edge, sentence_of
from pellucid.report.html.trust import trust_of
from pellucid.structures import Annotations, Classes, Instances, Placement, Sample
from pellucid.structures.trace import Fate

CLASSES = Classes(("cat", "dog"))
SIZE = (100, 200)


def annotations(boxes: list[list[float]], labels: list[int], scores: list[float] | None = None) -> Annotations:
    instances = Instances(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(labels, dtype=torch.int64),
        None if scores is None else torch.tensor(scores),
    )
    return Annotations(SIZE, CLASSES, instances=instances)


TRUTHS = [
    annotations([[10, 10, 50, 50], [100, 10, 140, 50], [150, 60, 190, 95]], [0, 1, 1]),
    annotations([[20, 20, 60, 60]], [0]),
]
SAID = [
    # found; found as the wrong class; half beside it; nothing there; the first once more
    annotations(
        [[10, 10, 50, 48], [100, 10, 140, 50], [160, 70, 199, 99], [60, 60, 80, 99], [11, 10, 50, 50]],
        [0, 0, 1, 1, 0],
        [0.99, 0.9, 0.8, 0.7, 0.6],
    ),
    annotations([], [], []),
]
NAMES = ["a.png", "b.png"]


def score():
    return evaluate(dict(zip(NAMES, TRUTHS, strict=True)), dict(zip(NAMES, SAID, strict=True)), errors=True)


def test_false_positives_are_told_by_their_kind() -> None:
    chosen = worst(score().errors(), TRUTHS, {name: i for i, name in enumerate(NAMES)}, 10)
    assert [(one.kind, one.score) for one in chosen] == [
        ("Cls", pytest.approx(0.9)),
        ("Loc", pytest.approx(0.8)),
        ("Bkg", pytest.approx(0.7)),
        ("Dupe", pytest.approx(0.6)),
    ]
    told = [sentence_of(one, CLASSES, SIZE) for one in chosen]
    assert told[0] == "Said cat 0.900; the object here is annotated as dog (IoU 1.00)."
    over = (30 * 25) / (40 * 35 + 39 * 29 - 30 * 25)
    assert (
        told[1]
        == f"Said dog 0.800, but its box overlaps the dog by {over:.2f} only: its left edge is 10 pixels too far in."
    )
    assert told[2] == "Said dog 0.700 where nothing is annotated nearby; it is cut off by the photo's bottom edge."
    assert told[3] == "Said cat 0.600 for an object that a surer cat has found already (IoU 0.97)."
    assert (
        sentence_of(chosen[1], CLASSES, SIZE, "masks")
        == f"Said dog 0.800, but its mask overlaps the dog by {over:.2f} only."
    )
    assert worst(score().errors(), TRUTHS, {name: i for i, name in enumerate(NAMES)}, 1) == chosen[:1]


def test_missed_objects_and_hits_are_chosen() -> None:
    lost = not_found(TRUTHS, SAID, 0.5)
    assert [(one.image, one.row) for one in lost] == [(0, 1), (0, 2), (1, 0)]
    chosen = missed(lost, SAID, 10)
    told = [sentence_of(one, CLASSES, SIZE) for one in chosen]
    assert told[0] == "dog, 40 × 40 pixels, was not found: the nearest detection, cat 0.900, overlaps it by 1.00."
    assert told[2] == "cat, 40 × 40 pixels, was not found: no detection is near."
    (hit,) = hits(TRUTHS, SAID, 0.5, 10)
    assert (hit.label, hit.number, hit.near and round(hit.near.iou, 2)) == (0, 0, 0.95)


def test_missed_objects_take_turns_by_their_stage() -> None:
    def one(reason: str, sure: float) -> Lost:
        return Lost(0, 0, 0, (0.0, 0.0, 10.0, 10.0), Fate(reason, f"{reason} {sure}", None, sure))

    lost = [one("a", 0.1), one("a", 0.9), one("a", 0.5), one("b", 0.2), one("c", 0.3)]
    chosen = missed(lost, SAID, 4)
    assert [c.fate.text for c in chosen if c.fate] == ["a 0.9", "b 0.2", "c 0.3", "a 0.5"]
    assert sentence_of(chosen[0], CLASSES, SIZE) == "cat, 10 × 10 pixels, was not found: a 0.9."


def test_edges_and_sizes() -> None:
    assert farthest_edge((0, 0, 10, 10), (5, 0, 10, 10)) == ("left", 5)
    assert farthest_edge((0, 0, 10, 10), (0, 0, 10, 30)) == ("bottom", -20)
    assert [size_of((0, 0, side, side)) for side in (32, 33, 96, 97, 1e6)] == [
        "small",
        "medium",
        "medium",
        "large",
        "large",
    ]
    both = Chosen("wrong", "Both", 0, 1, (0, 0, 9, 9), 0.5, 0, Near(0, (0, 0, 20, 20), 0.2))
    assert (
        sentence_of(both, CLASSES, SIZE)
        == "Said dog 0.500; the nearest object is cat, which its box overlaps by 0.20 only."
    )


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(*[st.floats(-50, 260)] * 4),
    st.tuples(st.integers(1, 130), st.integers(1, 240)),
)
def test_a_window_lies_in_the_photo_and_holds_what_it_is_about(
    corners: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    x1, x2 = sorted((corners[0], corners[2]))
    y1, y2 = sorted((corners[1], corners[3]))
    window = Window.around([(x1, y1, x2, y2)], size)
    left, top, right, bottom = window.region
    assert 0 <= left < right <= size[1]
    assert 0 <= top < bottom <= size[0]
    assert max(window.width, window.height) <= 340
    H, W = size
    if 0 <= x1 < x2 <= W and 0 <= y1 < y2 <= H:
        assert left <= x1
        assert right >= x2
        assert top <= y1
        assert bottom >= y2
    made = window.box((x1, y1, x2, y2))
    assert 0 <= made[0] <= made[2] <= window.width
    assert 0 <= made[1] <= made[3] <= window.height
    photo = torch.zeros(3, *size, dtype=torch.uint8)
    with Image.open(io.BytesIO(window.jpeg(photo))) as picture:
        assert picture.size == (window.width, window.height)


def test_heat_lies_where_the_map_is() -> None:
    frame = torch.zeros(50, 100)
    frame[20:25, 30:35] = 1.0  # of a photo twice as large: x 60 to 70, y 40 to 50
    placement = Placement((100, 200), (50, 100), (0.0, 0.0, 200.0, 100.0))
    explanation = Explanation("odam", "x", None, frame, placement, signed=True)
    window = Window.around([(50.0, 30.0, 90.0, 60.0)], (100, 200))
    with Image.open(io.BytesIO(window.heat(explanation))) as png:
        alpha = np.asarray(png)[..., 3]
        scale = png.width / (window.region[2] - window.region[0])
    y, x = np.unravel_index(alpha.argmax(), alpha.shape)
    assert 60 <= window.region[0] + (x + 0.5) / scale <= 70
    assert 40 <= window.region[1] + (y + 0.5) / scale <= 50
    assert alpha[0, 0] == 0


def test_breakdowns_and_curves_add_up() -> None:
    made = score()
    sizes, crowding = breakdowns_of(TRUTHS, SAID, made, 0.5)
    assert sum(row[1] for row in sizes.rows) == sum(row[1] for row in crowding.rows) == 4
    assert sum(row[2] for row in sizes.rows) == 1
    assert [row[0] for row in crowding.rows] == ["alone"]
    curves = curves_of(made)
    assert {line.name: round(line.average_precision, 6) for line in curves.lines} == {
        name: round(made.curve(name, 0.5).average_precision, 6) for name in CLASSES.names
    }
    assert scores_of(made).values[0].value == made.summary["AP"]


def test_content_of_a_data_set_without_a_model() -> None:
    dataset = open_dataset("scenes:n=3,size=64,seed=3")
    truths = [dataset.sample(i).annotations for i in range(3)]
    said = [
        replace(truth, instances=replace(truth.instances, scores=torch.ones(len(truth.instances))))  # type: ignore[type-var]
        for truth in truths
    ]
    samples: list[Sample] = [dataset.sample(i) for i in range(3)]
    made = evaluate(samples, said, errors=True)
    content = report_content(Judged("oracle", dataset, said, [made]), cases=3)
    assert content.scores[0].values[0].value == pytest.approx(1)
    assert {case.gallery for case in content.cases} == {"right"}
    assert all(case.boxes[0].outline.startswith("M") for case in content.cases)
    assert content.waterfall is None
    assert any("checkpoint" in line for line in content.left_out)
    assert any("3 images are too few" in line for line in content.left_out)


def test_the_table_of_methods() -> None:
    half = Estimate(0.5, 0.4, 0.6)
    figures = dict.fromkeys(("pointing", "inside", "deletion", "insertion", "better", "kept", "passes"), half)
    rows = (MethodRow("odam", 3, **figures), MethodRow("guided_backprop", undefined="no rectifiers"))
    made = trust_of(FaithfulnessTable(rows, 2, 0, 3, 0.6, 0.7, 0.1))
    assert made.title == "Methods tested on 3 objects in 2 images"
    assert [row[0] for row in made.rows] == ["by chance", "ODAM"]
    assert made.rows[0][1:5] == (0.1, 0.1, 0.6, 0.7)
    assert made.rows[1][1:] == (0.5,) * 7
    assert all(len(row) == len(made.headings) for row in made.rows)
