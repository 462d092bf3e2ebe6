"""The gradient of attention below the wall, in almost linear time, with a certificate of its error.

Put a polynomial p for e^x, as in `fast_attention`. Then numerators N and denominators D of the output are
sums of products of moments, and reverse mode runs through them (M_t: means over tokens, w_α: weights):

    gN = G/D,  gD = -Σ_c G O/D,          ∂Q from Σ_α w_α Q^α Π_t M_t[α]
    Γ[α,c] = Σ_i Q_i^α (gN, gD)[i,c],    A_t[α,c] = w_α Γ[α,c] Π_{s≠t} M_s[α,c] / n_t
    ∂V_t[j,c] = Σ_α A_t[α,c] K_t[j]^α,   ∂K_t from Σ_c (V_t, 1)[j,c] Σ_α A_t[α,c] K_t[j]^α

one pass over the tokens for the moments, one over the queries, one for Γ and one over the tokens again
(`pullback_kernels`). Time O((n + Σn_t) R (e+1)), a constant times the forward pass's; memory O(R e)
beyond the gradients. No derivative takes a factor d.

The passes are those of `gradient_passes`, which stream their tokens; `gradient_certificate` bounds what comes
of them.

Glossary
--------
G, O       upstream and output.

References
----------
[TAT24] Liang, Shi, Song, Zhou. Tensor Attention Training. arXiv 2405.16411. docs/MATH.md, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .attention_arguments import Array
from .column_statistics import column_summary
from .fast_arguments import fitting
from .gradient_certificate import GradientCertificate, certificate, rounding_bounds
from .gradient_passes import (
    back_coefficients,
    chosen,
    largest_entry,
    means_of,
    queries_of,
    tokens_of,
)
from .gradient_problem import upstream_of
from .gradient_reach import frame_of, row_reach

MAX_RANK = 500_000
"""Largest rank unless the caller says otherwise."""


@dataclass(frozen=True, eq=False)
class FastGradient:
    """Output and gradients, each of its argument's shape, and what is known about the gradients' error."""

    output: Array
    query: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    certificate: GradientCertificate


def fast_gradient(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    upstream: ArrayLike,
    *,
    tolerance: float,
    scale: float | None = None,
    max_rank: int = MAX_RANK,
    out: Sequence[NDArray[Any]] | None = None,
) -> FastGradient:
    """Differentiate Σ upstream · attention(Q, keys, values) in almost linear time where entries are small.

    Parameters
    ----------
    Q : (n, d) array_like
        Queries, n ≥ 1.
    keys, values : sequences of k-1 array_like
        (n_t, d) and (n_t, e).
    upstream : (n, e) array_like
        The derivative of the loss by the output.
    tolerance : float
        Absolute, for every entry of every gradient.
    scale : float, optional
        σ; 1/d unless given.
    max_rank : int
        Largest rank allowed.
    out : sequence of 2k arrays, optional
        Where output, ∂Q, ∂K_t and ∂V_t go, for instance mapped files.

    Returns
    -------
    FastGradient
        float32 if Q, keys and values all are, float64 otherwise; computed in float64. Memory-mapped
        arguments are streamed.

    Raises
    ------
    WallError
        If no polynomial of allowed rank meets the tolerance, or rounding stands in the way.
    TypeError, ValueError
        For arguments that cannot be meant, before any work.

    Notes
    -----
    Complexity: O((n + Σn_t) R (e+1)) time, R = C(d+g, g). Threads change no bit of the result.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Q, K1, K2, V1, V2 = rng.uniform(-1, 1, (5, 2000, 4))
    >>> found = fast_gradient(Q, [K1, K2], [V1, V2], rng.uniform(-1, 1, (2000, 4)), tolerance=1e-2)
    >>> found.certificate.met, found.keys[0].shape
    (True, (2000, 4))
    """
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"Argument 'tolerance' must be positive and finite, not {tolerance}.")
    arrays, sigma = fitting(Q, keys, values, scale)
    middle = len(arrays) // 2
    query, tokens = arrays[0], list(zip(arrays[1 : 1 + middle], arrays[1 + middle :], strict=True))
    above = upstream_of(upstream, (len(query), arrays[-1].shape[1]))
    dtype = np.result_type(*arrays)
    output, *parts = _room(arrays, dtype, out)
    frame = frame_of(
        (len(query), *(len(key) for key, _ in tokens)), dtype, sigma,
        [column_summary(x, middle + 1) for x in (*arrays, above)],
    )  # fmt: skip
    rows = row_reach(frame, query, above)
    expansion = chosen(frame, rows, tolerance, max_rank)
    degree, rank = expansion.polynomial.degree, len(expansion.indices)
    weights = expansion.weights(frame.scale)
    means = [means_of(frame, expansion, t, *pair) for t, pair in enumerate(tokens)]
    gathered, seen = queries_of(
        frame, expansion, weights * np.prod(means, axis=0), query, above, output, parts[0]
    )
    rounding = rounding_bounds(frame, expansion.rounding, seen)
    if rounding is None:
        raise frame.wall(f"rounding stands in the way at degree {degree}", rows, rank)
    for t, pair in enumerate(tokens):
        coefficients = back_coefficients(frame, weights, gathered, means, t)
        tokens_of(frame, expansion, t, coefficients, *pair, parts[1 + t], parts[1 + middle + t])
    largest = [largest_entry(part) if dtype == np.float32 else 0.0 for part in parts]
    known = certificate(frame, rows, tolerance, degree, rank, expansion.prior, rounding, largest)
    if not known.met:
        raise frame.wall(f"rounding alone may cost {known.rounding:.1e}", rows, rank)
    return FastGradient(output, parts[0], tuple(parts[1 : 1 + middle]), tuple(parts[1 + middle :]), known)


def _room(
    arrays: Sequence[NDArray[Any]], dtype: np.dtype[Any], out: Sequence[NDArray[Any]] | None
) -> list[NDArray[Any]]:
    """Make arrays for output and gradients, or check those given."""
    shapes = [(len(arrays[0]), arrays[-1].shape[1]), *(array.shape for array in arrays)]
    if out is None:
        return [np.empty(shape, dtype) for shape in shapes]
    if len(out) != len(shapes):
        raise ValueError(f"Argument 'out' must hold {len(shapes)} arrays, not {len(out)}.")
    for a, (array, shape) in enumerate(zip(out, shapes, strict=True)):
        if (
            not isinstance(array, np.ndarray)
            or array.shape != shape
            or array.dtype != dtype
            or not array.flags.writeable
        ):
            raise ValueError(
                f"Argument 'out[{a}]' must be a writeable array of shape {shape} and type {dtype}."
            )
    return list(out)
