"""How a set of monomials grows: the monomials of degree m from those of degree m − 1, each exactly once.

Written as a product of columns in ascending order, a monomial has one parent, itself without the last factor.
Extending every monomial by its own last variable and by later ones therefore makes every product once, and
the children of a parent side by side. Its multinomial follows by one step: |α|!/α! = (parent's) · m / (the
last factor's exponent).

Cost: O(1) vectorised operations a monomial.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EXACT = 2.0**53


@dataclass(frozen=True, eq=False)
class Level:
    """The monomials of one degree; `parents` counts within the level below, `runs` is the last exponent."""

    parents: NDArray[np.int64]
    variables: NDArray[np.int64]
    runs: NDArray[np.int64]
    multinomials: NDArray[np.float64]

    def where(self, mask: NDArray[np.bool_], below: NDArray[np.int64] | None = None) -> "Level":
        """Keep the masked monomials; `below` gives their parents' new positions, if those moved."""
        parents = self.parents[mask]
        if below is not None and self.parents[0] >= 0:
            parents = below[parents]
        return Level(parents, self.variables[mask], self.runs[mask], self.multinomials[mask])

    def renamed(self, names: NDArray[np.int64]) -> "Level":
        """Replace variable l by names[l]."""
        return Level(self.parents, names[self.variables], self.runs, self.multinomials)


def root() -> Level:
    """Return degree 0: the constant alone."""
    nothing = np.full(1, -1, dtype=np.int64)
    return Level(nothing, nothing, np.zeros(1, dtype=np.int64), np.ones(1))


def extend(below: Level, m: int, first: NDArray[np.int64], stop: NDArray[np.int64]) -> Level:
    """Multiply monomial f of the level below by the variables first[f], ..., stop[f] − 1."""
    counts = np.maximum(stop - first, 0)
    parents = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    variables = np.arange(len(parents)) - before[parents] + first[parents]
    runs = np.where(variables == below.variables[parents], below.runs[parents], 0) + 1
    return Level(parents, variables, runs, _longer_multinomials(below.multinomials[parents], m, runs))


def _longer_multinomials(
    parents: NDArray[np.float64], m: int, runs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Extend |α|!/α! by one factor: times m over the new exponent, in integers while they are exact."""
    rounded = parents * m / runs
    small = parents < _EXACT
    rounded[small] = parents[small].astype(np.int64) * m // runs[small]
    return rounded
