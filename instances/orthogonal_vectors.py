"""Orthogonal vectors of order k: k sets of 0/1 vectors, one vector to be picked from each.

A tuple a_1 ∈ A_1, ..., a_k ∈ A_k is *orthogonal* when Σ_c Π_g a_g[c] = 0, that is, when no
coordinate is 1 in all of them. Under SETH no algorithm finds one in time N^(k−δ) once the dimension
is ω(log N) [W05].

Glossary
--------
k, A_g      order, sets: the sets may differ in size, and may be empty
N_g, m      sizes, dimension
tuple       indices: one row number a set, counted from 0
violation   a coordinate where all picked vectors are 1

Files
-----
``.npz``: see `cubicwall.instances.archives`. ``.kov`` or ``.txt``, for people: see
`cubicwall.instances.vectors_text`.

References
----------
[W05] Williams. A new algorithm for optimal 2-constraint satisfaction and its implications. 2005.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .archives import atomic_write, content_hash, read_archive, require_members, take, write_archive
from .provenance import Provenance
from .vectors_text import decode, encode

Bits = NDArray[np.uint8]

_KIND = "orthogonal_vectors"
_UNKNOWN = Provenance()


@dataclass(frozen=True, slots=True)
class VectorsSize:
    """The size of an instance: how many vectors a set, and how many coordinates."""

    sets: tuple[int, ...]
    dimension: int

    def measures(self) -> dict[str, float]:
        """Return the largest set ``N``, the number of ``tuples``, and the dimension ``m``."""
        return {"N": max(self.sets), "tuples": math.prod(self.sets), "m": self.dimension}


@dataclass(frozen=True, init=False, eq=False, repr=False)
class OrthogonalVectors:
    """Is there a tuple, one vector a set, with no coordinate where all are 1?

    Parameters
    ----------
    sets : sequence of k >= 2 array-likes, set g of shape (N_g, dimension)
        0/1 entries of an integer or boolean type. They are copied, so later changes do not matter.
    provenance : Provenance
        What made the instance. Equality and hashes ignore it.

    Raises
    ------
    ValueError
        For fewer than two sets, a shape that is not 2-D, dimensions that differ, or an entry
        other than 0 and 1.
    TypeError
        For entries that are not integers or booleans.

    Examples
    --------
    >>> instance = OrthogonalVectors([[[0, 1], [1, 1]], [[1, 1], [1, 0]]])
    >>> instance.sizes, instance.dimension
    ((2, 2), 2)
    >>> instance.is_orthogonal((0, 1)), instance.violations((1, 0))
    (True, 2)
    """

    sets: tuple[Bits, ...]
    provenance: Provenance

    def __init__(self, sets: Sequence[ArrayLike], provenance: Provenance = _UNKNOWN) -> None:
        checked = tuple(_bits(vectors, g) for g, vectors in enumerate(sets))
        if len(checked) < 2:
            raise ValueError(f"Argument 'sets' must hold at least two sets, not {len(checked)}.")
        dimensions = [vectors.shape[1] for vectors in checked]
        if len(set(dimensions)) > 1:
            raise ValueError(f"Argument 'sets' must have one dimension throughout, not {dimensions}.")
        object.__setattr__(self, "sets", checked)
        object.__setattr__(self, "provenance", provenance)

    @property
    def order(self) -> int:
        """The number k of sets."""
        return len(self.sets)

    @property
    def dimension(self) -> int:
        """The number m of coordinates."""
        return int(self.sets[0].shape[1])

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of vectors in each set."""
        return tuple(len(vectors) for vectors in self.sets)

    @property
    def size(self) -> VectorsSize:
        """Sizes and dimension together, for claims."""
        return VectorsSize(self.sizes, self.dimension)

    @cached_property
    def sha256(self) -> str:
        """The hash, in hexadecimal, of the content without its provenance."""
        return content_hash(_KIND, self._members())

    def violations(self, indices: Sequence[int]) -> int:
        """Count the coordinates where all k picked vectors are 1.

        Parameters
        ----------
        indices : sequence of k int
            One row number a set, from 0.

        Raises
        ------
        ValueError
            If there are not k indices or one is out of range.
        TypeError
            If one is not an integer.

        Complexity
        ----------
        O(k · dimension).
        """
        picked = np.ones(self.dimension, dtype=bool)
        for vectors, index in zip(self.sets, self._checked(indices), strict=True):
            picked &= vectors[index] != 0
        return int(picked.sum())

    def is_orthogonal(self, indices: Sequence[int]) -> bool:
        """Verify a witness: no coordinate is 1 in all picked vectors. Arguments as in `violations`."""
        return self.violations(indices) == 0

    def accepts(self, witness: Sequence[int]) -> bool:
        """Verify a witness, by the name that every decision problem has for it; see `is_orthogonal`."""
        return self.is_orthogonal(witness)

    @staticmethod
    def read(path: str | os.PathLike[str]) -> OrthogonalVectors:
        """Read an instance from a .npz, .kov or .txt file.

        Raises
        ------
        ValueError
            If anything in the file is missing, unknown or malformed: the message gives the line and
            column (or the archive's member), the rule and the value. Nothing is dropped silently.
        OSError
            If the file cannot be opened.
        """
        if _is_archive(path):
            return _from_archive(path)
        return OrthogonalVectors(*decode(str(path), Path(path).read_bytes()))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the instance, atomically, in the format that the suffix of `path` names.

        The same instance always gives the same bytes.
        """
        if _is_archive(path):
            write_archive(path, _KIND, self._members(), self.provenance)
        else:
            with atomic_write(path) as file:
                file.write(encode(self.sets, self.provenance))

    def _members(self) -> dict[str, Bits]:
        return {f"set_{g}": vectors for g, vectors in enumerate(self.sets, start=1)}

    def _checked(self, indices: Sequence[int]) -> tuple[int, ...]:
        numbers = tuple(operator.index(index) for index in indices)
        if len(numbers) != self.order:
            raise ValueError(f"Argument 'indices' must hold {self.order} numbers, not {len(numbers)}.")
        for g, (number, count) in enumerate(zip(numbers, self.sizes, strict=True)):
            if not 0 <= number < count:
                raise ValueError(f"Argument 'indices' must have entry {g} in 0..{count - 1}, not {number}.")
        return numbers

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OrthogonalVectors):
            return NotImplemented
        return self.order == other.order and all(map(np.array_equal, self.sets, other.sets))

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"OrthogonalVectors(sizes={self.sizes}, dimension={self.dimension})"

    def __reduce__(self) -> tuple[type[OrthogonalVectors], tuple[tuple[Bits, ...], Provenance]]:
        return OrthogonalVectors, (self.sets, self.provenance)  # unpickled arrays would be writable


def _bits(vectors: ArrayLike, g: int) -> Bits:
    array = np.asarray(vectors)
    if array.ndim != 2:
        raise ValueError(
            f"Argument 'sets' must hold 2-D arrays, but set {g} has shape {array.shape}; "
            f"an empty set in dimension m has shape (0, m)."
        )
    if array.size and array.dtype.kind not in "bui":
        raise TypeError(f"Argument 'sets' must hold integers or booleans, but set {g} has {array.dtype}.")
    if array.dtype.kind != "b" and (strange := np.flatnonzero((array != 0) & (array != 1))).size:
        row, column = divmod(int(strange[0]), array.shape[1])
        raise ValueError(
            f"Argument 'sets' must hold zeros and ones, not {array[row, column]} in set {g}, row {row}, "
            f"column {column}."
        )
    bits = np.array(array, dtype=np.uint8, order="C")
    bits.setflags(write=False)
    return bits


def _is_archive(path: str | os.PathLike[str]) -> bool:
    suffix = Path(path).suffix
    if suffix not in (".npz", ".kov", ".txt"):
        raise ValueError(f"Argument 'path' must end in .npz, .kov or .txt, not {str(path)!r}.")
    return suffix == ".npz"


def _from_archive(path: str | os.PathLike[str]) -> OrthogonalVectors:
    members, provenance = read_archive(path, _KIND)
    names = [f"set_{g}" for g in range(1, sum(name.startswith("set_") for name in members) + 1)]
    require_members(path, members, set(names))
    sets = [take(path, members, name, "u1", 2) for name in names]
    try:
        return OrthogonalVectors(sets, provenance)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
