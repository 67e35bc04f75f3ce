"""How good it is: every official protocol, over one matching engine, with intervals, errors and calibration.

The names below are loaded when they are first asked for: numba takes a while.
"""

import importlib
from typing import Any

_WHERE = {
    "evaluate": "evaluation",
    "evaluator": "evaluation",
    "Score": "score",
    "Findings": "findings",
    "DetectionEvaluator": "detection.evaluator",
    "DetectionScore": "detection.score",
    "Protocol": "detection.protocol",
    "Figure": "detection.protocol",
    "PROTOCOLS": "detection.protocols",
    "custom": "detection.protocols",
    "SemanticEvaluator": "semantic",
    "PanopticEvaluator": "panoptic",
    "LocalizationEvaluator": "localization",
    "ElectronMicroscopyEvaluator": "electron_microscopy",
    "ClassificationCalibration": "calibration",
    "SegmentationCalibration": "calibration",
    "DetectionCalibration": "calibration",
    "fit_temperature": "calibration",
    "fit_polynomial": "calibration",
    "under_prior": "calibration",
    "bootstrap": "detection.bootstrap",
    "tie_range": "detection.ties",
    "compare": "comparing",
    "error_types": "detection.errors",
    "confusion": "detection.errors",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'pellucid.metrics' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pellucid.metrics.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_WHERE)
