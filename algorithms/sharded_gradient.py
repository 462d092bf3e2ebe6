"""The fast gradient on tokens that live anywhere: what `sharded` is to the forward pass.

    column summaries  ->  Frame  ->  row reaches  ->  Expansion  ->  M_t  ->  output, ∂Q and Γ  ->  ∂K_t, ∂V_t

Shards are pure functions of their tokens and exchange O(R e) numbers; which worker does what, and when,
changes nothing but the order in which moments are added.

Glossary
    M_t, Γ    sums over the tokens of keys, and over queries; see `gradient_passes`

Cost: as `fast_gradient`, divided by the workers. Needs the extra [dask].
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from dask.delayed import delayed
from numpy.typing import NDArray

from .column_statistics import column_summary
from .fast_gradient import MAX_RANK, FastGradient
from .gradient_certificate import RowRounding, certificate, rounding_bounds
from .gradient_passes import (
    Expansion,
    back_coefficients,
    chosen,
    largest_entry,
    means_of,
    queries_of,
    tokens_of,
)
from .gradient_reach import Frame, RowReach, frame_of, row_reach
from .sharded import Compute, Tokens, added, as_rows, computer, sharded_arguments

Float64 = NDArray[np.float64]
Known = tuple[Frame, Expansion]


def sharded_gradient(
    Q: Any,
    keys: Sequence[Any],
    values: Sequence[Any],
    upstream: Any,
    *,
    tolerance: float,
    scale: float | None = None,
    max_rank: int = MAX_RANK,
    scheduler: Any = None,
) -> FastGradient:
    """Fast gradient of attention of any order on Dask arrays.

    Parameters
    ----------
    Q : (n, d) Dask array or array_like
        Queries; other arrays are cut into shards of `sharded.TOKENS` rows.
    keys, values : sequences of k−1
        (n_t, d) and (n_t, e), likewise; a key and its value array are cut alike.
    upstream : (n, e) Dask array or array_like
        The derivative of the loss by the output; cut like Q.
    tolerance : float
        Absolute, for every entry of every gradient.
    scale : float, optional
        σ; 1/d unless given.
    max_rank : int
        Largest rank allowed.
    scheduler : str, distributed.Client or None
        As for `sharded_attention`.

    Returns
    -------
    FastGradient
        Equal to that of `fast_gradient` up to the order of additions.

    Raises
    ------
    WallError, TypeError, ValueError
        As for `fast_gradient`.

    Notes
    -----
    Complexity: O((n + Σn_t) R (e+1)) time over all workers.

    Examples
    --------
    >>> from dask import array as da
    >>> tokens = da.random.default_rng(0).uniform(-1, 1, (4, 900, 3), chunks=(1, 300, 3))
    >>> Q, K, V, G = tokens
    >>> found = sharded_gradient(Q, [K], [V], G, tolerance=1e-3, scheduler="synchronous")
    >>> found.keys[0].shape, found.certificate.met
    ((900, 3), True)
    """
    arrays, sigma = sharded_arguments(Q, keys, values, tolerance, scale)
    above = as_rows(upstream)
    shape = (arrays[0].shape[0], arrays[-1].shape[1])
    if above.shape != shape:
        raise ValueError(f"Argument 'upstream' must have the output's shape {shape}, not {above.shape}.")
    arrays.append(above.rechunk((arrays[0].chunks[0], -1)))
    with computer(scheduler) as compute:
        return _differentiate(arrays, tolerance, sigma, max_rank, compute)


def _differentiate(
    arrays: list[Tokens], tolerance: float, scale: float, max_rank: int, compute: Compute
) -> FastGradient:
    order = len(arrays) // 2
    shards = [list(array.to_delayed().ravel()) for array in arrays]
    queries, pairs = (shards[0], shards[-1]), list(zip(shards[1:order], shards[order:-1], strict=True))
    found = iter(compute([delayed(_columns)(shard, order) for own in shards for shard in own]))
    summaries = [reduce(add, [next(found) for _ in own]) for own in shards]
    dtype = np.result_type(*arrays[:-1])
    frame = frame_of(tuple(int(array.shape[0]) for array in arrays[:order]), dtype, scale, summaries)
    frame = replace(frame, shards=max(map(len, shards)))
    rows: RowReach = reduce(
        add, compute([delayed(_rows)(frame, *pair) for pair in zip(*queries, strict=True)])
    )
    expansion = chosen(frame, rows, tolerance, max_rank)
    degree, rank = expansion.polynomial.degree, len(expansion.indices)
    known = delayed((frame, expansion), pure=True, traverse=False)
    means = compute(
        [
            added([delayed(_means)(known, t, *pair) for pair in zip(*own, strict=True)])
            for t, own in enumerate(pairs)
        ]
    )
    weights = expansion.weights(frame.scale)
    ahead = delayed(weights * np.prod(means, axis=0), pure=True, traverse=False)
    answers = compute([delayed(_queries)(known, ahead, *pair) for pair in zip(*queries, strict=True)])
    gathered: Float64 = reduce(add, (answer[2] for answer in answers))
    seen: RowRounding = reduce(add, (answer[3] for answer in answers))
    rounding = rounding_bounds(frame, expansion.rounding, seen)
    if rounding is None:
        raise frame.wall(f"rounding stands in the way at degree {degree}", rows, rank)
    tasks = []
    for t, own in enumerate(pairs):
        back = delayed(back_coefficients(frame, weights, gathered, list(means), t), pure=True, traverse=False)
        tasks.append([delayed(_tokens)(known, t, back, *pair) for pair in zip(*own, strict=True)])
    parts = iter(compute([task for own in tasks for task in own]))
    sides = [list(zip(*(next(parts) for _ in own), strict=True)) for own in tasks]
    gradients = [
        np.concatenate([answer[1] for answer in answers]),
        *(np.concatenate(by_key) for by_key, _ in sides),
        *(np.concatenate(by_value) for _, by_value in sides),
    ]
    largest = [largest_entry(part) if dtype == np.float32 else 0.0 for part in gradients]
    bounds = certificate(frame, rows, tolerance, degree, rank, expansion.prior, rounding, largest)
    if not bounds.met:
        raise frame.wall(f"rounding alone may cost {bounds.rounding:.1e}", rows, rank)
    output = np.concatenate([answer[0] for answer in answers])
    return FastGradient(output, gradients[0], tuple(gradients[1:order]), tuple(gradients[order:]), bounds)


def _columns(shard: NDArray[Any], order: int) -> Any:
    return column_summary(np.ascontiguousarray(shard), order)


def _rows(frame: Frame, queries: NDArray[Any], upstream: NDArray[Any]) -> RowReach:
    return row_reach(frame, np.ascontiguousarray(queries), np.ascontiguousarray(upstream))


def _means(known: Known, t: int, keys: NDArray[Any], values: NDArray[Any]) -> Float64:
    return means_of(*known, t, np.ascontiguousarray(keys), np.ascontiguousarray(values))


def _queries(
    known: Known, coefficients: Float64, queries: NDArray[Any], upstream: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], Float64, RowRounding]:
    dtype = known[0].dtype
    output, gradient = np.empty(upstream.shape, dtype), np.empty(queries.shape, dtype)
    arrays = np.ascontiguousarray(queries), np.ascontiguousarray(upstream)
    return output, gradient, *queries_of(*known, coefficients, *arrays, output, gradient)


def _tokens(
    known: Known, t: int, coefficients: Float64, keys: NDArray[Any], values: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    by_key, by_value = (np.empty(array.shape, known[0].dtype) for array in (keys, values))
    arrays = np.ascontiguousarray(keys), np.ascontiguousarray(values)
    tokens_of(*known, t, coefficients, *arrays, by_key, by_value)
    return by_key, by_value
