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

import sys
from collections.abc import Callable
from importlib import import_module

import numpy as np
import numpy.typing as npt

from ..algorithms.oracles import exact, fast
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


def named_oracle(
    name: str, *, seed: int = 0, progress: Callable[[float], None] | None = None
) -> Callable[[TensorAttention], object]:
    """Look up an oracle by the name that the command line uses.

    Parameters
    ----------
    name : str
        ``exact``; ``fast``, which gives up where the wall stops it; ``adversarial`` (the
        strategy ``toward``) or ``adversarial:STRATEGY``; or
        ``MODULE:FUNCTION``, a function of a `TensorAttention` that returns its output, in a module
        that can be imported from the working directory.
    seed : int
        For the adversary with random signs.
    progress : callable, optional
        Told the fraction done of each exact call.

    Raises
    ------
    ValueError
        If there is no such oracle.
    """

    def truth(instance: TensorAttention) -> Floats:
        return exact(instance, progress=progress)

    if name == "exact":
        return truth
    if name == "fast":
        return fast
    kind, _, rest = name.partition(":")
    if kind == "adversarial":
        return adversarial(rest or "toward", rng=np.random.default_rng(seed), truth=truth)
    return _outside(kind, rest)


def _outside(module: str, function: str) -> Callable[[TensorAttention], object]:
    if not (module and function):
        raise ValueError(
            f"Argument 'oracle' must be exact, fast, adversarial[:STRATEGY] or MODULE:FUNCTION, "
            f"not {module!r}."
        )
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(import_module(module), function)
    except Exception as failure:  # whatever the outside module raises while it is imported
        raise ValueError(
            f"Argument 'oracle' must name a function that can be imported, "
            f"not {module}:{function} ({type(failure).__name__}: {failure})."
        ) from failure
    if not callable(found):
        raise ValueError(f"Argument 'oracle' must name a function; {module}:{function} is not callable.")
    oracle: Callable[[TensorAttention], object] = found
    return oracle
