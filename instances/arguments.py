"""Checks of arguments at the public edge: each error names the argument, the rule and the value."""

from __future__ import annotations

import math
import operator
from typing import SupportsIndex

import numpy as np


def integer(name: str, value: SupportsIndex, least: int, most: int | None = None) -> int:
    """Return `value` as an int in least..most.

    Raises
    ------
    TypeError
        If it is no integer; a bool is none.
    ValueError
        If it is out of range.

    Examples
    --------
    >>> integer("width", 0, 1)
    Traceback (most recent call last):
    ValueError: Argument 'width' must be an integer of at least 1, not 0.
    """
    rule = f"an integer of at least {least}" if most is None else f"an integer in {least}..{most}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"Argument {name!r} must be {rule}, not {value!r}.")
    if number < least or (most is not None and number > most):
        raise ValueError(f"Argument {name!r} must be {rule}, not {number}.")
    return number


def number(name: str, value: float, least: float, most: float = math.inf) -> float:
    """Return `value` as a finite float in [least, most].

    Raises
    ------
    TypeError
        If it is no number; a bool is none.
    ValueError
        If it is out of range, infinite or NaN.

    Examples
    --------
    >>> number("density", 1.5, 0, 1)
    Traceback (most recent call last):
    ValueError: Argument 'density' must be a number in [0, 1], not 1.5.
    """
    rule = f"a finite number of at least {least}" if most == math.inf else f"a number in [{least}, {most}]"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"Argument {name!r} must be {rule}, not {value!r}.")
    if not (math.isfinite(value) and least <= value <= most):
        raise ValueError(f"Argument {name!r} must be {rule}, not {value!r}.")
    return float(value)


def generator(rng: np.random.Generator) -> np.random.Generator:
    """Return `rng` if it is a generator: a seed in its place would be a hidden default.

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> generator(7)
    Traceback (most recent call last):
    TypeError: Argument 'rng' must be a numpy.random.Generator such as default_rng(7), not 7.
    """
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"Argument 'rng' must be a numpy.random.Generator such as default_rng(7), not {rng!r}."
        )
    return rng
