"""How good semantic maps are: pixel accuracy, mean IoU and their kin, counted over a whole set."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.boundary import RATIO, boundary, boundary_distance
from pellucid.metrics.findings import Findings
from pellucid.metrics.score import Score, mean_defined
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes

IGNORED = 255
"""In a truth: pixels that nobody labelled. In a prediction: pixels of no class, which are wrong."""


class SemanticEvaluator:
    """Scores predicted semantic maps against true ones, image by image.

    ``classes``: at most 255 of them. ``boundary``: whether to compute the boundary IoU of each class too, with
    boundaries as wide as ``boundary_ratio`` of the image's diagonal.

    n_ij pixels of class i are predicted as class j; t_i = Σ_j n_ij and p_i = Σ_j n_ji. All counts run over the set, and
    pixels whose truth is 255 are dropped. A pixel predicted as 255 belongs to no class: it counts in t_i, so it is
    wrong, and in no p_j. ``pixel_accuracy`` Σ n_ii / Σ t_i; ``mean_accuracy`` of n_ii / t_i; ``mIoU`` of
    n_ii / (t_i + p_i − n_ii); ``fwIoU`` Σ t_i IoU_i / Σ t_i; ``mean_Dice`` of 2 n_ii / (t_i + p_i). A class in neither
    truth nor prediction is undefined and left out of the means; one that is only predicted has an IoU of 0.
    Source: Long et al., 'Fully Convolutional Networks', CVPR 2015, section 5.

    ``boundary_mIoU``: the mean over classes of intersection over union of the boundaries of the class's true and
    predicted region, both counted over the set. Ignored pixels belong to neither region, so that what is predicted
    there changes nothing. Source: Cheng et al., 'Boundary IoU', CVPR 2021, which defines it for masks.

    ``confusion``: the counts n_ij, int64 (K, K + 1), rows truth and columns prediction, the last for no class.
    """

    protocol = "semantic"
    reads = ("semantic",)

    def __init__(self, classes: Classes, *, boundary: bool = False, boundary_ratio: float = RATIO) -> None:
        if not 1 <= len(classes) <= IGNORED:
            raise PellucidError(f"{len(classes)} classes: semantic maps hold 1 to {IGNORED}, since 255 means no class")
        boundary_distance((1, 1), boundary_ratio)
        self.classes = classes
        self.boundary = boundary
        self.boundary_ratio = boundary_ratio
        K = len(classes)
        self.confusion: NDArray[np.int64] = np.zeros((K, K + 1), dtype=np.int64)
        # Pixels of each class's boundaries: true, predicted, shared.
        self._boundaries: NDArray[np.int64] = np.zeros((3, K), dtype=np.int64)
        # For each image, the pixels that count, and those of them with no predicted class.
        self._images: dict[str, tuple[int, int]] = {}

    def add(self, name: str, truth: Annotations, prediction: Annotations | None) -> None:
        """Counts one image.

        Reads ``truth.semantic`` and ``prediction.semantic``; where the latter is None the class of highest
        ``semantic_probabilities`` (the first at equal ones). Raises PellucidError where a map is missing, of another
        size, or holds what is no class, for other classes, and for an image that was added before; nothing is counted
        then.
        """
        if name in self._images:
            raise PellucidError(f"{name}: was scored before; give every image once")
        check_classes(name, self.classes, truth, prediction)
        K = len(self.classes)
        labels = true_map(name, truth)
        predicted = predicted_map(name, prediction, K, labels.shape)
        pairs = np.bincount((labels * 256 + predicted).ravel(), minlength=65536).reshape(256, 256)
        check_labels(name, "truth", pairs.sum(1), K)
        check_labels(name, "prediction", pairs.sum(0), K)
        counts = pairs[:K, [*range(K), IGNORED]]
        self.confusion += counts
        if self.boundary:
            self._count_boundaries(labels, predicted)
        self._images[name] = int(counts.sum()), int(counts[:, K].sum())

    def merge(self, other: "SemanticEvaluator") -> None:
        """Adds what another one has counted. Raises PellucidError for an image in both, or for other settings."""
        if self.classes.names != other.classes.names:
            raise PellucidError(
                f"{self.protocol}: the parts were scored with different classes; score both with the same"
            )
        if (self.boundary, self.boundary_ratio) != (other.boundary, other.boundary_ratio):
            raise PellucidError(
                f"{self.protocol}: the parts were scored with different boundaries; score both with the same"
            )
        twice = self._images.keys() & other._images.keys()
        if twice:
            raise PellucidError(f"{min(twice)}: was scored in both parts; give every image once")
        self.confusion += other.confusion
        self._boundaries += other._boundaries
        self._images |= other._images

    def score(self) -> Score:
        """The figures of all images added so far; NaN where nothing defines them."""
        right = np.diagonal(self.confusion).tolist()
        true = self.confusion.sum(1).tolist()
        predicted = self.confusion.sum(0)[:-1].tolist()
        figures = {
            "accuracy": [_ratio(n, t) for n, t in zip(right, true, strict=True)],
            "IoU": [_ratio(n, t + p - n) for n, t, p in zip(right, true, predicted, strict=True)],
            "Dice": [_ratio(2 * n, t + p) for n, t, p in zip(right, true, predicted, strict=True)],
        }
        total = sum(true)
        weighted = math.fsum(t * iou for t, iou in zip(true, figures["IoU"], strict=True) if t)
        summary = {
            "pixel_accuracy": _ratio(sum(right), total),
            "mean_accuracy": mean_defined(figures["accuracy"]),
            "mIoU": mean_defined(figures["IoU"]),
            "fwIoU": weighted / total if total else math.nan,
            "mean_Dice": mean_defined(figures["Dice"]),
        }
        if self.boundary:
            figures["boundary_IoU"] = [_ratio(n, t + p - n) for t, p, n in self._boundaries.T.tolist()]
            summary["boundary_mIoU"] = mean_defined(figures["boundary_IoU"])
        figures["pixels"] = [float(t) for t in true]
        per_class = {
            name: {figure: values[i] for figure, values in figures.items()} for i, name in enumerate(self.classes)
        }
        return Score(
            self.protocol,
            "Semantic segmentation",
            summary,
            per_class,
            len(self._images),
            self._findings(),
            official="VOC's and Cityscapes' code, counts over the whole set",
        )

    def _count_boundaries(self, labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> None:
        H, W = labels.shape
        distance = boundary_distance((H, W), self.boundary_ratio)
        predicted = np.where(labels == IGNORED, IGNORED, predicted)
        present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[: len(self.classes)])
        said = np.flatnonzero(np.bincount(predicted.ravel(), minlength=256)[: len(self.classes)])
        for index in np.union1d(present, said).tolist():
            first, second = boundary(labels == index, distance), boundary(predicted == index, distance)
            self._boundaries[:, index] += [np.count_nonzero(m) for m in (first, second, first & second)]

    def _findings(self) -> Findings:
        found = Findings()
        empty = sorted(name for name, (pixels, _) in self._images.items() if pixels == 0)
        found.add("images whose truth is ignored throughout", empty)
        lost = sorted((name, count) for name, (_, count) in self._images.items() if count)
        examples = [f"{name}, {count:,} pixels" for name, count in lost]
        pixels = sum(count for _, count in lost)
        found.add("pixels predicted as no class (255), which count as wrong", examples, "counted as given", pixels)
        return found


def check_classes(name: str, classes: Classes, truth: Annotations, prediction: Annotations | None) -> None:
    """Raises PellucidError where truth or prediction of an image called ``name`` is of other classes than those."""
    for said, whose in ((truth, "truth"), (prediction, "prediction")):
        if said is not None and said.classes is not classes and said.classes.names != classes.names:
            raise PellucidError(f"{name}: the {whose} has other classes than are scored; map them first")


def true_map(name: str, truth: Annotations) -> NDArray[np.int64]:
    """The true class of every pixel of an image called ``name``: int64 (H, W), values unchecked between 0 and 255.

    Raises PellucidError where there is none, or where it is not of the image's size.
    """
    if truth.semantic is None:
        raise PellucidError(f"{name}: the truth has no semantic map; leave the image out, or give it one")
    return _plain_map(name, "truth", truth.semantic, tuple(truth.size))


def predicted_map(name: str, prediction: Annotations | None, count: int, size: tuple[int, ...]) -> NDArray[np.int64]:
    """The predicted class of every pixel of an image, of ``count`` classes and of the truth's ``size`` (H, W).

    int64 (H, W), values unchecked between 0 and 255. Raises PellucidError where there is none, where it is not of the
    truth's size, or where probabilities are not of ``count`` classes or no numbers.
    """
    if prediction is None:
        raise PellucidError(f"{name}: there is no prediction; predict it, or leave it out of the truth")
    if prediction.semantic is not None:
        return _plain_map(name, "prediction", prediction.semantic, size)
    if prediction.semantic_probabilities is None:
        raise PellucidError(f"{name}: the prediction has no semantic map; use a model that segments")
    return probabilities_of(name, prediction.semantic_probabilities, count, size).argmax(0)


def probabilities_of(name: str, given: Tensor, count: int, size: tuple[int, ...]) -> NDArray[Any]:
    """Class probabilities as an array of floats, (K, H, W); PellucidError unless K is ``count`` and all are numbers."""
    values = given.detach().cpu()
    array: NDArray[Any] = (values if values.element_size() >= 4 else values.float()).numpy()
    if array.shape != (count, *size):
        raise PellucidError(
            f"{name}: predicted probabilities of shape {_times(array.shape)}, but there are {count} classes and "
            f"{_times(size)} pixels; predict at the image's size"
        )
    if np.isnan(array).any():
        raise PellucidError(f"{name}: predicted probabilities that are no numbers (NaN); mend the model")
    return array


def _plain_map(name: str, whose: str, given: Tensor, size: tuple[int, ...]) -> NDArray[np.int64]:
    if given.is_floating_point() or given.is_complex():
        raise PellucidError(f"{name}: the {whose}'s semantic map holds {given.dtype}; give whole class indices")
    if tuple(given.shape) != size:
        against = "the image" if whose == "truth" else "the truth"
        raise PellucidError(
            f"{name}: the {whose}'s semantic map has {_times(tuple(given.shape))} pixels, {against} "
            f"{_times(size)}; give both at one size"
        )
    array: NDArray[np.int64] = given.detach().cpu().numpy().astype(np.int64, copy=False)
    if array.size and (array.min() < 0 or array.max() > IGNORED):
        bad = array[(array < 0) | (array > IGNORED)]
        raise _no_class(name, whose, int(bad[0]), int((array == bad[0]).sum()))
    return array


def check_labels(name: str, whose: str, counts: NDArray[np.int64], K: int) -> None:
    """Raises PellucidError where ``counts`` (256,), of pixels by label, has any that is neither class nor 255."""
    wrong = np.flatnonzero(counts[K:IGNORED])
    if len(wrong):
        value = int(wrong[0]) + K
        raise _no_class(name, whose, value, int(counts[value]), K)


def _no_class(name: str, whose: str, value: int, pixels: int, K: int | None = None) -> PellucidError:
    known = "0 to 254" if K is None else f"0 to {K - 1}"
    return PellucidError(
        f"{name}: the {whose} says {value} at {pixels:,} pixel{'s' if pixels != 1 else ''}, which is no class "
        f"({known}, or 255 for none); check the list of classes"
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
