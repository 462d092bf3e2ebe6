"""The gradient of tensor attention by its queries, for a given upstream.

    ∂L/∂Q[i,l],    L = Σ_ic G[i,c] O[i,c],    O the attention of Q over the keys and values

It is the part of the gradient that hardness needs: those by keys and values are at least as hard, and
∂Loss/∂X of [TAT24] is A1ᵀ ∂Q where Q = A1 X1 with X1 = 1.

Glossary
--------
G   upstream (n, e): the derivative of a loss by the output
ε   accuracy: the entrywise additive error that the asker can live with

References
----------
[TAT24] Liang, Shi, Song, Zhou. Tensor Attention Training. arXiv 2405.16411.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .archives import content_hash, read_archive, take, write_archive
from .attention import AttentionSize, Reals, TensorAttention, attention_in, real_matrix
from .provenance import Provenance

_KIND = "attention_gradient"


@dataclass(frozen=True, init=False, eq=False)
class AttentionGradient:
    """How does the attention of these queries, weighed by `upstream`, change with the queries?

    Parameters
    ----------
    attention : TensorAttention
        Query, keys, values, scale; its ``accuracy`` ε is here that of each entry of the gradient.
    upstream : array-like of shape (n, e)
        G.

    Raises
    ------
    ValueError
        For an upstream of another shape or with entries that are not finite.
    TypeError
        For entries that are not real numbers.

    Notes
    -----
    The answer is an array of shape (n, d). Arrays are copied to read-only float64.

    Examples
    --------
    >>> attention = TensorAttention([[2.0]], [[[1.0], [-3.0]]], [[[0.0], [1.0]]], scale=1.0, accuracy=0.1)
    >>> AttentionGradient(attention, [[1.0]]).size.measures()["eps"]
    0.1
    """

    attention: TensorAttention
    upstream: Reals

    def __init__(self, attention: TensorAttention, upstream: ArrayLike) -> None:
        reals = real_matrix("upstream", upstream)
        shape = (len(attention.query), attention.columns)
        if reals.shape != shape:
            raise ValueError(f"Argument 'upstream' must have shape {shape}, not {reals.shape}.")
        object.__setattr__(self, "attention", attention)
        object.__setattr__(self, "upstream", reals)

    @property
    def accuracy(self) -> float:
        """The error ε that each entry of the gradient may have."""
        return self.attention.accuracy

    @property
    def provenance(self) -> Provenance:
        """What made the instance."""
        return self.attention.provenance

    @property
    def size(self) -> AttentionSize:
        """All that a claim can speak of."""
        return self.attention.size

    @cached_property
    def sha256(self) -> str:
        """The hash, in hexadecimal, of the content without its provenance."""
        return content_hash(_KIND, self._members())

    @staticmethod
    def read(path: str | os.PathLike[str]) -> AttentionGradient:
        """Read an instance from a .npz archive; raises as `TensorAttention.read` does."""
        members, provenance = read_archive(path, _KIND)
        attention = attention_in(path, members, provenance, "upstream")
        upstream = take(path, members, "upstream", "f8", 2)
        try:
            return AttentionGradient(attention, upstream)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the instance to a .npz archive, atomically; the same instance gives the same bytes."""
        write_archive(path, _KIND, self._members(), self.provenance)

    def _members(self) -> dict[str, NDArray[Any]]:
        return {**self.attention._members(), "upstream": self.upstream}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AttentionGradient):
            return NotImplemented
        return self.attention == other.attention and np.array_equal(self.upstream, other.upstream)

    def __hash__(self) -> int:
        return hash((self.attention, self.upstream.shape))

    def __reduce__(self) -> tuple[type[AttentionGradient], tuple[Any, ...]]:
        return AttentionGradient, (self.attention, self.upstream)
