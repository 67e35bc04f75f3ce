"""Calibration of a classifier, a segmenter and a detector, image by image."""

import copy
import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from pellucid.errors import PellucidError
from pellucid.metrics.calibration.arrays import Numbers, as_array, as_flags, as_floats, as_probabilities
from pellucid.metrics.calibration.measures import BINS, brier_losses, log_losses, softmax
from pellucid.metrics.calibration.segmentation import pixel_sums
from pellucid.metrics.calibration.tally import ReliabilityCurve, Tally
from pellucid.metrics.findings import Findings
from pellucid.metrics.score import Score
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes


class _Calibration(ABC):
    """What the three share: the tally, the images seen, merging."""

    protocol: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, bins: int) -> None:
        self.tally = Tally(bins)
        self.images = 0
        self.findings = Findings()
        self._seen: set[str] = set()

    def merge(self, other: "_Calibration") -> None:
        """Adds all that another has seen.

        Raises PellucidError, and leaves both as they are, for another protocol, other bins or classes, and for an image
        that both have seen.
        """
        self._check_alike(other)
        if twice := self._seen & other._seen:
            raise PellucidError(f"{min(twice)}: stands in both parts to merge; score each image once")
        self._seen |= other._seen
        self.images += other.images
        self.findings.take(other.findings)
        self.tally.take(other.tally)

    @property
    def curve(self) -> ReliabilityCurve:
        """Accuracy against confidence, of all samples so far."""
        return self.tally.curve()

    def score(self) -> Score:
        """The figures so far; NaN where nothing was scored."""
        curve = self.curve
        reservations = {}
        if self.tally.bins != BINS:
            note = f"{self.tally.bins} bins, where Guo et al. take {BINS}"
            reservations = {"ECE": note, "MCE": note}
        return Score(
            self.protocol,
            f"{self.title}, {self.tally.bins} bins",
            {"ECE": curve.ece, "MCE": curve.mce, **self._figures()},
            images=self.images,
            findings=copy.deepcopy(self.findings),
            reservations=reservations | self._reservations(),
        )

    @abstractmethod
    def _figures(self) -> dict[str, float]:
        """The figures beside ECE and MCE."""

    def _reservations(self) -> dict[str, str]:
        return {}

    def _check_alike(self, other: "_Calibration") -> None:
        """Raises PellucidError where two are not of one kind."""
        if type(other) is not type(self):
            raise PellucidError(f"{self.protocol}: {type(other).__name__} is of another kind; merge scores of one kind")
        if other.tally.bins != self.tally.bins:
            raise PellucidError(
                f"{self.protocol}: {self.tally.bins} bins and {other.tally.bins}; merge scores of as many bins"
            )

    def _see(self, name: str) -> None:
        if name in self._seen:
            raise PellucidError(f"{name}: was scored before; give each image once")
        self._seen.add(name)


class _OfClasses(_Calibration):
    """What classifiers and segmenters share: classes, and the figures of probabilities over them."""

    def __init__(self, classes: Classes, *, bins: int = BINS) -> None:
        super().__init__(bins)
        self.classes = classes

    def _check_alike(self, other: _Calibration) -> None:
        super()._check_alike(other)
        if isinstance(other, _OfClasses) and self.classes.names != other.classes.names:
            raise PellucidError(f"{self.protocol}: the parts to merge have different classes; score them with the same")

    def _check_classes(self, name: str, truth: Annotations, prediction: Annotations) -> None:
        for what, said in (("truth", truth), ("prediction", prediction)):
            if said.classes is not self.classes and said.classes.names != self.classes.names:
                raise PellucidError(f"{name}: the {what}'s classes are not those scored; map them to the same classes")

    def _figures(self) -> dict[str, float]:
        tally = self.tally
        return {
            "NLL": tally.loss("NLL"),
            "Brier": tally.loss("Brier"),
            "accuracy": tally.accuracy,
            "mean_confidence": tally.mean_confidence,
        }


class ClassificationCalibration(_OfClasses):
    """ECE, MCE, NLL, Brier score and accuracy of a classifier, a sample an image (Guo et al. 2017).

    Reads ``truth.present``, which has to be one class, and ``prediction.logits`` (K,). Confidence is the highest
    probability of their softmax, taken in double precision; at a tie the first class is predicted. Images without
    one true class, without a prediction, or with logits that are no numbers are left out and stand in the findings.
    A true class with a logit of −inf makes the NLL infinite.
    """

    protocol = "calibration"
    reads = ("labels",)
    title = "Calibration"

    def add(self, name: str, truth: Annotations, prediction: Annotations | None) -> None:
        """Adds an image.

        Raises PellucidError for an image seen before, for other classes, and for logits of another number.
        """
        self._see(name)
        if len(truth.present) != 1:
            self.findings.add("images whose truth is not one class", name)
            return
        if prediction is None or prediction.logits is None:
            self.findings.add("images without predicted class scores", name)
            return
        self._check_classes(name, truth, prediction)
        logits, label = as_floats(prediction.logits, f"{name}: logits"), truth.present[0]
        if logits.shape != (len(self.classes),):
            raise PellucidError(
                f"{name}: logits of shape {logits.shape}; give one for each of {len(self.classes)} classes"
            )
        if not 0 <= label < len(self.classes):
            raise PellucidError(f"{name}: the true class is {label}, but there are {len(self.classes)}; mend the truth")
        if np.isnan(logits).any() or not np.isfinite(logits.max()):
            self.findings.add("predictions with class scores that are no numbers", name)
            return
        if logits[label] == -np.inf:
            self.findings.add("images whose true class has a score of −inf", name, "counted as given")
        row, labels = logits[None], np.array([label])
        probabilities = softmax(row)
        best = int(logits.argmax())
        losses = {"NLL": float(log_losses(row, labels)[0]), "Brier": float(brier_losses(probabilities, labels)[0])}
        self.tally.add(probabilities[:, best], np.array([best == label]), losses)
        self.images += 1


