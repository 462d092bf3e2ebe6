"""The curated formulas are what their names, comments and PROVENANCE.md say."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from cubicwall.instances.cnf import CNF
from cubicwall.instances.curated import Curated, curated
from cubicwall.instances.curated.make import SOLVERS, contents
from pysat.solvers import Solver

KNOWN = {known.name: known for known in curated()}


def count_by_truth_table(formula: CNF) -> int:
    """Count over all 2^n assignments: independent of every solver."""
    assignments = np.arange(2**formula.variables, dtype=np.uint32)
    alive = np.ones(len(assignments), dtype=bool)
    for clause in formula.clauses:
        satisfied = np.zeros(len(assignments), dtype=bool)
        for literal in clause:
            satisfied |= ((assignments >> (abs(literal) - 1)) & 1) == (literal > 0)
        alive &= satisfied
    return int(alive.sum())


def test_the_script_makes_every_file_again_byte_for_byte() -> None:
    shipped = {
        entry.name: entry.read_bytes()
        for entry in files("cubicwall.instances.curated").iterdir()
        if entry.name.endswith((".cnf", ".md"))
    }
    made = contents()
    assert sorted(shipped) == sorted(made)
    assert [name for name in made if made[name] != shipped[name]] == []


def test_sizes_and_answers_are_mixed() -> None:
    assert len(KNOWN) >= 36
    assert {known.formula.variables for known in KNOWN.values()} >= {3, 6, 9, 12, 15, 18, 21, 24, 30, 36}
    assert all(3 <= known.formula.variables <= 36 for known in KNOWN.values())
    for n in (6, 9, 12, 18, 24, 30, 36):
        near_threshold = (
            known.satisfiable
            for name, known in KNOWN.items()
            if name.startswith("random3") and known.formula.variables == n
        )
        assert set(near_threshold) == {True, False}


@pytest.mark.parametrize("solver_name", [*SOLVERS, "glucose4"])
def test_every_solver_agrees_with_the_recorded_status(solver_name: str) -> None:
    for known in KNOWN.values():
        with Solver(name=solver_name, bootstrap_with=known.formula.clauses) as solver:
            assert bool(solver.solve()) is known.satisfiable, known.name


@pytest.mark.parametrize("known", KNOWN.values(), ids=KNOWN)
def test_names_comments_and_page_tell_the_same(known: Curated) -> None:
    page = (files("cubicwall.instances.curated") / "PROVENANCE.md").read_text()
    size = known.formula.size
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {known.name}.cnf |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    models = "not counted" if known.models is None else str(known.models)
    status = "SAT" if known.satisfiable else "UNSAT"
    assert cells[3:8] == [str(size.variables), str(size.clauses), str(size.width), status, models]
    assert known.name.endswith(f".{status.lower()}")
    assert known.models is None or known.satisfiable == (known.models > 0)


@pytest.mark.parametrize(
    "known",
    [known for known in KNOWN.values() if known.formula.variables <= 18],
    ids=lambda known: known.name,
)
def test_model_counts_are_those_of_the_truth_table(known: Curated) -> None:
    assert known.models == count_by_truth_table(known.formula)
