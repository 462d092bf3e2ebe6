"""A gradient's arguments, checked and scaled; what a sweep found, summed over the batch and scaled back.

Scaling by powers of two brings every array below 1 in magnitude and is exact, so no partial product over-
or underflows where the gradient itself is an ordinary number. Cost: a few passes over the arrays.

Glossary
--------
upstream   G: the derivative of the loss by the output.
sweep      a function of one entry of the batch: its gradients by query, keys and values, without σ.
shift      an array's binary exponent, taken out of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .attention_arguments import Array, AttentionArguments, checked

Float64 = NDArray[np.float64]

_LARGEST_EXPONENT = {np.dtype(np.float64): 1000.0, np.dtype(np.float32): 120.0}


@dataclass(frozen=True, slots=True)
class Problem:
    """Arguments as float64 arrays below 1 in magnitude: 2^-shifts times the given ones."""

    arguments: AttentionArguments
    query: Float64
    keys: tuple[Float64, ...]
    values: tuple[Float64, ...]
    scale: float
    shifts: tuple[int, ...]

    @property
    def value_shift(self) -> int:
        """Of products of values, and so of the output."""
        return sum(self.shifts[self.arguments.order :])


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream below 1 in magnitude: 2^-shift times the given one."""

    array: Float64
    shift: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the batch, its log-sum-exps and its δ."""

    query: Float64
    keys: tuple[Float64, ...]
    values: tuple[Float64, ...]
    upstream: Float64
    lse: Float64
    delta: Float64
    scale: float


def scaled(
    Q: ArrayLike, keys: Sequence[ArrayLike], values: Sequence[ArrayLike], scale: float | None
) -> Problem:
    """Check the arguments of attention and scale them; raises as `attention` says."""
    arguments = checked(Q, keys, values, scale)
    shifts = tuple(math.frexp(magnitude)[1] for magnitude in arguments.magnitudes)
    order = arguments.order
    arrays = [
        np.ldexp(array.astype(np.float64), -shift)
        for array, shift in zip((arguments.query, *arguments.keys, *arguments.values), shifts, strict=True)
    ]
    mantissa, exponent = math.frexp(arguments.scale)
    exponent += sum(shifts[:order])
    return Problem(
        arguments=arguments,
        query=arrays[0],
        keys=tuple(arrays[1:order]),
        values=tuple(arrays[order:]),
        scale=math.ldexp(mantissa, min(exponent, 1023)),
        shifts=shifts,
    )


def scaled_upstream(problem: Problem, upstream: ArrayLike) -> Upstream:
    """Check an upstream and scale it; refuse it where gradients could leave the range of their type."""
    arguments = problem.arguments
    shape = (*arguments.batch, arguments.sizes[0], arguments.columns)
    above = upstream_of(upstream, shape).astype(np.float64)
    if not np.isfinite(above).all():
        raise ValueError("Argument 'upstream' must hold finite numbers.")
    shift = math.frexp(float(np.abs(above).max(initial=0.0)))[1]
    exponent = math.frexp(arguments.scale)[1] + sum(problem.shifts[: arguments.order])
    refuse_overflow(arguments.dtype, arguments.sizes, arguments.columns, problem.shifts, shift, exponent)
    return Upstream(np.ldexp(above, -shift), shift)


def upstream_of(upstream: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return the upstream as a contiguous float array of the output's shape, or refuse it."""
    above = np.asarray(upstream)
    if above.dtype.kind not in "fiub" or above.dtype.itemsize not in (1, 2, 4, 8):
        raise TypeError(f"Argument 'upstream' must hold real numbers, not {above.dtype}.")
    if above.shape != shape:
        raise ValueError(f"Argument 'upstream' must have the output's shape {shape}, not {above.shape}.")
    kind = np.dtype(np.float32 if above.dtype in (np.float32, np.float16) else np.float64)
    return np.ascontiguousarray(above, dtype=kind)


