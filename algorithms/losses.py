"""Differentiable losses of a model's output, with the bound on their curvature that error bounds need.

Glossary
--------
smoothness    Σ_i ‖∇L(A)_i - ∇L(B)_i‖ ≤ smoothness · max_i ‖A_i - B_i‖, with Euclidean norms of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Loss:
    """A function of the output and its gradient.

    Parameters
    ----------
    value : callable, (n, D) array -> float
        L.
    gradient : callable, (n, D) array -> (n, D) array
        ∇L.
    smoothness : float
        As in the glossary.
    """

    value: Callable[[Reals], float]
    gradient: Callable[[Reals], Reals]
    smoothness: float


def linear(weights: Reals) -> Loss:
    """Return L(T) = Σ weights · T.

    Examples
    --------
    >>> linear(np.array([[2.0]])).value(np.array([[3.0]]))
    6.0
    """
    return Loss(lambda T: float((weights * T).sum()), lambda T: weights.copy(), 0.0)


def mean_square(target: Reals) -> Loss:
    """Return half the mean of (T - target)².

    Examples
    --------
    >>> mean_square(np.zeros((1, 2))).value(np.array([[1.0, 1.0]]))
    0.5
    """
    return Loss(
        lambda T: float(0.5 * ((T - target) ** 2).mean()),
        lambda T: (T - target) / target.size,
        1.0 / target.shape[1],
    )


def mean_log_cosh(target: Reals) -> Loss:
    """Return the mean of ln cosh(T - target): square near zero, linear far away.

    Examples
    --------
    >>> round(mean_log_cosh(np.zeros((1, 1))).value(np.array([[1.0]])), 6)
    0.433781
    """
    return Loss(
        lambda T: float((np.logaddexp(T - target, target - T) - np.log(2.0)).mean()),
        lambda T: np.tanh(T - target) / target.size,
        1.0 / target.shape[1],
    )
