"""The coefficients of the polynomials that stand in for e^x, computed in integers and rounded once.

All work is done in powers of y = x − c and in fixed point with hundreds of bits, because passing from
Chebyshev polynomials to powers of x, and from the centre of the interval to 0, cancels more digits than
float64 has:

    e^{x} = e^c e^y,    e^y ≈ Σ_j (2 I_j(X)/X^j) · X^j T_j(y/X)  [+ a correction from `remez`]

Both factors of a term stay finite as X → 0, where the series turns into Taylor's.

Glossary
    c, X    centre and half-width of the interval
    bits    the fixed point: numbers are integers, 2^bits to the unit
    I_j     modified Bessel functions, T_j Chebyshev polynomials

Cost: O(g²) operations on integers of about 256 + 3(|lo|+|hi|) + 8g bits; a millisecond at degree 20.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .error_bounds import exponential_of, sample
from .exp_degree import Criterion, Method
from .remez import minimax

_SWALLOWED = 2.0**-60  # improvements below this are lost when coefficients are rounded


def exp_coefficients(
    lo: float, hi: float, degree: int, method: Method, criterion: Criterion
) -> NDArray[np.float64]:
    """Return c_0..c_g of the polynomial near e^x on [lo, hi], each the float64 nearest to its value.

    Parameters
    ----------
    lo, hi : float
        The interval.
    degree : int
        g ≥ 0.
    method : {"minimax", "chebyshev", "taylor"}
        How the polynomial is chosen.
    criterion : {"relative", "absolute", "derivative"}
        What minimax minimises.

    Returns
    -------
    (g+1,) float64 array
        The coefficients of powers of x.

    Notes
    -----
    Complexity: see the head of this file.

    Examples
    --------
    >>> exp_coefficients(-1.0, 1.0, 2, "taylor", "relative").tolist()
    [1.0, 1.0, 0.5]
    """
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
