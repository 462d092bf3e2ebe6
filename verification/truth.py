"""Independent truth: what solvers that know nothing of attention say."""

from __future__ import annotations

from ..algorithms.satisfiability import count_models, satisfiable
from ..algorithms.vectors import count_orthogonal, first_orthogonal
from ..instances.answer import No, Yes
from ..instances.cnf import CNF
from ..instances.orthogonal_vectors import OrthogonalVectors


def decide(instance: CNF | OrthogonalVectors) -> Yes[tuple[int, ...]] | No:
    """Decide by a SAT solver, or by bit-packed brute force for vectors."""
    return satisfiable(instance) if isinstance(instance, CNF) else first_orthogonal(instance)


def count(instance: CNF | OrthogonalVectors) -> int:
    """Count by a model counter, or by bit-packed brute force for vectors."""
    return count_models(instance) if isinstance(instance, CNF) else count_orthogonal(instance)
