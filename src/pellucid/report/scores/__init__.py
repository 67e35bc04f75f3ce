"""How scores look: tables for a terminal, and plots that can go into a paper as they are."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.report.scores.bars import plot_errors
    from pellucid.report.scores.confusion import plot_confusion
    from pellucid.report.scores.curves import plot_curves, plot_mean_curve
    from pellucid.report.scores.intervals import plot_intervals
    from pellucid.report.scores.reliability import plot_reliability
    from pellucid.report.scores.tables import comparison_lines, error_lines, per_class_lines, summary_lines

__all__ = [
    "comparison_lines",
    "error_lines",
    "per_class_lines",
    "plot_confusion",
    "plot_curves",
    "plot_errors",
    "plot_intervals",
    "plot_mean_curve",
    "plot_reliability",
    "summary_lines",
]

# Loaded when first asked for: tables need no matplotlib, and reliability needs no matching engine.
_LAZY = {
    "comparison_lines": "tables",
    "error_lines": "tables",
    "per_class_lines": "tables",
    "plot_confusion": "confusion",
    "plot_curves": "curves",
    "plot_errors": "bars",
    "plot_intervals": "intervals",
    "plot_mean_curve": "curves",
    "plot_reliability": "reliability",
    "summary_lines": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pellucid.report.scores' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pellucid.report.scores.{_LAZY[name]}"), name)
