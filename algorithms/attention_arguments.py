"""The arguments of attention, checked once for the exact and the fast algorithm.

Everything that could go wrong in a kernel is refused here by name, before any work: shapes that
do not fit, numbers that are none, and entries whose logits or outputs would leave the float range.
Time: two reading passes over the arrays. Memory: none beyond conversions of integer arrays, so
memory-mapped files pass through unread into memory.

Glossary
--------
k            the order: one array of queries and k - 1 arrays of keys.
n, n_t       the number of query rows and of tokens in the t-th keys.
d, e         the dimension of queries and keys, and the number of columns of the values.
logit bound  |scale| · d · max|Q| · Π_t max|K_t|: no logit is larger in magnitude.
value bound  Π_t max|V_t|: no entry of the output is larger in magnitude.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]

# The largest binary exponent of a logit and of a product of values, by output type. It leaves room
# below the type's own limit for sums of such numbers and for the difference of two.
_LARGEST_EXPONENT = {np.dtype(np.float64): 1000, np.dtype(np.float32): 120}


@dataclass(frozen=True, slots=True, eq=False)
class AttentionArguments:
    """Arguments that fit together, as `checked` returns them.

    Parameters
    ----------
    query : array, shape (..., n, d)
        float32 or float64, native byte order, finite.
    keys : tuple of k - 1 arrays, shapes (..., n_t, d)
        Likewise.
    values : tuple of k - 1 arrays, shapes (..., n_t, e)
        Likewise.
    scale : float
        What the logits are multiplied by.
    batch : tuple of int
        The common shape that all leading axes broadcast to.
    dtype : dtype
        Of the output: float32 if every array holds float32, float64 otherwise.
    magnitudes : tuple of float
        The largest magnitude in the query, in each of the keys, then in each of the values.
    """

    query: Array
    keys: tuple[Array, ...]
    values: tuple[Array, ...]
    scale: float
    batch: tuple[int, ...]
    dtype: np.dtype[np.floating[Any]]
    magnitudes: tuple[float, ...]

    @property
    def order(self) -> int:
        """The order k."""
        return len(self.keys) + 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of tokens (n, n_1, ..., n_{k-1})."""
        return tuple(int(array.shape[-2]) for array in (self.query, *self.keys))

    @property
    def dimension(self) -> int:
        """The dimension d of queries and keys."""
        return int(self.query.shape[-1])

    @property
    def columns(self) -> int:
        """The number e of columns of the values, and of the output."""
        return int(self.values[0].shape[-1])

    @property
    def logit_bound(self) -> float:
        """A bound on the magnitude of every logit; always finite."""
        return math.ldexp(*_magnitude_of_product(self._logit_factors))

    @property
    def value_bound(self) -> float:
        """A bound on the magnitude of every product of values, and so of every entry of the output."""
        return math.ldexp(*_magnitude_of_product(self._value_factors))

    @property
    def _logit_factors(self) -> tuple[float, ...]:
        return (self.scale, float(self.dimension), *self.magnitudes[: self.order])

    @property
    def _value_factors(self) -> tuple[float, ...]:
        return self.magnitudes[self.order :]


def checked(
    Q: ArrayLike, keys: Sequence[ArrayLike], values: Sequence[ArrayLike], scale: float | None = None
) -> AttentionArguments:
    """Check the arguments of attention of any order k >= 2.

    Parameters
    ----------
    Q : array_like, shape (..., n, d)
        Queries. float32 and float64 are kept, integers and booleans become float64.
    keys, values : sequence of k - 1 array_like, shapes (..., n_t, d) and (..., n_t, e)
        Leading axes broadcast against each other.
    scale : float, optional
        What the logits are multiplied by; 1/d unless given.

    Returns
    -------
    AttentionArguments

    Raises
    ------
    TypeError
        For arrays of any other type (complex, object, strings, half or extended precision), and for
        keys, values or a scale of the wrong kind.
    ValueError
        For shapes that do not fit, no keys, keys without tokens, values without columns, NaN,
        infinities, no scale where d = 0, and entries whose logits or outputs could leave the range
        of the output's type.

    Notes
    -----
    Cost: two reading passes over the arrays.

    Examples
    --------
    >>> checked([[1.0, 2.0]], [[[3, 4]]], [[[5], [6]]])
    Traceback (most recent call last):
        ...
    ValueError: Argument 'values[0]' must have as many tokens as keys[0], 1, not 2.
    """
    query = _array("Q", Q, "(..., n, d)")
    key_arrays = _arrays("keys", keys, "(..., n_t, d)")
    value_arrays = _arrays("values", values, "(..., n_t, e)")
    if len(key_arrays) != len(value_arrays):
        raise ValueError(
            f"Argument 'values' must hold as many arrays as keys, {len(key_arrays)}, not {len(value_arrays)}."
        )
    d, e = query.shape[-1], value_arrays[0].shape[-1]
    for t, (key, value) in enumerate(zip(key_arrays, value_arrays, strict=True)):
        if key.shape[-1] != d:
            raise ValueError(
                f"Argument 'keys[{t}]' must have the dimension of Q, {d}, not {key.shape[-1]} "
                f"(shape {key.shape})."
            )
        if key.shape[-2] == 0:
            raise ValueError(
                f"Argument 'keys[{t}]' must hold at least one token, not none (shape {key.shape})."
            )
        if value.shape[-2] != key.shape[-2]:
            raise ValueError(
                f"Argument 'values[{t}]' must have as many tokens as keys[{t}], {key.shape[-2]}, "
                f"not {value.shape[-2]}."
            )
        if value.shape[-1] != e or e == 0:
            rule = f"have the columns of values[0], {e}" if e else "have at least one column"
            raise ValueError(
                f"Argument 'values[{t}]' must {rule}, not {value.shape[-1]} (shape {value.shape})."
            )
    names = ["Q"] + [f"{kind}[{t}]" for kind in ("keys", "values") for t in range(len(key_arrays))]
    arrays = (query, *key_arrays, *value_arrays)
    batch = _batch(names, arrays)
    arguments = AttentionArguments(
        query=query,
        keys=key_arrays,
        values=value_arrays,
        scale=_scale(scale, d),
        batch=batch,
        dtype=np.result_type(*arrays),
        magnitudes=tuple(_magnitude(name, array) for name, array in zip(names, arrays, strict=True)),
    )
    _refuse_overflow(arguments)
    return arguments


