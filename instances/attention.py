"""Tensor attention of order k: every query attends to every tuple of k−1 keys.

    s_i(j) = σ Σ_l Q[i,l] Π_t K_t[j_t,l]
    O[i,c] = Σ_j exp(s_i(j)) Π_t V_t[j_t,c] / Σ_j exp(s_i(j)),     j = (j_1, ..., j_{k−1})

k = 2 is softmax attention, k = 3 the tensor attention of [AS24]. An instance says which output is
asked for and how accurately; it takes no view on how to compute it.

Glossary
--------
Q, K_t, V_t   query (n, d), keys (n_t, d), values (n_t, e)
σ, ε          scale; accuracy: the entrywise additive error that the asker can live with
B             entry bound: the largest magnitude in Q and the K_t
b             coordinate: B/(ln n)^(1/k), with n the largest number of tokens; the wall stands at b = Θ(1)

References
----------
[AS24] Alman, Song. How to capture higher-order correlations? ICLR 2024, arXiv 2310.04064.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .archives import content_hash, read_archive, require_members, take, write_archive
from .provenance import Provenance

Reals = NDArray[np.float64]

_KIND = "tensor_attention"
_UNKNOWN = Provenance()


@dataclass(frozen=True, slots=True)
class AttentionSize:
    """The size of an instance: tokens (query rows, then key rows), d, e, B and ε."""

    tokens: tuple[int, ...]
    dimension: int
    columns: int
    entry_bound: float
    accuracy: float

    def measures(self) -> dict[str, float]:
        """Return the most tokens ``n``, the number of ``tuples``, ``d``, ``B`` and ``eps``."""
        return {
            "n": max(self.tokens),
            "tuples": math.prod(self.tokens),
            "d": self.dimension,
            "B": self.entry_bound,
            "eps": self.accuracy,
        }


@dataclass(frozen=True, init=False, eq=False, repr=False)
class TensorAttention:
    """What is the attention of these queries over these keys and values, up to `accuracy`?

    Parameters
    ----------
    query : array-like of shape (n, d)
        n >= 0, d >= 1.
    keys : sequence of k−1 array-likes, number t of shape (n_t, d)
        n_t >= 1.
    values : sequence of k−1 array-likes, number t of shape (n_t, e)
        e >= 1.
    scale : float
        σ > 0, the factor of every logit.
    accuracy : float
        ε > 0, the additive error that each entry of the output may have.
    provenance : Provenance
        What made the instance. Equality and hashes ignore it.

    Raises
    ------
    ValueError
        For a shape that does not fit, an entry that is not finite, or a number that is not positive.
    TypeError
        For entries that are not real numbers.

    Notes
    -----
    Arrays are copied to read-only float64.

    Examples
    --------
    >>> instance = TensorAttention([[2.0]], [[[1.0], [-3.0]]], [[[0.0], [1.0]]], scale=1.0, accuracy=0.1)
    >>> instance.order, instance.size.tokens, instance.entry_bound
    (2, (1, 2), 3.0)
    """

    query: Reals
    keys: tuple[Reals, ...]
    values: tuple[Reals, ...]
    scale: float
    accuracy: float
    provenance: Provenance

    def __init__(
        self,
        query: ArrayLike,
        keys: Sequence[ArrayLike],
        values: Sequence[ArrayLike],
        scale: float,
        accuracy: float,
        provenance: Provenance = _UNKNOWN,
    ) -> None:
        q = real_matrix("query", query)
        ks = tuple(real_matrix(f"keys[{t}]", key) for t, key in enumerate(keys))
        vs = tuple(real_matrix(f"values[{t}]", value) for t, value in enumerate(values))
        _check_shapes(q, ks, vs)
        numbers = {"scale": float(scale), "accuracy": float(accuracy)}
        for name, number in numbers.items():
            if not (math.isfinite(number) and number > 0):
                raise ValueError(f"Argument {name!r} must be positive and finite, not {number}.")
        fields = {"query": q, "keys": ks, "values": vs, "provenance": provenance, **numbers}
        for name, field in fields.items():
            object.__setattr__(self, name, field)

    @property
    def order(self) -> int:
        """The order k: one query and k−1 keys meet in a logit."""
        return len(self.keys) + 1

    @property
    def dimension(self) -> int:
        """The number d of columns of queries and keys."""
        return int(self.query.shape[1])

    @property
    def columns(self) -> int:
        """The number e of columns of values and output."""
        return int(self.values[0].shape[1])

    @property
    def tokens(self) -> tuple[int, ...]:
        """The number of query rows, then of rows of each key matrix."""
        return (len(self.query), *map(len, self.keys))

    @cached_property
    def entry_bound(self) -> float:
        """The largest magnitude B of an entry of the query and the keys."""
        return max(float(np.abs(array).max(initial=0.0)) for array in (self.query, *self.keys))

    @property
    def coordinate(self) -> float:
        """b = B/(ln n)^(1/k), n the most tokens; for n = 1 infinite unless B = 0."""
        if self.entry_bound == 0.0:
            return 0.0
        logarithm = math.log(max(self.tokens))
        return self.entry_bound / logarithm ** (1 / self.order) if logarithm else math.inf

    @property
    def size(self) -> AttentionSize:
        """All that a claim can speak of."""
        return AttentionSize(self.tokens, self.dimension, self.columns, self.entry_bound, self.accuracy)

    @cached_property
    def sha256(self) -> str:
        """The hash, in hexadecimal, of the content without its provenance."""
        return content_hash(_KIND, self._members())

    @staticmethod
    def read(path: str | os.PathLike[str]) -> TensorAttention:
        """Read an instance from a .npz archive.

        Raises
        ------
        ValueError
            If a member is missing, unknown, pickled or of another dtype, or the archive is damaged
            or newer than this program.
        OSError
            If the file cannot be opened.
        """
        return attention_in(path, *read_archive(path, _KIND))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the instance to a .npz archive, atomically; the same instance gives the same bytes."""
        write_archive(path, _KIND, self._members(), self.provenance)

    def _members(self) -> dict[str, NDArray[Any]]:
        return {
            "query": self.query,
            **{f"keys_{t}": key for t, key in enumerate(self.keys, start=1)},
            **{f"values_{t}": value for t, value in enumerate(self.values, start=1)},
            "scale": np.array(self.scale),
            "accuracy": np.array(self.accuracy),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorAttention):
            return NotImplemented
        mine, theirs = self._members(), other._members()
        return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)

    def __hash__(self) -> int:
        return hash((self.tokens, self.dimension, self.columns, self.scale, self.accuracy))

    def __repr__(self) -> str:
        return (
            f"TensorAttention(tokens={self.tokens}, dimension={self.dimension}, columns={self.columns}, "
            f"scale={self.scale:.6g}, accuracy={self.accuracy:.6g})"
        )

    def __reduce__(self) -> tuple[type[TensorAttention], tuple[Any, ...]]:
        # Unpickled arrays would be writable; the constructor makes them read-only again.
        fields = (self.query, self.keys, self.values, self.scale, self.accuracy, self.provenance)
        return TensorAttention, fields


