"""Exhaustive soundness of the distributed PCP: every tuple, every message, of many small instances."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions.codes import ReedSolomon
from cubicwall.reductions.gap import Verifier, distributed_pcp
from cubicwall.reductions.schemes import Scheme
from cubicwall.verification.exhaustive import stratified_vectors
from cubicwall.verification.proof_soundness import check_soundness, marks, orthogonal_tuples

EACH = 820  # instances for each of the 25 numbers of ones: 20,500 in all


@pytest.mark.parametrize("field", [5, 7])
@pytest.mark.parametrize("each", [EACH // 10, pytest.param(EACH, marks=pytest.mark.full)])
def test_three_ov_in_four_dimensions_is_sound_under_every_message(field: int, each: int) -> None:
    scheme = Scheme(3, 2, ReedSolomon(field, 2))
    rng = np.random.default_rng([field, each])
    seen = check_soundness(stratified_vectors(3, 2, 4, each, rng=rng), scheme)
    assert seen.broken == ()
    assert seen.instances == 25 * each
    assert seen.marks == 8 * seen.instances * field**2
    assert seen.highest_wrong == scheme.agreement == 3


@pytest.mark.parametrize("field", [5, 7])
def test_every_triple_of_vectors_in_four_dimensions_is_judged_rightly(field: int) -> None:
    rows = np.array(list(product([0, 1], repeat=4)))
    seen = check_soundness([OrthogonalVectors([rows] * 3)], Scheme(3, 2, ReedSolomon(field, 2)))
    assert seen.broken == ()
    assert (seen.tuples, seen.orthogonal) == (16**3, 7**4)


def test_the_sweep_counts_what_the_arrow_yields() -> None:
    rng = np.random.default_rng(3)
    scheme = Scheme(3, 2, ReedSolomon(5, 2))
    for vectors in stratified_vectors(3, 2, 4, 1, rng=rng):
        reached = marks(Verifier.of(vectors, scheme), scheme.message_words(0, 25))
        for message, instance in enumerate(Verifier.of(vectors, scheme).instances()):
            for indices in product(range(2), repeat=3):
                assert reached[(message, *indices)] == instance.inner_product(indices)
        first = next(distributed_pcp(vectors, field=5, columns=2))
        assert first == next(Verifier.of(vectors, scheme).instances())


def test_orthogonal_tuples_are_those_of_the_instance() -> None:
    rng = np.random.default_rng(4)
    for vectors in stratified_vectors(3, 2, 4, 2, rng=rng):
        free = orthogonal_tuples(vectors)
        for indices in np.ndindex(*vectors.sizes):
            assert free[indices] == vectors.is_orthogonal(indices)


def test_the_sweep_notices_a_field_of_too_small_characteristic() -> None:
    # Two rows over GF(2): a sum of two violations wraps to zero, which the scheme itself refuses.
    scheme = Scheme(2, 1, ReedSolomon(4, 2))
    object.__setattr__(scheme, "rows", 2)
    guilty = OrthogonalVectors([[[1, 0, 1, 0]], [[1, 0, 1, 0]]])
    assert check_soundness([guilty], scheme).broken == (guilty,)


def test_the_sweep_notices_degree_overflow() -> None:
    scheme = Scheme(2, 1, ReedSolomon(5, 2))
    object.__setattr__(scheme, "order", 3)  # messages of degree 3 on the marks of pairs
    sound = OrthogonalVectors([[[1, 0]], [[1, 1]]])
    assert check_soundness([sound], scheme).highest_wrong > 2
