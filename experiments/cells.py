"""The kinds of cells that a sweep is made of, by name; each is a function of its configuration.

A function takes the configuration's entries other than "kind" as keyword arguments and returns an `Outcome`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import decoding, exponents_measured, matrix_ranks, scaling, window
from .store import Configuration, Outcome, machine


@dataclass(frozen=True)
class Kind:
    """How cells of one kind are computed.

    Parameters
    ----------
    function : callable
        Keyword arguments of JSON values in, `Outcome` out.
    seconds : callable
        A guess of the time that a configuration takes, for the order of work and the progress bar.
    timed : bool
        Whether it measures time, and so wants the machine for itself.
    """

    function: Callable[..., Outcome]
    seconds: Callable[[Configuration], float]
    timed: bool = False


KINDS: dict[str, Kind] = {
    "analytic ranks": Kind(exponents_measured.analytic_ranks, exponents_measured.analytic_seconds),
    "algorithm rank": Kind(exponents_measured.algorithm_rank, lambda _: 0.2),
    "matrix rank": Kind(matrix_ranks.matrix_rank, matrix_ranks.expected_seconds),
    "decode": Kind(decoding.decode, decoding.expected_seconds),
    "critical curve": Kind(window.critical_curve, window.critical_seconds),
    "window": Kind(window.window, window.expected_seconds),
    "times": Kind(scaling.times, scaling.expected_seconds, timed=True),
    "crossover": Kind(scaling.crossover, scaling.crossover_seconds, timed=True),
    "easy source": Kind(window.easy_source, window.easy_seconds, timed=True),
}


def evaluate(configuration: Configuration) -> Outcome:
    """Compute one cell.

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> cell = {"kind": "analytic ranks", "order": 3, "c": 1.0, "accuracy": "relative 1/n"}
    >>> evaluate(cell | {"log10_n": 3, "points": [0.5, 1.0]}).result["degree"]
    [4, 18]
    """
    parameters = dict(configuration)
    outcome = _kind(configuration).function(**_without_kind(parameters))
    return Outcome(outcome.result, outcome.measured, machine())


def is_timed(configuration: Configuration) -> bool:
    """Whether a cell measures time."""
    return _kind(configuration).timed


def expected_seconds(configuration: Configuration) -> float:
    """Guess how long a cell takes."""
    return _kind(configuration).seconds(configuration)


def _kind(configuration: Configuration) -> Kind:
    name = configuration.get("kind")
    if name not in KINDS:
        raise ValueError(f"Argument 'configuration' must be of a kind among {sorted(KINDS)}, not {name!r}.")
    return KINDS[name]


def _without_kind(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != "kind"}
