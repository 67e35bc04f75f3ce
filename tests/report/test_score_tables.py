"""Scores as text: COCO's layout as pycocotools prints it, and tables that fit, whatever the names and figures."""

import contextlib
import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pellucid.errors import PellucidError
from pellucid.metrics.detection.evaluator import DetectionEvaluator
from pellucid.metrics.detection.protocols import COCO_KEYPOINTS
from pellucid.metrics.findings import Findings
from pellucid.metrics.score import Score
from pellucid.report.scores import comparison_lines, error_lines, per_class_lines, summary_lines
from pellucid.report.scores.text import cells, cut, interval, number, shown, signed, table
from pellucid.structures import Classes, KeypointNames, ObjectColumns

CLASSES = ("cat", "dog", "never seen")
IMAGES, EACH = 6, 4


def truth_and_found(seed: int = 0, keypoints: bool = False) -> tuple[ObjectColumns, ObjectColumns]:
    """24 truths, none of them larger than 96 × 96, and 24 detections near them."""
    rng = np.random.default_rng(seed)
    M = IMAGES * EACH
    boxes = np.concatenate((rng.integers(0, 200, (M, 2)), rng.integers(10, 90, (M, 2))), 1).astype(np.float64)
    labels = rng.integers(0, 1 if keypoints else 2, M)
    points = None
    classes = Classes(CLASSES)
    if keypoints:
        points = np.concatenate(
            (boxes[:, None, :2] + rng.random((M, 17, 2)) * boxes[:, None, 2:], np.full((M, 17, 1), 2)), 2
        )
        classes = Classes(CLASSES, keypoints=(KeypointNames(tuple(f"point {i}" for i in range(17))), None, None))
    truth = ObjectColumns(
        classes, [f"{i}.jpg" for i in range(IMAGES)], np.full((IMAGES, 2), 300), np.arange(0, M + 1, EACH),
        boxes, labels, np.zeros(M, dtype=np.uint8), ids=list(range(1, IMAGES + 1)),
        areas=boxes[:, 2] * boxes[:, 3], keypoints=points,
    )  # fmt: skip
    moved = boxes + rng.normal(0, 4, boxes.shape)
    if points is not None:
        points = points + np.concatenate((rng.normal(0, 4, (M, 17, 2)), np.zeros((M, 17, 1))), 2)
    return truth, replace(truth, boxes=moved, scores=rng.permutation(M) / M, areas=None, keypoints=points)


def scored(protocol="coco", **options):
    truth, found = truth_and_found(**options)
    evaluator = DetectionEvaluator(truth.classes, protocol)
    evaluator.add_columns(truth, found)
    return evaluator.score()


def printed_by_pycocotools(truth: ObjectColumns, found: ObjectColumns, kind: str) -> list[str]:
    def records(columns: ObjectColumns) -> list[dict]:
        made = []
        for row, (image, box, label) in enumerate(zip(columns.images, columns.boxes, columns.labels, strict=True)):
            one = {"id": row + 1, "image_id": int(image) + 1, "category_id": int(label) + 1, "bbox": box.tolist()}
            one |= {"area": float(box[2] * box[3]), "iscrowd": 0}
            if columns.keypoints is not None:
                one |= {"keypoints": columns.keypoints[row].ravel().tolist(), "num_keypoints": 17}
            if columns.scores is not None:
                one |= {"score": float(columns.scores[row])}
                if columns.keypoints is not None:
                    del one["bbox"]  # else pycocotools takes the box's area for that of the keypoints
            made.append(one)
        return made

    out = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i + 1, "width": 300, "height": 300} for i in range(IMAGES)],
            "annotations": records(truth),
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(records(found)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        with contextlib.redirect_stdout(out):
            evaluation.summarize()
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("protocol", "kind", "count"), [("coco", "bbox", 12), ("coco-keypoints", "keypoints", 10)])
def test_coco_is_printed_as_pycocotools_prints_it(protocol, kind, count):
    truth, found = truth_and_found(keypoints=kind == "keypoints")
    evaluator = DetectionEvaluator(truth.classes, protocol)
    evaluator.add_columns(truth, found)
    expected = printed_by_pycocotools(truth, found, kind)
    assert len(expected) == count
    assert any(line.endswith("= -1.000") for line in expected)  # no object is large
    assert any(not line.endswith(("= -1.000", "= 0.000", "= 1.000")) for line in expected)
    assert summary_lines(evaluator.score())[:count] == expected


