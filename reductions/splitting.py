"""Split and list: CNF -> k-orthogonal vectors [W05].

Split the n variables in k groups and list the 2^(n/k) assignments of each. An assignment of a
group becomes a 0/1 vector with one coordinate a clause: 1 where it satisfies no literal of that
clause. k vectors, one a group, are orthogonal, that is, have no coordinate in which all are 1,
iff the k partial assignments together satisfy every clause. Models and orthogonal tuples
correspond one to one, so counts agree as well.

Cost: O(k 2^(n/k) m) time and bytes.

Glossary
--------
group      consecutive variables; the sizes differ by at most one.
token      one assignment of a group, numbered by its bits; its vector is a row of the set.
coordinate a clause.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..instances.answer import Answer
from ..instances.cnf import CNF, CNFSize
from ..instances.orthogonal_vectors import OrthogonalVectors, VectorsSize
from ..instances.provenance import Provenance
from .reduction import Claim, Steps, reduction


def _claim(size: CNFSize, *, order: int = 3, prune: bool = True) -> Claim:
    sets = tuple(2 ** len(group) for group in groups(size.variables, order))
    exact = frozenset[str]() if prune else frozenset({"N", "tuples", "m"})
    return Claim(calls=1, target=VectorsSize(sets, size.clauses), exact=exact)


@reduction(
    source=CNF,
    target=OrthogonalVectors,
    claim=_claim,
    statement="{k}-OV in N^({k}-δ) time ⇒ CNF-SAT in 2^((1-δ/{k})n) time",
    reference="[W05]",
    parsimonious=True,
)
def split_and_list(
    cnf: CNF, *, order: int = 3, prune: bool = True
) -> Steps[OrthogonalVectors, Answer, Answer]:
    """Ask whether some k partial assignments, one a group, together satisfy the formula.

    Parameters
    ----------
    cnf : CNF
        n variables and m clauses of any width.
    order : int
        k ≥ 2, the number of groups. With n < k some groups are empty and list one token.
    prune : bool
        Drop tokens that falsify a clause by themselves, then coordinates in which some set is
        zero throughout. Neither changes which tuples are orthogonal.

    Yields
    ------
    OrthogonalVectors
        k sets of at most 2^⌈n/k⌉ vectors in at most m coordinates.

    Returns
    -------
    Answer
        ``Yes(model)``, a tuple of n signed variables; counts pass through unchanged.

    Raises
    ------
    ValueError
        If `order` is below 2.

    Examples
    --------
    >>> from cubicwall.instances.cnf import CNF
    >>> steps = split_and_list(CNF.from_clauses([[1, -2], [2]]), order=2, prune=False)
    >>> [vectors.tolist() for vectors in next(steps).sets]
    [[[1, 1], [0, 1]], [[0, 1], [1, 0]]]
    """
    split = groups(cnf.variables, order)
    vectors = [_vectors(cnf, group) for group in split]
    tokens = [np.arange(len(rows)) for rows in vectors]
    if prune:
        vectors, tokens = _pruned(vectors, tokens)
    answer = yield OrthogonalVectors(
        tuple(vectors), provenance=Provenance(f"split_and_list(order={order}) of {cnf.provenance.maker}")
    )

    def model(witness: tuple[int, ...]) -> tuple[int, ...]:
        literals: list[int] = []
        for group, listed, index in zip(split, tokens, witness, strict=True):
            token = int(listed[index])
            literals += [v if token >> bit & 1 else -v for bit, v in enumerate(group)]
        return tuple(literals)

    return answer.map(model)


def groups(variables: int, order: int) -> list[range]:
    """Split the variables 1..n in `order` consecutive groups whose sizes differ by at most one."""
    if order < 2:
        raise ValueError(f"Argument 'order' must be at least 2, not {order}.")
    borders = [variables * g // order + 1 for g in range(order + 1)]
    return [range(low, high) for low, high in pairwise(borders)]


def _vectors(cnf: CNF, group: range) -> npt.NDArray[np.uint8]:
    """List one group: row a, column c is 1 iff assignment a satisfies no literal of clause c."""
    tokens = np.arange(2 ** len(group), dtype=np.int64)
    vectors = np.empty((len(tokens), len(cnf.clauses)), dtype=np.uint8)
    for column, clause in enumerate(cnf.clauses):
        positive = sum({1 << group.index(literal) for literal in clause if literal in group})
        negative = sum({1 << group.index(-literal) for literal in clause if -literal in group})
        # All literals are false iff the negated variables are 1 and the others 0; never for x ∨ ¬x.
        vectors[:, column] = (tokens & (positive | negative)) == negative
        if positive & negative:
            vectors[:, column] = 0
    return vectors


def _pruned(
    vectors: list[npt.NDArray[np.uint8]], tokens: list[npt.NDArray[Any]]
) -> tuple[list[npt.NDArray[np.uint8]], list[npt.NDArray[Any]]]:
    for g, rows in enumerate(vectors):
        others = [other.all(axis=0) for s, other in enumerate(vectors) if s != g]
        alive = ~rows[:, np.logical_and.reduce(others)].any(axis=1)
        vectors[g], tokens[g] = rows[alive], tokens[g][alive]
    matters = np.logical_and.reduce([rows.any(axis=0) for rows in vectors])
    return [np.ascontiguousarray(rows[:, matters]) for rows in vectors], tokens
