"""The pixels of one image as samples of calibration."""

import math
from dataclasses import dataclass

import numpy as np

from pellucid.errors import PellucidError
from pellucid.metrics.calibration.arrays import ROUNDING, SUM_ROUNDING, chunks
from pellucid.structures.panoptic import IGNORE


@dataclass
class PixelSums:
    """The P pixels that count: confidences float (P,), whether right bool (P,), sums of losses, and what was odd.

    ``zeros``: true classes of probability 0. ``no_numbers``: pixels left out.
    """

    confidences: np.ndarray
    correct: np.ndarray
    nll: float
    brier: float
    zeros: int
    no_numbers: int


def pixel_sums(name: str, probabilities: np.ndarray, semantic: np.ndarray) -> PixelSums:
    """Of probabilities (K, H, W) and true classes (H, W), 255 left out.

    Raises PellucidError, with the image's ``name``, for what is no probability and for a label that is no class.
    """
    K = len(probabilities)
    if probabilities.dtype.kind != "f":
        raise PellucidError(f"{name}: semantic_probabilities of type {probabilities.dtype}; give floats, 0 to 1")
    labels = semantic.ravel()
    known = labels != IGNORE
    wrong = known & ((labels < 0) | (labels >= K))
    if wrong.any():
        label = labels[np.argmax(wrong)]
        raise PellucidError(f"{name}: the true class {label} at a pixel, but there are {K}; mend it, or mark it 255")
    flat = probabilities.reshape(K, -1)
    confidences, correct = [np.zeros(0, probabilities.dtype)], [np.zeros(0, np.bool_)]
    nll, brier, zeros, no_numbers = [0.0], [0.0], 0, 0
    tiny = float(np.finfo(probabilities.dtype).tiny)
    for part in chunks(flat.shape[1], K):
        p, y = flat[:, part][:, known[part]], labels[part][known[part]]
        top = p.max(0)
        if np.isnan(top).any():
            no_numbers += int(np.isnan(top).sum())
            p, y = p[:, ~np.isnan(top)], y[~np.isnan(top)]
            top = p.max(0)
        _check(name, p)
        true = p[y, np.arange(len(y))].astype(np.float64)
        zeros += int((true <= 0).sum())
        confidences.append(np.clip(top, 0, 1))
        correct.append(p.argmax(0) == y)
        nll.append(float(-np.log(np.clip(true, tiny, 1)).sum()))
        # Σ (p − 1[true])² = Σ p² + 1 − 2 p[true]
        brier.append(float((1 - 2 * true).sum()))
        brier.extend(float(np.square(row, dtype=np.float64).sum()) for row in p)
    return PixelSums(
        np.concatenate(confidences),
        np.concatenate(correct),
        math.fsum(nll),
        max(0.0, math.fsum(brier)),
        zeros,
        no_numbers,
    )


def _check(name: str, p: np.ndarray) -> None:
    if not p.size:
        return
    low, high = float(p.min()), float(p.max())
    sums = p.sum(0, dtype=np.float64)
    off = float(np.abs(sums - 1).max())
    if low < -ROUNDING or high > 1 + ROUNDING or off > SUM_ROUNDING:
        raise PellucidError(
            f"{name}: semantic_probabilities from {low:.4g} to {high:.4g} that add up to 1 ± {off:.2g} a pixel; "
            "give a softmax over the classes"
        )
