"""The demo: formulas of several families through attention and back, beside a SAT solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..algorithms.oracles import exact
from ..instances import generate
from ..instances.answer import Answer
from ..instances.attention import TensorAttention
from ..instances.cnf import CNF
from ..instances.families import complete_cnf, pigeonhole
from ..reductions.solving import Solution, count, solve
from ..verification import truth
from ..verification.oracles import adversarial


@dataclass(frozen=True)
class Case:
    """One formula, decided and counted through attention and by independent solvers."""

    family: str
    formula: CNF
    solution: Solution
    attacked: Answer
    models: int
    expected: Answer
    expected_models: int
    masses: npt.NDArray[np.float64]
    """The mass O_0 of every query row, from the first and whole call; empty where none was made."""

    @property
    def agrees(self) -> bool:
        """Whether every way gave the same decision, and both ways of counting the same number."""
        same = type(self.solution.answer) is type(self.attacked) is type(self.expected)
        return same and self.models == self.expected_models


def formulas(seed: int) -> list[tuple[str, CNF]]:
    """Make the demo's formulas: YES and NO cases of several families."""
    rng = np.random.default_rng(seed)
    return [
        ("random, ratio 3", generate.random_ksat(15, ratio=3.0, rng=rng)),
        ("random, ratio 4.26", generate.random_ksat(15, ratio=4.26, rng=rng)),
        ("random, ratio 7", generate.random_ksat(15, ratio=7.0, rng=rng)),
        ("planted, ratio 6", generate.planted_ksat(15, ratio=6.0, rng=rng)),
        ("unique solution", generate.unique_solution_ksat(12, ratio=3.0, rng=rng)),
        ("forced UNSAT", generate.forced_unsat_ksat(12, ratio=3.0, rng=rng)),
        ("complete 3-CNF", complete_cnf(3)),
        ("pigeonhole", pigeonhole(3)),
    ]


def run_case(family: str, formula: CNF) -> Case:
    """Send one formula through the chain, honestly, under attack and for the count."""
    first: list[npt.NDArray[np.float64]] = []

    def watched(instance: TensorAttention) -> Any:
        output = exact(instance)
        if not first:
            first.append(output[:, 0])
        return output

    return Case(
        family=family,
        formula=formula,
        solution=solve(formula, oracle=watched),
        attacked=solve(formula, oracle=adversarial("toward")).answer,
        models=count(formula),
        expected=truth.decide(formula),
        expected_models=truth.count(formula),
        masses=first[0] if first else np.zeros(0),
    )
