"""Whether a network is as sure as it is right: measures of calibration, temperatures, and shares of foreground."""

from pellucid.metrics.calibration.evaluators import (
    ClassificationCalibration,
    DetectionCalibration,
    SegmentationCalibration,
)
from pellucid.metrics.calibration.measures import (
    brier_score,
    expected_calibration_error,
    maximum_calibration_error,
    negative_log_likelihood,
    reliability,
)
from pellucid.metrics.calibration.priors import PolynomialCalibration, fit_polynomial, under_prior
from pellucid.metrics.calibration.tally import ReliabilityCurve
from pellucid.metrics.calibration.temperature import Temperature, fit_temperature, pixel_logits

__all__ = [
    "ClassificationCalibration",
    "DetectionCalibration",
    "PolynomialCalibration",
    "ReliabilityCurve",
    "SegmentationCalibration",
    "Temperature",
    "brier_score",
    "expected_calibration_error",
    "fit_polynomial",
    "fit_temperature",
    "maximum_calibration_error",
    "negative_log_likelihood",
    "pixel_logits",
    "reliability",
    "under_prior",
]
