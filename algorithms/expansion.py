"""The choice of a polynomial, of its monomials and of an arithmetic that meet a tolerance.

Softmax ignores a shift of a whole row, so two kinds of expansion compete: one polynomial on the interval
that holds every logit, and one on [−w, w] for rows that are each counted from the middle c_i of their own
interval, which costs a coefficient a degree and row, p(s − c_i) = Σ a_m(i) s^m. Each may be chosen by its
relative error, which bounds the output a priori, or by its absolute one, for which Jensen's bound on the
denominators is known beforehand too. Of the candidates the one of least rank is taken that rounding leaves
room for.

Glossary
    ε       what the approximation may do to an output: the tolerance less the rounding
    J       ln of a lower bound on every row's Σ_j e^{s_j − c}/N
    κ       the common reach of 0/1 columns

Cost: some milliseconds where the polynomial is new, O(R log R) for the monomials; the latest answers are
kept.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .attention_problem import Problem
from .certificate import Rounding, error_bounds, relative_error_for
from .column_statistics import UNIT
from .exp_degree import Criterion
from .exp_polynomial import ExpPolynomial, ToleranceUnreachable, approximate_exp, exp_polynomial
from .expansion_rounding import evaluated, expansion_rounding, majorant
from .logit_range import Geometry
from .monomials import MultiIndices, RankExceeded, merged, rank, total_degree
from .polynomial_kernels import Schedule, schedule
from .pruning import pruned

Monomials = Literal["all", "pruned", "merged"]

_WIDEST = 60.0  # half-widths beyond it need degrees beyond any rank
_UNEVEN = 0.7  # geometric mean of the reaches over the largest, below which pruning is tried
_WORTH_PRUNING = 200  # rank from which on pruning is tried


@dataclass(frozen=True, eq=False)
class Expansion:
    """A polynomial, its monomials and how they are computed.

    Parameters
    ----------
    polynomial : ExpPolynomial
        p.
    shifted : bool
        Whether each row is counted from the middle of its own interval.
    indices : MultiIndices
        The monomials.
    monomials : {"all", "pruned", "merged"}
        Which set they are.
    dropped : float
        δ, mass left out.
    frame : Geometry
        Coordinates of the kernels.
    schedule : Schedule
        Order of the kernels.
    dtype : dtype
        What features are computed in.
    magnitudes : (g+1,) float64 array
        Coefficients of P̄ in the kernels' coordinates.
    rounding : Rounding
        γ and underflow.
    predicted : float
        Bound on the output's error, known beforehand.
    """

    polynomial: ExpPolynomial
    shifted: bool
    indices: MultiIndices
    monomials: Monomials
    dropped: float
    frame: Geometry
    schedule: Schedule
    dtype: np.dtype[Any]
    magnitudes: NDArray[np.float64]
    rounding: Rounding
    predicted: float

    @property
    def relative_error(self) -> float:
        """η with what pruning dropped."""
        p = self.polynomial
        if self.dropped == 0.0:
            return p.relative_error
        return (p.relative_error + self.dropped * math.exp(-p.lo)) * (1 + 8 * UNIT)

    @property
    def absolute_error(self) -> float:
        """τ with what pruning dropped."""
        return (self.polynomial.absolute_error + self.dropped) * (1 + 2 * UNIT)

    def weights(self, moments: list[NDArray[np.float64]], tokens: tuple[int, ...]) -> NDArray[Any]:
        """Multiply moments and the monomials' weights: what rows are evaluated against, (C, R)."""
        order = self.schedule.order
        if self.shifted:
            weights = self.indices.multinomials[order]
        else:
            scale = float(self.frame.reach[0]) if self.monomials == "merged" else 1.0
            weights = self.indices.weights(self.polynomial.coefficients, scale)[order]
        product = moments[0] / tokens[1]
        for moment, count in zip(moments[1:], tokens[2:], strict=True):
            product *= moment / count
        return (product * weights).astype(self.dtype)


class OutOfReach(Exception):
    """No expansion meets the tolerance.

    Parameters
    ----------
    message : str
        Why.
    rank : int or None
        The least rank that would, if any.
    """

    def __init__(self, message: str, rank: int | None) -> None:
        super().__init__(message)
        self.rank = rank


