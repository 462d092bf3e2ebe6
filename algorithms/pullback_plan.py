"""The order in which `pullback_kernels` visits a set of monomials, and coefficients laid out in that order.

Cost: O(R log R) once for a set; O(R C) for each set of coefficients.

Glossary
--------
made, leaf   monomials that are some other's parent (and the constant), and the rest.
tile         TALL made monomials, whose leaf children lie in one range of variables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .monomials import MultiIndices
from .pullback_kernels import COLUMNS, TALL

Integers = NDArray[np.int64]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pullback:
    """Tables for a set of monomials.

    Parameters
    ----------
    rank : int
        R.
    links : tuple of arrays
        What the kernels read: parent and variable of each made monomial; the parents of leaves, by
        variable, and where each variable's begin; all made monomials; tiles (first variable, number of
        variables, place among the packed); place of each made monomial among the tiles.
    made, leaves : int64 arrays
        Which monomials they are.
    packed : (blocks, TALL) int64 array
        The monomials whose coefficients a tile needs, block by block; R where there is none.
    """

    rank: int
    links: tuple[Integers, ...]
    made: Integers
    leaves: Integers
    packed: Integers

    def laid_out(self, coefficients: Float64) -> tuple[Float64, Float64, Float64, int]:
        """Lay out coefficients (R, e+1) for the kernels, with zero columns up to whole tiles."""
        columns = -(-coefficients.shape[1] // COLUMNS) * COLUMNS
        wide = np.zeros((self.rank + 1, columns))
        wide[: self.rank, : coefficients.shape[1]] = coefficients
        packed = wide[self.packed].transpose(0, 2, 1)  # (blocks, C, TALL)
        return wide[self.made].ravel(), wide[self.leaves].ravel(), packed.ravel(), columns


def pullback(indices: MultiIndices) -> Pullback:
    """Order a set of monomials for the kernels.

    Parameters
    ----------
    indices : MultiIndices
        Downward closed.

    Returns
    -------
    Pullback

    Notes
    -----
    Complexity: O(R log R).

    Examples
    --------
    >>> from cubicwall.algorithms.monomials import total_degree
    >>> plan = pullback(total_degree(8, 5))
    >>> len(plan.made), len(plan.leaves)
    (495, 792)
    """
    R, d = len(indices), indices.dimension
    parents, variables = indices.parents.astype(np.int64), indices.variables.astype(np.int64)
    is_made = np.zeros(R, dtype=np.bool_)
    is_made[0] = True
    is_made[parents[1:]] = True
    made, leaves = np.flatnonzero(is_made), np.flatnonzero(~is_made)
    row = np.cumsum(is_made) - 1
    leaves = leaves[np.argsort(variables[leaves], kind="stable")]
    starts = np.searchsorted(variables[leaves], np.arange(d + 1))
    low, high = np.full(len(made), d), np.zeros(len(made), dtype=np.int64)  # leaf children: [low, high)
    np.minimum.at(low, row[parents[leaves]], variables[leaves])
    np.maximum.at(high, row[parents[leaves]], variables[leaves] + 1)
    order = np.lexsort((high, low))
    places = np.empty(len(made), dtype=np.int64)
    places[order] = np.arange(len(made))
    child = np.full((len(made) + 1, d), R)
    child[row[parents[leaves]], variables[leaves]] = leaves
    tiles, blocks, place = [], [], 0
    for first in range(0, len(made), TALL):
        rows = order[first : first + TALL]
        bottom, top = int(low[rows].min(initial=d)), int(high[rows].max(initial=0))
        count = max(0, top - bottom)
        whole = np.full(TALL, len(made))
        whole[: len(rows)] = rows
        blocks.append(np.append(made, R)[whole][None])
        blocks.append(child[whole, bottom : bottom + count].T)
        tiles.append((min(bottom, d - 1) if d else 0, count, place))
        place += 1 + count
    links = (
        np.where(made > 0, row[parents[made]], 0), np.maximum(variables[made], 0), row[parents[leaves]],
        starts, np.arange(len(made)), np.array(tiles), places,
    )  # fmt: skip
    whole_links: Any = tuple(np.ascontiguousarray(array, dtype=np.int64) for array in links)
    return Pullback(R, whole_links, made, leaves, np.concatenate(blocks).astype(np.int64))
