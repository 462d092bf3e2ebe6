"""Codes whose products are codes: the polynomials of the distributed PCP, at points.

A code here writes L bits as a word of values in GF(q), linearly and *systematically*: the first L
values of the word are the bits. The pointwise product of k words lies in a larger linear space, the
k-fold space, in which a word that is not zero has at most `agreement(k)` zeros. So two different
words of that space are told apart by nearly every point.

Reed-Solomon        polynomials of degree < L at the q points of GF(q); k-fold products have
                    degree ≤ k(L-1), hence at most that many zeros.
Hermitian           functions on the curve y^r + y = x^(r+1) over GF(r²), which has r³ points
                    besides P∞ and genus r(r-1)/2. x^a y^b with b < r has its only pole at P∞, of
                    order ar + b(r+1); those with order ≤ s are a basis of L(s P∞). k-fold
                    products lie in L(ks P∞) and have at most ks zeros.

A word of the k-fold space vanishes on the first L points iff it is a combination of `zero_set(k)`.

Glossary
--------
field      q (r² for the Hermitian code), the number of elements; they are written 0..q-1 as
           galois does, 0 and 1 being themselves.
columns    L, the number of bits a word carries.
length     the number of points.
freedom    the dimension of the zero set: k-fold words that vanish on the first L points.
agreement  the most zeros of a nonzero word of the k-fold space, so also the most points at which
           two of its words agree.

References
----------
[ARW17] Abboud, Rubinstein, Williams. Distributed PCP theorems for hardness of approximation in P.
[R18] Rubinstein. Hardness of approximate nearest neighbor search (algebraic-geometry codes).
Stichtenoth. Algebraic function fields and codes, Lemma 6.4.4 (the Hermitian curve).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .finite_fields import Symbols, contract, galois_field, integers, multiply, prime_power


class Code(Protocol):
    """What the distributed PCP asks of a code; the numbers are known without any field arithmetic."""

    @property
    def field(self) -> int: ...  # noqa: D102 - see the glossary
    @property
    def characteristic(self) -> int: ...  # noqa: D102
    @property
    def columns(self) -> int: ...  # noqa: D102
    @property
    def length(self) -> int: ...  # noqa: D102

    def agreement(self, order: int) -> int:
        """Return the most zeros that a nonzero word of the `order`-fold space can have."""
        ...

    def freedom(self, order: int) -> int:
        """Return the dimension of `zero_set`."""
        ...

    def encode(self, bits: npt.NDArray[Any]) -> Symbols:
        """Write bits of shape (..., L) as words of shape (..., length)."""
        ...

    def zero_set(self, order: int) -> Symbols:
        """Return a basis, shape (freedom, length), of the k-fold words that vanish on the first L points."""
        ...


@dataclass(frozen=True, slots=True)
class ReedSolomon:
    """Polynomials of degree < L at all points of GF(q).

    Parameters
    ----------
    field : int
        q, a prime power.
    columns : int
        1 ≤ L ≤ q.

    Raises
    ------
    ValueError
        If q is no prime power, or has too few points for L bits.

    Examples
    --------
    >>> code = ReedSolomon(field=7, columns=2)
    >>> code.encode(np.array([[1, 1], [0, 1]])).tolist()
    [[1, 1, 1, 1, 1, 1, 1], [0, 1, 2, 3, 4, 5, 6]]
    >>> code.agreement(3), code.freedom(3)
    (3, 2)
    """

    field: int
    columns: int

    def __post_init__(self) -> None:
        prime_power(self.field)
        _enough_points(self.columns, self.field, self.field)

    @property
    def characteristic(self) -> int:
        """The prime of which q is a power."""
        return prime_power(self.field)[0]

    @property
    def length(self) -> int:
        """All q points."""
        return self.field

    def agreement(self, order: int) -> int:
        """k(L-1), the degree of a product."""
        return order * (self.columns - 1)

    def freedom(self, order: int) -> int:
        """k(L-1) + 1 coefficients less L conditions: (k-1)(L-1)."""
        return (order - 1) * (self.columns - 1)

    def encode(self, bits: npt.NDArray[Any]) -> Symbols:
        """Interpolate bits of shape (..., L) at the points 0..L-1 of shape (..., q)."""
        return _encode(self, bits)

    def zero_set(self, order: int) -> Symbols:
        """Multiples of Π(x - x_l) of degree ≤ k(L-1)."""
        return _zero_set(self, order)

    def evaluations(self, order: int) -> Any:
        """Return the monomials x^0..x^(k(L-1)) at all points, as a galois array (degree + 1, q)."""
        _no_overflow(self, order)
        points = galois_field(self.field)(np.arange(self.field))
        return points[None, :] ** np.arange(self.agreement(order) + 1)[:, None]


@dataclass(frozen=True, slots=True)
class Hermitian:
    """Functions of L(s P∞) on the Hermitian curve over GF(r²), s just large enough for L bits.

    Parameters
    ----------
    field : int
        r², the square of a prime power.
    columns : int
        1 ≤ L ≤ r³.

    Raises
    ------
    ValueError
        If `field` is no square of a prime power, or the curve has too few points for L bits.

    Examples
    --------
    >>> code = Hermitian(field=9, columns=3)
    >>> code.length, code.pole, code.agreement(3), code.freedom(3)
    (27, 4, 12, 7)
    """

    field: int
    columns: int

    def __post_init__(self) -> None:
        prime_power(self.field)
        if self.root**2 != self.field:
            raise ValueError(
                f"Argument 'field' must be the square of a prime power for a Hermitian code, "
                f"not {self.field}."
            )
        _enough_points(self.columns, self.length, self.field)

    @property
    def characteristic(self) -> int:
        """The prime of which r is a power."""
        return prime_power(self.field)[0]

    @property
    def root(self) -> int:
        """The number r, square root of the field's size."""
        return isqrt(self.field)

    @property
    def length(self) -> int:
        """All r³ points but P∞."""
        return self.field * self.root

    @property
    def genus(self) -> int:
        """The genus r(r-1)/2: this many pole orders do not occur."""
        return self.root * (self.root - 1) // 2

    @property
    def pole(self) -> int:
        """The number s, the L-th pole order."""
        # From 2·genus on every pole order occurs; and the powers of x alone have 0, r, 2r, ...
        bound = min(self.columns + 2 * self.genus, (self.columns - 1) * self.root)
        return pole_orders(self.root, bound)[self.columns - 1][0]

    def agreement(self, order: int) -> int:
        """ks, the number of poles of a product."""
        return order * self.pole

    def freedom(self, order: int) -> int:
        """The dimension of L(ks P∞) less L."""
        return len(pole_orders(self.root, self.agreement(order))) - self.columns

    def encode(self, bits: npt.NDArray[Any]) -> Symbols:
        """Find the functions of L(s P∞) with the given bits, shape (..., L), at the first L points."""
        return _encode(self, bits)

    def zero_set(self, order: int) -> Symbols:
        """Functions of L(ks P∞) that vanish on the first L points."""
        return _zero_set(self, order)

    def evaluations(self, order: int) -> Any:
        """Return a basis of L(ks P∞) at all points, as a galois array (dimension, r³).

        The points come in an order in which functions of L(s P∞) are determined by their values
        at the first L.
        """
        _no_overflow(self, order)
        return _monomials(self.root, self.agreement(order))[:, list(_point_order(self))]


