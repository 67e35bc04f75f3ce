"""Semantic scores, boundaries and Rand scores beside those of peers."""

import math

import cv2
import numpy as np
import pytest
import torch
from hotcoco.semantic import SemanticEval
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.metrics import adapted_rand_error
from skimage.segmentation import watershed
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassJaccardIndex

from pellucid.metrics.boundary import boundary
from pellucid.metrics.electron_microscopy import (
    cells,
    foreground_restricted_rand,
    rand_counts,
    rand_error,
    thinned_cells,
)
from pellucid.metrics.semantic import SemanticEvaluator
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes

K = 6
CLASSES = Classes.unnamed(K)


def random_set(seed, present=K, predicted=K, images=5):
    """Blocky truths with ignored pixels, and predictions that are mostly right."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        truth = np.kron(rng.integers(0, present, (6, 8)), np.ones((7, 5), dtype=np.int64))
        prediction = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, predicted, truth.shape))
        truth[rng.random(truth.shape) < 0.1] = 255
        made.append((truth, prediction))
    return made


def scored(pairs):
    evaluator = SemanticEvaluator(CLASSES)
    for i, (truth, prediction) in enumerate(pairs):
        maps = [torch.from_numpy(m) for m in (truth, prediction)]
        evaluator.add(str(i), *(Annotations(truth.shape, CLASSES, semantic=m) for m in maps))
    return evaluator


def tallied(metric, pairs):
    for truth, prediction in pairs:
        metric.update(torch.from_numpy(prediction), torch.from_numpy(truth))
    return metric.compute()


@pytest.mark.parametrize(("present", "predicted"), [(K, K), (K - 2, K - 1), (2, 2)])
def test_hotcoco(present, predicted):
    """hotcoco follows mmsegmentation, which agrees with us for classes in neither and for those only predicted.

    It cannot be asked about predictions of 255: it refuses them.
    """
    pairs = random_set(present * 10 + predicted, present, predicted)
    peer = SemanticEval(K)
    for truth, prediction in pairs:
        peer.update(truth.astype(np.uint8), prediction.astype(np.uint8))
    ours = scored(pairs)
    assert np.array_equal(ours.confusion[:, :K], peer.confusion())
    summary, theirs = ours.score().summary, peer.results()
    for figure, name in {"pixel_accuracy": "aAcc", "mean_accuracy": "mAcc", "mIoU": "mIoU", "fwIoU": "fwIoU"}.items():
        assert summary[figure] == pytest.approx(theirs[name], abs=1e-12)
    for figures, row in zip(ours.score().per_class.values(), theirs["per_class"], strict=True):
        # Where a class is undefined they say -1.
        for figure, name in {"IoU": "IoU", "accuracy": "Acc"}.items():
            expected = math.nan if row[name] == -1 else row[name]
            assert figures[figure] == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_torchmetrics():
    """torchmetrics computes in float32, hence the tolerance."""
    pairs = random_set(1)
    score = scored(pairs).score()
    peers = {
        "mIoU": MulticlassJaccardIndex(K, ignore_index=255),
        "fwIoU": MulticlassJaccardIndex(K, ignore_index=255, average="weighted"),
        "pixel_accuracy": MulticlassAccuracy(K, ignore_index=255, average="micro"),
        "mean_accuracy": MulticlassAccuracy(K, ignore_index=255, average="macro"),
        "mean_Dice": MulticlassF1Score(K, ignore_index=255, average="macro"),
    }
    for figure, metric in peers.items():
        assert score.summary[figure] == pytest.approx(float(tallied(metric, pairs)), abs=1e-6)


def test_torchmetrics_differs_for_a_class_that_is_only_predicted():
    """Of such a class the accuracy is 0/0: undefined and left out by the protocol, 0 in torchmetrics' mean."""
    pairs = random_set(2, present=K - 1, predicted=K)
    score = scored(pairs).score()
    assert float(tallied(MulticlassJaccardIndex(K, ignore_index=255), pairs)) == pytest.approx(
        score.summary["mIoU"], abs=1e-6
    )
    theirs = float(tallied(MulticlassAccuracy(K, ignore_index=255, average="macro"), pairs))
    assert score.summary["mean_accuracy"] * (K - 1) / K == pytest.approx(theirs, abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_boundaries_as_opencv_erodes(size, distance, seed):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(size), 4)
    mask = noise > np.quantile(noise, 0.3)
    # One pixel of zeros around, as in the paper's program: OpenCV itself takes what lies outside for set.
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1].astype(bool)
    assert np.array_equal(boundary(mask, distance), mask & ~eroded)