class SegmentationCalibration(_OfClasses):
    """ECE, MCE, NLL, Brier score and accuracy of a semantic segmenter, a sample a pixel.

    Reads ``truth.semantic`` (H, W), where 255 is left out, and ``prediction.semantic_probabilities`` (K, H, W).
    All pixels of all images count alike; the predicted class is the one of highest probability, the first at a tie.
    A true class of probability 0, which is below what the numbers can express, is counted in the NLL as the smallest
    normal number of their precision (88 nats for float32) and noted. Pixels whose probabilities are no numbers
    are left out and noted.
    """

    protocol = "semantic-calibration"
    reads = ("semantic",)
    title = "Calibration of pixels"
    ZERO = "pixels whose true class has probability 0"

    def add(self, name: str, truth: Annotations, prediction: Annotations | None) -> None:
        """Adds an image.

        Raises PellucidError for an image seen before, for other classes or sizes, and for numbers that are no
        probabilities.
        """
        self._see(name)
        if truth.semantic is None:
            self.findings.add("images without a semantic truth", name)
            return
        if prediction is None or prediction.semantic_probabilities is None:
            self.findings.add("images without predicted probabilities of pixels", name)
            return
        self._check_classes(name, truth, prediction)
        probabilities, labels = as_array(prediction.semantic_probabilities), as_array(truth.semantic)
        shape = (len(self.classes), *labels.shape)
        if probabilities.shape != shape:
            raise PellucidError(f"{name}: semantic_probabilities of shape {probabilities.shape}; give {shape}")
        sums = pixel_sums(name, probabilities, labels)
        self.findings.add("pixels with probabilities that are no numbers", name, count=sums.no_numbers)
        self.findings.add(self.ZERO, name, "kept", count=sums.zeros)
        self.tally.add(sums.confidences, sums.correct, {"NLL": sums.nll, "Brier": sums.brier})
        self.images += 1

    def _reservations(self) -> dict[str, str]:
        zeros = self.findings.count(self.ZERO)
        note = "true classes of probability 0 are counted as the smallest normal number of their precision"
        return {"NLL": f"{zeros:,} pixels: {note}"} if zeros else {}


class DetectionCalibration(_Calibration):
    """How a detector's scores agree with its precision: D-ECE by confidence alone, and MCE.

    A sample is a detection: its score, and whether it is a true positive at IoU 0.5; those that the protocol ignores
    are to be left out. Missed objects play no part. The Brier score is that of two outcomes, (score − right)²: 0 to 1.
    Source: Küppers et al. 2020, 'Multivariate Confidence Calibration for Object Detection', section 3.
    """

    protocol = "detection-calibration"
    title = "Calibration of detections"

    def __init__(self, *, bins: int = BINS) -> None:
        super().__init__(bins)

    def add(self, name: str, scores: Numbers, correct: Numbers) -> None:
        """Adds an image's detections: scores float (D,) in [0, 1], and whether each is a true positive, bool (D,).

        A score that is no number is left out and noted. Raises PellucidError for an image seen before, for scores
        outside [0, 1], and for lengths that differ.
        """
        self._see(name)
        given = as_floats(scores, f"{name}: scores")
        if given.ndim != 1:
            raise PellucidError(f"{name}: scores of shape {given.shape}; give one a detection")
        right = as_flags(correct, given.shape, f"{name}: correct")
        known = ~np.isnan(given)
        self.findings.add(
            "detections with a score that is no number", (f"{name}, detection {i}" for i in np.flatnonzero(~known))
        )
        kept, right = as_probabilities(np.where(known, given, 0), f"{name}: scores")[known], right[known]
        off = kept.astype(np.float64) - right
        self.tally.add(kept, right, {"Brier": math.fsum((off * off).tolist())})
        self.images += 1

    def _figures(self) -> dict[str, float]:
        tally = self.tally
        return {
            "Brier": tally.loss("Brier"),
            "precision": tally.accuracy,
            "mean_confidence": tally.mean_confidence,
        }
