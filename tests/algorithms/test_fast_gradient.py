"""Fast gradients: within their certificate on 2,000 random problems, any order; refusals; types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.attention_gradient import attention_gradient
from cubicwall.algorithms.certificate import WallError
from cubicwall.algorithms.exact_attention import attention
from cubicwall.algorithms.fast_gradient import fast_gradient
from cubicwall.algorithms.monomials import features, total_degree
from cubicwall.algorithms.pullback_kernels import pull_tokens


def problem(number: int) -> tuple[Any, list[Any], list[Any], Any, float, float]:
    """Return problem `number` of the 2,000: uneven sizes and columns, structured values, a tolerance."""
    rng = np.random.default_rng([7, number])
    order, d, e = int(rng.integers(2, 6)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
    sizes = rng.integers(1, {2: 80, 3: 25, 4: 9, 5: 6}[order], size=order)
    reach = float(rng.choice([0.1, 0.6, 1.0, 1.3]))
    columns = reach * rng.uniform(0.05, 1, size=d) ** float(rng.choice([0.0, 1.0]))
    low = float(rng.choice([-1.0, 0.0]))
    Q, *keys = (rng.uniform(low, 1, size=(n, d)) * columns for n in sizes)
    values = [rng.uniform(-1, 1, size=(n, e)) for n in sizes[1:]]
    if rng.integers(2):
        values = [np.sign(value) for value in values]
    upstream = rng.normal(size=(sizes[0], e)) * float(rng.choice([1e-3, 1.0, 50.0]))
    tolerance = float(np.abs(upstream).sum() * rng.choice([1e-2, 1e-4, 1e-7]))
    return Q, keys, values, upstream, float(rng.choice([1 / d, -0.5])), tolerance


@pytest.mark.parametrize(
    "batch", [n if n % 10 == 3 else pytest.param(n, marks=pytest.mark.full) for n in range(100)]
)
def test_every_entry_lies_within_its_bound_and_the_bound_within_the_tolerance(batch: int) -> None:
    for number in range(20 * batch, 20 * batch + 20):
        Q, keys, values, upstream, scale, tolerance = problem(number)
        fast = fast_gradient(Q, keys, values, upstream, tolerance=tolerance, scale=scale)
        exact = attention_gradient(Q, keys, values, upstream, scale=scale)
        bounds = fast.certificate
        assert bounds.met
        assert bounds.bound <= tolerance
        for found, true, bound in zip(
            (fast.query, *fast.keys, *fast.values),
            (exact.query, *exact.keys, *exact.values),
            (bounds.query, *bounds.keys, *bounds.values),
            strict=True,
        ):
            # The exact gradient is itself rounded: 1e-13 of what its terms can sum to.
            assert np.abs(found - true).max() <= bound + 1e-13 * np.abs(upstream).sum()
        output = attention(Q, keys, values, scale=scale)
        np.testing.assert_allclose(fast.output, output, atol=0.3)


def test_the_pullback_is_the_derivative_of_its_polynomials() -> None:
    rng = np.random.default_rng(0)
    indices = total_degree(3, 4)
    X, V = rng.normal(size=(70, 3)), rng.normal(size=(70, 2))
    A = rng.normal(size=(len(indices), 3))
    F, dX = np.empty((70, 2)), np.empty((70, 3))
    pull_tokens(
        X, V, A, indices.parents.astype(np.int64), indices.variables.astype(np.int64), F, dX
    )  # fmt: skip
    table, alpha = features(X, indices), indices.exponents()
    np.testing.assert_allclose(F, table @ A[:, :2], rtol=1e-12, atol=1e-11)
    weighed = np.column_stack([V, np.ones(70)]) @ A.T
    for l in range(3):
        lowered = np.maximum(alpha - (np.arange(3) == l), 0)
        slopes = alpha[:, l] * np.prod(X[:, None, :] ** lowered, axis=2)
        np.testing.assert_allclose(dX[:, l], (weighed * slopes).sum(axis=1), rtol=1e-11, atol=1e-10)


def test_single_precision_comes_back_as_single_precision_within_its_bound() -> None:
    Q, keys, values, upstream, _, _ = problem(1)
    single = [np.float32(x) for x in (Q, *keys, *values)]
    k = len(keys)
    fast = fast_gradient(single[0], single[1 : k + 1], single[k + 1 :], upstream, tolerance=0.1)
    wide = [x.astype(np.float64) for x in single]
    exact = attention_gradient(wide[0], wide[1 : k + 1], wide[k + 1 :], upstream)
    assert fast.query.dtype == np.float32
    assert np.abs(fast.query - exact.query).max() <= fast.certificate.query


def test_beyond_the_wall_the_fast_gradient_says_what_it_would_need() -> None:
    rng = np.random.default_rng(1)
    Q, K_1, K_2, V_1, V_2, G = 3 * rng.uniform(-1, 1, size=(6, 50, 6))
    with pytest.raises(WallError, match="max_rank") as raised:
        fast_gradient(Q, [K_1, K_2], [V_1, V_2], G, tolerance=1e-3, max_rank=1000)
    assert raised.value.rank is not None
    assert raised.value.rank > 1000
    with pytest.raises(WallError, match="reach too far"):
        fast_gradient(20 * Q, [K_1, K_2], [V_1, V_2], G, tolerance=1e-3)
    with pytest.raises(WallError):
        fast_gradient(Q / 9, [K_1, K_2], [V_1, V_2], G, tolerance=1e-15)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.inf, np.nan])
def test_an_impossible_tolerance_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="'tolerance' must be positive"):
        fast_gradient([[1.0]], [[[1.0]]], [[[1.0]]], [[1.0]], tolerance=tolerance)


def test_batches_and_no_queries_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'Q' must have shape"):
        fast_gradient(np.ones((2, 1, 1)), [[[1.0]]], [[[1.0]]], np.ones((2, 1, 1)), tolerance=1.0)
    with pytest.raises(ValueError, match="'Q' must have shape"):
        fast_gradient(np.ones((0, 1)), [[[1.0]]], [[[1.0]]], np.ones((0, 1)), tolerance=1.0)
