"""Time and operations of the fast and the exact algorithm against n, at fixed b, and where they cross.

Tokens are random signs ±B with B = b (ln n)^{1/k}, d = round(c ln n) columns and as many columns of values,
the accuracy is 1/n. Exponents are slopes of ln time against ln n by least squares, through the least of
several repetitions; the intervals come from a bootstrap over repetitions, so they hold the noise of the
clock, not the steps of d and of the degree, which are integers.

Operations: n^k (d+e) multiply-adds for the exact algorithm, (n + Σn_t) R (e+1) for the fast one.

The crossover b*(n) is where the fast algorithm takes as long as the exact one. It is *measured* by bisection
on the clock, and *predicted* from ranks and rates: seconds a term at smaller b, seconds a tuple at n/2
tokens.

Cost: some dozens of calls of both algorithms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from ..algorithms.certificate import WallError
from ..algorithms.exact_attention import attention, predicted_cost
from ..algorithms.fast_attention import fast_attention, plan
from .exponents import dimension_for, rank_exponent
from .exponents_measured import random_tokens
from .store import Configuration, Outcome

MAX_RANK = 2_000_000
WIDEST, RESOLUTION = 1.5, 0.01  # where the search for b* ends, and how fine it is
HOPELESS = 3.0  # so many times slower in its first call, the fast algorithm is not timed again
RATE_POINTS = tuple(round(0.1 * i, 1) for i in range(2, 11))  # the last three affordable ones give the rate
_PER_TERM = 1e-10  # seconds, to tell what is affordable


def times(*, order: int, c: float, n: int, b: float, method: str, seed: int, repetitions: int = 5) -> Outcome:
    """Time one algorithm on random signs.

    Parameters
    ----------
    order, c, n, b
        The problem.
    method : str
        ``fast`` or ``exact``.
    seed : int
        Of the tokens.
    repetitions : int
        After a first call that is not counted.

    Returns
    -------
    Outcome
        ``rank`` and ``operations``, functions of the problem; measured ``seconds``, one a repetition.

    Raises
    ------
    WallError
        If the fast algorithm cannot meet the accuracy.
    """
    arrays = _arrays(order, c, n, b, seed)
    d = arrays[0].shape[1]
    call = _call(arrays, n, method)
    rank = None
    if method == "fast":
        query, keys, values = arrays
        rank = plan(query, keys, values, tolerance=1.0 / n, method="fast", max_rank=MAX_RANK).rank
        assert rank is not None
        operations = order * n * rank * (d + 1)
    else:
        operations = n**order * 2 * d
    call()
    return Outcome(
        {"rank": rank, "operations": operations, "dimension": d},
        {"seconds": [_seconds(call) for _ in range(repetitions)]},
    )


def crossover(*, order: int, c: float, n: int, seed: int) -> Outcome:
    """Measure b*(n), and predict it from ranks and measured rates.

    Parameters
    ----------
    order, c, n, seed
        The problem.

    Returns
    -------
    Outcome
        Measured: ``b`` and ``predicted``; the rates; ``reason``, which is ``time``, or ``float64`` where no
        polynomial in float64 meets the accuracy at larger b and the exact algorithm wins by that.
    """
    exact_seconds = _least(_call(_arrays(order, c, n, 1.0, seed), n, "exact"), 2)
    half = n // 2
    half_arrays = _arrays(order, c, half, 1.0, seed)
    columns = 2 * half_arrays[0].shape[1]
    a_tuple = _least(_call(half_arrays, half, "exact"), 3) / (half**order * columns)
    d = dimension_for(c, math.log(n))
    a_term = _term_seconds(order, c, n, seed, exact_seconds)

    def wins_by_prediction(b: float) -> bool:
        rank = _rank(order, c, n, b, seed)
        return rank is not None and a_term * order * n * rank * (d + 1) < a_tuple * n**order * 2 * d

    refused: list[float] = []

    def wins_by_the_clock(b: float) -> bool:
        rank = _rank(order, c, n, b, seed)
        if rank is None:
            refused.append(b)
            return False
        if _PER_TERM * order * n * rank * (d + 1) > 10 * exact_seconds:
            return False
        call = _call(_arrays(order, c, n, b, seed), n, "fast")
        if _seconds(call) > HOPELESS * exact_seconds:
            return False
        return _least(call, 2) < exact_seconds

    predicted = _last(wins_by_prediction)
    measured = _last(wins_by_the_clock)
    return Outcome(
        {"dimension": d},
        {
            "b": measured,
            "predicted": predicted,
            "exact_seconds": exact_seconds,
            "seconds_a_term": a_term,
            "seconds_a_tuple_and_column": a_tuple,
            "reason": "float64" if any(b - measured <= 2 * RESOLUTION for b in refused) else "time",
        },
    )


def fitted_exponent(
    sizes: Sequence[float], samples: Sequence[Sequence[float]], rng: np.random.Generator, draws: int = 1000
) -> tuple[float, float, float]:
    """Fit the slope of ln time against ln n, with a 95% interval from a bootstrap over repetitions.

    Parameters
    ----------
    sizes : sequence of float
        n, at least two different ones.
    samples : sequence of sequences of float
        For each n its repetitions, all positive.
    rng : numpy.random.Generator
        For the bootstrap.
    draws : int
        How often to draw.

    Returns
    -------
    (float, float, float)
        The slope through the least repetitions, and the ends of the interval.

    Raises
    ------
    ValueError
        For fewer than two sizes.

    Examples
    --------
    >>> slope, low, high = fitted_exponent([1, 2, 4], [[1.0], [8.0], [64.0]], np.random.default_rng(0))
    >>> round(slope, 9), round(low, 9), round(high, 9)
    (3.0, 3.0, 3.0)
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"Argument 'sizes' must hold at least two different sizes, not {list(sizes)}.")
    x = np.log(np.asarray(sizes, dtype=np.float64))

    def slope(seconds: Sequence[float]) -> float:
        return float(np.polyfit(x, np.log(seconds), 1)[0])

    drawn = [slope([rng.choice(own, len(own)).min() for own in samples]) for _ in range(draws)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return slope([min(own) for own in samples]), float(low), float(high)


def expected_seconds(configuration: Configuration) -> float:
    """Guess how long `times` takes."""
    calls = 1 + configuration.get("repetitions", 5)
    if configuration["method"] == "exact":
        return float(0.1 + calls * _exact_seconds(configuration))
    n, b, order, c = (configuration[name] for name in ("n", "b", "order", "c"))
    exponent, _, d = rank_exponent(b, math.log(n), order=order, c=c)
    return float(0.1 + calls * 1e-10 * order * n ** (1 + exponent) * (d + 1))


def crossover_seconds(configuration: Configuration) -> float:
    """Guess how long `crossover` takes."""
    return 2.0 + 40.0 * _exact_seconds(configuration)


def _exact_seconds(configuration: Configuration) -> float:
    n, order = configuration["n"], configuration["order"]
    d = dimension_for(configuration["c"], math.log(n))
    return predicted_cost([n] * order, d, d).seconds


def _arrays(order: int, c: float, n: int, b: float, seed: int) -> tuple[Any, list[Any], list[Any]]:
    d = dimension_for(c, math.log(n))
    return random_tokens(order, c, n, b, "signs", seed, columns=d)


def _call(arrays: tuple[Any, list[Any], list[Any]], n: int, method: str) -> Callable[[], npt.NDArray[Any]]:
    query, keys, values = arrays
    if method == "exact":
        return lambda: attention(query, keys, values)
    if method == "fast":
        return lambda: (
            fast_attention(query, keys, values, tolerance=1.0 / n, method="fast", max_rank=MAX_RANK).output
        )
    raise ValueError(f"Argument 'method' must be fast or exact, not {method!r}.")


def _rank(order: int, c: float, n: int, b: float, seed: int) -> int | None:
    """Return the planned rank, or None where no expansion meets the accuracy."""
    query, keys, values = _arrays(order, c, n, b, seed)
    try:
        return plan(query, keys, values, tolerance=1.0 / n, method="fast", max_rank=MAX_RANK).rank
    except WallError:
        return None


def _term_seconds(order: int, c: float, n: int, seed: int, budget: float) -> float:
    """Measure the seconds of one token, monomial and column, at the largest ranks that fit the budget."""
    affordable: list[tuple[float, float]] = []
    for b in RATE_POINTS:
        terms = order * n * (_rank(order, c, n, b, seed) or math.inf) * (dimension_for(c, math.log(n)) + 1)
        if affordable and terms * _PER_TERM > budget:
            break
        affordable.append((b, terms))
    rates = [
        _least(_call(_arrays(order, c, n, b, seed), n, "fast"), 3) / terms for b, terms in affordable[-3:]
    ]
    return float(np.median(rates))


def _last(wins: Callable[[float], bool]) -> float:
    """Return, to `RESOLUTION`, the largest b at which the fast algorithm wins, 0 where it never does."""
    inside, outside = 0.0, WIDEST
    while outside - inside > RESOLUTION:
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if wins(middle) else (inside, middle)
    return inside


def _least(call: Callable[[], Any], repetitions: int) -> float:
    call()
    return min(_seconds(call) for _ in range(repetitions))


def _seconds(call: Callable[[], Any]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began
