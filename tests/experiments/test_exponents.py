from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from cubicwall.algorithms.exp_degree import degree_for
from cubicwall.experiments.exponents import (
    ACCURACIES,
    chebyshev_degree,
    critical_finite,
    critical_limit,
    limit_exponent,
    rank_exponent,
)
from cubicwall.experiments.threshold import B_GRID
from hypothesis import given, settings
from hypothesis import strategies as st

SIZES = (3, 4, 5, 6, 8, 12, 20, 50, 100, 200, 500, 1000)


def exponents(b: float, sizes: tuple[int, ...] = SIZES) -> list[float]:
    return [rank_exponent(b, size * math.log(10))[0] for size in sizes]


def slow_degree(half_width: float, log_tolerance: float) -> int:
    with mpmath.workdps(40):
        terms = [2 * mpmath.besseli(m, half_width) for m in range(int(3 * half_width) + 400)]
        tail, degree = mpmath.mpf(0), len(terms) - 1
        while degree >= 1 and tail + terms[degree] <= mpmath.exp(log_tolerance):
            tail += terms[degree]
            degree -= 1
        return degree


@pytest.mark.parametrize("half_width", [0.05, 1.0, 8.0, 40.0])
@pytest.mark.parametrize("digits", [1.0, 7.0, 60.0])
def test_degrees_agree_with_bessel_sums_of_forty_digits(half_width: float, digits: float) -> None:
    log_tolerance = -half_width - digits
    assert chebyshev_degree(half_width, log_tolerance) == slow_degree(half_width, log_tolerance)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 12.0), st.floats(0.5, 8.0))
def test_the_tail_bound_never_promises_less_than_the_series_needs(half_width: float, digits: float) -> None:
    needed = degree_for(2 * half_width, math.exp(-digits), "chebyshev")
    assert chebyshev_degree(half_width, -half_width - digits) >= needed


@pytest.mark.parametrize(
    ("b", "low", "high"), [(0.5, 0.84, 1.20), (0.7, 1.27, 1.58), (1.0, 1.89, 2.20), (1.5, 2.86, 3.16)]
)
def test_exponents_agree_with_the_list_of_the_mathematics(b: float, low: float, high: float) -> None:
    # to the two digits of the list; at b = 1.5 its grid leaves out n = 10^4, which has 2.867
    found = exponents(b)
    assert min(found) == pytest.approx(low, abs=0.01)
    assert max(found) == pytest.approx(high, abs=0.01)


def test_at_b_one_fifth_degree_one_is_enough_for_a_thousand_tokens() -> None:
    # the list says 0.52..0.70: degree 2 at n = 10³, where the tail bound is met by degree 1 (ρ = 0.30)
    found = exponents(0.2)
    assert max(found) == pytest.approx(0.70, abs=0.01)
    assert rank_exponent(0.2, math.log(1e3))[1] == 1
    assert math.log(math.comb(9, 2)) / math.log(1e3) == pytest.approx(0.52, abs=0.005)


def test_exponent_curves_collapse() -> None:
    spreads = {b: np.ptp(exponents(b)) for b in B_GRID}
    assert max(round(float(spread), 2) for spread in spreads.values()) <= 0.40  # 0.403 at b = 0.2
    assert sum(spread > 0.36 for spread in spreads.values()) == 1
    assert max(np.ptp(exponents(b, SIZES[SIZES.index(12) :])) for b in B_GRID) <= 0.15


@pytest.mark.parametrize("accuracy", ACCURACIES)
@pytest.mark.parametrize("order", [2, 3, 4])
def test_finite_exponents_tend_to_the_limit(accuracy: str, order: int) -> None:
    for b in (0.3, 1.0, 1.5):
        limit = limit_exponent(b, order=order, accuracy=accuracy)  # type: ignore[arg-type]
        gaps = [
            abs(rank_exponent(b, size * math.log(10), order=order, accuracy=accuracy)[0] - limit)  # type: ignore[arg-type]
            for size in (30, 1000)
        ]
        # Stirling: ln C(d+g, g) misses (1/2) ln of its arguments, and constants of ln n
        assert gaps[1] <= 3 * math.log(2303) / 2303
        assert gaps[1] <= gaps[0] + 1e-3


@pytest.mark.parametrize(
    ("accuracy", "row"),
    [
        ("relative 1/n", (1.601, 0.903, 0.629, 0.478, 0.465, 0.380, 0.309)),
        ("relative constant", (1.637, 1.000, 0.786, 0.683, 0.674, 0.621, 0.579)),
        ("absolute constant", (1.865, 1.140, 0.896, 0.778, 0.769, 0.708, 0.659)),
    ],
)
def test_critical_entries_agree_with_the_table_of_the_mathematics(
    accuracy: str, row: tuple[float, ...]
) -> None:
    found = [critical_limit(c=c, accuracy=accuracy) for c in (0.5, 1, 2, 4, 4.33, 8, 16)]  # type: ignore[arg-type]
    assert found == pytest.approx(row, abs=6e-4)


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_at_the_critical_entry_the_rank_is_just_subcubic(accuracy: str) -> None:
    ln_n = math.log(1e6)
    b = critical_finite(ln_n, accuracy=accuracy)  # type: ignore[arg-type]
    assert rank_exponent(b, ln_n, accuracy=accuracy)[0] <= 2.0  # type: ignore[arg-type]
    assert rank_exponent(b + 1e-6, ln_n, accuracy=accuracy)[0] > 2.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"order": 1}, {"c": 0.0}, {"accuracy": "none"}, {"b": -1.0}, {"ln_n": 0.0}]
)
def test_bad_arguments_are_named(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {"b": 1.0, "ln_n": 5.0} | wrong
    with pytest.raises(ValueError, match=f"Argument '{next(iter(wrong))}'"):
        rank_exponent(**arguments)  # type: ignore[arg-type]
