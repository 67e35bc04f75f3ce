"""Foreground probabilities of a network trained on balanced pixels: the polynomial, and Bayes' rule."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch.autograd import gradcheck

from pellucid.errors import PellucidError
from pellucid.metrics import calibration
from pellucid.metrics.calibration import arrays

GRID = np.linspace(0, 1, 2001)


def membranes(seed: int, prior: float, n: int = 200_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of a known posterior: (posterior, what a perfect network trained on balanced pixels says, foreground)."""
    rng = np.random.default_rng(seed)
    # Foreground scatters around +1, background around −1, so the posterior is known in closed form.
    foreground = rng.random(n) < prior
    seen = rng.normal(np.where(foreground, 1.0, -1.0), 1.0)
    ratio = np.exp(2 * seen)
    return prior * ratio / (prior * ratio + 1 - prior), ratio / (ratio + 1), foreground


# Bayes' rule


def test_the_correction_by_hand() -> None:
    # Odds 1 under equal shares; with 20 % foreground the odds are .25.
    found = calibration.under_prior(np.array([0.5, 0.8]), 0.5, 0.2)
    np.testing.assert_allclose(found, [0.2, 0.5], rtol=1e-15)
    # From 10 % to 50 %: odds times 9.
    assert calibration.under_prior(np.array([0.25]), 0.1, 0.5)[0] == pytest.approx(0.75, rel=1e-15)


def test_a_perfect_balanced_network_is_set_right_exactly() -> None:
    posterior, balanced, _ = membranes(0, 0.2, 5000)
    np.testing.assert_allclose(calibration.under_prior(balanced, 0.5, 0.2), posterior, rtol=1e-12)


shares = st.floats(0.01, 0.99)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), shares, shares, shares)
def test_there_and_back_and_by_way_of_another(values: list[float], a: float, b: float, c: float) -> None:
    p = np.array(values)
    there = calibration.under_prior(p, a, b)
    assert ((there >= 0) & (there <= 1)).all()
    np.testing.assert_allclose(calibration.under_prior(there, b, a), p, atol=1e-10)
    np.testing.assert_allclose(calibration.under_prior(there, b, c), calibration.under_prior(p, a, c), atol=1e-10)
    np.testing.assert_allclose(calibration.under_prior(p, a, a), p, rtol=1e-14)
    # Counting background instead of foreground is the same rule.
    np.testing.assert_allclose(calibration.under_prior(1 - p, 1 - a, 1 - b), 1 - there, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(shares, shares)
def test_it_rises_from_0_to_1(a: float, b: float) -> None:
    found = calibration.under_prior(GRID, a, b)
    assert (np.diff(found) > 0).all()
    assert (found[0], found[-1]) == (0.0, 1.0)
    assert (found <= GRID).all() if b < a else (found >= GRID - 1e-15).all()
    ends = calibration.under_prior(torch.tensor([0.0, 1.0]), a, b)
    assert ends.tolist() == [0.0, 1.0]
    assert ends.dtype == torch.float32


def test_gradients_of_the_correction() -> None:
    p = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda p: calibration.under_prior(p, 0.5, 0.2), [p])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_share_lies_between_0_and_1(share: float) -> None:
    with pytest.raises(PellucidError, match=r"trained_prior: .*both excluded"):
        calibration.under_prior(np.array([0.5]), share, 0.5)
    with pytest.raises(PellucidError, match=r"^prior: .*both excluded"):
        calibration.under_prior(np.array([0.5]), 0.5, share)


def test_only_probabilities_are_corrected() -> None:
    with pytest.raises(PellucidError, match=r"one is 3\.0; give numbers from 0 to 1"):
        calibration.under_prior(torch.tensor([0.2, 3.0]), 0.5, 0.2)
    with pytest.raises(PellucidError, match="give floats"):
        calibration.under_prior(np.array([0, 1]), 0.5, 0.2)
    assert np.isnan(calibration.under_prior(np.array([np.nan]), 0.5, 0.2)[0])


# The polynomial