def test_the_layout_comes_from_the_protocol():
    figures = tuple(replace(figure, limit=5) for figure in COCO_KEYPOINTS.figures[:2])
    score = scored(replace(COCO_KEYPOINTS, geometry="boxes", figures=figures, limits=(5,)))
    first, second, *_ = summary_lines(score)
    assert first.startswith(" Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=  5 ] = ")
    assert second.startswith(" Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=  5 ] = ")


def test_intervals_stand_behind_figures():
    score = scored()
    bounds = {name: SimpleNamespace(low=0.35149, high=0.39251) for name in score.summary}
    bounds["AP75"] = SimpleNamespace(low=math.nan, high=math.nan)
    lines = summary_lines(score, SimpleNamespace(figures=bounds))
    plain = summary_lines(score)
    assert lines[0] == plain[0] + "  [0.351, 0.393]"
    assert lines[2] == plain[2] + "  –"
    assert max(map(len, lines)) <= 100
    other = Score("x", "X", {"F": 0.5, "count": 3})
    assert summary_lines(other, SimpleNamespace(figures={"F": SimpleNamespace(low=0.4, high=0.6)})) == [
        "figure   value  interval",
        "F       0.5000  [0.4000, 0.6000]",
        "count        3",
    ]


def test_other_scores_are_an_aligned_table():
    summary = {
        "mIoU": 0.51234,
        "fwIoU": math.nan,
        "warping_error": 0.000012,
        "NLL": 12.5,
        "none": 0.0,
        "sure": math.inf,
    }
    assert summary_lines(Score("semantic", "Semantic", summary)) == [
        "figure           value",
        "mIoU            0.5123",
        "fwIoU                –",
        "warping_error  1.2e-05",
        "NLL            12.5000",
        "none            0.0000",
        "sure               inf",
    ]


def test_every_reservation_once_and_what_is_comparable():
    score = scored()
    assert summary_lines(score)[12] == "comparable to: pycocotools 2.0"
    score.reservations = {"AP50": "too few bins", "AP75": "too few bins", "AR1": "another limit"}
    lines = summary_lines(score)[12:]
    assert lines[:2] == ["not comparable (AP50, AP75): too few bins", "not comparable (AR1): another limit"]
    assert lines[2].startswith("comparable to: pycocotools 2.0 (AP, AP_small, ")
    assert "AR1," not in " ".join(lines[2:])
    score.reservations = dict.fromkeys(score.summary, "an odd truth")
    assert summary_lines(score)[12:] == ["not comparable: an odd truth"]


def test_findings_are_told_and_wrapped():
    score = Score("x", "X", {"F": 0.5}, findings=Findings())
    score.findings.add("detections of nothing", "image \x1b[31mred.jpg", "dropped")
    score.findings.add("truths without end", ["a very long name of an image " * 3, "b"], "kept", 1280)
    lines = summary_lines(score)[2:]
    first, second = (f"note: {line}" for line in score.findings.lines())
    assert lines[0] == first.replace("\x1b", "□")
    assert lines[0].endswith("□[31mred.jpg")
    assert " ".join(line.strip() for line in lines[1:]) == " ".join(second.split())
    assert lines[2].startswith("    ")
    assert max(map(len, lines)) <= 100


def test_classes_of_coco_with_main_figures_and_whole_counts():
    lines = per_class_lines(scored())
    assert lines[0].split() == ["class", "AP", "AP50", "AP75", "AR100", "truths", "detections", "best_F1", "best_score"]
    assert [line[:10].strip() for line in lines[1:]] == ["cat", "dog", "never seen"]
    assert lines[3].split() == ["never", "seen", "–", "–", "–", "–", "0", "0", "–", "–"]
    assert len({len(line) for line in lines}) == 1
    truths = sum(int(line[10:].split()[4]) for line in lines[1:])
    assert truths == IMAGES * EACH


def test_order_by_name_and_by_value():
    score = Score("x", "X", {}, {"b": {"F": 0.1}, "C": {"F": math.nan}, "a": {"F": 0.9}, "d": {"F": 0.5}})
    assert [line.split()[0] for line in per_class_lines(score)[1:]] == ["a", "b", "C", "d"]
    assert [line.split()[0] for line in per_class_lines(score, "value")[1:]] == ["a", "d", "b", "C"]
    with pytest.raises(PellucidError, match="give 'name' or 'value'"):
        per_class_lines(score, "size")
    assert per_class_lines(Score("x", "X", {"F": 1.0})) == []


