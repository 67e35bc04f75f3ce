"""The figures of the ISBI 2012 challenge on electron microscopy, kept slice by slice over a stack."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.electron_microscopy.pixels import PixelCounts, pixel_counts
from pellucid.metrics.electron_microscopy.rand import RandCounts, cells, rand_counts, rand_error
from pellucid.metrics.electron_microscopy.thinning import thinned_cells
from pellucid.metrics.electron_microscopy.warping import above, warping_error
from pellucid.metrics.findings import Findings
from pellucid.metrics.score import Score, mean_defined
from pellucid.metrics.semantic import IGNORED, check_classes, check_labels, predicted_map, probabilities_of, true_map
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes

THRESHOLDS = tuple(k / 10 for k in range(11))
"""The challenge's: 0, 0.1, … 1."""

RESERVATIONS = {
    "rand_F_thinned": "the watershed that thins membranes may place single pixels otherwise than the challenge's",
    "rand_error": "all pixels count, membrane being one segment; the challenge's Rand error is rand_F_error",
    "pixel_error": "the share of differing pixels; the challenge's pixel error is pixel_F_error",
    "warping_error": "all pixels that remain count; the challenge counted clusters of splits and mergers alone",
}


@dataclass
class _Slice:
    """What one slice gives, an entry a threshold; one entry alone where it came as a map without probabilities."""

    binary: bool
    pixels: list[PixelCounts] = field(default_factory=list)
    rand: list[RandCounts] = field(default_factory=list)
    thinned: list[RandCounts] = field(default_factory=list)
    rand_errors: list[float] = field(default_factory=list)
    warping_errors: list[float] = field(default_factory=list)


