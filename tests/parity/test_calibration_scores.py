"""Calibration against torchmetrics, scikit-learn and hotcoco, which close their bins at the lower end."""

import numpy as np
import pytest
import torch
from hotcoco import metrics as hotcoco
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from pellucid.metrics import calibration
from pellucid.structures.annotations import Annotations
from pellucid.structures.classes import Classes

SINGLE = 1e-6
"""torchmetrics adds up multiclass confidences in single precision, whatever it is given; binary ones as they are."""


def samples(seed: int, n: int = 3000, classes: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of a network that is too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1, (n, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return 3 * logits, (p.cumsum(1) > rng.random((n, 1))).argmax(1)


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(1).numpy()


@pytest.mark.parametrize("bins", [1, 5, 10, 15, 37])
def test_ece_and_mce_as_torchmetrics(bins: int) -> None:
    logits, labels = samples(bins)
    p = softmax(logits)
    top, right = p.max(1), p.argmax(1) == labels
    for ours, norm in ((calibration.expected_calibration_error, "l1"), (calibration.maximum_calibration_error, "max")):
        binary = binary_calibration_error(torch.from_numpy(top), torch.from_numpy(right).long(), bins, norm)
        assert ours(top, right, bins) == pytest.approx(float(binary), abs=1e-12)
        peer = multiclass_calibration_error(torch.from_numpy(p), torch.from_numpy(labels), 7, bins, norm)
        assert ours(top, right, bins) == pytest.approx(float(peer), abs=SINGLE)


@pytest.mark.parametrize("bins", [5, 10, 15])
def test_ece_and_mce_of_detections_as_hotcoco_and_torchmetrics(bins: int) -> None:
    rng = np.random.default_rng(bins)
    scores = rng.random(2000)
    correct = rng.random(2000) < scores**2
    scored = calibration.DetectionCalibration(bins=bins)
    scored.add("a.jpg", scores, correct)
    summary = scored.score().summary
    ece, mce = hotcoco.calibration_error(scores.tolist(), correct.tolist(), bins)
    assert (summary["ECE"], summary["MCE"]) == pytest.approx((ece, mce), abs=1e-12)
    peer = binary_calibration_error(torch.from_numpy(scores), torch.from_numpy(correct).long(), n_bins=bins)
    assert summary["ECE"] == pytest.approx(float(peer), abs=1e-12)
    for mine, theirs in zip(scored.curve.counts, hotcoco.calibration_curve(scores, correct, bins), strict=True):
        assert mine == theirs["count"]
    assert summary["Brier"] == pytest.approx(brier_score_loss(correct, scores), abs=1e-14)


def test_on_an_edge_the_peers_take_the_bin_above() -> None:
    # Two bins of .5. Ours: .5 and .25 lie in (0, .5], 1 in (.5, 1]. Theirs: .25 in [0, .5), .5 and 1 in [.5, 1].
    scores, correct = [0.25, 0.5, 1.0], [False, True, True]
    assert calibration.reliability(scores, correct, 2).counts.tolist() == [2, 1]
    assert [b["count"] for b in hotcoco.calibration_curve(scores, correct, 2)] == [1, 2]
    # Ours: |.5 − .375| · 2/3 + 0. hotcoco: .25 · 1/3 + |1 − .75| · 2/3.
    assert calibration.expected_calibration_error(scores, correct, 2) == pytest.approx(0.25 / 3, abs=1e-15)
    assert hotcoco.calibration_error(scores, correct, 2)[0] == pytest.approx(0.75 / 3, abs=1e-15)
    # torchmetrics puts 1.0 in a bin of its own: .25 · 1/3 + |1 − .5| · 1/3 + 0.
    peer = binary_calibration_error(torch.tensor(scores), torch.tensor(correct).long(), n_bins=2)
    assert float(peer) == pytest.approx(0.75 / 3, abs=1e-7)
    # With confidence .6 beside 1.0, the peers' two bins, shared or not, tell: |.5 − .8| against (.6 + 0) / 2.
    peer = binary_calibration_error(torch.tensor([0.6, 1.0]), torch.tensor([1, 0]), n_bins=2, norm="max")
    assert float(peer) == pytest.approx(1.0)
    assert calibration.maximum_calibration_error([0.6, 1.0], [True, False], 2) == pytest.approx(0.3)


def test_likelihood_and_brier_score_as_scikit_learn() -> None:
    logits, labels = samples(0)
    p = softmax(logits)
    expected = log_loss(labels, p, labels=range(7))
    assert calibration.negative_log_likelihood(logits, labels) == pytest.approx(expected, abs=1e-12)
    found = calibration.negative_log_likelihood(p, labels, given="probabilities")
    assert found == pytest.approx(expected, abs=1e-12)
    peer = brier_score_loss(labels, p, labels=range(7), scale_by_half=False)
    assert calibration.brier_score(p, labels) == pytest.approx(peer, abs=1e-12)


def test_likelihood_as_pytorch_where_a_class_was_impossible() -> None:
    logits, labels = torch.tensor([[0.0, -torch.inf]]), torch.tensor([1])
    expected = float(torch.nn.functional.cross_entropy(logits, labels))
    assert calibration.negative_log_likelihood(logits, labels) == expected == float("inf")


def test_a_stream_of_images_as_the_peers() -> None:
    logits, labels = samples(4, 500)
    scored = calibration.ClassificationCalibration(classes := Classes.unnamed(7))
    for i, (row, label) in enumerate(zip(logits, labels, strict=True)):
        scored.add(
            str(i),
            Annotations((1, 1), classes, present=(int(label),)),
            Annotations((1, 1), classes, logits=torch.from_numpy(row)),
        )
    summary = scored.score().summary
    p, y = torch.from_numpy(softmax(logits)), torch.from_numpy(labels)
    assert summary["ECE"] == pytest.approx(float(multiclass_calibration_error(p, y, 7, 15)), abs=SINGLE)
    assert summary["NLL"] == pytest.approx(log_loss(labels, p.numpy(), labels=range(7)), abs=1e-12)


def test_maps_as_torchmetrics() -> None:
    generator = torch.Generator().manual_seed(2)
    p = (2 * torch.randn(1, 5, 20, 30, generator=generator, dtype=torch.float64)).softmax(1)
    y = torch.randint(0, 5, (1, 20, 30), generator=generator)
    y[0, :3] = 255
    scored = calibration.SegmentationCalibration(classes := Classes.unnamed(5))
    scored.add(
        "a.png",
        Annotations((20, 30), classes, semantic=y[0]),
        Annotations((20, 30), classes, semantic_probabilities=p[0]),
    )
    peer = multiclass_calibration_error(p, y, num_classes=5, n_bins=15, norm="l1", ignore_index=255)
    assert scored.score().summary["ECE"] == pytest.approx(float(peer), abs=SINGLE)
