"""The degree that approximating e^x on an interval takes, in exact arithmetic.

For real coefficients the error depends on the half-width X alone (absolute errors also scale with e^c), and
it falls with the degree, so that the least degree is found by bisection. The relative errors:

    taylor      Σ_i X^{g+1+i} / (g! i! (g+1+i)), taken at lo, where e^x is smallest
    chebyshev   max_t e^{X(1−t)} |Σ_{m>g} 2 e^{−X} I_m(X) T_m(t)|
    minimax     the levelled error of Remez' exchange (`remez`)

All are Θ(max(X, ln(1/η) / ln(ln(1/η)/X))) [AA22]: the methods differ by constants, and those matter, since
the rank is C(d+g, g).

Glossary
    g       degree
    X       half-width of the interval
    η       relative error max|p/e^x − 1|

Reference: [AA22] Aggarwal, Alman. Optimal-degree polynomial approximations for exponentials and Gaussian
kernel density estimation. CCC 2022.
Cost: O(log g) trials, each O(g³) flops for minimax and O(g²) for the others.

"""

import math
from typing import Literal, get_args

import numpy as np
from scipy.special import gammaln, ive

from .remez import chebyshev_points, minimax, series_tail

Method = Literal["taylor", "chebyshev", "minimax"]
Criterion = Literal["relative", "absolute", "derivative"]

LARGEST_ARGUMENT = 350.0
"""Intervals reach no further from 0: e^{2x} must stay within float64."""


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
    [14, 20, 31]
    """
    if not 0.0 <= width <= 2 * LARGEST_ARGUMENT:
        raise ValueError(f"Argument 'width' must lie in [0, {2 * LARGEST_ARGUMENT}], not {width}.")
    if not 0.0 < eta < 1.0:
        raise ValueError(f"Argument 'eta' must lie in (0, 1), not {eta}.")
    require_choice("method", method, Method)
    return least_degree(width / 2, eta, method, "relative")


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


def least_degree(
    half_width: float, tolerance: float, method: Method, criterion: Criterion, max_degree: int | None = None
) -> int:
    """Bisect for the least degree that real coefficients need, or stop at max_degree."""

    def meets(degree: int) -> bool:
        return ideal_error(half_width, degree, method, criterion) <= tolerance

    if method == "minimax":
        above = least_degree(half_width, tolerance, "chebyshev", criterion, max_degree)
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


def ideal_error(half_width: float, degree: int, method: Method, criterion: Criterion) -> float:
    """Return the error of unrounded coefficients on [−X, X]; an absolute error on c ± X is e^c times that."""
    if criterion == "derivative" and degree == 0:
        return 1.0
    if half_width == 0.0:
        return 0.0
    if criterion == "derivative":
        return _ideal_derivative_error(half_width, degree, method)
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
        return ideal_error(half_width, degree - 1, method, "relative")
    t = chebyshev_points(16 * (degree + 2))
    # T_m′ = m U_{m−1}; U_{m−1} = 2 (T_{m−1} + T_{m−3} + ...), T_0 halved, gives the slope's own series
    m = np.arange(degree + 1, degree + 30 + math.ceil(1.5 * half_width))
    slopes = np.polynomial.chebyshev.chebder(np.concatenate([np.zeros(degree + 1), 2.0 * ive(m, half_width)]))
    error = np.polynomial.chebyshev.chebval(t, slopes) / half_width * np.exp(half_width * (1.0 - t))
    return float(np.abs(error).max())


def require_choice(name: str, value: str, allowed: object) -> None:
    """Refuse a value that the Literal `allowed` does not list."""
    if value not in get_args(allowed):
        raise ValueError(f"Argument '{name}' must be one of {', '.join(get_args(allowed))}, not {value!r}.")
