"""Polynomials of least degree that stand in for e^x on an interval, with a sound bound on what they miss.

Below the wall attention replaces e^s by p(s) = Σ_{m≤g} c_m s^m (`monomials`), and its cost grows with C(d+g, g): every degree
counts. Three ways to choose p on [lo, hi] = c ± X:

    taylor      e^c Σ (x−c)^m/m!                       relative error Σ_i X^{g+1+i} / (g! i! (g+1+i)), taken at lo
    chebyshev   e^c (I_0(X) + 2 Σ_{m≤g} I_m(X) T_m(t)),  x = c + Xt; error at most e^c·2 Σ_{m>g} I_m(X)
    minimax     the least possible error (`remez`): X = 8 and 1e−3 need degree 14, not 21

The degree is Θ(max(X, ln(1/η) / ln(ln(1/η)/X))) [AA22]. Three errors are told apart: the relative one bounds the output of
attention a priori, the absolute one a posteriori, and the one of p′ bounds gradients.

Coefficients are of powers of x itself, not of x − c, because that is what splits over tokens. Computed with hundreds of bits
and rounded once, they carry a relative error up to 2⁻⁵³ Σ|c_m||x|^m e^{−x}, about 2⁻⁵³ e^{|x|−x}: no degree gets below
that, so a relative error of 1e−3 on [−X, X] ends near X = 15, and an interval far from 0 loses digits. Softmax
ignores a shift of a whole row; a caller that can move the logits towards 0 should.
Multiplying p by e^{−c} changes its relative error by one rounding a coefficient.

Glossary
    g       degree
    η, τ    relative error max|p/e^x − 1|, absolute error max|p − e^x|
    η₁      derivative error max|p′/e^x − 1|
    c, X    centre and half-width of the interval

References: [AA22] Aggarwal, Alman. Optimal-degree polynomial approximations for exponentials and Gaussian kernel
density estimation. CCC 2022.
Cost: some milliseconds up to degree 20, of which most goes into the sound bounds (`error_bounds`); answers are kept.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, ive

from .error_bounds import error_bounds, exponential_of, sample
from .remez import chebyshev_points, minimax, series_tail

Method = Literal["taylor", "chebyshev", "minimax"]
Criterion = Literal["relative", "absolute", "derivative"]

LARGEST_ARGUMENT = 350.0
"""Intervals reach no further from 0: e^{2x} must stay within float64."""

MAX_DEGREE = 64

_SWALLOWED = 2.0**-60  # improvements below this are lost when coefficients are rounded


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
        ``result.error(criterion) <= tolerance``. Its bounds exceed the true errors by up to 1.5%, so that a tolerance
        just above what some degree can do may cost one degree more.

    Raises
    ------
    ToleranceUnreachable
        If `max_degree` or the rounding of coefficients to float64 stands in the way.
    ValueError
        If an argument is outside its range.

    Notes
    -----
    Complexity: O(g³) flops a tried degree and O((g + X)²) integer operations for the bounds; answers are kept.

    References
    ----------
    [AA22]; the exchange is in `remez`, the bounds are in `error_bounds`.

    Examples
    --------
    >>> approximate_exp(-8.0, 8.0, 1e-3).degree, approximate_exp(-8.0, 8.0, 1e-3, method="chebyshev").degree
    (14, 19)
    """
    lo, hi = _interval(lo, hi)
    _choice("method", method, Method)
    _choice("criterion", criterion, Criterion)
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
    _choice("method", method, Method)
    _choice("criterion", criterion, Criterion)
    return _build(lo, hi, _degree("degree", degree), method, criterion)


def degree_for(width: float, eta: float, method: Method = "minimax") -> int:
    """Return the least degree with relative error at most η on an interval, in exact arithmetic.

    Parameters
    ----------
    width : float
        hi − lo, at most 700 (minimax takes seconds above 200).
    eta : float
        η in (0, 1).
    method : {"minimax", "chebyshev", "taylor"}
        How the polynomial is chosen.

    Returns
    -------
    int
        The degree: a property of real polynomials, whether or not float64 could store one.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Notes
    -----
    Complexity: O(log g) trials of O(g³) flops for minimax and of O(g²) for the others.

    Examples
    --------
    >>> [degree_for(16.0, 1e-3, method) for method in ("minimax", "chebyshev", "taylor")]
    [14, 19, 30]
    """
    if not 0.0 <= width <= 2 * LARGEST_ARGUMENT:
        raise ValueError(f"Argument 'width' must lie in [0, {2 * LARGEST_ARGUMENT}], not {width}.")
    if not 0.0 < eta < 1.0:
        raise ValueError(f"Argument 'eta' must lie in (0, 1), not {eta}.")
    _choice("method", method, Method)
    return _least_degree(width / 2, eta, method, "relative")


