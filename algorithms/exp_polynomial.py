"""Polynomials of least degree that stand in for e^x on an interval, with a sound bound on what they miss.

Below the wall attention replaces e^s by p(s) = Σ_{m≤g} c_m s^m (`monomials`), and its cost grows with C(d+g,
g): every degree counts. Three ways to choose p on [lo, hi] = c ± X:

    taylor      e^c Σ_{m≤g} (x−c)^m/m!
    chebyshev   e^c (I_0(X) + 2 Σ_{m≤g} I_m(X) T_m(t)),  x = c + Xt
    minimax     the least possible error (`remez`): X = 8 and 1e−3 take degree 14; Chebyshev's series takes 20

Three errors are told apart: the relative one bounds
the output of attention a priori, the absolute one a posteriori, and the one of p′ bounds gradients.

Coefficients are of powers of x itself, not of x − c, because that is what splits over tokens. Computed with
hundreds of bits and rounded once, they carry a relative error up to 2⁻⁵³ Σ|c_m||x|^m e^{−x}, about 2⁻⁵³
e^{|x|−x}: no degree gets below that, so a relative error of 1e−3 on [−X, X] ends near X = 15, and an interval
far from 0 loses digits. Softmax ignores a shift of a whole row; a caller that can move the logits towards 0
should. Multiplying p by e^{−c} changes its relative error by one rounding a coefficient.

Glossary
    g       degree
    η, τ    relative error max|p/e^x − 1|, absolute error max|p − e^x|
    η₁      derivative error max|p′/e^x − 1|
    c, X    centre and half-width of the interval

References: [AA22] Aggarwal, Alman. Optimal-degree polynomial approximations for exponentials and Gaussian
kernel density estimation. CCC 2022.
Cost: 5 ms for [−1, 1] at 1e−6, 25 ms for [−8, 8] at 1e−3, half of it for the sound bounds (`error_bounds`);
answers are kept.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .error_bounds import error_bounds
from .exp_coefficients import exp_coefficients
from .exp_degree import LARGEST_ARGUMENT, Criterion, Method, ideal_error, least_degree, require_choice

MAX_DEGREE = 64
"""Where `approximate_exp` stops looking unless told otherwise."""


class ToleranceUnreachable(ValueError):
    """No polynomial within the allowed degree, or within float64, is as close as asked.

    Parameters
    ----------
    message : str
        The reason, for people.
    degree : int
        The degree reached.
    error : float
        The error there, in the criterion asked for.
    """

    def __init__(self, message: str, degree: int, error: float) -> None:
        super().__init__(message)
        self.degree = degree
        self.error = error


@dataclass(frozen=True, eq=False)
class ExpPolynomial:
    """A polynomial p(x) = Σ c_m x^m near e^x on [lo, hi], and sound bounds on its errors there.

    The bounds hold for the coefficients as stored, evaluated exactly; rounding in an evaluation comes on top.

    Parameters
    ----------
    lo, hi : float
        The interval.
    coefficients : (g+1,) float64 array
        c_0..c_g, read-only.
    relative_error : float
        η ≥ max |p(x)/e^x − 1|.
    absolute_error : float
        τ ≥ max |p(x) − e^x|.
    derivative_error : float
        η₁ ≥ max |p′(x)/e^x − 1|.
    method, criterion : str
        How p was chosen, and by which of the three errors.
    """

    lo: float
    hi: float
    coefficients: NDArray[np.float64]
    relative_error: float
    absolute_error: float
    derivative_error: float
    method: Method
    criterion: Criterion

    @property
    def degree(self) -> int:
        """The degree g."""
        return len(self.coefficients) - 1

    def error(self, criterion: Criterion) -> float:
        """Return the bound that belongs to a criterion."""
        return {
            "relative": self.relative_error,
            "absolute": self.absolute_error,
            "derivative": self.derivative_error,
        }[criterion]

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Evaluate p by Horner's rule in float64."""
        points = np.asarray(x, dtype=np.float64)
        value = np.zeros_like(points)
        for c in self.coefficients[::-1]:
            value = value * points + c
        return value