def _array(name: str, given: ArrayLike, shape: str) -> Array:
    try:
        array = np.asarray(given)
    except ValueError as ragged:
        raise ValueError(f"Argument '{name}' must be an array of shape {shape}: {ragged}") from ragged
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    elif array.dtype.kind == "f" and array.dtype.itemsize in (4, 8):
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    else:
        raise TypeError(
            f"Argument '{name}' must hold float32, float64, integers or booleans, not {array.dtype}."
        )
    if array.ndim < 2:
        raise ValueError(f"Argument '{name}' must have shape {shape}, not {array.shape}.")
    return array


def _arrays(name: str, given: Sequence[ArrayLike], shape: str) -> tuple[Array, ...]:
    if isinstance(given, np.ndarray | str | bytes) or not isinstance(given, Sequence):
        raise TypeError(
            f"Argument '{name}' must be a sequence of k - 1 arrays of shape {shape}, "
            f"not {type(given).__name__}."
        )
    if not given:
        raise ValueError(f"Argument '{name}' must hold at least one array, not none.")
    return tuple(_array(f"{name}[{t}]", array, shape) for t, array in enumerate(given))


def _batch(names: Sequence[str], arrays: Sequence[Array]) -> tuple[int, ...]:
    batch: tuple[int, ...] = ()
    for name, array in zip(names, arrays, strict=True):
        try:
            batch = np.broadcast_shapes(batch, array.shape[:-2])
        except ValueError:
            raise ValueError(
                f"Argument '{name}' must have leading axes that broadcast with {batch}, "
                f"those of the arguments before it, not {array.shape[:-2]}."
            ) from None
    return batch


def _scale(scale: object, d: int) -> float:
    if scale is None:
        if d == 0:
            raise ValueError("Argument 'scale' must be given where d = 0: its default is 1/d.")
        return 1.0 / d
    if isinstance(scale, bool | np.bool) or not isinstance(scale, Real):
        raise TypeError(f"Argument 'scale' must be a real number, not {scale!r}.")
    if not math.isfinite(scale):
        raise ValueError(f"Argument 'scale' must be finite, not {scale!r}.")
    return float(scale)


def _magnitude(name: str, array: Array) -> float:
    if array.size == 0:
        return 0.0
    # min and max carry a NaN or an infinity to the surface without a temporary array.
    magnitude = max(-float(array.min()), float(array.max()))
    if math.isnan(magnitude):
        raise ValueError(f"Argument '{name}' must hold finite numbers, not NaN.")
    if math.isinf(magnitude):
        raise ValueError(f"Argument '{name}' must hold finite numbers, not infinities.")
    return magnitude


def _magnitude_of_product(factors: Sequence[float]) -> tuple[float, int]:
    """The magnitude of the product as mantissa and binary exponent, in any range."""
    mantissa, exponent = 1.0, 0
    for factor in factors:
        mantissa, shift = math.frexp(mantissa * math.frexp(factor)[0])
        exponent += shift + math.frexp(factor)[1]
    return abs(mantissa), exponent


def _refuse_overflow(arguments: AttentionArguments) -> None:
    largest = _LARGEST_EXPONENT[arguments.dtype]
    for names, rule, factors in (
        ("Arguments 'Q', 'keys' and 'scale'", "|scale| · d · max|Q| · Π max|K_t|", arguments._logit_factors),
        ("Argument 'values'", "Π max|V_t|", arguments._value_factors),
    ):
        mantissa, exponent = _magnitude_of_product(factors)
        if mantissa != 0.0 and exponent > largest:
            raise ValueError(
                f"{names} must keep {rule} below 2^{largest} for {arguments.dtype} output, "
                f"not reach 2^{exponent - 1}."
            )
