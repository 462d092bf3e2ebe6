"""Multi-index sets: identities checked symbolically, links and weights against the definition."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import sympy
from cubicwall.algorithms.monomials import (
    MultiIndices,
    RankExceeded,
    features,
    merged,
    rank,
    total_degree,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = [(0, 0), (0, 3), (1, 0), (1, 6), (2, 3), (3, 3), (4, 5), (6, 2), (9, 4)]


def every(dimension: int, degree: int) -> set[tuple[int, ...]]:
    alphas = itertools.product(range(degree + 1), repeat=dimension)
    return {alpha for alpha in alphas if sum(alpha) <= degree}


def multinomial(alpha: tuple[int, ...]) -> int:
    return math.factorial(sum(alpha)) // math.prod(math.factorial(a) for a in alpha)


def require_links(indices: MultiIndices) -> None:
    """Check what the kernels rely on: order, parents, contiguous children."""
    alpha = indices.exponents()
    assert alpha.shape == (len(indices), indices.dimension)
    assert np.array_equal(alpha.sum(axis=1), indices.degrees)
    assert np.all(np.diff(indices.degrees) >= 0)
    assert np.all(np.diff(indices.parents) >= 0)
    assert np.all(indices.parents[1:] < np.arange(1, len(indices)))
    for f in range(1, len(indices)):
        step = alpha[f] - alpha[indices.parents[f]]
        assert step.sum() == 1
        assert step[indices.variables[f]] == 1
    for m in range(indices.degree + 1):
        assert np.all(indices.degrees[indices.offsets[m] : indices.offsets[m + 1]] == m)
    assert indices.offsets[-1] == len(indices)


@pytest.mark.parametrize(("d", "g"), [(1, 3), (2, 3), (3, 2), (3, 3)])
@pytest.mark.parametrize("order", [2, 3])
def test_the_expansion_into_monomials_is_an_identity(d, g, order):
    scale, *c = sympy.symbols(f"sigma c:{g + 1}")
    tokens = [sympy.symbols(f"x{t}_:{d}") for t in range(order)]
    columns = [sympy.prod(token[l] for token in tokens) for l in range(d)]
    polynomial = sum(c[m] * (scale * sum(columns)) ** m for m in range(g + 1))
    indices = total_degree(d, g)
    expansion = sum(
        c[m] * scale**m * int(ways) * sympy.prod(y ** int(a) for y, a in zip(columns, alpha, strict=True))
        for alpha, m, ways in zip(
            indices.exponents(), indices.degrees.tolist(), indices.multinomials, strict=True
        )
    )
    assert sympy.expand(polynomial - expansion) == 0


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5])
def test_the_rank_count_is_an_identity_in_the_degree(d):
    # C(d−1+m, d−1) monomials have degree m, a polynomial in m; its sum to g is C(d+g, d)
    m, g = sympy.symbols("m g", integer=True, nonnegative=True)
    of_degree = sympy.prod(m + i for i in range(1, d)) / sympy.factorial(d - 1)
    total = sympy.prod(g + i for i in range(1, d + 1)) / sympy.factorial(d)
    assert sympy.expand(sympy.summation(sympy.expand(of_degree), (m, 0, g)) - total) == 0
    for degree in range(5):
        assert rank(d, degree) == total.subs(g, degree)


@pytest.mark.parametrize(("d", "g"), SIZES)
def test_total_degree_lists_every_multi_index_once(d, g):
    indices = total_degree(d, g)
    require_links(indices)
    rows = [tuple(row) for row in indices.exponents().tolist()]
    assert len(rows) == len(indices) == rank(d, g)
    assert set(rows) == every(d, g)
    assert indices.multinomials.tolist() == [multinomial(row) for row in rows]


def test_multinomials_are_exact_below_two_to_the_53_and_bounded_above():
    indices = total_degree(3, 50)
    for row, value in zip(indices.exponents().tolist(), indices.multinomials.tolist(), strict=True):
        exact = multinomial(tuple(row))
        if exact < 2**53:
            assert value == exact
        else:
            assert abs(Fraction(value) / exact - 1) <= (2 * sum(row) + 2) * Fraction(1, 2**53)


def test_children_run_through_consecutive_variables():
    indices = total_degree(5, 4)
    for f in range(int(indices.offsets[-2])):
        children = np.flatnonzero(indices.parents == f)
        last = max(int(indices.variables[f]), 0)
        assert np.array_equal(indices.variables[children], np.arange(last, 5))
        assert np.array_equal(children, np.arange(children[0], children[0] + 5 - last))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2**32 - 1), st.floats(0.1, 3.0))
def test_weighted_features_sum_to_the_polynomial_of_the_logit(d, g, seed, scale):
    rng = np.random.default_rng(seed)
    c = rng.normal(size=g + 1)
    X = rng.normal(size=(4, d))
    indices = total_degree(d, g)
    values = features(X, indices) @ indices.weights(c, scale)
    exact = np.polynomial.polynomial.polyval(scale * X.sum(axis=1), c)
    # each of R terms has some 4g roundings of a size that the absolute columns bound
    size = np.polynomial.polynomial.polyval(scale * np.abs(X).sum(axis=1), np.abs(c))
    assert np.all(np.abs(values - exact) <= (6 * g + len(indices) + 4) * 2.0**-53 * size)


@pytest.mark.parametrize(("d", "g"), [*SIZES, (5, 9)])
def test_merged_lists_every_support_once(d, g):
    indices = merged(d, g)
    require_links(indices)
    rows = {tuple(row) for row in indices.exponents().tolist()}
    assert len(rows) == len(indices) == sum(math.comb(d, i) for i in range(min(d, g) + 1))
    assert rows == {alpha for alpha in itertools.product((0, 1), repeat=d) if sum(alpha) <= g}


@pytest.mark.parametrize(("d", "g"), [(1, 4), (3, 2), (3, 5), (4, 4)])
def test_merged_weights_sum_those_of_every_index_with_the_support(d, g):
    c, scale = [0.5**m * (-1.0) ** m for m in range(g + 1)], 0.75  # sums of these are exact in float64
    full, supports = total_degree(d, g), merged(d, g)
    wanted: dict[tuple[int, ...], float] = {}
    for alpha, weight in zip(full.exponents(), full.weights(c, scale), strict=True):
        support = tuple((alpha > 0).astype(int).tolist())
        wanted[support] = wanted.get(support, 0.0) + float(weight)
    rows = [tuple(row) for row in supports.exponents().tolist()]
    assert dict(zip(rows, supports.weights(c, scale).tolist(), strict=True)) == wanted


@pytest.mark.parametrize("g", [1, 3, 6])
def test_merged_weights_are_the_differences_of_the_polynomial(g):
    # w_i = Δ^i [r ↦ p(σ r)] at 0, so that Σ_i C(r, i) w_i = p(σ r) for every count r: Newton's series
    scale, *c = sympy.symbols(f"sigma c:{g + 1}")
    surjections = [
        [sum((-1) ** (i - r) * math.comb(i, r) * r**m for r in range(i + 1)) for i in range(g + 1)]
        for m in range(g + 1)
    ]
    r = sympy.symbols("r")
    newton = sum(
        sympy.ff(r, i) / sympy.factorial(i) * sum(c[m] * scale**m * surjections[m][i] for m in range(g + 1))
        for i in range(g + 1)
    )
    assert sympy.expand(sympy.expand_func(newton) - sum(c[m] * (scale * r) ** m for m in range(g + 1))) == 0
    unit = np.eye(g + 1)
    for m in range(g + 1):
        weights = merged(g, g).weights(unit[m], 1.0)
        assert [weights[merged(g, g).offsets[i]] for i in range(g + 1)] == surjections[m]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_merged_features_of_zeros_and_ones_sum_to_the_polynomial(d, g, seed):
    rng = np.random.default_rng(seed)
    c = rng.random(g + 1)
    X = rng.integers(0, 2, size=(5, d)).astype(float)
    indices = merged(d, g)
    values = features(X, indices) @ indices.weights(c, 0.3)
    exact = np.polynomial.polynomial.polyval(0.3 * X.sum(axis=1), c)
    # every term is positive: roundings relative to the value
    assert np.all(np.abs(values - exact) <= (4 * g + len(indices) + 8) * 2.0**-53 * exact)


def test_weights_refuse_a_polynomial_of_too_small_degree():
    with pytest.raises(ValueError, match="Argument 'coefficients' must reach degree 3"):
        total_degree(2, 3).weights([1.0, 1.0], 1.0)


def test_rank_is_exact_beyond_float64():
    assert rank(200, 200) == math.comb(400, 200)


def test_sets_above_the_rank_allowed_are_refused_before_any_work():
    with pytest.raises(RankExceeded, match="above 'max_rank'") as caught:
        total_degree(1000, 1000)
    assert caught.value.rank == math.comb(2000, 1000)
    with pytest.raises(RankExceeded) as caught:
        merged(60, 30, max_rank=10**6)
    assert caught.value.max_rank == 10**6


@pytest.mark.parametrize("number", [-1, 1.5, True, "3"])
@pytest.mark.parametrize("build", [rank, total_degree, merged])
def test_dimensions_and_degrees_are_integers(build, number):
    with pytest.raises(ValueError, match="Argument 'dimension' must be an integer ≥ 0"):
        build(number, 2)
    with pytest.raises(ValueError, match="Argument 'degree' must be an integer ≥ 0"):
        build(2, number)


def test_features_refuse_rows_of_another_dimension():
    with pytest.raises(ValueError, match="Argument 'X' must have shape"):
        features(np.ones((3, 2)), total_degree(3, 2))
