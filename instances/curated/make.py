"""Make the curated formulas and PROVENANCE.md: ``python -m cubicwall.instances.curated.make``.

Seeds were picked so that both answers occur at each size of uniform random 3-SAT at ratio 4.26. What
is written depends on facts alone (status, number of models), never on which model a solver finds, so
every run gives the same bytes. Takes about a second.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import networkx as nx
import numpy as np
from pysat.solvers import Solver

from ..cnf import CNF
from ..compressed import write_content
from ..generate import (
    chessboard,
    colouring,
    complete_cnf,
    forced_unsat_ksat,
    ordering,
    parity,
    pigeonhole,
    planted_ksat,
    random_ksat,
    tseitin,
    unique_solution_ksat,
)
from ..provenance import Provenance

SOLVERS = ("cadical195", "minisat22")  # written independently of each other
MOST_MODELS = 5000  # formulas with more are not counted
MADE_WITH = "0.1.0"  # the version whose generators made the formulas; raise it when a formula changes


@dataclass(frozen=True, slots=True)
class Entry:
    """A formula with what the solvers say about it."""

    name: str
    formula: CNF
    satisfiable: bool
    models: int | None

    @property
    def file(self) -> str:
        """The file's name, with family and status."""
        return f"{self.name}.{'sat' if self.satisfiable else 'unsat'}.cnf"


def entries() -> list[Entry]:
    """Make every formula and ask the solvers, sorted by file name.

    Raises
    ------
    AssertionError
        If the two solvers disagree.
    """
    return sorted((_entry(name, formula) for name, formula in _formulas()), key=lambda entry: entry.file)


def contents() -> dict[str, bytes]:
    """Return the content of every file of the folder, by its name, PROVENANCE.md included."""
    made = entries()
    formulas = {entry.file: _commented(entry).to_dimacs().encode() for entry in made}
    return {**formulas, "PROVENANCE.md": _table(made).encode()}


