"""Temperature scaling: one number that makes a network's confidence fit its accuracy.

Guo et al. 2017, 'On Calibration of Modern Neural Networks', section 4.2.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.calibration.arrays import Numbers, as_array, as_floats, as_rows, chunks
from pellucid.metrics.calibration.measures import BINS
from pellucid.metrics.calibration.tally import Tally
from pellucid.structures.panoptic import IGNORE

Logits = TypeVar("Logits", Tensor, np.ndarray)
STEPS = 200
PRECISION = 1e-10
NOISE = 1e-12


@dataclass(frozen=True)
class Temperature:
    """A fitted temperature; called with logits it gives logits / value.

    ``value``: T > 0; above 1 where the network was too sure. ``nll_before``, ``nll_after``: mean negative
    log-likelihood (nats) of the samples it was fitted on, and ``ece_before``, ``ece_after`` their ECE with 15 bins.
    ``samples``: how many there were. How well the fit serves new images, only images not among these can show.
    """

    value: float
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    samples: int

    def __call__(self, logits: Logits) -> Logits:
        """logits / T, of any shape and of the same kind and precision; gradients pass. The top class stays the same."""
        return logits / self.value


def fit_temperature(logits: Numbers, labels: Numbers) -> Temperature:
    """The temperature T > 0 that minimises the negative log-likelihood of softmax(logits / T).

    ``logits``: (N, K), of images that the network was **not** trained on: on its own training images it is right too
    often, and the temperature comes out too low. ``labels``: (N,) class indices. The likelihood is convex in 1 / T; its
    minimum is found by Newton's method within a bracket, to ten digits.

    Raises PellucidError for logits that are not finite, and where there is no minimum: every sample right (T → 0),
    logits that tell the true class no better than chance (T → ∞) or are equal within every sample, a single class.
    """
    rows, truth = as_rows(as_floats(logits, "logits"), labels, "logits")
    wrong = ~np.isfinite(rows).all(1)
    if wrong.any():
        raise PellucidError(
            f"logits: those of sample {int(np.argmax(wrong))} hold NaN or inf; leave the sample, or the class, out"
        )
    if rows.shape[1] < 2:
        raise PellucidError("temperature: the logits are of a single class, which is always right; give two or more")
    if not len(rows):
        raise PellucidError("temperature: no samples; give some held-out images")
    held = _HeldOut(rows, truth)
    inverse = held.best_inverse()
    before, after = held.tally(1.0), held.tally(inverse)
    return Temperature(
        1 / inverse,
        before.loss("NLL"),
        after.loss("NLL"),
        before.curve().ece,
        after.curve().ece,
        len(rows),
    )


def pixel_logits(
    scores: Numbers,
    semantic: Numbers,
    *,
    given: Literal["logits", "probabilities"] = "logits",
    limit: int | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of semantic maps as samples for ``fit_temperature``: logits float (M, K) and labels int64 (M,).

    ``scores``: (N, K, H, W), or (K, H, W) of one image; the logits, or the ``given`` probabilities, whose logarithms
    serve as logits (a softmax gives the probabilities back); 0 counts as the smallest normal number. ``semantic``:
    (N, H, W) or (H, W) true classes; 255 is left out. ``limit``: at most so many pixels, drawn by ``seed``: neighbours
    say much the same, and a few hundred thousand fix one number.
    """
    maps, truth = as_floats(scores, "scores"), as_array(semantic)
    if truth.dtype.kind not in "iu":
        raise PellucidError(f"semantic: values of type {truth.dtype}; give class indices, whole numbers")
    if maps.ndim == 3:
        maps, truth = maps[None], truth[None]
    if maps.ndim != 4 or truth.shape != (len(maps), *maps.shape[2:]):
        raise PellucidError(f"scores: shape {maps.shape} with truth of {truth.shape}; give (N, K, H, W) and (N, H, W)")
    if given not in ("logits", "probabilities"):
        raise PellucidError(f"given: {given!r}; say 'logits' or 'probabilities'")
    image, y, x = np.nonzero(truth != IGNORE)
    if limit is not None and limit < len(image):
        chosen = np.sort(np.random.default_rng(seed).choice(len(image), limit, replace=False))
        image, y, x = image[chosen], y[chosen], x[chosen]
    rows = maps[image, :, y, x]
    if given == "probabilities":
        if not ((rows >= 0) & (rows <= 1)).all():
            raise PellucidError("scores: numbers outside 0 to 1; give probabilities, or say that they are logits")
        rows = np.log(np.maximum(rows, np.finfo(rows.dtype).tiny))
    return rows, truth[image, y, x].astype(np.int64)


