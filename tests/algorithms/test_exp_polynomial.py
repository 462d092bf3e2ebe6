"""The bounds of `exp_polynomial` against interval arithmetic, and the optimality of its polynomials."""

import math
from collections.abc import Callable
from itertools import pairwise

import flint
import numpy as np
import pytest
from cubicwall.algorithms.exp_polynomial import (
    ExpPolynomial,
    ToleranceUnreachable,
    approximate_exp,
    exp_polynomial,
)
from hypothesis import given, settings
from hypothesis import strategies as st

METHODS = ("taylor", "chebyshev", "minimax")
CRITERIA = ("relative", "absolute", "derivative")

# half-widths from a point to 30, off-centre intervals, and degrees from hopeless to where rounding rules
CASES = [
    (-1.0, 1.0, 0),
    (-1.0, 1.0, 3),
    (-1.0, 1.0, 12),
    (-1.0, 1.0, 20),
    (-8.0, 8.0, 14),
    (-8.0, 8.0, 30),
    (-30.0, 30.0, 8),
    (-30.0, 30.0, 40),
    (-9.0, -1.0, 10),
    (3.0, 5.0, 7),
    (-0.01, 0.02, 4),
    (0.0, 60.0, 20),
    (2.0, 2.0 + 1e-12, 3),
    (-40.0, -39.0, 5),
    (0.0, 1e-300, 2),
    (0.75, 0.75, 0),
    (0.75, 0.75, 4),
]

ORDER = 8  # of the Taylor models that enclose an error on a piece
Series = flint.arb_series
Error = Callable[[ExpPolynomial, Series], Series]


def evaluated(coefficients: np.ndarray, x: Series) -> Series:
    value = Series([flint.arb(0)])
    for c in coefficients[::-1].tolist():
        value = value * x + flint.arb(c)
    return value


def relative(p: ExpPolynomial, x: Series) -> Series:
    return evaluated(p.coefficients, x) * (-x).exp() - 1


def absolute(p: ExpPolynomial, x: Series) -> Series:
    return evaluated(p.coefficients, x) - x.exp()


def derivative(p: ExpPolynomial, x: Series) -> Series:
    slopes = p.coefficients[1:] if p.degree else np.zeros(1)
    multiples = flint.arb_series([0])
    for m in range(len(slopes) - 1, -1, -1):
        multiples = multiples * x + flint.arb((m + 1) if p.degree else 0) * flint.arb(float(slopes[m]))
    return multiples * (-x).exp() - 1


ERRORS: dict[str, Error] = {"relative": relative, "absolute": absolute, "derivative": derivative}


@pytest.fixture(autouse=True)
def _precision():
    precision, cap = flint.ctx.prec, flint.ctx.cap
    flint.ctx.prec, flint.ctx.cap = 400, ORDER + 1
    yield
    flint.ctx.prec, flint.ctx.cap = precision, cap


def coefficient(series: Series, k: int) -> flint.arb:
    return series[k] if k < len(series) else flint.arb(0)


def enclosed(error: Error, p: ExpPolynomial, lo: flint.arb, hi: flint.arb) -> tuple[flint.arb, flint.arb]:
    """Return |error| at the middle of [lo, hi], and an upper bound on it over the whole of [lo, hi]."""
    middle, radius = (lo + hi) / 2, (hi - lo) / 2
    at = error(p, Series([middle, 1]))
    around = error(p, Series([middle + radius * flint.arb(0, 1), 1]))
    bound = abs(coefficient(around, ORDER)) * radius**ORDER
    for k in range(ORDER):
        bound += abs(coefficient(at, k)) * radius**k
    return abs(coefficient(at, 0)), bound


