"""The arguments of fast attention, checked at the edge before any work.

Large arrays are only looked at by type and shape here: whether they are finite is seen in the one pass that
reads them anyway (`column_statistics`), so that mapped files are not read twice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .attention_arguments import checked

Method = Literal["auto", "exact", "fast"]


@dataclass(frozen=True, eq=False)
class Call:
    """Arguments that fit together."""

    Q: NDArray[Any]
    keys: tuple[NDArray[Any], ...]
    values: tuple[NDArray[Any], ...]
    tolerance: float
    scale: float
    method: Method
    compute: np.dtype[Any] | None
    max_rank: int
    out: NDArray[Any] | None

    @property
    def tokens(self) -> tuple[int, ...]:
        """n, n_1, ..., n_{k−1}."""
        return (len(self.Q), *(len(key) for key in self.keys))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the output: float32 if all arguments are."""
        return np.result_type(self.Q, *self.keys, *self.values)


def fitting_arguments(
    Q: ArrayLike,
    keys: Sequence[ArrayLike],
    values: Sequence[ArrayLike],
    tolerance: float,
    scale: float | None,
    method: Method,
    dtype: DTypeLike | None,
    max_rank: int,
    out: NDArray[Any] | None,
) -> Call:
    """Return the arguments as arrays that fit together.

    Raises
    ------
    TypeError, ValueError
        Naming argument, rule and value.
    """
    if (
        isinstance(tolerance, bool)
        or not isinstance(tolerance, int | float | np.number)
        or isinstance(tolerance, complex)
    ):
        raise TypeError(f"Argument 'tolerance' must be a real number, not {tolerance!r}.")
    if not 0.0 < tolerance < math.inf:
        raise ValueError(f"Argument 'tolerance' must be positive and finite, not {tolerance}.")
    if method not in get_args(Method):
        raise ValueError(f"Argument 'method' must be one of {get_args(Method)}, not {method!r}.")
    if isinstance(max_rank, bool) or not isinstance(max_rank, int | np.integer) or max_rank < 1:
        raise ValueError(f"Argument 'max_rank' must be a positive integer, not {max_rank!r}.")
    compute = None if dtype is None else np.dtype(dtype)
    if compute not in (None, np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"Argument 'dtype' must be float32 or float64, not {compute}.")
    arrays, scale = fitting(Q, keys, values, scale)
    order = len(arrays) // 2 + 1
    call = Call(
        arrays[0], arrays[1:order], arrays[order:], float(tolerance), scale, method, compute, int(max_rank),
        out,
    )  # fmt: skip
    if out is not None:
        shape = (len(call.Q), call.values[0].shape[1])
        if (
            not isinstance(out, np.ndarray)
            or out.shape != shape
            or out.dtype != call.dtype
            or not out.flags.writeable
        ):
            raise ValueError(
                f"Argument 'out' must be a writeable array of shape {shape} and type {call.dtype}."
            )
    return call


def fitting(
    Q: ArrayLike, keys: Sequence[ArrayLike], values: Sequence[ArrayLike], scale: float | None
) -> tuple[tuple[NDArray[Any], ...], float]:
    """Check types and shapes. Whether large arrays are finite is seen in the pass that reads them anyway."""
    given = (Q, *keys, *values) if isinstance(keys, Sequence) and isinstance(values, Sequence) else (Q,)
    large = len(given) > 2 and all(
        isinstance(a, np.ndarray) and a.ndim == 2 and a.dtype.kind == "f" for a in given
    )
    if not large:
        arguments = checked(Q, keys, values, scale)
        if arguments.batch:
            raise ValueError(
                f"Argument 'Q' and its fellows must have two axes, not leading axes {arguments.batch}."
            )
        arrays: tuple[NDArray[Any], ...] = (arguments.query, *arguments.keys, *arguments.values)
    else:
        arguments = checked(given[0][:1], [key[:1] for key in keys], [value[:1] for value in values], scale)  # type: ignore[index]
        arrays = tuple(np.asarray(a).astype(np.dtype(a.dtype).newbyteorder("="), copy=False) for a in given)  # type: ignore[union-attr]
        for t, (key, value) in enumerate(zip(arrays[1:], arrays[1 + len(keys) :], strict=False)):
            if len(key) != len(value):
                raise ValueError(
                    f"Argument 'values[{t}]' must have as many tokens as keys[{t}], {len(key)}, "
                    f"not {len(value)}."
                )
    if len(arrays[0]) == 0:
        raise ValueError(f"Argument 'Q' must hold at least one query, not none (shape {arrays[0].shape}).")
    return tuple(np.ascontiguousarray(array) for array in arrays), arguments.scale
