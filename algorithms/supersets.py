"""k-OV in few coordinates: superset counts and inclusion–exclusion.

By inclusion–exclusion over the set S of coordinates that are 1 throughout, the orthogonal tuples number

    Σ_S (−1)^|S| Π_g #{a ∈ A_g : a is 1 on all of S},

and the superset counts for all S come from one zeta transform (sums over supersets) a set. So k-OV
is easy where the dimension stays below a constant times log N: the picture of the wall needs it.

Cost: O(k·2^d·d + m·ΣN_g) time and 16·2^d bytes, d the number of coordinates after those that are equal
in all vectors have been merged and those in which some set is all 0 dropped.

Glossary
--------
d, m      effective dimension, dimension
zeta      the transform f(S) ← Σ_{T ⊇ S} f(T)
modulus   counts are computed modulo 2^64, and modulo more numbers where they might be larger
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..instances.answer import No, Yes
from ..instances.orthogonal_vectors import OrthogonalVectors

Bits = NDArray[np.uint8]
Integers = NDArray[np.int64]

MAX_DIMENSION = 26  # 1 GiB

_WORD = 2**64


def count_by_supersets(instance: OrthogonalVectors, *, max_dimension: int = MAX_DIMENSION) -> int:
    """Count the orthogonal tuples, exactly, in time linear in the number of vectors.

    Parameters
    ----------
    instance : OrthogonalVectors
        Any order and sizes.
    max_dimension : int
        The largest effective dimension d to accept; 16·2^d bytes are needed.

    Raises
    ------
    ValueError
        If the effective dimension is larger, before anything is allocated.

    Complexity
    ----------
    O(k·2^d·d + m·ΣN_g) time, 16·2^d bytes; that many times again for each 31 bits that ΠN_g has above 64.

    Examples
    --------
    >>> count_by_supersets(OrthogonalVectors([[[1, 1], [0, 1]], [[1, 1], [1, 0]], [[0, 0], [1, 1]]]))
    5
    """
    if 0 in instance.sizes:
        return 0
    return _count(_accepted(instance, max_dimension))


def first_by_supersets(
    instance: OrthogonalVectors, *, max_dimension: int = MAX_DIMENSION
) -> Yes[tuple[int, ...]] | No:
    """Find the lexicographically first orthogonal tuple by counting alone.

    Set after set is halved; the first half is kept where it leaves a positive count. So the answer is
    that of `cubicwall.algorithms.vectors.first_orthogonal`. Parameters and errors are those of
    `count_by_supersets`.

    Complexity
    ----------
    1 + Σ_g ⌈log2 N_g⌉ counts.

    Examples
    --------
    >>> first_by_supersets(OrthogonalVectors([[[1, 1], [0, 1]], [[1, 1], [1, 0]]]))
    Yes(witness=(1, 1))
    """
    if 0 in instance.sizes:
        return No()
    sets = _accepted(instance, max_dimension)
    if not _count(sets):
        return No()
    witness = []
    for g in range(len(sets)):
        low, high = 0, len(sets[g])
        while high - low > 1:
            middle = (low + high) // 2
            if _count([*sets[:g], sets[g][low:middle], *sets[g + 1 :]]):
                high = middle
            else:
                low = middle
        sets[g] = sets[g][low:high]
        witness.append(low)
    return Yes(tuple(witness))


def effective_dimension(instance: OrthogonalVectors) -> int:
    """Count the coordinates that matter: some 1 in every set, and equal ones once.

    Examples
    --------
    >>> effective_dimension(OrthogonalVectors([[[1, 1, 1, 0]], [[1, 1, 0, 1]]]))
    1
    """
    return int(_essential(list(instance.sets))[0].shape[1])


def _accepted(instance: OrthogonalVectors, max_dimension: int) -> list[Bits]:
    sets = _essential(list(instance.sets))
    d = sets[0].shape[1]
    if d > max_dimension:
        raise ValueError(
            f"Argument 'instance' must have at most {max_dimension} coordinates that matter, not {d}, which "
            f"would take {16 * 2**d:.3g} bytes; count_orthogonal takes any dimension."
        )
    return sets


def _essential(sets: list[Bits]) -> list[Bits]:
    alive = np.logical_and.reduce([vectors.any(axis=0) for vectors in sets])
    stacked = np.concatenate(sets)[:, alive]
    if stacked.shape[1]:
        # Rows of octets compare much faster than columns of bits.
        octets = np.ascontiguousarray(np.packbits(stacked, axis=0).T)
        rows = octets.view(np.dtype((np.void, octets.shape[1]))).ravel()
        stacked = stacked[:, np.sort(np.unique(rows, return_index=True)[1])]
    return np.split(stacked, np.cumsum([len(vectors) for vectors in sets])[:-1])


def _count(sets: Sequence[Bits]) -> int:
    """Σ_S (−1)^|S| Π_g supersets_g(S), by the Chinese remainder theorem where a word is too short."""
    essential = _essential(list(sets))
    bound = math.prod(map(len, essential))  # the count is at most this
    count, modulus = _signed_sum(essential, None), _WORD
    step = 2**31 + 1
    while modulus <= bound:
        step -= 2
        if math.gcd(step, modulus) == 1:
            difference = (_signed_sum(essential, step) - count) * pow(modulus, -1, step) % step
            count, modulus = count + modulus * difference, modulus * step
    return count


def _signed_sum(sets: Sequence[Bits], modulus: int | None) -> int:
    """The sum modulo 2^64, for which int64's silent overflow is just right, or modulo `modulus` < 2^31."""
    product = np.ones(1, dtype=np.int64)
    for vectors in sets:
        product = _multiplied(product, _superset_counts(vectors), modulus)
    while len(product) > 1:  # S without and with the highest coordinate, the latter with a minus
        half = len(product) // 2
        product[:half] -= product[half:]
        product = product[:half]
    return int(product[0]) % (modulus or _WORD)


def _multiplied(product: Integers, counts: Integers, modulus: int | None) -> Integers:
    """Multiply in place, so that never more than two arrays of 2^d numbers are alive."""
    if modulus is not None:
        counts %= modulus
    counts *= product
    if modulus is not None:
        counts %= modulus
    return counts


def _superset_counts(vectors: Bits) -> Integers:
    d = vectors.shape[1]
    codes = vectors.astype(np.int64) @ (1 << np.arange(d, dtype=np.int64))
    counts = np.bincount(codes, minlength=2**d)
    for c in range(d):
        with_and_without = counts.reshape(-1, 2, 2**c)
        with_and_without[:, 0] += with_and_without[:, 1]
    return counts