def expand(problem: Problem, tolerance: float, max_rank: int, dtype: np.dtype[Any] | None) -> Expansion:
    """Choose the expansion of least rank that meets the tolerance.

    Parameters
    ----------
    problem : Problem
        What is known.
    tolerance : float
        Absolute, entrywise on the output.
    max_rank : int
        Largest rank allowed.
    dtype : dtype or None
        float64 or float32 for the features; None takes float32 only where inputs have no more digits and its
        rounding stays under a fifth of the tolerance.

    Returns
    -------
    Expansion
        Its `predicted` bound is at most the tolerance.

    Raises
    ------
    OutOfReach
        If there is none.
    """
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    if dtype is None and problem.dtype == single:
        try:
            return _expand(problem, tolerance, max_rank, single, 0.2)
        except OutOfReach:
            return _expand(problem, tolerance, max_rank, double, 0.9)
    return _expand(problem, tolerance, max_rank, dtype or double, 0.9)


def _expand(
    problem: Problem, tolerance: float, max_rank: int, dtype: np.dtype[Any], share: float
) -> Expansion:
    """Let rounding have at most its share of the tolerance; a second round knows how much it takes."""
    storing = _storing(problem)
    left = tolerance * 0.98 - storing
    why, needed = "storing the output alone costs more than the tolerance", None
    for _ in range(3):
        if left <= 0.0:
            break
        reasons: list[tuple[int, str]] = []
        expansion = _least(problem, left, max_rank, dtype, reasons)
        if expansion is None:
            needed, why = min(
                reasons, default=(0, "the logits reach too far for any polynomial within float64")
            )
            raise OutOfReach(why, needed or None)
        if expansion.predicted <= tolerance:
            return expansion
        lost = expansion.predicted - left
        if not lost <= share * tolerance:
            why = (
                f"rounding alone may cost {lost:.1e} in {dtype}: the terms of a row sum to "
                f"e^{problem.rows.amplification:.1f} times its denominator"
            )
            break
        left = tolerance - 1.1 * lost
    raise OutOfReach(why, None)


def _storing(problem: Problem) -> float:
    roundoff = float(np.finfo(problem.dtype).eps) / 2
    return float(np.max(problem.values.peak)) * (roundoff + 8 * UNIT)


def _least(
    problem: Problem, error: float, max_rank: int, dtype: np.dtype[Any], reasons: list[tuple[int, str]]
) -> Expansion | None:
    best: Expansion | None = None
    for shifted in (False, True):
        if shifted and problem.rows.half_width > 0.98 * (problem.rows.high - problem.rows.low) / 2:
            continue  # a shift of their own would not narrow the rows' intervals
        for p in _polynomials(problem, error, shifted):
            below = None if best is None else len(best.indices) - 1
            for monomials, indices, dropped in _sets(problem, p, error, shifted, max_rank, below, reasons):
                candidate = _assemble(problem, p, shifted, monomials, indices, dropped, dtype)
                if candidate is not None and (best is None or len(indices) < len(best.indices)):
                    best = candidate
    return best


def _exponent(problem: Problem, shifted: bool) -> float:
    return problem.rows.centred_mean if shifted else problem.rows.mean


def _interval(problem: Problem, shifted: bool) -> tuple[float, float]:
    rows = problem.rows
    return (-rows.half_width, rows.half_width) if shifted else (rows.low, rows.high)


def _allowed(problem: Problem, error: float, shifted: bool) -> tuple[float, float]:
    """Return the η and the τ that keep every column's output within the error; η = 1 where any p does."""
    v = problem.values
    osc, spread = v.oscillation, v.spread(problem.deviation)
    widest = float(np.max(osc))
    relative = relative_error_for(error / widest) if error < widest else 1.0
    # τ·spread/(e^J − τ) ≤ error
    mean = math.exp(min(700.0, _exponent(problem, shifted)))
    with np.errstate(over="ignore"):
        absolute = float(np.min(error * mean / (spread + error))) * (1 - 16 * UNIT)
    return relative, absolute


def _polynomials(problem: Problem, error: float, shifted: bool) -> Iterator[ExpPolynomial]:
    lo, hi = _interval(problem, shifted)
    if not (hi - lo) / 2 <= _WIDEST or not max(-lo, hi) <= 300.0:
        return
    lo, hi = _outward(lo, hi)
    relative, absolute = _allowed(problem, error, shifted)
    if relative >= 1.0:
        yield exp_polynomial(lo, hi, 0)
        return
    criteria: list[tuple[Criterion, float]] = [("absolute", absolute), ("relative", relative)]
    for criterion, allowed in criteria:
        try:
            yield approximate_exp(lo, hi, _downward(allowed), criterion=criterion)
        except ToleranceUnreachable:
            continue


