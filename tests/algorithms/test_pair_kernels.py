"""Tiles over pairs agree with whole matrices: any shape, with and without a mask, any number of threads."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from cubicwall.algorithms.attention_kernels import GROUP, LANES
from cubicwall.algorithms.pair_kernels import pair_gradient, pair_output


def drawn(n: int, m: int, d: int, e: int, c: int, spread: float) -> list[Any]:
    rng = np.random.default_rng(n + 7 * m + 31 * d)
    shapes = ((n, d), (m, d), (m, e), (n, e), (m, c))
    return [rng.uniform(-spread, spread, shapes[0]), *(rng.normal(size=shape) for shape in shapes[1:])]


def definition(arrays: list[Any], scale: float, causal: bool) -> list[Any]:
    Q, K, V, G, C = arrays
    S = scale * Q @ K.T
    if causal:
        S = np.where(np.tri(*S.shape, dtype=bool), S, -np.inf)
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    W = P * (G @ V.T - (G * (P @ V)).sum(axis=1, keepdims=True))
    return [P @ V, scale * W @ C, scale * W.T @ Q, P.T @ G]


def computed(arrays: list[Any], scale: float, causal: bool) -> list[Any]:
    Q, K, V, G, C = arrays
    output, lse = pair_output(Q, K, V, scale, causal=causal)
    delta = (G * output).sum(axis=1)
    return [output, *pair_gradient(Q, K, V, G, lse, delta, C, scale, causal=causal)]


# Logits of up to about 8,000 included: a running ceiling holds them.
@pytest.mark.parametrize("spread", [1.0, 1000.0])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("widths", [(1, 1, 1), (3, 5, 9), (8, 8, 8), (17, 4, 12)])
@pytest.mark.parametrize("n", [1, LANES - 1, LANES, LANES + 1, GROUP * LANES, 2 * GROUP * LANES + 45])
def test_pairs_agree_with_whole_matrices(n: int, widths: Any, causal: bool, spread: float) -> None:
    arrays, scale = drawn(n, n, *widths, spread), 0.5
    reach = np.abs(scale * arrays[0] @ arrays[1].T).max()
    # A logit is off by d + 4 roundings of its size in either version, a sum of n terms by n; weights by both.
    off = 8 * ((widths[0] + 4) * (1 + reach) + n + 64) * 2.0**-53
    sizes = [np.abs(array).sum(axis=1).max() for array in arrays]
    # |w_i|₁ ≤ 2 ‖G_i‖₁ max|V|; columns of w add up over n rows.
    weight = 2 * sizes[3] * sizes[2]
    bounds = [sizes[2], scale * weight * sizes[4], scale * n * weight * sizes[0], n * sizes[3]]
    found = zip(computed(arrays, scale, causal), definition(arrays, scale, causal), bounds, strict=True)
    for ours, theirs, bound in found:
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= off * bound


def test_without_a_mask_queries_and_keys_may_differ_in_number() -> None:
    arrays = drawn(40, 75, 3, 2, 4, 1.0)
    for ours, theirs in zip(computed(arrays, 0.5, False), definition(arrays, 0.5, False), strict=True):
        assert np.abs(ours - theirs).max() <= 1e-12 * np.abs(theirs).max()


def test_a_mask_hides_later_tokens_entirely() -> None:
    arrays = drawn(300, 300, 3, 2, 3, 1.0)
    before = computed(arrays, 0.5, True)[0]
    for array in arrays[1:3]:
        array[200:] = 1e6
    assert np.array_equal(computed(arrays, 0.5, True)[0][:200], before[:200])


@pytest.mark.parametrize("causal", [True, False])
def test_results_do_not_depend_on_the_number_of_threads(causal: bool) -> None:
    arrays, threads = drawn(700, 700, 4, 4, 4, 2.0), numba.get_num_threads()
    many = computed(arrays, 0.5, causal)
    numba.set_num_threads(1)
    try:
        one = computed(arrays, 0.5, causal)
    finally:
        numba.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(many, one, strict=True))
