"""The inner loop of k-OV: for each pair of packed vectors, how many third vectors are orthogonal to it.

The third set is bit-sliced: for each coordinate, one bit a vector. A pair with ones in the
coordinates c_1, c_2, ... is orthogonal to the vectors that the union of the slices c_1, c_2, ...
leaves uncovered, so one OR of a word serves 64 triples, and the union may stop as soon as it covers
all. With the densest slices first, four to sixteen of them usually do.

Cost: N_1·N_2·⌈N_3/64⌉ words for each common coordinate of the pair, until all is covered.

Glossary
--------
pair     number i·N_2 + j stands for vectors i of the first set and j of the middle one.
slices   the third set, (coordinates, chunks, words): bit r of a slice is set where vector r is 1.
covered  which third vectors meet the pair in one of the coordinates seen so far.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import extending, types
from numpy.typing import NDArray

_settings: Any = numba.config
_settings.THREADING_LAYER = "omp"  # the workqueue layer is not safe under two Python threads

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]

_NONE = np.uint64(0)
_ONE = np.uint64(1)


def _emit_ones(typing: Any, word: Any) -> Any:
    """How many bits of a word are set."""
    return types.int64(types.uint64), lambda context, builder, signature, args: builder.ctpop(args[0])


def _emit_lowest(typing: Any, word: Any) -> Any:
    """The number of the lowest set bit; 64 where there is none."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, 0))

    return types.int64(types.uint64), emit


_ones: Any = extending.intrinsic(_emit_ones)
_lowest: Any = extending.intrinsic(_emit_lowest)


@numba.njit(cache=True, parallel=True)
def count_for_pairs(
    first: Words, middle: Words, slices: Words, filling: Words, start: int, tasks: int, counts: Counts
) -> None:
    """Count, for each pair from number `start` on, the third vectors orthogonal to it.

    Parameters
    ----------
    first, middle : uint64 arrays of shape (N_1, W) and (N_2, W)
        Packed vectors, W >= 1.
    slices : uint64 array of shape (64·W, chunks, words)
        The third set.
    filling : uint64 array of shape (chunks, words)
        Bits that stand for no third vector.
    start : int
        The first pair.
    tasks : int
        In how many parts the pairs are shared out to the threads.
    counts : int64 array of shape (pairs,)
        Receives the counts; `start` + its length is at most N_1·N_2.
    """
    words = first.shape[1]
    chunks, width = filling.shape
    for task in numba.prange(tasks):
        covered = np.empty(width, np.uint64)
        four = np.empty(4, np.int64)
        for pair in range(task * len(counts) // tasks, (task + 1) * len(counts) // tasks):
            i = (start + pair) // len(middle)
            j = (start + pair) - i * len(middle)
            count = 0
            for chunk in range(chunks):
                uncovered = _NONE
                for t in range(width):
                    covered[t] = filling[chunk, t]
                    uncovered |= ~covered[t]
                w = 0
                common = first[i, 0] & middle[j, 0]
                while uncovered != _NONE:
                    found = 0
                    while found < 4:
                        if common == _NONE:
                            w += 1
                            if w == words:
                                break
                            common = first[i, w] & middle[j, w]
                        else:
                            four[found] = 64 * w + _lowest(common)
                            common &= common - _ONE
                            found += 1
                    if found == 0:
                        break
                    for again in range(found, 4):
                        four[again] = four[0]
                    a, b, c, d = four[0], four[1], four[2], four[3]
                    uncovered = _NONE
                    for t in range(width):
                        union = covered[t] | slices[a, chunk, t] | slices[b, chunk, t]
                        union |= slices[c, chunk, t] | slices[d, chunk, t]
                        covered[t] = union
                        uncovered |= ~union
                    if w == words:
                        break
                if uncovered != _NONE:
                    for t in range(width):
                        count += _ones(~covered[t])
            counts[pair] = count
