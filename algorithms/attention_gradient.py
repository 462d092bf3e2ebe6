"""Exact gradients of attention of any order k: by the queries, by every keys and every values array.

For a loss L with upstream G = ∂L/∂O, and P_i(j) = exp(s_i(j))/D_i,

    w_i(j)    = P_i(j) (Σ_c G[i,c] Π_t V_t[j_t,c] - δ_i),     δ_i = Σ_c G[i,c] O[i,c]
    ∂Q[i,l]   = σ Σ_j w_i(j) Π_t K_t[j_t,l]
    ∂K_t[a,l] = σ Σ_i Σ_{j: j_t = a} w_i(j) Q[i,l] Π_{s≠t} K_s[j_s,l]
    ∂V_t[a,c] =   Σ_i Σ_{j: j_t = a} P_i(j) G[i,c] Π_{s≠t} V_s[j_s,c]

([TAT24] for k = 3; docs/MATH.md section 3.) The forward pass leaves O and ln D_i; then one more sweep over
the tuples computes everything (`gradient_kernels`), recomputing P and keeping none of it.

Time: Θ(n · Πn_t · (d + e)), forward pass included three to four times the forward pass alone. Memory: a
fixed number of copies of the gradients beyond the arguments. Everything is computed in float64 after
scaling by powers of two, so that entries of any size go through wherever the gradient itself is a number.
The result is the same to the last bit for any number of threads, except where many small entries of a batch
are taken at once (`gradient_batches`), which inherits what the BLAS library promises.

Glossary
--------
upstream   G: the derivative of the loss by the output.
twin       `gradient_by_blocks`: slow, short, and independent of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import ArrayLike

from .attention_arguments import Array
from .exact_attention import attention, attention_by_blocks
from .gradient_batches import SMALL, batched
from .gradient_problem import Entry, Float64, Problem, Upstream, collected, scaled, scaled_upstream, times
from .gradient_sweeps import swept

_BLOCK = 2**20  # logits in a block of the plain version
_MANY = 4  # small entries of a batch that are worth taking at once


@dataclass(frozen=True, slots=True)
class Gradient:
    """The derivatives of a loss by the arguments of attention, each of its argument's shape.

    Parameters
    ----------
    query : array, shape (..., n, d)
        ∂L/∂Q.
    keys, values : tuple of k - 1 arrays, shapes (..., n_t, d) and (..., n_t, e)
        ∂L/∂K_t and ∂L/∂V_t.
    """

    query: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]


def attention_gradient(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    upstream: ArrayLike,
    *,
    scale: float | None = None,
) -> Gradient:
    """Differentiate Σ upstream · attention(Q, keys, values), exactly.

    Parameters
    ----------
    Q : array_like, shape (..., n, d)
        Queries.
    keys, values : sequence of k - 1 array_like, shapes (..., n_t, d) and (..., n_t, e)
        Leading axes broadcast; the gradient of an array that was broadcast is summed over its copies.
    upstream : array_like, shape (..., n, e)
        Of the output's shape.
    scale : float, optional
        What the logits are multiplied by; 1/d unless given.

    Returns
    -------
    Gradient
        float32 if every one of Q, keys and values holds float32, float64 otherwise.

    Raises
    ------
    TypeError, ValueError
        For arguments that `attention` refuses, an upstream of another shape or with entries that are
        not finite, and gradients that could leave the range of their type.

    Notes
    -----
    Time Θ(n · Πn_t · (d + e)); memory O((n + Σn_t)(d + e)). The error is that of the forward pass
    (see `exact_attention`), relative to the sums of the terms' magnitudes.

    References
    ----------
    [TAT24] Liang, Shi, Song, Zhou. Tensor Attention Training. arXiv 2405.16411.

    Examples
    --------
    Two tokens share the mass equally, so the key that leads to the larger value shall grow:

    >>> gradient = attention_gradient([[1.0]], [[[0.0], [0.0]]], [[[0.0], [4.0]]], [[1.0]])
    >>> gradient.keys[0].tolist(), gradient.values[0].tolist()
    ([[-1.0], [1.0]], [[0.5], [0.5]])
    """
    return attention_value_and_gradient(Q, keys, values, upstream, scale=scale)[1]


def attention_value_and_gradient(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    upstream: ArrayLike,
    *,
    scale: float | None = None,
) -> tuple[Array, Gradient]:
    """Return attention and its gradient from one forward pass; arguments as for `attention_gradient`.

    Returns
    -------
    output : array, shape (..., n, e)
        As `attention` returns it.
    gradient : Gradient

    Raises
    ------
    TypeError, ValueError
        As for `attention_gradient`.

    Notes
    -----
    Complexity: as for `attention_gradient`, which needs the forward pass anyway.

    Examples
    --------
    >>> output, gradient = attention_value_and_gradient([[2.0]], [[[1.0]]], [[[3.0]]], [[1.0]])
    >>> output.tolist(), gradient.query.tolist()
    ([[3.0]], [[0.0]])
    """
    problem = scaled(Q, keys, values, scale)
    above = scaled_upstream(problem, upstream)
    output, lse = _forward(problem)
    return _value(problem, output), _gradient(_collected(problem, above, output, lse))


def attention_vjp(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    *,
    scale: float | None = None,
) -> tuple[Array, Callable[[ArrayLike], Gradient]]:
    """Return attention and the function that takes an upstream to the gradient, without a second forward.

    Parameters
    ----------
    Q, keys, values, scale
        As for `attention`.

    Returns
    -------
    output : array, shape (..., n, e)
        As `attention` returns it.
    pull : callable
        ``pull(upstream)`` is ``attention_gradient(Q, keys, values, upstream)``; call it as often as needed.

    Raises
    ------
    TypeError, ValueError
        As for `attention`; `pull` as for `attention_gradient`.

    Notes
    -----
    Complexity: the forward pass is `attention`'s, and `pull` two to three times that; it keeps a copy of
    the arguments, the output and the log-sum-exps in float64.

    Examples
    --------
    A loss is needed to have an upstream, and the output to have a loss:

    >>> output, pull = attention_vjp([[1.0]], [[[0.0], [0.0]]], [[[0.0], [4.0]]])
    >>> loss = 0.5 * (output**2).sum()
    >>> pull(output).keys[0].tolist()
    [[-2.0], [2.0]]
    """
    problem = scaled(Q, keys, values, scale)
    output, lse = _forward(problem)

    def pull(upstream: ArrayLike) -> Gradient:
        return _gradient(_collected(problem, scaled_upstream(problem, upstream), output, lse))

    return _value(problem, output), pull


def gradient_by_blocks(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    upstream: ArrayLike,
    *,
    scale: float | None = None,
) -> Gradient:
    """Differentiate as `attention_gradient` does, in numpy alone: the plain twin, for any order.

    Returns
    -------
    Gradient

    Raises
    ------
    TypeError, ValueError
        As for `attention_gradient`.

    Notes
    -----
    Time Θ(n · Πn_t · (d + e)) with a step of the interpreter for every tuple of the first k - 2 keys,
    memory O((n + Σn_t)(d + e)) beyond blocks of 2^20 logits.

    Examples
    --------
    >>> gradient_by_blocks([[1.0]], [[[0.0], [0.0]]], [[[0.0], [4.0]]], [[1.0]]).values[0].tolist()
    [[0.5], [0.5]]
    """
    problem = scaled(Q, keys, values, scale)
    above = scaled_upstream(problem, upstream)
    output, lse = attention_by_blocks(problem.query, problem.keys, problem.values, scale=problem.scale)
    return _gradient(collected(problem, above, output, lse, _by_blocks))


def _forward(problem: Problem) -> tuple[Array, Array]:
    return attention(problem.query, problem.keys, problem.values, scale=problem.scale, return_lse=True)


def _collected(problem: Problem, above: Upstream, output: Array, lse: Array) -> list[Array]:
    """Sweep by the kernel, or by batches of many small entries: which of the two, the sizes alone decide."""
    arguments = problem.arguments
    small = prod(arguments.sizes) <= SMALL and prod(arguments.batch) >= _MANY
    return collected(problem, above, output, lse, swept, batched if small else None)


def _value(problem: Problem, output: Array) -> Array:
    return np.ldexp(output, problem.value_shift).astype(problem.arguments.dtype, copy=False)


def _gradient(arrays: Sequence[Array]) -> Gradient:
    middle = (len(arrays) + 1) // 2
    return Gradient(arrays[0], tuple(arrays[1:middle]), tuple(arrays[middle:]))


def _by_blocks(entry: Entry) -> list[Float64]:
    """The plain sweep: tuples of all keys but the last one by one, queries and last keys in blocks."""
    keys, values, last = entry.keys, entry.values, len(entry.keys) - 1
    grad_Q = np.zeros_like(entry.query)
    grad_keys, grad_values = ([np.zeros_like(array) for array in arrays] for arrays in (keys, values))
    for tokens, rows in _leading(entry):
        Q, G = entry.query[rows], entry.upstream[rows]
        K = [keys[t][a] for t, a in enumerate(tokens)]
        V = [values[t][a] for t, a in enumerate(tokens)]
        q, g = times(Q, *K), times(G, *V)
        P = np.exp(entry.scale * (q @ keys[last].T) - entry.lse[rows, None])
        W = P * (g @ values[last].T - entry.delta[rows, None])
        grad_q, grad_g = W @ keys[last], P @ values[last]
        grad_Q[rows] += times(grad_q, *K)
        for t, a in enumerate(tokens):
            grad_keys[t][a] += times(grad_q, Q, *K[:t], *K[t + 1 :]).sum(axis=0)
            grad_values[t][a] += times(grad_g, G, *V[:t], *V[t + 1 :]).sum(axis=0)
        grad_keys[last] += W.T @ q
        grad_values[last] += P.T @ g
    return [grad_Q, *grad_keys, *grad_values]


def _leading(entry: Entry) -> Iterator[tuple[tuple[int, ...], slice]]:
    step = max(1, _BLOCK // len(entry.keys[-1]))
    for tokens in product(*(range(len(key)) for key in entry.keys[:-1])):
        for first in range(0, len(entry.query), step):
            yield tokens, slice(first, first + step)