def main() -> None:
    """Write the folder, or the one named on the command line."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, content in contents().items():
        write_content(folder / name, content)


def _formulas() -> Iterator[tuple[str, CNF]]:
    for n, ratio, width, seeds in (
        (6, 4.26, 3, (1, 5)),
        (7, 4.26, 3, (0, 9)),
        (9, 4.26, 3, (0, 1)),
        (12, 4.26, 3, (3, 0)),
        (15, 4.26, 3, (2, 1)),
        (18, 4.26, 3, (1, 2)),
        (21, 4.26, 3, (0, 3)),
        (24, 4.26, 3, (3, 0)),
        (27, 4.26, 3, (1, 2)),
        (30, 4.26, 3, (0, 2)),
        (33, 4.26, 3, (1, 3)),
        (36, 4.26, 3, (1, 2)),
        (10, 1.0, 2, (0, 20)),
        (16, 1.0, 2, (2, 69)),
        (10, 9.93, 4, (1, 0)),
        (20, 9.93, 4, (0, 8)),
    ):
        for seed in seeds:
            yield f"random{width}-n{n}-s{seed}", _seeded(random_ksat, n, ratio, width, seed)
    for n, ratio, seed in ((10, 4.26, 1), (20, 4.26, 2), (33, 4.6, 3)):
        yield f"planted3-n{n}-s{seed}", _seeded(planted_ksat, n, ratio, 3, seed)
    for n, ratio, seed in ((3, 0.0, 1), (8, 3.0, 2), (16, 3.5, 3), (30, 4.0, 4), (36, 4.0, 5)):
        yield f"unique3-n{n}-s{seed}", _seeded(unique_solution_ksat, n, ratio, 3, seed)
    for n, ratio, seed in ((5, 2.0, 1), (14, 2.5, 2), (28, 3.0, 3), (36, 3.0, 4)):
        yield f"forced3-n{n}-s{seed}", _seeded(forced_unsat_ksat, n, ratio, 3, seed)

    yield from ((f"pigeonhole-{holes}", pigeonhole(holes)) for holes in (2, 3, 5))
    yield from ((f"parity-{pairs}", parity(pairs)) for pairs in (1, 2, 4))
    yield from ((f"ordering-{elements}", ordering(elements)) for elements in (3, 4, 6))
    yield "chessboard-2", chessboard(2)
    petersen = nx.petersen_graph()
    yield "tseitin-petersen-odd", tseitin(petersen, [1] + [0] * 9)
    yield "tseitin-petersen-even", tseitin(petersen, [1, 1, 1, 1] + [0] * 6)
    yield "tseitin-grid-3x5-odd", tseitin(nx.grid_2d_graph(3, 5), [1] * 15)
    yield "colouring-cycle5-2", colouring(nx.cycle_graph(5), 2)
    yield "colouring-cycle5-3", colouring(nx.cycle_graph(5), 3)
    yield "colouring-complete4-3", colouring(nx.complete_graph(4), 3)
    yield "colouring-petersen-3", colouring(petersen, 3)
    yield from ((f"complete-{width}", complete_cnf(width)) for width in (3, 5))
    yield from _legal_oddities()


def _legal_oddities() -> Iterator[tuple[str, CNF]]:
    rows: tuple[tuple[str, int, Iterable[Iterable[int]]], ...] = (
        ("no-clauses", 3, []),
        ("empty-clause", 4, [[1, 2], [], [-3, 4]]),
        ("units", 5, [[1], [-2], [3], [-4], [5]]),
        ("units-contradiction", 6, [[2], [4, 5], [-2]]),
        ("tautologies", 4, [[1, -1], [2, 3, -2], [-4, 4]]),
        ("repetitions", 4, [[1, 1, 2], [1, 1, 2], [-1, -1, -1], [-2, 3, 3], [4, -3, 4]]),
        ("unused-variables", 11, [[2, -5, 9], [-2, 5], [-9, 5, 2]]),
        ("unused-variables-complete", 9, list(product((2, -2), (5, -5), (8, -8)))),
        ("one-long-clause", 12, [list(range(1, 13))]),
        ("implication-chain", 20, [[-i, i + 1] for i in range(1, 20)]),
        ("implication-cycle", 13, [[-i, i % 13 + 1] for i in range(1, 14)] + [[1, 7], [-4, -10]]),
    )
    for name, variables, clauses in rows:
        yield f"oddity-{name}", CNF.from_clauses(clauses, variables, provenance=Provenance("written by hand"))


def _seeded(maker: Callable[..., CNF], n: int, ratio: float, width: int, seed: int) -> CNF:
    return maker(n, ratio=ratio, width=width, rng=np.random.default_rng(seed), seed=seed)


def _entry(name: str, formula: CNF) -> Entry:
    verdicts = set()
    for solver_name in SOLVERS:
        with Solver(name=solver_name, bootstrap_with=formula.clauses) as solver:
            verdicts.add(bool(solver.solve()))
    if len(verdicts) != 1:
        raise AssertionError(f"{' and '.join(SOLVERS)} disagree about {name}")
    return Entry(name, formula, verdicts.pop(), _count_models(formula))


def _count_models(formula: CNF) -> int | None:
    """Exclude one model after another; None beyond MOST_MODELS."""
    with Solver(name=SOLVERS[1], bootstrap_with=formula.clauses) as solver:
        for found in range(MOST_MODELS + 1):
            if not solver.solve():
                return found
            true = set(solver.get_model())
            # Over all variables: a solver leaves out those that no clause uses.
            solver.add_clause([-i if i in true else i for i in range(1, formula.variables + 1)])
    return None


def _commented(entry: Entry) -> CNF:
    provenance = replace(entry.formula.provenance, version=MADE_WITH)
    facts = (
        f"status: {'SATISFIABLE' if entry.satisfiable else 'UNSATISFIABLE'}",
        f"models: {'not counted' if entry.models is None else entry.models}",
        f"known from: {' and '.join(SOLVERS)}",
    )
    return replace(entry.formula, provenance=provenance, comments=(*entry.formula.comments, *facts))


def _table(made: list[Entry]) -> str:
    answers = [entry.satisfiable for entry in made]
    lines = [
        "# Where the curated formulas come from",
        "",
        f"{len(made)} formulas, {sum(answers)} satisfiable and {len(made) - sum(answers)} not, all made by",
        "this project's generators or by hand; none is copied. `python -m cubicwall.instances.curated.make`",
        "writes them and this page again, byte for byte, and a test compares.",
        "",
        f"The status is the common answer of {' and '.join(SOLVERS)}, two solvers with no common code.",
        "Models are counted over all variables, used or not, by excluding one after another, up to",
        f"{MOST_MODELS}. The maker's parameters and seed stand in each file's first comment too. n counts",
        "variables, m clauses, w the literals of the longest clause.",
        "",
        "| file | made by | seed | n | m | w | status | models | known from |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in made:
        size, provenance = entry.formula.size, entry.formula.provenance
        lines.append(
            f"| {entry.file} | `{_abbreviated(provenance.maker)}` "
            f"| {'' if provenance.seed is None else provenance.seed} "
            f"| {size.variables} | {size.clauses} | {size.width} | {'SAT' if entry.satisfiable else 'UNSAT'} "
            f"| {'not counted' if entry.models is None else entry.models} | {', '.join(SOLVERS)} |"
        )
    return "\n".join(lines) + "\n"


def _abbreviated(maker: str) -> str:
    return maker if len(maker) <= 80 else f"{maker[:77]}..."


if __name__ == "__main__":
    main()