names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=150)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(names, st.floats(-1, 1) | st.just(math.nan), max_size=5), st.integers(1, 30))
def test_no_table_of_classes_is_wider_than_a_hundred_columns(values, figures):
    score = Score("x", "X", {}, {name: {f"figure_{i}": v for i in range(figures)} for name, v in values.items()})
    lines = per_class_lines(score)
    assert all(cells(line) <= 100 and line.isprintable() for line in lines)
    assert len(lines) == (len(values) + 1 if values else 0)


def test_counts_are_whole_even_as_floats_and_long_names_are_cut():
    row = {"PQ": 0.5, "TP": 1280, "FP": 3.0, "truths": 1e6}
    lines = per_class_lines(Score("x", "X", {}, {"a name " * 30: row, "鸟类": row}))
    assert lines[0].split() == ["class", "PQ", "TP", "FP", "truths"]
    assert lines[1].split()[-4:] == ["0.500", "1,280", "3", "1,000,000"]
    assert "…" in lines[1]
    assert {cells(line) for line in lines} == {99}  # the cut name ended in a space, which is gone


ANALYSIS = SimpleNamespace(
    counts={"Cls": 78, "Loc": 1230, "Both": 0, "Dupe": 1, "Bkg": 709, "Miss": 304},
    cost={
        "Cls": 0.072,
        "Loc": 0.107,
        "Both": 0.0,
        "Dupe": 0.00001,
        "Bkg": 0.02,
        "Miss": math.nan,
        "FP": 0.14,
        "FN": 0.2,
    },
    average_precision=0.539,
)


def test_errors():
    assert error_lines(ANALYSIS) == [
        "average precision: 0.539; ΔAP: what it would gain without such errors",
        "type  what it is                    count      ΔAP",
        "Cls   right place, wrong class         78    0.072",
        "Loc   right class, placed badly     1,230    0.107",
        "Both  wrong class, placed badly         0    0.000",
        "Dupe  object found once more            1  1.0e-05",
        "Bkg   background taken for object     709    0.020",
        "Miss  object that nothing found       304        –",
        "──────────────────────────────────────────────────",
        "FP    all false positives repaired           0.140",
        "FN    all false negatives repaired           0.200",
    ]


def test_comparison():
    def one(a, b, low, high, p, verdict):
        return SimpleNamespace(a=a, b=b, difference=b - a, low=low, high=high, p_value=p, verdict=verdict)

    figures = {
        "AP": one(0.372, 0.4, 0.011, 0.045, 0.0002, "better"),
        "AP50": one(0.6, 0.59, -0.03, 0.0001, 0.31, "undecided"),
        "AR1": one(math.nan, 0.5, math.nan, math.nan, math.nan, "undecided"),
    }
    compared = SimpleNamespace(figures=figures, level=0.95, replicates=1000)
    assert comparison_lines(compared, ("old", "a name too long for it")) == [
        "figure    old  a name too lo…  difference  interval              p  verdict",
        "AP      0.372           0.400      +0.028  [0.011, 0.045]   <0.001  better",
        "AP50    0.600           0.590      -0.010  [-0.030, 0.000]   0.310  undecided",
        "AR1         –           0.500           –  –                     –  undecided",
        "difference: a name too lo… − old; intervals of 95 % from 1,000 drawings of the images",
    ]
    figures["AP"].verdict = "tie order"
    assert comparison_lines(compared)[-1].startswith("tie order: another order")


def test_words():
    assert shown("a\n\tb\x1b[0m\u200d") == "a b□[0m"
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cells("鸟e\u0301") == 3
    assert cut("鸟鸟鸟", 5) == "鸟鸟…"
    assert [number(v) for v in (0.0, -0.0, 1.0, 0.0005, 0.0004, -0.00001)] == [
        "0.000", "0.000", "1.000", "0.001", "4.0e-04", "-1.0e-05",
    ]  # fmt: skip
    assert [signed(v) for v in (0.1, -0.1, 0.0, math.nan)] == ["+0.100", "-0.100", "0.000", "–"]
    assert interval(-0.00001, 0.5) == "[-0.000, 0.500]"
    assert table(["a", "bb"], [["xyz", "1"]]) == ["a    bb", "xyz   1"]
