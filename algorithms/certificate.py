"""What a fast answer can be off by, and the error raised where the wall stops the fast algorithm.

Let p stand in for e^x, O = Σ_j E_j v_j / Σ_j E_j with E_j = e^{s_j}, and Õ the same with p_j = p(s_j), D̃ =
Σ_j p_j > 0.

A priori. If |p/e^x − 1| ≤ η < 1, write p_j = E_j(1+δ_j) and P_j = E_j/ΣE. Then Õ − O = Σ P_j(1+δ_j)(v_j −
O)/(1 + ΣP_jδ_j), largest for v at the two ends of its range, δ = η on the upper end (mass A) and −η on the
lower: osc·2ηA(1−A)/(1−η+2ηA). The best A makes that osc·η/(1+√(1−η²)), osc = max v − min v; the constant is
sharp.

A posteriori. ΣE_j(v_j − O) = 0, so Õ − O = Σ(p_j − E_j)(v_j − O)/D̃, and with |p − e^x| ≤ τ

    |Õ − O| ≤ τ Σ|v_j − O|/D̃ ≤ τ N·spread/D̃,   spread = min(osc, √(var v + (mean v − O)²)),

N = Πn_t; the second spread is Cauchy–Schwarz, and O is within the error sought of the output at hand.
Beforehand, Jensen's ΣE_j ≥ N e^{mean s} bounds D̃ ≥ ΣE_j − τN, and, for
logits in an interval of half-width w, e^{s−c} = cosh w·(1+δ) with |δ| ≤ tanh w: the first formula, read for
O against the plain mean, gives |O − mean v| ≤ osc·tanh(w/2).

Rounding. Multiplied out, numerator and denominator are sums of terms c_m (m!/α!) Πq̂ Πk̂ v̂, each with at
most L roundings; whatever the signs, the terms of one row sum in magnitude to at most N·P̄(x̄_i + |c_i|),
P̄(x) = Σ|c_m|x^m, x̄_i the *absolute* logit. So D̃ is known to N(γP̄ + underflow), γ = Lu/(1−Lu), and N̂/D̂
to twice that quotient times max|v|.

Glossary
    u           unit roundoff of the type computed in; w = 2⁻⁵³
    η, τ, δ     relative and absolute error of p; mass that a pruned set dropped, which adds to τ, and
                δe^{−lo} to η
    osc         largest minus smallest Π_t V_t over tuples, by column
    B, b        largest entry of Q and the keys; b = B/(ln n)^{1/k}, the coordinate of the wall

Reference: MATH.md section 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .column_statistics import SAFE, UNIT, ColumnSummary

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Certificate:
    """A sound bound on |computed − true| for every entry of an output, and how it came about.

    Parameters
    ----------
    method : {"exact", "fast"}
        Which algorithm ran.
    reason : str
        Why that one.
    tolerance : float
        What was asked for: absolute, entrywise.
    interval : (float, float)
        All logits lie in it; rows are counted from their own shift where `half_width` is smaller than its
        half.
    half_width : float
        Half the width of the interval that the polynomial covers; 0 for the exact algorithm.
    degree : int or None
        Degree of the polynomial.
    rank : int or None
        Number of monomials.
    monomials : {"all", "pruned", "merged"} or None
        Which set of monomials.
    a_priori : float
        Bound on what the polynomial does to the output, from its relative error alone.
    a_posteriori : float
        The same from its absolute error and the denominators at hand.
    rounding : float
        Bound on what rounding does.
    bound : float
        Sound bound on the total: the smaller of the two, plus rounding.
    """

    method: Literal["exact", "fast"]
    reason: str
    tolerance: float
    interval: tuple[float, float]
    half_width: float
    degree: int | None
    rank: int | None
    monomials: Literal["all", "pruned", "merged"] | None
    a_priori: float
    a_posteriori: float
    rounding: float
    bound: float

    @property
    def met(self) -> bool:
        """Whether the bound meets the tolerance; the exact algorithm's may miss one of too many digits."""
        return self.bound <= self.tolerance


