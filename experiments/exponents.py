"""The rank exponent of the polynomial method, from n = 10 to n = 10^1000 and in the limit.

With d = c ln n coordinates and entries B = b (ln n)^{1/k}, logits reach X = B^k = b^k ln n. The truncated
Chebyshev series of e^x on [−X, X] has degree g as soon as its tail Σ_{m>g} 2 I_m(X) meets the accuracy, and
the rank is R = C(d+g, g). The rank exponent ρ = ln R/ln n then depends on b alone, up to the rounding of d
and g to integers; the fast algorithm costs n^{1+ρ}, the exact one n^k. As n → ∞, with ξ = b^k and γ = g/ln n,

    √(γ²+ξ²) − γ asinh(γ/ξ) = rhs,    ρ = (c+γ) ln(c+γ) − γ ln γ − c ln c.

Four kinds of accuracy, by what the tail has to stay below:

    relative 1/n        e^{−X}/n       rhs −1−ξ    the setting of [AS24]
    relative constant   η e^{−X}       rhs −ξ      η = 2ε/(1+ε²) for an output within ε
    absolute 1/n        1/n            rhs −1
    absolute constant   ε              rhs 0       what the read-outs of the reductions need, ε = 0.17

Everything is computed in logarithms: 10^1000 and I_m(X) at X = 8000 fit no float.

Glossary
    ln_n        ln n, the size of the problem
    c, b        coordinates of the plane: d = c ln n, B = b (ln n)^{1/k}
    X, g, R     largest logit, degree, rank
    ρ, ξ, γ     rank exponent, b^k, g/ln n

References: [AS24] Alman, Song. How to Capture Higher-order Correlations? ICLR 2024, arXiv 2310.04064.
Cost: O(X + g) a degree, 0.1 s at n = 10^1000.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln, ive

from ..algorithms.certificate import relative_error_for
from ..reductions.encoding import ACCURACY

Accuracy = Literal["relative 1/n", "relative constant", "absolute 1/n", "absolute constant"]
ACCURACIES: tuple[Accuracy, ...] = get_args(Accuracy)


def chebyshev_degree(half_width: float, log_tolerance: float) -> int:
    """Return the least g with Σ_{m>g} 2 I_m(X) ≤ tolerance, both given in logarithms where they are huge.

    Parameters
    ----------
    half_width : float
        X ≥ 0.
    log_tolerance : float
        ln of what the tail may be; −X − ln n for a relative accuracy of 1/n.

    Returns
    -------
    int
        The degree of the truncated Chebyshev series.

    Raises
    ------
    ValueError
        If X is negative or infinite.

    Notes
    -----
    Complexity: O(g) with the ratios I_{m+1}/I_m from their continued fraction, downward and so stable.

    Examples
    --------
    >>> import math
    >>> chebyshev_degree(8.0, math.log(1e-3) - 8.0), chebyshev_degree(8.0, math.log(1e-3))
    (21, 16)
    """
    if not 0.0 <= half_width < math.inf:
        raise ValueError(f"Argument 'half_width' must be finite and ≥ 0, not {half_width}.")
    if half_width == 0.0:
        return 0
    top = math.ceil(2 * half_width - log_tolerance) + 40
    while True:
        tails = _log_tails(half_width, top)
        reached = np.flatnonzero(tails <= log_tolerance)
        if len(reached) and reached[0] < top // 2:
            return int(reached[0])
        top *= 2


def rank_exponent(
    b: float, ln_n: float, *, order: int = 3, c: float = 1.0, accuracy: Accuracy = "relative 1/n"
) -> tuple[float, int, int]:
    """Return ρ = ln R/ln n, the degree g and the dimension d at a finite n.

    Parameters
    ----------
    b : float
        B/(ln n)^{1/k} ≥ 0.
    ln_n : float
        ln n > 0; n itself may be far beyond floats.
    order : int
        k ≥ 2.
    c : float
        d = round(c ln n), at least 1.
    accuracy : str
        One of `ACCURACIES`.

    Returns
    -------
    (float, int, int)
        ρ, g and d.

    Examples
    --------
    >>> import math
    >>> rho, degree, dimension = rank_exponent(1.0, math.log(1e3))
    >>> round(rho, 2), degree, dimension
    (1.89, 18, 7)
    """
    _require(b, order, c, accuracy)
    if not 0.0 < ln_n < math.inf:
        raise ValueError(f"Argument 'ln_n' must be positive and finite, not {ln_n}.")
    half_width = b**order * ln_n
    d = dimension_for(c, ln_n)
    g = chebyshev_degree(half_width, log_tolerance(half_width, ln_n, accuracy))
    return log_rank(d, g) / ln_n, g, d


def limit_exponent(b: float, *, order: int = 3, c: float = 1.0, accuracy: Accuracy = "relative 1/n") -> float:
    """Return ρ as n → ∞.

    Parameters
    ----------
    b, order, c, accuracy
        As for `rank_exponent`.

    Examples
    --------
    >>> round(limit_exponent(0.903), 2), round(limit_exponent(1.140, accuracy="absolute constant"), 2)
    (2.0, 2.0)
    """
    _require(b, order, c, accuracy)
    xi = b**order
    if xi == 0.0:
        return 0.0
    right = _right_side(xi, accuracy)

    def excess(gamma: float) -> float:
        return math.hypot(gamma, xi) - gamma * math.asinh(gamma / xi) - right

    above = max(1.0, xi)
    while excess(above) > 0.0:
        above *= 2
    gamma = float(brentq(excess, 0.0, above, xtol=1e-14))
    return _entropy(c, gamma)


def critical_limit(*, order: int = 3, c: float = 1.0, accuracy: Accuracy = "relative 1/n") -> float:
    """Return b_alg(c): where ρ = k−1 in the limit, so that the fast algorithm costs as much as the exact one.

    Parameters
    ----------
    order, c, accuracy
        As for `rank_exponent`.

    Examples
    --------
    >>> [round(critical_limit(c=c), 3) for c in (0.5, 1, 2, 4, 8)]
    [1.601, 0.903, 0.629, 0.478, 0.38]
    """
    _require(1.0, order, c, accuracy)
    gamma = float(brentq(lambda g: _entropy(c, g) - (order - 1), 1e-12, 1e6))

    def excess(log_xi: float) -> float:
        xi = math.exp(log_xi)
        return math.hypot(gamma, xi) - gamma * math.asinh(gamma / xi) - _right_side(xi, accuracy)

    return math.exp(float(brentq(excess, math.log(gamma) - 700.0, math.log(gamma) + 700.0)) / order)


def critical_finite(
    ln_n: float, *, order: int = 3, c: float = 1.0, accuracy: Accuracy = "relative 1/n"
) -> float:
    """Return the largest b whose rank stays at or below n^{k−1} at a finite n.

    The degree g that n^{k−1} monomials leave room for is an integer; b is the largest whose X it serves,
    0 where not even a constant polynomial does.

    Parameters
    ----------
    ln_n, order, c, accuracy
        As for `rank_exponent`.

    Examples
    --------
    >>> import math
    >>> round(critical_finite(math.log(1e3)), 3), round(critical_finite(math.log(10) * 1000), 3)
    (1.047, 0.904)
    """
    _require(1.0, order, c, accuracy)
    d, budget = dimension_for(c, ln_n), (order - 1) * ln_n
    low, high = 0, 1
    while log_rank(d, high) <= budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if log_rank(d, middle) <= budget else (low, middle)
    degree = low

    def served(b: float) -> bool:
        half_width = b**order * ln_n
        return chebyshev_degree(half_width, log_tolerance(half_width, ln_n, accuracy)) <= degree

    inside, outside = 0.0, 1.0
    while served(outside):
        inside, outside = outside, 2 * outside
    for _ in range(30):
        middle_b = (inside + outside) / 2
        inside, outside = (middle_b, outside) if served(middle_b) else (inside, middle_b)
    return inside


def dimension_for(c: float, ln_n: float) -> int:
    """Return d = c ln n, rounded, at least 1."""
    return max(1, round(c * ln_n))


def log_rank(d: int, g: int) -> float:
    """Return ln C(d+g, g)."""
    return float(gammaln(d + g + 1.0) - gammaln(d + 1.0) - gammaln(g + 1.0))


def log_tolerance(half_width: float, ln_n: float, accuracy: Accuracy) -> float:
    """Return ln of what the tail of the series may be, for one of `ACCURACIES`."""
    return {
        "relative 1/n": -half_width - ln_n,
        "relative constant": -half_width + math.log(relative_error_for(ACCURACY)),
        "absolute 1/n": -ln_n,
        "absolute constant": math.log(ACCURACY),
    }[accuracy]


def _log_tails(half_width: float, top: int) -> NDArray[np.float64]:
    """Return ln Σ_{m>g} 2 I_m(X) for g = 0..top−1."""
    ratios, sums = np.empty(top + 1), np.empty(top + 1)
    # I_{m+1}/I_m below its asymptote, and 1 + r_m + r_m r_{m+1} + ...; errors die out downward
    ratio, total = half_width / (2 * (top + 2)), 1.0
    for m in range(top, -1, -1):
        total = 1.0 + ratio * total
        ratio = 1.0 / (2 * (m + 1) / half_width + ratio)
        ratios[m], sums[m] = ratio, total
    first = math.log(ive(0, half_width)) + half_width
    # I_{g+1} = I_0 r_0 ⋯ r_g; the sum from m = g+1 on is I_{g+1} times sums[g], a fraction of I_{g+1}
    logs = first + np.cumsum(np.log(ratios))
    return math.log(2.0) + logs[:top] + np.log(sums[:top])


def _entropy(c: float, gamma: float) -> float:
    """Return lim ln C(d+g, g)/ln n for d = c ln n and g = γ ln n."""
    whole = (c + gamma) * math.log(c + gamma)
    return whole - (gamma * math.log(gamma) if gamma else 0.0) - c * math.log(c)


def _right_side(xi: float, accuracy: Accuracy) -> float:
    return {
        "relative 1/n": -1.0 - xi,
        "relative constant": -xi,
        "absolute 1/n": -1.0,
        "absolute constant": 0.0,
    }[accuracy]


def _require(b: float, order: int, c: float, accuracy: str) -> None:
    if not 0.0 <= b < math.inf:
        raise ValueError(f"Argument 'b' must be finite and ≥ 0, not {b}.")
    if order < 2:
        raise ValueError(f"Argument 'order' must be at least 2, not {order}.")
    if not 0.0 < c < math.inf:
        raise ValueError(f"Argument 'c' must be positive and finite, not {c}.")
    if accuracy not in ACCURACIES:
        raise ValueError(f"Argument 'accuracy' must be one of {', '.join(ACCURACIES)}, not {accuracy!r}.")