def approximate_exp(
    lo: float,
    hi: float,
    tolerance: float,
    *,
    method: Method = "minimax",
    criterion: Criterion = "relative",
    max_degree: int = MAX_DEGREE,
) -> ExpPolynomial:
    """Find the polynomial of least degree whose bound meets the tolerance on [lo, hi].

    Parameters
    ----------
    lo, hi : float
        The interval, lo ≤ hi, inside [−350, 350].
    tolerance : float
        Positive; below 1 unless the criterion is absolute.
    method : {"minimax", "chebyshev", "taylor"}
        How polynomials are chosen.
    criterion : {"relative", "absolute", "derivative"}
        Which of the three errors has to meet the tolerance; minimax minimises that one.
    max_degree : int
        Refuse to go beyond.

    Returns
    -------
    ExpPolynomial
        ``result.error(criterion) <= tolerance``. Its bounds exceed the true errors by up to 1.5%, so that a
        tolerance just above what some degree can do may cost one degree more.

    Raises
    ------
    ToleranceUnreachable
        If `max_degree` or the rounding of coefficients to float64 stands in the way.
    ValueError
        If an argument is outside its range.

    Notes ----- Complexity: O(g³) flops a tried degree and O((g + X)²) integer operations for the bounds;
    answers are kept.

    References
    ----------
    [AA22]; the exchange is in `remez`, the bounds are in `error_bounds`.

    Examples
    --------
    >>> [approximate_exp(-8.0, 8.0, 1e-3, method=m).degree for m in ("minimax", "chebyshev", "taylor")]
    [14, 20, 31]
    """
    lo, hi = _interval(lo, hi)
    require_choice("method", method, Method)
    require_choice("criterion", criterion, Criterion)
    ceiling = math.inf if criterion == "absolute" else 1.0
    if not 0.0 < tolerance < ceiling:
        raise ValueError(f"Argument 'tolerance' must lie in (0, {ceiling}), not {tolerance}.")
    return _approximate(lo, hi, float(tolerance), method, criterion, _degree("max_degree", max_degree))


def exp_polynomial(
    lo: float,
    hi: float,
    degree: int,
    method: Method = "minimax",
    criterion: Criterion = "relative",
) -> ExpPolynomial:
    """Build the polynomial of the given degree and bound its errors.

    Parameters
    ----------
    lo, hi : float
        The interval, lo ≤ hi, inside [−350, 350].
    degree : int
        g ≥ 0.
    method : {"minimax", "chebyshev", "taylor"}
        How it is chosen.
    criterion : {"relative", "absolute", "derivative"}
        What minimax minimises; the others do not look at it.

    Returns
    -------
    ExpPolynomial
        Its bounds may be large, or infinite where float64 overflows.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Notes
    -----
    Complexity: O(g³) flops and O((g + X)²) integer operations; answers are kept.

    Examples
    --------
    >>> p = exp_polynomial(-1.0, 1.0, 3)
    >>> bool(abs(p(0.5) - math.exp(0.5)) <= p.absolute_error)
    True
    """
    lo, hi = _interval(lo, hi)
    require_choice("method", method, Method)
    require_choice("criterion", criterion, Criterion)
    return _build(lo, hi, _degree("degree", degree), method, criterion)


@lru_cache(maxsize=512)
def _approximate(
    lo: float, hi: float, tolerance: float, method: Method, criterion: Criterion, max_degree: int
) -> ExpPolynomial:
    half_width = (hi - lo) / 2
    ideal_tolerance = tolerance * math.exp(-(lo + hi) / 2) if criterion == "absolute" else tolerance
    degree = least_degree(half_width, ideal_tolerance, method, criterion, max_degree)
    while True:
        ideal = ideal_error(half_width, degree, method, criterion)
        if ideal > ideal_tolerance:  # real coefficients do not do it, so none need be computed
            error = tolerance * (ideal / ideal_tolerance)
            why = f"'max_degree' = {max_degree} stands in the way"
            break
        p = _build(lo, hi, degree, method, criterion)
        error = p.error(criterion)
        if error <= tolerance:
            return p
        if ideal < 0.01 * ideal_tolerance:
            why = "the rounding of its coefficients to float64 stands in the way"
            break
        if degree >= max_degree:
            why = f"'max_degree' = {max_degree} stands in the way"
            break
        degree += 1
    raise ToleranceUnreachable(
        f"A {criterion} error of {tolerance:.3g} for e^x on [{lo}, {hi}] is out of reach ({method}): "
        f"at degree {degree} it is {error:.3g}, and {why}.",
        degree,
        error,
    )


@lru_cache(maxsize=512)
def _build(lo: float, hi: float, degree: int, method: Method, criterion: Criterion) -> ExpPolynomial:
    coefficients = exp_coefficients(lo, hi, degree, method, criterion)
    relative, absolute, derivative = error_bounds(coefficients.tolist(), lo, hi)
    coefficients.flags.writeable = False
    return ExpPolynomial(lo, hi, coefficients, relative, absolute, derivative, method, criterion)


def _interval(lo: float, hi: float) -> tuple[float, float]:
    lo, hi = float(lo), float(hi)
    for name, value in (("lo", lo), ("hi", hi)):
        if not abs(value) <= LARGEST_ARGUMENT:
            raise ValueError(f"Argument '{name}' must lie in [−350, 350], not {value}.")
    if lo > hi:
        raise ValueError(f"Argument 'lo' must not exceed 'hi' = {hi}, not {lo}.")
    return lo, hi


def _degree(name: str, degree: int) -> int:
    if isinstance(degree, bool) or not isinstance(degree, int | np.integer) or degree < 0:
        raise ValueError(f"Argument '{name}' must be an integer ≥ 0, not {degree!r}.")
    return int(degree)
