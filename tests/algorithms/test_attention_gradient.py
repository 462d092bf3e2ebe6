"""Exact gradients: against complex steps, 50 digits and the plain twin; sizes, types, batches, refusals."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import mpmath
import numpy as np
import pytest
from cubicwall.algorithms import gradient_batches
from cubicwall.algorithms.attention_gradient import (
    Gradient,
    attention_gradient,
    attention_value_and_gradient,
    attention_vjp,
    gradient_by_blocks,
)
from cubicwall.algorithms.exact_attention import attention
from hypothesis import given, settings
from hypothesis import strategies as st

Arrays = list[Any]


def problem(
    rng: np.random.Generator, n: int, sizes: tuple[int, ...], d: int, e: int, spread: float = 1.0
) -> tuple[Any, Arrays, Arrays, Any]:
    return (
        spread * rng.normal(size=(n, d)),
        [spread * rng.normal(size=(s, d)) for s in sizes],
        [rng.normal(size=(s, e)) for s in sizes],
        rng.normal(size=(n, e)),
    )


def flat(gradient: Gradient) -> Arrays:
    return [gradient.query, *gradient.keys, *gradient.values]


def loss(arrays: Arrays, upstream: Any, order: int, scale: float) -> Any:
    """Return Σ upstream · attention for complex arrays, from the definition, all tuples at once."""
    Q, keys, values = arrays[0], arrays[1:order], arrays[order:]
    logits, products = Q, np.ones((1, values[0].shape[1]))
    logits = logits[:, None, :]
    for K, V in zip(keys, values, strict=True):
        logits = (logits[:, :, None, :] * K).reshape(len(Q), -1, Q.shape[1])
        products = (products[:, None, :] * V).reshape(-1, V.shape[1])
    s = scale * logits.sum(axis=2)
    weights = np.exp(s - s.real.max(axis=1, keepdims=True))
    return (upstream * (weights @ products) / weights.sum(axis=1, keepdims=True)).sum()


def complex_steps(arrays: Arrays, upstream: Any, order: int, scale: float) -> Arrays:
    """Differentiate without cancellation: Im L(x + ih)/h, entry by entry."""
    h, gradients = 1e-100, []
    for a, array in enumerate(arrays):
        gradient = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            moved = array.astype(complex)
            moved[place] += 1j * h
            gradient[place] = loss([*arrays[:a], moved, *arrays[a + 1 :]], upstream, order, scale).imag / h
        gradients.append(gradient)
    return gradients


def magnitudes(arrays: Arrays, upstream: Any, order: int, scale: float) -> Arrays:
    """Bound the sums of magnitudes of the terms of each entry: what rounding errors are relative to."""
    sizes, highest = [len(array) for array in arrays], [np.abs(array).max() for array in arrays]
    reach = 2 * len(arrays[0]) * arrays[order].shape[1] * np.abs(upstream).max() * prod(highest[order:])
    keys = scale * prod(highest[:order])
    return [
        np.full(array.shape, reach * (keys if a < order else 1.0) / highest[a] if sizes[a] else 0.0)
        for a, array in enumerate(arrays)
    ]


SHAPES = {
    "order 2": (4, (6,), 3, 2),
    "order 2, one of everything": (1, (1,), 1, 1),
    "order 2, more than a panel of queries": (35, (3,), 2, 1),
    "order 2, more than a chunk of keys": (2, (41,), 2, 3),
    "order 3": (4, (5, 6), 3, 2),
    "order 3, one query": (1, (7, 3), 2, 2),
    "order 3, one key": (3, (1, 8), 2, 2),
    "order 3, more than a panel": (2, (34, 9), 2, 1),
    "order 3, more than a panel and a chunk": (2, (33, 40), 1, 1),
    "order 3, wide": (2, (3, 4), 17, 9),
    "order 4": (3, (2, 4, 3), 2, 2),
    "order 5": (2, (3, 2, 2, 3), 2, 2),
}


@pytest.mark.parametrize("algorithm", [attention_gradient, gradient_by_blocks])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradients_agree_with_complex_steps_to_twelve_digits(algorithm: Any, shape: Any) -> None:
    Q, keys, values, upstream = problem(np.random.default_rng(3), *shape)
    found = flat(algorithm(Q, keys, values, upstream, scale=0.7))
    arrays, order = [Q, *keys, *values], len(keys) + 1
    expected = complex_steps(arrays, upstream, order, 0.7)
    for one, other, size in zip(found, expected, magnitudes(arrays, upstream, order, 0.7), strict=True):
        assert one.shape == other.shape
        assert (np.abs(one - other) <= 1e-12 * np.abs(other).max() + 1e-15 * size).all()


def test_gradients_agree_with_fifty_digits() -> None:
    Q, keys, values, upstream = problem(np.random.default_rng(5), 2, (3, 2), 2, 2, spread=2.0)
    arrays = [Q, *keys, *values]
    with mpmath.workdps(50):
        exact = [np.vectorize(mpmath.mpf, otypes=[object])(array) for array in arrays]
        Q_, K_1, K_2, V_1, V_2 = exact
        expected = [np.vectorize(lambda _: mpmath.mpf(0), otypes=[object])(array) for array in arrays]
        tuples = list(product(range(3), range(2)))
        for i in range(2):
            weight = {(a, b): mpmath.exp(mpmath.mpf(0.5) * sum(Q_[i] * K_1[a] * K_2[b])) for a, b in tuples}
            mass = sum(weight.values())
            output = sum(weight[a, b] * V_1[a] * V_2[b] for a, b in tuples) / mass
            for a, b in tuples:
                P = weight[a, b] / mass
                w = mpmath.mpf(0.5) * P * sum(upstream[i] * (V_1[a] * V_2[b] - output))
                expected[0][i] += w * K_1[a] * K_2[b]
                expected[1][a] += w * Q_[i] * K_2[b]
                expected[2][b] += w * Q_[i] * K_1[a]
                expected[3][a] += P * upstream[i] * V_2[b]
                expected[4][b] += P * upstream[i] * V_1[a]
    found = flat(attention_gradient(Q, keys, values, upstream, scale=0.5))
    for one, other, size in zip(found, expected, magnitudes(arrays, upstream, 3, 0.5), strict=True):
        error = np.array(
            [abs(float(mpmath.mpf(x) - y)) for x, y in zip(one.ravel(), other.ravel(), strict=True)]
        )
        assert (error <= 4e-15 * size.ravel()).all()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 70),
    sizes=st.lists(st.integers(1, 70), min_size=1, max_size=2),
    d=st.integers(1, 9),
    e=st.integers(1, 9),
    spread=st.sampled_from([1e-3, 1.0, 6.0]),
)
def test_kernels_agree_with_the_plain_twin(
    seed: int, n: int, sizes: list[int], d: int, e: int, spread: float
) -> None:
    Q, keys, values, upstream = problem(np.random.default_rng(seed), n, tuple(sizes), d, e, spread)
    found, twin = (f(Q, keys, values, upstream) for f in (attention_gradient, gradient_by_blocks))
    order = len(sizes) + 1
    reach = np.abs(Q).max() * prod(np.abs(key).max() for key in keys)  # logits are rounded relative to it
    bounds = magnitudes([Q, *keys, *values], upstream, order, 1 / d)
    for one, other, size in zip(flat(found), flat(twin), bounds, strict=True):
        assert (np.abs(one - other) <= 2e-16 * (40 + (d + 4) * reach) * size).all()


def test_huge_logits_neither_overflow_nor_vanish() -> None:
    Q, keys, values, upstream = problem(np.random.default_rng(1), 3, (5, 40), 4, 2, spread=30.0)
    assert np.abs(Q).max() * np.abs(keys[0]).max() * np.abs(keys[1]).max() / 4 > 5000
    found, twin = (f(Q, keys, values, upstream) for f in (attention_gradient, gradient_by_blocks))
    for one, other in zip(flat(found), flat(twin), strict=True):
        assert np.isfinite(one).all()
        # Logits near 1e5 are known to 1e-11; the softmax is all but one-hot.
        np.testing.assert_allclose(one, other, atol=1e-9 * (1 + np.abs(other).max()))


def test_powers_of_two_pass_through_exactly() -> None:
    Q, keys, values, upstream = problem(np.random.default_rng(2), 4, (5, 6), 3, 2)
    plain = attention_gradient(Q, keys, values, upstream, scale=0.5)
    moved = attention_gradient(
        np.ldexp(Q, 700), [np.ldexp(keys[0], -650), keys[1]], [np.ldexp(values[0], -300), values[1]],
        np.ldexp(upstream, 250), scale=0.5 * 2.0**-50,
    )  # fmt: skip
    assert np.array_equal(moved.query, np.ldexp(plain.query, -750))
    assert np.array_equal(moved.keys[0], np.ldexp(plain.keys[0], 600))
    assert np.array_equal(moved.values[0], np.ldexp(plain.values[0], 250))


def test_the_value_is_that_of_attention_and_shares_its_pass() -> None:
    Q, keys, values, upstream = problem(np.random.default_rng(8), 9, (10, 11), 3, 2)
    output, gradient = attention_value_and_gradient(Q, keys, values, upstream)
    np.testing.assert_allclose(output, attention(Q, keys, values), rtol=1e-14, atol=1e-15)
    alone = attention_gradient(Q, keys, values, upstream)
    again, pull = attention_vjp(Q, keys, values)
    assert np.array_equal(again, output)
    for other in (alone, pull(upstream), pull(upstream)):
        assert all(np.array_equal(a, b) for a, b in zip(flat(gradient), flat(other), strict=True))


def test_single_precision_comes_back_rounded_once() -> None:
    Q, keys, values, upstream = problem(np.random.default_rng(9), 9, (10, 11), 3, 2)
    single = [np.float32(x) for x in (Q, *keys, *values)]
    found = attention_gradient(single[0], single[1:3], single[3:], upstream)
    wide = [x.astype(np.float64) for x in single]
    double = attention_gradient(wide[0], wide[1:3], wide[3:], upstream)
    for one, other in zip(flat(found), flat(double), strict=True):
        assert one.dtype == np.float32
        assert np.array_equal(one, other.astype(np.float32))


def test_the_gradient_of_a_broadcast_array_is_summed_over_its_copies() -> None:
    rng = np.random.default_rng(4)
    Q, upstream = rng.normal(size=(2, 3, 4, 2)), rng.normal(size=(2, 3, 4, 1))
    keys, values = (
        [rng.normal(size=(3, 5, 2)), rng.normal(size=(2, 1, 6, 2))],
        [rng.normal(size=(5, 1)), rng.normal(size=(6, 1))],
    )
    found = attention_gradient(Q, keys, values, upstream)
    expected = [np.zeros(x.shape) for x in (Q, *keys, *values)]
    for a, b in product(range(2), range(3)):
        one = attention_gradient(Q[a, b], [keys[0][b], keys[1][a, 0]], values, upstream[a, b])
        expected[0][a, b] += one.query
        expected[1][b] += one.keys[0]
        expected[2][a, 0] += one.keys[1]
        expected[3] += one.values[0]
        expected[4] += one.values[1]
    for x, y in zip(flat(found), expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-15)


def test_no_queries_leave_no_gradient() -> None:
    found = attention_gradient(np.zeros((0, 2)), [np.ones((3, 2))], [np.ones((3, 1))], np.zeros((0, 1)))
    assert found.query.shape == (0, 2)
    assert not found.keys[0].any()
    assert not found.values[0].any()


def test_the_number_of_threads_changes_no_bit() -> None:
    import numba

    Q, keys, values, upstream = problem(np.random.default_rng(6), 30, (70, 40), 5, 3)
    many = attention_gradient(Q, keys, values, upstream)
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        one = attention_gradient(Q, keys, values, upstream)
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(flat(many), flat(one), strict=True))


REFUSED = {
    "another shape": (np.ones((3, 1)), "must have the output's shape"),
    "infinite": (np.array([[np.inf], [0.0]]), "must hold finite numbers"),
    "no number": (np.array([["a"], ["b"]]), "must hold real numbers"),
    "too large": (np.full((2, 1), 1e300), "must keep every bound on an entry"),
}


@pytest.mark.parametrize(("upstream", "message"), REFUSED.values(), ids=REFUSED)
def test_an_upstream_that_does_not_fit_is_refused_by_name(upstream: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        attention_gradient(np.ones((2, 2)), [np.ones((3, 2))], [np.full((3, 1), 1e10)], upstream)


@pytest.mark.parametrize("sizes", [(4,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("batch", [(5,), (2, 1, 3)])
def test_many_small_problems_at_once_agree_with_one_by_one(
    sizes: tuple[int, ...], batch: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    Q, upstream = rng.normal(size=(*batch, 3, 2)), rng.normal(size=(*batch, 3, 1))
    keys, values = ([rng.normal(size=(*batch, s, width)) for s in sizes] for width in (2, 1))
    monkeypatch.setattr(gradient_batches, "_TUPLES", 200)  # so that the batch is cut
    found = attention_gradient(Q, keys, values, upstream)
    for place in np.ndindex(*batch):
        own = [[x[place] for x in side] for side in (keys, values)]
        one = attention_gradient(Q[place], *own, upstream[place])
        for a, b in zip(flat(found), flat(one), strict=True):
            np.testing.assert_allclose(a[place], b, rtol=1e-12, atol=1e-14)
