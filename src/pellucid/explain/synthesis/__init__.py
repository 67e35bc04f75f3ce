"""Seeing by optimisation: images that make an objective high."""

from pellucid.explain.synthesis.ascent import Synthesis, synthesize

__all__ = ["Synthesis", "synthesize"]
