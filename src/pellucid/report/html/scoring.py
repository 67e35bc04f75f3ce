"""The figures of a report: what a score of detections says, as plain values."""

import math

import numpy as np
from numpy.typing import NDArray

from pellucid.metrics.detection.bootstrap import Intervals
from pellucid.metrics.detection.errors import ErrorAnalysis
from pellucid.metrics.detection.score import DetectionScore
from pellucid.metrics.detection.waterfall import Waterfall as Counted
from pellucid.report.html.content import (
    Bin,
    Calibration,
    Confusion,
    Curves,
    ErrorType,
    Line,
    Scores,
    Stage,
    Table,
    Value,
    Waterfall,
)

_POINTS = 160
"""A curve is drawn with so many points at most."""

MEANINGS = {
    "Cls": ("wrong class", "the box is right, the class is not"),
    "Loc": ("wrong box", "the class is right, the box is off"),
    "Both": ("both wrong", "neither class nor box is right, but there is something"),
    "Dupe": ("duplicate", "the object was found already, by a surer detection"),
    "Bkg": ("background", "there is no object of any class"),
    "Miss": ("missed", "an object that no detection comes near"),
}
"""TIDE's types of error (Bolya et al. 2020, section 3), in words."""


def scores_of(score: DetectionScore, intervals: Intervals | None = None) -> Scores:
    """The summary, with 95 % intervals where there are any. Figures that are undefined are left out."""
    values = []
    for name, value in score.summary.items():
        if math.isnan(value):
            continue
        interval = intervals.figures.get(name) if intervals is not None else None
        sure = interval is not None and math.isfinite(interval.low) and math.isfinite(interval.high)
        low, high = (interval.low, interval.high) if interval is not None and sure else (None, None)
        values.append(Value(name, float(value), low, high))
    reasons = "; ".join(dict.fromkeys(score.reservations.values()))
    return Scores(score.protocol, score.title, tuple(values), reasons)


def curves_of(score: DetectionScore) -> Curves:
    """Each class's precision at each recall, at the protocol's first threshold."""
    threshold = score.rules.thresholds[0]
    lines = []
    for k, name in enumerate(score.classes.names):
        if score.per_class[name]["truths"]:
            curve = score.curve(k, threshold)
            points = _thinned(curve.recall, curve.precision)
            lines.append(Line(name, points, curve.average_precision))
    return Curves(threshold, tuple(sorted(lines, key=lambda line: -line.average_precision)))


def _thinned(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """The last point of each of ``_POINTS`` steps of recall: what lies between moves precision alone."""
    if not len(recall):
        return ()
    steps = np.floor(recall * _POINTS)
    last = np.flatnonzero(np.append(steps[1:] != steps[:-1], True))
    kept = np.unique(np.concatenate(([0], last)))
    return tuple((round(float(recall[i]), 4), round(float(precision[i]), 4)) for i in kept)


def errors_of(analysis: ErrorAnalysis) -> tuple[ErrorType, ...]:
    """TIDE's six types, with what each costs."""
    return tuple(
        ErrorType(kind, name, analysis.counts[kind], float(analysis.cost[kind]), meaning)
        for kind, (name, meaning) in MEANINGS.items()
    )


def calibration_of(score: DetectionScore) -> Calibration | None:
    """How often detections are right at each score; None where scores are no probabilities."""
    curve = score.calibration()
    if curve is None:
        return None
    bins = zip(curve.confidence.tolist(), curve.accuracy.tolist(), curve.counts.tolist(), strict=True)
    return Calibration(tuple(Bin(*one) for one in bins if one[2]), curve.ece)


def confusion_of(score: DetectionScore) -> Confusion:
    """Which class is taken for which."""
    made = score.confusion()
    counts = tuple(tuple(row) for row in made.matrix.tolist())
    return Confusion(made.names[:-1], counts, made.iou_threshold, made.score_threshold)


def waterfall_of(counted: Counted, iou: float) -> Waterfall:
    """The recall waterfall."""
    left = counted.remaining
    stages = tuple(Stage(reason, lost, left[reason]) for reason, lost in counted.lost.items())
    return Waterfall(counted.total, counted.found, iou, stages)


def per_class_of(score: DetectionScore) -> Table:
    """A row each class that has truths or detections."""
    figures = [figure.name for figure in score.rules.figures if figure.frequency is None]
    known = {figure for row in score.per_class.values() for figure in row}
    shown = [name for name in figures if name in known][:3] + [n for n in ("AR@100", "AR100") if n in known][:1]
    rows: list[tuple[str | int | float, ...]] = []
    for name, row in score.per_class.items():
        if row["truths"] or row["detections"]:
            best = [row.get(f"best_{key}", math.nan) for key in ("precision", "recall", "score")]
            counts = (int(row["truths"]), int(row["detections"]))
            rows.append((name, *counts, *(float(row[f]) for f in shown), *(float(v) for v in best)))
    headings = ("class", "objects", "detections", *shown, "precision", "recall", "at score")
    about = "Precision and recall are those of the score at which F1 is highest."
    return Table("Classes", headings, tuple(rows), about)
