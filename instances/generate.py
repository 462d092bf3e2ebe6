"""Random formulas of width k: uniform, planted, with one solution, and with none.

Uniform random k-SAT draws m clauses independently, each uniform among the C(n, k)·2^k clauses on k
distinct variables; for k = 3, satisfiable and unsatisfiable formulas mix at m/n = 4.26. The other
three change as little of that as their promise needs. Structured families and vectors have rooms of
their own, `families` and `vector_families`; all generators can be imported from here.

Randomness comes from the generator `rng` alone, by its methods integers, permutation and random. A
solver may be asked whether there is a model, never which: so the same generator state gives the same
formula with any solver, on any platform. `seed` is a record for the provenance: give the one that
`rng` was freshly made from.

Glossary
--------
n, m, k        variables, clauses, width
hidden model   drawn first, and satisfying every clause drawn later

References
----------
Achlioptas. Random satisfiability. Handbook of Satisfiability, ch. 8, 2009.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import generator, integer, number
from .cnf import CNF
from .dimacs import MAX_VARIABLES
from .families import chessboard, colouring, complete_cnf, ordering, parity, pigeonhole, tseitin
from .provenance import Provenance
from .vector_families import (
    orthogonal_free_vectors,
    planted_orthogonal_vectors,
    random_orthogonal_vectors,
)

__all__ = [
    "chessboard",
    "colouring",
    "complete_cnf",
    "forced_unsat_ksat",
    "ordering",
    "orthogonal_free_vectors",
    "parity",
    "pigeonhole",
    "planted_ksat",
    "planted_orthogonal_vectors",
    "random_ksat",
    "random_orthogonal_vectors",
    "tseitin",
    "unique_solution_ksat",
]

Integers = NDArray[np.int64]


def random_ksat(
    variables: int,
    clauses: int | None = None,
    *,
    ratio: float | None = None,
    width: int = 3,
    rng: np.random.Generator,
    seed: int | None = None,
) -> CNF:
    """Draw a uniform random k-CNF: independent clauses, distinct variables in each, fair signs.

    Parameters
    ----------
    variables : int
        n ≥ width.
    clauses : int, optional
        m; either this or `ratio` must be given.
    ratio : float, optional
        m/n, rounded to the nearest m.
    width : int
        k ≥ 1.
    rng : numpy.random.Generator
        The source of randomness.
    seed : int, optional
        What `rng` was freshly made from, for the provenance.

    Returns
    -------
    CNF
        Literals are sorted by variable within a clause; a clause may be drawn twice.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, if one is of a wrong type or out of range.

    Complexity
    ----------
    O(m·k²) time, O(m·k) memory.

    Examples
    --------
    >>> formula = random_ksat(30, ratio=4.26, rng=np.random.default_rng(1), seed=1)
    >>> formula.size
    CNFSize(variables=30, clauses=128, width=3)
    """
    n, m, k = _checked(variables, clauses, ratio, width)
    names = _subsets(n, k, m, generator(rng))
    agree = rng.integers(0, 2, size=(m, k))
    literals = names * (2 * agree - 1)
    return _formula("random_ksat", n, k, literals.tolist(), seed)


def planted_ksat(
    variables: int,
    clauses: int | None = None,
    *,
    ratio: float | None = None,
    width: int = 3,
    rng: np.random.Generator,
    seed: int | None = None,
) -> CNF:
    """Draw a uniform hidden model, then m clauses, each uniform among those that it satisfies.

    Parameters, errors and cost are those of `random_ksat`. The first comment shows the model.

    Examples
    --------
    >>> formula = planted_ksat(9, 36, rng=np.random.default_rng(1))
    >>> formula.comments
    ('hidden model -1 2 3 4 -5 -6 7 8 -9',)
    """
    n, m, k = _checked(variables, clauses, ratio, width)
    hidden = _model(n, generator(rng))
    literals = _planted(hidden, k, m, rng)
    return _formula("planted_ksat", n, k, literals.tolist(), seed, hidden)


def unique_solution_ksat(
    variables: int,
    clauses: int | None = None,
    *,
    ratio: float | None = None,
    width: int = 3,
    rng: np.random.Generator,
    seed: int | None = None,
) -> CNF:
    """Plant a model, then add clauses until it is the only one.

    Each added clause is satisfied by the hidden model and falsified by another model, of which a
    solver knows that it exists and a random lexicographic order chooses it. The loop ends when the
    solver proves that the formula with a clause against the hidden model is unsatisfiable.

    Parameters
    ----------
    variables, width, rng, seed
        As for `random_ksat`.
    clauses, ratio
        As for `random_ksat`, but the number to start from: more may be added.

    Complexity
    ----------
    At most 2^n added clauses, each after at most n calls of the solver; near the threshold about n
    clauses suffice (n = 36 takes well under a second).

    Examples
    --------
    >>> unique_solution_ksat(3, 0, rng=np.random.default_rng(1)).size.clauses
    7
    """
    n, m, k = _checked(variables, clauses, ratio, width)
    hidden = _model(n, generator(rng))
    literals = _planted(hidden, k, m, rng).tolist()
    _exclude_models(literals, n, k, rng, hidden)
    return _formula("unique_solution_ksat", n, k, literals, seed, hidden, start=m)


def forced_unsat_ksat(
    variables: int,
    clauses: int | None = None,
    *,
    ratio: float | None = None,
    width: int = 3,
    rng: np.random.Generator,
    seed: int | None = None,
) -> CNF:
    """Draw a uniform random k-CNF, then add clauses until it is unsatisfiable.

    Each added clause has `width` random distinct variables and is falsified by a model of what there
    is so far, chosen as in `unique_solution_ksat`. So no small unsatisfiable core is built in, and
    the last clause is needed.

    Parameters
    ----------
    variables, width, rng, seed
        As for `random_ksat`.
    clauses, ratio
        As for `random_ksat`, but the number to start from: more may be added.

    Complexity
    ----------
    As for `unique_solution_ksat`.

    Examples
    --------
    >>> forced_unsat_ksat(3, 0, rng=np.random.default_rng(1)).size.clauses
    8
    """
    n, m, k = _checked(variables, clauses, ratio, width)
    literals = random_ksat(n, m, width=k, rng=rng).clauses
    grown = [list(clause) for clause in literals]
    _exclude_models(grown, n, k, rng)
    return _formula("forced_unsat_ksat", n, k, grown, seed, start=m)


def _checked(variables: int, clauses: int | None, ratio: float | None, width: int) -> tuple[int, int, int]:
    k = integer("width", width, 1)
    n = integer("variables", variables, k, MAX_VARIABLES)
    if (clauses is None) == (ratio is None):
        raise ValueError(
            f"Either argument 'clauses' or argument 'ratio' must be given, "
            f"not clauses={clauses!r} with ratio={ratio!r}."
        )
    if clauses is not None:
        return n, integer("clauses", clauses, 0), k
    assert ratio is not None
    return n, math.floor(number("ratio", ratio, 0) * n + 0.5), k


def _formula(
    maker: str,
    n: int,
    k: int,
    clauses: Sequence[Sequence[int]],
    seed: int | None,
    hidden: Integers | None = None,
    start: int | None = None,
) -> CNF:
    m = len(clauses) if start is None else start
    provenance = Provenance(f"{maker}(variables={n}, clauses={m}, width={k})", seed)
    comments = () if hidden is None else ("hidden model " + " ".join(map(str, hidden.tolist())),)
    return CNF(n, tuple(map(tuple, clauses)), provenance, comments)


def _subsets(n: int, k: int, m: int, rng: np.random.Generator) -> Integers:
    """Draw m independent uniform k-subsets of 1..n, sorted: Floyd's algorithm, row by row at once."""
    chosen = np.zeros((m, k), dtype=np.int64)
    for i, last in enumerate(range(n - k + 1, n + 1)):
        drawn = rng.integers(1, last + 1, size=m)
        taken = (chosen[:, :i] == drawn[:, None]).any(axis=1)
        chosen[:, i] = np.where(taken, last, drawn)
    return np.sort(chosen, axis=1)


