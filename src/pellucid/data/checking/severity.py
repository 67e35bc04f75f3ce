"""How bad a defect is: what cannot be used, what looks wrong, and what is merely good to know."""

from typing import Literal

from pellucid.data.defects import Action

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first."""

_WARNINGS = {
    "box outside",
    "duplicate box",
    "mask misses box",
    "keypoint outside",
    "area disagrees",
    "no annotations",
    "class missing",
    "same image",
    "near duplicate",
    "split near overlap",
}
_NOTES = {"rotated", "mixed modes", "unused class", "imbalance"}


def severity_of(kind: str, action: Action = "kept") -> Severity:
    """Of a kind of defect: an error, unless it is only suspicious, or reading could mend it."""
    if kind in _NOTES:
        return "note"
    return "warning" if kind in _WARNINGS or action in ("mended", "clipped") else "error"
