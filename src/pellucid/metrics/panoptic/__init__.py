"""Panoptic quality: how well segments, things and stuff alike, are found and outlined."""

from pellucid.metrics.panoptic.evaluator import PanopticEvaluator
from pellucid.metrics.panoptic.matching import PanopticError

__all__ = ["PanopticError", "PanopticEvaluator"]
