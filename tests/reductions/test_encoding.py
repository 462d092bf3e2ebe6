"""The signed encoding and the counting arrow: identities, gaps, adversaries, degenerate sources."""

from __future__ import annotations

from itertools import product
from math import exp, prod
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.oracles import exact
from cubicwall.instances.answer import Count, No, Undecided, Yes
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions.counting import counting_accuracy, counting_encoding
from cubicwall.reductions.encoding import ACCURACY, NO_AT_MOST, YES_AT_LEAST, encode, signed_encoding
from cubicwall.reductions.reduction import run
from cubicwall.reductions.solving import solve
from cubicwall.verification.audit import breaches
from cubicwall.verification.exhaustive import all_vectors, stratified_vectors
from cubicwall.verification.oracles import STRATEGIES, adversarial
from hypothesis import given
from hypothesis import strategies as st


def violations(vectors: OrthogonalVectors) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the (N_1, ..., N_k) table of violations, the plainest way."""
    table = np.zeros(vectors.sizes, dtype=np.int64)
    for indices in product(*map(range, vectors.sizes)):
        table[indices] = vectors.violations(indices)
    return table


def instances(most: int = 4) -> st.SearchStrategy[OrthogonalVectors]:
    def build(order: int, dimension: int) -> st.SearchStrategy[OrthogonalVectors]:
        row = st.lists(st.integers(0, 1), min_size=dimension, max_size=dimension)
        sets = st.lists(st.lists(row, min_size=1, max_size=most), min_size=order, max_size=order)
        return sets.map(
            lambda s: OrthogonalVectors([np.array(x, dtype=np.uint8).reshape(len(x), dimension) for x in s])
        )

    return st.tuples(st.integers(2, 4), st.integers(0, 5)).flatmap(lambda shape: build(*shape))


def oracles() -> list[Any]:
    rng = np.random.default_rng(0)
    return [exact, *(adversarial(s, rng=rng) for s in STRATEGIES)]


ORACLES = pytest.mark.parametrize("oracle", oracles(), ids=["exact", *STRATEGIES])


@given(vectors=instances(), beta=st.floats(0.5, 12.0))
def test_the_output_tells_the_partition_sums_exactly(vectors: OrthogonalVectors, beta: float) -> None:
    output = exact(encode(vectors, beta, ACCURACY))
    table = violations(vectors).reshape(vectors.sizes[0], -1)
    expected = np.exp(-beta * table).sum(axis=1)
    # Logits reach β(m + markers) in magnitude; each is rounded a few times.
    np.testing.assert_allclose(output[:, 0] / output[:, 1], expected, rtol=1e-13 * (1 + beta * 12))
    mixed = prod(n + 1 for n in vectors.sizes[1:]) - prod(vectors.sizes[1:]) - 1
    denominator = expected + 1 + mixed * exp(-beta)
    np.testing.assert_allclose(output[:, 1], 1 / denominator, rtol=1e-13 * (1 + beta * 12))


@given(vectors=instances(), log_rest=st.floats(0.0, 3.0))
def test_the_rest_weight_multiplies_the_yardstick(vectors: OrthogonalVectors, log_rest: float) -> None:
    plain = exact(encode(vectors, 5.0, ACCURACY))
    weighted = exact(encode(vectors, 5.0, ACCURACY, np.full(vectors.sizes[0], log_rest)))
    ratio = plain[:, 0] / plain[:, 1]
    np.testing.assert_allclose(exp(log_rest) * weighted[:, 0] / weighted[:, 1], ratio, rtol=1e-12)


@given(vectors=instances())
def test_rows_lie_on_their_side_of_the_gap(vectors: OrthogonalVectors) -> None:
    asked = next(signed_encoding(vectors))
    assert isinstance(asked, TensorAttention)
    mass = exact(asked)[:, 0]
    solvable = (violations(vectors).reshape(vectors.sizes[0], -1) == 0).any(axis=1)
    assert (mass[solvable] >= YES_AT_LEAST).all()
    assert (mass[~solvable] <= NO_AT_MOST).all()


@ORACLES
@given(vectors=instances())
def test_adversarial_oracle_never_flips_the_answer(oracle: Any, vectors: OrthogonalVectors) -> None:
    solution = solve(vectors, oracle=oracle)
    tuples = int((violations(vectors) == 0).sum())
    assert isinstance(solution.answer, Yes if tuples else No)
    if isinstance(solution.answer, Yes):
        assert vectors.is_orthogonal(solution.answer.witness)
    assert breaches(solution.trace) == []


@ORACLES
@given(vectors=instances())
def test_adversarial_oracle_never_changes_the_count(oracle: Any, vectors: OrthogonalVectors) -> None:
    assert run(counting_encoding(vectors), oracle) == Count(int((violations(vectors) == 0).sum()))


@pytest.mark.parametrize("oracle", [exact, adversarial("toward")], ids=["exact", "toward"])
@pytest.mark.parametrize(
    "whole", [False, pytest.param(True, marks=pytest.mark.full)], ids=["seeded tenth", "all"]
)
def test_every_small_instance_is_decided_and_counted(oracle: Any, whole: bool) -> None:
    rng = np.random.default_rng(11)
    every = [v for v in all_vectors(3, 2, 2) if whole or rng.integers(10) == 0]
    strata = list(stratified_vectors(3, 2, 3, 100 if whole else 10, rng=rng))
    for vectors in every + strata:
        tuples = [t for t in product((0, 1), repeat=3) if vectors.is_orthogonal(t)]
        answer = run(signed_encoding(vectors), oracle)
        assert answer == No() if not tuples else isinstance(answer, Yes) and answer.witness in tuples
        assert run(counting_encoding(vectors), adversarial("over")) == Count(len(tuples))


DEGENERATE = {
    "no coordinates": OrthogonalVectors([np.zeros((n, 0), dtype=np.uint8) for n in (2, 3, 1)]),
    "no coordinates, order 2": OrthogonalVectors([np.zeros((n, 0), dtype=np.uint8) for n in (2, 1)]),
    "one vector a set": OrthogonalVectors([[[1, 0]], [[1, 1]], [[0, 1]]]),
    "one vector a set, violated": OrthogonalVectors([[[1, 1]], [[1, 0]], [[1, 1]]]),
    "all zero": OrthogonalVectors([np.zeros((3, 4), dtype=np.uint8)] * 2),
    "all one": OrthogonalVectors([np.ones((3, 4), dtype=np.uint8)] * 4),
}


@ORACLES
@pytest.mark.parametrize("vectors", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_instances_go_through(vectors: OrthogonalVectors, oracle: Any) -> None:
    tuples = int((violations(vectors) == 0).sum())
    assert isinstance(run(signed_encoding(vectors), oracle), Yes if tuples else No)
    assert run(counting_encoding(vectors), oracle) == Count(tuples)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_an_empty_set_is_answered_without_a_call(empty: int) -> None:
    sizes = [2, 2, 2]
    sizes[empty] = 0
    vectors = OrthogonalVectors([np.zeros((n, 3), dtype=np.uint8) for n in sizes])

    def never(target: TensorAttention) -> Any:
        raise AssertionError("asked")

    assert run(signed_encoding(vectors), never) == No()
    assert run(counting_encoding(vectors), never) == Count(0)


def test_the_count_of_an_instance_that_everything_satisfies_needs_the_second_call() -> None:
    vectors = OrthogonalVectors([np.zeros((8, 2), dtype=np.uint8)] * 3)
    calls = []

    def oracle(instance: TensorAttention) -> Any:
        calls.append(instance)
        return adversarial("under")(instance)

    assert run(counting_encoding(vectors), oracle) == Count(512)
    assert len(calls) == 2


BREACHES = {
    "NaN": lambda o: np.full_like(o, np.nan),
    "too large": lambda o: np.full_like(o, 1.5),
    "negative": lambda o: np.full_like(o, -0.5),
    "in the gap": lambda o: np.full_like(o, 0.29),
    "wrong shape": lambda o: o[:, :1],
    "integers": lambda o: np.ones(o.shape, dtype=int),
    "not an array": lambda o: o.tolist(),
    "none": lambda o: None,
    "says yes everywhere": lambda o: np.full_like(o, 0.5),
}


@pytest.mark.parametrize("wrong", BREACHES.values(), ids=BREACHES)
def test_a_broken_promise_that_shows_is_a_breach_and_never_an_answer(wrong: Any) -> None:
    vectors = OrthogonalVectors([[[1, 1], [0, 1]], [[1, 1], [0, 1]]])
    answer = run(signed_encoding(vectors), lambda target: wrong(exact(target)))
    assert isinstance(answer, Undecided)
    assert answer.breach


@pytest.mark.parametrize(
    "wrong", [BREACHES["NaN"], BREACHES["too large"], BREACHES["wrong shape"], BREACHES["none"]]
)
def test_the_count_reports_a_breach_too(wrong: Any) -> None:
    vectors = OrthogonalVectors([[[1, 1], [0, 1]], [[1, 0], [0, 1]]])
    answer = run(counting_encoding(vectors), lambda target: wrong(exact(target)))
    assert isinstance(answer, Undecided)
    assert answer.breach


def test_a_count_between_two_integers_is_a_breach() -> None:
    vectors = OrthogonalVectors([[[1, 0]], [[0, 1]]])
    answer = run(counting_encoding(vectors), lambda target: np.array([[0.45, 0.30]]))
    assert isinstance(answer, Undecided)
    assert answer.breach


def test_an_oracle_that_gives_up_leaves_the_question_open() -> None:
    vectors = OrthogonalVectors([[[1, 0]], [[0, 1]]])
    gave_up = Undecided("too hard")
    assert run(signed_encoding(vectors), lambda target: gave_up) == gave_up
    assert run(counting_encoding(vectors), lambda target: gave_up) == gave_up


def test_an_oracle_may_give_up_in_the_middle_of_the_search_for_a_witness() -> None:
    vectors = OrthogonalVectors([[[1, 0], [0, 1]], [[0, 1], [1, 1]]])
    replies = iter([exact, lambda target: Undecided("enough")])
    assert run(signed_encoding(vectors), lambda target: next(replies)(target)) == Undecided("enough")


def test_counting_asks_for_more_accuracy_than_deciding() -> None:
    sizes = (4, 4, 4)
    assert counting_accuracy(sizes) < ACCURACY / 100
