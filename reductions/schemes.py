"""Schemes of the distributed PCP: a code and a layout, chosen from the size of the source or by hand.

A scheme for order k and m coordinates is a code over GF(q) that carries L bits, and a number T of rows with
T L ≥ m. It is sound iff
- the characteristic exceeds T: a sum of at most T ones is zero in the field only if it is zero;
- the k-fold products of its words have fewer zeros than there are points.

Which scheme by default: if there is a genuine one with at most `MOST_MESSAGES` messages, the one
with the fewest; otherwise L = 2, the fewest columns at which there is anything to send, with the
least field.

Glossary
--------
genuine    q^((k-1)T) < Π_{s<k} N_s: coordinates are shared between tuples.
saturated  not so: brute force in disguise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..instances.orthogonal_vectors import VectorsSize
from .codes import Code, Hermitian, ReedSolomon
from .finite_fields import Symbols, contract, least_prime_above

MOST_MESSAGES = 10_000
BATCH = 256  # messages made at a time


@dataclass(frozen=True, slots=True)
class Scheme:
    """A code and a layout for sources of order k.

    Parameters
    ----------
    order : int
        k ≥ 2.
    rows : int
        T ≥ 1.
    code : Code
        Over GF(q), for L bits.

    Raises
    ------
    ValueError
        If the characteristic is at most T, or products overflow the points.

    Examples
    --------
    >>> scheme = Scheme(order=3, rows=30, code=ReedSolomon(field=31, columns=2))
    >>> scheme.messages, scheme.agreement, scheme.compressed((8, 8, 8))
    (961, 3, 1984)
    """

    order: int
    rows: int
    code: Code

    def __post_init__(self) -> None:
        if self.order < 2:
            raise ValueError(f"Argument 'order' must be at least 2, not {self.order}.")
        if self.rows < 1:
            raise ValueError(f"Argument 'rows' must be at least 1, not {self.rows}.")
        if self.code.characteristic <= self.rows:
            raise ValueError(
                f"Argument 'field' must have a characteristic above the number of rows, {self.rows}, but "
                f"GF({self.code.field}) has characteristic {self.code.characteristic}: sums would wrap."
            )
        if self.agreement >= self.code.length:
            raise ValueError(
                f"Argument 'columns' must keep {self.order}-fold products below the number of points: degree "
                f"overflow for {self.code}, whose products may have {self.agreement} zeros on "
                f"{self.code.length} points."
            )

    @property
    def agreement(self) -> int:
        """The most points at which a wrong proof agrees with a message: the bound t_no."""
        return self.code.agreement(self.order)

    @property
    def messages(self) -> int:
        """The number of Merlin's messages, q^freedom."""
        return int(self.code.field ** self.code.freedom(self.order))

    @property
    def dimension(self) -> int:
        """D without compression: length · q^((k-1)T)."""
        return int(self.code.length * self.code.field ** ((self.order - 1) * self.rows))

    def compressed(self, sizes: tuple[int, ...]) -> int:
        """Bound D with compression, for sets of the given sizes."""
        return min(self.dimension, self.code.length * prod(sizes[:-1]))

    def genuine(self, sizes: tuple[int, ...]) -> bool:
        """Whether coordinates are shared between tuples, for sets of the given sizes."""
        return self.dimension < self.code.length * prod(sizes[:-1])

    def words(self, bits: npt.NDArray[Any]) -> Symbols:
        """Lay out vectors of shape (N, m) and encode them: shape (N, T, length)."""
        count, m = bits.shape
        table = np.zeros((count, self.rows * self.code.columns), dtype=np.int64)
        table[:, :m] = bits
        return self.code.encode(table.reshape(count, self.rows, self.code.columns))

    def message_words(self, start: int, stop: int) -> Symbols:
        """Return messages number start..stop-1, shape (stop - start, length).

        Number i is the combination of the zero set whose coefficients are the digits of i to
        the base q; number 0 is the zero word.
        """
        basis = self.code.zero_set(self.order)
        digits = np.zeros((stop - start, len(basis)), dtype=np.int64)
        for row, number in enumerate(range(start, stop)):
            for place in range(len(basis)):
                number, digits[row, place] = divmod(number, self.code.field)
        return contract(self.code.field, digits, basis)

    def messages_in_order(self) -> Iterator[Symbols]:
        """Yield every message, number 0 first; a batch is made when its first message is asked for."""
        for start in range(0, self.messages, BATCH):
            yield from self.message_words(start, min(start + BATCH, self.messages))

    def __str__(self) -> str:
        return f"{self.code}, rows={self.rows}"