def _model(n: int, rng: np.random.Generator) -> Integers:
    signs: Integers = 2 * rng.integers(0, 2, size=n) - 1
    return signs * np.arange(1, n + 1)


def _planted(hidden: Integers, k: int, m: int, rng: np.random.Generator) -> Integers:
    names = _subsets(len(hidden), k, m, rng)
    agree = rng.integers(0, 2, size=(m, k))
    while (falsified := ~agree.any(axis=1)).any():
        agree[falsified] = rng.integers(0, 2, size=(int(falsified.sum()), k))
    return hidden[names - 1] * (2 * agree - 1)


def _exclude_models(
    clauses: list[list[int]], n: int, k: int, rng: np.random.Generator, hidden: Integers | None = None
) -> None:
    """Append random clauses until no model is left, or none but `hidden`."""
    from pysat.solvers import Solver  # here, so that importing this module stays light

    with Solver(name="minisat22", bootstrap_with=clauses) as solver:
        if hidden is not None:
            solver.add_clause((-hidden).tolist())
        while True:
            order = _model(n, rng)[rng.permutation(n)]
            model = _first_model(solver, order.tolist())
            if model is None:
                return
            # One literal must be true in the hidden model, so its variable is one where they differ.
            pivots = np.arange(n) if hidden is None else np.flatnonzero(model != hidden)
            pivot = int(pivots[rng.integers(len(pivots))])
            others = np.delete(np.arange(n), pivot)[rng.permutation(n - 1)[: k - 1]]
            clause = (-model[np.sort([pivot, *others])]).tolist()
            clauses.append(clause)
            solver.add_clause(clause)


def _first_model(solver: Any, order: list[int]) -> Integers | None:
    """Find the model that makes the earliest literals of `order` true: the same from every solver."""
    if not solver.solve():
        return None
    model = set(solver.get_model())
    fixed: list[int] = []
    for literal in order:
        if literal not in model and solver.solve(assumptions=[*fixed, literal]):
            model = set(solver.get_model())
        fixed.append(literal if literal in model else -literal)
    return np.array(sorted(fixed, key=abs), dtype=np.int64)
