"""Field arithmetic on arrays against galois's own."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from cubicwall.reductions.finite_fields import (
    contract,
    galois_field,
    integers,
    least_prime_above,
    multiply,
    prime_power,
    prime_powers,
)

FIELDS = [2, 3, 7, 31, 4, 8, 9, 25]


@pytest.mark.parametrize("order", FIELDS)
def test_products_are_those_of_galois(order: int) -> None:
    rng = np.random.default_rng(order)
    field = galois_field(order)
    left, middle, right = (rng.integers(order, size=(6, 5)) for _ in range(3))
    assert np.array_equal(multiply(order, left), left)
    assert np.array_equal(
        multiply(order, left, middle, right), integers(field(left) * field(middle) * field(right))
    )
    assert np.array_equal(contract(order, left, right.T), integers(field(left) @ field(right.T)))


def test_contracting_nothing_gives_zero() -> None:
    for order in (5, 9):
        assert (
            contract(order, np.zeros((2, 0), dtype=int), np.zeros((0, 3), dtype=int)).tolist()
            == [[0] * 3] * 2
        )


def test_sums_of_a_large_prime_field_are_exact() -> None:
    q = 1_000_003
    left, right = np.full((1, 1000), q - 1), np.full((1000, 1), q - 1)
    assert contract(q, left, right).item() == 1000 % q


def test_prime_powers_are_recognised_and_others_named() -> None:
    assert list(islice(prime_powers(), 10)) == [2, 3, 4, 5, 7, 8, 9, 11, 13, 16]
    assert prime_power(343) == (7, 3)
    for number in (-4, 0, 1, 6, 12, 100):
        with pytest.raises(ValueError, match=f"'field' must be a prime power, not {number}"):
            prime_power(number)


def test_the_next_prime_is_strictly_above() -> None:
    assert [least_prime_above(n) for n in (0, 1, 2, 7, 30)] == [2, 2, 3, 11, 31]
