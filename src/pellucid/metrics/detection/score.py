"""The score of detections: figures, and the matches behind them, from which curves, errors and intervals are read."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection import averaging
from pellucid.metrics.detection.averaging import Averages, averages
from pellucid.metrics.detection.kernels import IGNORED, RIGHT
from pellucid.metrics.detection.matching import Matches
from pellucid.metrics.detection.protocol import Protocol
from pellucid.metrics.findings import Findings
from pellucid.metrics.score import Score
from pellucid.structures import Classes

if TYPE_CHECKING:
    from pellucid.metrics.calibration.tally import ReliabilityCurve
    from pellucid.metrics.detection.confusion import Confusion
    from pellucid.metrics.detection.errors import ErrorAnalysis


@dataclass(frozen=True)
class Curve:
    """Precision and recall of a class, going down the scores, at one threshold.

    ``recall``, ``precision``, ``scores``: float64 (N,), after each detection that counts. ``points`` and
    ``interpolated``: what the protocol reads off. ``average_precision``: what it makes of that. ``best``: the operating
    point of highest F1.
    """

    label: int
    threshold: float
    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]
    points: NDArray[np.float64]
    interpolated: NDArray[np.float64]
    average_precision: float
    best: dict[str, float]


@dataclass
class DetectionScore(Score):
    """A ``Score`` of detections, with the ``matches`` behind it."""

    rules: Protocol = None  # type: ignore[assignment]
    classes: Classes = None  # type: ignore[assignment]
    matches: Matches = field(default=None, repr=False)  # type: ignore[assignment]

    @cached_property
    def averages(self) -> Averages:
        """Average precision and recall by area, threshold and class."""
        return averages(self.matches)

    def curve(self, label: int | str, threshold: float | None = None) -> Curve:
        """The precision–recall curve of a class, at the protocol's first threshold unless another is named."""
        k = self.classes.index(label)
        thresholds = self.rules.thresholds
        if threshold is None:
            threshold = thresholds[0]
        near = [s for s, t in enumerate(thresholds) if abs(t - threshold) < 1e-9]
        if not near:
            known = ", ".join(f"{t:g}" for t in thresholds)
            raise PellucidError(f"{self.title}: {threshold:g} is none of its thresholds; give one of {known}")
        recall, precision, scores = averaging.curve(self.matches, k, near[0])
        points, interpolated = averaging.interpolated(recall, precision, self.rules.interpolation)
        return Curve(
            k,
            thresholds[near[0]],
            recall,
            precision,
            scores,
            points,
            interpolated,
            float(self.averages.precision[0, near[0], k]),
            averaging.best_f1(self.matches, k, near[0]),
        )

    def calibration(self) -> "ReliabilityCurve | None":
        """How often detections are right at each score, at the protocol's first threshold.

        None where scores are no probabilities, or there are none.
        """
        from pellucid.metrics.calibration import DetectionCalibration

        counts = self.matches.states[:, 0, 0] != IGNORED
        scores = self.matches.scores[counts]
        if len(scores) == 0 or scores.min() < 0 or scores.max() > 1:
            return None
        made = DetectionCalibration()
        made.add("all", scores, self.matches.states[counts, 0, 0] == RIGHT)
        return made.curve

    def errors(self, *, foreground: float = 0.5, background: float = 0.1, as_tidecv: bool = False) -> "ErrorAnalysis":
        """What kind of error each false positive and each miss is, and what AP each kind costs; see ``error_types``."""
        from pellucid.metrics.detection.errors import error_types

        return error_types(self, foreground=foreground, background=background, as_tidecv=as_tidecv)

    def confusion(self, *, iou_threshold: float = 0.5, score_threshold: float = 0.25) -> "Confusion":
        """Which class is taken for which; see ``confusion.confusion``."""
        from pellucid.metrics.detection.confusion import confusion

        return confusion(self, iou_threshold=iou_threshold, score_threshold=score_threshold)


def score_of(matches: Matches, classes: Classes, findings: Findings) -> DetectionScore:
    """The figures that the protocol of some matches asks for."""
    protocol = matches.protocol
    made = DetectionScore(
        protocol.name,
        protocol.title,
        {},
        images=len(matches.part),
        findings=findings,
        reservations=reservations(matches),
        official=protocol.official,
        rules=protocol,
        classes=classes,
        matches=matches,
    )
    tables = made.averages
    frequencies = frequency_of(classes)
    for figure in protocol.figures:
        chosen = None if figure.frequency is None else np.flatnonzero(frequencies == figure.frequency)
        made.summary[figure.name] = averaging.figure_of(figure, protocol, tables, chosen)
    figures = tuple(f for f in protocol.figures if f.frequency is None)
    for k, name in enumerate(classes.names):
        row = averaging.per_class(protocol, tables, figures, k)
        row["truths"] = float(matches.positives[0, k])
        row["detections"] = float(matches.first[k + 1] - matches.first[k])
        row |= {f"best_{key}": value for key, value in averaging.best_f1(matches, k).items()}
        made.per_class[name] = row
    return made


def frequency_of(classes: Classes) -> NDArray[np.str_]:
    """LVIS' tag of each class: 'rare', 'common' or 'frequent', '' where the data set has none."""
    return np.array(classes.frequencies or [""] * len(classes))


def reservations(matches: Matches) -> dict[str, str]:
    """For each figure why it may not be compared with official ones; a figure that is not named may."""
    protocol = matches.protocol
    said: list[str] = []
    if not protocol.official:
        said.append("a protocol of your own: no benchmark publishes it")
    if matches.part.inclusive and not protocol.inclusive and protocol.geometry == "boxes":
        said.append("the truth's files count pixels; its boxes were made continuous")
    elif protocol.inclusive and not matches.part.inclusive:
        said.append(
            "boxes of a source that does not count pixels: one was added to every side, as the benchmark's code does"
        )
    text = "; ".join(said)
    return {figure.name: text for figure in protocol.figures} if text else {}