class WallError(ValueError):
    """The fast algorithm cannot meet the tolerance: the entries are too large, or the digits too many.

    Parameters
    ----------
    message : str
        The reason and the ways out, for people.
    entry_bound : float
        B, the largest entry of Q and the keys.
    b : float
        B/(ln n)^{1/k}.
    rank : int or None
        The rank that would be needed; None where no rank would do.
    """

    def __init__(self, message: str, entry_bound: float, b: float, rank: int | None) -> None:
        super().__init__(message)
        self.entry_bound = entry_bound
        self.b = b
        self.rank = rank


@dataclass(frozen=True, eq=False)
class ValueRange:
    """The products of values over all tuples, by column.

    Parameters
    ----------
    low, high : (e,) float64 arrays
        Smallest and largest product, rounded outwards.
    mean, mean_error : (e,) float64 arrays
        Mean over all tuples, and how far from it the computed one may be.
    variance : (e,) float64 array
        An upper bound; infinite where squares over- or underflow.
    factors : tuple of (e,) float64 arrays
        For each V_t the power of two that scales it into [−1, 1].
    output_scale : (e,) float64 array
        The inverse of their product.
    """

    low: Column
    high: Column
    mean: Column
    mean_error: Column
    variance: Column
    factors: tuple[Column, ...]
    output_scale: Column

    @cached_property
    def oscillation(self) -> Column:
        """Largest minus smallest product."""
        return (self.high - self.low) * (1 + 2 * UNIT)

    @cached_property
    def peak(self) -> Column:
        """Largest magnitude of a product."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def spread(self, deviation: Column) -> Column:
        """Bound the mean of |v − O| over all tuples, for |O − mean v| ≤ deviation."""
        with np.errstate(over="ignore"):
            return np.minimum(self.oscillation, np.sqrt(self.variance + deviation**2) * (1 + 8 * UNIT))


def value_range(values: Sequence[ColumnSummary]) -> ValueRange:
    """Bound the products of values.

    Parameters
    ----------
    values : sequence of k−1 ColumnSummary
        Of the value matrices.

    Returns
    -------
    ValueRange
        Sound bounds.

    Notes
    -----
    Complexity: O(k e).
    """
    exponents = [np.clip(np.frexp(value.peak)[1], -1000, 1000) for value in values]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        low, high = values[0].low, values[0].high
        for value in values[1:]:
            corners = np.stack([low * value.low, low * value.high, high * value.low, high * value.high])
            low, high = corners.min(axis=0), corners.max(axis=0)
        outward = len(values) * UNIT
        low, high = (
            low - np.abs(low) * outward - (len(values) - 1) * 5e-324,
            high + np.abs(high) * outward + (len(values) - 1) * 5e-324,
        )
        peaks = np.stack([value.peak for value in values])
        chain = sum(value.mean_rounding for value in values) + (len(values) + 4) * UNIT
        peak = peaks.prod(axis=0) * (1 + outward)
        mean = np.prod([value.mean for value in values], axis=0)
        second = np.prod([value.squares / value.count for value in values], axis=0)
        variance = np.maximum(second - mean**2, 0.0) + 4 * chain * peak**2
        limit = SAFE ** (1 / len(values)) / 2.0**60  # room for n, which multiplies the sum of squares
        tame = np.all((peaks == 0.0) | ((peaks > 1 / limit) & (peaks < limit)), axis=0)
        mean_error = np.where(tame, chain * peak, np.inf)
        return ValueRange(
            low,
            high,
            np.where(tame, mean, 0.0),
            mean_error,
            np.where(tame, variance, np.inf),
            tuple(np.ldexp(1.0, -exponent) for exponent in exponents),
            np.ldexp(1.0, np.sum(exponents, axis=0)),
        )


def a_priori_error(relative_error: float) -> float:
    """Return η/(1+√(1−η²)), the sharp bound per unit of oscillation; 1 from η = 1 on.

    Parameters
    ----------
    relative_error : float
        η ≥ 0.

    Returns
    -------
    float
        The factor of osc; 1 says nothing, since outputs are kept inside the range of the values.

    Examples
    --------
    >>> round(a_priori_error(0.6), 12)
    0.333333333333
    """
    if relative_error >= 1.0:
        return 1.0
    return min(
        1.0,
        relative_error / (1.0 + math.sqrt((1.0 - relative_error) * (1.0 + relative_error))) * (1 + 8 * UNIT),
    )


def relative_error_for(error: float) -> float:
    """Return the η that makes `a_priori_error` equal to r < 1: η = sin θ gives r = tan(θ/2)."""
    return 2 * error / (1 + error**2) * (1 - 16 * UNIT)


@dataclass(frozen=True)
class Rounding:
    """How many roundings a term goes through, and what underflow may add.

    Parameters
    ----------
    relative : float
        γ.
    underflow : float
        Absolute, on a row's Σ_j p_j/N.
    """

    relative: float
    underflow: float


def denominator_error(rounding: Rounding, terms: float) -> float:
    """Bound the error of a row's computed D̃/N whose terms sum to at most `terms` in magnitude."""
    return rounding.relative * terms + rounding.underflow