def choose_scheme(
    size: VectorsSize,
    *,
    family: str = "reed-solomon",
    field: int | None = None,
    rows: int | None = None,
    columns: int | None = None,
) -> Scheme:
    """Choose a scheme for sources of `size`; whatever is given is kept.

    Parameters
    ----------
    size : VectorsSize
        k sets, m coordinates.
    family : str
        ``reed-solomon`` or ``hermitian``.
    field : int, optional
        q; the least that is sound unless given.
    rows, columns : int, optional
        T and L with T L ≥ m. One alone determines the other.

    Raises
    ------
    ValueError
        If the family is unknown, the layout is too small, q is no prime power (or no square), its
        characteristic is at most T, it has too few points, or products overflow them.

    Examples
    --------
    >>> str(choose_scheme(VectorsSize((8, 8, 8), 60)))
    'ReedSolomon(field=31, columns=2), rows=30'
    >>> str(choose_scheme(VectorsSize((4096, 4096), 12)))
    'ReedSolomon(field=5, columns=3), rows=4'
    """
    if family not in _LEAST_FIELD:
        raise ValueError(f"Argument 'family' must be one of {sorted(_LEAST_FIELD)}, not {family!r}.")
    m, order = max(1, size.dimension), len(size.sets)
    if rows is not None and columns is not None and rows * columns < m:
        raise ValueError(
            f"Arguments 'rows' and 'columns' must have a product of at least {m}, the dimension, not "
            f"{rows} · {columns}."
        )
    for name, number in (("rows", rows), ("columns", columns)):
        if number is not None and number < 1:
            raise ValueError(f"Argument {name!r} must be at least 1, not {number}.")

    def scheme(rows: int | None, columns: int | None) -> Scheme:
        L = columns or -(-m // (rows or m))
        T = rows or -(-m // L)
        q = _LEAST_FIELD[family](order, T, L) if field is None else field
        return Scheme(order, T, ReedSolomon(q, L) if family == "reed-solomon" else Hermitian(q, L))

    if rows is not None or columns is not None:
        return scheme(rows, columns)
    candidates = []
    for L in range(2, min(m, MOST_MESSAGES.bit_length()) + 1):  # at least 2^(L-1) messages
        try:
            candidate = scheme(None, L)
        except ValueError:
            continue
        if candidate.genuine(size.sets) and candidate.messages <= MOST_MESSAGES:
            candidates.append(candidate)
    return min(candidates, key=lambda candidate: candidate.messages, default=None) or scheme(None, 2)


def _least_reed_solomon(order: int, rows: int, columns: int) -> int:
    """Return the least prime above T and k(L-1); its field has enough points for L as well, since k ≥ 2."""
    return least_prime_above(max(rows, order * (columns - 1)))


def _least_hermitian(order: int, rows: int, columns: int) -> int:
    """Return the least p², p a prime above T, whose curve has room for k-fold products."""
    p = least_prime_above(rows)
    while True:
        code = Hermitian(p * p, columns) if columns <= p**3 else None
        if code is not None and code.agreement(order) < code.length:
            return p * p
        p = least_prime_above(p)


_LEAST_FIELD = {"reed-solomon": _least_reed_solomon, "hermitian": _least_hermitian}
