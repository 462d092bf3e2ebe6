"""The picture of the constants says what the table says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cubicwall.experiments.constants_figure import curves, draw_constants
from cubicwall.reductions.crossovers import crossover, saturated_until, tower_crossover

DIRECT = "direct encoding"


def pays(order: int, name: str, x: float) -> bool:
    found = curves(order, np.array([x]))
    return bool(found[name][0] < found[DIRECT][0])


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_tower_meets_the_direct_encoding_where_the_table_says(order: int) -> None:
    at = tower_crossover(order).log10_variables
    assert not pays(order, "tower of curves, few messages", at * 0.999)
    assert pays(order, "tower of curves, few messages", at * 1.001)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_compressed_coordinates_stop_paying_where_the_table_says(order: int) -> None:
    last = saturated_until(order)
    name = "any code, compressed (saturated)"
    # The picture has N = 2^(n/k) for 2^⌈n/k⌉: it may be a few variables late.
    assert pays(order, name, np.log10(last - 1))
    assert not pays(order, name, np.log10(last + order))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_reed_solomon_codes_stay_above_the_direct_encoding(order: int) -> None:
    for x in np.geomspace(0.3, 1e5, 40):
        assert not pays(order, "Reed-Solomon, any number of messages", x)
        assert not pays(order, "Reed-Solomon, few messages", x)


def test_hermitian_codes_cross_at_order_two_only_and_near_the_table() -> None:
    name = "Hermitian, any number of messages"
    found = crossover("hermitian", 2)
    assert found is not None
    assert pays(2, name, found.log10_variables + np.log10(1.1))
    assert not pays(2, name, found.log10_variables - np.log10(2))
    assert not any(pays(order, name, x) for order in (3, 4) for x in np.geomspace(0.3, 1e5, 40))


def test_a_picture_is_whole_and_the_same_every_time(tmp_path: Path) -> None:
    for file in ("a.svg", "b.svg"):
        draw_constants([3], tmp_path / file)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
