"""Bounds and sums of the columns of a matrix, from one parallel pass that reads every entry once.

Ranges of logits (`logit_range`), the spread of values (`certificate`) and the check that all is finite need
nothing else. Sums run over stretches of 4096 tokens whose sums are added on, so that a mean of n numbers
carries about 4096 + n/4096 roundings and not n; summaries of shards merge.

Cost: O(n d) time, O(d) memory.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

numba.config.THREADING_LAYER = "omp"  # type: ignore[attr-defined]  # the workqueue layer is not safe under two Python threads

UNIT = 2.0**-53
"""Unit roundoff of float64."""

SLOTS = 64
"""Into how many parts a pass is cut, whatever the number of threads: results do not depend on that."""

SAFE = 2.0**200
"""Between its inverse and it, squares and k-th powers are taken to neither overflow nor vanish."""

_RUN = 4096


@dataclass(frozen=True, eq=False)
class ColumnSummary:
    """What one pass over a matrix tells about its columns; summaries of shards merge with `+`.

    Parameters
    ----------
    count : int
        Number of tokens.
    low, high, total, squares : (d,) float64 arrays
        Smallest and largest entry, sum, and sum of squares.
    norm : float
        An upper bound on the largest k-norm of a row; infinite where powers would overflow or vanish.
    finite : bool
        Whether every entry is a finite number.
    chain : int
        How many additions an entry went through in the sums.
    """

    count: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    norm: float
    finite: bool
    chain: int

    def __add__(self, other: "ColumnSummary") -> "ColumnSummary":
        return ColumnSummary(
            self.count + other.count,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
            self.total + other.total,
            self.squares + other.squares,
            max(self.norm, other.norm),
            self.finite and other.finite,
            max(self.chain, other.chain) + 1,
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each column, within `mean_rounding` times the largest magnitude."""
        return self.total / self.count

    @property
    def mean_rounding(self) -> float:
        """Relative rounding of sums over the tokens, against the sum of magnitudes."""
        return (self.chain + 4) * UNIT

    @property
    def peak(self) -> NDArray[np.float64]:
        """Largest magnitude in each column."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


def column_summary(matrix: NDArray[Any], order: int) -> ColumnSummary:
    """Look at every entry of a matrix once.

    Parameters
    ----------
    matrix : (n, d) array
        float32 or float64, contiguous.
    order : int
        k, of the norm; 1 where it does not matter.

    Returns
    -------
    ColumnSummary
        Bounds, sums and whether all is finite.

    Notes
    -----
    Complexity: O(n d) time, O(d) memory.

    Examples
    --------
    >>> column_summary(np.array([[1.0, -2.0], [3.0, 0.5]]), 2).high
    array([3. , 0.5])
    """
    n, d = matrix.shape
    slots = max(1, min(SLOTS, -(-n // _RUN)))
    statistics = np.zeros((slots, 4, d))
    norms = np.zeros(slots)
    finite = np.ones(slots, dtype=np.bool_)
    in_slots(slots, _scan_slot, _scan_columns, read_only(matrix), order, statistics, norms, finite)
    sound = bool(finite.all())
    low, high = statistics[:, 0].min(axis=0), statistics[:, 1].max(axis=0)
    largest = max(np.max(np.abs(low), initial=0.0), np.max(np.abs(high), initial=0.0)) if sound else math.inf
    tame = largest == 0.0 or SAFE ** (-1 / order) < largest < SAFE ** (1 / order)
    norm = float(norms.max()) ** (1 / order) * (1 + (2 * d + 16) * UNIT) if tame else math.inf
    with np.errstate(over="ignore", invalid="ignore"):
        total, squares = statistics[:, 2:].sum(axis=0)
    return ColumnSummary(
        n, low, high, total, squares, norm, sound, min(n, _RUN) + -(-n // (slots * _RUN)) + slots
    )


def in_slots(slots: int, one: Callable[..., None], all_slots: Callable[..., None], *arguments: Any) -> None:
    """Run a kernel for every slot, in parallel; a single one without waking threads, which can take long."""
    if slots == 1:
        one(0, *arguments)
    else:
        all_slots(*arguments)


def read_only(matrix: NDArray[Any]) -> NDArray[Any]:
    """View an array read-only: kernels are then compiled for one kind of array, mapped or not."""
    view = np.asarray(matrix).view()
    view.flags.writeable = False
    return view


@njit(cache=True, boundscheck=False)
def _power(x, order):  # type: ignore[no-untyped-def]
    size = abs(x)
    power = size
    for _ in range(order - 1):
        power *= size
    return power


# Sums may be reordered here, a vector's lanes at a time: their bounds hold for any order.
@njit(cache=True, boundscheck=False, fastmath={"reassoc", "nsz", "contract"})
def _scan_run(rows, order, low, high, total, squares):  # type: ignore[no-untyped-def]
    """Take in a run of rows, four at a time; return the largest sum of powers, and whether all is finite."""
    d = len(low)
    run, run_squares = np.zeros(d), np.zeros(d)
    longest = 0.0
    whole = len(rows) // 4 * 4
    for t in range(0, whole, 4):
        four = rows[t : t + 4]
        p0, p1, p2, p3 = 0.0, 0.0, 0.0, 0.0
        for l in range(d):
            a, b, c, e = (
                np.float64(four[0, l]),
                np.float64(four[1, l]),
                np.float64(four[2, l]),
                np.float64(four[3, l]),
            )
            low[l] = min(low[l], min(min(a, b), min(c, e)))
            high[l] = max(high[l], max(max(a, b), max(c, e)))
            run[l] += (a + b) + (c + e)
            run_squares[l] += (a * a + b * b) + (c * c + e * e)
            if order == 2:
                p0 += a * a
                p1 += b * b
                p2 += c * c
                p3 += e * e
            elif order > 2:
                p0 += _power(a, order)
                p1 += _power(b, order)
                p2 += _power(c, order)
                p3 += _power(e, order)
        longest = max(longest, max(max(p0, p1), max(p2, p3)))
    for t in range(whole, len(rows)):
        power = 0.0
        for l in range(d):
            x = np.float64(rows[t, l])
            low[l] = min(low[l], x)
            high[l] = max(high[l], x)
            run[l] += x
            run_squares[l] += x * x
            power += _power(x, order)
        longest = max(longest, power)
    finite = True
    for l in range(d):
        if not abs(run[l]) < np.inf:  # a sum may also overflow: look again
            for t in range(len(rows)):
                finite &= bool(np.isfinite(rows[t, l]))
        total[l] += run[l]
        squares[l] += run_squares[l]
    return longest, finite


@njit(cache=True, boundscheck=False)
def _scan_slot(slot, matrix, order, statistics, norms, finite):  # type: ignore[no-untyped-def]
    n, d = matrix.shape
    slots = len(norms)
    low, high = np.full(d, np.inf), np.full(d, -np.inf)
    total, squares = np.zeros(d), np.zeros(d)
    longest, sound = 0.0, True
    last = (slot + 1) * n // slots
    for first in range(slot * n // slots, last, _RUN):
        rows = matrix[first : min(first + _RUN, last)]
        power, good = _scan_run(rows, order, low, high, total, squares)
        longest = max(longest, power)
        sound &= good
    statistics[slot, 0] = low
    statistics[slot, 1] = high
    statistics[slot, 2] = total
    statistics[slot, 3] = squares
    norms[slot] = longest
    finite[slot] = sound


@njit(cache=True, parallel=True, boundscheck=False)
def _scan_columns(matrix, order, statistics, norms, finite):  # type: ignore[no-untyped-def]
    for slot in prange(len(norms)):
        _scan_slot(slot, matrix, order, statistics, norms, finite)