# --- electron microscopy --------------------------------------------------------------------------------------------

labels = st.tuples(st.integers(2, 9), st.integers(2, 9)).flatmap(
    lambda size: st.tuples(*(arrays(np.int64, size, elements=st.integers(1, 4)) for _ in range(2)))
)


@settings(deadline=None, max_examples=100)
@given(labels)
def test_rand_without_membranes_is_scikit_images_with_the_names_swapped(pair):
    """Without membranes both count the same pairs, but for those of a pixel with itself: n in each sum.

    What scikit-image calls precision divides by the pairs of the *first* map, the truth: that is recall.
    """
    truth, proposal = pair
    counts = rand_counts(truth, proposal)
    n = truth.size
    if counts.truth == n or counts.proposal == n:
        return  # scikit-image divides by zero
    error, precision, recall = adapted_rand_error(truth, proposal)
    assert (counts.shared - n) / (counts.truth - n) == pytest.approx(precision, abs=1e-12)
    assert (counts.shared - n) / (counts.proposal - n) == pytest.approx(recall, abs=1e-12)
    assert 2 * (counts.shared - n) / (counts.truth + counts.proposal - 2 * n) == pytest.approx(1 - error, abs=1e-12)
    # The plain Rand error is made of the same sums, and there the pairs of a pixel with itself cancel out.
    together = (counts.truth - n) + (counts.proposal - n) - 2 * (counts.shared - n)
    assert rand_error(truth, proposal) == pytest.approx(together / (n * (n - 1)), abs=1e-12)


def test_scikit_image_takes_proposed_membrane_for_a_segment():
    """Two true cells, each half under proposed membrane: scikit-image finds them merged there."""
    truth = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1]], dtype=bool)
    proposal = np.array([[1, 1, 0, 0, 0, 0, 0, 1, 1]], dtype=bool)
    ours = foreground_restricted_rand(truth, proposal)
    assert ours.precision == 1.0
    _, recall_by_its_own_name, precision_by_its_own_name = adapted_rand_error(cells(truth), cells(proposal))
    assert recall_by_its_own_name < 1
    assert precision_by_its_own_name < 1


@pytest.mark.parametrize("seed", range(3))
def test_thinning_beside_scikit_images_watershed(seed):
    """Both flood level ground at one speed, so that they agree wherever one cell is nearer than all others.

    Where two are equally near, or one by a single pixel, the line may fall on either side: scikit-image takes such
    pixels in the order of its heap.
    """
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((120, 130)), 3)
    mask = noise > np.quantile(noise, 0.6)
    own = cells(mask)
    ours = thinned_cells(mask)
    peer = watershed(np.zeros(mask.shape, dtype=np.uint8), own, connectivity=1, watershed_line=True)
    away = [ndimage.distance_transform_cdt(own != label, metric="taxicab") for label in range(1, own.max() + 1)]
    nearest, second = np.sort(away, axis=0)[:2]
    clear = second - nearest >= 2
    assert own.max() > 10
    assert clear[~mask].mean() > 0.5
    assert np.array_equal(ours[clear], peer[clear])
    assert (ours[clear] > 0).all()
    assert (ours == 0).sum() == pytest.approx((peer == 0).sum(), rel=0.05)
