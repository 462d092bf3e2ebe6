"""The passes over tokens that an expansion asks for, on one array or on one shard of many.

    summaries  --gather-->  Problem  --expand-->  Expansion
    moments_of each shard of keys and values, added up  --weights-->  outputs_of each shard of queries
    what each evaluation saw, added up  --certify-->  Certificate

Moments, summaries and extremes are all that shards exchange: O(R e) numbers, whatever the number of tokens.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attention_problem import Problem
from .certificate import Certificate, error_bounds, exact_rounding, value_range
from .column_statistics import UNIT, ColumnSummary
from .expansion import Expansion
from .logit_range import Geometry, RowSummary
from .polynomial_kernels import Extremes, evaluate, moments


def require_finite(summaries: Mapping[str, ColumnSummary]) -> None:
    """Refuse arguments that hold NaN or infinities, by name."""
    for name, summary in summaries.items():
        if not summary.finite:
            kind = "infinities" if np.any(np.isinf([summary.low, summary.high])) else "NaN"
            raise ValueError(f"Argument '{name}' must hold finite numbers, not {kind}.")


def gather(
    tokens: tuple[int, ...],
    dtype: np.dtype[Any],
    scale: float,
    queries: ColumnSummary,
    keys: Sequence[ColumnSummary],
    values: Sequence[ColumnSummary],
    frame: Geometry,
    binary: Geometry | None,
    rows: RowSummary,
) -> Problem:
    """Gather what the summaries, of one array or of many shards, tell."""
    peaks = np.stack([summary.peak for summary in (queries, *keys)])
    with np.errstate(over="ignore"):
        logit_bound = float(np.sum(np.abs(scale) * peaks.prod(axis=0))) * (1 + 1e-12)
    return Problem(
        tokens, frame, binary, rows, value_range(values), float(np.max(peaks, initial=0.0)), logit_bound,
        peaks.shape[1], dtype,
    )  # fmt: skip


def moments_of(
    problem: Problem, expansion: Expansion, t: int, keys: NDArray[Any], values: NDArray[Any]
) -> NDArray[np.float64]:
    """Sum the scaled values of some tokens of the t-th keys against the expansion's monomials, (C, R)."""
    frame = expansion.frame
    return moments(
        keys, values, expansion.schedule, frame.active, frame.offset[t], frame.key_factor[t],
        problem.values.factors[t], expansion.dtype,
    )  # fmt: skip


def outputs_of(
    problem: Problem, expansion: Expansion, weights: NDArray[Any], queries: NDArray[Any], out: NDArray[Any]
) -> Extremes:
    """Write the outputs of some queries, and return what the certificate needs of them."""
    frame, table = expansion.frame, expansion.frame.table
    if expansion.monomials == "merged":
        table[1] = 1.0  # the monomials' coordinates are 0 or 1; their reach is in the weights
    return evaluate(
        queries, expansion.schedule, weights,
        expansion.polynomial.coefficients if expansion.shifted else None, frame.active, table,
        expansion.magnitudes, expansion.rounding.relative, expansion.rounding.underflow,
        problem.values.output_scale, np.stack([problem.values.low, problem.values.high]), out,
    )  # fmt: skip


def certify(
    problem: Problem, expansion: Expansion, extremes: Extremes, tolerance: float, reason: str
) -> Certificate:
    """Bound the error of the outputs that gave rise to the extremes.

    The spread of the values about the true output is bounded through the computed one, whose error was
    bounded beforehand; that brings in the values' variance in place of their range.
    """
    v = problem.values
    roundoff = float(np.finfo(problem.dtype).eps) / 2
    known = (extremes.denominator, extremes.rounding)
    if not extremes.denominator > 0.0:
        known = (0.0, np.inf)
    errors = (expansion.relative_error, expansion.absolute_error)
    first = error_bounds(v, *errors, *known, problem.deviation, roundoff)
    seen = np.maximum(extremes.high - v.mean, v.mean - extremes.low)
    deviation = np.minimum(problem.deviation, (seen + first[3] + v.mean_error) * (1 + 8 * UNIT))
    prior, posterior, rounding, total = error_bounds(v, *errors, *known, deviation, roundoff)
    return Certificate(
        method="fast",
        reason=reason,
        tolerance=tolerance,
        interval=(problem.rows.low, problem.rows.high),
        half_width=(expansion.polynomial.hi - expansion.polynomial.lo) / 2,
        degree=expansion.polynomial.degree,
        rank=len(expansion.indices),
        monomials=expansion.monomials,
        a_priori=float(np.max(prior)),
        a_posteriori=float(np.max(posterior)),
        rounding=float(np.max(rounding)),
        bound=float(np.max(total)) if extremes.denominator > 0.0 else np.inf,
    )


def certify_exact(problem: Problem, tolerance: float, reason: str) -> Certificate:
    """Bound the rounding error of the exact algorithm."""
    roundoff = float(np.finfo(problem.dtype).eps) / 2
    v = problem.values
    rounding = exact_rounding(v, problem.order, problem.dimension, problem.tokens[1:], problem.logit_bound)
    rounding = np.where(v.peak == 0.0, 0.0, rounding + roundoff * v.peak)
    bound = float(np.max(np.minimum(rounding, v.oscillation + rounding)))
    return Certificate(
        method="exact",
        reason=reason,
        tolerance=tolerance,
        interval=(problem.rows.low, problem.rows.high),
        half_width=0.0,
        degree=None,
        rank=None,
        monomials=None,
        a_priori=0.0,
        a_posteriori=0.0,
        rounding=bound,
        bound=bound,
    )
