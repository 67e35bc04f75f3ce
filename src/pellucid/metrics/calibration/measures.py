"""How far confidence is from accuracy: reliability, ECE, MCE, likelihood and Brier score of arrays.

Confidence is the highest probability that a network gives a sample. ECE, MCE and the bins are those of Guo et al.
2017, 'On Calibration of Modern Neural Networks', section 2. torchmetrics and hotcoco close the bins at their lower
end instead, which tells where a confidence lies on an edge.
"""

import math
from typing import Literal

import numpy as np

from pellucid.errors import PellucidError
from pellucid.metrics.calibration.arrays import (
    Numbers,
    as_flags,
    as_floats,
    as_probabilities,
    as_rows,
    check_sums,
    chunks,
)
from pellucid.metrics.calibration.tally import ReliabilityCurve, Tally

BINS = 15


def reliability(confidences: Numbers, correct: Numbers, bins: int = BINS) -> ReliabilityCurve:
    """The reliability curve of samples with a confidence each.

    ``confidences``: (N,) in [0, 1]. ``correct``: (N,) bool, whether the prediction is right. ``bins``: equal parts of
    [0, 1], each (low, high]. Raises PellucidError for a confidence outside [0, 1] and for lengths that differ.
    """
    array = as_probabilities(confidences, "confidences").ravel()
    tally = Tally(bins)
    tally.add(array, as_flags(correct, np.shape(confidences), "correct").ravel())
    return tally.curve()


def expected_calibration_error(confidences: Numbers, correct: Numbers, bins: int = BINS) -> float:
    """ECE = Σ (n_b / n) |accuracy − mean confidence| over the bins of ``reliability``; NaN without samples."""
    return reliability(confidences, correct, bins).ece


def maximum_calibration_error(confidences: Numbers, correct: Numbers, bins: int = BINS) -> float:
    """MCE: the largest gap of a bin of ``reliability`` that is not empty; NaN without samples."""
    return reliability(confidences, correct, bins).mce


def negative_log_likelihood(
    scores: Numbers, labels: Numbers, *, given: Literal["logits", "probabilities"] = "logits"
) -> float:
    """The mean of −ln p of the true class; NaN without samples.

    ``scores``: (N, K), logits or probabilities as ``given`` says. ``labels``: (N,) class indices. From logits it is
    stable: a true class far behind has a large likelihood, not an infinite one. A probability of exactly 0 for
    a true class gives inf, as in PyTorch, and so does a logit of −inf; scikit-learn puts a bound of its own there.
    Raises PellucidError for scores that are no numbers, and for probabilities outside [0, 1] or not adding up to 1.
    """
    rows, truth = _scored(scores, labels, given)
    if not len(rows):
        return math.nan
    return math.fsum(
        math.fsum((log_losses if given == "logits" else surprises)(rows[part], truth[part]).tolist())
        for part in chunks(*rows.shape)
    ) / len(rows)


def brier_score(probabilities: Numbers, labels: Numbers) -> float:
    """The mean over samples of Σ over classes (p − 1[true class])², 0 to 2; NaN without samples.

    ``probabilities``: (N, K). ``labels``: (N,) class indices. Brier 1950; some divide by K, and some take one of two
    classes alone, which is half of it. Raises PellucidError as ``negative_log_likelihood``.
    """
    rows, truth = _scored(probabilities, labels, "probabilities")
    if not len(rows):
        return math.nan
    return math.fsum(
        math.fsum(brier_losses(rows[part].astype(np.float64), truth[part]).tolist()) for part in chunks(*rows.shape)
    ) / len(rows)


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (N, K) of finite or −inf logits (N, K), at least one a row finite."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def log_losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−ln softmax of the true class, float64 (N,), for logits (N, K)."""
    wide = logits.astype(np.float64)
    wide -= wide.max(1, keepdims=True)
    # The sum holds exp(0) = 1, so that its logarithm is small and exact.
    return np.log(np.exp(wide).sum(1)) - wide[np.arange(len(labels)), labels]


def surprises(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−ln p of the true class, float64 (N,), inf where p = 0, for probabilities (N, K)."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    found = np.full(len(true), np.inf)
    np.log(true, out=found, where=true > 0)
    return np.where(true > 0, -found, np.inf)


def brier_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Σ over classes of squared differences, float64 (N,), for probabilities float64 (N, K)."""
    off = probabilities.copy()
    off[np.arange(len(labels)), labels] -= 1
    return (off * off).sum(1)


def _scored(scores: Numbers, labels: Numbers, given: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels, checked."""
    if given == "probabilities":
        rows, truth = as_rows(as_probabilities(scores, "probabilities"), labels, "probabilities")
        check_sums(rows, "probabilities")
    elif given == "logits":
        rows, truth = as_rows(as_floats(scores, "logits"), labels, "logits")
        # −inf is what a masked class has; a row of nothing else says nothing.
        wrong = ~np.isfinite(rows.max(1)) | np.isnan(rows).any(1)
        if wrong.any():
            raise PellucidError(
                f"logits: those of sample {int(np.argmax(wrong))} hold NaN or inf; leave the sample out"
            )
    else:
        raise PellucidError(f"given: {given!r}; say 'logits' or 'probabilities'")
    return rows, truth
