"""Adversarial oracles for gradients: every entry wrong by the whole error allowed, in the worst directions.

Glossary
--------
along    every entry moves with the sign of its query's: what is integrated comes out as large as it can.
against  the reverse of `along`.
toward   every entry moves toward the wrong side of the decision: down where it says yes, else up; the
         worst for the single call, whose answer holds the attention output itself.
signs    random signs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..algorithms.gradient_oracles import exact_gradient
from ..instances.attention_gradient import AttentionGradient
from .oracles import PIVOT

Floats = npt.NDArray[np.float64]
GradientOracle = Callable[[AttentionGradient], Floats]


def _along(instance: AttentionGradient, gradient: Floats, rng: np.random.Generator) -> Floats:
    return np.where(instance.attention.query < 0, -1.0, 1.0)


def _against(instance: AttentionGradient, gradient: Floats, rng: np.random.Generator) -> Floats:
    return -_along(instance, gradient, rng)


def _toward(instance: AttentionGradient, gradient: Floats, rng: np.random.Generator) -> Floats:
    return np.where(gradient > PIVOT, -1.0, 1.0)


def _signs(instance: AttentionGradient, gradient: Floats, rng: np.random.Generator) -> Floats:
    return rng.choice([-1.0, 1.0], size=gradient.shape)


GRADIENT_STRATEGIES: dict[str, Callable[[AttentionGradient, Floats, np.random.Generator], Floats]] = {
    "along": _along,
    "against": _against,
    "toward": _toward,
    "signs": _signs,
}


def adversarial_gradient(
    strategy: str, *, rng: np.random.Generator, truth: GradientOracle = exact_gradient
) -> GradientOracle:
    """Return an oracle for gradients that is wrong by exactly the accuracy asked.

    Parameters
    ----------
    strategy : str
        One of ``along``, ``against``, ``toward``, ``signs``; see the glossary.
    rng : numpy.random.Generator
        For ``signs``.
    truth : callable
        The oracle that is led astray, exact gradients unless given.

    Raises
    ------
    ValueError
        If the strategy is unknown.

    Examples
    --------
    >>> from cubicwall.instances.attention import TensorAttention
    >>> two = TensorAttention([[0.0]], [[[1.0], [-1.0]]], [[[1.0], [0.0]]], scale=1.0, accuracy=0.125)
    >>> oracle = adversarial_gradient("along", rng=np.random.default_rng(0))
    >>> oracle(AttentionGradient(two, [[2.0]])).tolist()
    [[1.125]]
    """
    if strategy not in GRADIENT_STRATEGIES:
        raise ValueError(
            f"Argument 'strategy' must be one of {sorted(GRADIENT_STRATEGIES)}, not {strategy!r}."
        )

    def oracle(instance: AttentionGradient) -> Floats:
        gradient = truth(instance)
        return gradient + instance.accuracy * GRADIENT_STRATEGIES[strategy](instance, gradient, rng)

    return oracle
