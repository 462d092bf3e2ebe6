"""Attention below the wall in almost linear time, with a certificate: the polynomial method of [AS24].

On an interval that holds every logit, e^x is close to a polynomial p of low degree g. p(s_i(j)) is a sum
over R monomials α of products over the tokens (`monomials`), so with moments

    M_t[α,c] = Σ_j K_t[j]^α V_t[j,c],    m_t[α] = Σ_j K_t[j]^α
    O[i,c] ≈ Σ_α w_α Q_i^α Π_t M_t[α,c] / Σ_α w_α Q_i^α Π_t m_t[α]

one pass over keys and values and one over queries suffice: O((n + Σn_t) R (e+1)) time, where the exact
algorithm takes n·Πn_t·(d+e). Tokens are streamed: memory is O(R) beyond input and output, which may be
mapped files. The rank R = C(d+g, g) stays n^{o(1)} for entries o((ln n)^{1/k}) and d = O(log n); at entries
of order (ln n)^{1/k} it passes n^{k−1}, and nothing can do much better unless SETH fails [AS24, Thm 1.3].

The order of reading: `column_statistics` and `logit_range` look at the data, `expansion` chooses p and its
monomials, `polynomial_kernels` does the work, `certificate` says what the answer can be off by, and `wall`
why there is none.

Glossary
    k, n, n_t, d, e    order, queries, tokens of the t-th keys, columns of queries and keys, columns of values
    σ                  scale, 1/d unless given
    B, b               largest entry of Q and the keys; b = B/(ln n)^{1/k}, the coordinate of the wall

References: [AS24] Alman, Song. How to Capture Higher-order Correlations? ICLR 2024, arXiv 2310.04064.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .attention_problem import Problem
from .certificate import Certificate
from .column_statistics import column_summary
from .exact_attention import attention, predicted_cost
from .expansion import Expansion, OutOfReach, expand
from .expansion_passes import certify, certify_exact, gather, moments_of, outputs_of, require_finite
from .fast_arguments import Call, Method, fitting_arguments
from .logit_range import binary_geometry, geometry, is_two_valued, row_summary
from .wall import wall_error

MAX_RANK = 500_000
"""Largest rank unless the caller says otherwise: some hundred megabytes of moments."""

# Seconds on two cores with AVX-512: `benchmarks/fast_attention.py` measures them.
_CALL = 3e-4
_PER_TERM = 3e-11  # a token, monomial and column
_PER_ENTRY = 2e-9  # an entry of queries, keys and values


@dataclass(frozen=True, eq=False)
class FastResult:
    """An output and what is known about its error.

    Parameters
    ----------
    output : (n, e) array
        The attention output.
    certificate : Certificate
        ``certificate.bound`` bounds the error of every entry.
    """

    output: NDArray[Any]
    certificate: Certificate


@dataclass(frozen=True, eq=False)
class Plan:
    """What would be done for a tolerance, and what it would cost.

    Parameters
    ----------
    method : {"exact", "fast"}
        The cheaper algorithm that meets the tolerance, or the one asked for.
    reason : str
        Why.
    order : int
        k.
    interval : (float, float)
        All logits lie in it.
    half_width : float
        Half the width of the interval that the polynomial covers, or would have to.
    entry_bound, b : float
        B, and B/(ln n)^{1/k}.
    degree, rank : int or None
        Of the polynomial and its monomials; None where none meets the tolerance.
    monomials : {"all", "pruned", "merged"} or None
        Which set of monomials.
    bound : float or None
        Bound on the error of the fast output, known beforehand.
    fast_seconds : float or None
        Predicted time of the fast algorithm.
    exact_seconds : float
        Predicted time of the exact one.
    """

    method: Literal["exact", "fast"]
    reason: str
    order: int
    interval: tuple[float, float]
    half_width: float
    entry_bound: float
    b: float
    degree: int | None
    rank: int | None
    monomials: Literal["all", "pruned", "merged"] | None
    bound: float | None
    fast_seconds: float | None
    exact_seconds: float


def fast_attention(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    *,
    tolerance: float,
    scale: float | None = None,
    method: Method = "auto",
    dtype: DTypeLike | None = None,
    max_rank: int = MAX_RANK,
    out: NDArray[Any] | None = None,
) -> FastResult:
    """Attention of any order with a sound bound on its error, almost linear where entries are small.

    Parameters
    ----------
    Q : (n, d) array_like
        Queries, float64 or float32. Memory-mapped files are streamed.
    keys, values : sequences of k−1 array_like
        (n_t, d) and (n_t, e); the n_t may differ.
    tolerance : float
        Absolute, for every entry of the output.
    scale : float, optional
        σ; 1/d unless given.
    method : {"auto", "exact", "fast"}
        "auto" takes what is predicted to be cheaper, and the exact algorithm where the fast one cannot meet
        the tolerance; "fast" raises there.
    dtype : float64, float32 or None
        What features are computed in; moments add up in float64 either way. None takes float32 only for
        float32 arguments whose tolerance leaves room for it.
    max_rank : int
        Largest rank allowed.
    out : (n, e) array, optional
        Where the output goes, for instance a mapped file.

    Returns
    -------
    FastResult
        Output, float32 if all arguments are and float64 otherwise, and certificate. Its bound is at most
        the tolerance for the fast method; the exact one's is what rounding allows.

    Raises
    ------
    WallError
        If the method is "fast" and no expansion meets the tolerance; it says what would.
    TypeError, ValueError
        For arguments that cannot be meant, before any work.

    Notes
    -----
    Complexity: O((n + Σn_t) R (e+1)) time and O(R e) memory for rank R. Results do not depend
    on the number of threads.

    References
    ----------
    [AS24, Thm 1.4]

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Q, K1, K2, V1, V2 = rng.uniform(-1, 1, (5, 3000, 4))
    >>> result = fast_attention(Q, [K1, K2], [V1, V2], tolerance=1e-3)
    >>> result.certificate.method, result.certificate.degree, result.certificate.bound <= 1e-3
    ('fast', 4, True)
    """
    call = fitting_arguments(Q, keys, values, tolerance, scale, method, dtype, max_rank, out)
    problem = _problem(call)
    decided, expansion = _decide(call, problem)
    reason = decided.reason
    if decided.method == "fast" and expansion is not None:
        result = _run(call, problem, expansion, reason)
        if result.certificate.met:
            return result
        reason = f"the fast output's bound, {result.certificate.bound:.3g}, misses the tolerance"
        if call.method == "fast":
            raise wall_error(problem, call.tolerance, call.max_rank, reason, None)
    return _exact(call, problem, reason)


def plan(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    *,
    tolerance: float,
    scale: float | None = None,
    method: Method = "auto",
    dtype: DTypeLike | None = None,
    max_rank: int = MAX_RANK,
) -> Plan:
    """Say what `fast_attention` would do, without doing it.

    Parameters
    ----------
    Q, keys, values, tolerance, scale, method, dtype, max_rank
        As for `fast_attention`.

    Returns
    -------
    Plan
        Interval, degree, rank, predicted times, and which method that makes best.

    Raises
    ------
    WallError, TypeError, ValueError
        As for `fast_attention`.

    Notes
    -----
    Complexity: two passes over the queries, one over everything else.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Q, K, V = rng.uniform(-1, 1, (3, 5000, 4))
    >>> plan(Q, [K], [V], tolerance=1e-3).rank
    70
    """
    call = fitting_arguments(Q, keys, values, tolerance, scale, method, dtype, max_rank, None)
    return _decide(call, _problem(call))[0]


def _problem(call: Call) -> Problem:
    order = len(call.tokens)
    queries = column_summary(call.Q, 1)
    keys = [column_summary(key, order) for key in call.keys]
    values = [column_summary(matrix, 1) for matrix in call.values]
    named = {"Q": queries}
    named |= {f"keys[{t}]": summary for t, summary in enumerate(keys)}
    named |= {f"values[{t}]": summary for t, summary in enumerate(values)}
    require_finite(named)
    frame = geometry(queries, keys, call.scale)
    guess = binary_geometry((queries, *keys), call.scale, frame)
    binary = None
    if guess is not None and all(map(is_two_valued, (call.Q, *call.keys), repeat(frame.active), guess[1])):
        binary = guess[0]
    rows = row_summary(call.Q, frame)
    return gather(call.tokens, call.dtype, call.scale, queries, keys, values, frame, binary, rows)


def _decide(call: Call, problem: Problem) -> tuple[Plan, Expansion | None]:
    e = call.values[0].shape[1]
    exact = predicted_cost(call.tokens, problem.dimension, e).seconds
    outline = Plan(
        "exact", "asked for", problem.order, (problem.rows.low, problem.rows.high), problem.half_width,
        problem.entry_bound, problem.b, None, None, None, None, None, exact,
    )  # fmt: skip
    if call.method == "exact":
        return outline, None
    try:
        expansion = expand(problem, call.tolerance, call.max_rank, call.compute)
    except OutOfReach as wall:
        if call.method == "fast":
            raise wall_error(problem, call.tolerance, call.max_rank, str(wall), wall.rank) from wall
        return replace(outline, reason=f"the fast algorithm cannot meet the tolerance: {wall}"), None
    terms = sum(call.tokens) * len(expansion.indices) * expansion.schedule.columns
    entries = sum(call.tokens) * (problem.dimension + e)
    fast = _CALL + _PER_TERM * terms + _PER_ENTRY * entries
    chosen: Literal["exact", "fast"] = "fast" if call.method == "fast" or fast < exact else "exact"
    if call.method == "fast":
        reason = "asked for"
    else:
        reason = f"predicted {fast:.2g} s at rank {len(expansion.indices):,}, {exact:.2g} s for the exact one"
    found = replace(
        outline, method=chosen, reason=reason,
        degree=expansion.polynomial.degree, rank=len(expansion.indices),
        half_width=(expansion.polynomial.hi - expansion.polynomial.lo) / 2, monomials=expansion.monomials,
        bound=expansion.predicted, fast_seconds=fast,
    )  # fmt: skip
    return found, expansion


def _run(call: Call, problem: Problem, expansion: Expansion, reason: str) -> FastResult:
    out = call.out if call.out is not None else np.empty((len(call.Q), call.values[0].shape[1]), call.dtype)
    sums = [
        moments_of(problem, expansion, t, *pair)
        for t, pair in enumerate(zip(call.keys, call.values, strict=True))
    ]
    extremes = outputs_of(problem, expansion, expansion.weights(sums, call.tokens), call.Q, out)
    return FastResult(out, certify(problem, expansion, extremes, call.tolerance, reason))


def _exact(call: Call, problem: Problem, reason: str) -> FastResult:
    output = attention(call.Q, call.keys, call.values, scale=call.scale)
    if call.out is not None:
        call.out[...] = output
        output = call.out
    return FastResult(output, certify_exact(problem, call.tolerance, reason))
