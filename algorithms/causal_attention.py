"""Pairwise attention and its gradient in almost linear time, with or without a causal mask, certified.

p stands in for e^x on an interval that holds every logit, so P̃ = p(S)/D̃ stands in for the softmax P; the
reverse pass is the exact one with P̃ in the place of P, as in [MLT24]:

    w̃_ij = P̃_ij (⟨G_i, V_j⟩ - ⟨G_i, Õ_i⟩),   ∂Q = σ w̃ K,   ∂K = σ w̃ᵀ Q,   ∂V = P̃ᵀ G,

each a sum of `causal_kernels`, linear in n. Let a bound the total variation between rows of P̃ and P. Then,
with osc_i the oscillation of j ↦ ⟨G_i, V_j⟩,

    |Õ - O| ≤ a·osc(V),    Σ_j |w̃_ij - w_ij| ≤ 3a·osc_i,    Σ_j |P̃_ij - P_ij| ≤ 2a,

since |⟨G_i, Õ_i - O_i⟩| ≤ a·osc_i. And a is at most η/(1 + √(1-η²)) for a relative error η of p, and at most
τ·n_i/D̃_i for an absolute error τ, n_i the tokens that row i sees: Σ_j |p - e^s|/D̃ counts at most twice.

Softmax ignores what shifts a row, so keys are centred; as Σ_j w̃_ij = 0, so may be what is carried.

Glossary
--------
X       half-width of the logits: the smaller of Cauchy-Schwarz and of the columns' boxes.
P̄(X)    Σ |c_m| X^m, which rounding errors follow.

References: [MLT24]; [AS24a] Alman, Song. The fine-grained complexity of gradient computation for training
large language models. arXiv 2402.04497; docs/MATH.md sections 2 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..instances.arguments import integer
from .attention_layers import UNIT, Head, HeadGradient, Reals, rounding_errors
from .blas_threads import side_by_side
from .causal_kernels import BLOCK, PolynomialKernel, sums_over_all, sums_over_earlier, sums_over_later
from .certificate import WallError, a_priori_error, relative_error_for
from .exp_polynomial import MAX_DEGREE, ExpPolynomial, ToleranceUnreachable, approximate_exp
from .monomials import rank, total_degree

MAX_RANK = 50_000
"""Largest rank unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Approximation:
    """What the fast forward pass leaves for the reverse pass.

    Parameters
    ----------
    kernel : PolynomialKernel or None
        None where every pair is near, and nothing is approximated.
    keys : (n, d) array
        Centred.
    denominators : (n, 1) array
        D̃.
    half_width : float
        X.
    distance : float
        a.
    rounding : float
        ω.
    """

    kernel: PolynomialKernel | None
    keys: Reals
    denominators: Reals
    half_width: float
    distance: float
    rounding: float


