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
tuple      one choice j of a token from each keys array; with a query it has one logit.
twin       `attention_by_blocks`: slow, short, and independent of the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from .attention_arguments import Array, AttentionArguments, checked
from .attention_sums import BLOCK, Plan, Sums, balanced, kernel_sums, plain_sums

# Nanoseconds a tuple on two cores with AVX-512: `benchmarks/exact_attention.py` measures them.
_KERNEL_COST = (0.20, 0.0095)  # constant, and for each of the d + e multiply-adds
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
    plan = balanced(arguments)
    stream = kernel_sums if arguments.order <= 3 else plain_sums
    output, lse = _finished(arguments, plan, stream(plan))
    return (output, lse) if return_lse else output


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
    Time Θ(n · Πn_t · (d + e)), memory O((n + Σn_t)(d + e)) beyond a block of 2^18 logits.

    Examples
    --------
    >>> O, lse = attention_by_blocks([[0.0]], [[[1.0], [2.0]]], [[[3.0], [5.0]]])
    >>> float(O[0, 0]), round(float(lse[0]), 6)
    (4.0, 0.693147)
    """
    arguments = checked(Q, keys, values, scale)
    plan = balanced(arguments)
    return _finished(arguments, plan, plain_sums(plan))


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
    packed = 8 * sum(sizes) * (2 * dimension + 3 * columns + 8)
    block = 0 if len(sizes) <= 3 else 8 * BLOCK * 4
    return Cost(seconds=1e-9 * nanoseconds + 1e-4, bytes=packed + block + 2**20)


def _finished(arguments: AttentionArguments, plan: Plan, sums: Sums) -> tuple[Array, Array]:
    shape = (*arguments.batch, arguments.sizes[0])
    output = np.ldexp(sums.output, plan.exponent).reshape(*shape, arguments.columns)
    return output.astype(arguments.dtype), sums.lse.reshape(shape).astype(arguments.dtype)
