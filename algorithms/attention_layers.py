"""What a transformer asks of an attention: an output, its gradient, and what either can be off by.

An attention is handed queries, k - 1 keys and k - 1 values of one head, and later an upstream; it need not
say how it finds the answer. `transformer_gradient` is written against `Attention` alone, so exact and fast
models differ in nothing else.

For the gradient by a product of weights W = W_Q W_Kᵀ one needs σ Σ_j w_i(j) T_j, the weights w of
`attention_gradient` summed against the tokens themselves and not against their keys: the caller names what
is to be carried, and gets the queries' gradient itself where it names nothing.

Glossary
--------
upstream   G: the derivative of the loss by the output.
ω          bound on what rounding does to a weighted mean, relative to the largest magnitude averaged.

References: [MLT24], docs/MATH.md section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .attention_gradient import attention_gradient
from .exact_attention import attention
from .pair_kernels import pair_gradient, pair_output

Reals = NDArray[np.float64]
UNIT = 2.0**-53

Pairs = list[tuple[slice, list[slice]]]
"""Blocks of rows, each with the blocks of columns that it sees."""

_BLOCK = 256  # tokens of a block of logits: half a megabyte
_PARTS = 4  # rows are dealt out to so many tasks, whatever the number of threads


@dataclass(frozen=True, eq=False)
class Head:
    """Arguments of one head, and its output.

    Parameters
    ----------
    query : (n, d) array
        Q.
    keys, values : tuples of k - 1 arrays, (n, d) and (n, e)
        K_t and V_t.
    scale : float
        σ.
    output : (n, e) array
        O, as computed.
    error : float
        Sound bound on the error of every entry of the output.
    kept : object
        What the attention wants to see again in the reverse pass.
    """

    query: Reals
    keys: tuple[Reals, ...]
    values: tuple[Reals, ...]
    scale: float
    output: Reals
    error: float
    kept: Any


@dataclass(frozen=True, eq=False)
class HeadGradient:
    """Derivatives by the arguments of one head, and bounds on their errors in |A|* = Σ_i ‖A_i‖.

    Parameters
    ----------
    query : (n, d) array, or (n, c) where something was carried
        ∂L/∂Q, or σ Σ_j w_ij carried_j.
    keys, values : tuples of k - 1 arrays
        ∂L/∂K_t and ∂L/∂V_t.
    query_error : float
        Bound on |computed - true|* of `query`.
    key_errors, value_errors : tuples of k - 1 floats
        Likewise.
    """

    query: Reals
    keys: tuple[Reals, ...]
    values: tuple[Reals, ...]
    query_error: float
    key_errors: tuple[float, ...]
    value_errors: tuple[float, ...]


class Attention(Protocol):
    """Attention of one head, forward and in reverse."""

    def forward(self, query: Reals, keys: tuple[Reals, ...], values: tuple[Reals, ...], scale: float) -> Head:
        """Return the output with its error bound."""

    def backward(self, head: Head, upstream: Reals, carried: Reals | None) -> HeadGradient:
        """Return the gradient with error bounds; something may be carried for order 2 alone."""


@dataclass(frozen=True)
class ExactAttention:
    """Attention by its definition: every pair, or every tuple, streamed.

    Parameters
    ----------
    causal : bool
        Whether a query sees only its own and earlier tokens; for order 2 alone.

    Notes
    -----
    Time Θ(n^k (d + e)), memory O(n (d + e)). Order 2 goes through `pair_kernels`, masked or not; higher
    orders through the kernels of `exact_attention` and `attention_gradient`.

    Examples
    --------
    >>> one, two = np.zeros((2, 1)), np.array([[0.0], [1.0]])
    >>> ExactAttention(causal=True).forward(one, (one,), (two,), 1.0).output.tolist()
    [[0.0], [0.5]]
    """

    causal: bool

    def forward(self, query: Reals, keys: tuple[Reals, ...], values: tuple[Reals, ...], scale: float) -> Head:
        """Return the output; its error is rounding."""
        if len(keys) == 1:
            output, lse = pair_output(query, keys[0], values[0], scale, causal=self.causal)
        else:
            output, lse = as_reals(attention(query, keys, values, scale=scale)), None
        peak = float(np.prod([_peak(V) for V in values]))
        return Head(query, keys, values, scale, output, 2 * _rounding(query, keys, scale) * peak, lse)

    def backward(self, head: Head, upstream: Reals, carried: Reals | None) -> HeadGradient:
        """Return the gradient; its errors are rounding."""
        keys: tuple[Reals, ...]
        values: tuple[Reals, ...]
        if len(head.keys) == 1:
            by_query, by_key, by_value = pair_gradient(
                head.query,
                head.keys[0],
                head.values[0],
                upstream,
                head.kept,
                (upstream * head.output).sum(axis=1),
                head.keys[0] if carried is None else carried,
                head.scale,
                causal=self.causal,
            )
            query, keys, values = by_query, (by_key,), (by_value,)
        else:
            found = attention_gradient(head.query, head.keys, head.values, upstream, scale=head.scale)
            query = as_reals(found.query)
            keys, values = (tuple(map(as_reals, side)) for side in (found.keys, found.values))
        omega = _rounding(head.query, head.keys, head.scale)
        return HeadGradient(query, keys, values, *rounding_errors(head, upstream, carried, omega))


def rounding_errors(
    head: Head, upstream: Reals, carried: Reals | None, omega: float
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Bound what rounding does to a head's gradient.

    Parameters
    ----------
    head : Head
        The forward pass.
    upstream : (n, e) array
        G.
    carried : (n, c) array or None
        As in `Attention.backward`.
    omega : float
        ω.

    Returns
    -------
    query, keys, values
        Bounds on sums of magnitudes of errors: a weight w_i(j) is P_i(j) times at most
        2 ‖G_i‖₁ Π max|V_t|, and each of its parts carries ω at most four times.

    Notes
    -----
    Complexity: O(k n (d + e)).
    """
    G = np.abs(upstream).sum(axis=1)
    total = float(G.sum())
    peaks = [_peak(V) for V in head.values]
    weight = 8 * omega * head.scale * float(np.prod(peaks))
    reach = [largest_row(K) for K in head.keys]
    others = [
        float(np.prod([_peak(K) for K in head.keys[:t] + head.keys[t + 1 :]])) for t in range(len(reach))
    ]
    by_query = largest_row(carried) if carried is not None else reach[0] * others[0]
    by_key = float((G * np.abs(head.query).sum(axis=1)).sum())
    return (
        weight * total * by_query,
        tuple(weight * by_key * other for other in others),
        tuple(8 * omega * total * float(np.prod(peaks[:t] + peaks[t + 1 :])) for t in range(len(peaks))),
    )


def largest_row(array: Reals) -> float:
    """Return the largest sum of magnitudes of a row."""
    return float(np.abs(array).sum(axis=1).max(initial=0.0))


def as_reals(array: NDArray[Any]) -> Reals:
    """Return an array as float64."""
    return array.astype(np.float64, copy=False)


def _peak(array: Reals) -> float:
    return float(np.abs(array).max(initial=0.0))


def _rounding(query: Reals, keys: tuple[Reals, ...], scale: float) -> float:
    """ω of the exact algorithms: logits, e^x, and sums over tuples, in units of rounding."""
    n, d = len(query), int(query.shape[1])
    reach = scale * largest_row(query) * float(np.prod([_peak(K) for K in keys]))
    return (2 * (d + 2 * len(keys) + 8) * (1.0 + reach) + 64.0 + float(n) ** len(keys)) * UNIT
