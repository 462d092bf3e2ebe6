"""Adversarial oracles: every entry moved by up to the whole error that the instance allows.

A reduction must return the right answer for every oracle that keeps its promise. So we ask the
ones that keep it as badly as they can.

Glossary
--------
toward  every entry moves toward the wrong side of the decision: down where it says yes, else up.
over    the first value column moves up, the second down: counts come out as large as they can.
under   the reverse of `over`.
signs   every entry moves by the whole error, with random signs.
one     a single entry, the most telling one, moves toward the wrong side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..algorithms.oracles import exact
from ..instances.attention import TensorAttention

Floats = npt.NDArray[np.float64]
Oracle = Callable[[TensorAttention], Floats]

PIVOT = (8 / 17 + 1 / 9) / 2  # the middle of the gap between no and yes, see reductions/encoding.py


def _toward(output: Floats, rng: np.random.Generator) -> Floats:
    return np.where(output > PIVOT, -1.0, 1.0)


def _over(output: Floats, rng: np.random.Generator) -> Floats:
    signs = -np.ones_like(output)
    signs[:, 0] = 1
    return signs


def _under(output: Floats, rng: np.random.Generator) -> Floats:
    return -_over(output, rng)


def _signs(output: Floats, rng: np.random.Generator) -> Floats:
    return rng.choice([-1.0, 1.0], size=output.shape)


def _one(output: Floats, rng: np.random.Generator) -> Floats:
    signs = np.zeros_like(output)
    if len(output):
        telling = output[:, 0].argmax()
        signs[telling, 0] = -1.0 if output[telling, 0] > PIVOT else 1.0
    return signs


STRATEGIES: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "toward": _toward,
    "over": _over,
    "under": _under,
    "signs": _signs,
    "one": _one,
}


def adversarial(strategy: str, *, rng: np.random.Generator | None = None, truth: Oracle = exact) -> Oracle:
    """Return an oracle that is wrong by exactly the accuracy asked, in the direction `strategy`.

    Parameters
    ----------
    strategy : str
        One of ``toward``, ``over``, ``under``, ``signs``, ``one``; see the glossary.
    rng : numpy.random.Generator, optional
        Needed by ``signs``.
    truth : callable
        The oracle that is led astray, exact attention unless given.

    Raises
    ------
    ValueError
        If the strategy is unknown, or needs a generator and got none.

    Examples
    --------
    >>> from cubicwall.instances.orthogonal_vectors import OrthogonalVectors
    >>> from cubicwall.reductions.encoding import signed_encoding
    >>> from cubicwall.reductions.reduction import run
    >>> vectors = OrthogonalVectors(([[1, 1]], [[1, 0]]))
    >>> run(signed_encoding(vectors), adversarial("toward"))
    No()
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"Argument 'strategy' must be one of {sorted(STRATEGIES)}, not {strategy!r}.")
    if strategy == "signs" and rng is None:
        raise ValueError("Argument 'rng' must be given for the strategy 'signs'.")
    generator = rng if rng is not None else np.random.default_rng(0)

    def oracle(instance: TensorAttention) -> Floats:
        output = truth(instance)
        return output + instance.accuracy * STRATEGIES[strategy](output, generator)

    return oracle
