"""Sharded attention: the numbers of one machine, wherever the tokens live and whatever happens to workers."""

import os
import signal
import threading
import time

import numpy as np
import pytest

pytest.importorskip("dask", reason="the extra [dask] is not installed")
pytest.importorskip("distributed", reason="the extra [dask] is not installed")

from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.fast_attention import fast_attention
from cubicwall.algorithms.sharded import sharded_attention
from dask import array as da


def problem(rng, n=2500, d=4, e=3, order=3):
    Q, *keys = (rng.uniform(-1, 1, (n + 100 * t, d)) for t in range(order))
    return Q, keys, [rng.uniform(-1, 1, (len(key), e)) for key in keys]


def cut(rng, array):
    """Cut rows into shards of uneven sizes, and columns too."""
    edges = np.sort(rng.choice(np.arange(1, len(array)), 4, replace=False))
    sizes = tuple(int(x) for x in np.diff([0, *edges, len(array)]))
    return da.from_array(array, chunks=(sizes, (1, array.shape[1] - 1)))


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_shards_give_the_numbers_of_one_array(order, seed):
    rng = np.random.default_rng(seed)
    Q, keys, values = problem(rng, order=order)
    whole = fast_attention(Q, keys, values, tolerance=1e-4, method="fast")
    parts = sharded_attention(
        cut(rng, Q), [cut(rng, key) for key in keys], [cut(rng, value) for value in values],
        tolerance=1e-4, scheduler="synchronous",
    )  # fmt: skip
    assert np.max(np.abs(parts.output - whole.output)) <= 1e-12
    assert parts.certificate.rank == whole.certificate.rank
    assert parts.certificate.bound == pytest.approx(whole.certificate.bound, rel=1e-6)


def test_plain_arrays_and_zero_one_columns_are_taken():
    rng = np.random.default_rng(3)
    Q, K1, K2 = (0.9 * (rng.random((50, 12)) < 0.3) for _ in range(3))
    values = [rng.uniform(-1, 1, (50, 2)) for _ in range(2)]
    whole = fast_attention(Q, [K1, K2], values, tolerance=1e-5, scale=0.5, method="fast")
    parts = sharded_attention(Q, [K1, K2], values, tolerance=1e-5, scale=0.5, scheduler="synchronous")
    assert parts.certificate.monomials == whole.certificate.monomials == "merged"
    assert np.max(np.abs(parts.output - whole.output)) <= 1e-12


def test_the_wall_and_bad_input_are_reported_by_name():
    rng = np.random.default_rng(4)
    Q, keys, values = problem(rng, n=60, d=12)
    with pytest.raises(WallError, match="What would work"):
        sharded_attention(
            4 * Q, [4 * key for key in keys], values, tolerance=1e-6, max_rank=500, scheduler="synchronous"
        )
    keys[1][7, 3] = np.nan
    with pytest.raises(ValueError, match=r"'keys\[1\]' must hold finite numbers, not NaN"):
        sharded_attention(Q, keys, values, tolerance=1e-3, scheduler="synchronous")
    with pytest.raises(ValueError, match=r"'values\[0\]' must have as many tokens"):
        sharded_attention(Q, keys, [values[0][1:], values[1]], tolerance=1e-3, scheduler="synchronous")
    with pytest.raises(ValueError, match="'tolerance' must be positive"):
        sharded_attention(Q, keys, values, tolerance=0.0, scheduler="synchronous")


@pytest.mark.full
def test_losing_a_worker_loses_nothing_but_time():
    from distributed import Client, LocalCluster

    rng = np.random.default_rng(5)
    Q, keys, values = problem(rng)
    whole = fast_attention(Q, keys, values, tolerance=1e-4, method="fast")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def slowly(block):  # defined here, it travels by value: workers cannot import tests
            time.sleep(0.2)
            return block

        processes = client.run(os.getpid)
        lost = []

        def kill_one_in_the_middle():
            time.sleep(1.5)
            victim = next(iter(processes.values()))
            lost.append(victim)
            os.kill(victim, signal.SIGKILL)

        slow = [da.from_array(array, chunks=(250, -1)).map_blocks(slowly) for array in (Q, *keys, *values)]
        killer = threading.Thread(target=kill_one_in_the_middle)
        killer.start()
        parts = sharded_attention(slow[0], slow[1:3], slow[3:], tolerance=1e-4, scheduler=client)
        killer.join()
        assert lost
        assert set(client.run(os.getpid).values()) != set(processes.values())
    assert np.max(np.abs(parts.output - whole.output)) <= 1e-12


@pytest.mark.full
def test_a_local_cluster_starts_by_default_and_an_address_is_taken():
    from distributed import LocalCluster

    rng = np.random.default_rng(6)
    Q, keys, values = problem(rng, n=600)
    whole = fast_attention(Q, keys, values, tolerance=1e-4, method="fast")
    here = sharded_attention(Q, keys, values, tolerance=1e-4)
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        there = sharded_attention(Q, keys, values, tolerance=1e-4, scheduler=cluster.scheduler_address)
    for parts in (here, there):
        assert np.max(np.abs(parts.output - whole.output)) <= 1e-12