def proved(error: Error, p: ExpPolynomial, claim: float) -> flint.arb:
    """Prove |error| ≤ claim on [lo, hi] by subdivision, and return a lower bound on its maximum."""
    pieces = max(8, 2 * p.degree)
    ends = [flint.arb(p.lo) + (flint.arb(p.hi) - flint.arb(p.lo)) * i / pieces for i in range(pieces + 1)]
    stack, seen, steps = list(pairwise(ends)), flint.arb(0), 0
    for end in (ends[0], ends[-1]):
        seen = seen.max(enclosed(error, p, end, end)[0])
    while stack:
        steps += 1
        assert steps < 20_000, "subdivision does not get below the claimed bound"
        lo, hi = stack.pop()
        at, bound = enclosed(error, p, lo, hi)
        assert not at > claim, f"|error| = {at.str(8)} at {((lo + hi) / 2).str(8)}, above {claim}"
        seen = seen.max(at)
        if not bound <= claim:
            middle = (lo + hi) / 2
            stack += [(lo, middle), (middle, hi)]
    return seen


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("lo", "hi", "degree"), CASES)
def test_claimed_errors_are_sound_and_tight(lo, hi, degree, method, criterion):
    p = exp_polynomial(lo, hi, degree, method, criterion if method == "minimax" else "relative")
    for name in (criterion, *(CRITERIA if method == "minimax" else ())):
        claim = p.error(name)
        seen = float(proved(ERRORS[name], p, claim).lower())
        floor = 2.0**-89 * (math.exp(hi) if name == "absolute" else 1.0)  # the certificate's own arithmetic
        assert claim <= 1.03 * seen + floor


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-12.0, 12.0),
    st.floats(0.0, 12.0),
    st.integers(0, 24),
    st.sampled_from(METHODS),
    st.sampled_from(CRITERIA),
)
def test_claimed_errors_are_sound_on_any_interval(lo, width, degree, method, criterion):
    p = exp_polynomial(lo, lo + width, degree, method, criterion)
    for name in CRITERIA:
        proved(ERRORS[name], p, p.error(name))


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-3.0, 3.0),
    st.floats(0.0, 8.0),
    st.floats(-8.0, -0.5),
    st.sampled_from(METHODS),
    st.sampled_from(CRITERIA),
)
def test_approximation_meets_its_tolerance_and_one_degree_less_does_not(lo, width, digits, method, criterion):
    tolerance = 10.0**digits
    p = approximate_exp(lo, lo + width, tolerance, method=method, criterion=criterion)
    assert p.error(criterion) <= tolerance
    if p.degree > 0:
        assert exp_polynomial(lo, lo + width, p.degree - 1, method, criterion).error(criterion) > tolerance


def extrema(values: np.ndarray) -> np.ndarray:
    """Return the largest value, in size, of every run of one sign."""
    runs = np.split(values, np.flatnonzero(np.diff(np.signbit(values))) + 1)
    return np.array([run[np.argmax(np.abs(run))] for run in runs])


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    ("lo", "hi", "degree"), [(-1.0, 1.0, 1), (-1.0, 1.0, 6), (-8.0, 8.0, 14), (3.0, 5.0, 6), (-9.0, -1.0, 9)]
)
def test_minimax_error_alternates_often_enough_to_be_best(lo, hi, degree, criterion):
    # de la Vallée-Poussin: no polynomial beats the smallest of g + 2 alternating errors (g + 1 for a slope)
    p = exp_polynomial(lo, hi, degree, "minimax", criterion)
    points = [(lo + hi) / 2 + (hi - lo) / 2 * math.cos(i * math.pi / 3000) for i in range(3001)]
    error = np.array([float(coefficient(ERRORS[criterion](p, Series([flint.arb(x)])), 0)) for x in points])
    alternating = extrema(error)
    wanted = degree + (1 if criterion == "derivative" else 2)
    assert len(alternating) >= wanted
    # 0.5% for the grid of the exchange on either side, and 1% for the bound
    assert np.sort(np.abs(alternating))[-wanted] >= 0.98 * p.error(criterion)


def test_minimax_beats_the_series_as_the_mathematics_says():
    degrees = [approximate_exp(-8.0, 8.0, 1e-3, method=method).degree for method in METHODS]
    assert degrees == [31, 20, 14]
    assert approximate_exp(-8.0, 8.0, 1e-3, criterion="absolute").degree == 16


@pytest.mark.parametrize("shift", [-7.5, -2.0, 4.0, 8.0])
def test_moving_the_interval_costs_no_degree_and_only_rounding(shift):
    centred, moved = (approximate_exp(c - 1.0, c + 1.0, 1e-5) for c in (0.0, shift))
    assert moved.degree == centred.degree
    # both are e^c q(x − c) for one q; coefficients move by 2⁻⁵³ each, hence p by 2⁻⁵³ Σ|c_m||x|^m
    powers = np.abs(moved.coefficients) @ (abs(shift) + 1.0) ** np.arange(moved.degree + 1)
    rounding = 2.0**-53 * powers * math.exp(1.0 - shift)
    assert moved.relative_error == pytest.approx(centred.relative_error, rel=1e-9, abs=2 * rounding)