@pytest.mark.parametrize(("prior", "mean", "most"), [(0.1, 0.02, 0.11), (0.2, 0.01, 0.04), (0.35, 0.004, 0.012)])
def test_balanced_outputs_are_calibrated_back_to_the_posterior(prior: float, mean: float, most: float) -> None:
    """To ``mean`` on average, and to ``most`` for 99 % of the pixels: what a cubic can do, and not more for our fit."""
    _, balanced, foreground = membranes(1, prior)
    fitted = calibration.fit_polynomial(balanced, foreground)
    posterior, held_out, truth = membranes(2, prior)
    made = fitted(held_out)
    error = np.abs(made - posterior)
    assert error.mean() < mean
    assert np.quantile(error, 0.99) < most
    assert np.abs(held_out - posterior).mean() > 6 * error.mean()
    best = np.polynomial.Polynomial.fit(held_out, posterior, 3)(held_out).clip(0, 1)
    assert np.abs(made - best).max() < 0.02
    assert calibration.expected_calibration_error(made, truth) < 0.015
    assert calibration.expected_calibration_error(held_out, truth) > 0.06


def test_a_cubic_relation_is_found() -> None:
    rng = np.random.default_rng(3)
    p = rng.random(400_000)
    foreground = rng.random(p.size) < 0.1 * p + 0.2 * p**2 + 0.6 * p**3
    fitted = calibration.fit_polynomial(p, foreground)
    assert len(fitted.coefficients) == 4
    assert fitted.samples == p.size
    assert np.abs(fitted(GRID) - (0.1 * GRID + 0.2 * GRID**2 + 0.6 * GRID**3)).max() < 0.01


def test_exact_least_squares_where_it_rises_anyway() -> None:
    # At four probabilities the shares of a cubic that rises: the polynomial of least squares goes through them.
    at, cubic = np.array([0.1, 0.4, 0.6, 0.9]), np.array([0.1, 0.2, 0.3, 0.2])
    shares = np.polynomial.Polynomial(cubic)(at)
    p = np.repeat(at, 10_000)
    foreground = np.concatenate([np.arange(10_000) < round(10_000 * share) for share in shares])
    fitted = calibration.fit_polynomial(p, foreground)
    np.testing.assert_allclose(fitted.coefficients, cubic, atol=1e-9)
    free = calibration.fit_polynomial(p, foreground, monotone=False)
    np.testing.assert_allclose(free.coefficients, cubic, atol=1e-9)


def loss(coefficients: np.ndarray, p: np.ndarray, y: np.ndarray) -> float:
    return float(((np.polynomial.Polynomial(coefficients)(p) - y) ** 2).mean())


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5, 7])
def test_rising_least_squares_as_a_general_optimiser_finds_it(degree: int) -> None:
    """On pixels whose share of foreground rises, falls and rises again, so that the bound bites."""
    rng = np.random.default_rng(degree)
    p = rng.random(500)
    y = (rng.random(500) < 0.5 + 0.5 * np.sin(9 * p)).astype(float)
    fitted = calibration.fit_polynomial(p, y, degree=degree)
    assert np.polynomial.Polynomial(fitted.coefficients).deriv()(GRID).min() > -1e-9
    points, k = np.linspace(0, 1, 401), np.arange(degree + 1)
    G = k * points[:, None] ** np.maximum(k - 1, 0)
    A = np.vander(p, degree + 1, increasing=True)
    peer = minimize(
        lambda c: ((A @ c - y) ** 2).mean(),
        np.array([0.5] + [0.0] * degree),
        jac=lambda c: 2 * A.T @ (A @ c - y) / len(y),
        constraints={"type": "ineq", "fun": lambda c: G @ c, "jac": lambda c: G},
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    # The optimiser's polynomial may fall a little between its points, and so be nearer by a hair; never by more.
    assert loss(np.array(fitted.coefficients), p, y) == pytest.approx(peer.fun, abs=1e-6)


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 8])
def test_free_least_squares_as_numpy(degree: int) -> None:
    rng = np.random.default_rng(degree)
    p = rng.random(500)
    y = rng.random(500) < 0.5 + 0.5 * np.sin(9 * p)
    fitted = calibration.fit_polynomial(p, y, degree=degree, monotone=False)
    peer = np.polynomial.polynomial.polyfit(p, y.astype(float), degree)
    np.testing.assert_allclose(
        np.polynomial.Polynomial(fitted.coefficients)(GRID), np.polyval(peer[::-1], GRID), atol=1e-8
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=4, max_size=40), st.integers(1, 4))
def test_it_always_rises_and_stays_within_0_and_1(pixels: list[tuple[float, bool]], degree: int) -> None:
    try:
        fitted = calibration.fit_polynomial([p for p, _ in pixels], [f for _, f in pixels], degree=degree)
    except PellucidError:
        assume(False)
    made = fitted(GRID)
    assert made.min() >= 0
    assert made.max() <= 1
    assert np.diff(made).min() > -1e-13 * max(1.0, max(map(abs, fitted.coefficients)))


