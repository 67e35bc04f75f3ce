"""Temperature scaling: closed forms, the exact minimum, and the cases that have none."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from pellucid.errors import PellucidError
from pellucid.metrics import calibration
from pellucid.metrics.calibration import arrays

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def drawn(seed: int, n: int, classes: int = 5, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits with labels drawn from their softmax, so that they are calibrated; then multiplied by ``sharpness``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((n, 1))).argmax(1)
    return sharpness * logits, labels


@pytest.mark.parametrize(
    ("lead", "right", "wrong"), [(3.0, 3, 1), (1e-6, 3, 1), (1e6, 3, 1), (2.0, 999, 1), (2.0, 51, 49)]
)
def test_one_lead_for_all_has_a_closed_form(lead: float, right: int, wrong: int) -> None:
    """Where the first of two classes leads by the same in all samples: sigmoid(lead / T) is the share that is right."""
    logits = np.tile([lead, 0.0], (right + wrong, 1))
    fitted = calibration.fit_temperature(logits, [0] * right + [1] * wrong)
    assert fitted.value == pytest.approx(lead / math.log(right / wrong), rel=1e-9)
    share = right / (right + wrong)
    assert fitted.nll_after == pytest.approx(-share * math.log(share) - (1 - share) * math.log(1 - share), rel=1e-9)
    assert fitted.ece_after == pytest.approx(0, abs=1e-9)
    assert fitted.samples == right + wrong


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 6), st.floats(0.01, 100))
def test_it_is_the_minimum(seed: int, n: int, classes: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 1, (n, classes)), rng.integers(0, classes, n)
    labels = np.where(rng.random(n) < 0.6, logits.argmax(1), labels)
    try:
        fitted = calibration.fit_temperature(scale * logits, labels)
    except PellucidError:
        assume(False)

    def loss(log_t: float) -> float:
        return calibration.negative_log_likelihood(scale * logits / math.exp(log_t), labels)

    peer = minimize_scalar(loss, bracket=(-1, 1), tol=1e-10)
    assert fitted.nll_after <= peer.fun + 1e-13
    assert fitted.nll_after == pytest.approx(loss(math.log(fitted.value)), abs=1e-13)
    assert fitted.nll_before == pytest.approx(loss(0), rel=1e-13)
    # Slope in 1 / T: 0 at the minimum.
    z = logits * scale
    p = np.exp((z - z.max(1, keepdims=True)) / fitted.value)
    p /= p.sum(1, keepdims=True)
    assert ((p * z).sum(1) - z[np.arange(n), labels]).mean() == pytest.approx(0, abs=1e-8 * scale)


def test_where_newton_alone_runs_away() -> None:
    # Half are right with a lead of 2, half wrong with one of .001: past its root the slope is all but level.
    lead, wrong, count = np.array([2.0, 0.001]), np.array([0, 1]), np.array([20, 20])
    logits, labels = np.repeat(np.stack([lead, 0 * lead], 1), count, 0), np.repeat(wrong, count)

    def slope(b: float) -> float:
        return float((count * lead * (1 / (1 + np.exp(-b * lead)) - (1 - wrong))).sum())

    fitted = calibration.fit_temperature(logits, labels)
    assert fitted.value == pytest.approx(1 / brentq(slope, 1e-3, 1e3, xtol=1e-13), rel=1e-9)


def test_scale_goes_into_the_temperature_and_shifts_go_nowhere() -> None:
    logits, labels = drawn(0, 400)
    one = calibration.fit_temperature(logits, labels)
    shifts = np.random.default_rng(1).normal(0, 50, (400, 1))
    for scale in (1e-3, 0.5, 7.0, 1e4):
        other = calibration.fit_temperature(scale * logits + shifts, labels)
        assert other.value == pytest.approx(scale * one.value, rel=1e-7)
        assert other.nll_after == pytest.approx(one.nll_after, rel=1e-7)


def test_a_network_that_is_three_times_too_sure_is_calibrated_again() -> None:
    fitted = calibration.fit_temperature(*drawn(3, 20_000, sharpness=3))
    assert fitted.value == pytest.approx(3, rel=0.03)
    assert fitted.ece_before > 0.15
    assert fitted.ece_after < 0.015
    logits, labels = drawn(4, 20_000, sharpness=3)
    p = torch.from_numpy(fitted(logits)).softmax(1).numpy()
    assert calibration.expected_calibration_error(p.max(1), p.argmax(1) == labels) < 0.015


def test_a_network_that_is_not_sure_enough_gets_a_temperature_below_1() -> None:
    assert calibration.fit_temperature(*drawn(3, 5000, sharpness=0.25)).value == pytest.approx(0.25, rel=0.05)


def test_what_it_reports_is_what_the_measures_say() -> None:
    logits, labels = drawn(5, 300, sharpness=2)
    fitted = calibration.fit_temperature(torch.from_numpy(logits).requires_grad_(), torch.from_numpy(labels))
    for scores, ece, nll in (
        (logits, fitted.ece_before, fitted.nll_before),
        (logits / fitted.value, fitted.ece_after, fitted.nll_after),
    ):
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        assert ece == pytest.approx(calibration.expected_calibration_error(p.max(1), p.argmax(1) == labels), abs=1e-12)
        assert nll == pytest.approx(calibration.negative_log_likelihood(scores, labels), abs=1e-12)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = drawn(6, 100)
    whole = calibration.fit_temperature(logits, labels)
    monkeypatch.setattr(arrays, "CHUNK", 33)
    parts = calibration.fit_temperature(logits, labels)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.ece_after == pytest.approx(whole.ece_after, rel=1e-12)


def test_calling_it_divides_keeps_the_precision_and_passes_gradients() -> None:
    fitted = calibration.fit_temperature(*drawn(7, 200, sharpness=2))
    logits = torch.randn(2, 5, 3, 4, requires_grad=True)
    scaled = fitted(logits)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, logits / fitted.value)
    assert torch.equal(scaled.argmax(1), logits.argmax(1))
    scaled.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.full_like(logits, 1 / fitted.value))
    assert fitted(np.ones(3, np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([[5.0, 0.0], [0.0, 5.0]], [0, 1], "all 2 samples, so that T runs to 0; give more held-out images"),
        ([[5.0, 0.0], [2.0, 2.0]], [0, 1], "all 2 samples, so that T runs to 0"),
        ([[5.0, 0.0], [0.0, 5.0]], [1, 0], "no better than chance, so that T runs to infinity"),
        ([[5.0, 0.0], [5.0, 0.0]], [1, 0], "no better than chance"),
        ([[0.3, 0.1, 0.2], [0.1, 0.2, 0.3]], [2, 1], "no better than chance"),
        ([[1.0, 1.0], [7.0, 7.0]], [0, 1], "equal within every sample"),
        ([[1.0], [2.0]], [0, 0], "a single class"),
        (np.zeros((0, 3)), np.zeros(0, int), "no samples"),
        ([[1.0, 2.0], [math.nan, 1.0]], [0, 1], "sample 1 hold NaN or inf"),
        ([[1.0, 2.0], [-math.inf, 1.0]], [0, 1], "sample 1 hold NaN or inf"),
        ([[1.0, 2.0]], [2], "there are 2 classes"),
        ([[1.0, 2.0]], [255], "the one at 0 is 255"),
    ],
)
def test_where_there_is_no_temperature_it_says_why(logits: object, labels: object, message: str) -> None:
    with pytest.raises(PellucidError, match=message):
        calibration.fit_temperature(logits, labels)  # type: ignore[arg-type]


def test_labels_of_one_class_are_no_obstacle_where_some_are_wrong() -> None:
    fitted = calibration.fit_temperature([[2.0, 0.0], [2.0, 0.0], [0.0, 2.0]], [0, 0, 0])
    assert fitted.value == pytest.approx(2 / math.log(2), rel=1e-9)


# Pixels


def test_the_pixels_of_maps_are_samples() -> None:
    maps = np.arange(2 * 3 * 2 * 2, dtype=np.float32).reshape(2, 3, 2, 2)
    semantic = np.array([[[0, 255], [2, 1]], [[255, 255], [1, 255]]])
    rows, labels = calibration.pixel_logits(maps, semantic)
    assert rows.tolist() == [[0, 4, 8], [2, 6, 10], [3, 7, 11], [14, 18, 22]]
    assert labels.tolist() == [0, 2, 1, 1]
    one, of_one = calibration.pixel_logits(torch.from_numpy(maps[1]), torch.from_numpy(semantic[1]))
    assert one.tolist() == [[14, 18, 22]]
    assert of_one.tolist() == [1]


def test_probabilities_serve_as_well_as_their_logits() -> None:
    logits, labels = drawn(8, 600, sharpness=2)
    maps = torch.from_numpy(logits.reshape(2, 15, 20, 5)).movedim(-1, 1)
    semantic = labels.reshape(2, 15, 20)
    direct = calibration.fit_temperature(logits, labels)
    by_logits = calibration.fit_temperature(*calibration.pixel_logits(maps, semantic))
    by_probabilities = calibration.fit_temperature(
        *calibration.pixel_logits(maps.softmax(1), semantic, given="probabilities")
    )
    assert by_logits.value == pytest.approx(direct.value, rel=1e-12)
    assert by_probabilities.value == pytest.approx(direct.value, rel=1e-9)


def test_a_probability_of_0_has_a_finite_logarithm() -> None:
    rows, _ = calibration.pixel_logits(torch.tensor([[[0.0]], [[1.0]]]), [[1]], given="probabilities")
    assert rows[0, 0] == pytest.approx(math.log(np.finfo(np.float32).tiny))


def test_a_limit_draws_pixels_by_seed() -> None:
    maps, semantic = torch.arange(400.0).reshape(1, 2, 10, 20), torch.zeros(1, 10, 20, dtype=torch.int64)
    rows, labels = calibration.pixel_logits(maps, semantic, limit=30, seed=1)
    assert rows.shape == (30, 2)
    assert labels.shape == (30,)
    assert len(np.unique(rows[:, 0])) == 30
    assert (rows[:, 1] - rows[:, 0] == 200).all()
    again, _ = calibration.pixel_logits(maps, semantic, limit=30, seed=1)
    assert np.array_equal(rows, again)
    other, _ = calibration.pixel_logits(maps, semantic, limit=30, seed=2)
    assert not np.array_equal(rows, other)
    assert len(calibration.pixel_logits(maps, semantic, limit=1000)[0]) == 200


def test_maps_that_do_not_fit_are_refused() -> None:
    maps = np.zeros((1, 2, 3, 4))
    with pytest.raises(PellucidError, match=r"give \(N, K, H, W\)"):
        calibration.pixel_logits(maps, np.zeros((1, 3, 3), int))
    with pytest.raises(PellucidError, match="whole numbers"):
        calibration.pixel_logits(maps, np.zeros((1, 3, 4)))
    with pytest.raises(PellucidError, match="say that they are logits"):
        calibration.pixel_logits(maps - 1, np.zeros((1, 3, 4), int), given="probabilities")
    with pytest.raises(PellucidError, match="say 'logits'"):
        calibration.pixel_logits(maps, np.zeros((1, 3, 4), int), given="odds")  # type: ignore[arg-type]
