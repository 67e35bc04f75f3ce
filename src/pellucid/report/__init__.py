"""Pictures of what a network says and why, and of what is said of a data set's images."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pellucid.report.adversarial import draw_adversarial
    from pellucid.report.annotated import draw_annotations
    from pellucid.report.kernels import draw_kernels
    from pellucid.report.panel import draw_panel, method_title

__all__ = ["draw_adversarial", "draw_annotations", "draw_kernels", "draw_panel", "method_title"]

# Loaded when first asked for: a sheet of a data set needs nothing that explains networks.
_LAZY = {
    "draw_adversarial": "adversarial",
    "draw_annotations": "annotated",
    "draw_kernels": "kernels",
    "draw_panel": "panel",
    "method_title": "panel",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pellucid.report' has no attribute '{name}'")
    return getattr(importlib.import_module(f"pellucid.report.{_LAZY[name]}"), name)
