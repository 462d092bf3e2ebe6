"""Is this a proof? A DRUP checker that owes nothing to the solver that wrote it.

A clause C follows from a formula by *reverse unit propagation* when assuming all of C's literals
false and propagating units ends in a conflict. A DRUP proof is a sequence of such clauses, each added
to the formula once checked, and of deletions; with the empty clause it shows that there is no model
[GN03]. Every unit that has been propagated without assumptions stays true, even if the clause that
it came from is deleted later: it is a consequence of the formula, and solvers rely on it.

Cost: one propagation a line, each linear in the clauses at worst; two literals of a clause are watched.

Glossary
--------
lemma     an added clause
root      the literals that are true without assumptions
watched   two literals of a clause that are not false unless the clause is unit, satisfied or empty

References
----------
[GN03] Goldberg, Novikov. Verification of proofs of unsatisfiability for CNF formulas. DATE 2003.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..algorithms.satisfiability import drup_proof
from ..instances.archives import atomic_write
from ..instances.cnf import CNF

Key = frozenset[int]

_LINE = re.compile(r"(?:d[ \t]+)?(?:-?[1-9][0-9]*[ \t]+)*0")


class ProofError(ValueError):
    """A proof that proves nothing; `line` is where it first fails, counted from 1."""

    def __init__(self, line: int, rule: str) -> None:
        super().__init__(line, rule)
        self.line = line
        self.rule = rule

    def __str__(self) -> str:
        return f"Line {self.line} of the proof {self.rule}"


def check_drup(cnf: CNF, proof: Sequence[str]) -> None:
    """Check a DRUP proof that a formula has no model.

    Parameters
    ----------
    cnf : CNF
        The formula.
    proof : sequence of str
        Lines ``"1 -2 0"``, which add a clause, and ``"d 1 -2 0"``, which delete one. Lines after the
        empty clause are not looked at, none is needed if the formula holds it.

    Raises
    ------
    ProofError
        Naming the first line that is malformed, does not follow by unit propagation, or deletes a
        clause that is not there; or the line after the last if the empty clause never came.

    Complexity
    ----------
    O(lines · literals) at worst.

    Examples
    --------
    >>> formula = CNF(2, ((1, 2), (-1, 2), (1, -2), (-1, -2)))
    >>> check_drup(formula, ["2 0", "0"])
    >>> check_drup(formula, ["0"])
    Traceback (most recent call last):
    cubicwall.verification.proofs.ProofError: Line 1 of the proof ('0') must follow by unit propagation.
    """
    clauses = _Clauses(cnf.clauses)
    if () in cnf.clauses:
        return
    for number, line in enumerate(proof, start=1):
        deletion, clause = _parsed(number, line, cnf.variables)
        if deletion:
            if not clauses.delete(clause):
                raise ProofError(number, f"({line!r}) must delete a clause that is there.")
        elif not clauses.implies(clause):
            raise ProofError(number, f"({line!r}) must follow by unit propagation.")
        elif not clause:
            return
        else:
            clauses.add(clause)
    raise ProofError(len(proof) + 1, "must be the empty clause, '0', but the proof ends before it.")


def write_proof(cnf: CNF, path: Path) -> int:
    """Have a SAT solver prove that `cnf` has no model, check the proof, and write it.

    Returns
    -------
    int
        The number of lines.

    Raises
    ------
    ValueError
        If the formula has a model.
    ProofError
        If the solver's proof does not hold; nothing is written then.
    """
    proof = drup_proof(cnf)
    check_drup(cnf, proof)
    with atomic_write(path) as file:
        file.write("".join(f"{line}\n" for line in proof).encode())
    return len(proof)


def _parsed(number: int, line: str, variables: int) -> tuple[bool, Key]:
    text = line.strip()
    if not _LINE.fullmatch(text):
        raise ProofError(number, f"must be literals and a 0, perhaps after a 'd', not {line!r}.")
    words = text.split()
    deletion = words[0] == "d"
    clause = frozenset(map(int, words[deletion:-1]))
    if stranger := next((literal for literal in clause if abs(literal) > variables), None):
        raise ProofError(number, f"must hold variables 1..{variables}, not {stranger}.")
    return deletion, clause


class _Clauses:
    """Clauses under unit propagation: `root` is closed under it, or `refuted` is set."""

    def __init__(self, clauses: Iterable[Iterable[int]]) -> None:
        self.literals: list[list[int]] = []  # of each clause; the first two are watched
        self.watchers: defaultdict[int, list[int]] = defaultdict(list)
        self.places: defaultdict[Key, list[int]] = defaultdict(list)  # a clause may be there twice
        self.deleted: set[int] = set()
        self.true: set[int] = set()
        self.trail: list[int] = []
        self.refuted = False
        for clause in clauses:
            self.add(frozenset(clause))

    def add(self, clause: Key) -> None:
        """Add a clause and close the root under unit propagation."""
        place = len(self.literals)
        # Watches must not be false at the root while other literals are left.
        ordered = sorted(clause, key=lambda literal: (-literal in self.true, literal))
        self.literals.append(ordered)
        self.places[clause].append(place)
        for literal in ordered[:2]:
            self.watchers[literal].append(place)
        if not ordered or -ordered[0] in self.true:
            self.refuted = True
        elif len(ordered) == 1 or -ordered[1] in self.true:
            self.refuted |= self._conflict([ordered[0]])

    def delete(self, clause: Key) -> bool:
        """Delete one copy of a clause; False if there is none."""
        places = self.places.get(clause)
        if not places:
            return False
        self.deleted.add(places.pop())
        return True

    def implies(self, clause: Key) -> bool:
        """Whether the clause follows by reverse unit propagation."""
        if self.refuted:
            return True
        root = len(self.trail)
        conflict = self._conflict([-literal for literal in clause])
        self.true.difference_update(self.trail[root:])
        del self.trail[root:]
        return conflict

    def _conflict(self, literals: Iterable[int]) -> bool:
        """Make literals true and propagate; whether that makes a clause false."""
        head = len(self.trail)
        if not all(map(self._assign, literals)):
            return True
        while head < len(self.trail):
            false = -self.trail[head]
            head += 1
            kept: list[int] = []
            watching = self.watchers[false]
            for position, place in enumerate(watching):
                if place in self.deleted:
                    continue
                if not self._rewatch(place, false):
                    kept.append(place)
                    other = self.literals[place][0]
                    if not self._assign(other):
                        kept += watching[position + 1 :]
                        self.watchers[false] = kept
                        return True
            self.watchers[false] = kept
        return False

    def _rewatch(self, place: int, false: int) -> bool:
        """Watch another literal than `false`; if that cannot be, leave the only candidate first."""
        clause = self.literals[place]
        if clause[0] == false and len(clause) > 1:
            clause[0], clause[1] = clause[1], clause[0]
        if clause[0] in self.true:
            return False
        for index in range(2, len(clause)):
            if -clause[index] not in self.true:
                clause[1], clause[index] = clause[index], clause[1]
                self.watchers[clause[1]].append(place)
                return True
        return False

    def _assign(self, literal: int) -> bool:
        if -literal in self.true:
            return False
        if literal not in self.true:
            self.true.add(literal)
            self.trail.append(literal)
        return True
