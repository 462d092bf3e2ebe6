"""The sums behind exact attention, streamed in two ways: by compiled kernels, and by plain numpy.

Both take a `Plan`, in which no partial product can leave the float range, and return `Sums`. They share
nothing else, so that each can be the other's witness.

Cost: Θ(n · Πn_t · (d + e)) time; O((n + Σn_t)(d + e)) memory, beyond a block of 2^18 logits for the
plain version.

Glossary
--------
tuple      one choice of a token from each keys array; with a query it has one logit.
slab       a range of K_1's tokens: with few query rows, slabs are what the threads share.
ceiling    the running maximum of logits, in base 2; mass and moments are the sums of weights, and of
           weights times values, divided by 2^ceiling.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from . import attention_kernels as kernels
from .attention_arguments import Array, AttentionArguments

Float64 = NDArray[np.float64]

BLOCK = 2**18  # logits in a block of the plain version: two megabytes,
_QUERIES, _LAST = 64, 512  # of at most so many queries and so many tokens of the last keys

_ONE_AT_A_TIME = threading.Lock()
_WORTH_SHARING = 1e7  # multiply-adds: 0.2 ms; on a busy machine, waking a second thread takes more
_ITEMS = 32  # at least so many independent pieces of work, where the sizes allow it
_SHORTEST_SLAB = 128  # tokens
_TUPLES_AN_ITEM = 5e7  # and no piece much longer than this,
_TUPLES_A_CALL = 2e8  # so that a kernel call lasts about a second and Ctrl-C waits for no longer


@dataclass(frozen=True, slots=True)
class Plan:
    """Arrays (own batch, tokens, width) in float64 whose products stay far inside the float range.

    The logits are `scale` times those of the arrays, outputs 2^`exponent` times. `where` (arrays,
    batch) says which of its own batches each array contributes to an entry of the common batch.
    """

    query: Float64
    keys: tuple[Float64, ...]
    values: tuple[Float64, ...]
    where: NDArray[np.int64]
    scale: float
    exponent: int
    logit_bound: float


@dataclass(frozen=True, slots=True)
class Sums:
    """Σ_j exp(s_i(j)) = exp(lse), and moments over mass is the output: (batch, n), (batch, n, e)."""

    lse: Float64
    output: Float64


def balanced(arguments: AttentionArguments) -> Plan:
    """Scale arrays by powers of two, which is exact, where partial products could over- or underflow."""
    arrays = (arguments.query, *arguments.keys, *arguments.values)
    shifts = [math.frexp(magnitude)[1] for magnitude in arguments.magnitudes]
    logit_shifts, value_shifts = shifts[: arguments.order], shifts[arguments.order :]
    mantissa, scale_shift = math.frexp(arguments.scale)
    if sum(map(abs, (*logit_shifts, scale_shift))) <= 400:
        logit_shifts = [0] * len(logit_shifts)
    if sum(map(abs, value_shifts)) <= 400:
        value_shifts = [0] * len(value_shifts)
    # A logit bound of zero (or below the normal numbers) leaves no logit that could be told from zero.
    scale = math.ldexp(mantissa, scale_shift + sum(logit_shifts)) if arguments.logit_bound else 0.0
    moved = [
        _own_batches(array, shift)
        for array, shift in zip(arrays, (*logit_shifts, *value_shifts), strict=True)
    ]
    where = [
        np.broadcast_to(np.arange(len(own)).reshape(array.shape[:-2]), arguments.batch).ravel()
        for own, array in zip(moved, arrays, strict=True)
    ]
    return Plan(
        query=moved[0],
        keys=tuple(moved[1 : arguments.order]),
        values=tuple(moved[arguments.order :]),
        where=np.array(where, dtype=np.int64).reshape(len(arrays), math.prod(arguments.batch)),
        scale=scale,
        exponent=sum(value_shifts),
        logit_bound=arguments.logit_bound,
    )


def kernel_sums(plan: Plan) -> Sums:
    """Orders 2 and 3: pack, run the items of work in calls of bounded length, and merge the slabs."""
    factor = plan.scale / math.log(2.0)
    bounded = plan.logit_bound / math.log(2.0) < kernels.BOUNDED
    query, batch = plan.query * factor, plan.where.shape[1]
    keys, values, where = plan.keys, plan.values, plan.where
    if len(keys) == 2 and keys[0].shape[1] > keys[1].shape[1]:
        # Lanes are cut to multiples of 32, rows only of 4: the longer keys take the lanes.
        keys, values, where = keys[::-1], values[::-1], where[[0, 2, 1, 4, 3]]
    n, sizes = query.shape[1], tuple(key.shape[1] for key in keys)
    d, e = query.shape[2], values[0].shape[2]
    columns = _ceiling(e, kernels.TILE) * kernels.TILE
    chunks = _packed(keys[0], kernels.ROWS)
    rows = np.zeros((*values[0].shape[:2], columns))
    rows[..., :e] = values[0]
    if len(keys) == 1:
        kernel: Any = kernels.order_two
        packed = (_packed(query, kernels.LANES), chunks, rows.ravel(), where, n, *sizes)
        parts = batch * _ceiling(n, kernels.GROUP * kernels.LANES)
    else:
        kernel = kernels.order_three
        marked = np.zeros((*values[1].shape[:2], columns + 1))
        marked[..., :e] = values[1]
        marked[..., columns] = 1.0
        lanes = (_packed(keys[1], kernels.LANES), _packed(marked, kernels.LANES, past=0.0))
        where = where[[0, 1, 3, 2, 4]]
        packed = (np.ascontiguousarray(query).ravel(), chunks, rows.ravel(), *lanes, where, n, *sizes)
        parts = batch * n
    tuples = batch * n * math.prod(sizes)
    slabs = _slabs(parts, tuples, sizes[0])
    ceilings, masses = np.empty((batch, slabs, n)), np.empty((batch, slabs, n))
    moments = np.empty((batch, slabs, n, e))
    items = parts * slabs
    step = max(_ITEMS, int(items * _TUPLES_A_CALL / max(1, tuples)))
    for first in range(0, items, step):
        last = min(items, first + step)
        with _turn(alone=tuples * (d + e + 16) < _WORTH_SHARING):
            kernel(*packed, d, columns, bounded, first, last, ceilings, masses, moments)
    ceiling = ceilings.max(axis=1)
    share = np.exp2(ceilings - ceiling[:, None])
    mass = (share * masses).sum(axis=1)
    return Sums(
        lse=(ceiling + np.log2(mass)) * math.log(2.0),
        output=(share[..., None] * moments).sum(axis=1) / mass[..., None],
    )


def plain_sums(plan: Plan) -> Sums:
    """Any order: blocks of tuples of all keys but the last, against blocks of queries and last keys."""
    batch, (n, e) = plan.where.shape[1], (plan.query.shape[1], plan.values[0].shape[2])
    lse, output = np.empty((batch, n)), np.empty((batch, n, e))
    order = len(plan.keys) + 1
    for entry, own in enumerate(plan.where.T):
        Q = plan.query[own[0]] * plan.scale
        keys = [key[own[1 + t]] for t, key in enumerate(plan.keys)]
        values = [value[own[order + t]] for t, value in enumerate(plan.values)]
        for first in range(0, n, _QUERIES):
            rows = slice(first, min(n, first + _QUERIES))
            lse[entry, rows], output[entry, rows] = _plain_rows(Q[rows], keys, values)
    return Sums(lse=lse, output=output)


def _own_batches(array: Array, shift: int) -> Float64:
    flat = array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:]).astype(np.float64, copy=False)
    return np.ldexp(flat, -shift) if shift else flat


@contextmanager
def _turn(alone: bool) -> Iterator[None]:
    """One call at a time into the kernels, with one thread if `alone`."""
    with _ONE_AT_A_TIME:
        threads = numba.get_num_threads()
        numba.set_num_threads(1 if alone else threads)
        try:
            yield
        finally:
            numba.set_num_threads(threads)


def _slabs(parts: int, tuples: int, tokens: int) -> int:
    """How often to cut K_1: a function of sizes alone, or results would depend on the machine."""
    wanted = max(_ceiling(_ITEMS, max(1, parts)), int(tuples / max(1, parts) / _TUPLES_AN_ITEM))
    return max(1, min(wanted, _ceiling(tokens, _SHORTEST_SLAB)))


def _packed(array: Float64, width: int, past: float | None = None) -> Float64:
    """(batch, tokens, w) as flat blocks (w, width); past the end the last token, or a constant."""
    batch, tokens, w = array.shape
    blocks = _ceiling(tokens, width)
    size = batch * blocks * w * width
    room = np.empty(size + 8)
    flat = room[(-room.ctypes.data // 8) % 8 :][:size]
    target = flat.reshape(batch, blocks, w, width)
    whole = tokens // width
    target[:, :whole] = array[:, : whole * width].reshape(batch, whole, width, w).swapaxes(2, 3)
    if blocks > whole:
        rest = tokens - whole * width
        target[:, whole, :, :rest] = array[:, whole * width :].swapaxes(1, 2)
        target[:, whole, :, rest:] = array[:, -1, :, None] if past is None else past
    return flat


def _ceiling(a: int, b: int) -> int:
    return -(-a // b)


def _plain_rows(Q: Float64, keys: Sequence[Float64], values: Sequence[Float64]) -> tuple[Float64, Float64]:
    peak, mass = np.full(len(Q), -np.inf), np.zeros(len(Q))
    moments = np.zeros((len(Q), values[0].shape[1]))
    width = max(min(len(keys[-1]), _LAST), Q.shape[1], moments.shape[1])
    for K, V in _tuples(keys[:-1], values[:-1], max(1, BLOCK // (width * len(Q)))):
        products = (Q[:, None, :] * K).reshape(len(Q) * len(K), Q.shape[1])
        for last in range(0, len(keys[-1]), _LAST):
            block = slice(last, last + _LAST)
            logits = (products @ keys[-1][block].T).reshape(len(Q), len(K), -1)
            risen = np.maximum(peak, logits.max(axis=(1, 2)))
            shrink = np.exp(peak - risen)
            weights = np.exp(logits - risen[:, None, None])
            mass = mass * shrink + weights.sum(axis=(1, 2))
            moments = moments * shrink[:, None] + ((weights @ values[-1][block]) * V).sum(axis=1)
            peak = risen
    return peak + np.log(mass), moments / mass[:, None]


def _tuples(
    keys: Sequence[Float64], values: Sequence[Float64], step: int
) -> Iterator[tuple[Float64, Float64]]:
    """Products over all tuples of tokens, block by block; of no keys, the one empty product."""
    if not keys:
        yield np.ones((1, 1)), np.ones((1, 1))
        return
    sizes = tuple(len(key) for key in keys)
    count = math.prod(sizes)
    for first in range(0, count, step):
        chosen = np.unravel_index(np.arange(first, min(count, first + step)), sizes)
        yield (
            np.prod([key[index] for key, index in zip(keys, chosen, strict=True)], axis=0),
            np.prod([value[index] for value, index in zip(values, chosen, strict=True)], axis=0),
        )