class ElectronMicroscopyEvaluator:
    """Scores maps of cells and membranes against true ones, slice by slice.

    ``classes``, and ``cell``: the one of them, by name or index, that is the inside of cells; every other is membrane.
    ``thresholds``: where probabilities are cut. ``warping``, ``thinned``: whether to compute these, which take longest.

    Each figure is the best over the thresholds of what it is for the whole stack at one of them:

    - ``rand_F_thinned``: the foreground-restricted Rand F-score (``foreground_restricted_rand``), with the proposal's
      membranes thinned to one pixel (``thinned_cells``), averaged over slices. The challenge's final ranking.
    - ``rand_F``: the same without thinning, averaged over slices; ``rand_precision`` and ``rand_recall``, their
      averages at ``best_threshold``, which is rand_F's; ``rand_F_error``: 1 − rand_F, the challenge's Rand error.
    - ``rand_F_pooled``: the F-score of the pairs summed over slices, which is how the challenge's program computed the
      score without thinning.
    - ``rand_error``: 1 − the Rand index of all pixels, where the membrane is one segment; averaged over slices.
    - ``pixel_error``: the share of differing pixels, averaged over slices; ``pixel_F_error``: 1 − the F-score of the
      cells' pixels summed over slices (as in the challenge's program).
    - ``warping_error``: averaged over slices.

    Slices without a cell in the truth have no Rand F-score and are left out of its average. A slice that was predicted
    as classes, not probabilities, is the same at every threshold, and warped as one of probabilities 0 and 1 cut at 0.
    Source: Arganda-Carreras et al., Frontiers in Neuroanatomy 2015; the challenge's scripts in Fiji where that is open.

    Raises PellucidError for a class that is unknown, and for thresholds that are no numbers.
    """

    protocol = "isbi"
    reads = ("semantic",)

    def __init__(
        self,
        classes: Classes,
        *,
        cell: int | str = 1,
        thresholds: Sequence[float] = THRESHOLDS,
        warping: bool = True,
        thinned: bool = True,
    ) -> None:
        self.classes = classes
        self.cell = classes.index(cell)
        self.thresholds = tuple(float(t) for t in thresholds)
        if not self.thresholds or not all(math.isfinite(t) for t in self.thresholds):
            raise PellucidError(f"thresholds {list(self.thresholds)}: give one number or more, such as 0.5")
        self.warping = warping
        self.thinned = thinned
        self._slices: dict[str, _Slice] = {}

    def add(self, name: str, truth: Annotations, prediction: Annotations | None) -> None:
        """Scores one slice at every threshold.

        Reads ``truth.semantic`` and, of the prediction, ``semantic_probabilities`` (0 to 1) of the cell's class; where
        there are none its ``semantic``. Raises PellucidError where a map is missing or of another size, where a pixel
        of the truth is unlabelled or of no class, for other classes, and for a slice that was added before; nothing is
        counted then.
        """
        if name in self._slices:
            raise PellucidError(f"{name}: was scored before; give every image once")
        check_classes(name, self.classes, truth, prediction)
        labels = true_map(name, truth)
        counts = np.bincount(labels.ravel(), minlength=256)
        check_labels(name, "truth", counts, len(self.classes))
        if counts[IGNORED]:
            raise PellucidError(
                f"{name}: {counts[IGNORED]:,} pixels of the truth are unlabelled (255), but cells and membranes "
                "are scored on whole slices; label them, or leave the slice out"
            )
        if labels.size == 0:
            raise PellucidError(f"{name}: the image has no pixels; leave it out")
        if prediction is not None and prediction.semantic_probabilities is not None:
            made = self._scored(labels == self.cell, self._probabilities(name, prediction, labels.shape))
        else:
            said = predicted_map(name, prediction, len(self.classes), labels.shape)
            check_labels(name, "prediction", np.bincount(said.ravel(), minlength=256), len(self.classes))
            made = self._scored(labels == self.cell, said == self.cell)
        self._slices[name] = made

    def merge(self, other: "ElectronMicroscopyEvaluator") -> None:
        """Adds what another one has scored. Raises PellucidError for a slice in both, or for other settings."""
        if self.classes.names != other.classes.names:
            raise PellucidError(
                f"{self.protocol}: the parts were scored with different classes; score both with the same"
            )
        if self._settings != other._settings:
            raise PellucidError(
                f"{self.protocol}: the parts were scored with different settings; score both with the same"
            )
        twice = self._slices.keys() & other._slices.keys()
        if twice:
            raise PellucidError(f"{min(twice)}: was scored in both parts; give every image once")
        self._slices |= other._slices

    def curves(self) -> dict[str, list[float]]:
        """Figure → its value for the whole stack at each threshold, under the names that ``score`` gives the best."""
        curves = {}
        if self.thinned:
            curves["rand_F_thinned"] = self._means(lambda s: [c.score.F for c in s.thinned])
        curves["rand_F"] = self._means(lambda s: [c.score.F for c in s.rand])
        curves["rand_precision"] = self._means(lambda s: [c.score.precision for c in s.rand])
        curves["rand_recall"] = self._means(lambda s: [c.score.recall for c in s.rand])
        rand = self._at_thresholds(lambda s: s.rand)
        curves["rand_F_pooled"] = [RandCounts(*_summed(counts, 3)).score.F for counts in rand]
        curves["rand_error"] = self._means(lambda s: s.rand_errors)
        curves["pixel_error"] = self._means(lambda s: [c.error for c in s.pixels])
        pixels = self._at_thresholds(lambda s: s.pixels)
        curves["pixel_F_error"] = [1 - PixelCounts(*_summed(counts, 4)).F for counts in pixels]
        if self.warping:
            curves["warping_error"] = self._means(lambda s: s.warping_errors)
        return curves

    def score(self) -> Score:
        """The best figures over the thresholds; NaN where nothing defines them."""
        curves = self.curves()
        best = _index_of_best(curves["rand_F"], max)
        summary: dict[str, float] = {}
        for figure, values in curves.items():
            if figure in ("rand_precision", "rand_recall"):
                at = best
            else:
                at = _index_of_best(values, min if figure.endswith("error") else max)
            summary[figure] = math.nan if at is None else values[at]
            if figure == "rand_recall":
                summary["rand_F_error"] = 1 - summary["rand_F"]
        cut = any(not s.binary for s in self._slices.values())
        summary["best_threshold"] = self.thresholds[best] if cut and best is not None else math.nan
        found = Findings()
        empty = sorted(name for name, s in self._slices.items() if s.rand[0].truth == 0)
        found.add("slices without a cell in the truth, left out of the Rand F-scores", empty, "kept")
        reservations = {figure: why for figure, why in RESERVATIONS.items() if figure in summary}
        title = "ISBI 2012 challenge, electron microscopy"
        return Score(
            self.protocol, title, summary, {}, len(self._slices), found, reservations, "the challenge's Fiji scripts"
        )

    @property
    def _settings(self) -> tuple[Any, ...]:
        return self.cell, self.thresholds, self.warping, self.thinned

    def _probabilities(self, name: str, prediction: Annotations, size: tuple[int, ...]) -> NDArray[Any]:
        assert prediction.semantic_probabilities is not None
        values = probabilities_of(name, prediction.semantic_probabilities, len(self.classes), size)[self.cell]
        low, high = float(values.min()), float(values.max())
        # Sums of a softmax in half precision may exceed 1 a little; logits and grey values do not hide in that.
        if low < -0.01 or high > 1.01:
            raise PellucidError(
                f"{name}: probabilities of '{self.classes[self.cell]}' run from {low:.4g} to {high:.4g}; give 0 to 1"
            )
        return values.astype(np.float64)

    def _scored(self, truth: NDArray[np.bool_], proposed: NDArray[Any]) -> _Slice:
        """``proposed``: float64 probabilities, or bool cells that stand at every threshold."""
        made = _Slice(binary=proposed.dtype == np.bool_)
        true_cells = cells(truth)
        before: NDArray[np.bool_] | None = None
        for threshold in (0.0,) if made.binary else self.thresholds:
            proposal = above(proposed, threshold)
            if before is not None and np.array_equal(proposal, before):
                repeated: list[list[Any]] = [made.pixels, made.rand, made.rand_errors, made.thinned]
                for values in repeated:
                    values.extend(values[-1:])
            else:
                numbered = cells(proposal)
                made.pixels.append(pixel_counts(truth, proposal))
                made.rand.append(rand_counts(true_cells, numbered))
                made.rand_errors.append(rand_error(true_cells, numbered))
                if self.thinned:
                    made.thinned.append(rand_counts(true_cells, thinned_cells(proposal)))
            if self.warping:
                made.warping_errors.append(warping_error(truth, proposed, threshold))
            before = proposal
        return made

    def _at_thresholds(self, values: Callable[[_Slice], list[Any]]) -> list[list[Any]]:
        """For each threshold what the slices have there."""
        slices = [(values(s), s.binary) for s in self._slices.values()]
        return [[own[0 if binary else k] for own, binary in slices] for k in range(len(self.thresholds))]

    def _means(self, values: Callable[[_Slice], list[float]]) -> list[float]:
        return [mean_defined(own) for own in self._at_thresholds(values)]


def _summed(counts: list[Any], width: int) -> Iterable[int]:
    return [sum(c[i] for c in counts) for i in range(width)]


def _index_of_best(values: list[float], choose: Callable[..., int]) -> int | None:
    """Where the best value stands, the first of equal ones; None where all are NaN."""
    defined = [i for i, value in enumerate(values) if not math.isnan(value)]
    return choose(defined, key=values.__getitem__) if defined else None