@dataclass(frozen=True)
class FastAttention:
    """Attention of order 2 by the polynomial method.

    Parameters
    ----------
    causal : bool
        Whether a query sees only its own and earlier tokens.
    tolerance : float
        On the error of every entry of a head's output; and, relative to |upstream|*, on the error of each of
        its gradients in that norm, the sum of the lengths of the rows, where nothing else is carried.
    max_rank : int
        Refuse to go beyond.

    Raises
    ------
    ValueError
        For a tolerance that is not positive.

    Notes
    -----
    Time O(n R d e) for rank R = C(d+g, g), memory O(n (d + e) + R d e). `forward` raises `WallError` where
    the entries are too large for the tolerance.

    Examples
    --------
    >>> Q, K, V = np.random.default_rng(0).uniform(-1, 1, (3, 1000, 4))
    >>> head = FastAttention(causal=True, tolerance=1e-6).forward(Q, (K,), (V,), 0.25)
    >>> exact = np.tril(np.exp(Q @ K.T / 4))
    >>> error = abs(head.output - exact @ V / exact.sum(axis=1, keepdims=True)).max()
    >>> bool(error <= head.error <= 1e-6)
    True
    """

    causal: bool
    tolerance: float
    max_rank: int = MAX_RANK

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < math.inf:
            raise ValueError(f"Argument 'tolerance' must be positive and finite, not {self.tolerance}.")
        integer("max_rank", self.max_rank, 1)

    def forward(self, query: Reals, keys: tuple[Reals, ...], values: tuple[Reals, ...], scale: float) -> Head:
        """Return the output with its certificate."""
        if len(keys) != 1:
            raise ValueError(f"Argument 'keys' must hold one array for order 2, not {len(keys)}.")
        K, V = _centred(keys[0]), values[0]
        half_width = _half_width(query, K, scale)
        mass = self._least_mass(query, K, scale)
        kernel = self._kernel(query, K, V, scale, half_width, mass)
        columns = np.column_stack([V, np.ones(len(V))])
        if self.causal:
            sums = sums_over_earlier(kernel, scale, query, K, columns)
        else:
            assert kernel is not None
            sums = sums_over_all(kernel, query, K, columns)
        D = sums[:, -1:]
        seen = np.arange(1.0, len(V) + 1)[:, None] if self.causal else float(len(V))
        least = float((D / seen).min())
        omega = _rounding(kernel, len(V), query.shape[1], half_width, least)
        distance = _distance(kernel, least / (1 + omega))
        output = sums[:, :-1] / D
        error = distance * float(np.ptp(V, axis=0).max()) + 4 * omega * float(np.abs(V).max())
        kept = Approximation(kernel, K, D, half_width, distance, omega)
        return Head(query, keys, values, scale, output, error, kept)

    def backward(self, head: Head, upstream: Reals, carried: Reals | None) -> HeadGradient:
        """Return the gradient with its certificate."""
        kept: Approximation = head.kept
        kernel, scale, Q, K, V = kept.kernel, head.scale, head.query, kept.keys, head.values[0]
        C = K if carried is None else _centred(carried)
        by_mass = upstream / kept.denominators
        left = np.column_stack([by_mass, -(by_mass * head.output).sum(axis=1)])
        right = np.column_stack([V, np.ones(len(V))])
        if self.causal:
            tasks = (
                lambda: sums_over_earlier(kernel, scale, Q, K, C, left, right),
                lambda: sums_over_later(kernel, scale, K, Q, Q, right, left),
                lambda: sums_over_later(kernel, scale, K, Q, by_mass),
            )
        else:
            assert kernel is not None
            tasks = (
                lambda: sums_over_all(kernel, Q, K, C, left, right),
                lambda: sums_over_all(kernel, K, Q, Q, right, left),
                lambda: sums_over_all(kernel, K, Q, by_mass),
            )
        by_query, by_key, by_value = side_by_side(*tasks)
        G = np.abs(upstream)
        length = np.linalg.norm(upstream, axis=1)
        osc = np.minimum(G @ np.ptp(V, axis=0), 2 * length * _longest(_centred(V)))
        rounding = rounding_errors(head, upstream, C, kept.rounding)
        a = kept.distance
        return HeadGradient(
            scale * by_query,
            (scale * by_key,),
            (by_value,),
            3 * a * scale * float(osc.sum()) * _longest(C) + rounding[0],
            (3 * a * scale * float(osc @ np.linalg.norm(Q, axis=1)) + rounding[1][0],),
            (2 * a * float(length.sum()) + rounding[2][0],),
        )

    def _least_mass(self, Q: Reals, K: Reals, scale: float) -> float:
        """Bound D_i/n_i from below by Jensen: e to the mean logit of a row."""
        if self.causal:
            means = np.cumsum(K, axis=0) / np.arange(1.0, len(K) + 1)[:, None]
        else:
            means = K.mean(axis=0, keepdims=True)
        return math.exp(max(scale * float((Q * means).sum(axis=1).min()), -700.0))

    def _kernel(
        self, Q: Reals, K: Reals, V: Reals, scale: float, half_width: float, mass: float
    ) -> PolynomialKernel | None:
        if self.causal and len(Q) <= BLOCK:
            return None
        osc = float(np.ptp(V, axis=0).max())
        reach = max(osc, 6 * scale * _longest(_centred(V)) * max(_longest(K), _longest(Q)), 2.0)
        polynomial = _polynomial(half_width, mass, 0.9 * self.tolerance / reach)
        d = Q.shape[1]
        needed = None if polynomial is None else rank(d, polynomial.degree)
        if polynomial is None or needed is None or needed > self.max_rank:
            entry = max(float(np.abs(Q).max()), float(np.abs(K).max()))
            why = (
                f"no polynomial of degree up to {MAX_DEGREE} in float64 does"
                if needed is None
                else (f"needs rank {needed:,} where 'max_rank' = {self.max_rank:,}")
            )
            b = entry / math.sqrt(math.log(len(Q))) if len(Q) > 1 else math.inf
            raise WallError(
                f"The fast layer cannot meet 'tolerance' = {self.tolerance:.3g}: {why}; centred entries "
                f"reach B = {entry:.4g}, b = B/(ln n)^(1/2) = {b:.3g}, logits ±{half_width:.4g}.",
                entry,
                b,
                needed,
            )
        indices = total_degree(d, polynomial.degree, max_rank=self.max_rank)
        return PolynomialKernel.of(polynomial, indices, scale)


