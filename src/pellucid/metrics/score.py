"""What scoring gives: named figures, which of them compare with published ones, and what was wrong."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pellucid.metrics.findings import Findings


@dataclass
class Score:
    """How good a set of predictions is, by one protocol.

    ``protocol``: its name, such as 'coco'. ``title``: the same in words. ``summary``: figure → value, NaN where it is
    undefined. ``per_class``: class name → figure → value. ``images``: how many were scored. ``findings``: what was
    wrong with truths and predictions, and what was done about it. ``reservations``: figure → why it may not be compared
    with the official one; a figure that is not in it may. ``official``: whose those are, '' where there are none.
    """

    protocol: str
    title: str
    summary: dict[str, float]
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    images: int = 0
    findings: Findings = field(default_factory=Findings)
    reservations: dict[str, str] = field(default_factory=dict)
    official: str = ""

    def comparable(self, figure: str) -> bool:
        """Whether a figure may be compared with those of ``official``."""
        return bool(self.official) and figure not in self.reservations

    def record(self) -> dict[str, Any]:
        """The score as JSON takes it: ``protocol``, ``summary`` and ``per_class`` with null for NaN, and the rest."""
        return {
            "protocol": self.protocol,
            "images": self.images,
            "summary": plain(self.summary),
            "per_class": {name: plain(figures) for name, figures in self.per_class.items()},
            "findings": self.findings.record(),
            "official": self.official or None,
            "comparable": {name: self.comparable(name) for name in self.summary},
            "reservations": dict(self.reservations),
        }


def plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON takes them: None for what is no finite number."""
    return {name: None if not math.isfinite(value) else float(value) for name, value in figures.items()}


def mean_defined(values: list[float]) -> float:
    """The mean of the values that are not NaN; NaN where there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