def attention_in(
    path: str | os.PathLike[str], members: Mapping[str, NDArray[Any]], provenance: Provenance, *others: str
) -> TensorAttention:
    """Make the instance that an archive's members hold, beside the other members named.

    Raises
    ------
    ValueError
        If a member is missing, unknown or of another dtype, or they are no instance; names the file.
    """
    places = range(1, sum(name.startswith("keys_") for name in members) + 1)
    sides = {side: [f"{side}_{t}" for t in places] for side in ("keys", "values")}
    require_members(path, members, {"query", "scale", "accuracy", *sides["keys"], *sides["values"], *others})
    query = take(path, members, "query", "f8", 2)
    keys, values = ([take(path, members, name, "f8", 2) for name in names] for names in sides.values())
    scale, accuracy = (float(take(path, members, name, "f8", 0)) for name in ("scale", "accuracy"))
    try:
        return TensorAttention(query, keys, values, scale, accuracy, provenance)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def real_matrix(name: str, entries: ArrayLike) -> Reals:
    """Copy a matrix of finite real numbers, read-only.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, and the first entry that is not finite.
    """
    array = np.asarray(entries)
    if array.ndim != 2:
        raise ValueError(f"Argument {name!r} must be 2-D, not have shape {array.shape}.")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"Argument {name!r} must hold real numbers, not {array.dtype}.")
    reals: Reals = np.array(array, dtype=np.float64, order="C")
    if not np.isfinite(reals).all():
        row, column = np.argwhere(~np.isfinite(reals))[0]
        raise ValueError(
            f"Argument {name!r} must be finite, not {reals[row, column]} in row {row}, column {column}."
        )
    reals.setflags(write=False)
    return reals


def _check_shapes(query: Reals, keys: tuple[Reals, ...], values: tuple[Reals, ...]) -> None:
    if not keys:
        raise ValueError("Argument 'keys' must hold at least one matrix, not 0.")
    if len(values) != len(keys):
        raise ValueError(
            f"Argument 'values' must hold as many matrices as 'keys', {len(keys)}, not {len(values)}."
        )
    if query.shape[1] < 1:
        raise ValueError(f"Argument 'query' must have at least one column, not shape {query.shape}.")
    for t, (key, value) in enumerate(zip(keys, values, strict=True)):
        if key.shape[1] != query.shape[1]:
            raise ValueError(
                f"Argument 'keys[{t}]' must have {query.shape[1]} columns like 'query', not {key.shape[1]}."
            )
        if len(key) < 1:
            raise ValueError(f"Argument 'keys[{t}]' must have at least one row, not shape {key.shape}.")
        if len(value) != len(key):
            raise ValueError(
                f"Argument 'values[{t}]' must have {len(key)} rows like 'keys[{t}]', not {len(value)}."
            )
        if value.shape[1] != values[0].shape[1] or value.shape[1] < 1:
            raise ValueError(
                f"Argument 'values[{t}]' must have at least one column and as many as 'values[0]', "
                f"{values[0].shape[1]}, not {value.shape[1]}."
            )
