"""The table of constants against instances that are really made, and where the codes would pay."""

from __future__ import annotations

from itertools import islice
from math import inf, log

import pytest
from cubicwall.instances.cnf import CNF, CNFSize
from cubicwall.instances.max_inner_product import GapSize
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors, VectorsSize
from cubicwall.instances.vector_families import random_orthogonal_vectors
from cubicwall.reductions.arrows import find_path
from cubicwall.reductions.codes import Hermitian, ReedSolomon
from cubicwall.reductions.constants import (
    constants_table,
    decision_coordinate,
    limit_coordinate,
    path_constants,
    scheme_constants,
)
from cubicwall.reductions.crossovers import crossover, tower_crossover
from cubicwall.reductions.encoding import signed_encoding
from cubicwall.reductions.gap import distributed_pcp
from cubicwall.reductions.schemes import Scheme, choose_scheme
from cubicwall.reductions.threshold_encodings import complement_encoding, threshold_encoding
from numpy.random import default_rng


def source(order: int) -> OrthogonalVectors:
    return random_orthogonal_vectors([4] * order, 6, 0.7, rng=default_rng(order))


@pytest.mark.parametrize("order", [2, 3, 4])
def test_the_table_is_what_the_arrows_claim(order: int) -> None:
    vectors = source(order)
    found = scheme_constants(vectors.size, choose_scheme(vectors.size, columns=2))
    claim = distributed_pcp.contract.claim(vectors.size, columns=2)
    gap = claim.target
    assert isinstance(gap, GapSize)
    assert (found.messages, found.compressed) == (claim.calls, gap.dimension)
    general = threshold_encoding.contract.claim(gap).target.measures()
    assert found.general.dimension == general["d"]
    assert found.general.entry_bound == pytest.approx(general["B"])
    complement = complement_encoding.contract.claim(gap).target.measures()
    assert found.complement.dimension <= complement["d"]
    assert found.complement.entry_bound <= complement["B"] * (1 + 1e-12)
    direct = signed_encoding.contract.claim(vectors.size).target.measures()
    assert (found.direct.dimension, found.direct.entry_bound) == (direct["d"], pytest.approx(direct["B"]))


@pytest.mark.parametrize("order", [2, 3])
def test_the_table_bounds_what_is_made(order: int) -> None:
    vectors = source(order)
    found = scheme_constants(vectors.size, choose_scheme(vectors.size, columns=2))
    for instance in islice(distributed_pcp(vectors, columns=2), 3):
        assert instance.dimension <= found.compressed <= found.full
        assert next(threshold_encoding(instance)).entry_bound <= found.general.entry_bound * (1 + 1e-12)
        assert next(threshold_encoding(instance)).coordinate <= found.general.coordinate * (1 + 1e-12)


def test_a_path_tells_its_constants_beforehand() -> None:
    found = path_constants(find_path("gap", CNF, order=2, columns=3), CNFSize(8, 30, 3))
    assert found.size == VectorsSize((16, 16), 30)
    assert found.scheme == choose_scheme(found.size, columns=3)
    with pytest.raises(ValueError, match="'path' must go through distributed_pcp"):
        path_constants(find_path("direct", CNF), CNFSize(8, 30, 3))


def test_regimes_are_told_apart() -> None:
    assert scheme_constants(VectorsSize((4096,) * 2, 4), Scheme(2, 2, ReedSolomon(3, 2))).regime == "genuine"
    assert scheme_constants(VectorsSize((8,) * 2, 4), Scheme(2, 2, ReedSolomon(3, 2))).regime == "saturated"
    assert scheme_constants(VectorsSize((10**4,) * 3, 18), Scheme(3, 6, ReedSolomon(7, 3))).messages == 2401


