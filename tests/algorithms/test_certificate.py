"""The certificate's formulas, each against the worst case it speaks of."""

import math

import numpy as np
import pytest
from cubicwall.algorithms.certificate import (
    a_priori_error,
    error_bounds,
    exact_rounding,
    relative_error_for,
    value_range,
)
from cubicwall.algorithms.column_statistics import column_summary
from cubicwall.algorithms.exp_polynomial import exp_polynomial
from cubicwall.algorithms.logit_range import binary_geometry, geometry, is_two_valued, row_summary
from cubicwall.algorithms.monomials import features, merged, total_degree
from cubicwall.algorithms.polynomial_kernels import evaluate, moments, schedule
from cubicwall.algorithms.pruning import pruned
from hypothesis import given, settings
from hypothesis import strategies as st


def summaries(arrays, order=2):
    return [column_summary(array, order) for array in arrays]


def products(arrays):
    """All products over tuples, a column each: (Πn_t, e)."""
    result = arrays[0]
    for array in arrays[1:]:
        result = (result[:, None, :] * array[None]).reshape(-1, array.shape[1])
    return result


@pytest.mark.parametrize("eta", [1e-12, 1e-3, 0.3, 0.9, 0.999999])
def test_a_priori_constant_is_attained_and_never_exceeded(eta):
    mass = (math.sqrt(1 - eta**2) - (1 - eta)) / (2 * eta)  # the worst case: values 0 and 1
    for A in [mass, *np.linspace(0, 1, 101)]:
        shifted = A * (1 + eta) / (A * (1 + eta) + (1 - A) * (1 - eta))
        assert shifted - A <= a_priori_error(eta) + 1e-15
        if mass == A:
            assert shifted - A == pytest.approx(a_priori_error(eta), rel=1e-9, abs=1e-15)


@given(st.floats(1e-12, 0.999))
def test_relative_error_for_inverts_the_a_priori_bound(error):
    assert a_priori_error(relative_error_for(error)) <= error
    assert a_priori_error(relative_error_for(error)) == pytest.approx(error, rel=1e-9)


def test_from_a_relative_error_of_one_on_the_a_priori_bound_says_nothing():
    assert a_priori_error(1.0) == a_priori_error(math.inf) == 1.0


@pytest.mark.parametrize("seed", range(40))
def test_bounds_hold_for_the_worst_perturbation_of_every_weight(seed):
    rng = np.random.default_rng(seed)
    s, v = rng.uniform(-1, 1, 50), rng.standard_normal((50, 1)) * rng.uniform(0, 3) + rng.uniform(-2, 2)
    weights = np.exp(s)
    O = weights @ v / weights.sum()
    eta, tau = rng.uniform(0, 0.9), rng.uniform(0, 0.3)
    values = value_range(summaries([v]))
    for sign in (1, -1):
        for relative, moved in (
            (True, weights * (1 + sign * eta * np.sign(v[:, 0] - O))),
            (False, weights + sign * tau * np.sign(v[:, 0] - O)),
        ):
            error = np.abs(moved @ v / moved.sum() - O)
            deviation = np.abs(O - v.mean()) + values.mean_error
            prior, posterior, _, total = error_bounds(
                values, eta, tau, moved.sum() / 50, 0.0, deviation, 2.0**-53
            )
            assert error <= (prior if relative else posterior) * (1 + 1e-12)
            assert total <= np.minimum(prior, posterior) + 1e-14


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("seed", range(8))
def test_value_range_holds_every_product(order, seed):
    rng = np.random.default_rng(seed)
    arrays = [
        rng.standard_normal((6, 3)) * 10.0 ** rng.uniform(-150, 90) + rng.choice([0.0, 3.0])
        for _ in range(order - 1)
    ]
    values, all_products = value_range(summaries(arrays)), products(arrays)
    assert np.all(values.low <= all_products.min(axis=0))
    assert np.all(all_products.max(axis=0) <= values.high)
    assert np.all(np.abs(values.mean - all_products.mean(axis=0)) <= values.mean_error)
    with np.errstate(over="ignore"):
        assert np.all(all_products.var(axis=0) <= values.variance)
        assert np.all(np.abs(all_products - values.mean).mean(axis=0) <= values.spread(values.mean_error))
    scaled = [array * factor for array, factor in zip(arrays, values.factors, strict=True)]
    assert all(np.all(np.abs(array) <= 1) for array in scaled)


