"""Seeing by optimisation: images that make an objective high."""

from pellucid.explain.synthesis.ascent import PARAMETRISATIONS, Synthesis, as_pixels, synthesize
from pellucid.explain.synthesis.crops import Crops
from pellucid.explain.synthesis.diversity import similarity, style_similarities
from pellucid.explain.synthesis.dreams import caricature, deep_dream, interpolate
from pellucid.explain.synthesis.regularisers import REGULARISERS
from pellucid.explain.synthesis.transforms import LUCID, STANDARD, Jitter, Pad, Rotate, Scale, parse_transforms

__all__ = [
    "LUCID",
    "PARAMETRISATIONS",
    "REGULARISERS",
    "STANDARD",
    "Crops",
    "Jitter",
    "Pad",
    "Rotate",
    "Scale",
    "Synthesis",
    "as_pixels",
    "caricature",
    "deep_dream",
    "interpolate",
    "parse_transforms",
    "similarity",
    "style_similarities",
    "synthesize",
]
