"""Exact attention by pairs and its gradient, masked or not, through register tiles.

Queries go by in panels, keys in chunks of as many rows, so a causal mask leaves out whole chunks and cuts
only the one on the diagonal: half the pairs cost half the time. What is carried in the place of the keys
(`attention_layers`) has its own width.

Time: as `attention_kernels` and `gradient_kernels`, for the pairs that are seen. Memory: the gradients, once
a slot. Work is cut by sizes alone and added in order: results are the same to the last bit for any number of
threads. numba's cache watches the file of the kernel only: after editing the tiles there, touch this file.

Glossary
--------
panel, chunk   as in `attention_kernels`: LANES queries, ROWS keys; chunk p is panel p's diagonal.
group          GROUP panels that share a chunk while it is in the nearest cache.
slot           every so-manieth panel, with accumulators of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from .attention_kernels import (
    GROUP,
    HEADROOM,
    LANES,
    ROWS,
    TILE,
    _absorb,
    _aligned,
    _ceiling_weights,
    _multiply,
    _multiply_accumulate,
)
from .attention_sums import _turn
from .gradient_kernels import STRIP, _add_across, _panel, _weigh

Reals = NDArray[np.float64]
assert ROWS == LANES

_SLOTS = 8


def pair_output(Q: Reals, K: Reals, V: Reals, scale: float, *, causal: bool) -> tuple[Reals, Reals]:
    """Attend over all pairs, or over those with j ≤ i.

    Parameters
    ----------
    Q, K, V : arrays, (n, d), (m, d), (m, e)
        Of one head; n = m with a mask.
    scale : float
        σ.
    causal : bool
        The mask.

    Returns
    -------
    output : (n, e) array
    lse : (n,) array
        Logarithms, in base 2, of the denominators.

    Notes
    -----
    Complexity: Θ(n m (d + e)), half of it with a mask.

    Examples
    --------
    >>> none = np.zeros((2, 1))
    >>> pair_output(none, none, np.array([[0.0], [1.0]]), 1.0, causal=True)[0].tolist()
    [[0.0], [0.5]]
    """
    n, m, e = len(Q), len(K), V.shape[1]
    columns = _rounded(e, TILE)
    ceilings, masses, moments = np.empty(n), np.empty(n), np.empty((n, e))
    with _turn(alone=n * m < 10**5):
        _forward(
            _blocks(Q * (scale / math.log(2.0)), LANES), _blocks(K, ROWS), _padded(V, m, columns).ravel(),
            n, m, Q.shape[1], columns, causal, ceilings, masses, moments,
        )  # fmt: skip
    return moments / masses[:, None], ceilings + np.log2(masses)


def pair_gradient(
    Q: Reals,
    K: Reals,
    V: Reals,
    upstream: Reals,
    lse: Reals,
    delta: Reals,
    carried: Reals,
    scale: float,
    *,
    causal: bool,
) -> tuple[Reals, Reals, Reals]:
    """Sum the weights w of `attention_gradient` against what is carried, and return ∂K and ∂V.

    Parameters
    ----------
    Q, K, V, scale, causal
        As for `pair_output`.
    upstream : (n, e) array
        G.
    lse, delta : (n,) arrays
        From the forward pass; δ_i = ⟨G_i, O_i⟩.
    carried : (m, c) array
        What the weights are summed against: K for the gradient by Q.

    Returns
    -------
    by_query, by_key, by_value : arrays, (n, c), (m, d), (m, e)
        σ w carried, σ wᵀ Q and Pᵀ G.

    Notes
    -----
    Complexity: Θ(n m (d + c + e)), half of it with a mask.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> [x.tolist() for x in pair_gradient(one, one, one, one, one, one, one, math.log(2), causal=True)]
    [[[0.0]], [[0.0]], [[1.0]]]
    """
    (n, d), (m, e), c = Q.shape, V.shape, carried.shape[1]
    rows, wide_d, wide_e = _rounded(m, ROWS), _rounded(d, 8), _rounded(e, 8)
    by_query = np.zeros((_rounded(c, TILE), _rounded(n, LANES)))
    by_key, by_value = np.zeros((_SLOTS, rows * wide_d)), np.zeros((_SLOTS, rows * wide_e))
    with _turn(alone=n * m < 10**5):
        _sweep(
            _blocks(Q, LANES), _blocks(upstream, LANES),
            _blocks(K * (scale / math.log(2.0)), ROWS), _blocks(V, ROWS),
            _padded(carried, rows, len(by_query)).ravel(),
            _blocks(lse[:, None], LANES), _blocks(delta[:, None], LANES),
            n, m, d, e, causal, np.ones(max(d, e)), by_query, by_key, by_value,
        )  # fmt: skip
    return (
        scale * by_query[:c, :n].T,
        scale * by_key.sum(axis=0).reshape(rows, wide_d)[:m, :d],
        by_value.sum(axis=0).reshape(rows, wide_e)[:m, :e],
    )


@nb.njit
def _mask(S: Any) -> None:
    """Take from the tile on the diagonal the keys that come after a query."""
    for row in range(1, ROWS):
        for lane in range(row):
            S[row * LANES + lane] = -np.inf


@nb.njit
def _absorb_diagonal(
    K: Any, a: int, rows: int, Q: Any, b: int, d: int, V: Any, v: int, columns: int,
    S: Any, M: Any, m: int, sums: Any, first: int,
) -> None:  # fmt: skip
    """Do as `_absorb` with the tile masked: every lane sees its own key at least."""
    for r in range(0, rows, TILE):
        _multiply(S, r * LANES, K, a + r, ROWS, Q, b, d)
    _mask(S)
    mass = first + columns * LANES
    for lane in range(LANES):
        peak = S[lane]
        for row in range(1, rows):
            peak = max(peak, S[row * LANES + lane])
        if peak > M[m + lane] + HEADROOM:
            factor = np.exp2(M[m + lane] - peak)
            for line in range(columns + 1):
                sums[first + line * LANES + lane] *= factor
            M[m + lane] = peak
    _ceiling_weights(S, rows, M, m, sums, mass)
    for c in range(0, columns, TILE):
        _multiply_accumulate(sums, first + c * LANES, V, v + c, columns, S, 0, rows)


@nb.njit(parallel=True, nogil=True, cache=True)
def _forward(
    Q: Any, K: Any, V: Any, n: int, m: int, d: int, columns: int, causal: bool,
    ceilings: Any, masses: Any, moments: Any,
) -> None:  # fmt: skip
    panels, chunks = -(-n // LANES), -(-m // ROWS)
    groups, depth = -(-panels // GROUP), columns + 1
    for item in nb.prange(groups):
        # A long row of groups beside a short one, so that equal shares of items are equal shares of work.
        pair: Any = np.int64(item) // 2
        group: Any = pair if item % 2 == 0 else groups - 1 - pair
        S, M, sums = _aligned(ROWS * LANES), _aligned(GROUP * LANES), _aligned(GROUP * depth * LANES)
        M[:] = -np.inf
        sums[:] = 0.0
        start = group * GROUP
        members = min(GROUP, panels - start)
        for chunk in range(min(chunks, start + members) if causal else chunks):
            rows = min(ROWS, m - chunk * ROWS)
            a, v = chunk * d * ROWS, chunk * ROWS * columns
            for member in range(max(0, chunk - start) if causal else 0, members):
                b, first = (start + member) * d * LANES, member * depth * LANES
                if causal and chunk == start + member:
                    _absorb_diagonal(
                        K, a, rows, Q, b, d, V, v, columns, S, M, member * LANES, sums, first
                    )  # fmt: skip
                else:
                    _absorb(
                        K, a, rows, Q, b, d, V, v, columns, S, M, member * LANES, sums, first, depth, False
                    )  # fmt: skip
        for lane in range(min(members * LANES, n - start * LANES)):
            i = start * LANES + lane
            line = lane // LANES * depth * LANES + lane % LANES
            ceilings[i] = M[lane]
            masses[i] = sums[line + columns * LANES]
            for c in range(moments.shape[1]):
                moments[i, c] = sums[line + c * LANES]


@nb.njit(parallel=True, nogil=True, cache=True)
def _sweep(
    Q: Any, G: Any, K: Any, V: Any, carried: Any, lse: Any, delta: Any,
    n: int, m: int, d: int, e: int, causal: bool, ones: Any, by_query: Any, by_key: Any, by_value: Any,
) -> None:  # fmt: skip
    panels, chunks, width = -(-n // LANES), -(-m // ROWS), len(by_query)
    wide_d, wide_e = -(-d // 8) * 8, -(-e // 8) * 8
    for slot in nb.prange(_SLOTS):
        place: Any = np.int64(slot)  # an unsigned index beside a signed number would make a float
        S, R, T = _aligned(ROWS * LANES), _aligned(ROWS * LANES), _aligned(width * LANES)
        Q_lines, G_lines = _aligned(d * LANES), _aligned(e * LANES)
        Q_tokens, G_tokens = _aligned(wide_d * LANES), _aligned(wide_e * LANES)
        lses, deltas = _aligned(LANES), _aligned(LANES)
        for turn in range(-(-panels // _SLOTS)):
            panel: Any = turn * _SLOTS + (place if turn % 2 == 0 else _SLOTS - 1 - place)
            if panel >= panels:
                continue
            valid = min(LANES, n - panel * LANES)
            _panel(ones, 0, Q, panel * d * LANES, d, valid, Q_lines, Q_tokens)
            _panel(ones, 0, G, panel * e * LANES, e, valid, G_lines, G_tokens)
            for lane in range(LANES):
                lses[lane], deltas[lane] = lse[panel * LANES + lane], delta[panel * LANES + lane]
            T[:] = 0.0
            for chunk in range(min(chunks, panel + 1) if causal else chunks):
                rows = min(ROWS, m - chunk * ROWS)
                strips = -(-rows // STRIP) * STRIP
                for r in range(0, strips, TILE):
                    _multiply(S, r * LANES, K, chunk * d * ROWS + r, ROWS, Q_lines, 0, d)
                    _multiply(R, r * LANES, V, chunk * e * ROWS + r, ROWS, G_lines, 0, e)
                if causal and chunk == panel:
                    _mask(S)
                _weigh(S, R, strips, lses, deltas)
                for l in range(0, width, TILE):
                    _multiply_accumulate(
                        T, l * LANES, carried, chunk * ROWS * width + l, width, R, 0, rows
                    )  # fmt: skip
                _add_across(by_key[slot], chunk * ROWS * wide_d, R, strips, Q_tokens, wide_d)
                _add_across(by_value[slot], chunk * ROWS * wide_e, S, strips, G_tokens, wide_e)
            for l in range(width):
                for lane in range(LANES):
                    by_query[l, panel * LANES + lane] = T[l * LANES + lane]


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _padded(array: Reals, rows: int, columns: int) -> Reals:
    """Repeat the last row up to `rows`, and add columns of zeros."""
    padded = np.zeros((rows, columns))
    padded[: len(array), : array.shape[1]] = array
    padded[len(array) :, : array.shape[1]] = array[-1]
    return padded


def _blocks(array: Reals, width: int) -> Reals:
    """(tokens, w) as flat blocks (w, width), past the end the last token."""
    padded = _padded(array, _rounded(len(array), width), array.shape[1])
    return np.ascontiguousarray(padded.reshape(-1, width, array.shape[1]).swapaxes(1, 2)).ravel()
