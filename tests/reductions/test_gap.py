"""The distributed PCP: complete, sound for every message, lazy, and whatever the source looks like."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.inner_products import decide_gap
from cubicwall.algorithms.vectors import first_orthogonal
from cubicwall.instances.answer import No, Undecided, Yes
from cubicwall.instances.max_inner_product import GapMaxInnerProduct
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.instances.vector_families import random_orthogonal_vectors
from cubicwall.reductions import gap
from cubicwall.reductions.codes import Hermitian, ReedSolomon
from cubicwall.reductions.gap import Verifier, distributed_pcp
from cubicwall.reductions.reduction import run
from cubicwall.reductions.schemes import Scheme
from cubicwall.reductions.trace import Hop, traced
from cubicwall.verification.proof_soundness import check_soundness, marks
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def small_vectors(draw: st.DrawFn, orders: tuple[int, ...] = (2, 3, 4)) -> OrthogonalVectors:
    order = draw(st.sampled_from(orders))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = rng.integers(1, 4, size=order)
    dimension = int(rng.integers(0, 7))
    return random_orthogonal_vectors(sizes.tolist(), dimension, float(rng.uniform(0.3, 1)), rng=rng)


SCHEMES = [
    Scheme(2, 3, ReedSolomon(5, 2)),
    Scheme(2, 2, ReedSolomon(5, 3)),
    Scheme(2, 2, ReedSolomon(9, 3)),
    Scheme(2, 1, Hermitian(4, 2)),
    Scheme(2, 2, Hermitian(9, 2)),
    Scheme(3, 2, ReedSolomon(5, 2)),
    Scheme(3, 2, ReedSolomon(7, 3)),
    Scheme(3, 4, ReedSolomon(5, 1)),
    Scheme(4, 2, ReedSolomon(5, 2)),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_every_message_is_sound_and_each_orthogonal_tuple_proves_exactly_one(scheme: Scheme) -> None:
    rng = np.random.default_rng(scheme.messages)
    most = scheme.rows * scheme.code.columns
    instances = [
        random_orthogonal_vectors(
            rng.integers(1, 4, size=scheme.order).tolist(), int(rng.integers(0, most + 1)), density, rng=rng
        )
        for density in (0.3, 0.6, 0.8, 1.0)
        for _ in range(5)
    ]
    seen = check_soundness(instances, scheme)
    assert seen.broken == ()
    assert 0 < seen.orthogonal < seen.tuples
    assert seen.highest_wrong <= scheme.agreement


@settings(max_examples=60, deadline=None)
@given(vectors=small_vectors())
def test_the_answer_is_that_of_brute_force(vectors: OrthogonalVectors) -> None:
    answer = run(distributed_pcp(vectors), decide_gap)
    assert type(answer) is type(first_orthogonal(vectors))
    if isinstance(answer, Yes):
        assert vectors.is_orthogonal(answer.witness)


@settings(max_examples=40, deadline=None)
@given(vectors=small_vectors(orders=(2, 3)))
def test_instances_keep_their_promise_and_their_claim(vectors: OrthogonalVectors) -> None:
    hop = Hop("distributed_pcp", "", "")

    def judge(instance: GapMaxInnerProduct) -> Any:
        answer = decide_gap(instance)
        assert not isinstance(answer, Undecided)
        joint = instance.sets[0].astype(int)
        for vectors in instance.sets[1:-1]:
            joint = (joint[:, None] * vectors).reshape(-1, instance.dimension)
        assert set(joint.sum(axis=1)) == {instance.target}
        return No()

    run(traced(distributed_pcp, hop, {"columns": 2})(vectors), judge)
    assert hop.breaches == []
    assert hop.calls == hop.claimed_calls


@settings(max_examples=15, deadline=None)
@given(vectors=small_vectors(orders=(2, 3)))
def test_dropping_dead_columns_changes_no_inner_product(vectors: OrthogonalVectors) -> None:
    scheme = Scheme(vectors.order, 2, ReedSolomon(7, 3))
    messages = scheme.message_words(0, 49)
    short, whole = (Verifier.of(vectors, scheme, compress=compress) for compress in (True, False))
    assert len(whole.point) == scheme.dimension
    assert len(short.point) <= scheme.compressed(vectors.sizes)
    assert np.array_equal(marks(short, messages), marks(whole, messages))


def test_all_columns_are_claimed_exactly() -> None:
    vectors = OrthogonalVectors([[[1, 0], [1, 1]], [[1, 1], [0, 1]]])
    hop = Hop("distributed_pcp", "", "")
    run(traced(distributed_pcp, hop, {"compress": False, "columns": 2})(vectors), lambda _: No())
    assert hop.breaches == []
    assert hop.measured["D"] == hop.claimed["D"] == 3 * 3
    assert "D" in hop.exact


def test_blocks_of_coordinates_do_not_change_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    vectors = random_orthogonal_vectors([5, 6, 7], 8, 0.7, rng=rng)
    whole = list(islice(distributed_pcp(vectors), 1))
    monkeypatch.setattr(gap, "BLOCK", 1)
    assert list(islice(distributed_pcp(vectors), 1)) == whole


def test_messages_are_asked_lazily_and_in_order_until_the_first_yes() -> None:
    vectors = OrthogonalVectors([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[1, 0, 1, 1]]])
    asked: list[GapMaxInnerProduct] = []

    def oracle(instance: GapMaxInnerProduct) -> Any:
        asked.append(instance)
        return decide_gap(instance)

    scheme = Scheme(3, 2, ReedSolomon(5, 2))
    assert run(distributed_pcp(vectors, columns=2, field=5), oracle) == Yes((0, 0, 0))
    assert 0 < len(asked) < scheme.messages
    assert asked == list(islice(Verifier.of(vectors, scheme).instances(), len(asked)))


def test_no_message_depends_on_an_answer() -> None:
    vectors = OrthogonalVectors([[[1, 1]], [[1, 0], [0, 1]]])

    def asked_with(answer: Any) -> list[GapMaxInnerProduct]:
        seen: list[GapMaxInnerProduct] = []
        run(distributed_pcp(vectors, columns=2), lambda instance: (seen.append(instance), answer)[1])
        return seen

    assert asked_with(No()) == asked_with(Undecided("tired"))


def test_an_undecided_message_hides_no_yes_and_survives_every_no() -> None:
    vectors = OrthogonalVectors([[[1, 1, 0, 0]], [[0, 1, 1, 0]], [[1, 0, 1, 1]]])
    tired = Undecided("tired")

    def unsure_of_the_first(instance: GapMaxInnerProduct) -> Any:
        asked.append(instance)
        return tired if len(asked) == 1 else decide_gap(instance)

    asked: list[GapMaxInnerProduct] = []
    assert run(distributed_pcp(vectors, columns=2), unsure_of_the_first) == Yes((0, 0, 0))
    asked = []
    blocked = OrthogonalVectors([[[1, 1]], [[1, 0]], [[1, 1]]])
    assert run(distributed_pcp(blocked, columns=2), unsure_of_the_first) == tired
    assert len(asked) == 25


def test_a_false_witness_is_a_breach_not_an_answer() -> None:
    vectors = OrthogonalVectors([[[1]], [[1]]])
    answer = run(distributed_pcp(vectors), lambda _: Yes((0, 0)))
    assert isinstance(answer, Undecided)
    assert answer.breach


@pytest.mark.parametrize("order", [2, 3, 4])
def test_degenerate_sources_go_through(order: int) -> None:
    def decided(sets: list[Any], **options: Any) -> Any:
        return run(distributed_pcp(OrthogonalVectors(sets), **options), decide_gap)

    one = np.ones((1, 1), dtype=int)
    assert decided([np.zeros((2, 0), dtype=int)] * order) == Yes((0,) * order)
    assert decided([one] * order) == No()
    assert decided([one] * (order - 1) + [0 * one]) == Yes((0,) * order)
    assert decided([one] * order, columns=1) == No()
    for empty in range(order):
        sets = [np.ones((0 if g == empty else 2, 3), dtype=int) for g in range(order)]
        assert decided(sets) == No()


def test_bad_codes_are_refused_when_the_reduction_starts() -> None:
    vectors = OrthogonalVectors([[[1, 1, 1]], [[1, 0, 1]], [[1, 1, 0]]])
    for field, message in ((6, "prime power"), (5, "degree overflow"), (3, "too few points|degree overflow")):
        with pytest.raises(ValueError, match=message):
            next(distributed_pcp(vectors, field=field, columns=3))
