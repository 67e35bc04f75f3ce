"""The confusion matrix of detections: which class is taken for which, what is missed and what is made up."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError
from pellucid.metrics.detection import error_kernels
from pellucid.metrics.detection.across import Scored, Sides
from pellucid.metrics.detection.matching import Matches
from pellucid.structures import Classes


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each class was taken for each.

    ``matrix``: int64 (K + 1, K + 1), rows truth, columns prediction; the last row counts detections of nothing, the
    last column missed objects. ``names``: of rows and columns, the last 'background'.
    """

    matrix: NDArray[np.int64]
    names: tuple[str, ...]
    iou_threshold: float
    score_threshold: float

    def normalised(self, by: Literal["truth", "prediction"] = "truth") -> NDArray[np.float64]:
        """Shares of each truth (rows sum to 1) or of each prediction (columns do); NaN where there is none."""
        if by not in ("truth", "prediction"):
            raise PellucidError(f"confusion: cannot normalise by '{by}'; give truth or prediction")
        total = self.matrix.sum(1 if by == "truth" else 0, keepdims=True)
        shares = np.full(self.matrix.shape, np.nan)
        return np.divide(self.matrix, total, out=shares, where=total > 0)

    def record(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "iou_threshold": self.iou_threshold,
            "score_threshold": self.score_threshold,
            "names": list(self.names),
            "matrix": self.matrix.tolist(),
        }


def confusion(scored: Scored, *, iou_threshold: float = 0.5, score_threshold: float = 0.25) -> Confusion:
    """Counts which class is taken for which.

    ``scored``: an evaluator that was fed, its score, or its matches. Detections with a score ≥ ``score_threshold``, by
    falling score in each image, each take the free truth of any class with the highest IoU, if that is ≥
    ``iou_threshold``; at equal IoU one of their own class, else the first. What takes none counts as found in the
    background, a truth that is not taken as missed. Crowds, groups, difficult truths and those without labelled
    keypoints count neither way, nor do unmatched detections that overlap with one, of any class, by ≥ ``iou_threshold``
    (boxes: by that share of their own area). An object with copies in the classes above counts once, in its own.

    Raises PellucidError for an ``iou_threshold`` outside (0, 1], and where masks or keypoints were scored by an
    evaluator without ``errors=True``.
    """
    if not 0 < iou_threshold <= 1:
        raise PellucidError(f"confusion: IoU threshold {iou_threshold:g}; give one above 0, at most 1")
    sides = Sides.of(scored, least=score_threshold)
    d, t, rows = sides.part.detections, sides.part.truths, sides.rows
    K = sides.classes
    matrix = np.zeros((K + 1, K + 1), dtype=np.int64)
    originals = _originals(t.images, t.numbers)
    first = np.concatenate(([0], np.cumsum(np.bincount(t.images[originals], minlength=len(sides.part))))).astype(int)
    error_kernels.count_confusions(
        sides.d_first, first, sides.kind, d.boxes[rows], d.labels[rows], d.spared[rows], sides.starts,
        t.boxes[originals], t.labels[originals], sides.columns[originals], sides.ignored[originals], sides.part.given,
        iou_threshold, matrix,
    )  # fmt: skip
    classes = Classes.unnamed(K) if isinstance(scored, Matches) else scored.classes
    return Confusion(matrix, (*classes.names, "background"), iou_threshold, score_threshold)


def _originals(images: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of truths that are no copies: of each object the first, as copies stand behind all that were given."""
    if len(numbers) == 0:
        return np.zeros(0, dtype=np.int64)
    _, first = np.unique(images * (int(numbers.max()) + 1) + numbers, return_index=True)
    return np.sort(first)
