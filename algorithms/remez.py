"""Best polynomial approximation of e^{Xt} on [−1, 1], in weighted maximum error, by Remez' exchange.

Among the polynomials q of degree g the best one, in max_t |q(t) − e^{Xt}| w(t) with w > 0, has an error that
takes its maximum with alternating sign at g + 2 points (Chebyshev). The exchange solves for the polynomial
whose error alternates with equal size on a reference of g + 2 points, moves the points to where the error is
largest, and repeats. Here it runs on a fixed grid of 16 (g + 2) Chebyshev points, which costs the maximum
half a percent at most; nothing downstream relies on it, since `error_bounds` bounds what the finished
polynomial does.

With w = e^{−Xt} (relative error) the weighted monomials are parallel to machine precision long before X = 10,
so the unknowns are coefficients in a basis that is orthonormal for the weight, made by Arnoldi's recurrence
on the grid [BNT21]; and where the truncated Chebyshev series is close, only the correction to it is sought,
so that an error of 1e−20 is levelled as well as one of 1e−2.

Glossary
    X              half-width of the interval that t = −1..1 stands for
    g              degree
    w              weight of the error: e^{−Xt} for relative, 1 for absolute error
    tail           Σ_{m>g} 2 I_m(X) T_m(t), what the truncated Chebyshev series leaves out
    levelled error the equal size of the error on the final reference

References: Remez, 1934
[BNT21] Brubeck, Nakatsukasa, Trefethen. Vandermonde with Arnoldi. SIAM Review 63
(2021).
Cost: O(g³) for the basis and for each of about five exchanges; 2 ms at g = 20.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

Array = NDArray[np.float64]

_POINTS_PER_EXTREMUM = 16
_EXCHANGES = 40
_LEVEL = 1e-4  # stop where the largest error is within this of the levelled one


@dataclass(frozen=True, eq=False)
class Minimax:
    """A best approximation q(t) = [truncated Chebyshev series] + Σ_j weights_j φ_j(t) and its error.

    Parameters
    ----------
    error : float
        max_t |q(t) − e^{Xt}| w(t) on the grid.
    corrects_series : bool
        Whether the truncated Chebyshev series is part of q.
    weights : (g+1,) array
        Coefficients in the basis φ.
    first : float
        The constant φ_0.
    recurrence : (g+1, g) array
        H with t φ_j = Σ_{i ≤ j+1} H[i, j] φ_i.
    """

    error: float
    corrects_series: bool
    weights: Array
    first: float
    recurrence: Array

    def fixed_point(self, bits: int) -> list[int]:
        """Return 2^bits times the coefficients of Σ_j weights_j φ_j(t) in powers of t."""
        basis = [[_fixed(self.first, bits)]]
        for j in range(len(self.weights) - 1):
            entries = [_fixed(float(h), bits) for h in self.recurrence[: j + 2, j]]
            following = [0, *basis[j]]
            for h, phi in zip(entries, basis, strict=False):
                for m, value in enumerate(phi):
                    following[m] -= h * value >> bits
            basis.append([(value << bits) // entries[j + 1] for value in following])
        total = [0] * len(basis)
        for weight, phi in zip(self.weights, basis, strict=True):
            factor = _fixed(float(weight), bits)
            for m, value in enumerate(phi):
                total[m] += factor * value >> bits
        return total


@lru_cache(maxsize=1024)
def minimax(half_width: float, degree: int, relative: bool) -> Minimax:
    """Find the best approximation of e^{Xt} of the given degree on [−1, 1].

    Parameters
    ----------
    half_width : float
        X, in (0, 350].
    degree : int
        g ≥ 0.
    relative : bool
        Weight e^{−Xt} if true, 1 if false.

    Returns
    -------
    Minimax
        The approximation and its error.

    Notes
    -----
    Complexity: see the head of this file; answers are kept.

    Examples
    --------
    >>> round(minimax(1.0, 0, True).error, 3), round(math.tanh(1.0), 3)
    (0.762, 0.762)
    """
    X = half_width
    t = chebyshev_points(_POINTS_PER_EXTREMUM * (degree + 2))
    weight = np.exp(-X * t) if relative else np.ones_like(t)
    basis, first, recurrence = _arnoldi(t, weight, degree)
    series = series_tail(X, degree, t, np.exp(X) * weight)
    target = weight * np.exp(X * t)
    corrects_series = bool(np.abs(series).max() < np.abs(target).max())
    residual = -series if corrects_series else -target
    weights = np.zeros(degree + 1)
    for _ in range(2):  # a second projection removes what rounding left of the first
        step = -basis.T @ residual
        weights += step
        residual = residual + basis @ step
    correction, error = _exchange(basis, residual)
    return Minimax(error, corrects_series, weights + correction, first, recurrence)


def chebyshev_points(count: int) -> Array:
    """Return cos(iπ/count), i = 0..count, from 1 down to −1."""
    points: Array = np.cos(np.arange(count + 1) * (math.pi / count))
    return points


def series_tail(half_width: float, degree: int, t: Array, weight: Array) -> Array:
    """Return weight(t) · e^{−X} Σ_{m>g} 2 I_m(X) T_m(t), to rounding relative to the first term left out."""
    m = np.arange(degree + 1, degree + 30 + math.ceil(1.5 * half_width))
    angle = np.arccos(np.clip(t, -1.0, 1.0))
    tail: Array = weight * (np.cos(np.outer(angle, m)) @ (2.0 * ive(m, half_width)))
    return tail


def _arnoldi(t: Array, weight: Array, degree: int) -> tuple[Array, float, Array]:
    norm = float(np.linalg.norm(weight))
    basis = np.empty((len(t), degree + 1))
    basis[:, 0] = weight / norm
    recurrence = np.zeros((degree + 1, degree))
    for j in range(degree):
        vector = t * basis[:, j]
        for _ in range(2):
            overlap = basis[:, : j + 1].T @ vector
            recurrence[: j + 1, j] += overlap
            vector = vector - basis[:, : j + 1] @ overlap
        recurrence[j + 1, j] = np.linalg.norm(vector)
        basis[:, j + 1] = vector / recurrence[j + 1, j]
    return basis, 1.0 / norm, recurrence


def _exchange(basis: Array, residual: Array) -> tuple[Array, float]:
    """Choose δ to minimise max |residual + basis δ|, for a residual orthogonal to the basis."""
    size = basis.shape[1]
    error, best, least = residual, np.zeros(size), float(np.abs(residual).max())
    signs = np.where(np.arange(size + 1) % 2 == 0, 1.0, -1.0)
    for _ in range(_EXCHANGES):
        # the orthogonal residual changes sign g + 1 times at least: a first reference near the last one
        reference = _alternating_extrema(error)
        if len(reference) < size + 1:
            break  # rounding has drowned the alternation
        while len(reference) > size + 1:
            drop_last = abs(error[reference[0]]) >= abs(error[reference[-1]])
            reference = reference[:-1] if drop_last else reference[1:]
        solution = np.linalg.solve(np.column_stack([basis[reference], signs]), -residual[reference])
        error = residual + basis @ solution[:-1]
        largest = float(np.abs(error).max())
        if largest < least:
            best, least = solution[:-1], largest
        if largest <= (1.0 + _LEVEL) * abs(solution[-1]):
            break
    return best, least


def _alternating_extrema(error: Array) -> NDArray[np.intp]:
    """Return, for each run of one sign, where the error is largest."""
    changes = np.flatnonzero(np.diff(np.signbit(error))) + 1
    starts = np.concatenate([[0], changes])
    stops = np.concatenate([changes, [len(error)]])
    size = np.abs(error)
    return np.array([a + np.argmax(size[a:b]) for a, b in zip(starts, stops, strict=True)], dtype=np.intp)


def _fixed(number: float, bits: int) -> int:
    numerator, denominator = number.as_integer_ratio()
    return (numerator << bits) // denominator
