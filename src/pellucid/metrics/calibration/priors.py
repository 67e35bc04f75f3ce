"""Probabilities of foreground set right: for a network trained on balanced classes, or for other shares of foreground.

A network that saw as many foreground as background pixels says 'one half' where far fewer are foreground. Two
remedies: a polynomial fitted on held-out pixels (Ciresan et al. 2012, 'Deep Neural Networks Segment Neuronal Membranes
in Electron Microscopy Images', section 2), and Bayes' rule where the two shares are known and nothing else is wrong.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.polynomial import Polynomial
from scipy.optimize import nnls
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.metrics.calibration.arrays import ROUNDING, Numbers, as_flags, as_probabilities, chunks

Values = TypeVar("Values", Tensor, np.ndarray)
EXCHANGES = 50
TOLERANCE = 1e-10


@dataclass(frozen=True)
class PolynomialCalibration:
    """A polynomial from a network's probability of foreground to the calibrated one.

    ``coefficients``: of p⁰, p¹, p² … ``samples``: how many pixels it was fitted on.
    """

    coefficients: tuple[float, ...]
    samples: int

    def __call__(self, probabilities: Values) -> Values:
        """Calibrated probabilities in [0, 1], of the same shape, kind and precision; NaN stays NaN.

        Where the polynomial was cut off gradients are 0, and a probability may be 0 or 1: mind its logarithm. Raises
        PellucidError for numbers outside [0, 1].
        """
        p = _within(probabilities)
        made = p * 0 + self.coefficients[-1]
        for coefficient in self.coefficients[-2::-1]:
            made = made * p + coefficient
        return made.clip(0, 1)


def fit_polynomial(
    probabilities: Numbers, foreground: Numbers, *, degree: int = 3, monotone: bool = True
) -> PolynomialCalibration:
    """The polynomial of least squares from probabilities to what is there: foreground 1, background 0.

    ``probabilities``: of foreground, any shape, in [0, 1], of images that the network was **not** trained on and in
    which foreground is as frequent as in use. ``foreground``: bool of the same shape. ``degree``: 3 in the paper.
    ``monotone``: rising or level all over [0, 1], so that no two pixels change their order. Where the polynomial leaves
    [0, 1] it is cut off, which can only bring it nearer to the truth. Least squares on pixels is the Brier score: the
    fit weighs each probability by its pixels, and is loose where there are few.

    Raises PellucidError where foreground or background is missing, or where the probabilities take too few values.
    """
    if isinstance(degree, bool) or not isinstance(degree, int) or not 1 <= degree <= 9:
        raise PellucidError(f"degree: {degree!r}; give a whole number, 1 to 9")
    array = as_probabilities(probabilities, "probabilities")
    truth = as_flags(foreground, array.shape, "foreground").ravel()
    p = array.ravel()
    if truth.all() or not truth.any():
        missing = "background" if len(truth) and truth.all() else "foreground"
        raise PellucidError(f"polynomial: no pixel is {missing}; give held-out images that hold both")
    # R of the QR decomposition of [1 p p² … | truth], whatever the number of pixels.
    triangle = np.zeros((0, degree + 2))
    for part in chunks(len(p), degree + 2):
        columns = np.vander(p[part].astype(np.float64), degree + 1, increasing=True)
        stacked = np.vstack([triangle, np.column_stack([columns, truth[part]])])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"))
    # Fewer rows than columns stay fewer; so padded, the square root of the normal equations has full shape.
    triangle = np.vstack([triangle, np.zeros((degree + 2 - len(triangle), degree + 2))]) / np.sqrt(len(p))
    R, target = triangle[: degree + 1, : degree + 1], triangle[: degree + 1, -1]
    # Columns of one length, so that probabilities that are all small are no reason to fail.
    lengths = np.linalg.norm(R, axis=0)
    singular = np.linalg.svd(R / np.where(lengths > 0, lengths, 1), compute_uv=False)
    if singular[-1] < 1e-8:
        raise PellucidError(
            f"polynomial: the probabilities take too few values for degree {degree}; give more pixels or a lower degree"
        )
    made = _rising(R, target) if monotone else np.linalg.solve(R, target)
    return PolynomialCalibration(tuple(float(c) for c in made), len(p))


def under_prior(probabilities: Values, trained_prior: float, prior: float) -> Values:
    """The probability of foreground where its share is ``prior``, from one learnt where it was ``trained_prior``.

    ``probabilities``: any shape, in [0, 1]; the result has the same kind and precision, and gradients pass. By Bayes'
    rule the odds change by the factor odds(prior) / odds(trained_prior). Exact if foreground and background look the
    same in both and only their shares differ (Saerens et al. 2002, 'Adjusting the Outputs of a Classifier to New a
    Priori Probabilities'). Raises PellucidError for a share that does not lie between 0 and 1, and for probabilities
    outside [0, 1].
    """
    for what, share in (("trained_prior", trained_prior), ("prior", prior)):
        if not 0 < share < 1:
            raise PellucidError(f"{what}: {share}; give a share between 0 and 1, both excluded")
    p = _within(probabilities)
    present, absent = p * (prior / trained_prior), (1 - p) * ((1 - prior) / (1 - trained_prior))
    return present / (present + absent)


def _within(probabilities: Values) -> Values:
    """Checked, and put on the end of [0, 1] where rounding led outside."""
    if isinstance(probabilities, Tensor) and not probabilities.is_floating_point():
        raise PellucidError(f"probabilities: values of type {probabilities.dtype}; give floats, 0 to 1")
    if isinstance(probabilities, np.ndarray) and probabilities.dtype.kind != "f":
        raise PellucidError(f"probabilities: values of type {probabilities.dtype}; give floats, 0 to 1")
    outside = (probabilities < -ROUNDING) | (probabilities > 1 + ROUNDING)
    if bool(outside.any()):
        raise PellucidError(f"probabilities: one is {float(probabilities[outside][0])}; give numbers from 0 to 1")
    return probabilities.clip(0, 1)


def _rising(R: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Coefficients c that minimise |R c − target| such that the polynomial falls nowhere on [0, 1].

    That is demanded at the ends, and then wherever the solution falls steepest, until it falls nowhere.
    """
    k = np.arange(len(target))

    def slope(x: float) -> np.ndarray:
        return k * x ** np.maximum(k - 1, 0)

    rows = [slope(0.0), slope(1.0)]
    made = np.zeros(len(target))
    for _ in range(EXCHANGES):
        made = _least_squares(R, target, np.array(rows), np.zeros(len(rows)))
        rise = Polynomial(made).deriv()
        falling = [x for x in _level(rise) if rise(x) < -TOLERANCE]
        if not falling:
            break
        rows += [slope(x) for x in falling]
    # What rounding left of a fall, where the probabilities hardly fix the coefficients, is tilted away.
    rise = Polynomial(made).deriv()
    made[1] += max(0.0, *(-rise(x) for x in (0.0, 1.0, *_level(rise))))
    return made


def _level(g: Polynomial) -> list[float]:
    """Where inside of [0, 1] a polynomial neither rises nor falls, as it does where it is lowest."""
    found = np.asarray(g.deriv().roots() if g.degree() > 1 else [], np.complex128)
    return found.real[(np.abs(found.imag) < 1e-6) & (found.real > 0) & (found.real < 1)].tolist()


def _least_squares(R: np.ndarray, target: np.ndarray, G: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The x that minimises |R x − target| with G x ≥ h, for an R of full rank.

    As a least distance problem, solved by non-negative least squares (Lawson and Hanson 1974, 'Solving Least Squares
    Problems', chapter 23).
    """
    inverse = np.linalg.inv(R)
    A = G @ inverse
    b = h - A @ target
    scale = np.linalg.norm(A, axis=1)
    A, b = A / scale[:, None], b / scale
    E = np.vstack([A.T, b])
    goal = np.zeros(len(E))
    goal[-1] = 1
    r = E @ nnls(E, goal)[0] - goal
    return inverse @ (target - r[:-1] / r[-1])
