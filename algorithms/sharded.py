"""The fast algorithm on tokens that live anywhere: Dask arrays, on this machine or on a cluster.

Moments are sums over tokens, and so is all that the choice of a polynomial and its certificate need. So every
shard of keys and values sends O(R e) numbers, receives the weights, and its queries are answered where
they are; which worker does what, and when, changes nothing but the order in which moments are added. Shards
are pure functions of their tokens: what a lost worker had done is done again elsewhere.

    column summaries  ->  coordinates  ->  row summaries  ->  expansion  ->  moments  ->  weights  ->  outputs

Glossary
    shard     the tokens of one block of rows of a Dask array

Cost: as `fast_attention`, divided by the workers, plus O(R e) numbers sent for each shard.
Needs the extra [dask].
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dask
import dask.array
import numpy as np
from dask.delayed import delayed
from numpy.typing import DTypeLike, NDArray

from .attention_arguments import checked
from .attention_problem import Problem
from .column_statistics import column_summary
from .expansion import Expansion, OutOfReach, expand
from .expansion_passes import certify, gather, moments_of, outputs_of, require_finite
from .fast_attention import MAX_RANK, FastResult
from .logit_range import binary_geometry, geometry, is_two_valued, row_summary
from .polynomial_kernels import Extremes
from .wall import wall_error

Task = Any  # a dask.delayed.Delayed: Dask's own annotations stop halfway
Tokens = Any  # a dask.array.Array
Compute = Callable[[Sequence[Task]], tuple[Any, ...]]

_dask: Any = dask

TOKENS = 1 << 18
"""Tokens of a shard where an array is not a Dask array yet."""

_FAN_IN = 16  # moments added in one task


def sharded_attention(
    Q: Any,
    keys: Sequence[Any],
    values: Sequence[Any],
    *,
    tolerance: float,
    scale: float | None = None,
    dtype: DTypeLike | None = None,
    max_rank: int = MAX_RANK,
    scheduler: Any = None,
    out: NDArray[Any] | None = None,
) -> FastResult:
    """Fast attention of any order on Dask arrays.

    Parameters
    ----------
    Q : (n, d) Dask array or array_like
        Queries; other arrays are cut into shards of `TOKENS` rows.
    keys, values : sequences of k−1
        (n_t, d) and (n_t, e), likewise; a key and its value array are cut alike.
    tolerance : float
        Absolute, for every entry of the output.
    scale : float, optional
        σ; 1/d unless given.
    dtype : float64, float32 or None
        As for `fast_attention`.
    max_rank : int
        Largest rank allowed.
    scheduler : str, distributed.Client or None
        Address of a Dask scheduler, or a client connected to one; None starts a cluster of processes on this
        machine and closes it; "synchronous" computes shard after shard in this process.
    out : (n, e) array, optional
        Where the output goes, for instance a mapped file.

    Returns
    -------
    FastResult
        Output and certificate, equal to those of `fast_attention` up to the order of additions.

    Raises
    ------
    WallError
        If no expansion meets the tolerance; there is no exact algorithm here to fall back on.
    TypeError, ValueError
        For arguments that cannot be meant.

    Notes
    -----
    Complexity: O((n + Σn_t) R (e+1)) time over all workers.

    Examples
    --------
    >>> from dask import array as da
    >>> tokens = da.random.default_rng(0).uniform(-1, 1, (5, 900, 3), chunks=(1, 300, 3))
    >>> Q, K1, K2, V1, V2 = tokens
    >>> result = sharded_attention(Q, [K1, K2], [V1, V2], tolerance=1e-3, scheduler="synchronous")
    >>> result.output.shape, result.certificate.bound <= 1e-3
    ((900, 3), True)
    """
    if not 0.0 < tolerance < np.inf:
        raise ValueError(f"Argument 'tolerance' must be positive and finite, not {tolerance}.")
    if not isinstance(keys, Sequence) or not isinstance(values, Sequence):
        raise TypeError("Arguments 'keys' and 'values' must be sequences of k−1 arrays.")
    arrays = [_as_rows(array) for array in (Q, *keys, *values)]
    order = len(keys) + 1
    first = [np.zeros(array[:1].shape, array.dtype) for array in arrays]  # for types and shapes
    scale = checked(first[0], first[1:order], first[order:], scale).scale
    for t, (key, value) in enumerate(zip(arrays[1:order], arrays[order:], strict=True)):
        if len(key) != len(value):
            raise ValueError(
                f"Argument 'values[{t}]' must have as many tokens as keys[{t}], {len(key)}, not {len(value)}."
            )
        arrays[order + t] = value.rechunk((key.chunks[0], -1))
    with _computer(scheduler) as compute:
        return _attend(arrays, order, tolerance, scale, dtype, max_rank, out, compute)


def _attend(
    arrays: list[Tokens],
    order: int,
    tolerance: float,
    scale: float,
    dtype: DTypeLike | None,
    max_rank: int,
    out: NDArray[Any] | None,
    compute: Compute,
) -> FastResult:
    shards = [list(array.to_delayed().ravel()) for array in arrays]
    problem = _problem(arrays, shards, order, scale, compute)
    try:
        expansion = expand(problem, tolerance, max_rank, None if dtype is None else np.dtype(dtype))
    except OutOfReach as wall:
        raise wall_error(problem, tolerance, max_rank, str(wall), wall.rank) from wall
    known = delayed((problem, expansion), pure=True, traverse=False)
    sums = []
    for t in range(order - 1):
        parts = [
            delayed(_moments)(known, t, key, value)
            for key, value in zip(shards[1 + t], shards[order + t], strict=True)
        ]
        while len(parts) > 1:
            parts = [delayed(_total)(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
        sums.append(parts[0])
    weights = delayed(_weights)(known, sums)
    answers = compute([delayed(_outputs)(known, weights, shard) for shard in shards[0]])
    output = np.empty((arrays[0].shape[0], arrays[order].shape[1]), problem.dtype) if out is None else out
    np.concatenate([answer for answer, _ in answers], out=output)
    extremes: Extremes = answers[0][1]
    for _, seen in answers[1:]:
        extremes = extremes + seen
    return FastResult(output, certify(problem, expansion, extremes, tolerance, "sharded"))


def _problem(
    arrays: list[Tokens], shards: list[list[Task]], order: int, scale: float, compute: Compute
) -> Problem:
    orders = [1] + [order] * (order - 1) + [1] * (order - 1)
    found = iter(
        compute([delayed(_columns)(shard, k) for own, k in zip(shards, orders, strict=True) for shard in own])
    )
    summaries = []
    for own in shards:
        summary = next(found)
        for _ in own[1:]:
            summary = summary + next(found)
        summaries.append(summary)
    names = ["Q"] + [f"{kind}[{t}]" for kind in ("keys", "values") for t in range(order - 1)]
    require_finite(dict(zip(names, summaries, strict=True)))
    frame = geometry(summaries[0], summaries[1:order], scale)
    guess = binary_geometry(summaries[:order], scale, frame)
    tasks = [delayed(_rows)(shard, frame) for shard in shards[0]]
    if guess is not None:
        tasks += [
            delayed(_two_valued)(shard, frame.active, entries)
            for own, entries in zip(shards[:order], guess[1], strict=True)
            for shard in own
        ]
    answers = compute(tasks)
    rows, *others = answers[: len(shards[0])]
    for other in others:
        rows = rows + other
    binary = guess[0] if guess is not None and all(answers[len(shards[0]) :]) else None
    problem = gather(
        tuple(int(array.shape[0]) for array in arrays[:order]), np.result_type(*arrays), scale,
        summaries[0], summaries[1:order], summaries[order:], frame, binary, rows,
    )  # fmt: skip
    return replace(problem, shards=max(len(own) for own in shards))


def _columns(shard: NDArray[Any], order: int) -> Any:
    return column_summary(np.ascontiguousarray(shard), order)


def _rows(shard: NDArray[Any], frame: Any) -> Any:
    return row_summary(np.ascontiguousarray(shard), frame)


def _two_valued(shard: NDArray[Any], active: NDArray[np.int64], entries: NDArray[np.float64]) -> bool:
    return is_two_valued(np.ascontiguousarray(shard), active, entries)


def _moments(
    known: tuple[Problem, Expansion], t: int, keys: NDArray[Any], values: NDArray[Any]
) -> NDArray[np.float64]:
    return moments_of(*known, t, np.ascontiguousarray(keys), np.ascontiguousarray(values))


def _total(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    total = parts[0].copy()
    for part in parts[1:]:
        total += part
    return total


def _weights(known: tuple[Problem, Expansion], sums: list[NDArray[np.float64]]) -> NDArray[Any]:
    problem, expansion = known
    return expansion.weights(sums, problem.tokens)


def _outputs(
    known: tuple[Problem, Expansion], weights: NDArray[Any], queries: NDArray[Any]
) -> tuple[NDArray[Any], Extremes]:
    problem, expansion = known
    out = np.empty((len(queries), len(problem.values.low)), problem.dtype)
    return out, outputs_of(problem, expansion, weights, np.ascontiguousarray(queries), out)


def _as_rows(array: Any) -> Tokens:
    """Return a Dask array whose blocks are whole rows."""
    if isinstance(array, _dask.array.Array):
        return array.rechunk({1: -1}) if array.ndim == 2 else array
    array = np.asarray(array)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    return _dask.array.from_array(array, chunks=(TOKENS, *array.shape[1:]))


@contextmanager
def _computer(scheduler: Any) -> Iterator[Compute]:
    """Yield what computes a list of tasks, and close what was opened for it."""
    if scheduler == "synchronous":
        yield lambda tasks: _dask.compute(*tasks, scheduler="synchronous")
        return
    import distributed  # half a second that the others need not wait

    Client: Any = distributed.Client
    LocalCluster: Any = distributed.LocalCluster
    if isinstance(scheduler, Client):
        yield lambda tasks: tuple(scheduler.gather(scheduler.compute(list(tasks))))
        return
    with _dask.config.set({"distributed.worker.multiprocessing-method": "spawn"}):  # fork after OpenMP kills
        # numba's OpenMP layer wants one Python thread a process
        cluster = LocalCluster(threads_per_worker=1, dashboard_address=None) if scheduler is None else None
        try:
            with Client(cluster if cluster is not None else scheduler) as client:
                yield lambda tasks: tuple(client.gather(client.compute(list(tasks))))
        finally:
            if cluster is not None:
                cluster.close()
