"""A transformer's gradient measured: error against depth, time against tokens, tolerance for a target.

Every row is a comparison of the exact model with the fast one (`transformer_comparison`), what was measured
beside what `depth_certificate` claims.

Glossary
--------
b            B/(ln n)^{1/2}, the coordinate of the wall for order 2.
target       the error of ∂X that is wanted; the tolerance of every layer is what is found for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..algorithms.attention_layers import ExactAttention
from ..algorithms.causal_attention import FastAttention
from ..algorithms.depth_certificate import certified
from ..algorithms.transformer_gradient import transformer_gradient
from .transformer_comparison import Problem, compared, drawn_problem, gradient_errors, timed


@dataclass(frozen=True)
class DepthRow:
    """Errors at one depth; as in `Run`, of the input's gradient relative to its size.

    Parameters
    ----------
    layers : int
        m.
    b : float
        Coordinate of the wall.
    output_error, output_bound, input_error, input_bound : float
        Measured and claimed.
    """

    layers: int
    b: float
    output_error: float
    output_bound: float
    input_error: float
    input_bound: float


def error_against_depth(
    depths: Sequence[int], coordinates: Sequence[float], n: int, tolerance: float, *, seed: int = 0
) -> list[DepthRow]:
    """Measure errors against depth for entries b·(ln n)^{1/2}.

    Parameters
    ----------
    depths : sequence of int
        Numbers of layers.
    coordinates : sequence of float
        The values of b.
    n : int
        Tokens.
    tolerance : float
        Of every layer.
    seed : int
        Of the random generator.

    Returns
    -------
    list of DepthRow

    Raises
    ------
    WallError
        If the entries are too large for the tolerance.

    Notes
    -----
    Complexity: an exact and a fast gradient a row.

    Examples
    --------
    >>> [row.input_error <= row.input_bound for row in error_against_depth([1, 2], [0.3], 300, 1e-4)]
    [True, True]
    """
    found = []
    for b in coordinates:
        for m in depths:
            problem = drawn_problem(n, layers=m, bound=b * math.sqrt(math.log(n)), seed=seed)
            run = compared(problem, tolerance)
            first = run.rows[0]
            found.append(DepthRow(m, b, run.output_error, run.output_bound, first.error, first.certificate))
    return found


@dataclass(frozen=True)
class TimeRow:
    """Seconds for a gradient, forward pass included.

    Parameters
    ----------
    n : int
        Tokens.
    exact_seconds, fast_seconds : float
        The exact one is NaN where it was not run.
    """

    n: int
    exact_seconds: float
    fast_seconds: float


def time_against_tokens(
    sizes: Sequence[int],
    tolerance: float,
    *,
    exact_up_to: int,
    repeats: int = 2,
    causal: bool = True,
    seed: int = 0,
) -> list[TimeRow]:
    """Measure time against the number of tokens: four layers, width 8, entries of queries and keys up to 1.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of tokens.
    tolerance : float
        Of every layer.
    exact_up_to : int
        The largest size at which the exact model runs.
    repeats : int
        Runs in turns, of which the fastest counts.
    causal : bool
        The mask.
    seed : int
        Of the random generator.

    Returns
    -------
    list of TimeRow

    Notes
    -----
    Complexity: as many gradients.

    Examples
    --------
    >>> [row.n for row in time_against_tokens([64, 128], 1e-3, exact_up_to=64, repeats=1)]
    [64, 128]
    """
    found = []
    for n in sizes:
        problem = drawn_problem(n, causal=causal, seed=seed)
        runs = [compared(problem, tolerance, exactly=n <= exact_up_to) for _ in range(repeats)]
        found.append(
            TimeRow(n, min(run.exact_seconds for run in runs), min(run.fast_seconds for run in runs))
        )
    return found


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Fit the exponent of a power law, without the runs that did not take place.

    Examples
    --------
    >>> round(slope([1, 2, 4], [3, 12, 48]), 9)
    2.0
    """
    kept = [(math.log(n), math.log(t)) for n, t in zip(sizes, seconds, strict=True) if t == t]
    x, y = np.array(kept).T
    return float(np.polyfit(x, y, 1)[0])


def crossover(rows: Sequence[TimeRow]) -> float:
    """Estimate the number of tokens from which on the fast model is the faster one.

    Returns
    -------
    float
        Between the last measured size at which it lost and the next, by a power law; 0 or infinite where one
        side always won.

    Examples
    --------
    >>> crossover([TimeRow(100, 1.0, 2.0), TimeRow(400, 16.0, 8.0)])
    200.0
    """
    both = [row for row in rows if row.exact_seconds == row.exact_seconds]
    lost = [i for i, row in enumerate(both) if row.exact_seconds < row.fast_seconds]
    if not lost:
        return 0.0
    if lost[-1] == len(both) - 1:
        return math.inf
    a, b = both[lost[-1]], both[lost[-1] + 1]
    low, high = (math.log(row.exact_seconds / row.fast_seconds) for row in (a, b))
    share = -low / (high - low)
    return float(round(a.n * (b.n / a.n) ** share, 6))


def tolerance_for(problem: Problem, target: float, *, measured: bool = False) -> tuple[float, float]:
    """Find a tolerance of every layer that brings the relative error of ∂X below a target.

    Parameters
    ----------
    problem : Problem
        What to differentiate.
    target : float
        On the error of the gradient by the input, relative to it.
    measured : bool
        Whether the error against the exact model counts, rather than the certificate.

    Returns
    -------
    tolerance, error : float
        The largest power of 10^{1/2} tried that meets the target, and what it led to.

    Raises
    ------
    ValueError
        For a target that is not positive, or that no tolerance from 1 down to 1e-12 meets.

    Notes
    -----
    Complexity: a fast gradient a step, after one exact one where it is measured against.

    Examples
    --------
    >>> tolerance, error = tolerance_for(drawn_problem(300, layers=1, bound=0.5), 1e-3)
    >>> error <= 1e-3
    True
    """
    if not target > 0.0:
        raise ValueError(f"Argument 'target' must be positive, not {target}.")
    causal = problem.model.causal
    exact = timed(problem, ExactAttention(causal))[0] if measured else None
    for step in range(25):
        tolerance = 10.0 ** (-step / 2)
        fast = transformer_gradient(
            problem.model, problem.tokens, problem.loss, FastAttention(causal, tolerance)
        )
        certificate = certified(problem.model, problem.loss, fast)
        error, bound = gradient_errors(fast, exact, certificate, 1)[0]
        reached = error if measured else bound
        if reached <= target:
            return tolerance, reached
    raise ValueError(
        f"Argument 'target' must be within reach of tolerances down to 1e-12, and {target} is not."
    )
