"""What the polynomial method and rounding can do to a gradient: bounds beforehand, and afterwards.

With η = max|p/e^x - 1|, η₁ = max|p'/e^x - 1| where the logits are, q_i(j) = Σ_c G[i,c] Π_t V_t[j_t,c],

    |Δ∂Q_il| ≤ σ max_j|ΠK_t[j_t,l]| osc(q_i) θ,     θ = (η₁+η)/(1-η) + (1+η₁)/(1-η) · η/(1+√(1-η²)):

P̃'_j - P_j = P_j((1+δ¹_j)/(1+δ) - 1) moves w by the first term, and q̃_i - q̄_i by the second. For ∂K_t and
∂V_t the sum over j is one over j_t = a, whose mass is at most ρ_t = e^W/(e^W + n_t - 1) for a row's logits in
an interval of width W; and |ΔP_j| ≤ P_j 2η/(1-η) is all that ∂V_t sees. Rounding is bounded with the
denominators found: sums of magnitudes of a row's terms are at most P̄(x̄), P̄'(x̄) times what stands before them.

Everything here is in scaled coordinates until `certificate`. Cost: O(k (d + e)).

Glossary
--------
x̄, P̄       absolute logit; Σ|c_m| x^m.
θ, ρ_t     what the polynomial does to a gradient; the largest softmax mass of one token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .certificate import a_priori_error
from .column_statistics import UNIT
from .exp_polynomial import ExpPolynomial
from .gradient_reach import Frame, RowReach
from .polynomial_kernels import Schedule

Float64 = NDArray[np.float64]

_AMPLIFIED = 0.01  # of a denominator: what rounding may take of it at most


@dataclass(frozen=True, eq=False)
class GradientCertificate:
    """A sound bound on |computed - true| for every entry of every gradient, and how it came about.

    Parameters
    ----------
    tolerance : float
        What was asked for: absolute, entrywise.
    interval : (float, float)
        All logits lie in it.
    degree, rank : int
        Of the polynomial and its monomials.
    query : float
        Bound on the entries of ∂Q.
    keys, values : tuple of float
        Bounds on those of ∂K_t and ∂V_t.
    rounding : float
        How much of the largest of them is due to rounding.
    """

    tolerance: float
    interval: tuple[float, float]
    degree: int
    rank: int
    query: float
    keys: tuple[float, ...]
    values: tuple[float, ...]
    rounding: float

    @property
    def bound(self) -> float:
        """The largest of the bounds."""
        return max(self.query, *self.keys, *self.values)

    @property
    def met(self) -> bool:
        """Whether the bound meets the tolerance."""
        return self.bound <= self.tolerance


@dataclass(frozen=True, eq=False)
class RowRounding:
    """Sums of magnitudes of rows' terms over their denominators; shards merge with `+`.

    Parameters
    ----------
    amplified, row : float
        Largest P̄(x̄_i)/D̃_i, and largest r_i, P̄'(x̄_i)/D̃_i times what stands before it.
    by_column, by_value : (d,) and (e,) float64 arrays
        Σ_i |Q_il| r_i, and Σ_i |G_ic| P̄(x̄_i)/D̃_i likewise.
    """

    amplified: float
    row: float
    by_column: Float64
    by_value: Float64

    def __add__(self, other: RowRounding) -> RowRounding:
        return RowRounding(
            max(self.amplified, other.amplified),
            max(self.row, other.row),
            self.by_column + other.by_column,
            self.by_value + other.by_value,
        )


def approximation_bounds(frame: Frame, rows: RowReach, p: ExpPolynomial) -> list[float]:
    """Bound what the polynomial does to each of the gradients."""
    eta, eta_1, sigma = p.relative_error, p.derivative_error, abs(frame.scale)
    if not max(eta, eta_1) < 0.5:
        return [math.inf] * (2 * frame.order - 1)
    theta = moved_mass(eta, eta_1)
    bounds = [rows.oscillation * theta * _largest(frame.reach)]
    for t in range(frame.order - 1):
        weighed = rows.by_column * frame.peaks_without("keys", t)
        bounds.append(sigma * theta * _mass(frame, rows, t) * _largest(weighed))
    for t in range(frame.order - 1):
        moved = 2 * eta / (1 - eta) * _mass(frame, rows, t)
        bounds.append(moved * _largest(rows.by_value * frame.peaks_without("values", t)))
    return [bound * (1 + 1e-10) for bound in bounds]


def moved_mass(eta: float, eta_1: float) -> float:
    """Return θ: Σ_j |w̃_i(j) - w_i(j)| is at most θ osc(q_i)."""
    return (eta_1 + eta) / (1 - eta) + (1 + eta_1) / (1 - eta) * a_priori_error(eta)


def roundings(frame: Frame, degree: int, rank: int, plan: Schedule, chunks: int) -> float:
    """Bound the relative error γ of a term. No term goes through more roundings than these:

    features on either side, blocks and their sums, over chunks and shards, products of moments, sums over
    monomials, and the way back through at most d children at each of g levels.
    """
    g, d, e, k = degree, frame.dimension, frame.columns, frame.order
    summed = sum(
        plan.block_additions(size) + plan.moment_additions(size) + 2 * g + 8 + chunks + frame.shards
        for size in frame.tokens
    )
    chain = 2 * summed + 2 * (rank + d) + 2 * (d + 1) * (e + 3) + (d + 6) * g + 4 * k + 4 * e + 64
    lost = chain * UNIT
    return lost / (1 - lost) if lost < 0.5 else math.inf


def rounding_bounds(frame: Frame, gamma: float, seen: RowRounding) -> list[float] | None:
    """Bound what rounding does to each of the gradients, or None where it may take a denominator."""
    if not gamma * seen.amplified < _AMPLIFIED:
        return None
    sigma, tiny = abs(frame.scale), 1e-200
    bounds = [2.2 * gamma * seen.row * _largest(frame.reach) + tiny]
    for t in range(frame.order - 1):
        weighed = 2.2 * gamma * seen.by_column * frame.peaks_without("keys", t) / frame.tokens[1 + t]
        bounds.append(sigma * _largest(weighed) + tiny)
    for t in range(frame.order - 1):
        weighed = 1.1 * gamma * seen.by_value * frame.peaks_without("values", t) / frame.tokens[1 + t]
        bounds.append(_largest(weighed) + tiny)
    return bounds


def certificate(
    frame: Frame,
    rows: RowReach,
    tolerance: float,
    degree: int,
    rank: int,
    prior: Sequence[float],
    rounding: Sequence[float],
    largest: Sequence[float],
) -> GradientCertificate:
    """Add up bounds, with what storing gradients of these largest magnitudes costs, in given units.

    Scaling back is by powers of two, so float64 stores for nothing.
    """
    kind = np.finfo(frame.dtype)
    bounds = [
        math.ldexp((approximation + rounded) * (1 + 1e-12), frame.exponent(a))
        + float(kind.eps) * stored
        + float(kind.tiny)
        for a, (approximation, rounded, stored) in enumerate(zip(prior, rounding, largest, strict=True))
    ]
    return GradientCertificate(
        tolerance, (rows.low, rows.high), degree, rank,
        bounds[0], tuple(bounds[1 : frame.order]), tuple(bounds[frame.order :]),
        max(math.ldexp(r, frame.exponent(a)) for a, r in enumerate(rounding)),
    )  # fmt: skip


def _mass(frame: Frame, rows: RowReach, t: int) -> float:
    """Bound the softmax mass of any one token of the t-th keys."""
    return 1 / (1 + (frame.tokens[1 + t] - 1) * math.exp(-rows.width))


def _largest(row: Float64) -> float:
    return float(row.max(initial=0.0))
