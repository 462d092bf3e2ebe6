"""Degrees in exact arithmetic, against extended precision and the formulas of [AA22]."""

import math

import mpmath
import numpy as np
import pytest
from cubicwall.algorithms.exp_degree import asymptotic_degree, degree_for, ideal_error
from cubicwall.algorithms.exp_polynomial import exp_polynomial
from cubicwall.algorithms.remez import minimax
from hypothesis import given, settings
from hypothesis import strategies as st

METHODS = ("minimax", "chebyshev", "taylor")


def tail_degree(half_width: float, eta: float) -> int:
    """The least g with Σ_{m>g} 2 I_m(X) ≤ η e^{−X}: what the Chebyshev series guarantees at once."""
    target = eta * mpmath.exp(-half_width)
    g = 0
    while 2 * mpmath.nsum(lambda m: mpmath.besseli(m, half_width), [g + 1, g + 60]) > target:
        g += 1
    return g


@pytest.mark.parametrize(("half_width", "eta"), [(8.0, 1e-3), (1.0, 1e-6), (0.1, 1e-9), (3.0, 0.3)])
def test_each_method_needs_no_more_than_the_next_simpler_one(half_width, eta):
    best, series, taylor = (degree_for(2 * half_width, eta, method) for method in METHODS)
    assert best <= series <= tail_degree(half_width, eta)
    assert series <= taylor


def test_half_width_eight_takes_fourteen_against_twenty_one():
    assert degree_for(16.0, 1e-3) == 14
    assert tail_degree(8.0, 1e-3) == 21


@pytest.mark.parametrize("degree", [0, 1, 4, 9])
@pytest.mark.parametrize("half_width", [0.05, 1.0, 6.0])
def test_series_errors_agree_with_extended_precision(half_width, degree):
    X = mpmath.mpf(half_width)
    grid = [mpmath.cos(mpmath.pi * i / 200) for i in range(201)]
    taylor = [mpmath.fsum((X * t) ** m / mpmath.factorial(m) for m in range(degree + 1)) for t in grid]
    bessel = [mpmath.besseli(m, X) for m in range(degree + 1)]
    chebyshev = [
        2 * mpmath.fsum(b * mpmath.chebyt(m, t) for m, b in enumerate(bessel)) - bessel[0] for t in grid
    ]
    for method, values in (("taylor", taylor), ("chebyshev", chebyshev)):
        absolute = max(abs(v - mpmath.exp(X * t)) for v, t in zip(values, grid, strict=True))
        relative = max(abs(v * mpmath.exp(-X * t) - 1) for v, t in zip(values, grid, strict=True))
        # both grids hold the ends, where the maximum of either series lies or nearly lies
        assert ideal_error(half_width, degree, method, "absolute") == pytest.approx(float(absolute), rel=1e-3)
        assert ideal_error(half_width, degree, method, "relative") == pytest.approx(float(relative), rel=1e-3)


@pytest.mark.parametrize("criterion", ["relative", "absolute", "derivative"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("half_width", "degree"), [(1.0, 5), (4.0, 9), (0.2, 3), (2.0, 1)])
def test_ideal_errors_are_those_of_polynomials_while_rounding_is_small(half_width, degree, method, criterion):
    bound = exp_polynomial(-half_width, half_width, degree, method, criterion).error(criterion)
    # the bound is above by 1.5% at most, the grid below by half a percent
    ideal = ideal_error(half_width, degree, method, criterion)
    assert ideal * 0.9999 <= bound <= 1.025 * ideal


@pytest.mark.parametrize("relative", [True, False])
def test_constants_have_the_errors_of_pencil_and_paper(relative):
    for X in (0.01, 1.0, 5.0):
        exact = math.tanh(X) if relative else math.sinh(X)
        assert minimax(X, 0, relative).error == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("half_width", "degree"), [(30.0, 45), (60.0, 95)])
def test_wide_intervals_are_levelled_although_float64_could_not_store_the_coefficients(half_width, degree):
    best = minimax(half_width, degree, True)
    with mpmath.workprec(600):
        powers = [mpmath.mpf(a) / 2**1500 for a in best.fixed_point(1500)]
        series = sum_of_series(half_width, degree) if best.corrects_series else [0] * (degree + 1)
        total = [a + b for a, b in zip(powers, series, strict=True)]
        grid = [mpmath.cos(mpmath.pi * i / 1000) for i in range(1001)]
        errors = [mpmath.polyval(total[::-1], t) * mpmath.exp(-half_width * t) - 1 for t in grid]
    # the exchange's grid misses half a percent
    assert float(max(abs(e) for e in errors)) == pytest.approx(best.error, rel=0.01)
    signs = np.sign([float(e) for e in errors if abs(e) > 0.9 * best.error])
    assert np.count_nonzero(np.diff(signs)) == degree + 1


def sum_of_series(half_width: float, degree: int) -> list[mpmath.mpf]:
    total = [mpmath.mpf(0)] * (degree + 1)
    before, scaled = [0] * (degree + 1), [1] + [0] * degree
    for m in range(degree + 1):
        weight = (2 if m else 1) * mpmath.besseli(m, half_width)
        total = [a + weight * b for a, b in zip(total, scaled, strict=True)]
        shifted = [0, *scaled[:-1]]
        before, scaled = scaled, [(2 if m else 1) * a - b for a, b in zip(shifted, before, strict=True)]
    return total


@pytest.mark.parametrize("method", METHODS)
def test_the_degree_is_the_formula_up_to_a_constant(method):
    for half_width in (0.01, 0.1, 1.0, 3.0, 10.0, 25.0):
        for eta in (0.1, 1e-3, 1e-8):
            formula = asymptotic_degree(2 * half_width, eta)
            degree = degree_for(2 * half_width, eta, method)
            assert formula / 3 - 1 <= degree <= 4 * formula + 1


def test_the_formula_has_no_pole_where_digits_meet_the_width():
    widths = np.linspace(0.01, 40.0, 4000)
    values = np.array([asymptotic_degree(w, 1e-3) for w in widths])
    assert np.all(np.diff(values) >= 0.0)
    assert np.all(values[widths >= 2 * math.log(1e3)] == widths[widths >= 2 * math.log(1e3)] / 2)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.0, 20.0), st.floats(-6.0, -0.3), st.sampled_from(METHODS))
def test_the_degree_is_the_least(width, digits, method):
    eta = 10.0**digits
    degree = degree_for(width, eta, method)
    if width == 0.0:
        assert degree == 0
    else:
        assert ideal_error(width / 2, degree, method, "relative") <= eta
        assert degree == 0 or ideal_error(width / 2, degree - 1, method, "relative") > eta


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1.0, 0.1), "width"),
        ((math.nan, 0.1), "width"),
        ((701.0, 0.1), "width"),
        ((1.0, 0.0), "eta"),
        ((1.0, 1.0), "eta"),
        ((1.0, math.nan), "eta"),
        ((1.0, 0.1, "pade"), "method"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"Argument '{named}'"):
        degree_for(*arguments)


@pytest.mark.parametrize(("arguments", "named"), [((-1.0, 0.1), "width"), ((1.0, 2.0), "eta")])
def test_the_formula_names_arguments_out_of_range(arguments, named):
    with pytest.raises(ValueError, match=f"Argument '{named}'"):
        asymptotic_degree(*arguments)
