"""Arithmetic in finite fields, on whole arrays of elements written 0..q-1.

Elements are plain integers, as galois writes them: residues in a prime field, and in GF(p^e) the
number whose digits to the base p are a polynomial's coefficients. 0 and 1 are themselves. galois
supplies the fields and the linear algebra of small matrices; products of large ones run in numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, reduce
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

Symbols = npt.NDArray[np.int64]


def multiply(field: int, *words: npt.NDArray[Any]) -> Symbols:
    """Multiply words of one shape, point by point, in GF(field).

    Examples
    --------
    >>> multiply(7, np.array([3, 4]), np.array([5, 2]), np.array([1, 6])).tolist()
    [1, 6]
    """
    factors = [np.asarray(word, dtype=np.int64) for word in words]
    if prime_power(field)[1] == 1:
        return reduce(lambda a, b: a * b % field, factors)
    _, times = _tables(field)
    return reduce(lambda a, b: times[a, b], factors)


def contract(field: int, left: npt.NDArray[Any], right: npt.NDArray[Any]) -> Symbols:
    """Multiply matrices of shapes (a, t) and (t, b) over GF(field).

    Complexity
    ----------
    O(a t b) time: one floating-point product for a prime field, where every integer stays below
    t q² < 2^53; table look-ups otherwise.
    """
    if prime_power(field)[1] == 1:
        exact: Symbols = (left.astype(np.float64) @ right.astype(np.float64) % field).astype(np.int64)
        return exact
    plus, times = _tables(field)
    total = np.zeros((left.shape[0], right.shape[1]), dtype=np.int64)
    for t in range(left.shape[1]):
        total = plus[total, times[left[:, t, None], right[None, t, :]]]
    return total


@lru_cache(maxsize=64)
def galois_field(order: int) -> Any:
    """Return GF(order) of the galois package, without its compiler: our matrices are small."""
    import galois

    return galois.GF(order, compile="python-calculate")


@lru_cache(maxsize=256)
def prime_power(field: int) -> tuple[int, int]:
    """Write `field` as (p, e) with field = p^e, p prime. Raises ValueError where it is none.

    Examples
    --------
    >>> prime_power(9)
    (3, 2)
    """
    from sympy import factorint

    factors = factorint(field) if field > 1 else {}
    if len(factors) != 1:
        raise ValueError(f"Argument 'field' must be a prime power, not {field}.")
    ((prime, exponent),) = factors.items()
    return int(prime), int(exponent)


def prime_powers() -> Iterator[int]:
    """Yield 2, 3, 4, 5, 7, 8, 9, 11, ..."""
    for number in count(2):
        try:
            prime_power(number)
        except ValueError:
            continue
        yield number


def least_prime_above(number: int) -> int:
    """Return the least prime greater than `number`."""
    from sympy import nextprime

    return int(nextprime(number))


def integers(elements: Any) -> Symbols:
    """Return galois elements as plain integers."""
    return np.asarray(elements, dtype=np.int64)


@lru_cache(maxsize=64)
def _tables(order: int) -> tuple[Symbols, Symbols]:
    """Addition and multiplication tables of a field that is not prime."""
    p, e = prime_power(order)
    weights = p ** np.arange(e)
    digits = np.arange(order)[:, None] // weights % p
    plus = (digits[:, None, :] + digits[None, :, :]) % p @ weights
    # galois takes each product apart; here it is asked for the q - 1 powers of one element only.
    power = integers(galois_field(order).primitive_element ** np.arange(order - 1))
    logarithm = np.zeros(order, dtype=np.int64)
    logarithm[power] = np.arange(order - 1)
    times = power[(logarithm[:, None] + logarithm[None, :]) % (order - 1)]
    times[0, :] = times[:, 0] = 0
    return plus.astype(np.int64), times
