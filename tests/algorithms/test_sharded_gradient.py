"""The sharded gradient: the numbers of one machine, however the tokens are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("dask", reason="the extra [dask] is not installed")
pytest.importorskip("distributed", reason="the extra [dask] is not installed")

from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.fast_gradient import FastGradient, fast_gradient
from cubicwall.algorithms.sharded_gradient import sharded_gradient
from dask import array as da

Problem = tuple[Any, list[Any], list[Any], Any]


def problem(rng: np.random.Generator, n: int = 900, d: int = 3, e: int = 2, order: int = 3) -> Problem:
    Q, *keys = (rng.uniform(-1, 1, (n + 100 * t, d)) for t in range(order))
    return Q, keys, [rng.uniform(-1, 1, (len(key), e)) for key in keys], rng.normal(size=(n, e))


def cut(rng: np.random.Generator, array: Any) -> Any:
    """Cut rows into shards of uneven sizes, and columns too."""
    edges = np.sort(rng.choice(np.arange(1, len(array)), 4, replace=False))
    sizes = tuple(int(x) for x in np.diff([0, *edges, len(array)]))
    return da.from_array(array, chunks=(sizes, (1, array.shape[1] - 1)))


def gap(one: FastGradient, other: FastGradient) -> float:
    pairs = zip(
        (one.output, one.query, *one.keys, *one.values),
        (other.output, other.query, *other.keys, *other.values),
        strict=True,
    )
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_shards_give_the_gradients_of_one_array(order: int) -> None:
    rng = np.random.default_rng(order)
    Q, keys, values, upstream = problem(rng, order=order)
    whole = fast_gradient(Q, keys, values, upstream, tolerance=0.5)
    parts = sharded_gradient(
        cut(rng, Q), [cut(rng, key) for key in keys], [cut(rng, value) for value in values],
        cut(rng, upstream), tolerance=0.5, scheduler="synchronous",
    )  # fmt: skip
    assert gap(parts, whole) <= 1e-12
    assert parts.certificate.rank == whole.certificate.rank
    assert parts.certificate.bound == pytest.approx(whole.certificate.bound, rel=1e-6)


def test_single_precision_and_plain_arrays_are_taken() -> None:
    rng = np.random.default_rng(1)
    Q, keys, values, upstream = problem(rng, n=200, order=2)
    single = [np.float32(x) for x in (Q, keys[0], values[0])]
    whole = fast_gradient(single[0], [single[1]], [single[2]], upstream, tolerance=0.5)
    parts = sharded_gradient(
        single[0], [single[1]], [single[2]], upstream, tolerance=0.5, scheduler="synchronous"
    )
    assert parts.keys[0].dtype == np.float32
    assert gap(parts, whole) == 0.0


def test_the_wall_and_bad_input_are_reported_by_name() -> None:
    rng = np.random.default_rng(4)
    Q, keys, values, upstream = problem(rng, n=60, d=12)
    with pytest.raises(WallError, match="max_rank"):
        sharded_gradient(4 * Q, keys, values, upstream, tolerance=1e-6, max_rank=500, scheduler="synchronous")
    with pytest.raises(ValueError, match="'upstream' must have the output's shape"):
        sharded_gradient(Q, keys, values, upstream[1:], tolerance=1.0, scheduler="synchronous")
    keys[1][7, 3] = np.nan
    with pytest.raises(ValueError, match=r"'keys\[1\]' must hold finite numbers, not NaN"):
        sharded_gradient(Q, keys, values, upstream, tolerance=1.0, scheduler="synchronous")


@pytest.mark.full
def test_a_cluster_of_processes_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(6)
    Q, keys, values, upstream = problem(rng)
    whole = fast_gradient(Q, keys, values, upstream, tolerance=0.5)
    parts = [da.from_array(x, chunks=(300, -1)) for x in (Q, *keys, *values, upstream)]
    there = sharded_gradient(parts[0], parts[1:3], parts[3:5], parts[5], tolerance=0.5)
    assert gap(there, whole) <= 1e-12