class _HeldOut:
    """Logits with their labels, and the likelihood as a function of the inverse temperature b = 1 / T."""

    def __init__(self, logits: np.ndarray, labels: np.ndarray) -> None:
        self.logits, self.labels = logits, labels

    def _parts(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """By and by: logits below the highest of their sample, float64 (n, K), and those of the true classes, (n,)."""
        for part in chunks(*self.logits.shape):
            below = self.logits[part].astype(np.float64)
            below -= below.max(1, keepdims=True)
            yield below, below[np.arange(len(below)), self.labels[part]]

    def _slope(self, b: float) -> tuple[float, float]:
        """First and second derivative of the mean negative log-likelihood in b."""
        slopes, bends = [], []
        for below, true in self._parts():
            weights = np.exp(b * below)
            weights /= weights.sum(1, keepdims=True)
            mean = (weights * below).sum(1)
            slopes.append(math.fsum((mean - true).tolist()))
            bends.append(float((weights * (below - mean[:, None]) ** 2).sum()))
        return math.fsum(slopes) / len(self.labels), math.fsum(bends) / len(self.labels)

    def _check(self) -> None:
        """Raises PellucidError where the likelihood has no minimum at a b above 0 and below infinity."""
        spread, lowest = 0.0, 0.0
        for below, true in self._parts():
            spread, lowest = max(spread, -float(below.min())), min(lowest, float(true.min()))
        if spread == 0:
            raise PellucidError("temperature: the logits are equal within every sample; give the network's own outputs")
        if lowest >= -NOISE * spread:
            raise PellucidError(
                f"temperature: the true class has the highest logit in all {len(self.labels)} samples, so that T runs "
                "to 0; give more held-out images, some of which the network gets wrong"
            )
        if self._slope(0.0)[0] >= -NOISE * spread:
            raise PellucidError(
                "temperature: the logits tell the true class no better than chance, so that T runs to infinity; "
                "check that labels and logits have the same order of samples and of classes"
            )

    def best_inverse(self) -> float:
        """The b > 0 of the least negative log-likelihood: where its slope, which rises in b, is 0."""
        self._check()
        low = high = 1.0
        while self._slope(low)[0] > 0:
            low, high = low / 4, low
        while self._slope(high)[0] < 0:
            low, high = max(low, high), high * 4
        b = math.sqrt(low * high)
        for _ in range(STEPS):
            slope, bend = self._slope(b)
            low, high = (b, high) if slope < 0 else (low, b)
            step = b - slope / bend if bend > 0 else 0.0
            if not low <= step <= high:
                step = math.sqrt(low * high)
            if abs(step - b) <= PRECISION * b:
                return step
            b = step
        return b

    def tally(self, b: float) -> Tally:
        """Confidences, right answers and likelihood at b."""
        made = Tally(BINS)
        right = self.logits.argmax(1) == self.labels
        for part, (below, true) in zip(chunks(*self.logits.shape), self._parts(), strict=True):
            powers = np.exp(b * below).sum(1)
            made.add(1 / powers, right[part], {"NLL": math.fsum((np.log(powers) - b * true).tolist())})
        return made
