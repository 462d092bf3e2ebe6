"""The main job, end to end: every curated formula and 500 random ones, against solvers and adversaries."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from cubicwall.algorithms.oracles import exact
from cubicwall.algorithms.satisfiability import count_models, satisfiable
from cubicwall.instances.answer import No, Yes
from cubicwall.instances.attention import TensorAttention
from cubicwall.instances.cnf import CNF
from cubicwall.instances.curated import curated
from cubicwall.instances.families import complete_cnf
from cubicwall.instances.generate import random_ksat
from cubicwall.reductions.encoding import decision_beta, signed_encoding
from cubicwall.reductions.reduction import run
from cubicwall.reductions.solving import count, solve
from cubicwall.reductions.splitting import split_and_list
from cubicwall.verification.audit import breaches
from cubicwall.verification.oracles import STRATEGIES, adversarial

QUICK = 16  # the most variables of a curated formula in the ordinary run


def random_formula(number: int) -> tuple[CNF, int]:
    """Return formula `number` of the 500 and the order it is reduced at."""
    rng = np.random.default_rng([2026, number])
    variables = int(rng.integers(6, 19))
    return random_ksat(variables, ratio=float(rng.uniform(3, 6)), rng=rng), int(rng.integers(2, 5))


def shared_truth() -> Callable[[TensorAttention], Any]:
    """Exact attention that remembers: all adversaries err around the same truth."""
    known: dict[str, Any] = {}

    def truth(instance: TensorAttention) -> Any:
        if instance.sha256 not in known:
            known[instance.sha256] = exact(instance)
        return known[instance.sha256]

    return truth


def check_against_truth(cnf: CNF, order: int) -> None:
    expected = satisfiable(cnf)
    models = count_models(cnf)
    truth = shared_truth()
    rng = np.random.default_rng(1)
    for oracle in (truth, *(adversarial(s, rng=rng, truth=truth) for s in STRATEGIES)):
        solution = solve(cnf, order=order, oracle=oracle)
        assert type(solution.answer) is type(expected)
        if isinstance(solution.answer, Yes):
            assert cnf.accepts(solution.answer.witness)
        assert breaches(solution.trace) == []
        assert count(cnf, order=order, oracle=oracle) == models


@pytest.mark.parametrize(
    "number",
    [n if n % 10 == 3 else pytest.param(n, marks=pytest.mark.full) for n in range(500)],
)
def test_random_formulas_agree_with_the_solver_under_every_adversary(number: int) -> None:
    check_against_truth(*random_formula(number))


@lru_cache
def cases() -> dict[str, Any]:
    return {case.name: case for case in curated()}


@pytest.mark.parametrize(
    "name",
    [
        name if case.formula.variables <= QUICK else pytest.param(name, marks=pytest.mark.full)
        for name, case in cases().items()
    ],
)
def test_curated_formulas_agree_with_their_known_status_under_every_adversary(name: str) -> None:
    case = cases()[name]
    assert isinstance(satisfiable(case.formula), Yes if case.satisfiable else No)
    check_against_truth(case.formula, order=3)


def broken_at_a_third(cnf: CNF) -> bool:
    """Say whether an adversary turns this NO into something else once β is cut to a third."""
    vectors = next(split_and_list(cnf, order=3))
    beta = decision_beta(vectors.sizes)
    assert run(signed_encoding(vectors, beta=beta), adversarial("over")) == No()
    return run(signed_encoding(vectors, beta=beta / 3), adversarial("over")) != No()


def test_beta_cut_to_a_third_breaks_the_decision_on_the_complete_cnf() -> None:
    assert broken_at_a_third(complete_cnf(3))


@pytest.mark.parametrize("variables", [12, 15])
def test_beta_cut_to_a_third_breaks_the_decision_on_random_formulas(variables: int) -> None:
    """The bound is not loose by a large factor: most UNSAT formulas at the threshold break."""
    drawn = (random_ksat(variables, ratio=4.26, rng=np.random.default_rng([s, variables])) for s in range(60))
    unsatisfiable = [cnf for cnf in drawn if isinstance(satisfiable(cnf), No)]
    broken = [broken_at_a_third(cnf) for cnf in unsatisfiable]
    assert len(unsatisfiable) >= 10
    assert sum(broken) > len(broken) / 2
