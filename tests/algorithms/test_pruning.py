"""Pruned sets: closed downwards, small, and never dropping more than they say."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from cubicwall.algorithms.exp_polynomial import approximate_exp, exp_polynomial
from cubicwall.algorithms.monomials import MultiIndices, RankExceeded, features, rank, total_degree
from cubicwall.algorithms.pruning import pruned
from hypothesis import given, settings
from hypothesis import strategies as st


def left_out(indices: MultiIndices, degree: int, reaches: list[float], coefficients: list[float]) -> Fraction:
    """Sum |c_m| (m!/α!) u^α over the multi-indices that are not in the set, exactly."""
    kept = {tuple(row) for row in indices.exponents().tolist()}
    total = Fraction(0)
    for alpha in itertools.product(range(degree + 1), repeat=len(reaches)):
        m = sum(alpha)
        if m <= degree and alpha not in kept:
            ways = math.factorial(m) // math.prod(math.factorial(a) for a in alpha)
            powers = math.prod(
                (Fraction(u) ** a for u, a in zip(reaches, alpha, strict=True)), start=Fraction(1)
            )
            total += abs(Fraction(coefficients[m])) * ways * powers
    return total


def require_downward_closed(indices: MultiIndices) -> None:
    rows = {tuple(row) for row in indices.exponents().tolist()}
    assert len(rows) == len(indices)
    for row in rows:
        for l, exponent in enumerate(row):
            if exponent:
                assert (*row[:l], exponent - 1, *row[l + 1 :]) in rows


def require_links(indices: MultiIndices) -> None:
    alpha = indices.exponents()
    assert np.array_equal(alpha.sum(axis=1), indices.degrees)
    assert np.all(np.diff(indices.parents) >= 0)
    assert np.all(indices.parents[1:] < np.arange(1, len(indices)))
    ways = [math.factorial(sum(row)) // math.prod(math.factorial(a) for a in row) for row in alpha.tolist()]
    assert indices.multinomials.tolist() == ways


reaches_of = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-6, 0.9), st.floats(1.0, 5.0)), min_size=0, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(reaches_of, st.integers(0, 5), st.floats(-12.0, 2.0), st.data())
def test_dropped_mass_is_sound_within_budget_and_the_set_closed(reaches, degree, digits, data):
    sizes = st.one_of(st.just(0.0), st.floats(1e-6, 2.0), st.floats(-2.0, -1e-6))
    coefficients = data.draw(st.lists(sizes, min_size=degree + 1, max_size=degree + 1))
    budget = 10.0**digits
    indices, dropped = pruned(len(reaches), degree, reaches, coefficients, budget)
    require_downward_closed(indices)
    require_links(indices)
    assert left_out(indices, degree, reaches, coefficients) <= Fraction(dropped)
    assert dropped <= budget


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-3, 4.0), min_size=1, max_size=4), st.integers(0, 5))
def test_a_budget_of_nothing_keeps_everything_with_mass(reaches, degree):
    coefficients = [1 / math.factorial(m) for m in range(degree + 1)]
    indices, dropped = pruned(len(reaches), degree, reaches, coefficients, 0.0)
    assert dropped == 0.0
    assert len(indices) == rank(len(reaches), degree)


def test_columns_without_reach_cost_nothing():
    indices, dropped = pruned(6, 4, [0.0, 0.5, 0.0, 0.25, 0.0, 0.0], [1.0, 1.0, 0.5, 0.2, 0.1], 0.0)
    assert dropped == 0.0
    assert len(indices) == rank(2, 4)
    assert set(indices.variables[1:].tolist()) == {1, 3}


def test_coefficients_that_vanish_cost_nothing():
    indices, dropped = pruned(3, 6, [0.5, 0.4, 0.3], [1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0], 0.0)
    assert dropped == 0.0
    assert len(indices) == rank(3, 2)


def test_everything_may_be_dropped_but_the_constant():
    indices, dropped = pruned(3, 4, [0.5, 0.4, 0.3], [1.0, 1.0, 0.5, 0.2, 0.1], 100.0)
    assert len(indices) == 1
    assert left_out(indices, 4, [0.5, 0.4, 0.3], [1.0, 1.0, 0.5, 0.2, 0.1]) <= Fraction(dropped)


def test_even_reaches_below_one_keep_the_largest_terms():
    # where s = v the set is the best of its size: the smallest kept term is at least the largest dropped one
    u, c = [0.9, 0.5, 0.2], [1 / math.factorial(m) for m in range(7)]
    indices, _ = pruned(3, 6, u, c, 1e-4)
    kept = {tuple(row) for row in indices.exponents().tolist()}

    def term(alpha: tuple[int, ...]) -> float:
        return math.prod(x**a / math.factorial(a) for x, a in zip(u, alpha, strict=True))

    others = [a for a in itertools.product(range(7), repeat=3) if sum(a) <= 6 and a not in kept]
    # scores are rounded to 2^−20 of a doubling, five roundings a term
    assert min(map(term, kept)) >= max(map(term, others)) * 2.0 ** (-10 * 2.0**-20)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6])
def test_geometric_scales_need_a_twentieth_of_the_rank_at_the_same_tolerance(tolerance):
    u = 0.5 ** np.arange(24)
    u /= u.sum()  # logits in [−1, 1]
    full = approximate_exp(-1.0, 1.0, tolerance)
    budget = (tolerance - full.relative_error) * math.exp(-1.0)
    indices, dropped = pruned(24, full.degree, u, full.coefficients, budget)
    assert full.relative_error + dropped * math.e <= tolerance
    assert 20 * len(indices) <= rank(24, full.degree)


def test_the_pruned_polynomial_stays_within_its_certificate():
    rng = np.random.default_rng(7)
    u = 0.5 ** np.arange(10)
    p = exp_polynomial(-2.0, 2.0, 7)
    indices, dropped = pruned(10, 7, u, p.coefficients, 1e-3)
    Y = rng.uniform(-1.0, 1.0, size=(200, 10)) * u
    Y[:2] = u, -u  # where every term is as large as its bound
    full = total_degree(10, 7)
    exact = features(Y, full) @ full.weights(p.coefficients, 1.0)
    kept = features(Y, indices) @ indices.weights(p.coefficients, 1.0)
    rounding = 2.0**-53 * (len(full) + 40) * math.exp(2.0)
    assert np.abs(kept - exact).max() <= dropped + rounding
    assert np.abs(kept - exact).max() >= 0.5 * dropped


def test_huge_families_are_never_enumerated():
    u = 4.0 ** -np.arange(200)
    c = [1 / math.factorial(m) for m in range(31)]
    assert rank(200, 30) > 10**36
    indices, dropped = pruned(200, 30, u, c, 1e-9)
    assert len(indices) < 20_000
    assert dropped <= 1e-9


def test_a_set_above_the_rank_allowed_is_refused():
    with pytest.raises(RankExceeded, match="'max_rank' = 1,000") as caught:
        pruned(30, 10, [0.5] * 30, [1 / math.factorial(m) for m in range(11)], 1e-9, max_rank=1000)
    assert caught.value.rank > 1000


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"dimension": -1}, "dimension"),
        ({"degree": 1.5}, "degree"),
        ({"reaches": [0.5]}, "reaches"),
        ({"reaches": [0.5, -0.1]}, "reaches"),
        ({"reaches": [0.5, math.nan]}, "reaches"),
        ({"coefficients": [1.0]}, "coefficients"),
        ({"coefficients": [1.0, math.inf, 0.0]}, "coefficients"),
        ({"budget": -1.0}, "budget"),
        ({"budget": math.nan}, "budget"),
    ],
)
def test_arguments_out_of_range_are_named(keywords, named):
    arguments = {
        "dimension": 2,
        "degree": 2,
        "reaches": [0.5, 0.5],
        "coefficients": [1.0, 1.0, 0.5],
        "budget": 0.1,
    }
    with pytest.raises(ValueError, match=f"Argument '{named}'"):
        pruned(**{**arguments, **keywords})