def _outward(lo: float, hi: float) -> tuple[float, float]:
    """Widen an interval by up to 3%: like problems then share their polynomials, which are kept."""
    if lo == hi:
        return lo, hi
    step = math.ldexp(1.0, math.frexp(hi - lo)[1] - 7)
    return math.floor(lo / step) * step, math.ceil(hi / step) * step


def _downward(tolerance: float) -> float:
    mantissa, exponent = math.frexp(tolerance)
    return max(math.ldexp(math.floor(mantissa * 16) / 16, exponent), 1e-300)


def _sets(
    problem: Problem,
    p: ExpPolynomial,
    error: float,
    shifted: bool,
    max_rank: int,
    below: int | None,
    reasons: list[tuple[int, str]],
) -> Iterator[tuple[Monomials, MultiIndices, float]]:
    """Yield the sets of at most `below` monomials that do, and say of others what rank they would need."""
    d = len(problem.frame.active)
    full = rank(d, p.degree)
    limit = max_rank if below is None else min(max_rank, below)
    if problem.binary is not None and not shifted and full > 1:
        try:
            yield "merged", merged(d, p.degree, max_rank=limit), 0.0
        except RankExceeded as exceeded:
            reasons.append(
                (exceeded.rank, f"degree {p.degree} over {d} columns of zeros and ones takes too many")
            )
    if full <= limit:
        yield "all", _complete(d, p.degree), 0.0
    else:
        reasons.append((full, f"degree {p.degree} over {d} columns takes too many monomials"))
    reach = np.abs(problem.frame.reach) * problem.frame.peak * (1 + 8 * UNIT)
    if full > max_rank or (
        full > _WORTH_PRUNING and math.exp(np.mean(np.log(reach))) < _UNEVEN * np.max(reach)
    ):
        relative, absolute = _allowed(problem, error, shifted)
        budget = max(absolute - p.absolute_error, (relative - p.relative_error) * math.exp(p.lo)) * (
            1 - 16 * UNIT
        )
        coefficients = majorant(p.coefficients, problem.rows.middle) if shifted else np.abs(p.coefficients)
        if budget > 0.0:
            try:
                yield "pruned", *pruned(d, p.degree, reach, coefficients, budget, max_rank=min(limit, full))
            except RankExceeded as exceeded:
                reasons.append(
                    (exceeded.rank, f"degree {p.degree} over {d} uneven columns takes too many monomials")
                )


@lru_cache(maxsize=8)
def _complete(d: int, g: int) -> MultiIndices:
    return total_degree(d, g)


@lru_cache(maxsize=8)
def _schedule(indices: MultiIndices, values: int, shifted: bool) -> Schedule:
    return schedule(indices, values, by_degree=shifted)


def _assemble(
    problem: Problem,
    p: ExpPolynomial,
    shifted: bool,
    monomials: Monomials,
    indices: MultiIndices,
    dropped: float,
    dtype: np.dtype[Any],
) -> Expansion | None:
    frame = problem.binary if monomials == "merged" and problem.binary is not None else problem.frame
    values = len(problem.values.low)
    plan = _schedule(indices, values, shifted)
    magnitudes = np.abs(p.coefficients)
    if monomials == "merged":
        magnitudes = (
            magnitudes
            * np.abs(frame.reach[0]) ** np.arange(len(magnitudes))
            * (1 + 4 * len(magnitudes) * UNIT)
        )
    rounding = expansion_rounding(problem, p, shifted, indices, plan, dtype)
    if not math.isfinite(rounding.underflow):
        return None
    result = Expansion(
        p, shifted, indices, monomials, dropped, frame, plan, dtype, magnitudes, rounding, math.inf
    )
    rows = problem.rows
    terms = evaluated(np.abs(p.coefficients), rows.reach + (rows.middle if shifted else 0.0))
    off = rounding.relative * terms + rounding.underflow
    mean = math.exp(_exponent(problem, shifted)) * (1 - 1e-12)
    least = float(p.coefficients[0]) if p.degree == 0 else 0.0
    denominator = max(mean - result.absolute_error, mean * (1 - result.relative_error), least) - 2 * off
    quotient = off / denominator if denominator > 0.0 else math.inf
    roundoff = float(np.finfo(problem.dtype).eps) / 2
    bounds = error_bounds(
        problem.values,
        result.relative_error,
        result.absolute_error,
        denominator,
        quotient,
        problem.deviation,
        roundoff,
    )
    return replace(result, predicted=float(np.max(bounds[3])) if denominator > 0.0 else math.inf)
