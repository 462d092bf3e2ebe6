"""Where the logits of an attention problem can lie, from one look at each matrix.

For s_i(j) = σ Σ_l Q_il Π_t K_t[j_t,l] and column boxes K_t[j,l] ∈ [low, high]:

    signed interval   s_i(j) ∈ σ Σ_l Q_il·Π_t [low_tl, high_tl], endpoint by endpoint
    Hölder            |s_i(j)| ≤ |σ| ‖Q_i‖_k Π_t max_j ‖K_t[j]‖_k
    absolute logit    x̄_i = |σ| Σ_l |Q_il| Π_t max_j |K_t[j,l]|, which rounding errors follow
    Jensen            Σ_j e^{s_i(j)} ≥ Πn_t · exp(mean logit), mean logit = σ Σ_l Q_il Π_t mean_j K_t[j,l]

Everything is expressed in scaled coordinates: k̂ = (k − offset)·factor ∈ [−1, 1] and q̂ = σ·q/Π factor, by
powers of two, so that no power of an entry overflows or vanishes where the logit does neither. A column on
which Π_t K_t is constant shifts all logits of a row alike; softmax ignores that, so the column is dropped.
For order 2 the same holds for the middle of a column of keys, so keys far from zero are centred, which
saves digits.

Glossary
    active      columns that can move a logit
    u_l         reach of column l: q̂_l ∈ [−|u_l|, |u_l|]
    c_i, w_i    middle and half-width of row i's signed interval
    J_i         mean logit minus c_i: ln of a lower bound on Σ_j e^{s_i(j)−c_i}/Πn_t

Cost: O(n (d + e)) time a matrix, O(d) memory; summaries of shards merge.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from .column_statistics import SAFE, SLOTS, UNIT, ColumnSummary, in_slots, read_only

_EXPONENTS = (-1020, 1020)  # of scales whose inverses are ordinary numbers
_BLOCK = 128  # rows looked at together
_RUN = 4096  # rows that are worth a slot of their own


@dataclass(frozen=True, eq=False)
class Geometry:
    """Scaled coordinates of a problem: which columns matter, and how far they reach.

    Parameters
    ----------
    order : int
        k.
    active : (d',) int64 array
        Columns that can move a logit.
    offset, key_factor : (k−1, d') float64 arrays
        k̂_t = (k_t − offset)·key_factor.
    query_factor, reach : (d',) float64 arrays
        q̂ = q·query_factor·reach; the reach carries σ and its sign.
    bottom, top, peak, mean : (d',) float64 arrays
        Smallest, largest, largest absolute and mean product Π_t k̂_t.
    holder : float
        |σ| Π_t max_j ‖K_t[j]‖_k, an upper bound; infinite where it says nothing.
    rounding : float
        Relative rounding, against x̄, of a computed endpoint or mean.
    """

    order: int
    active: NDArray[np.int64]
    offset: NDArray[np.float64]
    key_factor: NDArray[np.float64]
    query_factor: NDArray[np.float64]
    reach: NDArray[np.float64]
    bottom: NDArray[np.float64]
    top: NDArray[np.float64]
    peak: NDArray[np.float64]
    mean: NDArray[np.float64]
    holder: float
    rounding: float

    @property
    def table(self) -> NDArray[np.float64]:
        """The (5, d') table that the kernels read: query factor, reach, bottom, top, peak."""
        return np.stack([self.query_factor, self.reach, self.bottom, self.top, self.peak])


def geometry(queries: ColumnSummary, keys: Sequence[ColumnSummary], scale: float) -> Geometry:
    """Choose the scaled coordinates.

    Parameters
    ----------
    queries : ColumnSummary
        Of Q.
    keys : sequence of k−1 ColumnSummary
        Of the key matrices.
    scale : float
        σ.

    Returns
    -------
    Geometry
        Scales are powers of two; reaches may be infinite where logits overflow.

    Notes
    -----
    Complexity: O(k d).
    """
    order = len(keys) + 1
    low, high = np.stack([key.low for key in keys]), np.stack([key.high for key in keys])
    offset = np.zeros_like(low)
    if order == 2:
        middle = low / 2 + high / 2
        offset = np.where(np.abs(middle) > high / 2 - low / 2, middle, 0.0)
    holder = (
        math.inf if np.any(offset != 0.0) else abs(scale) * math.prod(key.norm for key in keys) * (1 + 1e-15)
    )
    peak = np.stack([key.peak for key in keys])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        mean = np.stack([key.mean for key in keys]) - offset
        low, high = (
            low - offset,
            high - offset,
        )  # monotone, so these are the ends of what the kernels subtract
        centred_peak = np.maximum(np.abs(low), np.abs(high))
        exponents = np.clip(np.frexp(centred_peak)[1], *_EXPONENTS)
        key_factor = np.ldexp(1.0, -exponents)
        bottom, top = _interval_product(low * key_factor, high * key_factor)
        query_exponents = np.clip(np.frexp(queries.peak)[1], *_EXPONENTS)
        mantissa, exponent = math.frexp(scale)
        reach = np.ldexp(mantissa, query_exponents + exponents.sum(axis=0) + exponent)
        mean_product = (mean * key_factor).prod(axis=0)
    active = np.flatnonzero((queries.peak > 0.0) & (top > bottom))
    growth = peak[:, active] / centred_peak[:, active]
    mean_rounding = sum(
        key.mean_rounding * float(np.max(grown, initial=1.0)) for key, grown in zip(keys, growth, strict=True)
    )
    return Geometry(
        order, active, offset[:, active], key_factor[:, active],
        np.ldexp(1.0, -query_exponents)[active], reach[active], bottom[active], top[active],
        np.maximum(np.abs(bottom), np.abs(top))[active], mean_product[active],
        holder, 2 * ((len(active) + 4 * order + 8) * UNIT + mean_rounding),
    )  # fmt: skip


@dataclass(frozen=True)
class RowSummary:
    """What one pass over the queries tells about the rows of logits; summaries of shards merge with `+`.

    Parameters
    ----------
    low, high : float
        Interval that holds every logit (of active columns, centred keys).
    half_width : float
        Largest half-width w_i of a row's signed interval around its middle c_i.
    middle : float
        Largest |c_i|.
    mean : float
        Smallest mean logit of a row.
    centred_mean : float
        Smallest J_i.
    reach : float
        Largest absolute logit x̄_i.
    amplification, centred_amplification : float
        Largest x̄_i − mean logit, and x̄_i + |c_i| − J_i: logarithms of how much roundings grow.
    """

    low: float
    high: float
    half_width: float
    middle: float
    mean: float
    centred_mean: float
    reach: float
    amplification: float
    centred_amplification: float

    def __add__(self, other: "RowSummary") -> "RowSummary":
        return RowSummary(
            min(self.low, other.low),
            max(self.high, other.high),
            max(self.half_width, other.half_width),
            max(self.middle, other.middle),
            min(self.mean, other.mean),
            min(self.centred_mean, other.centred_mean),
            max(self.reach, other.reach),
            max(self.amplification, other.amplification),
            max(self.centred_amplification, other.centred_amplification),
        )


def row_summary(queries: NDArray[Any], frame: Geometry) -> RowSummary:
    """Bound the logits of every row.

    Parameters
    ----------
    queries : (n, d) array
        Q, contiguous.
    frame : Geometry
        Scaled coordinates.

    Returns
    -------
    RowSummary
        Rounded outwards.

    Notes
    -----
    Complexity: O(n d) time, O(1) memory.
    """
    if len(frame.active) == 0:
        return RowSummary(*[0.0] * 9)
    if not np.all(np.abs(frame.reach) < SAFE):
        return RowSummary(-math.inf, math.inf, math.inf, math.inf, -math.inf, -math.inf, *[math.inf] * 3)
    slots = max(1, min(SLOTS, -(-len(queries) // _RUN)))
    extremes = np.empty((slots, 9))
    in_slots(
        slots, _scan_slot, _scan_rows, read_only(queries), frame.active, frame.table, frame.mean,
        frame.holder, frame.order, frame.rounding, extremes,
    )  # fmt: skip
    low, mean, centred = (float(extremes[:, i].min()) for i in (0, 4, 5))
    high, width, middle, reach, plain, shifted = (float(extremes[:, i].max()) for i in (1, 2, 3, 6, 7, 8))
    return RowSummary(low, high, width, middle, mean, centred, reach, plain, shifted)


def binary_geometry(
    summaries: Sequence[ColumnSummary], scale: float, frame: Geometry
) -> tuple[Geometry, list[NDArray[np.float64]]] | None:
    """Guess coordinates that are 0 or 1, where every active column may hold only 0 and one other number.

    Parameters
    ----------
    summaries : sequence of k ColumnSummary
        Of Q and the keys, in this order.
    scale : float
        σ.
    frame : Geometry
        The ordinary coordinates.

    Returns
    -------
    (Geometry, list of k (d',) float64 arrays) or None
        The ordinary ones with every scale replaced by the column's nonzero entry, and these entries, which
        `is_two_valued` has to confirm. None where the ends of a column's range rule it out, and where the
        columns' reaches differ, since one polynomial in the number of common ones must do.

    Notes
    -----
    Complexity: O(k d).
    """
    entries = []
    for summary in summaries:
        low, high = summary.low[frame.active], summary.high[frame.active]
        if np.any((low != 0.0) & (high != 0.0) & (low != high)):
            return None
        entries.append(np.where(low == 0.0, high, low))
    with np.errstate(over="ignore", under="ignore"):
        reach = scale * np.multiply.reduce(entries)
        means = [s.mean[frame.active] / a for s, a in zip(summaries[1:], entries[1:], strict=True)]
    if len(reach) == 0 or not 1 / SAFE < abs(reach[0]) < SAFE or np.any(reach != reach[0]):
        return None
    ones = np.ones(len(reach))
    binary = replace(
        frame, offset=np.zeros_like(frame.offset), key_factor=1.0 / np.stack(entries[1:]),
        query_factor=1.0 / entries[0], reach=reach, bottom=0.0 * ones, top=ones, peak=ones,
        mean=np.multiply.reduce(means),
    )  # fmt: skip
    return binary, entries


def is_two_valued(matrix: NDArray[Any], active: NDArray[np.int64], entries: NDArray[np.float64]) -> bool:
    """Whether the active columns hold nothing but 0 and the given entries; stops at the first other."""
    return bool(_two_valued(read_only(matrix), active, entries))


@njit(cache=True, boundscheck=False)
def _scan_slot(slot, queries, active, table, mean, holder, order, rounding, extremes):  # type: ignore[no-untyped-def]
    n, slots = len(queries), len(extremes)
    low_all, mean_all, centred_all = np.inf, np.inf, np.inf
    high_all, width_all, middle_all, reach_all, plain_all, shifted_all = -np.inf, 0.0, 0.0, 0.0, 0.0, 0.0
    low, high, reach, average, power = np.empty((5, _BLOCK))
    last = (slot + 1) * n // slots
    for first in range(slot * n // slots, last, _BLOCK):
        rows = queries[first : min(first + _BLOCK, last)]
        low[:], high[:], reach[:], average[:], power[:] = 0.0, 0.0, 0.0, 0.0, 0.0
        for l in range(len(active)):
            column, middle = active[l], mean[l]
            factor, u, bottom, top, peak = table[0, l], table[1, l], table[2, l], table[3, l], table[4, l]
            for t in range(len(rows)):
                raw = np.float64(rows[t, column])
                q = raw * factor * u
                a, b = q * bottom, q * top
                low[t] += min(a, b)
                high[t] += max(a, b)
                reach[t] += abs(q) * peak
                average[t] += q * middle
            if holder < np.inf:
                for t in range(len(rows)):
                    raw = abs(np.float64(rows[t, column]))
                    if order == 2:
                        power[t] += raw * raw
                    elif order == 3:
                        power[t] += raw * raw * raw
                    else:
                        power[t] += raw**order
        for t in range(len(rows)):
            # tiny: where k-th powers vanish, Hölder's bound still is one
            slack = rounding * reach[t] + 1e-60
            centre = 0.5 * (low[t] + high[t])
            smallest = average[t]
            if not smallest > low[t]:  # also where sums of keys overflowed
                smallest = low[t]
            smallest -= slack
            bottom, top = low[t] - slack, high[t] + slack
            if holder < np.inf and (bottom < low_all or top > high_all):  # else the root would change nothing
                bound = holder * power[t] ** (1.0 / order) * (1.0 + rounding) + slack
                bottom, top = max(bottom, -bound), min(top, bound)
            low_all = min(low_all, bottom)
            high_all = max(high_all, top)
            width_all = max(width_all, 0.5 * (high[t] - low[t]) + slack)
            middle_all = max(middle_all, abs(centre))
            mean_all = min(mean_all, smallest)
            centred_all = min(centred_all, smallest - centre)
            reach_all = max(reach_all, reach[t] + slack)
            plain_all = max(plain_all, reach[t] - smallest)
            shifted_all = max(shifted_all, reach[t] + 2.0 * abs(centre) - smallest)
    extremes[slot] = np.array(
        [low_all, high_all, width_all, middle_all, mean_all, centred_all, reach_all, plain_all, shifted_all]
    )


@njit(cache=True, parallel=True, boundscheck=False)
def _scan_rows(queries, active, table, mean, holder, order, rounding, extremes):  # type: ignore[no-untyped-def]
    for slot in prange(len(extremes)):
        _scan_slot(slot, queries, active, table, mean, holder, order, rounding, extremes)


@njit(cache=True, boundscheck=False)
def _two_valued(matrix, active, factor):  # type: ignore[no-untyped-def]
    for t in range(len(matrix)):
        for l in range(len(active)):
            x = matrix[t, active[l]]
            if x != 0.0 and x != factor[l]:
                return False
    return True


def _interval_product(low: NDArray[np.float64], high: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Multiply intervals over the first axis."""
    bottom, top = low[0], high[0]
    for a, b in zip(low[1:], high[1:], strict=True):
        corners = np.stack([bottom * a, bottom * b, top * a, top * b])
        bottom, top = corners.min(axis=0), corners.max(axis=0)
    return bottom, top