def test_infinite_or_unknown_denominators_leave_no_bound_below_the_range_of_values():
    values = value_range(summaries([np.array([[0.0], [1.0]])]))
    for denominator, quotient in ((0.0, math.inf), (-1.0, math.inf), (1.0, math.inf)):
        _, _, rounding, total = error_bounds(values, 2.0, 1.0, denominator, quotient, np.ones(1), 2.0**-53)
        assert rounding == math.inf
        assert 1.0 <= total <= 1.0 + 1e-12


def test_exact_rounding_grows_with_reach_and_vanishes_for_zero_values():
    values = value_range(summaries([np.array([[0.0, 1.0], [0.0, 2.0]])]))
    small, large = (exact_rounding(values, 2, 4, (100,), reach) for reach in (1.0, 1e6))
    assert small[0] == large[0] == 0.0
    assert 1e-15 < small[1] < 1e-11 < large[1]


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_intervals_hold_every_logit_and_jensen_every_mean(order, d, seed):
    rng = np.random.default_rng(seed)
    Q, *keys = (
        rng.standard_normal((int(rng.integers(1, 7)), d)) * 10.0 ** rng.uniform(-3, 1, d)
        + rng.choice([0, 2, 50])
        for _ in range(order)
    )
    scale = float(rng.choice([-0.3, 1.0, 2.5]))
    queries, *key_summaries = summaries([Q, *keys], order)
    frame = geometry(queries, key_summaries, scale)
    rows = row_summary(Q, frame)
    logits = scale * Q @ products(keys).T  # (n, Πn_t)
    # constant columns, and at order 2 the middle of a column, move a row as a whole and are left out
    left_out = np.prod([key[0] for key in keys], axis=0)
    left_out[frame.active] = frame.offset[0] if order == 2 else 0.0
    logits -= scale * Q @ left_out[:, None]
    noise = 1e-12 * (1 + (np.abs(scale * Q) @ np.abs(products(keys)).T).max())
    assert rows.low - noise <= logits.min()
    assert logits.max() <= rows.high + noise
    assert rows.mean <= logits.mean(axis=1).min() + noise
    assert np.max(logits.max(axis=1) - logits.min(axis=1)) <= 2 * rows.half_width + noise
    assert np.abs(logits).max() <= rows.reach + noise


def test_summaries_of_shards_merge_to_the_whole():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((10_000, 3))
    whole = column_summary(matrix, 3)
    parts = (
        column_summary(matrix[:77], 3) + column_summary(matrix[77:6000], 3) + column_summary(matrix[6000:], 3)
    )
    np.testing.assert_array_equal(whole.low, parts.low)
    np.testing.assert_array_equal(whole.high, parts.high)
    assert whole.norm == parts.norm
    assert parts.count == 10_000
    np.testing.assert_allclose(whole.total, parts.total, atol=1e-9)
    assert np.all(np.abs(parts.mean - matrix.mean(axis=0)) <= parts.mean_rounding * parts.peak)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_pass_sees_whatever_is_not_a_number(value, dtype):
    matrix = np.ones((9000, 2), dtype)
    assert column_summary(matrix, 2).finite
    matrix[8999, 1] = value
    assert not column_summary(matrix, 2).finite


def test_binary_coordinates_are_found_only_where_columns_hold_two_numbers_and_one_is_zero():
    rng = np.random.default_rng(1)
    Q = -2.0 * (rng.random((20, 4)) < 0.5)
    K = 3.0 * (rng.random((30, 4)) < 0.5)
    found = summaries([Q, K])
    ordinary = geometry(found[0], found[1:], 0.5)
    guess = binary_geometry(found, 0.5, ordinary)
    assert guess is not None
    frame, entries = guess
    np.testing.assert_array_equal(frame.reach, np.full(4, -3.0))
    assert set(np.unique(Q * frame.query_factor)) == {0.0, 1.0}
    assert all(is_two_valued(m, frame.active, a) for m, a in zip((Q, K), entries, strict=True))
    K[3, 2] = 1.5
    assert not is_two_valued(K, frame.active, entries[1])
    K[3, 2] = -1.5
    assert binary_geometry(summaries([Q, K]), 0.5, ordinary) is None


