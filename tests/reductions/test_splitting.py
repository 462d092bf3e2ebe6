"""Split and list: models and orthogonal tuples correspond one to one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from cubicwall.instances.answer import Count, No, Yes
from cubicwall.instances.cnf import CNF
from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
from cubicwall.reductions.reduction import run
from cubicwall.reductions.splitting import groups, split_and_list
from cubicwall.verification.exhaustive import all_formulas
from hypothesis import given
from hypothesis import strategies as st

ORDERS = (2, 3, 4, 5)


def models_of(cnf: CNF) -> set[tuple[int, ...]]:
    assignments = product((-1, 1), repeat=cnf.variables)
    candidates = (tuple(s * v for v, s in enumerate(signs, start=1)) for signs in assignments)
    return {model for model in candidates if cnf.accepts(model)}


def target_of(cnf: CNF, order: int, prune: bool = True) -> OrthogonalVectors:
    return next(split_and_list(cnf, order=order, prune=prune))


def orthogonal_tuples(vectors: OrthogonalVectors) -> list[tuple[int, ...]]:
    return [t for t in product(*map(range, vectors.sizes)) if vectors.is_orthogonal(t)]


def lifted_models(cnf: CNF, order: int, prune: bool) -> list[tuple[int, ...]]:
    found = []
    for witness in orthogonal_tuples(target_of(cnf, order, prune)):
        answer = run(split_and_list(cnf, order=order, prune=prune), lambda target, w=witness: Yes(w))
        assert isinstance(answer, Yes)
        found.append(answer.witness)
    return found


def formulas() -> st.SearchStrategy[CNF]:
    def over(n: int) -> st.SearchStrategy[CNF]:
        literal = st.integers(1, n).flatmap(lambda v: st.sampled_from([v, -v])) if n else st.nothing()
        clause = st.lists(literal, max_size=4) if n else st.just([])
        return st.builds(lambda clauses: CNF.from_clauses(clauses, variables=n), st.lists(clause, max_size=7))

    return st.integers(0, 7).flatmap(over)


@given(cnf=formulas(), order=st.sampled_from(ORDERS), prune=st.booleans())
def test_every_target_witness_lifts_to_a_different_model_and_all_models_are_met(
    cnf: CNF, order: int, prune: bool
) -> None:
    lifted = lifted_models(cnf, order, prune)
    assert len(lifted) == len(set(lifted))
    assert set(lifted) == models_of(cnf)


@pytest.mark.parametrize(
    "tenth", [False, pytest.param(True, marks=pytest.mark.full)], ids=["seeded tenth", "all"]
)
def test_every_formula_over_three_variables_with_up_to_three_clauses(tenth: bool) -> None:
    rng = np.random.default_rng(5)
    for cnf in all_formulas(3, 3):
        if tenth or rng.integers(10) == 0:
            expected = models_of(cnf)
            for order in (2, 3, 4):
                assert sorted(lifted_models(cnf, order, True)) == sorted(expected)


@given(cnf=formulas(), order=st.sampled_from(ORDERS))
def test_pruning_changes_no_answer_and_enlarges_nothing(cnf: CNF, order: int) -> None:
    small, large = target_of(cnf, order, True), target_of(cnf, order, False)
    assert len(orthogonal_tuples(small)) == len(orthogonal_tuples(large))
    assert small.dimension <= large.dimension == len(cnf.clauses)
    assert all(a <= b for a, b in zip(small.sizes, large.sizes, strict=True))


@pytest.mark.parametrize("order", ORDERS)
def test_an_empty_clause_leaves_no_tokens(order: int) -> None:
    assert 0 in target_of(CNF.from_clauses([[1, 2], []]), order).sizes


@pytest.mark.parametrize("order", ORDERS)
def test_no_clauses_means_dimension_zero_and_every_assignment_a_model(order: int) -> None:
    vectors = target_of(CNF.from_clauses([], variables=4), order)
    assert vectors.dimension == 0
    assert len(orthogonal_tuples(vectors)) == 16


def test_fewer_variables_than_groups_gives_one_token_to_the_empty_ones() -> None:
    assert sorted(target_of(CNF.from_clauses([], variables=2), 5).sizes) == [1, 1, 1, 2, 2]


def test_a_tautology_rejects_nothing() -> None:
    assert len(orthogonal_tuples(target_of(CNF.from_clauses([[1, -1]]), 2, prune=False))) == 2


def test_a_clause_inside_one_group_rejects_tokens_on_the_spot() -> None:
    cnf = CNF.from_clauses([[1, 2], [3, -4]], variables=6)
    vectors = target_of(cnf, 3)
    assert vectors.sizes == (3, 3, 4)
    assert vectors.dimension == 0


@pytest.mark.parametrize("variables", range(10))
@pytest.mark.parametrize("order", ORDERS)
def test_groups_partition_the_variables_evenly(variables: int, order: int) -> None:
    split = groups(variables, order)
    assert [v for group in split for v in group] == list(range(1, variables + 1))
    assert len(split) == order
    assert max(map(len, split)) <= -(-variables // order)
    assert min(map(len, split)) >= variables // order


def test_order_below_two_is_refused() -> None:
    with pytest.raises(ValueError, match="'order' must be at least 2, not 1"):
        run(split_and_list(CNF.from_clauses([]), order=1), lambda target: No())


def test_counts_pass_through() -> None:
    assert run(split_and_list(CNF.from_clauses([[1]])), lambda target: Count(7)) == Count(7)
