"""k-OV by brute force: every tuple is looked at, 64 at a time.

k sets of 0/1 vectors; a tuple, one vector a set, is orthogonal when no coordinate is 1 in all of it.
Adjacent sets are merged into the set of their ANDs while that stays small, so that any order comes
down to loops over all but three sets, and those three go to the kernel. Merging adjacent sets keeps
the lexicographic order of tuples, and with it which one is first.

Cost: O(m·ΠN_g/64) word operations at worst, on dense random vectors log2 N_k in place of m; O(m·ΣN_g)
memory. Under SETH N^(k−o(1)) cannot be avoided [W05].

Glossary
--------
k, N_g, m   order, sizes, dimension
rank        the number of a tuple in lexicographic order, from 0: its indices in mixed radix
pair        a vector of each of the two sets before the last one, ANDed with the loops' prefix
slices      the last set bit-sliced: see `cubicwall.algorithms.vector_kernels`

References
----------
[W05] Williams. A new algorithm for optimal 2-constraint satisfaction and its implications. 2005.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

from ..instances.answer import No, Yes
from ..instances.orthogonal_vectors import OrthogonalVectors
from .vector_kernels import Counts, Words, count_for_pairs

Bits = NDArray[np.uint8]

_MERGED = 4096  # the largest set that merging may make: its leading slices still fit the first cache
_CHUNK = 64  # words of a slice that the kernel covers at a time, for the same reason
_PAIRS = 2**20  # pairs a call: 8 MB of counts
_TASKS = 16  # a thread, so that no thread waits long for another

# Measured at N = 4096, m = 160, one thread; see benchmarks/orthogonal_vectors.py.
_SECONDS_A_TUPLE = 4e-11
_SECONDS_A_PAIR = 4e-8
_SECONDS_A_CALL = 5e-5


def first_orthogonal(instance: OrthogonalVectors) -> Yes[tuple[int, ...]] | No:
    """Find the lexicographically first orthogonal tuple.

    Parameters
    ----------
    instance : OrthogonalVectors
        Any order, sizes and dimension.

    Returns
    -------
    Yes or No
        ``Yes(indices)``, one row number a set, or `No`.

    Complexity
    ----------
    As `count_orthogonal`, up to the first witness.

    Examples
    --------
    >>> first_orthogonal(OrthogonalVectors([[[1, 1], [0, 1]], [[1, 1], [1, 0]]]))
    Yes(witness=(1, 1))
    """
    for witness in _orthogonal(instance, pairs=256):
        return Yes(witness)
    return No()


def count_orthogonal(instance: OrthogonalVectors) -> int:
    """Count the orthogonal tuples, exactly.

    Parameters
    ----------
    instance : OrthogonalVectors
        Any order, sizes and dimension.

    Complexity
    ----------
    O(m·ΠN_g/64) word operations at worst, shared out to all threads of numba; O(m·ΣN_g) memory.
    `predicted_seconds` says how long that is.

    Examples
    --------
    >>> count_orthogonal(OrthogonalVectors([[[1, 1], [0, 1]], [[1, 1], [1, 0]], [[0, 0], [1, 1]]]))
    5
    """
    if 0 in instance.sizes:
        return 0
    return sum(int(batch.counts.sum()) for batch in _batches(_prepared(instance), _PAIRS))


def all_orthogonal(instance: OrthogonalVectors) -> Iterator[tuple[int, ...]]:
    """Yield every orthogonal tuple, in lexicographic order.

    Parameters
    ----------
    instance : OrthogonalVectors
        Any order, sizes and dimension.

    Yields
    ------
    tuple of k int
        One row number a set.

    Complexity
    ----------
    As `count_orthogonal`, and O(m·N_k) for each pair that has a witness.

    Examples
    --------
    >>> list(all_orthogonal(OrthogonalVectors([[[1, 1], [0, 1]], [[0, 0], [1, 0]]])))
    [(0, 0), (1, 0), (1, 1)]
    """
    return _orthogonal(instance, pairs=_PAIRS)


def predicted_seconds(instance: OrthogonalVectors) -> float:
    """Predict how long `count_orthogonal` takes on random vectors, to refuse what would take hours.

    Good to a factor of about three; vectors with few ones, many of whose tuples are orthogonal,
    or with all their ones in a few coordinates may take longer.

    Examples
    --------
    >>> sets = np.zeros((3, 64, 10), dtype=np.uint8)
    >>> predicted_seconds(OrthogonalVectors(sets)) < 0.01
    True
    """
    *outer, last = _merged_sizes(instance.sizes)
    pairs = math.prod(outer)
    calls = math.prod(outer[:-2]) + pairs / _PAIRS
    work = pairs * (_SECONDS_A_PAIR + last * _SECONDS_A_TUPLE)
    return calls * _SECONDS_A_CALL + work / int(numba.get_num_threads())


@dataclass(frozen=True, slots=True)
class _Prepared:
    heads: list[Words]  # all sets but the last, (N_g, W) each
    slices: Words  # (64 W, chunks, words)
    filling: Words  # (chunks, words)
    third: int  # the size of the last set


@dataclass(frozen=True, slots=True)
class _Batch:
    """Counts for consecutive pairs, of which the first has number `start` below `prefix`."""

    first: Words  # with the prefix ANDed in
    middle: Words
    prefix: int
    start: int
    counts: Counts


def _orthogonal(instance: OrthogonalVectors, pairs: int) -> Iterator[tuple[int, ...]]:
    if 0 in instance.sizes:
        return
    prepared = _prepared(instance)
    for batch in _batches(prepared, pairs):
        for offset in np.flatnonzero(batch.counts):
            i, j = divmod(batch.start + int(offset), len(batch.middle))
            pair = (batch.prefix * len(batch.first) + i) * len(batch.middle) + j
            for third in _uncovered(prepared, batch.first[i] & batch.middle[j]):
                yield _indices(pair * prepared.third + int(third), instance.sizes)


def _batches(prepared: _Prepared, pairs: int) -> Iterator[_Batch]:
    """Count for all pairs in order, `pairs` at first and then four times as many each time."""
    words = prepared.heads[0].shape[1]
    everywhere = _bits_of_slices(prepared)

    def under(heads: list[Words], prefix: int) -> Iterator[_Batch]:
        if len(heads) > 2:
            common = np.bitwise_and.reduce([everywhere, *map(np.bitwise_and.reduce, heads[1:])])
            for i, row in enumerate(heads[0]):
                if not (row & common).any():  # else every tuple from here on has a 1 throughout
                    yield from under([heads[1] & row, *heads[2:]], prefix * len(heads[0]) + i)
            return
        first, middle = heads if len(heads) == 2 else (*heads, np.full((1, words), ~np.uint64(0)))
        start, size, end = 0, pairs, len(first) * len(middle)
        while start < end:
            counts = np.empty(min(size, end - start), dtype=np.int64)
            tasks = min(len(counts), _TASKS * int(numba.get_num_threads()))
            count_for_pairs(first, middle, prepared.slices, prepared.filling, start, tasks, counts)
            yield _Batch(first, middle, prefix, start, counts)
            start, size = start + len(counts), min(4 * size, _PAIRS)

    yield from under(prepared.heads, 0)


def _prepared(instance: OrthogonalVectors) -> _Prepared:
    sets = _merged(instance)
    *heads, last = sets
    # A coordinate in which some set is all 0 decides nothing; the densest of the last set decides most.
    alive = np.flatnonzero(np.logical_and.reduce([vectors.any(axis=0) for vectors in sets]))
    order = alive[np.argsort(-last[:, alive].sum(axis=0, dtype=np.int64), kind="stable")]
    words = max(1, -(-len(order) // 64))
    width = min(_CHUNK, -(-len(last) // 64))
    chunks = -(-len(last) // (64 * width))
    slices = np.zeros((64 * words, chunks * width), dtype=np.uint64)
    slices[: len(order)] = _packed(last[:, order].T, chunks * width)
    filling = ~_packed(np.ones((1, len(last)), dtype=np.uint8), chunks * width)
    return _Prepared(
        heads=[_packed(vectors[:, order], words) for vectors in heads],
        slices=slices.reshape(64 * words, chunks, width),
        filling=filling.reshape(chunks, width),
        third=len(last),
    )


def _merged_sizes(sizes: tuple[int, ...]) -> list[int]:
    return [math.prod(sizes[low:high]) for low, high in _merged_ranges(sizes)]


def _merged_ranges(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Which adjacent sets to merge: the smallest products first, down to two sets."""
    ranges = [(g, g + 1) for g in range(len(sizes))]
    while len(ranges) > 2:
        products = [math.prod(sizes[a:c]) for (a, _), (_, c) in pairwise(ranges)]
        least = min(products)
        if least > _MERGED:
            break
        g = len(products) - 1 - products[::-1].index(least)  # the last such: the inner loop gets longer
        ranges[g : g + 2] = [(ranges[g][0], ranges[g + 1][1])]
    return ranges


