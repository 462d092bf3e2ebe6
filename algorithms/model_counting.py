"""How many models? Exactly, by two ways that share nothing: all assignments, and a search that branches.

The first evaluates the formula on all 2^n assignments, 64 to a word. The second branches on variables,
propagates units, splits what is left into parts without a common variable, whose counts multiply, and
remembers the count of every part it has seen (the DPLL family of counters, [SBK04]).

Cost: 2^n/64 words for each literal; and for the search exponential in the worst case, for a
random 3-SAT formula at ratio 4.26 about 2^(n/10) branchings.

Glossary
--------
residue     what is left of the clauses under the literals chosen so far: a frozenset of frozensets
component   a part of a residue that shares no variable with the rest
free        a variable that no clause mentions: it doubles the count

References
----------
[SBK04] Sang, Bacchus, Beame, Kautz, Pitassi. Combining component caching and clause learning for
        effective model counting. SAT 2004.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from ..instances.cnf import CNF

Clause = frozenset[int]
Residue = frozenset[Clause]

MAX_ENUMERATED = 32  # variables
_BLOCK = 14  # log2 of the words evaluated at a time: a clause's column fits the cache

# Bit a of word v: the value of variable v (counted from 0) in assignment a of 64.
_PATTERNS = [sum(1 << a for a in range(64) if a >> v & 1) for v in range(6)]


def count_by_enumeration(cnf: CNF) -> int:
    """Count the models by trying all assignments.

    Parameters
    ----------
    cnf : CNF
        A formula of at most 32 variables.

    Raises
    ------
    ValueError
        If there are more.

    Complexity
    ----------
    O(2^n/64) words for each literal, 4 MB; a block of 2^20 assignments is left as soon as none is alive.

    Examples
    --------
    >>> count_by_enumeration(CNF(3, ((1, 2), (-2, 3))))
    4
    """
    n = cnf.variables
    if n > MAX_ENUMERATED:
        raise ValueError(
            f"Argument 'cnf' must have at most {MAX_ENUMERATED} variables, not {n}; "
            f"count_by_search takes any number."
        )
    words = 2 ** max(0, n - 6)
    block = min(words, 2**_BLOCK)
    total = 0
    for start in range(0, words, block):
        numbers = np.arange(start, start + block, dtype=np.uint64)
        values = [np.full(block, pattern, dtype=np.uint64) for pattern in _PATTERNS[:n]]
        values += [-(numbers >> np.uint64(v) & np.uint64(1)) for v in range(n - 6)]
        alive = np.full(block, 2 ** min(2**n, 64) - 1, dtype=np.uint64)
        for clause in cnf.clauses:
            satisfied = np.zeros(block, dtype=np.uint64)
            for literal in clause:
                value = values[abs(literal) - 1]
                satisfied |= value if literal > 0 else ~value
            alive &= satisfied
            if not alive.any():
                break
        total += int(np.unpackbits(alive.view(np.uint8)).sum())
    return total


def count_by_search(cnf: CNF) -> int:
    """Count the models by branching, with unit propagation, components and a memory of components.

    Parameters
    ----------
    cnf : CNF
        Any formula; the search goes at most as deep as there are variables.

    Complexity
    ----------
    Exponential in the worst case; well under a second for 36 variables at ratio 4.26.

    Examples
    --------
    >>> count_by_search(CNF(60, ((1, 2), (59, 60)))) == 9 * 2**56
    True
    """
    clauses = (frozenset(clause) for clause in cnf.clauses)
    residue = frozenset(clause for clause in clauses if not any(-literal in clause for literal in clause))
    known: dict[Residue, int] = {}

    def count(residue: Residue, variables: int) -> int:
        """Models of a residue over its own variables and as many free ones as make up `variables`."""
        propagated = _propagated(residue)
        if propagated is None:
            return 0
        left, fixed = propagated
        total = 1
        used = 0
        for component in _components(left):
            own = _variables(component)
            used += len(own)
            if component not in known:
                literal = _branching_literal(component)
                known[component] = sum(
                    count(_under(component, sign), len(own) - 1) for sign in (literal, -literal)
                )
            total *= known[component]
            if not total:
                return 0
        return total << (variables - fixed - used)

    return count(residue, cnf.variables)


def _propagated(residue: Residue) -> tuple[Residue, int] | None:
    """Apply unit clauses until none is left; also how many variables that fixed. None on conflict."""
    fixed = 0
    while True:
        if frozenset() in residue:
            return None
        unit = next((clause for clause in residue if len(clause) == 1), None)
        if unit is None:
            return residue, fixed
        residue = _under(residue, next(iter(unit)))
        fixed += 1


def _under(residue: Residue, literal: int) -> Residue:
    return frozenset(clause - {-literal} for clause in residue if literal not in clause)


def _components(residue: Residue) -> Iterable[Residue]:
    """Split into parts that share no variable, by merging the classes that a clause connects."""
    leader: dict[int, int] = {}

    def find(variable: int) -> int:
        while leader.setdefault(variable, variable) != variable:
            leader[variable] = leader[leader[variable]]
            variable = leader[variable]
        return variable

    for clause in residue:
        roots = [find(abs(literal)) for literal in clause]
        for root in roots:
            leader[root] = roots[0]
    parts: dict[int, list[Clause]] = {}
    for clause in residue:
        parts.setdefault(find(abs(next(iter(clause)))), []).append(clause)
    return map(frozenset, parts.values())


def _variables(residue: Residue) -> set[int]:
    return {abs(literal) for clause in residue for literal in clause}


def _branching_literal(residue: Residue) -> int:
    """The variable with the most occurrences, those in short clauses counting for more."""
    weights: Counter[int] = Counter()
    for clause in residue:
        for literal in clause:
            weights[abs(literal)] += 64 >> min(len(clause), 6)
    return min(weights, key=lambda variable: (-weights[variable], variable))
