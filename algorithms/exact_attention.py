"""Exact attention of any order k: the oracle that everything else is measured against.

    s_i(j) = scale · Σ_l Q[i,l] Π_t K_t[j_t,l]          j = (j_1, ..., j_{k-1})
    O[i,c] = Σ_j exp(s_i(j)) Π_t V_t[j_t,c] / D_i,      D_i = Σ_j exp(s_i(j))

[AS24, Definition 1.1]; order 2 is softmax attention, order 3 tensor attention. The n·Πn_t logits are
streamed block by block under a running maximum and never kept. Orders 2 and 3 run compiled kernels
(`attention_kernels`), higher orders the plain numpy version, which is also the kernels' slow twin.

Time: Θ(n · Πn_t · (d + e)). Memory: O((n + Σn_t)(d + e)) beyond a block of constant size.

Accuracy: a logit's rounding error is at most about (d + k) · u · x̄, x̄ = |scale| Σ_l |Q| Π|K_t| and
u = 1.1e-16, plus u·|s| for the change to base 2 in the kernels; it turns into a relative error of the
weights. The exponential itself adds 1e-15. Everything is computed in float64, also for float32
arguments, whose output is rounded once at the end.

Threads: the output is the same to the last bit for any number of threads at orders 2 and 3, because
work is cut by size alone; the plain version inherits what the BLAS library promises.
numba picks the OpenMP layer where it finds one (always on Linux); its workqueue layer must not be
entered twice at once, so a lock lets one call at a time into the kernels. fork() after a first call
kills the child: use spawn.

Glossary
--------
tuple      one choice of a token from each keys array; with a query it has one logit.
slab       a range of K_1's tokens: with few query rows, slabs are what the threads share.
ceiling    the running maximum; mass and moments are the sums of weights, and of weights times values.
twin       `attention_by_blocks`: slow, short, and independent of the kernels.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import attention_kernels as kernels
from .attention_arguments import Array, AttentionArguments, checked

Float64 = NDArray[np.float64]

_ONE_AT_A_TIME = threading.Lock()
_ITEMS = 32  # at least so many independent pieces of work, where the sizes allow it
_SLAB_CHUNKS = 4  # and none shorter than this
_TUPLES_A_CALL = 2e8  # a kernel call lasts under a second or so, and Ctrl-C waits for no longer
_BLOCK = 2**20  # logits in a block of the plain version

# Nanoseconds a tuple on two cores with AVX-512: `benchmarks/exact_attention.py` measures them.
_KERNEL_COST = (0.11, 0.0115)  # constant, and for each of the d + e multiply-adds
_PLAIN_COST = (5.0, 0.03)


@dataclass(frozen=True, slots=True)
class Cost:
    """A prediction, good to a factor of about two on machines of the kind it was measured on.

    Parameters
    ----------
    seconds : float
        On two cores.
    bytes : int
        Working memory beyond the arguments, output included.
    """

    seconds: float
    bytes: int


@overload
def attention(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    *,
    scale: float | None = None,
    return_lse: Literal[False] = False,
) -> Array: ...


@overload
def attention(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    *,
    scale: float | None = None,
    return_lse: Literal[True],
) -> tuple[Array, Array]: ...


def attention(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    *,
    scale: float | None = None,
    return_lse: bool = False,
) -> Array | tuple[Array, Array]:
    """Attention of order k = len(keys) + 1, exactly.

    Parameters
    ----------
    Q : array_like, shape (..., n, d)
        Queries. Integers and booleans are taken as float64.
    keys, values : sequence of k - 1 array_like, shapes (..., n_t, d) and (..., n_t, e)
        Leading axes broadcast. The numbers of tokens n_t >= 1 may differ.
    scale : float, optional
        What the logits are multiplied by; 1/d unless given.
    return_lse : bool
        Also return the logarithm of the sum of exponentials, ln D_i.

    Returns
    -------
    O : array, shape (..., n, e)
        float32 if every argument holds float32, float64 otherwise.
    lse : array, shape (..., n)
        Only if asked for; of the same type.

    Raises
    ------
    TypeError, ValueError
        For arguments that `checked` refuses, before any work.

    Notes
    -----
    Time Θ(n · Πn_t · (d + e)), see `predicted_cost`; memory O((n + Σn_t)(d + e)). Orders 2 and 3 give
    the same result to the last bit for any number of threads.

    References
    ----------
    [AS24] Alman, Song. How to Capture Higher-order Correlations? Definition 1.1.

    Examples
    --------
    Attention of order 3 finds the pair of tokens that, together, match the query.

    >>> tokens, names = [[40.0, 0.0], [0.0, 40.0]], [[1.0], [2.0]]
    >>> attention([[0.0, 1.0]], [tokens, tokens], [names, names]).round(6)
    array([[4.]])
    """
    arguments = checked(Q, keys, values, scale)
    plan = _balanced(arguments)
    sums = _kernel_sums if arguments.order <= 3 else _plain_sums
    return _finished(arguments, plan, sums(plan), return_lse)


def attention_by_blocks(
    Q: ArrayLike, keys: Sequence[ArrayLike], values: Sequence[ArrayLike], *, scale: float | None = None
) -> tuple[Array, Array]:
    """The plain twin of `attention`: any order, numpy alone.

    Parameters
    ----------
    Q, keys, values, scale
        As for `attention`.

    Returns
    -------
    O, lse : arrays, shapes (..., n, e) and (..., n)

    Raises
    ------
    TypeError, ValueError
        As for `attention`.

    Notes
    -----
    Time Θ(n · Πn_t · (d + e)), memory O((n + Σn_t)(d + e)) beyond a block of 2^20 logits.

    Examples
    --------
    >>> O, lse = attention_by_blocks([[0.0]], [[[1.0], [2.0]]], [[[3.0], [5.0]]])
    >>> float(O[0, 0]), round(float(lse[0]), 6)
    (4.0, 0.693147)
    """
    arguments = checked(Q, keys, values, scale)
    plan = _balanced(arguments)
    return _finished(arguments, plan, _plain_sums(plan), True)


def predicted_cost(sizes: Sequence[int], dimension: int, columns: int) -> Cost:
    """Predict what `attention` takes, so that hours of work can be refused beforehand.

    Parameters
    ----------
    sizes : sequence of k int
        The numbers of tokens (n, n_1, ..., n_{k-1}); multiply n by the size of the batch.
    dimension, columns : int
        d and e.

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        For fewer than two sizes or a negative number.

    Examples
    --------
    >>> predicted_cost((4096, 4096, 4096), 150, 2).seconds < 600
    True
    """
    if len(sizes) < 2:
        raise ValueError(f"Argument 'sizes' must hold at least two numbers of tokens, not {len(sizes)}.")
    for name, number in (("sizes", min(sizes)), ("dimension", dimension), ("columns", columns)):
        if number < 0:
            raise ValueError(f"Argument '{name}' must not be negative, not {number}.")
    constant, slope = _KERNEL_COST if len(sizes) <= 3 else _PLAIN_COST
    nanoseconds = math.prod(sizes) * (constant + slope * (dimension + columns))
    packed = 8 * sum(sizes) * (dimension + columns + 2)
    block = 0 if len(sizes) <= 3 else 8 * _BLOCK * 4
    return Cost(seconds=1e-9 * nanoseconds + 1e-4, bytes=packed + block + 2**20)


@dataclass(frozen=True, slots=True)
class _Plan:
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
class _Sums:
    """Σ_j exp(s_i(j)) = exp(lse), and moments over mass is the output: (batch, n), (batch, n, e)."""

    lse: Float64
    output: Float64


def _balanced(arguments: AttentionArguments) -> _Plan:
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
    return _Plan(
        query=moved[0],
        keys=tuple(moved[1 : arguments.order]),
        values=tuple(moved[arguments.order :]),
        where=np.array(where, dtype=np.int64).reshape(len(arrays), math.prod(arguments.batch)),
        scale=scale,
        exponent=sum(value_shifts),
        logit_bound=arguments.logit_bound,
    )


def _own_batches(array: Array, shift: int) -> Float64:
    flat = array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:]).astype(np.float64, copy=False)
    return np.ldexp(flat, -shift) if shift else flat


def _finished(arguments: AttentionArguments, plan: _Plan, sums: _Sums, return_lse: bool) -> Any:
    shape = (*arguments.batch, arguments.sizes[0])
    output = np.ldexp(sums.output, plan.exponent).astype(arguments.dtype, copy=False)
    output = output.reshape(*shape, arguments.columns)
    if not return_lse:
        return output
    return output, sums.lse.astype(arguments.dtype, copy=False).reshape(shape)


def _kernel_sums(plan: _Plan) -> _Sums:
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
    slabs = 1
    if parts:
        slabs = max(1, min(_ceiling(_ITEMS, parts), _ceiling(sizes[0], kernels.ROWS * _SLAB_CHUNKS)))
    ceilings, masses = np.empty((batch, slabs, n)), np.empty((batch, slabs, n))
    moments = np.empty((batch, slabs, n, e))
    items = parts * slabs
    step = max(_ITEMS, int(items * _TUPLES_A_CALL / max(1, batch * n * math.prod(sizes))))
    for first in range(0, items, step):
        last = min(items, first + step)
        with _ONE_AT_A_TIME:
            kernel(*packed, d, columns, bounded, np.array([first]), last, numba.get_num_threads(), ceilings, masses, moments)
    ceiling = ceilings.max(axis=1)
    share = np.exp2(ceilings - ceiling[:, None])
    mass = (share * masses).sum(axis=1)
    return _Sums(
        lse=(ceiling + np.log2(mass)) * math.log(2.0),
        output=(share[..., None] * moments).sum(axis=1) / mass[..., None],
    )


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


def _plain_sums(plan: _Plan) -> _Sums:
    """Any order: blocks of tuples of all keys but the last, against blocks of queries and last keys."""
    batch, (n, e) = plan.where.shape[1], (plan.query.shape[1], plan.values[0].shape[2])
    lse, output = np.empty((batch, n)), np.empty((batch, n, e))
    order = len(plan.keys) + 1
    for entry, own in enumerate(plan.where.T):
        Q = plan.query[own[0]] * plan.scale
        keys = [key[own[1 + t]] for t, key in enumerate(plan.keys)]
        values = [value[own[order + t]] for t, value in enumerate(plan.values)]
        for first in range(0, n, 64):
            rows = slice(first, min(n, first + 64))
            lse[entry, rows], output[entry, rows] = _plain_rows(Q[rows], keys, values)
    return _Sums(lse=lse, output=output)


def _plain_rows(Q: Float64, keys: Sequence[Float64], values: Sequence[Float64]) -> tuple[Float64, Float64]:
    peak, mass = np.full(len(Q), -np.inf), np.zeros(len(Q))
    moments = np.zeros((len(Q), values[0].shape[1]))
    for K, V in _tuples(keys[:-1], values[:-1], keys[-1].shape[0] * len(Q)):
        products = (Q[:, None, :] * K).reshape(len(Q) * len(K), Q.shape[1])
        for last in range(0, len(keys[-1]), 1024):
            block = slice(last, last + 1024)
            logits = (products @ keys[-1][block].T).reshape(len(Q), len(K), -1)
            risen = np.maximum(peak, logits.max(axis=(1, 2)))
            shrink = np.exp(peak - risen)
            weights = np.exp(logits - risen[:, None, None])
            mass = mass * shrink + weights.sum(axis=(1, 2))
            moments = moments * shrink[:, None] + ((weights @ values[-1][block]) * V).sum(axis=1)
            peak = risen
    return peak + np.log(mass), moments / mass[:, None]


def _tuples(
    keys: Sequence[Float64], values: Sequence[Float64], logits_each: int
) -> Iterator[tuple[Float64, Float64]]:
    """Products over all tuples of tokens, block by block; of no keys, the one empty product."""
    if not keys:
        yield np.ones((1, 1)), np.ones((1, 1))
        return
    sizes = tuple(len(key) for key in keys)
    count, step = math.prod(sizes), max(1, _BLOCK // logits_each)
    for first in range(0, count, step):
        chosen = np.unravel_index(np.arange(first, min(count, first + step)), sizes)
        yield (
            np.prod([key[index] for key, index in zip(keys, chosen, strict=True)], axis=0),
            np.prod([value[index] for value, index in zip(values, chosen, strict=True)], axis=0),
        )
