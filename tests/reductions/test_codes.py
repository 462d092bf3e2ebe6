"""Codes: systematic, linear, products stay in the k-fold space, and its words have few zeros."""

from __future__ import annotations

import numpy as np
import pytest
from cubicwall.reductions.codes import Code, Hermitian, ReedSolomon
from cubicwall.reductions.finite_fields import contract, galois_field, integers, multiply
from hypothesis import given, settings
from hypothesis import strategies as st

CODES: list[ReedSolomon | Hermitian] = [
    ReedSolomon(5, 2),
    ReedSolomon(7, 3),
    ReedSolomon(31, 2),
    ReedSolomon(9, 2),
    ReedSolomon(8, 3),
    ReedSolomon(3, 1),
    Hermitian(4, 2),
    Hermitian(9, 2),
    Hermitian(9, 3),
    Hermitian(16, 5),
    Hermitian(25, 1),
]


def orders(code: Code) -> list[int]:
    return [k for k in (2, 3, 4) if code.agreement(k) < code.length]


@pytest.mark.parametrize("code", CODES, ids=str)
def test_the_first_values_of_a_word_are_its_bits(code: Code) -> None:
    bits = np.random.default_rng(1).integers(2, size=(4, 3, code.columns))
    words = code.encode(bits)
    assert words.shape == (4, 3, code.length)
    assert np.array_equal(words[..., : code.columns], bits)
    assert words.min() >= 0
    assert words.max() < code.field


@pytest.mark.parametrize("code", CODES, ids=str)
def test_the_zero_set_vanishes_on_the_first_points_and_has_its_dimension(code: Code) -> None:
    for order in orders(code):
        basis = code.zero_set(order)
        assert basis.shape == (code.freedom(order), code.length)
        assert not basis[:, : code.columns].any()
        if len(basis):
            assert np.linalg.matrix_rank(galois_field(code.field)(basis)) == len(basis)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_products_lie_in_the_space_of_the_zero_set_and_have_few_zeros(data: st.DataObject) -> None:
    code = data.draw(st.sampled_from([code for code in CODES if orders(code)]))
    order = data.draw(st.sampled_from(orders(code)))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    generator = code.encode(np.eye(code.columns, dtype=np.int64))
    words = [
        contract(code.field, rng.integers(code.field, size=(1, code.columns)), generator)[0]
        for _ in range(order)
    ]
    product = multiply(code.field, *words)
    if product.any():
        assert (product == 0).sum() <= code.agreement(order)
    space = code.evaluations(order)
    field = galois_field(code.field)
    stacked = field(np.vstack([integers(space), product]))
    assert np.linalg.matrix_rank(stacked) == len(space)
    combination = integers(field(rng.integers(code.field, size=(1, len(space)))) @ space)[0]
    if combination.any():
        assert (combination == 0).sum() <= code.agreement(order)


@pytest.mark.parametrize("code", [code for code in CODES if code.columns > 1], ids=str)
def test_a_product_that_vanishes_on_the_first_points_is_in_the_zero_set(code: Code) -> None:
    bits = np.eye(code.columns, dtype=np.int64)
    for order in orders(code):
        product = multiply(code.field, *code.encode(bits)[:2], *[code.encode(bits[0] | 1)] * (order - 2))
        basis = code.zero_set(order)
        assert not product[: code.columns].any()
        stacked = galois_field(code.field)(np.vstack([basis, product]))
        assert np.linalg.matrix_rank(stacked) == len(basis)


def test_reed_solomon_messages_are_the_multiples_of_the_vanishing_polynomial() -> None:
    code, q = ReedSolomon(7, 3), 7
    points = galois_field(q)(np.arange(q))
    vanishing = points * (points - points[1]) * (points - points[2])
    expected = np.vstack([integers(vanishing * points**i) for i in range(code.freedom(3))])
    both = galois_field(q)(np.vstack([expected, code.zero_set(3)]))
    assert np.linalg.matrix_rank(both) == code.freedom(3) == 4


@pytest.mark.parametrize("root", [2, 3, 4, 5])
def test_the_hermitian_curve_has_its_points_and_genus(root: int) -> None:
    code = Hermitian(root**2, 1)
    assert code.length == root**3
    assert code.genus == root * (root - 1) // 2
    # Riemann-Roch: from 2·genus on, every pole order occurs, so dimension = order + 1 - genus.
    for columns in range(code.genus + 1, code.genus + 5):
        assert Hermitian(root**2, columns).pole == columns + code.genus - 1
    assert code.evaluations(2).shape == (1, root**3)


def test_the_table_entry_of_the_hermitian_code_is_nine_to_the_seventh() -> None:
    code = Hermitian(9, 3)
    assert 9 ** code.freedom(3) == 9**7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReedSolomon(6, 2), "'field' must be a prime power, not 6"),
        (lambda: ReedSolomon(1, 1), "'field' must be a prime power, not 1"),
        (lambda: ReedSolomon(3, 4), "too few points: 3"),
        (lambda: ReedSolomon(3, 0), "'columns' must be at least 1, not 0"),
        (lambda: Hermitian(8, 2), "'field' must be the square of a prime power .*, not 8"),
        (lambda: Hermitian(36, 2), "'field' must be a prime power, not 36"),
        (lambda: Hermitian(4, 9), "too few points: 8"),
        (lambda: ReedSolomon(5, 3).zero_set(3), "degree overflow"),
        (lambda: Hermitian(4, 3).zero_set(4), "degree overflow"),
    ],
)
def test_bad_codes_are_refused_by_name(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
