"""Sound bounds on how far a stored polynomial strays from e^x on an interval.

Let d = p − e^x, an entire function, on x = c + X cos θ. Cutting the Chebyshev series of e^x at degree K
leaves a polynomial of degree K within e^c·tail(K) of d, where

    tail(K) = Σ_{m>K} 2 I_m(X) ≤ 2 b_{K+1} / (1 − X/(2K+4)),   b_m = (X/2)^m/m! · exp(X²/(4m+4)) ≥ I_m(X).

A polynomial of degree M is a cosine polynomial in θ, and one of those that is at most s at the N + 1 angles
iπ/N is at most s / cos(πM/2N) everywhere [EZ64]. So a few hundred samples bound d; for d·e^{−x} the series of
e^{−x} is cut as well. The samples are taken in integers, 2^bits to the unit, with the coefficients exactly as
stored, so that cancellation in p − e^x and the rounding of the coefficients are seen and not estimated.

Glossary
    c, X        centre and half-width of the interval
    K, L, M     degrees at which d and e^{−x} are cut, and their sum
    N           number of sampling intervals, 12 M: cos(π/24) costs 0.9%
    bits        the fixed point; its own errors stay below 2^−90 relatively and are added

Reference
[EZ64] Ehlich, Zeller. Schwankung von Polynomen zwischen Gitterpunkten. Math. Z. 86 (1964).
Cost: about 12 M (2g + 35) operations on integers of some 200 bits: 2 ms for [−1, 1] at degree 6, 10 ms for
[−8, 8] at degree 16.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .remez import chebyshev_points

Integers = NDArray[Any]  # dtype object: Python integers, 2^bits to the unit

_DENSITY = 12
_NEGLIGIBLE = math.log(1e-3)  # of the error itself: what cutting the series may add to the bound
_SLACK = 1.0 + 1e-9  # float arithmetic on the final handful of numbers, and angles rounded to 1e-15
_SAMPLING = 2.0**-90


@dataclass(frozen=True)
class Samples:
    """p − e^x, p′ − e^x and e^x at Chebyshev points, as integers, 2^bits to the unit."""

    difference: Integers
    derivative_difference: Integers
    exponential: Integers
    bits: int


def error_bounds(coefficients: Sequence[float], lo: float, hi: float) -> tuple[float, float, float]:
    """Bound max |p/e^x − 1|, max |p − e^x| and max |p′/e^x − 1| over [lo, hi], soundly.

    Parameters
    ----------
    coefficients : sequence of g+1 floats
        c_0..c_g of p(x) = Σ c_m x^m, taken exactly as they are.
    lo, hi : float
        The interval, inside [−350, 350].

    Returns
    -------
    tuple of three floats
        Upper bounds, each within about 1.5% of the true maximum, and infinite where that overflows.

    Notes
    -----
    Complexity: see the head of this file.

    Examples
    --------
    >>> relative, absolute, derivative = error_bounds([1.0, 1.0], -0.5, 0.5)
    >>> true = math.exp(0.5) - 1.5
    >>> true <= absolute <= 1.015 * true
    True
    """
    degree = len(coefficients) - 1
    centre = (lo + hi) / 2
    half_width = float((Fraction(hi) - Fraction(lo)) / 2)
    if half_width == 0.0:
        factor_absolute = factor_relative = 1.0
        log_cut = log_cut_inverse = -math.inf
        samples = sample(coefficients, lo, hi, 1)
    else:
        log_half = math.log(half_width / 2)
        # no p of degree g comes closer to e^x than (π/2) I_{g+1}(X) e^c, nor relatively than e^{−hi} times it
        closest = (degree + 1) * log_half - math.lgamma(degree + 2.0)
        cut = _least_cut(half_width, degree, _NEGLIGIBLE + closest - 2 * half_width)
        cut_inverse = _least_cut(half_width, 0, _NEGLIGIBLE - half_width)
        log_cut = centre + _log_tail(half_width, cut)
        log_cut_inverse = -centre + _log_tail(half_width, cut_inverse)
        M = cut + cut_inverse
        N = _DENSITY * max(M, 1)
        factor_absolute = _SLACK / math.cos(math.pi * cut / (2 * N))
        factor_relative = _SLACK / math.cos(math.pi * M / (2 * N))
        samples = sample(coefficients, lo, hi, N)
    left_out, left_out_inverse = math.exp(log_cut), math.exp(log_cut_inverse)

    def bounds(difference: Integers) -> tuple[float, float]:
        try:
            absolute = float(Fraction(int(np.abs(difference).max()), 1 << samples.bits))
            relative = float(np.abs(difference / samples.exponential).max())
        except OverflowError:
            return math.inf, math.inf
        absolute = (absolute + _SAMPLING * math.exp(hi) + left_out) * factor_absolute + left_out
        remainder = left_out * math.exp(-lo) + (absolute + left_out) * left_out_inverse
        relative = (relative + _SAMPLING + remainder) * factor_relative + remainder
        return relative * _SLACK, absolute * _SLACK

    relative, absolute = bounds(samples.difference)
    derivative, _ = bounds(samples.derivative_difference)
    return relative, absolute, derivative


def sample(coefficients: Sequence[float], lo: float, hi: float, intervals: int) -> Samples:
    """Evaluate p, p′ and e^x at c + X cos(iπ/N), i = 0..N, with errors below 2^−90 of e^x."""
    centre, half_width = (Fraction(hi) + Fraction(lo)) / 2, (Fraction(hi) - Fraction(lo)) / 2
    doublings = max(0, math.frexp(max(abs(lo), abs(hi)))[1])  # |x| ≤ 2^doublings
    narrow = max(0, -math.frexp(float(half_width))[1]) if half_width else 0
    bits = 192 + narrow + math.ceil(1.45 * max(0.0, -lo))
    t = [int(math.ldexp(value, 60)) for value in chebyshev_points(intervals)]
    scaled_centre, scaled_half = (int(value * 2**bits) for value in (centre, half_width))
    z = np.array([scaled_centre + (scaled_half * value >> 60) for value in t], dtype=object) >> doublings
    x = z << doublings  # the very point at which p is taken
    scaled = [_to_fixed(c, bits + doublings * m) for m, c in enumerate(coefficients)]
    slopes = [m * _to_fixed(c, bits + doublings * (m - 1)) for m, c in enumerate(coefficients)][1:]
    exponential = exponential_of(x, bits)
    return Samples(
        _horner(scaled, z, bits) - exponential, _horner(slopes, z, bits) - exponential, exponential, bits
    )


def exponential_of(x: Integers, bits: int) -> Integers:
    """Return e^x in fixed point, with 64 more bits inside: Taylor's series at x/2^h, squared h times."""
    guarded = bits + 64
    largest = max(int(abs(value)) for value in x)
    halvings = max(0, largest.bit_length() - bits + 6)  # |x| / 2^halvings ≤ 2^−6
    y = (x << 64) >> halvings
    total = term = np.full_like(x, 1 << guarded)
    order = 0
    while any(int(abs(value)) > 1 for value in (term.max(), term.min())):
        order += 1
        term = (term * y >> guarded) // order
        total = total + term
    for _ in range(halvings):
        total = total * total >> guarded
    return total >> 64


def _horner(coefficients: list[int], z: Integers, bits: int) -> Integers:
    value = np.zeros_like(z)
    for c in reversed(coefficients):
        value = (value * z >> bits) + c
    return value


def _to_fixed(number: float, bits: int) -> int:
    numerator, denominator = number.as_integer_ratio()
    return (numerator << bits) // denominator if bits >= 0 else numerator // (denominator << -bits)


def _log_tail(half_width: float, degree: int) -> float:
    """Bound ln Σ_{m>degree} 2 I_m(X) from above, for degree + 2 > X/2."""
    m = degree + 1
    log_first = m * math.log(half_width / 2) - math.lgamma(m + 1.0) + half_width**2 / (4 * m + 4)
    return log_first + math.log(2.0 / (1.0 - half_width / (2 * degree + 4))) + 1e-9


def _least_cut(half_width: float, start: int, target: float) -> int:
    cut = max(start, math.ceil(half_width / 2))
    while _log_tail(half_width, cut) > target:
        cut += 1
    return cut