def test_it_rises_where_the_probabilities_hardly_fix_it() -> None:
    # Two of four values are as good as one: the free cubic falls from 1 to 0 within a hundred-thousandth.
    fitted = calibration.fit_polynomial([0.0, 1.0, 0.125, 1e-5], [False, False, False, True])
    assert np.diff(fitted(GRID)).min() > -1e-15
    assert np.abs(fitted(GRID) - 0.25).max() < 1e-4


def test_not_monotone_follows_a_dip() -> None:
    rng = np.random.default_rng(5)
    p = rng.random(20_000)
    foreground = rng.random(p.size) < (2 * p - 1) ** 2
    free = calibration.fit_polynomial(p, foreground, monotone=False)
    assert np.abs(free(GRID) - (2 * GRID - 1) ** 2).max() < 0.06
    rising = calibration.fit_polynomial(p, foreground)
    assert np.diff(rising(GRID)).min() > -1e-9


def test_probabilities_that_are_all_small_are_fitted() -> None:
    rng = np.random.default_rng(6)
    p = 1e-3 * rng.random(50_000)
    foreground = rng.random(p.size) < 500 * p
    fitted = calibration.fit_polynomial(p, foreground)
    for q in (2e-4, 5e-4, 8e-4):
        assert fitted(np.array([q]))[0] == pytest.approx(500 * q, abs=0.02)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _, balanced, foreground = membranes(7, 0.2, 500)
    whole = calibration.fit_polynomial(balanced, foreground)
    monkeypatch.setattr(arrays, "CHUNK", 60)
    parts = calibration.fit_polynomial(torch.from_numpy(balanced.reshape(20, 25)), foreground.reshape(20, 25))
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, atol=1e-9)


def test_it_takes_arrays_and_tensors_keeps_precision_and_passes_gradients() -> None:
    _, balanced, foreground = membranes(8, 0.2, 2000)
    fitted = calibration.fit_polynomial(balanced, foreground)
    p = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(fitted, [p])
    np.testing.assert_allclose(fitted(p).detach().numpy(), fitted(p.detach().numpy()), rtol=1e-14)
    assert fitted(p.float()).dtype == torch.float32
    assert fitted(np.zeros((2, 3), np.float32)).dtype == np.float32
    assert fitted(np.zeros((2, 3), np.float32)).shape == (2, 3)
    ends = fitted(torch.tensor([0.0, 1.0]))
    assert 0 <= ends[0] < ends[1] <= 1
    assert torch.isnan(fitted(torch.tensor([math.nan]))).all()
    with pytest.raises(PellucidError, match="give numbers from 0 to 1"):
        fitted(torch.tensor([-4.0]))


@pytest.mark.parametrize(
    ("probabilities", "foreground", "degree", "message"),
    [
        ([0.1, 0.5, 0.7, 0.9], [0, 0, 0, 0], 3, "no pixel is foreground"),
        ([0.1, 0.5, 0.7, 0.9], [1, 1, 1, 1], 3, "no pixel is background"),
        ([], [], 3, "no pixel is foreground"),
        ([0.1, 0.9, 0.1, 0.9], [0, 1, 0, 1], 3, "too few values for degree 3"),
        ([0.0, 0.0, 0.0, 0.0], [0, 1, 0, 1], 1, "too few values for degree 1"),
        ([0.1, 0.9], [0, 1], 0, "degree: 0; give a whole number, 1 to 9"),
        ([0.1, 1.9], [0, 1], 1, "the one at 1 is 1.9"),
        ([0.1, math.nan], [0, 1], 1, "the one at 1 is nan"),
        ([0.1, 0.9], [0, 2], 1, "other than 0 and 1"),
        ([0.1, 0.9], [0], 1, "one value each"),
    ],
)
def test_what_cannot_be_fitted_says_why(
    probabilities: list[float], foreground: list[int], degree: int, message: str
) -> None:
    with pytest.raises(PellucidError, match=message):
        calibration.fit_polynomial(probabilities, foreground, degree=degree)
