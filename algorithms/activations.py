"""The entrywise functions φ between the layers of a transformer: values, slopes, and how far they bend.

Glossary
--------
slope, bend    suprema of |φ'| and |φ''| over the real line, which error bounds through φ need.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf, expit

from ..instances.transformer import Activation


@dataclass(frozen=True, slots=True)
class EntrywiseFunction:
    """A differentiable function of one number, applied to arrays.

    Parameters
    ----------
    value, derivative : callable
        φ and φ', entry by entry.
    slope, bend : float
        Upper bounds on |φ'| and |φ''|.
    """

    value: Callable[[Any], Any]
    derivative: Callable[[Any], Any]
    slope: float
    bend: float


def _silu_derivative(x: Any) -> Any:
    gate = expit(x)
    return gate * (1.0 + x * (1.0 - gate))


def _normal_density(x: Any) -> Any:
    return np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def _normal_mass(x: Any) -> Any:
    return 0.5 * (1.0 + erf(x / math.sqrt(2.0)))


FUNCTIONS: dict[Activation, EntrywiseFunction] = {
    "identity": EntrywiseFunction(lambda x: x, np.ones_like, 1.0, 0.0),
    "tanh": EntrywiseFunction(np.tanh, lambda x: 1.0 - np.tanh(x) ** 2, 1.0, 0.77),
    "silu": EntrywiseFunction(lambda x: x * expit(x), _silu_derivative, 1.1, 0.5),
    "gelu": EntrywiseFunction(
        lambda x: x * _normal_mass(x), lambda x: _normal_mass(x) + x * _normal_density(x), 1.13, 0.8
    ),
}
"""By name. |tanh''| ≤ 4/√27; silu' peaks at 1.0998, |silu''| at 1/2; gelu' at 1.129, |gelu''| at √(2/π)."""
