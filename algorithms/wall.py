"""Why the fast algorithm stops at the wall for a given problem, and what would work instead.

Glossary
    B, b    largest entry of Q and the keys; b = B/(ln n)^{1/k}
"""

import math

import numpy as np

from .attention_problem import Problem
from .certificate import WallError, relative_error_for
from .exact_attention import predicted_cost
from .exp_degree import degree_for
from .exp_polynomial import MAX_DEGREE
from .monomials import rank


def wall_error(problem: Problem, tolerance: float, max_rank: int, why: str, needed: int | None) -> WallError:
    """Say what stands in the way of a tolerance, and what would work.

    Parameters
    ----------
    problem : Problem
        What is known of it.
    tolerance : float
        What was asked for.
    max_rank : int
        Largest rank allowed.
    why : str
        The obstacle.
    needed : int or None
        The rank that would do.

    Returns
    -------
    WallError
        To be raised. The entry bound and the tolerance that it names are estimates from the degree that
        `max_rank` leaves room for.
    """
    exact = predicted_cost(problem.tokens, problem.dimension, len(problem.values.low)).seconds
    ways = [
        f"the exact algorithm, in about {exact:.2g} s (method='exact', or 'auto', which takes it by itself)"
    ]
    d = len(problem.frame.active)
    degree = max((g for g in range(MAX_DEGREE + 1) if rank(d, g) <= max_rank), default=0)
    widths = [problem.half_width * 2.0 ** (-i / 4) for i in range(1, 80)]
    narrow = next((x for x in widths if _reachable(problem, x, tolerance, degree)), None)
    if narrow is not None and problem.half_width > 0.0:
        smaller = problem.entry_bound * (narrow / problem.half_width) ** (1 / problem.order)
        ways.append(f"entries below B = {smaller:.3g}")
    loose = next(
        (10.0**i for i in range(-15, 16) if _reachable(problem, problem.half_width, 10.0**i, degree)), None
    )
    if loose is not None and tolerance < loose < np.max(problem.values.oscillation):
        ways.append(f"tolerance {loose:.0e}")
    takes = f"needs rank {needed:,} where 'max_rank' = {max_rank:,}; " if needed is not None else ""
    return WallError(
        f"The fast algorithm cannot meet 'tolerance' = {tolerance:.3g}: {why}; {takes}"
        f"entries reach B = {problem.entry_bound:.4g}, b = B/(ln n)^(1/{problem.order}) = {problem.b:.3g}, "
        f"logits [{problem.rows.low:.4g}, {problem.rows.high:.4g}]. What would work: {'; '.join(ways)}.",
        problem.entry_bound,
        problem.b,
        needed,
    )


def _reachable(problem: Problem, half_width: float, tolerance: float, degree: int) -> bool:
    """Estimate whether a degree, and float64, suffice for logits in an interval of the given half-width."""
    widest = float(np.max(problem.values.oscillation))
    if tolerance >= widest:
        return True
    if (
        not half_width < 40.0
        or math.exp(2 * half_width) * 1e-12 * float(np.max(problem.values.peak)) > tolerance
    ):
        return False
    return degree_for(2 * half_width, relative_error_for(0.9 * tolerance / widest), "chebyshev") <= degree
