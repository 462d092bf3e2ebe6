"""Fast pairwise attention keeps its certificate against the definition: masked or not, forward and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.attention_gradient import gradient_by_blocks
from cubicwall.algorithms.attention_layers import ExactAttention
from cubicwall.algorithms.causal_attention import FastAttention
from cubicwall.algorithms.causal_kernels import (
    BLOCK,
    PolynomialKernel,
    sums_over_all,
    sums_over_earlier,
    sums_over_later,
)
from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.exp_polynomial import exp_polynomial
from cubicwall.algorithms.monomials import total_degree
from hypothesis import given, settings
from hypothesis import strategies as st


def definition(Q: Any, K: Any, V: Any, G: Any, C: Any, scale: float, causal: bool) -> list[Any]:
    """Return O, σ w C, ∂K and ∂V from whole matrices."""
    S = scale * Q @ K.T
    if causal:
        S = np.where(np.tri(len(Q), dtype=bool), S, -np.inf)
    P = np.exp(S - S.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    output = P @ V
    W = P * (G @ V.T - (G * output).sum(axis=1, keepdims=True))
    return [output, scale * W @ C, scale * W.T @ Q, P.T @ G]


def rows(array: Any) -> float:
    return float(np.linalg.norm(array, axis=1).sum())


def drawn(n: int, d: int, e: int, spread: float, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    Q, K = rng.uniform(-spread, spread, (2, n, d))
    # Values with structure: independent ones would average to nothing and hide errors.
    V = np.sign(np.sin(np.arange(n)[:, None] / (3.0 + np.arange(e)))) + K[:, :1] + 2.0
    return [Q, K + 0.3, V, rng.normal(size=(n, e)), rng.normal(size=(n, 3)) + 1.0]


def check(fast: FastAttention, arrays: list[Any], scale: float) -> None:
    Q, K, V, G, C = arrays
    output, query, key, value = definition(Q, K, V, G, C, scale, fast.causal)
    head = fast.forward(Q, (K,), (V,), scale)
    # The definition rounds too: sums of n terms, each off by some 16 roundings, of size 2‖G_i‖·max|V|·max|C|.
    own = (
        2 * (16 + len(Q)) * 2.0**-53 * max(1.0, np.abs(V).max()) * max(1.0, np.abs(C).max(), np.abs(Q).max())
    )
    assert np.abs(head.output - output).max() <= head.error + own
    assert head.error <= 1.01 * fast.tolerance
    found = fast.backward(head, G, C)
    assert rows(found.query - query) <= found.query_error + own * rows(G)
    assert rows(found.keys[0] - key) <= found.key_errors[0] + own * rows(G)
    assert rows(found.values[0] - value) <= found.value_errors[0] + own * rows(G)
    assert max(found.key_errors[0], found.value_errors[0]) <= fast.tolerance * rows(G)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("n", [1, BLOCK, BLOCK + 1, 3 * BLOCK - 5])
def test_fast_attention_and_gradient_keep_their_certificate(causal: bool, tolerance: float, n: int) -> None:
    check(FastAttention(causal, tolerance), drawn(n, 3, 2, 1.0, n), 0.5)


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(1, 700),
    d=st.integers(1, 4),
    e=st.integers(1, 3),
    spread=st.floats(0.01, 2.0),
    digits=st.integers(1, 8),
    causal=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_certificate_holds_for_any_shape_and_spread(
    n: int, d: int, e: int, spread: float, digits: int, causal: bool, seed: int
) -> None:
    check(FastAttention(causal, 10.0**-digits), drawn(n, d, e, spread, seed), 1.0 / d)


def test_errors_come_near_the_certificate_for_the_worst_logits_and_values() -> None:
    # Half the keys where p/e^x is largest, half where it is smallest, and values that tell them apart.
    n, fast = 4000, FastAttention(False, 1e-4)
    Q, K, V = np.ones((n, 1)), np.zeros((n, 1)), np.zeros((n, 1))
    K[:2, 0], V[: n // 2] = (-1.0, 1.0), 1.0
    p = fast.forward(Q, (K,), (V,), 1.0).kept.kernel.polynomial
    grid = np.linspace(-1.0, 1.0, 2001)
    off = p(grid) / np.exp(grid)
    K[2 : n // 2], K[n // 2 :] = grid[off.argmax()], grid[off.argmin()]
    head = fast.forward(Q, (K,), (V,), 1.0)
    assert np.array_equal(head.kept.kernel.polynomial.coefficients, p.coefficients)
    error = np.abs(head.output - definition(Q, K, V, V, K, 1.0, False)[0]).max()
    assert 0.3 * head.error <= error <= head.error


@pytest.mark.parametrize("causal", [True, False])
def test_exact_attention_agrees_with_the_definition(causal: bool) -> None:
    Q, K, V, G, C = drawn(1100, 3, 2, 4.0, 1)
    exact = ExactAttention(causal)
    head = exact.forward(Q, (K,), (V,), 1.0)
    found = exact.backward(head, G, C)
    expected = definition(Q, K, V, G, C, 1.0, causal)
    assert np.abs(head.output - expected[0]).max() <= head.error
    bounds = (found.query_error, found.key_errors[0], found.value_errors[0])
    for array, other, bound in zip(
        (found.query, found.keys[0], found.values[0]), expected[1:], bounds, strict=True
    ):
        assert rows(array - other) <= bound <= 1e-8 * rows(G)


def test_exact_attention_without_mask_agrees_with_the_kernels_for_any_order() -> None:
    Q, K, V, G, _ = drawn(60, 3, 2, 1.0, 2)
    exact = ExactAttention(False)
    for order in (2, 3):
        keys, values = (K, K[::-1].copy())[: order - 1], (V, V[::-1].copy())[: order - 1]
        head = exact.forward(Q, keys, values, 0.5)
        found, other = exact.backward(head, G, None), gradient_by_blocks(Q, keys, values, G, scale=0.5)
        assert np.abs(head.output - attention(Q, keys, values, scale=0.5)).max() <= head.error
        assert rows(found.query - other.query) <= found.query_error
        for one, two, bound in zip(found.keys, other.keys, found.key_errors, strict=True):
            assert rows(one - two) <= bound


def test_large_logits_survive_exactly() -> None:
    Q, K, V, G, C = drawn(50, 2, 2, 60.0, 3)
    head = ExactAttention(True).forward(Q, (K,), (V,), 1.0)
    assert np.abs(head.output - definition(Q, K, V, G, C, 1.0, True)[0]).max() <= head.error


def test_a_token_changes_nothing_before_it() -> None:
    Q, K, V, G, _ = drawn(3 * BLOCK, 2, 2, 0.5, 4)
    fast, at = FastAttention(True, 1e-6), 2 * BLOCK + 7
    one = fast.forward(Q, (K,), (V,), 0.5)
    # Inside the columns' ranges, so that centre and polynomial stay what they are.
    changed_K, changed_V = K.copy(), V.copy()
    changed_K[at], changed_V[at] = K[at - 1], V[at - 1]
    two = fast.forward(Q, (changed_K,), (changed_V,), 0.5)
    assert np.array_equal(one.output[:at], two.output[:at])
    upstream = G.copy()
    upstream[at:] = 0.0
    assert not fast.backward(one, upstream, None).values[0][at:].any()


@pytest.mark.parametrize("causal", [True, False])
def test_streamed_sums_are_those_of_the_whole_matrix(causal: bool) -> None:
    rng = np.random.default_rng(5)
    n = 2 * BLOCK + 40
    x, y = rng.uniform(-1, 1, (2, n, 2))
    u, v = rng.normal(size=(2, n, 3))
    z = rng.normal(size=(n, 4))
    p = exp_polynomial(-2.0, 2.0, 6)
    kernel = PolynomialKernel.of(p, total_degree(2, 6), 0.7)
    matrix = p(0.7 * x @ y.T)
    if causal:
        same = np.equal.outer(np.arange(n) // BLOCK, np.arange(n) // BLOCK)
        matrix = np.tril(np.where(same, np.exp(0.7 * x @ y.T), matrix))
        found = sums_over_earlier(kernel, 0.7, x, y, z, u, v)
        turned = sums_over_later(kernel, 0.7, y, x, z, v, u)
    else:
        found = sums_over_all(kernel, x, y, z, u, v)
        turned = sums_over_all(kernel, y, x, z, v, u)
    weighed = matrix * (u @ v.T)
    # n terms of some ten, each with a few hundred roundings at most
    assert np.abs(found - weighed @ z).max() <= n * 100 * 300 * 2.0**-53
    assert np.abs(turned - weighed.T @ z).max() <= n * 100 * 300 * 2.0**-53


def test_entries_too_large_are_refused_with_the_way_out_named() -> None:
    Q, K, V, _, _ = drawn(600, 8, 2, 9.0, 6)
    with pytest.raises(WallError, match=r"Argument|tolerance.*logits") as refusal:
        FastAttention(True, 1e-6).forward(Q, (K,), (V,), 1.0)
    assert refusal.value.entry_bound > 8.0
    with pytest.raises(WallError, match="max_rank"):
        FastAttention(False, 1e-6, max_rank=10).forward(0.1 * Q, (0.1 * K,), (V,), 0.125)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="'tolerance' must be positive"):
        FastAttention(True, 0.0)
    with pytest.raises(ValueError, match="'max_rank'"):
        FastAttention(True, 1e-3, max_rank=0)
    Q, K, V, _, _ = drawn(9, 2, 2, 1.0, 7)
    with pytest.raises(ValueError, match="'keys' must hold one array"):
        FastAttention(True, 1e-3).forward(Q, (K, K), (V, V), 1.0)
