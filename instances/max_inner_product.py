"""Gap maximum inner product of order k: is some tuple far more alike than any tuple should be?

The inner product of a tuple a_1 ∈ A_1, ..., a_k ∈ A_k of 0/1 vectors is the number of coordinates
where all of them are 1. An instance asks whether some tuple reaches the *target* t, and promises
that if none does, none exceeds the *bound* t_no < t. With constant D/(t - t_no) this is the
hard problem behind entries of size Θ((log n)^(1/k)) [ARW17], [AS24].

Glossary
--------
k, A_g, N_g   order, sets, sizes
D             dimension
t, t_no       target, bound
κ             kappa: D/(t - t_no), what a coordinate is worth

References
----------
[ARW17] Abboud, Rubinstein, Williams. Distributed PCP theorems for hardness of approximation in P.
[AS24] Alman, Song. How to capture higher-order correlations? ICLR 2024, arXiv 2310.04064.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .archives import content_hash, read_archive, require_members, take, write_archive
from .orthogonal_vectors import Bits, OrthogonalVectors
from .provenance import Provenance

_KIND = "gap_max_inner_product"
_UNKNOWN = Provenance()


@dataclass(frozen=True, slots=True)
class GapSize:
    """The size of an instance: vectors a set, coordinates, target t and bound t_no."""

    sets: tuple[int, ...]
    dimension: int
    target: int
    bound: int

    @property
    def kappa(self) -> float:
        """κ = D/(t - t_no)."""
        return self.dimension / (self.target - self.bound)

    def measures(self) -> dict[str, float]:
        """Return the largest set ``N``, the number of ``tuples``, ``D``, ``gap`` t - t_no and ``kappa``."""
        return {
            "N": max(self.sets),
            "tuples": math.prod(self.sets),
            "D": self.dimension,
            "gap": self.target - self.bound,
            "kappa": self.kappa,
        }


@dataclass(frozen=True, init=False, eq=False, repr=False)
class GapMaxInnerProduct:
    """Does some tuple, one vector a set, have inner product at least `target`, or all at most `bound`?

    Parameters
    ----------
    sets : sequence of k >= 2 array-likes, set g of shape (N_g, D)
        0/1 entries, as for `OrthogonalVectors`.
    target : int
        t ≥ 1.
    bound : int
        0 ≤ t_no < t. The promise, which the instance cannot check cheaply: where no tuple reaches
        the target, none has more than this.
    provenance : Provenance
        What made the instance. Equality and hashes ignore it.

    Raises
    ------
    ValueError
        For sets that `OrthogonalVectors` refuses, or unless 0 ≤ bound < target.
    TypeError
        For entries that are not integers or booleans.

    Examples
    --------
    >>> instance = GapMaxInnerProduct([[[1, 1, 1], [1, 0, 0]], [[1, 1, 1]]], target=3, bound=1)
    >>> instance.inner_product((1, 0)), instance.accepts((0, 0)), instance.size.kappa
    (1, True, 1.5)
    """

    vectors: OrthogonalVectors
    target: int
    bound: int

    def __init__(
        self, sets: Sequence[ArrayLike], target: int, bound: int, provenance: Provenance = _UNKNOWN
    ) -> None:
        target, bound = operator.index(target), operator.index(bound)
        if target < 1:
            raise ValueError(f"Argument 'target' must be at least 1, not {target}.")
        if not 0 <= bound < target:
            raise ValueError(f"Argument 'bound' must be in 0..{target - 1}, below the target, not {bound}.")
        object.__setattr__(self, "vectors", OrthogonalVectors(sets, provenance))
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "bound", bound)

    @property
    def sets(self) -> tuple[Bits, ...]:
        """The k sets, read-only."""
        return self.vectors.sets

    @property
    def order(self) -> int:
        """The number k of sets."""
        return self.vectors.order

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of vectors in each set."""
        return self.vectors.sizes

    @property
    def dimension(self) -> int:
        """The number D of coordinates."""
        return self.vectors.dimension

    @property
    def provenance(self) -> Provenance:
        """What made the instance."""
        return self.vectors.provenance

    @property
    def size(self) -> GapSize:
        """All that a claim can speak of."""
        return GapSize(self.sizes, self.dimension, self.target, self.bound)

    @cached_property
    def sha256(self) -> str:
        """The hash, in hexadecimal, of the content without its provenance."""
        return content_hash(_KIND, self._members())

    def inner_product(self, indices: Sequence[int]) -> int:
        """Count the coordinates where all k picked vectors are 1: one row number a set, from 0."""
        return self.vectors.violations(indices)

    def accepts(self, witness: Sequence[int]) -> bool:
        """Verify a witness: k row numbers whose vectors have inner product at least `target`."""
        return self.inner_product(witness) >= self.target

    @staticmethod
    def read(path: str | os.PathLike[str]) -> GapMaxInnerProduct:
        """Read an instance from a .npz archive.

        Raises
        ------
        ValueError
            If a member is missing, unknown, pickled or of another dtype, or the archive is damaged
            or newer than this program.
        OSError
            If the file cannot be opened.
        """
        members, provenance = read_archive(path, _KIND)
        names = [f"set_{g}" for g in range(1, sum(name.startswith("set_") for name in members) + 1)]
        require_members(path, members, {*names, "target", "bound"})
        target, bound = (int(take(path, members, name, "i8", 0)) for name in ("target", "bound"))
        sets = [take(path, members, name, "u1", 2) for name in names]
        try:
            return GapMaxInnerProduct(sets, target, bound, provenance)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the instance to a .npz archive, atomically; the same instance gives the same bytes."""
        write_archive(path, _KIND, self._members(), self.provenance)

    def _members(self) -> dict[str, NDArray[Any]]:
        return {
            **{f"set_{g}": vectors for g, vectors in enumerate(self.sets, start=1)},
            "target": np.array(self.target, dtype=np.int64),
            "bound": np.array(self.bound, dtype=np.int64),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GapMaxInnerProduct):
            return NotImplemented
        mine, theirs = (self.target, self.bound), (other.target, other.bound)
        return mine == theirs and self.vectors == other.vectors

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return (
            f"GapMaxInnerProduct(sizes={self.sizes}, dimension={self.dimension}, target={self.target}, "
            f"bound={self.bound})"
        )
