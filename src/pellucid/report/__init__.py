"""Pictures of what a network says and why: the panel, first-layer kernels, and the adversarial row."""

from pellucid.report.adversarial import draw_adversarial
from pellucid.report.kernels import draw_kernels
from pellucid.report.panel import draw_panel, method_title

__all__ = ["draw_adversarial", "draw_kernels", "draw_panel", "method_title"]
