"""How far the arguments of a fast gradient reach: scaled coordinates, boxes, and ranges of logits.

Every array is divided by a power of two that brings its entries to at most 1, which is exact, so no power
of an entry over- or underflows where the gradient is an ordinary number. In these coordinates one look at
the columns of every array (`column_statistics`) and one at the queries with their upstream tell all that the
choice of a polynomial needs; both merge over shards.

Unlike the forward pass no column may be dropped: where a column of K_1 is all zeros, no logit depends on
it, but ∂L/∂K_1 there need not vanish.

Cost: O(n (d + e)) time a matrix, O(d + e) memory.

Glossary
--------
shift      binary exponent taken out of an array.
osc(q_i)   width of the interval of q_i(j) = Σ_c G[i,c] Π_t V_t[j_t,c].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .certificate import WallError
from .column_statistics import SLOTS, UNIT, ColumnSummary, in_slots, read_only
from .expansion_passes import require_finite
from .gradient_problem import refuse_overflow
from .pullback_kernels import scan_rows, scan_slot_rows

Float64 = NDArray[np.float64]

_CLIPPED = 1020  # exponents of factors that are ordinary numbers, and so are their inverses
_ROWS_A_SLOT = 1024


@dataclass(frozen=True, eq=False)
class RowReach:
    """What one look at queries and upstream tells; shards merge with `+`.

    Parameters
    ----------
    low, high : float
        All logits lie between.
    width : float
        Of the widest row's interval of logits.
    oscillation : float
        The largest osc(q_i).
    by_column : (d,) float64 array
        Σ_i |Q_il| osc(q_i).
    by_value : (e,) float64 array
        Σ_i |G_ic|.
    """

    low: float
    high: float
    width: float
    oscillation: float
    by_column: Float64
    by_value: Float64

    def __add__(self, other: RowReach) -> RowReach:
        return RowReach(
            min(self.low, other.low),
            max(self.high, other.high),
            max(self.width, other.width),
            max(self.oscillation, other.oscillation),
            self.by_column + other.by_column,
            self.by_value + other.by_value,
        )


@dataclass(frozen=True, eq=False)
class Frame:
    """Scaled coordinates and boxes, in these coordinates.

    Parameters
    ----------
    tokens : tuple of int
        n, n_1, ..., n_{k-1}.
    dtype : dtype
        Of the result.
    scale : float
        σ.
    shifts : tuple of int
        Of Q, the keys, the values, then of the upstream.
    keys, values : (k-1, 2, d) and (k-1, 2, e) float64 arrays
        Smallest and largest entries of each column.
    holder : float
        |σ| times the largest norms of keys; infinite where it says nothing.
    entry_bound : float
        B, of the given entries.
    shards : int
        Into how many shards an array is cut, at most.
    """

    tokens: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    shifts: tuple[int, ...]
    keys: Float64
    values: Float64
    holder: float
    entry_bound: float
    shards: int = 1

    @property
    def order(self) -> int:
        """The order k."""
        return len(self.tokens)

    @property
    def dimension(self) -> int:
        """The number of columns d of queries and keys."""
        return int(self.keys.shape[2])

    @property
    def columns(self) -> int:
        """The number of columns e of values."""
        return int(self.values.shape[2])

    @property
    def factors(self) -> tuple[float, ...]:
        """What brings Q, keys, values and upstream into the coordinates."""
        return tuple(math.ldexp(1.0, -shift) for shift in self.shifts)

    @property
    def value_shift(self) -> int:
        """Of products of values, and so of the output."""
        return sum(self.shifts[self.order : -1])

    def exponent(self, a: int) -> int:
        """Return by which power of two the gradient of the a-th of Q, keys and values is scaled."""
        return self.shifts[-1] + self.value_shift - self.shifts[a]

    @cached_property
    def box(self) -> tuple[Float64, Float64]:
        """The smallest and the largest σ Π_t K_t, by column."""
        low, high = _product_box(self.keys)
        ends = self.scale * np.stack([low, high])
        return ends.min(axis=0), ends.max(axis=0)

    @cached_property
    def reach(self) -> Float64:
        """The largest |σ Π_t K_t|, by column, rounded up."""
        largest: Float64 = np.maximum(np.abs(self.box[0]), np.abs(self.box[1])) * (1 + 1e-12)
        return largest

    @cached_property
    def value_spread(self) -> tuple[Float64, Float64]:
        """The width of the interval of Π_t V_t and its largest magnitude, by column, rounded up."""
        low, high = _product_box(self.values)
        return (high - low) * (1 + 1e-12), np.maximum(np.abs(low), np.abs(high)) * (1 + 1e-12)

    def peaks_without(self, side: str, t: int) -> Float64:
        """Bound the products of all `side` ("keys" or "values") but the t-th, by column."""
        peaks = np.abs(self.keys if side == "keys" else self.values).max(axis=1)
        product: Float64 = np.delete(peaks, t, axis=0).prod(axis=0)
        return product

    def wall(self, why: str, rows: RowReach, needed: int | None) -> WallError:
        """Say what stands in the way."""
        b = self.entry_bound / math.log(max(2, *self.tokens)) ** (1 / self.order)
        message = (
            f"The fast gradient cannot meet the tolerance: {why} (logits in [{rows.low:.3g}, "
            f"{rows.high:.3g}], B = {self.entry_bound:.3g}, b = {b:.3g}). Relax the tolerance, or use "
            "`attention_gradient`."
        )
        return WallError(message, self.entry_bound, b, needed)


def frame_of(
    tokens: tuple[int, ...],
    dtype: np.dtype[Any],
    scale: float,
    summaries: Sequence[ColumnSummary],
) -> Frame:
    """Choose the coordinates from summaries of Q, keys, values and upstream.

    Raises
    ------
    ValueError
        For numbers that are not finite, and gradients or outputs that could leave the range of their type.
    """
    order = len(tokens)
    names = ["Q"] + [f"{side}[{t}]" for side in ("keys", "values") for t in range(order - 1)] + ["upstream"]
    require_finite(dict(zip(names, summaries, strict=True)))
    peaks = [float(np.max(summary.peak, initial=0.0)) for summary in summaries]
    shifts = tuple(max(-_CLIPPED, min(_CLIPPED, math.frexp(peak)[1])) for peak in peaks)
    mantissa, exponent = math.frexp(scale)
    exponent += sum(shifts[:order])
    refuse_overflow(dtype, tokens, len(summaries[-1].low), shifts[:-1], shifts[-1], exponent)
    keys, values = (
        np.stack([np.ldexp([s.low, s.high], -shift) for s, shift in zip(own, moved, strict=True)])
        for own, moved in (
            (summaries[1:order], shifts[1:order]),
            (summaries[order:-1], shifts[order:-1]),
        )
    )
    sigma = math.ldexp(mantissa, exponent) if exponent > -_CLIPPED else 0.0
    norms = [
        s.norm * math.ldexp(1.0, -shift) for s, shift in zip(summaries[1:order], shifts[1:], strict=False)
    ]
    return Frame(
        tokens, dtype, sigma, shifts, keys, values, abs(sigma) * math.prod(norms) * (1 + 1e-14),
        max(peaks[:order]),
    )  # fmt: skip


def row_reach(frame: Frame, Q: NDArray[Any], upstream: NDArray[Any]) -> RowReach:
    """Look at queries and their upstream once."""
    slots = max(1, min(SLOTS, -(-len(Q) // _ROWS_A_SLOT)))
    ends = np.tile([math.inf, -math.inf, 0.0, 0.0], (slots, 1))
    weighed, total = np.zeros((slots, frame.dimension)), np.zeros((slots, frame.columns))
    in_slots(
        slots, scan_slot_rows, scan_rows, read_only(Q), read_only(upstream),
        (frame.factors[0], frame.factors[-1]), *frame.box,
        frame.holder, frame.order, frame.value_spread[0], ends, weighed, total,
    )  # fmt: skip
    up = 1 + 2 * (len(Q) / slots + slots + frame.columns + 16) * UNIT
    return RowReach(
        float(ends[:, 0].min()),
        float(ends[:, 1].max()),
        float(ends[:, 2].max()),
        float(ends[:, 3].max()) * up,
        weighed.sum(axis=0) * up,
        total.sum(axis=0) * up,
    )


def _product_box(boxes: Float64) -> tuple[Float64, Float64]:
    """Return the smallest and the largest product over tuples, column by column."""
    low = high = np.ones(boxes.shape[2])
    for bottom, top in boxes:
        corners = [x * y for x in (low, high) for y in (bottom, top)]
        low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    return low, high
