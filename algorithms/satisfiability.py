"""SAT by a solver that others wrote: models that are checked, proofs for the lack of one, and counts.

python-sat drops what it does not need: tautologies and repeated literals confuse some of its
solvers, a model ends with the last variable that occurs, and an empty clause is no clause to it. So a
formula is cleaned before it goes in, and a model is completed and verified before it goes out.

Cost: exponential in the worst case; milliseconds for every formula that this package reduces.

Glossary
--------
model   entry i−1 is +i or −i, for all variables of the header
proof   DRUP: clauses, each of which follows from those before by unit propagation, and deletions;
        `cubicwall.verification.proofs` checks it
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pysat.solvers import NoSuchSolverError, Solver

from ..instances.answer import No, Yes
from ..instances.cnf import CNF
from .model_counting import count_by_enumeration, count_by_search

Model = tuple[int, ...]

PROVERS = ("cadical153", "glucose4")  # the solvers whose proofs python-sat hands out

_ENUMERATED = 16  # variables up to which trying all assignments is the quicker way to count


def satisfiable(cnf: CNF, *, solver: str = "cadical153") -> Yes[Model] | No:
    """Decide a formula by a CDCL solver.

    Parameters
    ----------
    cnf : CNF
        Any formula.
    solver : str
        A name that python-sat knows.

    Returns
    -------
    Yes or No
        ``Yes(model)`` with the model verified here, or `No`; for a proof of that see `drup_proof`.

    Raises
    ------
    ValueError
        If python-sat has no such solver.
    RuntimeError
        If the solver's model does not satisfy the formula.

    Complexity
    ----------
    Exponential in the worst case.

    Examples
    --------
    >>> satisfiable(CNF(4, ((1, 2), (-1,))))
    Yes(witness=(-1, 2, -3, -4))
    >>> satisfiable(CNF(1, ((1,), (-1,))))
    No()
    """
    with _loaded(cnf, solver) as session:
        if not session.solve():
            return No()
        model = _completed(session.get_model(), cnf)
    if not cnf.satisfied_by(model):
        raise RuntimeError(f"Solver {solver!r} returned {model}, which is no model of the formula.")
    return Yes(model)


def drup_proof(cnf: CNF, *, solver: str = "cadical153") -> list[str]:
    """Prove that a formula has no model.

    Parameters
    ----------
    cnf : CNF
        A formula without models.
    solver : str
        One of `PROVERS`.

    Returns
    -------
    list of str
        Lines such as ``"1 -2 0"`` and ``"d 1 -2 0"``, ending with ``"0"``; no lines if the formula
        holds the empty clause.

    Raises
    ------
    ValueError
        If the formula is satisfiable, or the solver writes no proofs.

    Complexity
    ----------
    That of `satisfiable`; a line for each clause that the solver learns or drops.

    Examples
    --------
    >>> drup_proof(CNF(1, ((1,), (-1,))))
    ['0']
    """
    if solver not in PROVERS:
        raise ValueError(f"Argument 'solver' must be one of {PROVERS}, not {solver!r}.")
    if () in cnf.clauses:
        return []
    with _loaded(cnf, solver, with_proof=True) as session:
        if session.solve():
            raise ValueError("Argument 'cnf' must be unsatisfiable, but it has a model.")
        lines: list[str] = session.get_proof()
    # Some solvers stop short of the last step, others tidy up after it.
    return [*lines[: lines.index("0")], "0"] if "0" in lines else [*lines, "0"]


def count_models(cnf: CNF) -> int:
    """Count the models, exactly, in whichever way of `cubicwall.algorithms.model_counting` is quicker.

    Parameters
    ----------
    cnf : CNF
        Any formula. Variables that no clause mentions count: each doubles the number.

    Complexity
    ----------
    O(2^n/64) words for each literal up to n = 16, a search that branches beyond.

    Examples
    --------
    >>> count_models(CNF(4, ((1, 2),)))
    12
    """
    return count_by_enumeration(cnf) if cnf.variables <= _ENUMERATED else count_by_search(cnf)


def enumerate_models(cnf: CNF, *, solver: str = "cadical153") -> Iterator[Model]:
    """Yield every model, in no particular order, by forbidding each one that was found.

    Parameters are those of `satisfiable`. For thousands of models, not for millions;
    `count_models` counts without listing.

    Complexity
    ----------
    One call to the solver a model, on a formula that grows by n literals each time.

    Examples
    --------
    >>> sorted(enumerate_models(CNF(2, ((1, 2),))))
    [(-1, 2), (1, -2), (1, 2)]
    """
    with _loaded(cnf, solver) as session:
        while session.solve():
            model = _completed(session.get_model(), cnf)
            yield model
            if not model:  # without variables there is one assignment, and no clause to forbid it
                return
            session.add_clause([-literal for literal in model])


@contextmanager
def _loaded(cnf: CNF, solver: str, **options: Any) -> Iterator[Any]:
    clauses = [sorted(set(clause), key=abs) for clause in cnf.clauses]
    clauses = [clause for clause in clauses if len(set(map(abs, clause))) == len(clause)]
    if [] in clauses:
        clauses = [[1], [-1]]
    try:
        session = Solver(solver, bootstrap_with=clauses, **options)
    except NoSuchSolverError:
        raise ValueError(f"Argument 'solver' must be one that python-sat knows, not {solver!r}.") from None
    with session:
        yield session


def _completed(literals: list[int] | None, cnf: CNF) -> Model:
    """Give every variable of the header a sign, − where the solver does not care."""
    true = set(literals or ())
    return tuple(v if v in true else -v for v in range(1, cnf.variables + 1))
