"""From an entry of the batch to the kernel of `gradient_kernels` and back: packing, outer rows, sums.

Order 2 is one outer row of ones. At order 3 the outer rows are the queries; above, each is a query times a
token of each of the k - 3 shortest keys, made in blocks, and its gradient is spread over its factors again.

Glossary
--------
outer row   what takes the place of a query (q) and of its upstream (g) in the kernel.
streamed    K_1 and V_1, in chunks and row by row; panels: K_2 and V_2.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from . import attention_kernels, gradient_kernels
from .gradient_problem import Entry, Float64, times

_LANES, _ROWS, _TILE = attention_kernels.LANES, attention_kernels.ROWS, attention_kernels.TILE
_ONE_AT_A_TIME = threading.Lock()
_SLOTS = 16
_SLOT_NUMBERS = 2**24  # in the accumulators of all slots together, unless two slots need more
_TUPLES_A_CALL = 10**8  # a kernel call lasts well under a second, and Ctrl-C waits for no longer
_OUTER_ROWS = 2**14


def swept(entry: Entry) -> list[Float64]:
    """The compiled sweep: gradients of query, keys and values, without the factor of the scale."""
    keys, values = entry.keys, entry.values
    if len(keys) == 1:
        one_q, one_g = (np.ones((1, array.shape[1])) for array in (keys[0], values[0]))
        inner = _Sweep(keys[0], values[0], entry.query, entry.upstream, entry.scale, by_lane=True)
        inner.add(one_q, one_g, entry.lse, entry.delta)
        grad_K, grad_V, grad_Q, _ = inner.gradients()
        return [grad_Q, grad_K, grad_V]
    # Lanes are cut to multiples of 32, rows to 8, outer rows not at all: the longest keys take the lanes.
    ranked = sorted(range(len(keys)), key=lambda t: len(keys[t]))
    *leading, first, second = ranked
    inner = _Sweep(keys[first], values[first], keys[second], values[second], entry.scale, by_lane=False)
    gradients = [np.zeros_like(array) for array in (entry.query, *keys, *values)]
    n, sizes = len(entry.query), tuple(len(keys[t]) for t in leading)
    outer = n * math.prod(sizes)
    step = max(1, min(_OUTER_ROWS, _TUPLES_A_CALL // (len(keys[first]) * len(keys[second]))))
    for start in range(0, outer, step):
        i, *tokens = np.unravel_index(np.arange(start, min(outer, start + step)), (n, *sizes))
        K = [keys[t][rows] for t, rows in zip(leading, tokens, strict=True)]
        V = [values[t][rows] for t, rows in zip(leading, tokens, strict=True)]
        q, g = entry.query[i], entry.upstream[i]
        grad_q, grad_g = inner.add(times(q, *K), times(g, *V), entry.lse[i], entry.delta[i])
        np.add.at(gradients[0], i, times(grad_q, *K))
        for place, (t, rows) in enumerate(zip(leading, tokens, strict=True)):
            others = K[:place] + K[place + 1 :], V[:place] + V[place + 1 :]
            np.add.at(gradients[1 + t], rows, times(grad_q, q, *others[0]))
            np.add.at(gradients[1 + len(keys) + t], rows, times(grad_g, g, *others[1]))
    parts = inner.gradients()
    for t, grad_K, grad_V in ((first, *parts[:2]), (second, *parts[2:])):
        gradients[1 + t], gradients[1 + len(keys) + t] = grad_K, grad_V
    return gradients


class _Sweep:
    """The two arrays that the kernel streams, packed, and their accumulators."""

    def __init__(
        self, K_1: Float64, V_1: Float64, K_2: Float64, V_2: Float64, scale: float, *, by_lane: bool
    ) -> None:
        self.sizes, self.by_lane = (len(K_1), len(K_2)), by_lane
        self.d, self.e = K_1.shape[1], V_1.shape[1]
        rows = _rounded(len(K_1), _ROWS)
        self.streamed = (
            _blocks(K_1 * (scale / math.log(2.0)), _ROWS).ravel(),
            _blocks(V_1, _ROWS).ravel(),
            *(_padded(array, rows, _rounded(array.shape[1], _TILE)).ravel() for array in (K_1, V_1)),
        )
        self.panels = tuple(_blocks(array, _LANES) for array in (K_2, V_2))
        numbers = sum(self.sizes) * (self.d + self.e)
        self.slots = max(2, min(_SLOTS, _SLOT_NUMBERS // numbers))
        widths = [_rounded(width, 8) for width in (self.d, self.e)]
        self.rows = tuple(np.zeros((self.slots, rows, width)) for width in widths)
        self.lanes = tuple(np.zeros((self.slots, panels.size)) for panels in self.panels)

    def add(self, q: Float64, g: Float64, lse: Float64, delta: Float64) -> tuple[Float64, Float64]:
        """Take in some outer rows; return their own gradients."""
        grad_q, grad_g = (np.zeros((self.slots, array.size)) for array in (q, g))
        lse = lse / math.log(2.0)
        if self.by_lane:
            lse, delta = (_blocks(array[:, None], _LANES).ravel() for array in (lse, delta))
        sweep: Any = gradient_kernels.sweep
        with _ONE_AT_A_TIME:
            sweep(
                np.ascontiguousarray(q).ravel(), np.ascontiguousarray(g).ravel(), *self.streamed,
                *(panels.ravel() for panels in self.panels), lse, np.ascontiguousarray(delta),
                (len(q), *self.sizes), self.d, self.e, self.by_lane,
                grad_q, grad_g, *(rows.reshape(self.slots, -1) for rows in self.rows), *self.lanes,
            )  # fmt: skip
        return grad_q.sum(axis=0).reshape(q.shape), grad_g.sum(axis=0).reshape(g.shape)

    def gradients(self) -> tuple[Float64, Float64, Float64, Float64]:
        """Return the gradients of K_1, V_1, K_2 and V_2 over all outer rows so far."""
        grad_K_1, grad_V_1 = (
            rows.sum(axis=0)[: self.sizes[0], :width]
            for rows, width in zip(self.rows, (self.d, self.e), strict=True)
        )
        grad_K_2, grad_V_2 = (
            lanes.sum(axis=0)
            .reshape(panels.shape)
            .swapaxes(1, 2)
            .reshape(-1, panels.shape[1])[: self.sizes[1]]
            for lanes, panels in zip(self.lanes, self.panels, strict=True)
        )
        return grad_K_1, grad_V_1, grad_K_2, grad_V_2


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _padded(array: Float64, rows: int, columns: int) -> Float64:
    """Repeat the last row up to `rows`, and add columns of zeros."""
    padded = np.zeros((rows, columns))
    padded[: len(array), : array.shape[1]] = array
    padded[len(array) :, : array.shape[1]] = array[-1]
    return padded


def _blocks(array: Float64, width: int) -> Float64:
    """(tokens, w) as blocks (w, width), past the end the last token."""
    padded = _padded(array, _rounded(len(array), width), array.shape[1])
    return np.ascontiguousarray(padded.reshape(-1, width, array.shape[1]).swapaxes(1, 2))