def asymptotic_degree(width: float, eta: float) -> float:
    """Return max(X, L / ln(L/X)), L = ln(1/η), X = width/2: the degree up to a constant [AA22, Thm 1.2].

    The second term describes L ≫ X; it has a pole at L = X and decreases up to L = eX. The guard: below
    L = eX its logarithm counts as 1.

    Parameters
    ----------
    width : float
        hi − lo ≥ 0.
    eta : float
        η in (0, 1).

    Returns
    -------
    float
        The formula, without the constants that Θ hides.

    Raises
    ------
    ValueError
        If an argument is outside its range.

    Examples
    --------
    >>> round(asymptotic_degree(16.0, 1e-3), 2), round(asymptotic_degree(0.2, 1e-12), 2)
    (8.0, 4.92)
    """
    if not 0.0 <= width < math.inf:
        raise ValueError(f"Argument 'width' must be finite and ≥ 0, not {width}.")
    if not 0.0 < eta < 1.0:
        raise ValueError(f"Argument 'eta' must lie in (0, 1), not {eta}.")
    half_width, digits = width / 2, math.log(1.0 / eta)
    if half_width == 0.0:
        return 0.0
    return max(half_width, digits / max(1.0, math.log(digits / half_width)))


@lru_cache(maxsize=512)
def _approximate(
    lo: float, hi: float, tolerance: float, method: Method, criterion: Criterion, max_degree: int
) -> ExpPolynomial:
    half_width = (hi - lo) / 2
    ideal_tolerance = tolerance * math.exp(-(lo + hi) / 2) if criterion == "absolute" else tolerance
    degree = _least_degree(half_width, ideal_tolerance, method, criterion, max_degree)
    while True:
        p = _build(lo, hi, degree, method, criterion)
        error = p.error(criterion)
        if error <= tolerance:
            return p
        ideal = _ideal_error(half_width, degree, method, criterion)
        rounded = ideal < 0.01 * ideal_tolerance
        if rounded or degree >= max_degree:
            why = "the rounding of its coefficients to float64" if rounded else f"'max_degree' = {max_degree}"
            raise ToleranceUnreachable(
                f"A {criterion} error of {tolerance:.3g} for e^x on [{lo}, {hi}] is out of reach ({method}): "
                f"at degree {degree} the bound is {error:.3g}, and {why} stands in the way.",
                degree,
                error,
            )
        degree += 1


@lru_cache(maxsize=512)
def _build(lo: float, hi: float, degree: int, method: Method, criterion: Criterion) -> ExpPolynomial:
    coefficients = _coefficients(lo, hi, degree, method, criterion)
    relative, absolute, derivative = error_bounds(coefficients.tolist(), lo, hi)
    coefficients.flags.writeable = False
    return ExpPolynomial(lo, hi, coefficients, relative, absolute, derivative, method, criterion)


def _least_degree(
    half_width: float, tolerance: float, method: Method, criterion: Criterion, max_degree: int | None = None
) -> int:
    """Bisect for the least degree that real coefficients need, or stop at max_degree."""
    if half_width == 0.0:
        return 1 if criterion == "derivative" else 0

    def meets(degree: int) -> bool:
        return _ideal_error(half_width, degree, method, criterion) <= tolerance

    if method == "minimax":
        above = _least_degree(half_width, tolerance, "chebyshev", criterion, max_degree)
    else:
        above = 1
        while not meets(above) and (max_degree is None or above < max_degree):
            above *= 2
    if max_degree is not None:
        above = min(above, max_degree)
    below = -1
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if meets(middle) else (middle, above)
    return above


def _ideal_error(half_width: float, degree: int, method: Method, criterion: Criterion) -> float:
    """Return the error of unrounded coefficients on [−X, X]: absolute errors scale with e^c, the others do not."""
    if criterion == "derivative":
        return 1.0 if degree == 0 else _ideal_derivative_error(half_width, degree, method)
    relative = criterion == "relative"
    if method == "minimax":
        return minimax(half_width, degree, relative).error
    if method == "chebyshev":
        t = chebyshev_points(16 * (degree + 2))
        weight = np.exp(half_width * (1.0 - t)) if relative else np.full_like(t, math.exp(half_width))
        return float(np.abs(series_tail(half_width, degree, t, weight)).max())
    i = np.arange(30 + math.ceil(4 * half_width))
    order = degree + 1 + i
    if relative:
        log_terms = order * math.log(half_width) - gammaln(degree + 1.0) - gammaln(i + 1.0) - np.log(order)
    else:
        log_terms = order * math.log(half_width) - gammaln(order + 1.0)
    return float(np.exp(log_terms).sum())


def _ideal_derivative_error(half_width: float, degree: int, method: Method) -> float:
    if method != "chebyshev":  # p′ is the approximation of degree g − 1
        return _ideal_error(half_width, degree - 1, method, "relative")
    t = chebyshev_points(16 * (degree + 2))
    # T_m′ = m U_{m−1}; U_{m−1} = 2 (T_{m−1} + T_{m−3} + ...), T_0 halved, gives the slope's own series
    m = np.arange(degree + 1, degree + 30 + math.ceil(1.5 * half_width))
    slopes = np.polynomial.chebyshev.chebder(np.concatenate([np.zeros(degree + 1), 2.0 * ive(m, half_width)]))
    error = np.polynomial.chebyshev.chebval(t, slopes) / half_width * np.exp(half_width * (1.0 - t))
    return float(np.abs(error).max())


