"""The monomials of the polynomial method: which products of columns a polynomial of the logit needs.

For a logit s = σ Σ_l y_l, with y_l the product of column l over the query and the keys, and a polynomial
p(s) = Σ_{m≤g} c_m s^m,

    p(s) = Σ_{|α|≤g} w_α y^α,    w_α = c_{|α|} σ^{|α|} |α|!/α!

by the multinomial theorem, and y^α = Q_i^α Π_t K_t[j_t]^α splits over the tokens [AS24, Lemma 3.4]. Only the
multi-indices matter here: all of total degree ≤ g (R = C(d+g, g) of them), and a merged set for columns of
zeros and ones, where monomials with the same support agree; `pruning` keeps those that uneven columns need.

Every set lists its monomials by degree, each as its *parent* times one coordinate, so that a kernel needs one
multiplication a monomial; the children of one parent stand side by side, so that the top degree, most of the
set, need never be generated.

Glossary
    d         dimension: number of columns
    g         degree: the largest |α|
    R         rank: the number of monomials
    α, |α|    multi-index (exponent of each column) and its degree
    |α|!/α!   multinomial: in how many orders the factors of y^α can be drawn

Reference: [AS24] Alman, Song. How to Capture Higher-order Correlations? ICLR 2024, arXiv 2310.04064.
Cost: building takes O(R) time and memory.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .monomial_levels import Level, extend, root

MAX_RANK = 20_000_000
"""Largest set built unless the caller says otherwise: 400 MB of links, degrees and multinomials."""


class RankExceeded(ValueError):
    """The set asked for is larger than the caller allows.

    Parameters
    ----------
    message : str
        The reason, for people.
    rank : int
        The rank needed; for a pruned set a lower bound on it.
    max_rank : int
        The rank allowed.
    """

    def __init__(self, message: str, rank: int, max_rank: int) -> None:
        super().__init__(message)
        self.rank = rank
        self.max_rank = max_rank


@dataclass(frozen=True, eq=False)
class MultiIndices:
    """A downward closed set of multi-indices, listed by degree, each linked to the one it extends.

    Monomial 0 is the constant. For f > 0, monomial f is monomial ``parents[f]`` times coordinate
    ``variables[f]``, its degree is one more, and ``parents`` never decreases: the children of a parent are
    contiguous.

    Parameters
    ----------
    dimension : int
        Number of coordinates d.
    parents : (R,) int32 array
        Index of the parent; −1 for the constant.
    variables : (R,) int32 array
        The coordinate that the parent is multiplied by; −1 for the constant.
    degrees : (R,) int32 array
        Total degree |α|, never decreasing.
    multinomials : (R,) float64 array
        |α|!/α!, exact below 2⁵³ and within (2|α|+2)·2⁻⁵³ relatively above; ones for a merged set.
    offsets : (g+2,) int64 array
        Degree m occupies ``offsets[m]:offsets[m+1]``; g is the largest degree present.
    merged : bool
        True where a monomial stands for every α with its support: coordinates must then be 0 or 1.
    """

    dimension: int
    parents: NDArray[np.int32]
    variables: NDArray[np.int32]
    degrees: NDArray[np.int32]
    multinomials: NDArray[np.float64]
    offsets: NDArray[np.int64]
    merged: bool = False

    def __len__(self) -> int:
        return len(self.parents)

    @property
    def degree(self) -> int:
        """Largest degree in the set."""
        return len(self.offsets) - 2

    def exponents(self) -> NDArray[np.int32]:
        """Return the multi-indices themselves, an (R, d) array: dense, for tests and small sets."""
        alpha = np.zeros((len(self), self.dimension), dtype=np.int32)
        for start, stop in self.levels():
            alpha[start:stop] = alpha[self.parents[start:stop]]
            alpha[np.arange(start, stop), self.variables[start:stop]] += 1
        return alpha

    def weights(self, coefficients: ArrayLike, scale: float) -> NDArray[np.float64]:
        """Return the weight of every monomial in p(scale · Σ_l y_l), p(x) = Σ c_m x^m.

        Parameters
        ----------
        coefficients : (g+1,) array_like
            c_0..c_g; g may exceed the largest degree of a merged set.
        scale : float
            σ; for a merged set times the common value of the nonzero entries.

        Returns
        -------
        (R,) float64 array
            c_{|α|} σ^{|α|} |α|!/α!, and for a support of size i the sum of that over every α with the
            support, Σ_m c_m σ^m surj(m, i), where surj(m, i) counts the maps of m things onto i.

        Raises
        ------
        ValueError
            If a monomial has a larger degree than the polynomial.
        """
        c = np.asarray(coefficients, dtype=np.float64)
        if self.degree >= len(c):
            raise ValueError(
                f"Argument 'coefficients' must reach degree {self.degree}, the set's, not {len(c) - 1}."
            )
        powers = c * float(scale) ** np.arange(len(c))
        if self.merged:
            powers = _surjections(len(c) - 1, self.degree).T @ powers
        weights: NDArray[np.float64] = powers[self.degrees] * self.multinomials
        return weights

    def levels(self) -> list[tuple[int, int]]:
        """Return the ranges (start, stop) of degrees 1, 2, ..., g."""
        return list(itertools.pairwise(self.offsets[1:].tolist()))


def rank(dimension: int, degree: int) -> int:
    """Count the multi-indices of total degree at most `degree`: C(d+g, g), exactly.

    Parameters
    ----------
    dimension, degree : int
        d ≥ 0 and g ≥ 0.

    Returns
    -------
    int
        The rank.

    Raises
    ------
    ValueError
        If an argument is negative or no integer.

    Examples
    --------
    >>> rank(8, 5)
    1287
    """
    return math.comb(require_count("dimension", dimension) + require_count("degree", degree), degree)


def total_degree(dimension: int, degree: int, *, max_rank: int = MAX_RANK) -> MultiIndices:
    """Build every multi-index of total degree at most `degree`.

    Parameters
    ----------
    dimension, degree : int
        d ≥ 0 and g ≥ 0.
    max_rank : int
        Refuse larger sets, before any work.

    Returns
    -------
    MultiIndices
        All C(d+g, g) of them; the children of a parent run through consecutive variables, from its own last
        on.

    Raises
    ------
    RankExceeded
        If C(d+g, g) is above `max_rank`.
    ValueError
        If an argument is negative or no integer.

    Notes
    -----
    Complexity: O(R) time and memory, R = C(d+g, g).

    Examples
    --------
    >>> total_degree(2, 2).exponents().tolist()
    [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    """
    _guard(rank(dimension, degree), max_rank, f"All monomials of degree ≤ {degree} in {dimension} columns")
    return _complete(dimension, degree, repeat=True)


def merged(dimension: int, degree: int, *, max_rank: int = MAX_RANK) -> MultiIndices:
    """Build one representative for every support of size at most `degree`: enough where entries are 0 or 1.

    A power of a 0/1 column is the column, so y^α depends on α's support alone, and `MultiIndices.weights`
    sums the weights of a support: Σ_m c_m σ^m surj(m, i), the i-th difference of r ↦ p(σ r) at 0.

    Parameters
    ----------
    dimension, degree : int
        d ≥ 0 and g ≥ 0, the polynomial's degree.
    max_rank : int
        Refuse larger sets, before any work.

    Returns
    -------
    MultiIndices
        Σ_{i ≤ min(d,g)} C(d, i) products of distinct columns, marked ``merged``.

    Raises
    ------
    RankExceeded
        If there are more than `max_rank`.
    ValueError
        If an argument is negative or no integer.

    Notes
    -----
    Complexity: linear in the size of the set, in time and memory.

    Examples
    --------
    >>> indices = merged(20, 3)
    >>> len(indices), rank(20, 3)
    (1351, 1771)
    """
    d, g = require_count("dimension", dimension), require_count("degree", degree)
    size = sum(math.comb(d, i) for i in range(min(d, g) + 1))
    _guard(size, max_rank, f"All products of at most {g} of {d} columns")
    return _complete(d, min(d, g), repeat=False)


def features(X: ArrayLike, indices: MultiIndices) -> NDArray[np.float64]:
    """Evaluate every monomial at every row: the readable twin of the kernels.

    Parameters
    ----------
    X : (n, d) array_like
        Rows y.
    indices : MultiIndices
        The monomials, of dimension d.

    Returns
    -------
    (n, R) float64 array
        X[i]^α.

    Raises
    ------
    ValueError
        If `X` is not an (n, d) array.

    Notes
    -----
    Complexity: one multiplication an entry, O(nR) time and memory.

    Examples
    --------
    >>> features([[2.0, 3.0]], total_degree(2, 2)).tolist()
    [[1.0, 2.0, 3.0, 4.0, 6.0, 9.0]]
    """
    x = np.asarray(X, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != indices.dimension:
        raise ValueError(f"Argument 'X' must have shape (n, {indices.dimension}), not {x.shape}.")
    table = np.ones((x.shape[0], len(indices)))  # (n, R)
    for start, stop in indices.levels():
        table[:, start:stop] = table[:, indices.parents[start:stop]] * x[:, indices.variables[start:stop]]
    return table


def _complete(d: int, g: int, *, repeat: bool) -> MultiIndices:
    levels = [root()]
    for m in range(1, g + 1):
        parent = levels[-1]
        first = parent.variables if repeat else parent.variables + 1
        levels.append(extend(parent, m, np.maximum(first, 0), np.full(len(first), d)))
    return assemble(d, levels, merged=not repeat)


def assemble(d: int, levels: list[Level], *, merged: bool = False) -> MultiIndices:
    """Join the levels of degrees 0, 1, ... into one set, without the empty ones at the end."""
    sizes = [len(level.parents) for level in levels]
    while sizes[-1] == 0:
        levels, sizes = levels[:-1], sizes[:-1]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    shifted = [level.parents + offset for level, offset in zip(levels[1:], offsets, strict=False)]
    multinomials = np.concatenate([level.multinomials for level in levels])
    return MultiIndices(
        dimension=d,
        parents=np.concatenate([levels[0].parents, *shifted]).astype(np.int32),
        variables=np.concatenate([level.variables for level in levels]).astype(np.int32),
        degrees=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        multinomials=np.ones(len(multinomials)) if merged else multinomials,
        offsets=offsets,
        merged=merged,
    )


def _surjections(m: int, i: int) -> NDArray[np.float64]:
    """Tabulate surj(a, b) = b·(surj(a−1, b) + surj(a−1, b−1)) for a ≤ m and b ≤ i."""
    table = [[0] * (i + 1) for _ in range(m + 1)]
    table[0][0] = 1
    for a in range(1, m + 1):
        for b in range(1, i + 1):
            table[a][b] = b * (table[a - 1][b] + table[a - 1][b - 1])
    return np.array(table, dtype=np.float64)


def require_count(name: str, number: int) -> int:
    """Return the number as an int, or refuse what is no integer ≥ 0."""
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
        raise ValueError(f"Argument '{name}' must be an integer ≥ 0, not {number!r}.")
    return int(number)


def _guard(size: int, max_rank: int, what: str) -> None:
    if size > max_rank:
        raise RankExceeded(f"{what} are {size:,}, above 'max_rank' = {max_rank:,}.", size, max_rank)