def test_horner_in_float64_agrees_with_the_stored_polynomial():
    p = exp_polynomial(-2.0, 2.0, 12)
    x = np.linspace(-2.0, 2.0, 101)
    exact = [float(coefficient(evaluated(p.coefficients, Series([flint.arb(float(v))])), 0)) for v in x]
    rounding = 2 * p.degree * 2.0**-53 * (np.abs(p.coefficients) @ 2.0 ** np.arange(p.degree + 1))
    assert np.abs(p(x) - exact).max() <= rounding
    assert p(0.5) == p(np.array([0.5]))[0]


def test_answers_are_kept_and_cannot_be_changed():
    p = approximate_exp(-1.0, 1.0, 1e-4)
    assert approximate_exp(-1.0, 1.0, 1e-4) is p
    with pytest.raises(ValueError, match="read-only"):
        p.coefficients[0] = 2.0


def test_unreachable_tolerance_names_degree_and_error():
    with pytest.raises(ToleranceUnreachable, match=r"at degree 5 it is .* 'max_degree' = 5") as caught:
        approximate_exp(-8.0, 8.0, 1e-3, max_degree=5)
    assert caught.value.degree == 5
    assert caught.value.error == pytest.approx(exp_polynomial(-8.0, 8.0, 5).relative_error, rel=0.03)


def test_a_hopeless_interval_is_refused_by_its_degree():
    with pytest.raises(ToleranceUnreachable) as caught:
        approximate_exp(-340.0, 340.0, 1e-3)
    assert caught.value.degree == 64
    # far below degree X the best polynomial is little better than p = 0, whose relative error is 1
    assert caught.value.error == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_rounding_of_coefficients_is_refused_by_name(method):
    # 2⁻⁵³ e^{2·12} = 3e-6: no degree reaches 1e-9
    with pytest.raises(ToleranceUnreachable, match="rounding of its coefficients"):
        approximate_exp(-12.0, 12.0, 1e-9, method=method)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_point_needs_the_least_degree_there_is(criterion):
    p = approximate_exp(0.75, 0.75, 1e-12, criterion=criterion)
    assert p.degree == (1 if criterion == "derivative" else 0)


def test_a_slope_of_degree_zero_is_out_of_reach():
    with pytest.raises(ToleranceUnreachable, match="at degree 0 it is 1, and 'max_degree' = 0"):
        approximate_exp(0.75, 0.75, 1e-3, criterion="derivative", max_degree=0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((1.0, 0.0, 1e-3), "lo"),
        ((math.nan, 0.0, 1e-3), "lo"),
        ((0.0, math.nan, 1e-3), "hi"),
        ((0.0, math.inf, 1e-3), "hi"),
        ((0.0, 351.0, 1e-3), "hi"),
        ((0.0, 1.0, 0.0), "tolerance"),
        ((0.0, 1.0, -1.0), "tolerance"),
        ((0.0, 1.0, 1.0), "tolerance"),
        ((0.0, 1.0, math.nan), "tolerance"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"Argument '{named}'"):
        approximate_exp(*arguments)


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({"method": "pade"}, "method"),
        ({"criterion": "mean"}, "criterion"),
        ({"max_degree": -1}, "max_degree"),
        ({"max_degree": True}, "max_degree"),
        ({"criterion": "absolute", "tolerance": math.inf}, "tolerance"),
    ],
)
def test_options_out_of_range_are_named(keywords, named):
    with pytest.raises(ValueError, match=f"Argument '{named}'"):
        approximate_exp(0.0, 1.0, **{"tolerance": 1e-3, **keywords})


def test_a_negative_degree_is_refused():
    with pytest.raises(ValueError, match="Argument 'degree'"):
        exp_polynomial(0.0, 1.0, -1)


def test_a_tolerance_above_one_is_allowed_for_absolute_errors():
    p = approximate_exp(0.0, 10.0, 500.0, criterion="absolute")
    assert p.degree > 0
    assert p.absolute_error <= 500.0
