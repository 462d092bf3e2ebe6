"""Gradients of many small problems at once: where a call of the kernel for each would be mostly calling.

With q = Q ⊘ K_1 ⊘ ... ⊘ K_{k-2} (row by row, all tuples of these), logits are σ q K_{k-1}ᵀ; likewise
g = G ⊘ V_1 ⊘ ... and g V_{k-1}ᵀ. So the whole sweep is six products of batches of matrices, and each
factor of q gets ∂q times the other factors, summed over their rows.

Time: Θ(n · Πn_t · (d + e)) an entry. Memory: some numbers for every tuple of a stretch of the batch.

Glossary
--------
product   the rows of several arrays multiplied, one of each, as an array (batch, n, n_1, ..., width).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from .gradient_problem import Entry, Float64, times

SMALL = 2**14
"""Tuples of an entry up to which it is small."""

_TUPLES = 2**19  # of a stretch of the batch


def batched(entries: Entry) -> list[Float64]:
    """Sweep over entries that stand along a leading axis: gradients of query, keys and values, without σ."""
    tuples = prod(array.shape[1] for array in (entries.query, *entries.keys))
    step = max(1, _TUPLES // tuples)
    arrays = (entries.query, *entries.keys, *entries.values)
    gradients = [np.empty_like(array) for array in arrays]
    for first in range(0, len(entries.query), step):
        rows = slice(first, first + step)
        stretch = Entry(
            entries.query[rows], tuple(key[rows] for key in entries.keys),
            tuple(value[rows] for value in entries.values), entries.upstream[rows],
            entries.lse[rows], entries.delta[rows], entries.scale,
        )  # fmt: skip
        for gradient, part in zip(gradients, _swept(stretch), strict=True):
            gradient[rows] = part
    return gradients


def _swept(entries: Entry) -> list[Float64]:
    *keys, last_key = entries.keys
    *values, last_value = entries.values
    spread_q, spread_g = _spread([entries.query, *keys]), _spread([entries.upstream, *values])
    q, g = times(*spread_q), times(*spread_g)
    shape = (*q.shape[:-1], last_key.shape[1])
    ahead = (slice(None), slice(None), *(None,) * (len(shape) - 2))
    S, R = (
        (_rows(left) @ right.swapaxes(1, 2)).reshape(shape)
        for left, right in ((q, last_key), (g, last_value))
    )
    P = np.exp(entries.scale * S - entries.lse[ahead])
    W = P * (R - entries.delta[ahead])
    by_query = _factors((_rows(W) @ last_key).reshape(q.shape), spread_q)
    by_upstream = _factors((_rows(P) @ last_value).reshape(g.shape), spread_g)
    return [
        *by_query, _rows(W).swapaxes(1, 2) @ _rows(q),
        *by_upstream[1:], _rows(P).swapaxes(1, 2) @ _rows(g),
    ]  # fmt: skip


def _spread(arrays: Sequence[Float64]) -> list[Float64]:
    """Give every array (batch, tokens, width) an axis of its own, for products by broadcasting."""
    count = len(arrays)
    return [
        array.reshape(len(array), *(1,) * a, array.shape[1], *(1,) * (count - 1 - a), array.shape[2])
        for a, array in enumerate(arrays)
    ]


def _factors(gradient: Float64, spread: list[Float64]) -> list[Float64]:
    """Return from the gradient of a product those of its factors, (batch, tokens, width)."""
    axes = range(1, len(spread) + 1)
    return [
        times(gradient, *spread[:a], *spread[a + 1 :]).sum(axis=tuple(x for x in axes if x != a + 1))
        for a in range(len(spread))
    ]


def _rows(array: Float64) -> Float64:
    return array.reshape(len(array), -1, array.shape[-1])