def error_bounds(
    values: ValueRange,
    relative_error: float,
    absolute_error: float,
    denominator: float,
    quotient: float,
    deviation: Column,
    output_roundoff: float,
) -> tuple[Column, Column, Column, Column]:
    """Assemble the bounds for each column of the output.

    Parameters
    ----------
    values : ValueRange
        Of the products of values.
    relative_error, absolute_error : float
        η and τ, with what pruning dropped.
    denominator : float
        A lower bound on every row's exact D̃/N.
    quotient : float
        An upper bound on a row's denominator error over that.
    deviation : (e,) float64 array
        Bounds on |O − mean v|.
    output_roundoff : float
        Unit roundoff of the output's type.

    Returns
    -------
    a_priori, a_posteriori, rounding, total : (e,) float64 arrays
        Bounds on |computed − true|.

    Notes
    -----
    Both outputs lie between the smallest and the largest product, so no bound on the approximation
    exceeds osc.
    """
    osc, peak = values.oscillation, values.peak
    with np.errstate(over="ignore", invalid="ignore"):
        prior = osc * a_priori_error(relative_error)
        if denominator > 0.0:
            posterior = np.minimum(
                osc, absolute_error * values.spread(deviation) / denominator * (1 + 8 * UNIT)
            )
        else:
            posterior = osc
        approximation = np.minimum(prior, posterior)
        # |N̂/D̂ − Ñ/D̃| ≤ (ΔN + |Ñ/D̃|ΔD)/D̂, |Ñ/D̃| ≤ peak + approximation; then division, scaling, storing
        growth = quotient * (2 * peak + approximation) if quotient < math.inf else np.full_like(osc, np.inf)
        rounding = growth * (1 + 8 * UNIT) + (4 * UNIT + output_roundoff) * peak + 2.0**-1070
        if output_roundoff > UNIT:
            rounding = rounding + 2.0**-149
        rounding = np.where(peak == 0.0, 0.0, rounding)
        total = np.minimum(approximation + rounding, osc + output_roundoff * peak) * (1 + 4 * UNIT)
        return prior, posterior, rounding, total


def exact_rounding(
    values: ValueRange, order: int, dimension: int, sizes: Sequence[int], reach: float
) -> Column:
    """Bound what rounding does to the exact algorithm, column by column.

    Parameters
    ----------
    values : ValueRange
        Of the products of values.
    order, dimension : int
        k and d.
    sizes : sequence of int
        Tokens of each key matrix.
    reach : float
        Largest absolute logit x̄.

    Returns
    -------
    (e,) float64 array
        A logit is off by (d+k+4)·w·x̄ at most, a weight by that and 10⁻¹⁵ relatively, a sum by one rounding
        for every token of the last keys and every tuple of the others; numerator and denominator count once
        each.
    """
    chain = math.prod(sizes[:-1]) + sizes[-1] + 2048
    relative = (dimension + 2 * order + 8) * UNIT * reach + 4e-15 + chain * UNIT
    return np.where(values.peak == 0.0, 0.0, 2 * relative / max(1 - 2 * relative, 1e-300) * values.peak)