def _polynomial(half_width: float, mass: float, distance: float) -> ExpPolynomial | None:
    """Take the lower degree of two: p by its relative error, or by its absolute one."""
    found = []
    # τ/(mass - τ) ≤ a
    absolute = distance * mass / (1 + distance)
    relative = relative_error_for(distance) if distance < 1.0 else 0.999
    for criterion, tolerance in (("absolute", absolute), ("relative", relative)):
        try:
            found.append(
                approximate_exp(-half_width, half_width, tolerance, criterion=criterion)  # type: ignore[arg-type]
                if half_width <= MAX_DEGREE
                else None
            )
        except ToleranceUnreachable:
            continue
    return min((p for p in found if p is not None), key=lambda p: p.degree, default=None)


def _distance(kernel: PolynomialKernel | None, least: float) -> float:
    """Bound the total variation a, given a lower bound on D̃_i/n_i."""
    if kernel is None:
        return 0.0
    prior = a_priori_error(kernel.polynomial.relative_error)
    return min(prior, kernel.polynomial.absolute_error / least if least > 0.0 else 1.0)


def _rounding(kernel: PolynomialKernel | None, n: int, d: int, half_width: float, least: float) -> float:
    """Bound ω: every term goes through this many roundings, terms sum to n_i·P̄(X) and are measured by D̃_i."""
    degree, R, size = 0, 0, math.exp(half_width)
    if kernel is not None:
        degree, R = kernel.polynomial.degree, len(kernel.indices)
        powers = half_width ** np.arange(degree + 1)
        size = max(size, float(np.abs(kernel.polynomial.coefficients) @ powers))
    roundings = R + 2 * BLOCK + n / BLOCK + 4 * degree + (d + 4) * (1 + half_width) + 32
    gamma = roundings * UNIT
    return gamma / (1 - gamma) * size / least if least > 0.0 else math.inf


def _centred(K: Reals) -> Reals:
    middle: Reals = K.min(axis=0) / 2 + K.max(axis=0) / 2
    return K - middle


def _longest(rows: Reals) -> float:
    return float(np.linalg.norm(rows, axis=1).max(initial=0.0))


def _half_width(Q: Reals, K: Reals, scale: float) -> float:
    box = float((np.abs(Q) @ np.abs(K).max(axis=0)).max())
    norms = float(np.linalg.norm(Q, axis=1).max() * np.linalg.norm(K, axis=1).max())
    return scale * min(box, norms) * (1 + 1e-12)
