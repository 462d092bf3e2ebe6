"""Reverse mode through monomials: values and gradients of a few polynomials at many points.

For polynomials F_c(x) = Σ_α A[α,c] x^α over a downward closed set of monomials (`monomials`) and weights v_c,
at every point x of a list

    F_c(x)    and    ∂_l Σ_c v_c F_c(x) = Σ_α h_α ∂_l x^α,    h_α = Σ_c v_c A[α,c].

Monomials are generated from their parents, x^α = x^parent · x_l, so derivatives flow back along the same
links: in decreasing order h_parent += h_α x_l and ∂_l += h_α x^parent. That is two multiply-adds a monomial
whatever the dimension; the formula ∂_l x^α = α_l x^{α-e_l}, column by column, takes a factor d more [TAT24].

Time: n R (2C + 3) multiply-adds. Memory: two buffers of R lanes a thread.

Glossary
--------
lanes      points that stand side by side in a buffer.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

LANES = 32


@nb.njit(fastmath={"contract", "nsz"}, boundscheck=False)
def _generate(X: Any, first: int, parents: Any, variables: Any, x: Any, T: Any) -> int:
    """Load LANES points, zeros past the end, and fill T (R, LANES) with their monomials."""
    valid = min(LANES, len(X) - first)
    x[:] = 0.0
    for lane in range(valid):
        for l in range(len(x)):
            x[l, lane] = X[first + lane, l]
    for lane in range(LANES):
        T[0, lane] = 1.0
    for f in range(1, len(T)):
        p, l = parents[f], variables[f]
        for lane in range(LANES):
            T[f, lane] = T[p, lane] * x[l, lane]
    return valid


@nb.njit(fastmath={"contract", "nsz"}, boundscheck=False)
def _values(A: Any, T: Any, F: Any) -> None:
    F[:] = 0.0
    for f in range(len(T)):
        for c in range(len(F)):
            a = A[f, c]
            for lane in range(LANES):
                F[c, lane] += a * T[f, lane]


@nb.njit(fastmath={"contract", "nsz"}, boundscheck=False)
def _pull(A: Any, v: Any, parents: Any, variables: Any, x: Any, T: Any, H: Any, dx: Any) -> None:
    """Set dx (d, LANES) to the gradient of Σ_c v_c F_c."""
    for f in range(len(T)):
        for lane in range(LANES):
            H[f, lane] = A[f, 0] * v[0, lane]
        for c in range(1, len(v)):
            a = A[f, c]
            for lane in range(LANES):
                H[f, lane] += a * v[c, lane]
    dx[:] = 0.0
    for f in range(len(T) - 1, 0, -1):
        p, l = parents[f], variables[f]
        for lane in range(LANES):
            dx[l, lane] += H[f, lane] * T[p, lane]
            H[p, lane] += H[f, lane] * x[l, lane]


@nb.njit(parallel=True, nogil=True, cache=True, fastmath={"contract", "nsz"}, boundscheck=False)
def pull_tokens(X: Any, V: Any, A: Any, parents: Any, variables: Any, F: Any, dX: Any) -> None:
    """Tokens X (n, d) with weights V (n, e) and 1: fill dX (n, d) and F (n, e), all but the last."""
    n, R, C, d = len(X), len(A), A.shape[1], X.shape[1]
    for block in nb.prange(-(-n // LANES)):
        first = block * LANES
        x, dx = np.empty((d, LANES)), np.empty((d, LANES))
        T, H = np.empty((R, LANES)), np.empty((R, LANES))
        values, v = np.empty((C, LANES)), np.ones((C, LANES))
        valid = _generate(X, first, parents, variables, x, T)
        for lane in range(valid):
            for c in range(C - 1):
                v[c, lane] = V[first + lane, c]
        _values(A, T, values)
        _pull(A, v, parents, variables, x, T, H, dx)
        for lane in range(valid):
            for c in range(C - 1):
                F[first + lane, c] = values[c, lane]
            for l in range(d):
                dX[first + lane, l] = dx[l, lane]


@nb.njit(parallel=True, nogil=True, cache=True, fastmath={"contract", "nsz"}, boundscheck=False)
def pull_queries(
    X: Any, G: Any, A: Any, parents: Any, variables: Any, O: Any, D: Any, g: Any, dX: Any
) -> None:
    """Queries X (n, d), upstream G (n, e): fill O (n, e), D (n,), g (n, e+1) and dX (n, d).

    g holds the derivatives by numerators and denominator; rows whose D is not positive get zeros.
    """
    n, R, C, d = len(X), len(A), A.shape[1], X.shape[1]
    for block in nb.prange(-(-n // LANES)):
        first = block * LANES
        x, dx = np.empty((d, LANES)), np.empty((d, LANES))
        T, H = np.empty((R, LANES)), np.empty((R, LANES))
        values, v = np.empty((C, LANES)), np.zeros((C, LANES))
        valid = _generate(X, first, parents, variables, x, T)
        _values(A, T, values)
        for lane in range(valid):
            i, mass = first + lane, values[C - 1, lane]
            D[i] = mass
            for c in range(C - 1):
                O[i, c] = values[c, lane] / mass if mass > 0.0 else 0.0
                v[c, lane] = G[i, c] / mass if mass > 0.0 else 0.0
                v[C - 1, lane] -= v[c, lane] * O[i, c]
            for c in range(C):
                g[i, c] = v[c, lane]
        _pull(A, v, parents, variables, x, T, H, dx)
        for lane in range(valid):
            for l in range(d):
                dX[first + lane, l] = dx[l, lane]
