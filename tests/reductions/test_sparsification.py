"""The sparsification lemma on dense formulas, where small thresholds make it branch."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import comb, inf
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.satisfiability import enumerate_models, satisfiable
from cubicwall.instances.answer import No, Undecided, Yes
from cubicwall.instances.cnf import CNF, CNFSize
from cubicwall.instances.families import complete_cnf, parity, pigeonhole
from cubicwall.instances.generate import random_ksat
from cubicwall.reductions.reduction import run
from cubicwall.reductions.sparsification import (
    alpha_for,
    flower_thresholds,
    least_branching,
    most_clauses,
    most_leaves,
    sparsify,
)
from cubicwall.reductions.trace import Hop, traced
from hypothesis import given
from hypothesis import strategies as st


def dense_formula(number: int) -> tuple[CNF, tuple[int, ...]]:
    """Return formula `number` and thresholds under which it branches."""
    rng = np.random.default_rng([75, number])
    width = int(rng.integers(2, 5))
    variables = int(rng.integers(max(5, width), 10))
    room = comb(variables, width) << width
    clauses = min(int(rng.integers(2, 7) * variables), room)
    cnf = random_ksat(variables, clauses, width=width, rng=rng)
    lengths = np.where(rng.random(clauses) < 0.1, rng.integers(1, width + 1, size=clauses), width)
    mixed = [clause[:length] for clause, length in zip(cnf.clauses, lengths, strict=True)]
    return CNF.from_clauses(mixed, variables), tuple(int(t) for t in rng.integers(2, 6, size=width - 1))


def leaves_of(cnf: CNF, **options: Any) -> list[CNF]:
    leaves: list[CNF] = []
    run(sparsify(cnf, **options), lambda leaf: (leaves.append(leaf), No())[1])
    return leaves


@pytest.mark.parametrize("number", range(90))
def test_the_or_of_the_leaves_is_the_formula(number: int) -> None:
    cnf, thresholds = dense_formula(number)
    hop = Hop("sparsify", "", "")
    leaves: list[CNF] = []

    def collect(leaf: CNF) -> No:
        leaves.append(leaf)
        return No()

    run(traced(sparsify, hop, {"thresholds": thresholds})(cnf), collect)
    assert hop.breaches == []
    models = {model for leaf in leaves for model in enumerate_models(leaf)}
    assert models == set(enumerate_models(cnf))
    for leaf in leaves:
        assert leaf.variables == cnf.variables
        for size in range(2, cnf.size.width + 1):
            for petal in range(1, size):
                assert no_flower(leaf, size, size - petal, thresholds[petal - 1])
    assert type(run(sparsify(cnf, thresholds=thresholds), satisfiable)) is type(satisfiable(cnf))


def no_flower(cnf: CNF, size: int, heart: int, threshold: int) -> bool:
    seen = Counter(
        core for clause in cnf.clauses if len(clause) == size for core in combinations(sorted(clause), heart)
    )
    return max(seen.values(), default=0) < threshold


def test_most_of_the_dense_formulas_branch() -> None:
    branched = [len(leaves_of(cnf, thresholds=theta)) > 1 for cnf, theta in map(dense_formula, range(90))]
    assert sum(branched) >= 75


def test_leaves_come_lazily_and_the_first_yes_ends_the_search() -> None:
    asked: list[CNF] = []

    def oracle(leaf: CNF) -> Any:
        asked.append(leaf)
        return satisfiable(leaf)

    cnf = CNF.from_clauses([[1, 2], [1, 3]])
    assert len(leaves_of(cnf, thresholds=[2])) == 2
    assert isinstance(run(sparsify(cnf, thresholds=[2]), oracle), Yes)
    assert [leaf.clauses for leaf in asked] == [((1,),)]


@pytest.mark.parametrize(
    ("clauses", "expected"), [([[1, 2], [1, 3]], Yes), ([[1, 2], [1, 3], [-1], [-2]], Undecided)]
)
def test_an_undecided_leaf_hides_no_yes_and_survives_every_no(
    clauses: list[list[int]], expected: type
) -> None:
    asked: list[CNF] = []

    def unsure_of_the_first(leaf: CNF) -> Any:
        asked.append(leaf)
        return Undecided("tired") if len(asked) == 1 else satisfiable(leaf)

    assert isinstance(run(sparsify(CNF.from_clauses(clauses), thresholds=[2]), unsure_of_the_first), expected)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("clauses", "leaf"),
    [
        ([], ()),
        ([[]], ((),)),
        ([[], [1, 2]], ((),)),
        ([[1, -1], [2, 3, -2]], ()),
        ([[2, 1], [1, 2], [1, 2, 3]], ((1, 2),)),
        ([[1, 1]], ((1,),)),
        ([[1], [-1]], ((-1,), (1,))),
    ],
)
def test_degenerate_formulas_have_one_leaf(
    clauses: list[list[int]], leaf: tuple[tuple[int, ...], ...]
) -> None:
    cnf = CNF.from_clauses(clauses, variables=3)
    (only,) = leaves_of(cnf, thresholds=[2, 2])
    assert only.clauses == leaf
    assert only.size.clauses <= most_clauses(cnf.size, flower_thresholds(cnf.size.width))


@pytest.mark.parametrize("cnf", [complete_cnf(3), pigeonhole(2), pigeonhole(3), parity(2)], ids=str)
@pytest.mark.parametrize("theta", [2, 3])
def test_structured_formulas_go_through(cnf: CNF, theta: int) -> None:
    answer = run(sparsify(cnf, thresholds=[theta] * cnf.size.width), satisfiable)
    assert type(answer) is type(satisfiable(cnf))


def test_the_default_thresholds_never_branch_where_one_can_run() -> None:
    assert 66 < alpha_for(3, 0.5) < 67
    assert least_branching(flower_thresholds(3)) == 68
    assert most_leaves(CNFSize(67, 10**6, 3), flower_thresholds(3)) == 1
    assert most_leaves(CNFSize(200, 10**6, 3), flower_thresholds(3)) > 1
    assert least_branching(()) is None


@given(
    width=st.integers(2, 4),
    epsilon=st.floats(0.05, 2),
    variables=st.integers(1, 3000),
)
def test_the_lemma_promises_its_epsilon(width: int, epsilon: float, variables: int) -> None:
    theta = flower_thresholds(width, epsilon=epsilon)
    size = CNFSize(variables, comb(2 * variables, width), width)
    assert most_leaves(size, theta).bit_length() - 1 <= epsilon * variables


def test_the_densest_formula_branches_at_the_predicted_number_of_variables() -> None:
    theta = (3, 100)
    n = least_branching(theta)
    assert n is not None

    def star(variables: int) -> CNF:
        return CNF.from_clauses([[1, sign * v] for v in range(2, variables + 1) for sign in (1, -1)])

    assert len(leaves_of(star(n), thresholds=theta)) == 2
    assert len(leaves_of(star(n - 1), thresholds=theta)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0}, "'epsilon' must be positive, not 0"),
        ({"epsilon": float("nan")}, "'epsilon' must be positive, not nan"),
        ({"alpha": -1.0}, "'alpha' must be positive, not -1.0"),
        ({"thresholds": [2]}, "'thresholds' must hold 2 numbers, not 1"),
        ({"thresholds": [2, 1]}, "'thresholds' must be at least 2"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(sparsify(complete_cnf(3), **options))


def test_thresholds_follow_the_lemma() -> None:
    assert flower_thresholds(4, alpha=1) == (2, 16, 256)
    assert flower_thresholds(3, alpha=0.01) == (2, 2)
    assert flower_thresholds(1) == flower_thresholds(0) == ()
    assert alpha_for(1, 0.5) < inf
