"""SAT and model counts: solvers, enumeration and search against the definition and against each other."""

from itertools import combinations, product

import numpy as np
import pytest
from cubicwall.algorithms.model_counting import count_by_enumeration, count_by_search
from cubicwall.algorithms.satisfiability import (
    PROVERS,
    count_models,
    drup_proof,
    enumerate_models,
    satisfiable,
)
from cubicwall.instances.answer import No, Yes
from cubicwall.instances.cnf import CNF
from cubicwall.instances.families import complete_cnf, pigeonhole
from cubicwall.instances.generate import random_ksat
from hypothesis import given, settings
from hypothesis import strategies as st

SOLVERS = ("cadical153", "glucose4", "minisat22")
COUNTERS = (count_models, count_by_enumeration, count_by_search)

AWKWARD = {
    "no variables": (CNF(0, ()), 1),
    "no variables, empty clause": (CNF(0, ((),)), 0),
    "no clauses": (CNF(5, ()), 32),
    "empty clause": (CNF(2, ((1, 2), ())), 0),
    "tautology": (CNF(2, ((1, -1),)), 4),
    "tautology with more": (CNF(3, ((1, 2, -1), (3,))), 4),
    "repeated literals": (CNF(2, ((1, 1), (2, -1, 2))), 1),
    "repeated clauses": (CNF(2, ((1, 2), (2, 1), (1, 2))), 3),
    "unused variables": (CNF(7, ((3,),)), 64),
    "contradiction": (CNF(1, ((1,), (-1,))), 0),
    "two parts": (CNF(4, ((1, 2), (3, 4))), 9),
}


def models(cnf):
    """All models, by the definition."""
    signs = product(*((v, -v) for v in range(1, cnf.variables + 1)))
    return {model for model in signs if all(set(clause) & set(model) for clause in cnf.clauses)}


@st.composite
def formulas(draw):
    variables = draw(st.integers(0, 7))
    literal = st.integers(1, max(1, variables)).flatmap(lambda v: st.sampled_from([v, -v]))
    clauses = st.lists(st.lists(literal, min_size=1, max_size=4), max_size=14 if variables else 0)
    return CNF.from_clauses(draw(clauses), variables)


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("solver", SOLVERS)
def test_awkward_formulas_are_decided_as_they_stand(name, solver):
    cnf, count = AWKWARD[name]
    answer = satisfiable(cnf, solver=solver)
    assert isinstance(answer, Yes if count else No)
    if isinstance(answer, Yes):
        assert len(answer.witness) == cnf.variables
        assert cnf.satisfied_by(answer.witness)
    assert sorted(enumerate_models(cnf, solver=solver)) == sorted(models(cnf))


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("counter", COUNTERS)
def test_awkward_formulas_are_counted_as_they_stand(name, counter):
    cnf, count = AWKWARD[name]
    assert counter(cnf) == count == len(models(cnf))


@settings(max_examples=150, deadline=None)
@given(formulas())
def test_solvers_and_counters_agree_with_the_definition(cnf):
    truth = models(cnf)
    for solver in SOLVERS:
        answer = satisfiable(cnf, solver=solver)
        assert (answer.witness in truth) if truth else (answer == No())
    assert set(enumerate_models(cnf)) == truth
    assert {counter(cnf) for counter in COUNTERS} == {len(truth)}


def test_every_formula_over_two_variables_is_counted():
    literals = (1, -1, 2, -2)
    clauses = [c for width in range(4) for c in combinations(literals, width)]
    for cnf in (CNF(2, pair) for width in range(3) for pair in combinations(clauses, width)):
        assert count_by_enumeration(cnf) == count_by_search(cnf) == len(models(cnf))


def test_models_are_enumerated_once_each():
    cnf = random_ksat(12, ratio=2.0, rng=np.random.default_rng(5))
    found = list(enumerate_models(cnf))
    assert len(found) == len(set(found)) == count_models(cnf)
    assert all(map(cnf.satisfied_by, found))


@pytest.mark.parametrize("variables", [5, 6, 7, 16, 17, 21])
def test_enumeration_and_search_agree_around_words_and_blocks(variables):
    for seed, ratio in enumerate((0.5, 2.0, 3.5, 4.26)):
        cnf = random_ksat(variables, ratio=ratio, rng=np.random.default_rng(seed))
        assert count_by_enumeration(cnf) == count_by_search(cnf) == count_models(cnf)


@pytest.mark.parametrize("seed", range(3))
def test_search_counts_36_variables_as_blocking_clauses_do(seed):
    cnf = random_ksat(36, ratio=4.26, rng=np.random.default_rng(seed))
    assert count_by_search(cnf) == sum(1 for _ in enumerate_models(cnf))


def test_components_multiply_beyond_any_enumeration():
    parts = [(3 * i + 1, 3 * i + 2, 3 * i + 3) for i in range(100)]
    assert count_models(CNF.from_clauses(parts, 305)) == 7**100 * 2**5


def test_enumeration_refuses_what_it_could_not_finish():
    with pytest.raises(ValueError, match="at most 32 variables, not 33; count_by_search"):
        count_by_enumeration(CNF(33, ()))


@pytest.mark.parametrize("solver", PROVERS)
def test_a_proof_exists_just_for_formulas_without_models(solver):
    assert drup_proof(complete_cnf(3), solver=solver)[-1] == "0"
    assert drup_proof(pigeonhole(3), solver=solver).count("0") == 1
    assert drup_proof(CNF(2, ((1,), ())), solver=solver) == []
    with pytest.raises(ValueError, match="'cnf' must be unsatisfiable"):
        drup_proof(CNF(2, ((1, 2),)), solver=solver)


def test_solvers_that_do_not_exist_or_do_not_prove_are_refused():
    with pytest.raises(ValueError, match="'solver' must be one that python-sat knows, not 'oracle'"):
        satisfiable(CNF(1, ()), solver="oracle")
    with pytest.raises(ValueError, match=r"'solver' must be one of .*, not 'minisat22'"):
        drup_proof(CNF(1, ((1,), (-1,))), solver="minisat22")


def test_a_solver_that_lies_is_caught(monkeypatch):
    monkeypatch.setattr("pysat.solvers.Cadical153.get_model", lambda self: [-1, -2])
    with pytest.raises(RuntimeError, match=r"returned \(-1, -2\), which is no model"):
        satisfiable(CNF(2, ((1, 2),)))
