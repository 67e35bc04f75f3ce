"""What R-CNN learns without a gradient: a linear SVM a class, with hard negative mining, and ridge box regressors."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.errors import PellucidError

Rows = NDArray[np.floating[Any]]

TARGET_NORM = 20.0
"""The mean length to which features are scaled, so that C and λ mean the same for every network."""

_HARD = -1.0
_EASY = -1.2
_FIRST = 500
_UNKNOWN_BIAS = -10.0


@dataclass(frozen=True)
class SvmSettings:
    """``c``: cost of an error. ``passes``: over all images in search of hard negatives, at most. ``positive_weight``:
    of a positive, in negatives; where there are fewer than ``few`` they weigh as much as if they were so many, for C
    bounds what each can add to the margin. ``intercept_scaling``: the larger, the less the bias is held back.
    ``retrain_every``: so many new hard negatives of a class, and its SVM is trained again.
    """

    c: float = 1e-3
    passes: int = 2
    few: int = 16
    positive_weight: float = 2.0
    intercept_scaling: float = 10.0
    retrain_every: int = 2000


def fit_svms(
    positives: Sequence[Rows],
    features: Sequence[Rows],
    negative: Sequence[NDArray[np.bool_]],
    settings: SvmSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A linear SVM for each of K classes: weights (K, C) and biases (K,).

    ``positives``: for each class (n, C), the truths alone. ``features``: for each image (P, C), of its proposals.
    ``negative``: for each image (P, K), which of them are negatives of which class. Trains on some negatives at first;
    then goes through the images, and takes those that are on the wrong side of the margin, training again whenever
    there are enough of them, until a whole pass finds none. A class without positives gets a score far below all.

    Source: Girshick et al., 'Rich feature hierarchies', CVPR 2014, section 2.3 and appendix B; constants: its program.
    Raises PellucidError where there is no image.
    """
    settings = settings or SvmSettings()
    if not features:
        raise PellucidError("SVMs: no images to learn from; give one or more")
    K, C = len(positives), features[0].shape[1]
    weights, biases = np.zeros((K, C), np.float32), np.full(K, _UNKNOWN_BIAS, np.float32)
    known = [k for k in range(K) if len(positives[k])]
    taken = [np.zeros(mask.shape, bool) for mask in negative]
    random = np.random.default_rng(0)

    def train(k: int) -> None:
        rows = [f[t[:, k]] for f, t in zip(features, taken, strict=True)]
        negatives = np.concatenate(rows).astype(np.float32)
        if len(negatives):
            weights[k], biases[k] = _svm(positives[k].astype(np.float32), negatives, settings)
            for f, t in zip(features, taken, strict=True):
                mine = np.flatnonzero(t[:, k])
                easy = f[mine].astype(np.float32) @ weights[k] + biases[k] < _EASY
                t[mine[easy], k] = False

    for k in known:
        places = [(i, row) for i, mask in enumerate(negative) for row in np.flatnonzero(mask[:, k]).tolist()]
        for place in random.permutation(len(places))[:_FIRST].tolist():
            i, row = places[place]
            taken[i][row, k] = True
        if places:
            train(k)
        else:  # nothing to tell it from: whatever looks at all like it
            mean = positives[k].astype(np.float32).mean(0)
            weights[k], biases[k] = 2 * mean / max(float(mean @ mean), 1e-12), -1.0

    total = len(features) * settings.passes
    for turn in range(settings.passes):
        fresh = np.zeros(K, int)
        found = 0
        for i, (rows, mask) in enumerate(zip(features, negative, strict=True)):
            margins = rows.astype(np.float32) @ weights.T + biases
            hard = mask & (margins > _HARD) & ~taken[i]
            taken[i] |= hard
            fresh += hard.sum(0)
            found += int(hard.sum())
            for k in np.flatnonzero(fresh >= settings.retrain_every).tolist():
                train(k)
                fresh[k] = 0
            if progress is not None:
                progress(turn * len(features) + i + 1, total)
        for k in np.flatnonzero(fresh).tolist():
            train(k)
        if not found:
            break
    return weights, biases


def _svm(positives: Rows, negatives: Rows, settings: SvmSettings) -> tuple[Rows, float]:
    from sklearn.exceptions import ConvergenceWarning  # takes a second to import
    from sklearn.svm import LinearSVC

    machine = LinearSVC(
        C=settings.c,
        loss="hinge",
        dual=True,
        intercept_scaling=settings.intercept_scaling,
        class_weight={1: settings.positive_weight * max(1.0, settings.few / len(positives))},
        random_state=0,
        max_iter=2000,
    )
    truth = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a little less exact does no harm
        machine.fit(np.concatenate((positives, negatives)), truth)
    return machine.coef_[0], float(machine.intercept_[0])


def fit_ridges(
    features: Rows, labels: NDArray[np.int64], deltas: Rows, classes: int, strength: float = 1000.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each class a linear map from features to box deltas: weights (K, 4, D) and biases (K, 4).

    ``features``: (n, D) of proposals near a truth; ``labels``: (n,) its class; ``deltas``: (n, 4), the way to it.
    ``strength``: λ; the sum of squared errors, not their mean, is held against it. A class without proposals moves no
    box. (The paper's program whitens the deltas first; that changes nothing in a linear map.)
    Source: Girshick et al., 'Rich feature hierarchies', CVPR 2014, appendix C.
    """
    from sklearn.linear_model import Ridge  # takes a second to import

    weights = np.zeros((classes, 4, features.shape[1]), np.float32)
    biases = np.zeros((classes, 4), np.float32)
    for k in np.unique(labels).tolist():
        rows = labels == k
        ridge = Ridge(alpha=strength).fit(features[rows].astype(np.float32), deltas[rows].astype(np.float32))
        weights[k], biases[k] = ridge.coef_, ridge.intercept_
    return weights, biases
