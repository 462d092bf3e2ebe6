"""The passes of a fast gradient over tokens, on one array or on one shard of many.

    summaries  --frame_of-->  Frame  --row_reach, chosen-->  Expansion
    means_of each shard of keys and values, added up
    queries_of each shard of queries: output, ∂Q, and Γ, added up
    tokens_of each shard of keys and values: ∂K_t and ∂V_t

Shards exchange O(R e) numbers. A pass goes through its rows in chunks, so that arrays may be mapped files.

Cost: O((n + Σn_t) R (e+1)) time; O(R e) memory beyond the gradients and a chunk.

Glossary
--------
M_t     means of values and of 1 against the monomials of the keys.
Γ       sums of the numerators' and denominators' derivatives against the monomials of the queries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .column_statistics import SLOTS, in_slots, read_only
from .exp_polynomial import MAX_DEGREE, ExpPolynomial, exp_polynomial
from .gradient_certificate import RowRounding, approximation_bounds, roundings
from .gradient_reach import Frame, RowReach
from .monomials import MultiIndices, rank, total_degree
from .polynomial_kernels import Schedule, moments, schedule
from .pullback_kernels import LANES, pull_queries, pull_slot_queries, pull_slot_tokens, pull_tokens
from .pullback_plan import Pullback, pullback

Float64 = NDArray[np.float64]

CHUNK = 2**17
"""Rows of a chunk."""

_WIDEST = 120.0  # intervals beyond it need degrees beyond any rank
_BLOCKS_A_SLOT = 8


@dataclass(frozen=True, eq=False)
class Expansion:
    """A polynomial and its monomials.

    Parameters
    ----------
    polynomial : ExpPolynomial
        p.
    indices : MultiIndices
        Its monomials.
    plan : Schedule
        Their order in sums over tokens.
    pullback : Pullback
        Their order on the way back.
    prior : list of float
        What p does to each of the gradients, at most, in scaled coordinates.
    rounding : float
        γ, relative rounding of a term.
    """

    polynomial: ExpPolynomial
    indices: MultiIndices
    plan: Schedule
    pullback: Pullback
    prior: list[float]
    rounding: float

    def weights(self, scale: float) -> Float64:
        """Return w_α as a column."""
        return self.indices.weights(self.polynomial.coefficients, scale)[:, None]


def chosen(frame: Frame, rows: RowReach, tolerance: float, max_rank: int) -> Expansion:
    """Find the polynomial of least degree whose bounds leave a tenth of the tolerance to rounding.

    Raises
    ------
    WallError
        If there is none of allowed rank.
    """
    d = frame.dimension
    if rows.high - rows.low > _WIDEST or max(-rows.low, rows.high) > 300.0:
        raise frame.wall("the logits reach too far for any polynomial within float64", rows, None)
    step = math.ldexp(1.0, math.frexp(max(rows.high - rows.low, 1e-30))[1] - 7)
    low, high = math.floor(rows.low / step) * step, math.ceil(rows.high / step) * step
    for degree in range(MAX_DEGREE + 1):
        needed = rank(d, degree)
        if needed > max_rank:
            why = f"degree {degree} over {d} columns takes {needed:,} monomials"
            raise frame.wall(f"{why}, above 'max_rank' = {max_rank:,}", rows, needed)
        p = exp_polynomial(low, high, degree, criterion="derivative")
        bounds = approximation_bounds(frame, rows, p)
        if _worst(frame, bounds) <= 0.9 * tolerance:
            indices, plan, back = _plans(d, degree, frame.columns)
            chunks = -(-max(frame.tokens) // CHUNK)
            return Expansion(p, indices, plan, back, bounds, roundings(frame, degree, needed, plan, chunks))
        if degree > 4 and p.derivative_error < 1e-13:
            break
    raise frame.wall("no polynomial within float64 meets the tolerance", rows, None)


def means_of(frame: Frame, expansion: Expansion, t: int, keys: NDArray[Any], values: NDArray[Any]) -> Float64:
    """Return the share of some tokens of the t-th keys in M_t, (R, e+1)."""
    factors = frame.factors
    found = _summed(expansion, keys, values, factors[1 + t], factors[frame.order + t], frame.columns + 1)
    return found / frame.tokens[1 + t]


def queries_of(
    frame: Frame,
    expansion: Expansion,
    coefficients: Float64,
    Q: NDArray[Any],
    upstream: NDArray[Any],
    output: NDArray[Any],
    gradient: NDArray[Any],
) -> tuple[Float64, RowRounding]:
    """Write output and ∂Q of some queries; return their share in Γ, and what rounding may have done.

    `coefficients` (R, e+1): weights times products of all means.
    """
    d, e, links = frame.dimension, frame.columns, expansion.pullback.links
    laid_out = expansion.pullback.laid_out(coefficients)
    magnitudes = np.abs(expansion.polynomial.coefficients)
    factors = (
        frame.factors[0], frame.factors[-1],
        math.ldexp(1.0, frame.value_shift), math.ldexp(1.0, frame.exponent(0)),
    )  # fmt: skip
    gathered = np.zeros((len(expansion.indices), e + 1))
    seen = RowRounding(0.0, 0.0, np.zeros(d), np.zeros(e))
    for first in range(0, len(Q), CHUNK):
        rows = slice(first, first + CHUNK)
        slots = _slots(len(Q[rows]))
        pulled = np.empty((len(Q[rows]), e + 1))
        largest, by_column, by_value = np.zeros((slots, 2)), np.zeros((slots, d)), np.zeros((slots, e))
        in_slots(
            slots, pull_slot_queries, pull_queries, read_only(Q[rows]), read_only(upstream[rows]), factors,
            links, *laid_out, (frame.reach, frame.value_spread[1], magnitudes), output[rows], pulled,
            gradient[rows], largest, by_column, by_value,
        )  # fmt: skip
        gathered += _summed(expansion, Q[rows], pulled, frame.factors[0], 1.0, e + 1)
        peak = largest.max(axis=0)
        seen = seen + RowRounding(float(peak[0]), float(peak[1]), by_column.sum(axis=0), by_value.sum(axis=0))
    return gathered, seen


def tokens_of(
    frame: Frame,
    expansion: Expansion,
    t: int,
    coefficients: Float64,
    keys: NDArray[Any],
    values: NDArray[Any],
    key_gradient: NDArray[Any],
    value_gradient: NDArray[Any],
) -> None:
    """Write ∂K_t and ∂V_t of some tokens, for `coefficients` (R, e+1): A_t."""
    a, b = 1 + t, frame.order + t
    factors = (
        frame.factors[a], frame.factors[b],
        math.ldexp(1.0, frame.exponent(b)), math.ldexp(1.0, frame.exponent(a)),
    )  # fmt: skip
    laid_out = expansion.pullback.laid_out(coefficients)
    for first in range(0, len(keys), CHUNK):
        rows = slice(first, first + CHUNK)
        slots = _slots(len(keys[rows]))
        in_slots(
            slots, pull_slot_tokens, pull_tokens, read_only(keys[rows]), read_only(values[rows]), factors,
            expansion.pullback.links, *laid_out, slots, value_gradient[rows], key_gradient[rows],
        )  # fmt: skip


def back_coefficients(
    frame: Frame, weights: Float64, gathered: Float64, means: list[Float64], t: int
) -> Float64:
    """Return A_t = w Γ Π_{s≠t} M_s / n_t."""
    product = weights * gathered / frame.tokens[1 + t]
    for s, mean in enumerate(means):
        if s != t:
            product = product * mean
    return product


def largest_entry(array: NDArray[Any]) -> float:
    """Return the largest magnitude, chunk by chunk."""
    chunks = (array[first : first + CHUNK] for first in range(0, len(array), CHUNK))
    return max((max(float(chunk.max()), -float(chunk.min())) for chunk in chunks if chunk.size), default=0.0)


def _slots(rows: int) -> int:
    return max(1, min(SLOTS, rows // (LANES * _BLOCKS_A_SLOT)))


def _summed(
    expansion: Expansion,
    points: NDArray[Any],
    columns: NDArray[Any],
    factor: float,
    column_factor: float,
    width: int,
) -> Float64:
    """Sum columns, and 1 where there is room, against the monomials of points: (R, width), natural order."""
    d, plan = points.shape[1], expansion.plan
    if columns.shape[1] == width:
        plan = _plans(d, expansion.indices.degree, width)[1]
    by_position = moments(
        points, columns, plan, np.arange(d), np.zeros(d), np.full(d, factor),
        np.full(columns.shape[1], column_factor), np.dtype(np.float64),
    )  # (columns, R)  # fmt: skip
    natural = np.empty((len(expansion.indices), width))
    natural[plan.order] = by_position[:width].T
    return natural


@lru_cache(maxsize=8)
def _plans(d: int, degree: int, columns: int) -> tuple[MultiIndices, Schedule, Pullback]:
    indices = total_degree(d, degree)
    return indices, schedule(indices, columns, by_degree=False), pullback(indices)


def _worst(frame: Frame, bounds: list[float]) -> float:
    if not all(map(math.isfinite, bounds)):
        return math.inf
    return max(math.ldexp(bound, frame.exponent(a)) for a, bound in enumerate(bounds))
