"""The threshold encodings: logits as derived, and no promise-keeping oracle flips an answer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import log, prod
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.inner_products import decide_gap
from cubicwall.algorithms.oracles import exact
from cubicwall.instances.answer import No, Undecided, Yes
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.gap_families import gap_free, saturated_gap, sparse_gap
from cubicwall.instances.max_inner_product import GapMaxInnerProduct
from cubicwall.instances.vector_families import random_orthogonal_vectors
from cubicwall.reductions.encoding import NO_AT_MOST, YES_AT_LEAST
from cubicwall.reductions.gap import Verifier
from cubicwall.reductions.reduction import Reduction, run
from cubicwall.reductions.schemes import choose_scheme
from cubicwall.reductions.threshold_encodings import (
    complement_encoding,
    marker_copies,
    threshold_beta,
    threshold_encoding,
)
from cubicwall.reductions.trace import Hop, traced
from cubicwall.verification.oracles import STRATEGIES, adversarial

Arrow = Reduction[Any, Any, Any, Any, Any]
SIZES = [(7, 5), (16, 17), (5, 4, 6), (1, 1, 1), (3, 2, 4, 3), (1, 9), (4, 1, 5)]


def proof_instances(order: int, number: int, seed: int) -> list[GapMaxInnerProduct]:
    """Instances of the distributed PCP, which both encodings take: YES and NO ones."""
    rng = np.random.default_rng([order, seed])
    found: list[GapMaxInnerProduct] = []
    while len(found) < number:
        vectors = random_orthogonal_vectors(rng.integers(1, 5, size=order).tolist(), 4, 0.75, rng=rng)
        scheme = choose_scheme(vectors.size, columns=2)
        instances = list(Verifier.of(vectors, scheme).instances())
        best = [instance for instance in instances if isinstance(decide_gap(instance), Yes)]
        found += [*best[:1], instances[int(rng.integers(len(instances)))]]
    return found


def families(planted: bool) -> list[GapMaxInnerProduct]:
    rng = np.random.default_rng(7)
    made: list[GapMaxInnerProduct] = []
    for sizes in SIZES:
        made.append(sparse_gap(sizes, target=12, bound=4, kappa=5, rng=rng, planted=planted))
        if sizes[0] > 1:
            made.append(saturated_gap(sizes, target=12, bound=8, kappa=4, rng=rng, planted=planted))
        made.append(gap_free(sizes, dimension=6, target=4 if planted else 6, density=0.7, rng=rng))
    return made


def logits(instance: TensorAttention) -> Any:
    """All logits, shape (N_1, N_2 + 1, ..., N_k + 1)."""
    joint = instance.query
    for key in instance.keys:
        joint = joint[..., None, :] * key
    return instance.scale * joint.sum(axis=-1)


def test_general_logits_are_inner_products_the_target_and_zero() -> None:
    rng = np.random.default_rng(1)
    for sizes in SIZES:
        instance = sparse_gap(sizes, target=9, bound=3, kappa=4, rng=rng, planted=True)
        s = logits(next(threshold_encoding(instance))) / threshold_beta(instance.size)
        for indices in product(*(range(n + (t > 0)) for t, n in enumerate(sizes))):
            rest = [j == n for j, n in zip(indices[1:], sizes[1:], strict=True)]
            expected = instance.target if all(rest) else 0 if any(rest) else instance.inner_product(indices)
            assert s[indices] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_complement_logits_are_fails_and_mixtures_weigh_little(order: int) -> None:
    for instance in proof_instances(order, 10, seed=1):
        sizes, beta = instance.sizes, threshold_beta(instance.size)
        s = logits(next(complement_encoding(instance)))
        mixed = 0.0
        for indices in product(*(range(n + (t > 0)) for t, n in enumerate(sizes))):
            rest = [j == n for j, n in zip(indices[1:], sizes[1:], strict=True)]
            if all(rest):
                assert s[indices] == 0
            elif any(rest):
                assert s[indices] == pytest.approx(-beta * marker_copies(sizes, beta), abs=1e-12)
                mixed += np.exp(s[indices]) if indices[0] == 0 else 0
            else:
                fails = instance.target - instance.inner_product(indices)
                assert s[indices] == pytest.approx(-beta * fails, abs=1e-12)
        assert mixed <= 1 / 8 + 1e-12
        assert marker_copies(sizes, beta) <= instance.target - instance.bound


def oracles() -> list[Callable[[TensorAttention], Any]]:
    rng = np.random.default_rng(0)
    return [exact, *(adversarial(strategy, rng=rng) for strategy in STRATEGIES)]


def check(arrow: Arrow, instance: GapMaxInnerProduct) -> None:
    expected = decide_gap(instance)
    assert not isinstance(expected, Undecided)
    first = exact(next(arrow(instance)))[:, 0]
    if isinstance(expected, Yes):
        assert first.max() >= YES_AT_LEAST - 1e-9
    else:
        assert first.max() <= NO_AT_MOST + 1e-9
    for oracle in oracles():
        hop = Hop(arrow.__name__, "", "")
        answer = run(traced(arrow, hop, {})(instance), oracle)
        assert type(answer) is type(expected)
        assert hop.breaches == []
        if isinstance(answer, Yes):
            assert instance.accepts(answer.witness)


@pytest.mark.parametrize("planted", [True, False])
def test_every_adversary_leaves_the_general_encoding_right(planted: bool) -> None:
    for instance in families(planted):
        check(threshold_encoding, instance)


@pytest.mark.parametrize("arrow", [threshold_encoding, complement_encoding], ids=lambda a: a.__name__)
@pytest.mark.parametrize("order", [2, 3, 4])
def test_every_adversary_leaves_proofs_right(arrow: Arrow, order: int) -> None:
    for instance in proof_instances(order, 12, seed=2):
        check(arrow, instance)


@pytest.mark.parametrize("arrow", [threshold_encoding, complement_encoding], ids=lambda a: a.__name__)
def test_the_claim_of_the_entries_is_met_without_dead_columns(arrow: Arrow) -> None:
    ones = np.ones((3, 10), dtype=int)
    instance = GapMaxInnerProduct([ones, np.eye(3, 10, dtype=int) | (np.arange(10) > 2)], 10, 8)
    hop = Hop(arrow.__name__, "", "")
    run(traced(arrow, hop, {})(instance), exact)
    assert hop.breaches == []
    d = 20 if arrow is threshold_encoding else 3  # fails occur in three coordinates only
    claimed = 20 if arrow is threshold_encoding else 10
    assert (hop.measured["d"], hop.claimed["d"]) == (d, claimed)
    assert hop.claimed["B"] == pytest.approx((log(8 * 4) / 2 * claimed) ** 0.5)


def test_the_entry_bound_follows_from_kappa_in_order_three() -> None:
    rng = np.random.default_rng(9)
    instance = saturated_gap((9, 9, 9), target=12, bound=8, kappa=9, rng=rng, planted=True)
    asked = next(threshold_encoding(instance))
    kappa = (instance.dimension + instance.target) / (instance.target - instance.bound)
    assert asked.dimension == instance.dimension + instance.target
    assert asked.entry_bound == pytest.approx((kappa * log(8 * 100)) ** (1 / 3))


def test_a_third_of_beta_breaks_the_decision() -> None:
    rng = np.random.default_rng(10)
    no = saturated_gap((16, 16, 16), target=12, bound=8, kappa=4, rng=rng, planted=False)
    beta = threshold_beta(no.size) / 3
    assert not isinstance(run(threshold_encoding(no, beta=beta), adversarial("toward")), No)
    assert run(threshold_encoding(no), adversarial("toward")) == No()


def test_instances_that_meet_unevenly_are_refused_by_the_complement() -> None:
    uneven = GapMaxInnerProduct([[[1, 1], [1, 0]], [[1, 1]]], 2, 1)
    with pytest.raises(ValueError, match="meet in exactly 2 coordinates, the target, not in 1"):
        next(complement_encoding(uneven))


@pytest.mark.parametrize("arrow", [threshold_encoding, complement_encoding], ids=lambda a: a.__name__)
@pytest.mark.parametrize("order", [2, 3, 4])
def test_empty_sets_are_answered_without_a_call(arrow: Arrow, order: int) -> None:
    for empty in range(order):
        sets = [np.ones((0 if g == empty else 2, 3), dtype=int) for g in range(order)]
        with pytest.raises(StopIteration) as stop:
            next(arrow(GapMaxInnerProduct(sets, 3, 1)))
        assert stop.value.value == No()


def test_witness_search_takes_the_logarithm_of_the_key_sets() -> None:
    rng = np.random.default_rng(11)
    instance = saturated_gap((33, 32, 17), target=9, bound=5, kappa=5, rng=rng, planted=True)
    asked: list[int] = []

    def oracle(target: TensorAttention) -> Any:
        asked.append(prod(target.tokens))
        return exact(target)

    assert isinstance(run(threshold_encoding(instance), oracle), Yes)
    assert len(asked) <= 1 + 5 + 5
    assert asked[1] < asked[0] / 33