def _merged(instance: OrthogonalVectors) -> list[Bits]:
    merged = []
    for low, high in _merged_ranges(instance.sizes):
        vectors = instance.sets[low]
        for others in instance.sets[low + 1 : high]:
            vectors = (vectors[:, None] & others).reshape(len(vectors) * len(others), instance.dimension)
        merged.append(vectors)
    return merged


def _packed(bits: Bits, words: int) -> Words:
    """Pack (rows, columns) bits into (rows, words), column c at bit c mod 64 of word c // 64."""
    octets = np.packbits(bits, axis=1, bitorder="little")
    filled = np.zeros((len(bits), 8 * words), dtype=np.uint8)
    filled[:, : octets.shape[1]] = octets
    packed: Words = filled.view("<u8").astype(np.uint64, copy=False)
    return packed


def _unpacked(words: Words) -> Bits:
    return np.unpackbits(np.asarray(words, dtype="<u8").view(np.uint8), bitorder="little")


def _bits_of_slices(prepared: _Prepared) -> Words:
    """The AND of the whole last set, packed."""
    full = (~(prepared.slices | prepared.filling) == 0).all(axis=(1, 2))
    everywhere: Words = _packed(full[None].astype(np.uint8), len(full) // 64)[0]
    return everywhere


def _uncovered(prepared: _Prepared, pair: Words) -> NDArray[np.int64]:
    """Which vectors of the last set are orthogonal to a pair."""
    chosen = prepared.slices[np.flatnonzero(_unpacked(pair))]
    covered = np.bitwise_or.reduce(chosen, axis=0, initial=np.uint64(0)) | prepared.filling
    return np.flatnonzero(_unpacked(~covered.ravel()))


def _indices(rank: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    digits = []
    for size in reversed(sizes):
        rank, digit = divmod(rank, size)
        digits.append(digit)
    return tuple(reversed(digits))
