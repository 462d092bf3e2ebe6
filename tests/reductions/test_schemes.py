"""Schemes: what is chosen, what is refused, and messages in their order."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from cubicwall.instances.orthogonal_vectors import VectorsSize
from cubicwall.reductions.codes import Hermitian, ReedSolomon
from cubicwall.reductions.schemes import MOST_MESSAGES, Scheme, choose_scheme
from hypothesis import given
from hypothesis import strategies as st


@given(
    sizes=st.lists(st.integers(0, 5000), min_size=2, max_size=4),
    dimension=st.integers(0, 200),
    family=st.sampled_from(["reed-solomon", "hermitian"]),
)
def test_what_is_chosen_is_sound_and_holds_the_source(sizes: list[int], dimension: int, family: str) -> None:
    scheme = choose_scheme(VectorsSize(tuple(sizes), dimension), family=family)
    assert scheme.rows * scheme.code.columns >= dimension
    assert scheme.code.characteristic > scheme.rows
    assert scheme.agreement < scheme.code.length
    if scheme.code.columns != 2:
        assert scheme.genuine(tuple(sizes))
        assert scheme.messages <= MOST_MESSAGES


@pytest.mark.parametrize(
    ("sizes", "dimension", "field", "rows", "columns", "messages"),
    [
        ((8, 8, 8), 60, 31, 30, 2, 31**2),
        ((4, 4, 4), 40, 23, 20, 2, 23**2),
        ((4096, 4096), 4, 3, 2, 2, 3),
        ((4096, 4096), 12, 5, 4, 3, 25),
        ((1024, 1024, 1024), 6, 5, 3, 2, 25),
    ],
)
def test_the_schemes_of_the_known_cases(
    sizes: tuple[int, ...], dimension: int, field: int, rows: int, columns: int, messages: int
) -> None:
    scheme = choose_scheme(VectorsSize(sizes, dimension))
    assert (scheme.code.field, scheme.rows, scheme.code.columns) == (field, rows, columns)
    assert scheme.messages == messages


def test_whatever_is_given_is_kept() -> None:
    size = VectorsSize((4, 4, 4), 6)
    assert choose_scheme(size, field=11).code == ReedSolomon(11, 2)
    assert choose_scheme(size, rows=2) == Scheme(3, 2, ReedSolomon(7, 3))
    assert choose_scheme(size, rows=4, columns=2, field=7) == Scheme(3, 4, ReedSolomon(7, 2))
    assert choose_scheme(size, family="hermitian", rows=1, columns=6) == Scheme(3, 1, Hermitian(9, 6))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": 6}, "'field' must be a prime power, not 6"),
        ({"field": 2, "rows": 3}, "'field' must have a characteristic above the number of rows, 3"),
        ({"field": 9, "rows": 3}, "GF\\(9\\) has characteristic 3"),
        ({"field": 3, "columns": 5}, "too few points: 3"),
        ({"field": 5, "columns": 3}, "degree overflow"),
        ({"rows": 2, "columns": 2}, "product of at least 6, the dimension, not 2 · 2"),
        ({"rows": 0}, "'rows' must be at least 1, not 0"),
        ({"columns": -1}, "'columns' must be at least 1, not -1"),
        ({"family": "turbo"}, "'family' must be one of .*, not 'turbo'"),
        ({"family": "hermitian", "field": 5}, "square of a prime power"),
    ],
)
def test_bad_choices_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_scheme(VectorsSize((4, 4, 4), 6), **options)


def test_a_scheme_needs_an_order_and_rows() -> None:
    with pytest.raises(ValueError, match="'order' must be at least 2, not 1"):
        Scheme(1, 1, ReedSolomon(5, 2))
    with pytest.raises(ValueError, match="'rows' must be at least 1, not 0"):
        Scheme(2, 0, ReedSolomon(5, 2))


@pytest.mark.parametrize(
    "scheme",
    [Scheme(3, 2, ReedSolomon(7, 2)), Scheme(2, 1, Hermitian(4, 2)), Scheme(3, 2, ReedSolomon(3, 1))],
    ids=str,
)
def test_messages_are_all_different_and_come_in_a_fixed_order(scheme: Scheme) -> None:
    words = np.array(list(scheme.messages_in_order()))
    assert len(np.unique(words, axis=0)) == len(words) == scheme.messages
    assert not words[0].any()
    assert np.array_equal(words, scheme.message_words(0, scheme.messages))
    assert not words[:, : scheme.code.columns].any()


def test_messages_are_made_as_they_are_asked_for() -> None:
    scheme = Scheme(4, 2, Hermitian(25, 6))
    assert scheme.messages > 10**20
    assert len(list(islice(scheme.messages_in_order(), 300))) == 300


def test_bits_are_laid_out_row_by_row() -> None:
    scheme = Scheme(2, 3, ReedSolomon(5, 2))
    words = scheme.words(np.array([[1, 0, 0, 1, 1]]))
    assert words.shape == (1, 3, 5)
    assert words[0, :, :2].tolist() == [[1, 0], [0, 1], [1, 0]]
