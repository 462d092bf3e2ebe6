"""Features, moments and their evaluation, block of tokens by block: the polynomial method's three passes.

For a downward closed set of monomials α (`monomials`) and scaled keys k̂ and queries q̂ (`logit_range`),
these compute

    M[c, α] = Σ_j k̂_j^α v̂_jc                     `moments`
    Y[c, i] = Σ_α a_{|α|}(i) W[c, α] q̂_i^α        `evaluate`: numerators and, in column e, the denominator

in n·R·C fused multiply-adds, R monomials times C columns, and O(R C) memory:

- Tokens stand in blocks, as lanes of vectors. A *feature buffer* [row][token] holds the monomials of one
  block, each its parent times one coordinate.
- Most monomials are nobody's parent. Those *leaves* are never generated: the leaves x_l·β of a variable l
  share the factor x_l, which moments multiply into the values, and evaluation into the sum over β.
- Rows whose children are all leaves pass through the buffer in *panels* that fit the first-level cache:
  generated, summed with their leaves, overwritten. Only their ancestors are kept.
- Sums over tokens are cut into *slots* by the sizes alone, so that the number of threads changes no bit.

`feature_tiles` has the loops. Glossary
    position       place of a monomial in the kernels' order, in which leaves of one variable are neighbours
    row            place of a generated monomial in the feature buffer
    degree slot    which power of a query's own shift a group of monomials is multiplied by
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .column_statistics import SLOTS, in_slots, read_only
from .feature_tiles import COLUMNS, GRAIN, evaluate_rows, evaluate_slot_rows, sum_moments, sum_slot_moments
from .monomials import MultiIndices

_PANEL = 40  # rows of a panel: with a column tile they about fit the first-level cache
_KEPT_NUMBERS = 1 << 16  # of kept rows: half a megabyte, in the second-level cache with all else
_SLOT_NUMBERS = 1 << 21  # doubles that all parts of a moment sum may hold together


@dataclass(frozen=True, eq=False)
class Schedule:
    """The order in which the kernels visit a set of monomials.

    Parameters
    ----------
    order : (R,) int64 array
        The monomial at each position.
    rows : (R,) int64 array
        The feature row that stands behind each position: its own, or its parent's for a leaf.
    products : (G−1, 3) int64 array
        How rows are generated: target row, parent row, variable. Row 0 is the constant.
    groups : (T, 4) int64 array
        Runs of positions treated alike: variable (−1 where generated), degree slot, start, stop.
    panels : (P, 4) int64 array
        Which products to generate and then which groups to sum: first and last + 1 of either.
    shared : (d,) bool array
        The variables that leaves share.
    columns : int
        Number of value columns with the denominator's, padded to whole tiles.
    buffer : int
        Rows of the feature buffer.
    block : int
        Tokens a block of a moment sum; evaluation takes `GRAIN`.
    """

    order: NDArray[np.int64]
    rows: NDArray[np.int64]
    products: NDArray[np.int64]
    groups: NDArray[np.int64]
    panels: NDArray[np.int64]
    shared: NDArray[np.bool_]
    columns: int
    buffer: int
    block: int

    def arrays(self, block: int) -> tuple[Any, ...]:
        """Return what the compiled loops read, for blocks of the given size."""
        return self.products, self.rows, self.groups, self.panels, self.shared, self.buffer, block

    def slots(self, tokens: int) -> int:
        """Return into how many parts a moment sum over so many tokens is cut."""
        blocks = -(-tokens // self.block)
        fitting = _SLOT_NUMBERS // (len(self.order) * self.columns)
        return _slots(blocks, max(2, fitting))

    def block_additions(self, tokens: int) -> int:
        """Bound how many additions a term goes through in a block: along four lanes at least, then across."""
        return -(-min(tokens, self.block) // 4) + 12

    def moment_additions(self, tokens: int) -> int:
        """Bound how many float64 additions a block's sum goes through until it is in the moment."""
        slots = self.slots(tokens)
        return -(-tokens // (self.block * slots)) + 1 + slots

    def value_additions(self) -> int:
        """Bound how many additions a term of an evaluated sum goes through."""
        generated = int(np.sum((self.groups[:, 3] - self.groups[:, 2])[self.groups[:, 0] < 0]))
        return max(generated, int(np.max(self.groups[:, 3] - self.groups[:, 2]))) + len(self.groups) + 1


def schedule(indices: MultiIndices, values: int, *, by_degree: bool) -> Schedule:
    """Order a set of monomials for the kernels.

    Parameters
    ----------
    indices : MultiIndices
        The set, downward closed.
    values : int
        Number of value columns e.
    by_degree : bool
        Keep degrees apart, for queries that bring a coefficient of their own for each degree.

    Returns
    -------
    Schedule
        Generated monomials by degree, then leaves by degree slot and variable.

    Notes
    -----
    Complexity: O(R log R).

    Examples
    --------
    >>> from cubicwall.algorithms.monomials import total_degree
    >>> plan = schedule(total_degree(8, 4), 8, by_degree=False)
    >>> len(plan.order), 1 + len(plan.products)
    (495, 170)
    """
    columns = -(-(values + 1) // COLUMNS) * COLUMNS
    parents, variables = indices.parents.astype(np.int64), indices.variables.astype(np.int64)
    children = np.bincount(parents[1:], minlength=len(parents))
    leaf = children == 0
    leaf[0] = False
    leaf &= (
        np.bincount(variables[leaf], minlength=indices.dimension + 1)[variables] >= columns
    )  # fewer: cheaper made
    generated = np.flatnonzero(~leaf)
    kept = np.zeros(len(parents), dtype=np.bool_)
    kept[0] = True
    kept[parents[generated[1:]]] = True
    passing = np.flatnonzero(~leaf & ~kept)
    passing = passing[np.lexsort((children[passing], variables[passing]))]  # like children stand together
    height = -(-len(passing) // max(1, -(-len(passing) // _PANEL)))
    panel_of, row_of = np.zeros(len(parents), dtype=np.int64), np.empty(len(parents), dtype=np.int64)
    row_of[kept] = np.arange(kept.sum())
    row_of[passing] = kept.sum() + np.arange(len(passing)) % max(1, height)
    panel_of[passing] = 1 + np.arange(len(passing)) // max(1, height)
    panel_of[leaf] = panel_of[parents[leaf]]
    behind = np.where(leaf, parents, np.arange(len(parents)))
    slots = indices.degrees.astype(np.int64) * by_degree
    factor = np.where(leaf, variables, -1)
    order = np.lexsort((row_of[behind], factor, slots, panel_of))
    treatment = np.stack([factor, slots, panel_of], axis=1)[order]
    edges = 1 + np.flatnonzero(np.any(treatment[1:] != treatment[:-1], axis=1))
    starts, stops = np.concatenate([[0], edges]), np.concatenate([edges, [len(order)]])
    made = np.concatenate([np.flatnonzero(kept)[1:], passing])
    panels = np.arange(panel_of.max() + 1)
    return Schedule(
        order=order,
        rows=row_of[behind[order]],
        products=np.stack([row_of[made], row_of[parents[made]], variables[made]], axis=1),
        groups=np.column_stack([treatment[starts, :2], starts, stops]),
        panels=np.stack(
            [
                np.searchsorted(panel_of[made], panels, "left"),
                np.searchsorted(panel_of[made], panels, "right"),
                np.searchsorted(treatment[starts, 2], panels, "left"),
                np.searchsorted(treatment[starts, 2], panels, "right"),
            ],
            axis=1,
        ),
        shared=np.bincount(variables[leaf], minlength=indices.dimension) > 0,
        columns=columns,
        buffer=int(kept.sum()) + height,
        block=next((block for block in (256, 128) if kept.sum() * block <= _KEPT_NUMBERS), GRAIN),
    )


def _slots(blocks: int, most: int) -> int:
    """Cut blocks into slots that are long enough to be worth their buffers."""
    return max(1, min(SLOTS, most, blocks, max(2, blocks // 16)))


def moments(
    keys: NDArray[Any],
    values: NDArray[Any],
    plan: Schedule,
    active: NDArray[np.int64],
    offset: NDArray[np.float64],
    key_factor: NDArray[np.float64],
    value_factor: NDArray[np.float64],
    dtype: np.dtype[Any],
) -> NDArray[np.float64]:
    """Sum scaled values against every monomial of the scaled keys.

    Parameters
    ----------
    keys : (n, d) array
        Key vectors, contiguous.
    values : (n, e) array
        Value vectors, contiguous.
    plan : Schedule
        The monomials of d' coordinates.
    active : (d',) int64 array
        The columns of `keys` that the monomials speak of.
    offset, key_factor : (d',) float64 arrays
        k̂ = (k − offset)·key_factor.
    value_factor : (e,) float64 array
        v̂ = v·value_factor.
    dtype : dtype
        float64 or float32, for features and sums inside one block; blocks are added in float64.

    Returns
    -------
    (C, R) float64 array
        Σ_j k̂_j^α v̂_jc by column and position; column e belongs to the value 1, later ones are zero.

    Notes
    -----
    Complexity: n R C fused multiply-adds; O(R C) memory a slot.
    """
    slots = plan.slots(len(keys))
    parts = np.zeros((slots, plan.columns, len(plan.order)))
    scaling = (active, offset, key_factor, value_factor)
    in_slots(
        slots, sum_slot_moments, sum_moments, read_only(keys), read_only(values), plan.arrays(plan.block),
        scaling, np.zeros(1, dtype), parts,
    )  # fmt: skip
    total: NDArray[np.float64] = parts[0]
    for part in parts[1:]:
        total += part
    return total


@dataclass(frozen=True, eq=False)
class Extremes:
    """What an evaluation saw; shards merge with `+`.

    Parameters
    ----------
    denominator : float
        Smallest lower bound on a row's exact Σ_j p(s_j)/Πn_t; −inf if some row's is not known to be positive.
    rounding : float
        Largest quotient of a row's rounding error over that bound.
    low, high : (e,) float64 arrays
        Smallest and largest output of each column.
    """

    denominator: float
    rounding: float
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __add__(self, other: "Extremes") -> "Extremes":
        return Extremes(
            min(self.denominator, other.denominator),
            max(self.rounding, other.rounding),
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


def evaluate(
    queries: NDArray[Any],
    plan: Schedule,
    weights: NDArray[Any],
    coefficients: NDArray[np.float64] | None,
    active: NDArray[np.int64],
    geometry: NDArray[np.float64],
    magnitudes: NDArray[np.float64],
    rounding: float,
    underflow: float,
    output_scale: NDArray[np.float64],
    limits: NDArray[np.float64],
    out: NDArray[Any],
) -> Extremes:
    """Evaluate the weighted monomials at every query and divide by the denominator.

    Parameters
    ----------
    queries : (n, d) array
        Query vectors, contiguous.
    plan : Schedule
        The monomials of d' coordinates.
    weights : (C, R) array
        By column and position; column e is the denominator's. Their dtype is the one computed in.
    coefficients : (g+1,) float64 array or None
        Coefficients of p where every row i is shifted by its own c_i, the middle of its signed interval,
        for a schedule by degree; None where `weights` hold everything and nothing is shifted.
    active : (d',) int64 array
        The columns of `queries` that the monomials speak of.
    geometry : (5, d') float64 array
        Query factor, reach, smallest, largest and largest absolute Π_t k̂_t: q̂ = q·factor·reach.
    magnitudes : (g+1,) float64 array
        P̄(x) = Σ_m magnitudes_m x^m, at x = x̄_i + |c_i| a bound on the sum of a row's terms in absolute value.
    rounding, underflow : float
        The computed denominator is within rounding·P̄ + underflow of the exact one.
    output_scale : (e,) float64 array
        Factor from scaled to true outputs.
    limits : (2, e) float64 array
        Ends of the interval that exact outputs lie in; computed ones are moved into it.
    out : (n, e) array
        Where the outputs go; rows whose denominator may not be positive are left alone.

    Returns
    -------
    Extremes
        The certificate's ingredients.

    Notes
    -----
    Complexity: n R C fused multiply-adds; O(R) memory a thread.
    """
    block = GRAIN
    slots = _slots(-(-len(queries) // block), SLOTS)
    extremes, ranges = np.empty((slots, 2)), np.empty((slots, 2, out.shape[1]))
    shifted = coefficients is not None
    base = np.ones(1) if coefficients is None else np.array(coefficients)
    frame = (active, geometry, output_scale, limits)
    in_slots(
        slots, evaluate_slot_rows, evaluate_rows, read_only(queries), plan.arrays(block), weights, base,
        shifted, frame, (magnitudes, rounding, underflow), extremes, ranges, out,
    )  # fmt: skip
    return Extremes(
        float(extremes[:, 0].min()),
        float(extremes[:, 1].max()),
        ranges[:, 0].min(axis=0),
        ranges[:, 1].max(axis=0),
    )