def _coefficients(
    lo: float, hi: float, degree: int, method: Method, criterion: Criterion
) -> NDArray[np.float64]:
    half_width = (hi - lo) / 2
    if criterion == "derivative" and method == "minimax" and degree > 0:
        return _antiderivative(lo, hi, degree)
    bits = _bits(lo, hi, degree)
    powers = _around_centre(half_width, degree, method, criterion, bits)
    return _expanded(powers, (lo + hi) / 2, bits)


def _antiderivative(lo: float, hi: float, degree: int) -> NDArray[np.float64]:
    """Integrate the best p′ of degree g − 1, with the constant that serves the relative error of p best."""
    half_width = (hi - lo) / 2
    bits = _bits(lo, hi, degree)
    slope = _around_centre(half_width, degree - 1, "minimax", "relative", bits)
    integral = [1 << bits] + [a // (m + 1) for m, a in enumerate(slope)]
    coefficients = _expanded(integral, (lo + hi) / 2, bits)
    samples = sample(coefficients.tolist(), lo, hi, 16 * (degree + 2))
    error = np.asarray(samples.difference / samples.exponential, dtype=np.float64)
    weight = np.asarray((1 << samples.bits) / samples.exponential, dtype=np.float64)
    above = float(np.abs(error / weight).max())
    below = -above
    for _ in range(60):  # max(error + a·weight) rises with a and max(−error − a·weight) falls
        middle = (below + above) / 2
        moved = error + middle * weight
        below, above = (middle, above) if moved.max() < -moved.min() else (below, middle)
    coefficients[0] += (below + above) / 2
    return coefficients


def _around_centre(
    half_width: float, degree: int, method: Method, criterion: Criterion, bits: int
) -> list[int]:
    """Return 2^bits times the coefficients of an approximation of e^y on [−X, X] in powers of y."""
    if method == "taylor":
        return [(1 << bits) // math.factorial(m) for m in range(degree + 1)]
    if method == "chebyshev" or half_width == 0.0:
        return _chebyshev_series(half_width, degree, bits)
    best = minimax(half_width, degree, criterion != "absolute")
    if best.error < _SWALLOWED:
        return _chebyshev_series(half_width, degree, bits)
    numerator, denominator = half_width.as_integer_ratio()
    powers = [a * denominator**m // numerator**m for m, a in enumerate(best.fixed_point(bits))]
    if not best.corrects_series:
        return powers
    series = _chebyshev_series(half_width, degree, bits)
    return [a + b for a, b in zip(powers, series, strict=True)]


def _chebyshev_series(half_width: float, degree: int, bits: int) -> list[int]:
    """Σ_j (2 I_j(X)/X^j) · X^j T_j(y/X), the first term halved: neither factor ever divides by X."""
    square = _fixed(half_width, bits) ** 2 >> bits
    total = [0] * (degree + 1)
    previous, scaled = [0] * (degree + 1), [1 << bits] + [0] * degree
    for j in range(degree + 1):
        bessel = _scaled_bessel(square, j, bits)
        total = [a + (bessel * b >> bits) for a, b in zip(total, scaled, strict=True)]
        shifted = [0, *scaled[:-1]]
        following = [
            (2 if j else 1) * a - (square * b >> bits) for a, b in zip(shifted, previous, strict=True)
        ]
        previous, scaled = scaled, following
    return total


def _scaled_bessel(square: int, j: int, bits: int) -> int:
    """(2 − [j=0]) I_j(X)/X^j = Σ_i (X²/4)^i / (i! (i+j)! 2^{j−1}), in fixed point."""
    term = (1 << bits) // (math.factorial(j) << (j - 1) if j else 1)
    total, i = 0, 0
    while term:
        total += term
        i += 1
        term = (term * square >> bits) // (4 * i * (i + j))
    return total


def _expanded(powers: list[int], centre: float, bits: int) -> NDArray[np.float64]:
    """Turn e^c Σ a_m (x − c)^m into powers of x, and round to float64 at the end."""
    shift = -_fixed(centre, bits)
    expanded = list(powers)
    for first in range(len(expanded) - 1):
        for m in range(len(expanded) - 2, first - 1, -1):
            expanded[m] += shift * expanded[m + 1] >> bits
    factor = int(exponential_of(np.array([_fixed(centre, bits)], dtype=object), bits)[0])
    return np.array([factor * a / (1 << 2 * bits) for a in expanded], dtype=np.float64)


def _bits(lo: float, hi: float, degree: int) -> int:
    """Leave room for powers of |x| and of 1/X, and for what cancels between them."""
    reach = abs(lo) + abs(hi)
    return 256 + math.ceil(3 * reach) + 2 * degree * max(4, math.frexp(reach)[1] + 2)


def _fixed(number: float, bits: int) -> int:
    numerator, denominator = number.as_integer_ratio()
    return (numerator << bits) // denominator


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


def _choice(name: str, value: str, allowed: object) -> None:
    if value not in get_args(allowed):
        raise ValueError(f"Argument '{name}' must be one of {', '.join(get_args(allowed))}, not {value!r}.")
