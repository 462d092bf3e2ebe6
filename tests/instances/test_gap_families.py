"""Families of gap instances: κ as chosen, the promise kept, saturated where they say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.inner_products import decide_gap, inner_products
from cubicwall.instances.answer import No, Yes
from cubicwall.instances.gap_families import gap_free, saturated_gap, sparse_gap
from cubicwall.instances.max_inner_product import GapMaxInnerProduct

SIZES = [(8, 5), (40, 33), (6, 5, 7), (4, 3, 2, 5), (1, 1)]
Family = Callable[..., GapMaxInnerProduct]


def all_products(instance: GapMaxInnerProduct) -> list[int]:
    return sorted(int(p) for _, block in inner_products(instance.sets) for p in block.ravel())


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.parametrize("kappa", [3, 4.5])
def test_sparse_instances_keep_their_promise_at_the_chosen_kappa(
    sizes: tuple[int, ...], planted: bool, kappa: float
) -> None:
    instance = sparse_gap(
        sizes, target=9, bound=3, kappa=kappa, rng=np.random.default_rng(2), planted=planted
    )
    assert instance.size.kappa == kappa
    products = all_products(instance)
    assert products.count(9) == int(planted)
    assert max(products[: len(products) - planted], default=0) <= 3
    assert isinstance(decide_gap(instance), Yes if planted else No)


@pytest.mark.parametrize("sizes", SIZES[:4], ids=str)
@pytest.mark.parametrize("planted", [True, False])
@pytest.mark.parametrize("kappa", [2.5, 3.5])
def test_saturated_instances_sit_at_the_bound_without_idle_coordinates(
    sizes: tuple[int, ...], planted: bool, kappa: float
) -> None:
    instance = saturated_gap(
        sizes, target=10, bound=6, kappa=kappa, rng=np.random.default_rng(3), planted=planted
    )
    products = all_products(instance)
    assert products == [6] * (len(products) - planted) + [10] * planted
    assert all(vectors.any(axis=0).all() for vectors in instance.sets)


def test_kappa_of_a_saturated_instance_is_the_chosen_one() -> None:
    rng = np.random.default_rng(4)
    for kappa in (2, 2.5, 8):
        instance = saturated_gap((64, 64), target=12, bound=4, kappa=kappa, rng=rng, planted=True)
        assert instance.size.kappa == kappa


def test_gap_free_instances_are_decided_though_nothing_is_promised() -> None:
    rng = np.random.default_rng(5)
    answers = {
        type(decide_gap(gap_free((5, 6, 4), dimension=12, target=target, density=0.7, rng=rng)))
        for target in range(1, 13)
    }
    assert answers == {Yes, No}


def test_the_same_seed_gives_the_same_instance() -> None:
    def made(family: Family) -> GapMaxInnerProduct:
        return family((6, 5), target=6, bound=2, kappa=3, rng=np.random.default_rng(6), planted=True)

    assert made(sparse_gap) == made(sparse_gap)
    assert made(saturated_gap) == made(saturated_gap)


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        (sparse_gap, {"sizes": (3, 0)}, "'sizes' must be at least 1"),
        (sparse_gap, {"bound": 6}, "'bound' must be in 0..5"),
        (sparse_gap, {"kappa": 1}, "'kappa' must be at least 1.5"),
        (saturated_gap, {"bound": 0}, "'bound' must be at least 1"),
        (saturated_gap, {"kappa": 30}, "'kappa' must give between 6 and 12 coordinates .*, not 120"),
    ],
)
def test_impossible_families_are_refused_by_name(
    family: Family, change: dict[str, Any], message: str
) -> None:
    options: dict[str, Any] = {"sizes": (4, 4), "target": 6, "bound": 2, "kappa": 2, "planted": True}
    with pytest.raises(ValueError, match=message):
        family(**{**options, **change}, rng=np.random.default_rng(1))


def test_a_density_is_a_probability() -> None:
    with pytest.raises(ValueError, match="'density' must lie in"):
        gap_free((1, 1), dimension=1, target=1, density=1.5, rng=np.random.default_rng(1))
