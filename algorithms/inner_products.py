"""Maximum inner product of order k by brute force: the independent truth for gap instances.

All but the last two sets are enumerated, the last two are multiplied as matrices in blocks. Inner
products are integers below 2^24, so float32 holds them exactly.

Cost: Θ(D Π N_g) time; O(D Σ N_g + BLOCK N_k) memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ..instances.answer import Answer, No, Undecided, Yes
from ..instances.max_inner_product import GapMaxInnerProduct

BLOCK = 512


def best_tuple(instance: GapMaxInnerProduct) -> tuple[int, tuple[int, ...]] | None:
    """Return the largest inner product and the first tuple that has it; None where a set is empty.

    Parameters
    ----------
    instance : GapMaxInnerProduct
        k ≥ 2 sets in D < 2^24 coordinates.

    Raises
    ------
    ValueError
        If D is too large for exact float32 sums.

    Complexity
    ----------
    Θ(D Π N_g) time.

    Examples
    --------
    >>> best_tuple(GapMaxInnerProduct([[[1, 0], [1, 1]], [[0, 1], [1, 1]]], target=2, bound=1))
    (2, (1, 1))
    """
    if 0 in instance.sizes:
        return None
    best, found = -1, (0,) * instance.order
    for first, products in inner_products(instance.sets):
        row, column = divmod(int(products.argmax()), products.shape[1])
        if products[row, column] > best:
            best, found = int(products[row, column]), (*first[:-1], first[-1] + row, column)
    return best, found


def inner_products(
    sets: Sequence[npt.NDArray[Any]],
) -> Iterator[tuple[tuple[int, ...], npt.NDArray[np.float32]]]:
    """Yield the inner products of all tuples, block by block, in lexicographic order.

    Parameters
    ----------
    sets : sequence of k ≥ 2 arrays, number g of shape (N_g, D), D < 2^24
        0/1 entries.

    Yields
    ------
    first : tuple of k-1 int
        Where the block begins.
    products : array of shape (at most BLOCK, N_k)
        Row i, column j belongs to the tuple ``(*first[:-1], first[-1] + i, j)``.

    Examples
    --------
    >>> [(first, products.tolist()) for first, products in inner_products([np.eye(2), np.ones((1, 2))])]
    [((0,), [[1.0], [1.0]])]
    """
    dimension = sets[0].shape[1]
    if dimension >= 2**24:
        raise ValueError(f"Argument 'sets' must have fewer than 2^24 coordinates, not {dimension}.")
    *outer, left, right = [vectors.astype(np.float32) for vectors in sets]
    for prefix in product(*(range(len(vectors)) for vectors in outer)):
        shared: npt.NDArray[np.float32] = np.ones(dimension, dtype=np.float32)
        for vectors, index in zip(outer, prefix, strict=True):
            shared *= vectors[index]
        for start in range(0, len(left), BLOCK):
            products = (left[start : start + BLOCK] * shared) @ right.T
            yield (*prefix, start), np.asarray(products, dtype=np.float32)


def decide_gap(instance: GapMaxInnerProduct) -> Answer:
    """Decide a gap instance by brute force.

    Returns
    -------
    Answer
        ``Yes(indices)`` if some tuple reaches the target, `No` if none exceeds the bound,
        `Undecided` if the instance breaks its promise.

    Complexity
    ----------
    As for `best_tuple`.

    Examples
    --------
    >>> decide_gap(GapMaxInnerProduct([[[1, 0], [1, 1]], [[0, 1], [1, 1]]], target=2, bound=1))
    Yes(witness=(1, 1))
    """
    best = best_tuple(instance)
    if best is None or best[0] <= instance.bound:
        return No()
    value, witness = best
    if value >= instance.target:
        return Yes(witness)
    return Undecided(
        f"the promise is broken: the best tuple {witness} has inner product {value}, between the bound "
        f"{instance.bound} and the target {instance.target}"
    )
