"""Exhaustive small cases: every instance of a size, or a stratified sample where there are too many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement, product

import numpy as np

from ..instances.cnf import CNF
from ..instances.orthogonal_vectors import OrthogonalVectors


def all_vectors(sets: int, vectors: int, dimension: int) -> Iterator[OrthogonalVectors]:
    """Yield every instance with `sets` sets of `vectors` vectors in {0,1}^dimension.

    There are 2^(sets · vectors · dimension) of them, in the order of their bits.

    Examples
    --------
    >>> sum(1 for _ in all_vectors(2, 1, 2))
    16
    """
    for number in range(2 ** (sets * vectors * dimension)):
        yield _numbered(number, sets, vectors, dimension)


def stratified_vectors(
    sets: int, vectors: int, dimension: int, each: int, *, rng: np.random.Generator
) -> Iterator[OrthogonalVectors]:
    """Yield about `each` random instances for every number of ones that an instance can have.

    A uniform sample would be nearly all of one kind, with half the bits set; strata by the
    number of ones range from all orthogonal to none.
    """
    bits = sets * vectors * dimension
    for ones in range(bits + 1):
        for _ in range(each):
            chosen = rng.permutation(bits)[:ones]
            yield _numbered(sum(1 << int(b) for b in chosen), sets, vectors, dimension)


def all_formulas(variables: int, most_clauses: int) -> Iterator[CNF]:
    """Yield every multiset of at most `most_clauses` clauses over `variables` variables.

    A clause has each variable positive, negative or not at all; the empty clause is one of them.

    Examples
    --------
    >>> sum(1 for _ in all_formulas(3, 3))
    4060
    """
    signs = product((0, 1, -1), repeat=variables)
    clauses = [tuple(s * v for v, s in enumerate(pattern, start=1) if s) for pattern in signs]
    for count in range(most_clauses + 1):
        for chosen in combinations_with_replacement(clauses, count):
            yield CNF.from_clauses(chosen, variables=variables)


def _numbered(number: int, sets: int, vectors: int, dimension: int) -> OrthogonalVectors:
    bits = np.array([number >> b & 1 for b in range(sets * vectors * dimension)], dtype=np.uint8)
    return OrthogonalVectors(tuple(bits.reshape(sets, vectors, dimension)))
