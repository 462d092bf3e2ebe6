"""Families of orthogonal vectors: independent bits, with a tuple planted, or with none; the worst case.

Randomness comes from the generator `rng` alone; `seed` is a record for the provenance: give the one
that `rng` was freshly made from.

Glossary
--------
k, N_g, m   order, sizes, dimension
density     the probability of a 1
tuple       one vector a set; orthogonal when no coordinate is 1 in all of them
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from .arguments import generator, integer, number
from .orthogonal_vectors import OrthogonalVectors
from .provenance import Provenance

Bits = NDArray[np.bool_]


def random_orthogonal_vectors(
    sizes: Sequence[int],
    dimension: int,
    density: float,
    *,
    rng: np.random.Generator,
    seed: int | None = None,
) -> OrthogonalVectors:
    """Draw every bit independently, 1 with probability `density`.

    A fixed tuple is orthogonal with probability (1 − density^k)^dimension.

    Parameters
    ----------
    sizes : sequence of k >= 2 int
        N_1..N_k, each at least 1.
    dimension : int
        m ≥ 0.
    density : float
        In [0, 1].
    rng : numpy.random.Generator
        The source of randomness.
    seed : int, optional
        What `rng` was freshly made from, for the provenance.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, if one is of a wrong type or out of range.

    Complexity
    ----------
    O(m·ΣN_g).

    Examples
    --------
    >>> random_orthogonal_vectors((4, 3, 2), 8, 0.5, rng=np.random.default_rng(1))
    OrthogonalVectors(sizes=(4, 3, 2), dimension=8)
    """
    sets = _drawn(sizes, dimension, density, rng)
    return _instance("random_orthogonal_vectors", sets, density, seed)


def planted_orthogonal_vectors(
    sizes: Sequence[int],
    dimension: int,
    density: float,
    *,
    rng: np.random.Generator,
    seed: int | None = None,
) -> OrthogonalVectors:
    """Draw random vectors and make one random tuple orthogonal; there may be others.

    Each coordinate that is 1 in the whole tuple is cleared in one of its vectors, chosen at random.
    Parameters, errors and cost are those of `random_orthogonal_vectors`.

    Examples
    --------
    >>> instance = planted_orthogonal_vectors((1, 1), 6, 1.0, rng=np.random.default_rng(1))
    >>> instance.is_orthogonal((0, 0))
    True
    """
    sets = _drawn(sizes, dimension, density, rng)
    tuple_ = [vectors[rng.integers(len(vectors))] for vectors in sets]  # views: one row of each set
    for coordinate in np.flatnonzero(np.logical_and.reduce(tuple_)):
        tuple_[rng.integers(len(sets))][coordinate] = False
    return _instance("planted_orthogonal_vectors", sets, density, seed)


def orthogonal_free_vectors(
    sizes: Sequence[int],
    dimension: int,
    density: float,
    *,
    rng: np.random.Generator,
    seed: int | None = None,
) -> OrthogonalVectors:
    """Draw random vectors and spoil every orthogonal tuple, each at a random coordinate.

    All tuples are visited once; one that is orthogonal gets a 1 in all its vectors at a coordinate
    of its own. A 1 never makes a tuple orthogonal, so one visit is enough, and no coordinate is
    singled out to be 1 throughout (with few coordinates or many orthogonal tuples one may become so).

    Parameters
    ----------
    sizes, density, rng, seed
        As for `random_orthogonal_vectors`.
    dimension : int
        m ≥ 1: in dimension 0 every tuple is orthogonal.

    Complexity
    ----------
    O(m·ΠN_g) bit operations, in ΠN_g / N_k steps.

    Examples
    --------
    >>> instance = orthogonal_free_vectors((2, 2), 4, 0.2, rng=np.random.default_rng(1))
    >>> any(instance.is_orthogonal((i, j)) for i in range(2) for j in range(2))
    False
    """
    integer("dimension", dimension, 1)
    sets = _drawn(sizes, dimension, density, rng)
    *heads, last = sets
    for indices in product(*(range(len(vectors)) for vectors in heads)):
        head = [vectors[index] for vectors, index in zip(heads, indices, strict=True)]  # views
        # A repair may spoil more tuples with this head, so look again after each.
        while len(orthogonal := np.flatnonzero(~(last & np.logical_and.reduce(head)).any(axis=1))):
            coordinate = rng.integers(dimension)
            for vector in (*head, last[orthogonal[0]]):
                vector[coordinate] = True
    return _instance("orthogonal_free_vectors", sets, density, seed)


def saturated_orthogonal_vectors(
    sizes: Sequence[int], dimension: int, *, rng: np.random.Generator, planted: bool, seed: int | None = None
) -> OrthogonalVectors:
    """Let every tuple share exactly one coordinate, but for one planted tuple that shares none.

    The worst case of an encoding of orthogonal vectors: its bound on instances without an orthogonal tuple is
    met with equality. A vector of the first set picks one coordinate and the other sets are 1 throughout. The
    planted tuple's first vector instead picks k−1 coordinates that no other does, and number s of them is
    shared by those tuples that differ from the planted one in set s+1 first.

    Parameters
    ----------
    sizes, rng, seed
        As for `random_orthogonal_vectors`.
    dimension : int
        m ≥ 1, or ≥ k if planted.
    planted : bool
        Whether one tuple is orthogonal.

    Complexity
    ----------
    O(m·ΣN_g).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> instance = saturated_orthogonal_vectors((2, 2, 2), 4, rng=rng, planted=True)
    >>> sorted(instance.violations(indices) for indices in product(range(2), repeat=3))
    [0, 1, 1, 1, 1, 1, 1, 1]
    """
    order = len(sizes)
    integer("dimension", dimension, order if planted else 1)
    sets = _drawn(sizes, dimension, 1.0, rng)
    block = dimension - (order - 1 if planted else 0)
    sets[0][:] = False
    sets[0][np.arange(sizes[0]), rng.permutation(sizes[0]) % block] = True
    if planted:
        first, *others = (int(rng.integers(size)) for size in sizes)
        sets[0][first] = False
        sets[0][first, block:] = True
        for g, star in enumerate(others):
            sets[g + 1][star, block + g] = False
            sets[g + 1][:, block + g + 1 :] = False
            sets[g + 1][star, block + g + 1 :] = True
    return _instance(f"saturated_orthogonal_vectors[planted={planted}]", sets, 1.0, seed)


def _drawn(sizes: Sequence[int], dimension: int, density: float, rng: np.random.Generator) -> list[Bits]:
    if len(sizes) < 2:
        raise ValueError(f"Argument 'sizes' must hold at least two sizes, not {len(sizes)}.")
    checked = [integer("sizes", size, 1) for size in sizes]
    m = integer("dimension", dimension, 0)
    p = number("density", density, 0, 1)
    generator(rng)
    return [rng.random((size, m)) < p for size in checked]


def _instance(maker: str, sets: list[Bits], density: float, seed: int | None) -> OrthogonalVectors:
    sizes = tuple(map(len, sets))
    dimension = sets[0].shape[1]
    text = f"{maker}(sizes={sizes}, dimension={dimension}, density={float(density)!r})"
    return OrthogonalVectors(sets, Provenance(text, seed))