SETS = {
    "all, order-3 sized": total_degree(5, 4),
    "one column": total_degree(1, 9),
    "the constant": total_degree(3, 0),
    "no column": total_degree(0, 3),
    "leaves shared": total_degree(12, 3),
    "merged": merged(9, 4),
    "pruned": pruned(8, 6, 2.0 ** -np.arange(8), 1 / np.cumprod([1, 1, 2, 3, 4, 5, 6]), 1e-4)[0],
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("tokens", [1, 31, 300, 2500])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("e", [1, 2, 8])
def test_moments_agree_with_the_readable_twin(name, tokens, dtype, e):
    indices, rng = SETS[name], np.random.default_rng(3)
    d = indices.dimension
    keys, values = rng.uniform(-1, 1, (tokens, d + 1)), rng.uniform(-1, 1, (tokens, e))
    plan = schedule(indices, e, by_degree=False)
    offset, factor = rng.uniform(-0.1, 0.1, d), rng.choice([0.5, 1.0], d)
    got = moments(keys, values, plan, np.arange(1, d + 1), offset, factor, np.full(e, 0.5), np.dtype(dtype))
    table = features((keys[:, 1:] - offset) * factor, indices)[:, plan.order]
    extended = np.zeros((tokens, plan.columns))
    extended[:, :e], extended[:, e] = values / 2, 1.0
    unit = np.finfo(dtype).eps / 2
    roundings = 5 * indices.degree + 8 + plan.block_additions(tokens) + plan.moment_additions(tokens)
    scale = np.abs(extended).T @ np.abs(table)
    assert np.all(np.abs(got - extended.T @ table) <= 1.1 * roundings * unit * scale + 1e-300)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("tokens", [1, 130, 700])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_evaluation_agrees_with_the_readable_twin(name, shifted, tokens, dtype):
    indices, rng = SETS[name], np.random.default_rng(4)
    d, e, g = indices.dimension, 2, indices.degree
    queries = rng.uniform(-1, 1, (tokens, d))
    plan = schedule(indices, e, by_degree=shifted)
    weights = rng.uniform(-1, 1, (plan.columns, len(indices))) * 0.01
    weights[e, plan.order == 0] = 4.0 * len(indices)
    base = exp_polynomial(-1.0, 1.0, g).coefficients
    bottom, top = rng.uniform(-1, 0, d), rng.uniform(0, 1, d)
    table = np.stack([np.ones(d), np.full(d, 0.2), bottom, top, np.maximum(-bottom, top)])
    out = np.empty((tokens, e))
    limits = np.array([[-1e3] * e, [1e3] * e])
    seen = evaluate(
        queries, plan, weights.astype(dtype), base if shifted else None, np.arange(d), table,
        np.abs(base), 1e-6, 0.0, np.array([1.0, 2.0]), limits, out,
    )  # fmt: skip
    q = queries * 0.2
    monomials = features(q, indices)[:, plan.order]
    if shifted:
        middle = (np.minimum(q * bottom, q * top) + np.maximum(q * bottom, q * top)).sum(axis=1) / 2
        p = np.polynomial.Polynomial(base)
        around = np.array([p(np.polynomial.Polynomial([-c, 1])).coef for c in middle])
        monomials = monomials * around.reshape(tokens, -1)[:, indices.degrees[plan.order]]
    sums = monomials @ weights.T
    expected = sums[:, :e] / sums[:, e : e + 1] * [1.0, 2.0]
    tolerance = 1e-11 if dtype == np.float64 else 2e-3
    np.testing.assert_allclose(out, expected, atol=tolerance * np.abs(expected).max())
    assert seen.denominator <= sums[:, e].min() * (1 + tolerance)
    np.testing.assert_array_equal(seen.low, out.min(axis=0))
    np.testing.assert_array_equal(seen.high, out.max(axis=0))


def test_rows_without_a_positive_denominator_are_reported():
    indices = total_degree(1, 1)
    plan = schedule(indices, 1, by_degree=False)
    weights = np.zeros((plan.columns, 2))
    weights[1] = [1.0, -3.0]  # the denominator is 1 − 3q
    table = np.array([[1.0], [1.0], [-1.0], [1.0], [1.0]])
    out = np.empty((2, 1))
    limits = np.array([[0.0], [1.0]])
    for queries, sound in ((np.array([[0.1], [0.2]]), True), (np.array([[0.1], [0.4]]), False)):
        seen = evaluate(
            queries, plan, weights, None, np.arange(1), table, np.ones(2), 1e-15, 0.0, np.ones(1), limits, out
        )
        assert (seen.denominator > 0.0) is sound
