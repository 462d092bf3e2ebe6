"""Formulas of 3 to 36 variables whose status is known from two solvers.

Each file's name says its family and status; its comments repeat the status and, where it was
feasible, the number of models. PROVENANCE.md lists them all; `make` writes them, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from ..cnf import CNF

_SATISFIABLE = {"SATISFIABLE": True, "UNSATISFIABLE": False}


@dataclass(frozen=True, slots=True)
class Curated:
    """A formula with its known answer.

    Parameters
    ----------
    name : str
        The file's name without ``.cnf``, such as ``"pigeonhole-2.unsat"``.
    formula : CNF
        The formula.
    satisfiable : bool
        Its status, on which two different solvers agree.
    models : int or None
        The number of models over all variables, where it is at most 5000.
    """

    name: str
    formula: CNF
    satisfiable: bool
    models: int | None


def curated() -> tuple[Curated, ...]:
    """Read all curated formulas, sorted by name.

    Returns
    -------
    tuple of Curated
        More than 36, from 3 to 36 variables.

    Complexity
    ----------
    One small file a formula, in well under a second altogether.

    Examples
    --------
    >>> next(known.models for known in curated() if known.name == "complete-3.unsat")
    0
    """
    folder = files(__name__)
    found = (entry for entry in folder.iterdir() if entry.name.endswith(".cnf"))
    return tuple(
        _known(entry.name, entry.read_bytes()) for entry in sorted(found, key=lambda entry: entry.name)
    )


def _known(file: str, content: bytes) -> Curated:
    formula = CNF.from_dimacs(content, file)
    facts = dict(comment.split(": ", 1) for comment in formula.comments if ": " in comment)
    models = None if facts["models"] == "not counted" else int(facts["models"])
    return Curated(file.removesuffix(".cnf"), formula, _SATISFIABLE[facts["status"]], models)
