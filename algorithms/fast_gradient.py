"""The gradient of attention below the wall, in almost linear time, with a certificate of its error.

Put a polynomial p for e^x, as in `fast_attention`. Then numerators N and denominators D of the output are
sums of products of moments, and reverse mode runs through them (M_t: means over tokens, w_α: weights):

    gN = G/D,  gD = -Σ_c G O/D,          ∂Q from Σ_α w_α Q^α Π_t M_t[α]
    Γ[α,c] = Σ_i Q_i^α (gN, gD)[i,c],    A_t[α,c] = w_α Γ[α,c] Π_{s≠t} M_s[α,c] / n_t
    ∂V_t[j,c] = Σ_α A_t[α,c] K_t[j]^α,   ∂K_t from Σ_c (V_t, 1)[j,c] Σ_α A_t[α,c] K_t[j]^α

one pass over the tokens for the moments, one over the queries, one for Γ and one over the tokens again
(`pullback_kernels`). Time O((n + Σn_t) R (e+1)), a constant times the forward pass's; memory O(R e)
beyond the gradients. No derivative takes a factor d.

Certificate. With η = max|p/e^x - 1|, η₁ = max|p'/e^x - 1| where the logits are, q_i(j) = Σ_c G[i,c] Π V_t,

    |Δ∂Q_il| ≤ σ max_j|ΠK_t[j_t,l]| osc(q_i) θ,     θ = (η₁+η)/(1-η) + (1+η₁)/(1-η) · η/(1+√(1-η²)):

P̃'_j - P_j = P_j((1+δ¹_j)/(1+δ) - 1) moves w by the first term, and q̃_i - q̄_i by the second. For ∂K_t and
∂V_t the sum over j is one over j_t = a, whose mass is at most ρ_t = e^W/(e^W + n_t - 1) for a row's logits in
an interval of width W; and |ΔP_j| ≤ P_j 2η/(1-η) is all that ∂V_t sees. Rounding is bounded with the
denominators found: sums of magnitudes of a row's terms are at most P̄(x̄), P̄'(x̄) times what stands before them.

Glossary
--------
G, O       upstream and output.
x̄, P̄       absolute logit; Σ|c_m| x^m.
θ, ρ_t     what the polynomial does to a gradient; the largest softmax mass of one token.

References
----------
[TAT24] Liang, Shi, Song, Zhou. Tensor Attention Training. arXiv 2405.16411. docs/MATH.md, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .attention_arguments import Array
from .certificate import WallError, a_priori_error
from .column_statistics import UNIT
from .exp_polynomial import MAX_DEGREE, ExpPolynomial, exp_polynomial
from .gradient_problem import Problem, scaled
from .monomials import MultiIndices, rank, total_degree
from .polynomial_kernels import Schedule, moments, schedule
from .pullback_kernels import pull_queries, pull_tokens

Float64 = NDArray[np.float64]

MAX_RANK = 500_000
"""Largest rank unless the caller says otherwise."""

_WIDEST = 120.0  # intervals beyond it need degrees beyond any rank
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
class FastGradient:
    """Output and gradients, each of its argument's shape, and what is known about the gradients' error."""

    output: Array
    query: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    certificate: GradientCertificate


def fast_gradient(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    upstream: ArrayLike,
    *,
    tolerance: float,
    scale: float | None = None,
    max_rank: int = MAX_RANK,
) -> FastGradient:
    """Differentiate Σ upstream · attention(Q, keys, values) in almost linear time where entries are small.

    Parameters
    ----------
    Q : (n, d) array_like
        Queries, n ≥ 1.
    keys, values : sequences of k-1 array_like
        (n_t, d) and (n_t, e).
    upstream : (n, e) array_like
        The derivative of the loss by the output.
    tolerance : float
        Absolute, for every entry of every gradient.
    scale : float, optional
        σ; 1/d unless given.
    max_rank : int
        Largest rank allowed.

    Returns
    -------
    FastGradient
        float32 if Q, keys and values all are, float64 otherwise; computed in float64.

    Raises
    ------
    WallError
        If no polynomial of allowed rank meets the tolerance, or rounding stands in the way.
    TypeError, ValueError
        For arguments that cannot be meant, before any work.

    Notes
    -----
    Complexity: O((n + Σn_t) R (e+1)) time, R = C(d+g, g). Threads change no bit of the result.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Q, K1, K2, V1, V2 = rng.uniform(-1, 1, (5, 2000, 4))
    >>> found = fast_gradient(Q, [K1, K2], [V1, V2], rng.uniform(-1, 1, (2000, 4)), tolerance=1e-2)
    >>> found.certificate.met, found.keys[0].shape
    (True, (2000, 4))
    """
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"Argument 'tolerance' must be positive and finite, not {tolerance}.")
    problem = scaled(Q, keys, values, upstream, scale)
    if problem.arguments.batch or not problem.arguments.sizes[0]:
        raise ValueError(f"Argument 'Q' must have shape (n, d) with n ≥ 1, not {np.shape(Q)}.")
    reach = _reach(problem)
    p, prior = _polynomial(problem, reach, tolerance, max_rank)
    indices = total_degree(len(problem.query[0]), p.degree, max_rank=max_rank)
    e = problem.arguments.columns
    plan, wider = (schedule(indices, width, by_degree=False) for width in (e, e + 1))
    output, parts, denominators = _reverse(problem, p, indices, plan, wider)
    rounding = _rounding(problem, reach, p, indices, plan, denominators)
    if rounding is None:
        raise _wall(problem, reach, f"rounding stands in the way at degree {p.degree}", len(indices))
    roundoff = float(np.finfo(problem.arguments.dtype).eps)
    true, bounds = [], []
    for a, (part, approximation, rounded) in enumerate(zip(parts, prior, rounding, strict=True)):
        true.append(np.ldexp(part, _exponent(problem, a)).astype(problem.arguments.dtype, copy=False))
        stored = roundoff * float(np.abs(part).max(initial=0.0))
        bounds.append(math.ldexp((approximation + rounded + stored) * (1 + 1e-12), _exponent(problem, a)))
    order = problem.arguments.order
    certificate = GradientCertificate(
        tolerance, (reach.low, reach.high), p.degree, len(indices),
        bounds[0], tuple(bounds[1:order]), tuple(bounds[order:]),
        max(math.ldexp(r, _exponent(problem, a)) for a, r in enumerate(rounding)),
    )  # fmt: skip
    if not certificate.met:
        raise _wall(problem, reach, f"rounding alone may cost {certificate.rounding:.1e}", len(indices))
    value = np.ldexp(output, problem.value_shift).astype(problem.arguments.dtype, copy=False)
    return FastGradient(value, true[0], tuple(true[1:order]), tuple(true[order:]), certificate)


@dataclass(frozen=True, eq=False)
class _Reach:
    """Where logits, products and upstream can lie, in scaled coordinates.

    low, high: all logits; width: of the widest row's interval; absolute (n,): x̄_i. peaks, value_peaks: by
    keys and column. oscillation (n,): osc(q_i); magnitude (n,): Σ_c |G_ic| Π peak.
    """

    low: float
    high: float
    width: float
    absolute: Float64
    peaks: list[Float64]
    value_peaks: list[Float64]
    oscillation: Float64
    magnitude: Float64


def _box(arrays: Sequence[Float64]) -> tuple[Float64, Float64]:
    """Return the smallest and the largest product over tuples, column by column."""
    low = high = np.ones(arrays[0].shape[1])
    for array in arrays:
        corners = [x * y for x in (low, high) for y in (array.min(axis=0), array.max(axis=0))]
        low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    return low, high


def _reach(problem: Problem) -> _Reach:
    Q, sigma, k = problem.query, abs(problem.scale), problem.arguments.order
    low, high = _box(problem.keys)
    signed = problem.scale * Q
    ends = np.stack([signed * low, signed * high])
    bottom, top = ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)
    absolute = sigma * np.abs(Q) @ np.maximum(np.abs(low), np.abs(high))
    norms = [float((np.abs(key) ** k).sum(axis=1).max() ** (1 / k)) for key in problem.keys]
    holder = sigma * (np.abs(Q) ** k).sum(axis=1) ** (1 / k) * math.prod(norms)
    slack = (Q.shape[1] + 2 * k + 16) * UNIT * (absolute + holder) + 1e-60
    bottom, top = np.maximum(bottom, -holder) - slack, np.minimum(top, holder) + slack
    value_low, value_high = _box(problem.values)
    G = np.abs(problem.upstream)
    return _Reach(
        float(bottom.min()), float(top.max()), float((top - bottom).max()), absolute + slack,
        [np.abs(key).max(axis=0) for key in problem.keys],
        [np.abs(value).max(axis=0) for value in problem.values],
        G @ (value_high - value_low) * (1 + 1e-12),
        G @ np.maximum(np.abs(value_low), np.abs(value_high)) * (1 + 1e-12),
    )  # fmt: skip


def _others(peaks: list[Float64], t: int) -> Float64:
    product: Float64 = np.ones(peaks[0].shape)
    for s, peak in enumerate(peaks):
        if s != t:
            product = product * peak
    return product


def _largest(row: Float64) -> float:
    return float(row.max(initial=0.0))


def _prior(problem: Problem, reach: _Reach, p: ExpPolynomial) -> list[float]:
    """Bound what the polynomial does to each of the gradients, in scaled coordinates."""
    eta, eta_1, sigma = p.relative_error, p.derivative_error, abs(problem.scale)
    if not max(eta, eta_1) < 0.5:
        return [math.inf] * (1 + 2 * len(problem.keys))
    theta = (eta_1 + eta) / (1 - eta) + (1 + eta_1) / (1 - eta) * a_priori_error(eta)
    spread = float(reach.oscillation.max())
    bounds = [sigma * spread * theta * _largest(np.prod(reach.peaks, axis=0))]
    weighed = np.abs(problem.query).T @ reach.oscillation  # (d,)
    for t in range(len(problem.keys)):
        bounds.append(sigma * theta * _mass(problem, reach, t) * _largest(weighed * _others(reach.peaks, t)))
    total = np.abs(problem.upstream).sum(axis=0)  # (e,)
    for t in range(len(problem.values)):
        moved = 2 * eta / (1 - eta) * _mass(problem, reach, t)
        bounds.append(moved * _largest(total * _others(reach.value_peaks, t)))
    return [bound * (1 + 1e-10) for bound in bounds]


def _mass(problem: Problem, reach: _Reach, t: int) -> float:
    """Bound the softmax mass of any one token of the t-th keys."""
    return 1 / (1 + (len(problem.keys[t]) - 1) * math.exp(-reach.width))


def _polynomial(
    problem: Problem, reach: _Reach, tolerance: float, max_rank: int
) -> tuple[ExpPolynomial, list[float]]:
    """Find the polynomial of least degree whose bounds leave a tenth of the tolerance to rounding."""
    d = problem.query.shape[1]
    if reach.high - reach.low > _WIDEST or max(-reach.low, reach.high) > 300.0:
        raise _wall(problem, reach, "the logits reach too far for any polynomial within float64", None)
    step = math.ldexp(1.0, math.frexp(max(reach.high - reach.low, 1e-30))[1] - 7)
    low, high = math.floor(reach.low / step) * step, math.ceil(reach.high / step) * step
    for degree in range(MAX_DEGREE + 1):
        if rank(d, degree) > max_rank:
            why = f"degree {degree} over {d} columns takes {rank(d, degree):,} monomials"
            raise _wall(problem, reach, f"{why}, above 'max_rank' = {max_rank:,}", rank(d, degree))
        p = exp_polynomial(low, high, degree, criterion="derivative")
        bounds = _prior(problem, reach, p)
        if _worst(problem, bounds) <= 0.9 * tolerance:
            return p, bounds
        if degree > 4 and p.derivative_error < 1e-13:
            break
    raise _wall(problem, reach, "no polynomial within float64 meets the tolerance", None)


def _worst(problem: Problem, bounds: list[float]) -> float:
    if not all(map(math.isfinite, bounds)):
        return math.inf
    return max(math.ldexp(bound, _exponent(problem, a)) for a, bound in enumerate(bounds))


def _exponent(problem: Problem, a: int) -> int:
    return problem.upstream_shift + problem.value_shift - problem.shifts[a]


def _reverse(
    problem: Problem, p: ExpPolynomial, indices: MultiIndices, plan: Schedule, wider: Schedule
) -> tuple[Float64, list[Float64], Float64]:
    """Return the output, the gradients and the denominators, in scaled coordinates."""
    Q, G = problem.query, problem.upstream
    d, e = Q.shape[1], G.shape[1]
    double = np.dtype(np.float64)
    links = (indices.parents.astype(np.int64), indices.variables.astype(np.int64))
    weights = indices.weights(p.coefficients, problem.scale)[:, None]

    def summed(points: Float64, columns: Float64, order: Schedule, width: int) -> Float64:
        ones = np.ones(columns.shape[1])
        found = moments(
            points, columns, order, np.arange(d), np.zeros(d), np.ones(d), ones, double
        )  # (columns, R) by position
        natural = np.empty((len(indices), width))
        natural[order.order] = found[:width].T
        return natural

    means = [
        summed(key, value, plan, e + 1) / len(key)
        for key, value in zip(problem.keys, problem.values, strict=True)
    ]
    output, denominators, pulled = np.empty(G.shape), np.empty(len(Q)), np.empty((len(Q), e + 1))
    parts: list[Float64] = [np.empty(array.shape) for array in (Q, *problem.keys, *problem.values)]
    pull_queries(
        Q, G, weights * np.prod(means, axis=0), *links, output, denominators, pulled, parts[0]
    )  # fmt: skip
    gathered = weights * summed(Q, pulled, wider, e + 1)
    for t, (key, value) in enumerate(zip(problem.keys, problem.values, strict=True)):
        others = np.prod([mean for s, mean in enumerate(means) if s != t], axis=0)
        coefficients = np.ascontiguousarray(gathered * others / len(key))
        pull_tokens(key, value, coefficients, *links, parts[1 + len(problem.keys) + t], parts[1 + t])
    return output, parts, denominators


def _rounding(
    problem: Problem,
    reach: _Reach,
    p: ExpPolynomial,
    indices: MultiIndices,
    plan: Schedule,
    denominators: Float64,
) -> list[float] | None:
    """Bound what rounding does to each of the gradients, or None where it may take a denominator.

    No term goes through more than `chain` roundings: features on either side, blocks and their sums,
    products of moments, sums over monomials, and the way back through at most d children at each of g levels.
    """
    g, (n, d), k = p.degree, problem.query.shape, problem.arguments.order
    tokens = (n, *(len(key) for key in problem.keys))
    summed = sum(plan.block_additions(size) + plan.moment_additions(size) + 2 * g + 8 for size in tokens)
    chain = 2 * summed + 2 * len(indices) + (d + 6) * g + 4 * k + 4 * problem.upstream.shape[1] + 64
    gamma = chain * UNIT / (1 - chain * UNIT)
    magnitudes, steps = np.abs(p.coefficients), np.arange(g + 1)
    powers = reach.absolute[:, None] ** steps  # (n, g+1)
    total = powers @ magnitudes
    slope = powers[:, :-1] @ (magnitudes * steps)[1:] if g else np.zeros(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        amplified = np.where(denominators > 0, total / denominators, np.inf)
        steep = np.where(denominators > 0, slope / denominators, np.inf)
    if not (gamma * amplified).max() < _AMPLIFIED:
        return None
    sigma, tiny = abs(problem.scale), 1e-200
    row = 2.2 * gamma * steep * reach.magnitude * (1 + 4 * amplified)  # (n,)
    bounds = [sigma * float(row.max()) * _largest(np.prod(reach.peaks, axis=0)) + tiny]
    for t, key in enumerate(problem.keys):
        weighed = np.abs(problem.query).T @ row / len(key)
        bounds.append(sigma * _largest(weighed * _others(reach.peaks, t)) + tiny)
    for t, value in enumerate(problem.values):
        weighed = np.abs(problem.upstream).T @ (1.1 * gamma * amplified * (1 + 2 * amplified)) / len(value)
        bounds.append(_largest(weighed * _others(reach.value_peaks, t)) + tiny)
    return bounds


def _wall(problem: Problem, reach: _Reach, why: str, needed: int | None) -> WallError:
    arguments = problem.arguments
    entry_bound = max(arguments.magnitudes[: arguments.order])
    b = entry_bound / math.log(max(2, *arguments.sizes)) ** (1 / arguments.order)
    message = (
        f"The fast gradient cannot meet the tolerance: {why} (logits in [{reach.low:.3g}, {reach.high:.3g}], "
        f"B = {entry_bound:.3g}, b = {b:.3g}). Relax the tolerance, or use `attention_gradient`."
    )
    return WallError(message, entry_bound, b, needed)
