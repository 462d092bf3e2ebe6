"""Sums of a polynomial kernel over all earlier tokens, or over all, without a matrix of n² entries.

With p(σ⟨x,y⟩) = Σ_α w_α x^α y^α (`monomials`), all that attention and its gradient need is of one form,

    S_i = Σ_{j ≤ i} p(σ⟨x_i, y_j⟩) ⟨u_i, v_j⟩ z_j,

with moments M[α,(a,b)] = Σ_j y_j^α v_ja z_jb it is S_ib = Σ_a u_ia Σ_α w_α x_i^α M[α,(a,b)]. Tokens go by in
blocks: a block is evaluated at the moments of the blocks before it, looks at itself through e^s proper, and
is then added to the moments. A sum over later tokens is the same walk from the end. All work but the
features is matrix products of R × block by block × ab numbers.

Time: O(n R a b) for vectors v of a and z of b entries, and the block's own n · block · (d + a + b).
Memory: O(R (a b + block)) beyond arguments and result.

Glossary
--------
rows, columns    the x_i and the y_j.
near, far        tokens of the same block, and those of all blocks before.
left, right      u and v; left out where ⟨u_i, v_j⟩ is 1.
carried          z: what is summed.
features         x^α, [monomial, token].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .exp_polynomial import ExpPolynomial
from .monomials import MultiIndices

Reals = NDArray[np.float64]

BLOCK = 256
"""Tokens of a block: enough for matrix products, few enough that near pairs cost less than far features."""


@dataclass(frozen=True, eq=False)
class PolynomialKernel:
    """p(σ⟨x,y⟩) as a sum over monomials.

    Parameters
    ----------
    polynomial : ExpPolynomial
        p.
    indices : MultiIndices
        The monomials of degree up to p's.
    scale : float
        σ.
    weights : (R, 1) float64 array
        w_α.
    """

    polynomial: ExpPolynomial
    indices: MultiIndices
    scale: float
    weights: Reals

    @staticmethod
    def of(polynomial: ExpPolynomial, indices: MultiIndices, scale: float) -> PolynomialKernel:
        """Weigh the monomials."""
        return PolynomialKernel(
            polynomial, indices, scale, indices.weights(polynomial.coefficients, scale)[:, None]
        )

    def features(self, tokens: Reals, room: Reals) -> Reals:
        """Fill `room`, (R, at least as many lanes as tokens), and return the part that was filled."""
        lanes = np.ascontiguousarray(tokens.T)
        filled = room.reshape(-1)[: len(self.indices) * len(tokens)].reshape(len(self.indices), len(tokens))
        _multiply_out(lanes, self.indices.parents, self.indices.variables, filled)
        return filled


def sums_over_all(
    kernel: PolynomialKernel,
    rows: Reals,
    columns: Reals,
    carried: Reals,
    left: Reals | None = None,
    right: Reals | None = None,
) -> Reals:
    """Sum over every column: (n, d), (m, d), (m, b), (n, a), (m, a) -> (n, b).

    Notes
    -----
    Complexity: O((n + m) R a b).

    Examples
    --------
    >>> from .exp_polynomial import exp_polynomial
    >>> from .monomials import total_degree
    >>> kernel = PolynomialKernel.of(exp_polynomial(-1.0, 1.0, 8), total_degree(1, 8), 1.0)
    >>> sums_over_all(kernel, np.array([[1.0]]), np.array([[0.0], [1.0]]), np.ones((2, 1))).round(4).tolist()
    [[3.7183]]
    """
    moments = _moments(kernel, carried, right)
    room = np.empty((len(kernel.indices), BLOCK))
    for block in _blocks(len(columns)):
        _absorb(kernel, moments, columns[block], carried[block], right, block, room)
    moments *= kernel.weights
    out = np.empty((len(rows), carried.shape[1]))
    for block in _blocks(len(rows)):
        out[block] = _far(kernel, moments, rows[block], left, block, room)
    return out


def sums_over_earlier(
    kernel: PolynomialKernel | None,
    scale: float,
    rows: Reals,
    columns: Reals,
    carried: Reals,
    left: Reals | None = None,
    right: Reals | None = None,
) -> Reals:
    """Sum over the columns j ≤ i, those of the row's own block by e^s itself; shapes as for `sums_over_all`.

    Parameters
    ----------
    kernel : PolynomialKernel or None
        None where there is one block only, which needs none.
    scale : float
        σ.
    rows, columns, carried, left, right
        As for `sums_over_all`, n = m.

    Notes
    -----
    Complexity: O(n R a b + n · BLOCK · (d + a + b)).

    Examples
    --------
    >>> sums_over_earlier(None, 1.0, np.zeros((3, 1)), np.zeros((3, 1)), np.ones((3, 1))).tolist()
    [[1.0], [2.0], [3.0]]
    """
    return _walk(_blocks(len(rows)), np.tril, kernel, scale, rows, columns, carried, left, right)


def sums_over_later(
    kernel: PolynomialKernel | None,
    scale: float,
    rows: Reals,
    columns: Reals,
    carried: Reals,
    left: Reals | None = None,
    right: Reals | None = None,
) -> Reals:
    """Sum over the columns j ≥ i: the walk from the end, over the same blocks, so the same pairs are near.

    Parameters
    ----------
    kernel, scale, rows, columns, carried, left, right
        As for `sums_over_earlier`.

    Notes
    -----
    Complexity: as for `sums_over_earlier`.

    Examples
    --------
    >>> sums_over_later(None, 1.0, np.zeros((3, 1)), np.zeros((3, 1)), np.ones((3, 1))).tolist()
    [[3.0], [2.0], [1.0]]
    """
    return _walk(_blocks(len(rows))[::-1], np.triu, kernel, scale, rows, columns, carried, left, right)


def _walk(
    blocks: list[slice],
    seen: Callable[[Reals], Reals],
    kernel: PolynomialKernel | None,
    scale: float,
    rows: Reals,
    columns: Reals,
    carried: Reals,
    left: Reals | None,
    right: Reals | None,
) -> Reals:
    out = np.empty((len(rows), carried.shape[1]))
    if kernel is not None:
        moments = _moments(kernel, carried, right)
        room = np.empty((len(kernel.indices), BLOCK))
    for block in blocks:
        near = seen(np.exp(scale * (rows[block] @ columns[block].T)))
        if left is not None and right is not None:
            near *= left[block] @ right[block].T
        out[block] = near @ carried[block]
        if kernel is None:
            continue
        if block is not blocks[0]:
            out[block] += _far(kernel, kernel.weights * moments, rows[block], left, block, room)
        if block is not blocks[-1]:
            _absorb(kernel, moments, columns[block], carried[block], right, block, room)
    return out


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _moments(kernel: PolynomialKernel, carried: Reals, right: Reals | None) -> Reals:
    return np.zeros((len(kernel.indices), carried.shape[1] * (1 if right is None else right.shape[1])))


def _absorb(
    kernel: PolynomialKernel,
    moments: Reals,
    columns: Reals,
    carried: Reals,
    right: Reals | None,
    block: slice,
    room: Reals,
) -> None:
    if right is not None:  # (tokens, a·b)
        carried = (right[block, :, None] * carried[:, None, :]).reshape(len(carried), -1)
    moments += kernel.features(columns, room) @ carried


def _far(
    kernel: PolynomialKernel, weighed: Reals, rows: Reals, left: Reals | None, block: slice, room: Reals
) -> Reals:
    sums: Reals = kernel.features(rows, room).T @ weighed  # (tokens, a·b)
    if left is None:
        return sums
    factors = left[block]
    contracted: Reals = (factors[:, None, :] @ sums.reshape(*factors.shape, -1))[:, 0]
    return contracted


@njit(cache=True, nogil=True, boundscheck=False)
def _multiply_out(lanes: Any, parents: Any, variables: Any, out: Any) -> None:
    """Make every monomial its parent times one coordinate, a line of lanes at a time."""
    out[0] = 1.0
    for f in range(1, len(parents)):
        parent, factor, product = out[parents[f]], lanes[variables[f]], out[f]
        for lane in range(len(product)):
            product[lane] = parent[lane] * factor[lane]
