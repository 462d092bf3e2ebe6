"""Formulas in conjunctive normal form: the question that everything else is reduced from.

A *literal* is a signed variable, +i or −i with 1 ≤ i ≤ n; a *clause* is a disjunction of literals; a
formula is a conjunction of clauses. Under SETH no algorithm decides k-SAT in time 2^((1−δ)n) for
every k. Clauses are kept as they are given: order, repetitions and tautologies included.

Glossary
--------
n, m     variables, clauses
width    the length of the longest clause (the k of k-SAT)
model    a satisfying assignment, DIMACS-wise: entry i−1 is +i or −i
file     see `cubicwall.instances.dimacs` for the format, which is read strictly

Cost: every method is linear in the formula.
"""

from __future__ import annotations

import hashlib
import operator
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import NoReturn, SupportsIndex

import numpy as np

from .compressed import read_content, write_content
from .dimacs import MAX_VARIABLES, DimacsError, parse, render
from .provenance import Provenance

Clauses = tuple[tuple[int, ...], ...]

_UNKNOWN = Provenance()
_MARK = "cubicwall "  # starts the comment that carries the provenance
_UNWRITABLE = re.compile(r"[\0\r\n]")


@dataclass(frozen=True, slots=True)
class CNFSize:
    """The size of a formula: what claims about reductions are functions of."""

    variables: int
    clauses: int
    width: int

    def measures(self) -> dict[str, float]:
        """Return the number of variables ``n``, of clauses ``m``, and the ``width``."""
        return {"n": self.variables, "m": self.clauses, "width": self.width}