def test_numbers_too_large_for_a_float_stay_exact_or_become_infinite() -> None:
    size = VectorsSize((2**20,) * 3, 256)
    found = scheme_constants(size, choose_scheme(size, columns=2))
    assert found.full == found.scheme.code.field ** (1 + 2 * 128)
    assert found.general_full.kappa == inf
    assert 10**70 < found.general_full.entry_bound < inf
    assert not found.beats_direct


def test_the_table_has_both_families_for_each_number_of_columns() -> None:
    rows = constants_table(VectorsSize((8,) * 3, 6), columns=[2, 3])
    assert [(type(row.scheme.code), row.scheme.code.columns) for row in rows] == [
        (ReedSolomon, 2),
        (Hermitian, 2),
        (ReedSolomon, 3),
        (Hermitian, 3),
    ]


def test_b_of_the_decision_tends_to_its_limit() -> None:
    assert [round(limit_coordinate(k, 1), 3) for k in (2, 3, 4)] == [1.0, 1.26, 1.316]
    assert [round(limit_coordinate(k, 2), 3) for k in (2, 3, 4)] == [1.414, 1.587, 1.565]
    for order in (2, 3, 4):
        gaps = [
            decision_coordinate(order, 2, 10**digits) - limit_coordinate(order, 2)
            for digits in (3, 10, 100, 300)
        ]
        assert gaps == sorted(gaps, reverse=True)
        assert 0 < gaps[-1] < 0.005


def test_the_hermitian_crossover_is_the_least_and_says_nothing_about_sat() -> None:
    found = crossover("hermitian", 2, density=4.26)
    assert found is not None

    def pays(field: int, columns: int) -> bool:
        code = Hermitian(field, columns)
        if code.agreement(2) >= code.length:
            return False
        size = VectorsSize((10**9,) * 2, columns)
        made = scheme_constants(size, Scheme(2, 1, code))
        return made.complement_full.kappa < made.direct.kappa

    assert pays(found.field, found.columns)
    assert not pays(found.field, found.columns - 1)
    assert not any(pays(r * r, L) for r in (2, 3, 4, 5, 7, 8, 9) for L in range(1, r**3 // 2, max(1, r - 3)))
    assert found.message_bits > 1  # more messages than assignments


@pytest.mark.parametrize("order", [2, 3, 4])
def test_reed_solomon_codes_never_pay(order: int) -> None:
    assert crossover("reed-solomon", order) is None
    for rows in range(1, 12):
        for columns in range(1, 12):
            size = VectorsSize((10**9,) * order, rows * columns)
            made = scheme_constants(size, choose_scheme(size, rows=rows, columns=columns))
            assert min(made.general_full.kappa, made.complement_full.kappa) > made.direct.kappa


@pytest.mark.parametrize("order", [3, 4])
def test_hermitian_codes_do_not_pay_from_order_three_on(order: int) -> None:
    assert crossover("hermitian", order) is None
    for rows in (1, 2, 4):
        for columns in (1, 2, 5, 20):
            size = VectorsSize((10**9,) * order, rows * columns)
            made = scheme_constants(size, choose_scheme(size, family="hermitian", rows=rows, columns=columns))
            assert min(made.general_full.kappa, made.complement_full.kappa) > made.direct.kappa


@pytest.mark.parametrize("order", [2, 3, 4])
def test_towers_pay_with_few_messages_at_sizes_nobody_can_write_down(order: int) -> None:
    found = tower_crossover(order, share=0.5)
    assert found.message_bits <= 0.5 / order
    assert found.log10_variables > 1000
    kappa = (order - 1) * found.rows * log(found.field, 10) + log(2, 10)
    assert found.log10_variables == pytest.approx(kappa - log(4.26, 10))
    assert tower_crossover(order, share=0.9).log10_variables < found.log10_variables


def test_bad_arguments_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'family' must be reed-solomon or hermitian, not 'goppa'"):
        crossover("goppa", 2)
    with pytest.raises(ValueError, match="'share' must lie in"):
        tower_crossover(3, share=1)