def refuse_overflow(
    dtype: np.dtype[np.floating[Any]],
    sizes: Sequence[int],
    columns: int,
    shifts: Sequence[int],
    upstream_shift: int,
    scale_exponent: int,
) -> None:
    """Refuse arguments of these binary exponents where a gradient or the output could leave its range."""
    largest = _LARGEST_EXPONENT[np.dtype(dtype)]
    order, room = len(sizes), math.log2(2 * max(1, sizes[0]) * columns)
    output = sum(shifts[order:])
    loss = upstream_shift + output + room
    exponents = [loss + (scale_exponent if a < order else 0) - shift for a, shift in enumerate(shifts)]
    worst = max(*exponents, scale_exponent, output)
    if worst > largest:
        raise ValueError(
            f"Arguments must keep every bound on an entry of the gradient below 2^{largest:.0f} for "
            f"{dtype}, not reach 2^{worst:.0f}."
        )


def collected(
    problem: Problem,
    upstream: Upstream,
    output: Array,
    lse: Array,
    sweep: Callable[[Entry], list[Float64]],
    at_once: Callable[[Entry], list[Float64]] | None = None,
) -> list[Array]:
    """Run `sweep` on every entry of the batch, sum what was broadcast, and undo the scaling.

    `at_once` takes all entries along one leading axis instead, where nothing was broadcast.
    """
    arguments, order = problem.arguments, problem.arguments.order
    lses: Float64 = lse.astype(np.float64, copy=False)
    delta: Float64 = np.einsum("...c,...c->...", output, upstream.array)
    arrays = (problem.query, *problem.keys, *problem.values)
    gradients = [np.zeros(array.shape) for array in arrays]
    if at_once is not None and all(array.shape[:-2] == arguments.batch for array in arrays):
        rows = [array.reshape(-1, *array.shape[-2:]) for array in (*arrays, upstream.array)]
        entries = Entry(
            rows[0], tuple(rows[1:order]), tuple(rows[order:-1]), rows[-1],
            lses.reshape(len(rows[0]), -1), delta.reshape(len(rows[0]), -1), problem.scale,
        )  # fmt: skip
        gradients = [part.reshape(array.shape) for part, array in zip(at_once(entries), arrays, strict=True)]
    else:
        _one_by_one(problem, upstream, lses, delta, arrays, gradients, sweep)
    mantissa, exponent = math.frexp(problem.scale)
    loss = upstream.shift + problem.value_shift
    finished = []
    for a, gradient in enumerate(gradients):
        factor, shift = (mantissa, exponent) if a < order else (1.0, 0)
        finished.append(
            np.ldexp(factor * gradient, shift + loss - problem.shifts[a]).astype(arguments.dtype, copy=False)
        )
    return finished


def _one_by_one(
    problem: Problem,
    upstream: Upstream,
    lses: Float64,
    delta: Float64,
    arrays: Sequence[Float64],
    gradients: Sequence[Float64],
    sweep: Callable[[Entry], list[Float64]],
) -> None:
    arguments, order = problem.arguments, problem.arguments.order
    whole = [np.broadcast_to(array, arguments.batch + array.shape[-2:]) for array in arrays]
    # A view that repeats a broadcast array's gradient: adding to any copy adds to the one there is.
    targets = [
        np.lib.stride_tricks.as_strided(gradient, wide.shape, _broadcast_strides(gradient, wide.shape))
        for gradient, wide in zip(gradients, whole, strict=True)
    ]
    for place in np.ndindex(*arguments.batch) if arguments.sizes[0] else ():
        own = [np.ascontiguousarray(array[place]) for array in whole]
        entry = Entry(
            own[0], tuple(own[1:order]), tuple(own[order:]),
            upstream.array[place], lses[place], delta[place], problem.scale,
        )  # fmt: skip
        for target, part in zip(targets, sweep(entry), strict=True):
            target[place] += part


def _broadcast_strides(array: Float64, shape: tuple[int, ...]) -> tuple[int, ...]:
    missing = len(shape) - array.ndim
    own = (0 if size == 1 else stride for size, stride in zip(array.shape[:-2], array.strides, strict=False))
    return (0,) * missing + tuple(own) + array.strides[-2:]


def times(first: Float64, *factors: Float64) -> Float64:
    """Multiply arrays, broadcasting."""
    for factor in factors:
        first = first * factor
    return first