@dataclass(frozen=True, slots=True)
class CNF:
    """Is there an assignment of n variables that satisfies every clause?

    Parameters
    ----------
    variables : int
        n ≥ 0, at most 2^31 − 1; clauses need not use all of them.
    clauses : tuple of tuple of int
        Nonzero literals of magnitude at most n. `from_clauses` takes other sequences.
    provenance : Provenance
        What made the formula. Equality and hashes ignore it.
    comments : tuple of str
        Lines for the file's head, without a line break. Equality and hashes ignore them.

    Raises
    ------
    TypeError
        If `variables` or a literal is not an int, or `clauses` or a clause is not a tuple.
    ValueError
        If a number is out of range, or a comment could not be read back.

    Examples
    --------
    >>> formula = CNF(2, ((1, 2), (-1,)))
    >>> formula.satisfied_by((-1, 2)), formula.satisfied_by((-1, -2))
    (True, False)
    """

    variables: int
    clauses: Clauses
    provenance: Provenance = field(default=_UNKNOWN, compare=False)
    comments: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check_variables(self.variables)
        _check_clauses(self.clauses, self.variables)
        _check_comments(self.comments)

    @staticmethod
    def from_clauses(
        clauses: Iterable[Iterable[SupportsIndex]],
        variables: int | None = None,
        *,
        provenance: Provenance = _UNKNOWN,
        comments: Iterable[str] = (),
    ) -> CNF:
        """Make a formula from any iterables of integers, numpy's included.

        Parameters
        ----------
        clauses : iterable of iterable of int
            The clauses.
        variables : int, optional
            n; the largest variable that occurs, unless given.
        provenance, comments
            As for `CNF`.

        Raises
        ------
        TypeError, ValueError
            As for `CNF`.

        Examples
        --------
        >>> CNF.from_clauses([[1, -3], []]).variables
        3
        """
        kept = tuple(
            tuple(_plain(literal, position, index) for index, literal in enumerate(clause))
            for position, clause in enumerate(clauses)
        )
        if variables is None:
            variables = max(map(abs, chain.from_iterable(kept)), default=0)
        return CNF(variables, kept, provenance, tuple(comments))

    @staticmethod
    def from_dimacs(content: bytes, file: str = "<bytes>") -> CNF:
        """Read a formula from the bytes of a DIMACS file; `file` names it in errors.

        Raises
        ------
        DimacsError
            Naming line, column, rule and value, if anything in it breaks a rule of the format.

        Examples
        --------
        >>> CNF.from_dimacs(b"c hello\\np cnf 2 1\\n1 -2 0\\n").comments
        ('hello',)
        """
        found = parse(content, file)
        comments = found.comments
        provenance = _read_provenance(comments[0]) if comments else None
        if provenance is None:
            return CNF(found.variables, found.clauses, comments=comments)
        return CNF(found.variables, found.clauses, provenance, comments[1:])

    @staticmethod
    def read(path: str | os.PathLike[str]) -> CNF:
        """Read a formula from a DIMACS file, plain, .gz, .bz2 or .xz, or from standard input, ``-``.

        Raises
        ------
        DimacsError
            If anything in the file breaks a rule: nothing is dropped silently.
        OSError
            If the file cannot be opened.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "formula.cnf.gz"
        >>> CNF(2, ((1, 2), (-1,))).write(path)
        >>> CNF.read(path).clauses
        ((1, 2), (-1,))
        """
        file = "<stdin>" if os.fspath(path) == "-" else os.fspath(path)
        try:
            content = read_content(path)
        except ValueError as archive:
            raise DimacsError(file, None, None, str(archive)) from archive
        return CNF.from_dimacs(content, file)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a DIMACS file in one step, compressed as the suffix says; ``-`` is standard output.

        ``CNF.read`` gives back the same formula, provenance and comments, and the same formula
        always gives the same bytes.

        Raises
        ------
        FileNotFoundError
            If the directory does not exist.
        """
        write_content(path, self.to_dimacs().encode("utf-8", "surrogateescape"))

    def to_dimacs(self) -> str:
        """Return the text of the file that `write` makes.

        Examples
        --------
        >>> print(CNF(2, ((1, -2),), comments=("hello",)).to_dimacs(), end="")
        c cubicwall {"maker": "unknown", "seed": null, "version": "0.1.0"}
        c hello
        p cnf 2 1
        1 -2 0
        """
        return render(self.variables, self.clauses, (_MARK + self.provenance.to_json(), *self.comments))

    @property
    def sha256(self) -> str:
        """The hash, in hexadecimal, of the file without provenance and comments."""
        return hashlib.sha256(render(self.variables, self.clauses).encode()).hexdigest()

    @property
    def size(self) -> CNFSize:
        """Variables, clauses and width together, for claims."""
        return CNFSize(self.variables, len(self.clauses), max(map(len, self.clauses), default=0))

    def satisfied_by(self, model: Sequence[int]) -> bool:
        """Verify a witness: every clause holds a literal of the model.

        Parameters
        ----------
        model : sequence of n int
            Entry i−1 is +i or −i.

        Raises
        ------
        TypeError
            If an entry is not an integer.
        ValueError
            If there are not n entries, or entry i−1 is neither i nor −i.

        Complexity
        ----------
        O(n + number of literals).
        """
        if len(model) != self.variables:
            raise ValueError(f"Argument 'model' must hold {self.variables} literals, not {len(model)}.")
        true = {operator.index(literal) for literal in model}
        for variable, literal in enumerate(model, start=1):
            if abs(literal) != variable or isinstance(literal, (bool, np.bool_)):
                raise ValueError(
                    f"Argument 'model' must hold {variable} or -{variable} at index {variable - 1}, "
                    f"not {literal!r}."
                )
        return not any(map(true.isdisjoint, self.clauses))

    def accepts(self, witness: Sequence[int]) -> bool:
        """Verify a witness, by the name that every decision problem has for it; see `satisfied_by`."""
        return self.satisfied_by(witness)


def _plain(literal: SupportsIndex, position: int, index: int) -> int:
    try:
        if not isinstance(literal, (bool, np.bool_)):
            return operator.index(literal)
    except TypeError:
        pass
    _refuse_type(literal, position, index)


def _refuse_type(literal: object, position: int, index: int) -> NoReturn:
    raise TypeError(
        f"Argument 'clauses' must hold integers, not {literal!r} of type {type(literal).__name__} "
        f"at clause {position}, index {index}."
    )


def _check_variables(variables: int) -> None:
    if type(variables) is not int:
        raise TypeError(f"Argument 'variables' must be an int, not {variables!r}.")
    if not 0 <= variables <= MAX_VARIABLES:
        raise ValueError(f"Argument 'variables' must be in 0..{MAX_VARIABLES}, not {variables}.")


def _check_clauses(clauses: Clauses, variables: int) -> None:
    if type(clauses) is not tuple:
        raise TypeError(f"Argument 'clauses' must be a tuple of tuples, not {type(clauses).__name__}.")
    if strange := set(map(type, clauses)) - {tuple}:
        raise TypeError(
            f"Argument 'clauses' must be a tuple of tuples, not hold {strange.pop().__name__}; "
            f"CNF.from_clauses takes any iterables."
        )
    # These passes run at the speed of C; the search for the culprit starts only where there is one.
    literals = partial(chain.from_iterable, clauses)
    if (
        set(map(type, literals())) <= {int}
        and 0 not in literals()
        and -variables <= min(literals(), default=0)
        and max(literals(), default=0) <= variables
    ):
        return
    for position, clause in enumerate(clauses):
        for index, literal in enumerate(clause):
            if type(literal) is not int:
                _refuse_type(literal, position, index)
            if not 1 <= abs(literal) <= variables:
                raise ValueError(
                    f"Argument 'clauses' must hold literals of magnitude 1..{variables}, "
                    f"not {literal} at clause {position}, index {index}."
                )


def _check_comments(comments: tuple[str, ...]) -> None:
    if type(comments) is not tuple or not all(type(comment) is str for comment in comments):
        raise TypeError(f"Argument 'comments' must be a tuple of str, not {comments!r}.")
    for comment in comments:
        if _UNWRITABLE.search(comment):
            raise ValueError(f"Argument 'comments' must hold single lines without NUL, not {comment!r}.")
        try:
            again = comment.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            again = None
        if again != comment:
            raise ValueError(f"Argument 'comments' must survive UTF-8, not hold {comment!r}.")


def _read_provenance(comment: str) -> Provenance | None:
    """Read the comment that `to_dimacs` puts first; None for any other, which stays a comment."""
    if not comment.startswith(_MARK):
        return None
    try:
        found = Provenance.from_json(comment.removeprefix(_MARK))
    except (ValueError, RecursionError):
        return None
    # Only what would be written the same way may leave the comments, or bytes would be lost.
    return found if comment == _MARK + found.to_json() else None