def pole_orders(root: int, largest: int) -> list[tuple[int, int, int]]:
    """Return all (pole order a r + b(r+1), a, b) up to `largest` with b < r, ascending.

    Distinct b differ modulo r, so no order occurs twice and the functions are independent.
    """
    return sorted(
        (a * root + b * (root + 1), a, b)
        for b in range(root)
        for a in range((largest - b * (root + 1)) // root + 1)
    )


def _encode(code: ReedSolomon | Hermitian, bits: npt.NDArray[Any]) -> Symbols:
    generator = _generator(code)
    words = contract(code.field, bits.reshape(-1, code.columns), generator)
    return words.reshape(*bits.shape[:-1], code.length)


@lru_cache(maxsize=64)
def _generator(code: ReedSolomon | Hermitian) -> Symbols:
    """Words of the L unit vectors, shape (L, length)."""
    return integers(code.evaluations(1).row_reduce())


@lru_cache(maxsize=64)
def _zero_set(code: ReedSolomon | Hermitian, order: int) -> Symbols:
    whole = code.evaluations(order)
    combinations = whole[:, : code.columns].left_null_space()
    return contract(code.field, integers(combinations), integers(whole))


@lru_cache(maxsize=64)
def _monomials(root: int, largest: int) -> Any:
    """x^a y^b of pole order ≤ `largest` at the points of the curve, in the field's own order."""
    field = root**2
    elements = np.arange(field)
    orders = np.array(pole_orders(root, largest))
    powers = [np.ones_like(elements)]  # number a: the a-th powers of all elements
    for _ in range(max(root + 1, orders[:, 1].max())):
        powers.append(multiply(field, powers[-1], elements))
    trace = contract(field, np.ones((1, 2), dtype=np.int64), np.stack([powers[root], elements]))[0]
    x, y = np.nonzero(powers[root + 1][:, None] == trace[None, :])
    values = [multiply(field, powers[a][x], powers[b][y]) for _, a, b in orders]
    return galois_field(field)(np.stack(values))


@lru_cache(maxsize=64)
def _point_order(code: Hermitian) -> tuple[int, ...]:
    """The points with an information set of L(s P∞) first."""
    reduced = np.asarray(_monomials(code.root, code.pole).row_reduce())
    pivots = (reduced != 0).argmax(axis=1)
    others = np.setdiff1d(np.arange(code.length), pivots)
    return tuple(int(point) for point in (*pivots, *others))


def _enough_points(columns: int, points: int, field: int) -> None:
    if columns < 1:
        raise ValueError(f"Argument 'columns' must be at least 1, not {columns}.")
    if columns > points:
        raise ValueError(
            f"Argument 'field' must offer at least as many points as 'columns', {columns}, but a code over "
            f"GF({field}) has too few points: {points}."
        )


def _no_overflow(code: Code, order: int) -> None:
    if code.agreement(order) >= code.length:
        raise ValueError(
            f"Argument 'columns' must keep the degree of {order}-fold products below the number of points: "
            f"degree overflow with columns = {code.columns} over GF({code.field}), whose products have up to "
            f"{code.agreement(order)} zeros on {code.length} points."
        )
