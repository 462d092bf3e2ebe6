"""Brute force for gap instances, against one tuple at a time."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from cubicwall.algorithms import inner_products as module
from cubicwall.algorithms.inner_products import best_tuple, decide_gap, inner_products
from cubicwall.instances.answer import No, Undecided, Yes
from cubicwall.instances.max_inner_product import GapMaxInnerProduct


@pytest.mark.parametrize("block", [1, 3, 512])
@pytest.mark.parametrize("sizes", [(4, 7), (3, 2, 5), (2, 3, 2, 3), (1, 1)])
def test_the_best_tuple_is_the_first_of_the_best(
    sizes: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    rng = np.random.default_rng(block)
    for _ in range(20):
        instance = GapMaxInnerProduct([rng.random((n, 6)) < 0.6 for n in sizes], 6, 5)
        tuples = list(product(*map(range, sizes)))
        values = [instance.inner_product(t) for t in tuples]
        assert best_tuple(instance) == (max(values), tuples[values.index(max(values))])
        listed = [int(p) for _, products in inner_products(instance.sets) for p in products.ravel()]
        assert listed == values


def test_decisions_respect_target_and_bound() -> None:
    sets = [[[1, 1, 0]], [[1, 1, 1]]]
    assert decide_gap(GapMaxInnerProduct(sets, 2, 1)) == Yes((0, 0))
    assert decide_gap(GapMaxInnerProduct(sets, 3, 2)) == No()
    broken = decide_gap(GapMaxInnerProduct(sets, 3, 1))
    assert isinstance(broken, Undecided)
    assert "inner product 2, between the bound 1 and the target 3" in broken.reason


def test_an_empty_set_or_no_coordinates_mean_no() -> None:
    assert decide_gap(GapMaxInnerProduct([np.zeros((0, 2), dtype=int), [[1, 1]]], 1, 0)) == No()
    assert decide_gap(GapMaxInnerProduct([np.zeros((2, 0), dtype=int)] * 2, 1, 0)) == No()


def test_dimensions_beyond_exact_sums_are_refused() -> None:
    with pytest.raises(ValueError, match=r"fewer than 2\^24 coordinates"):
        next(inner_products([np.zeros((1, 2**24), dtype=np.uint8)] * 2))
