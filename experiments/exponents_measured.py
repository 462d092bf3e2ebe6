"""Cells of rank exponents: curves from the formula, and ranks that the real algorithm takes.

Entries are random signs ±B, the hardest that the bound B allows: their logits really reach B^k, so that the
planned degree can be held against the formula's. (For entries uniform in [−B, B] the certified range of
logits is smaller, and so is the rank.)

Cost: milliseconds a point of a curve; a plan is two passes over the queries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..algorithms.certificate import WallError
from ..algorithms.fast_attention import plan
from .exponents import Accuracy, dimension_for, rank_exponent
from .store import Configuration, Outcome

Floats = npt.NDArray[np.float64]

MAX_RANK = 2_000_000


def analytic_ranks(
    *, order: int, c: float, accuracy: Accuracy, log10_n: float, points: Sequence[float]
) -> Outcome:
    """Compute ρ, degree and dimension at every b of `points`, for n = 10^log10_n.

    Parameters
    ----------
    order, c, accuracy
        As for `rank_exponent`.
    log10_n : float
        log10 n.
    points : sequence of float
        Values of b.

    Returns
    -------
    Outcome
        Lists ``exponent`` and ``degree``; ``dimension``.
    """
    ln_n = log10_n * math.log(10.0)
    found = [rank_exponent(b, ln_n, order=order, c=c, accuracy=accuracy) for b in points]
    return Outcome(
        {
            "exponent": [rho for rho, _, _ in found],
            "degree": [g for _, g, _ in found],
            "dimension": dimension_for(c, ln_n),
        }
    )


def analytic_seconds(configuration: Configuration) -> float:
    """Guess how long `analytic_ranks` takes."""
    return 1e-3 + len(configuration["points"]) * 3e-5 * float(configuration["log10_n"])


def algorithm_rank(*, order: int, c: float, n: int, b: float, entries: str, seed: int) -> Outcome:
    """Plan the fast algorithm at accuracy 1/n, on random tokens, and note its rank.

    Parameters
    ----------
    order, c, n, b
        d = round(c ln n) and B = b (ln n)^{1/k}.
    entries : str
        ``signs`` (±B) or ``uniform`` in [−B, B].
    seed : int
        Of the tokens.

    Returns
    -------
    Outcome
        ``rank``, ``exponent`` and ``degree``; None where no expansion of at most `MAX_RANK`
        monomials meets the accuracy in float64.
    """
    query, keys, values = random_tokens(order, c, n, b, entries, seed)
    rank: int | None = None
    degree: int | None = None
    half_width: float | None = None
    try:
        planned = plan(query, keys, values, tolerance=1.0 / n, method="fast", max_rank=MAX_RANK)
        rank, degree, half_width = planned.rank, planned.degree, planned.half_width
    except WallError:
        pass
    exponent = math.log(rank) / math.log(n) if rank else None
    return Outcome(
        {
            "rank": rank,
            "exponent": exponent,
            "degree": degree,
            "half_width": half_width,
            "dimension": dimension_for(c, math.log(n)),
        }
    )


def random_tokens(
    order: int, c: float, n: int, b: float, entries: str, seed: int, *, columns: int = 1
) -> tuple[Floats, list[Floats], list[Floats]]:
    """Draw queries, keys and values: n tokens each, d = round(c ln n), B = b (ln n)^{1/k}.

    Raises
    ------
    ValueError
        If `entries` is neither ``signs`` nor ``uniform``.

    Examples
    --------
    >>> query, keys, values = random_tokens(3, 1.0, 100, 0.5, "signs", 1)
    >>> query.shape, len(keys), bool(np.all(abs(query) == abs(keys[0])))
    ((100, 5), 2, True)
    """
    if entries not in ("signs", "uniform"):
        raise ValueError(f"Argument 'entries' must be signs or uniform, not {entries!r}.")
    rng = np.random.default_rng(seed)
    ln_n = math.log(n)
    d, bound = dimension_for(c, ln_n), b * ln_n ** (1.0 / order)

    def draw() -> Any:
        tokens = rng.uniform(-1.0, 1.0, (n, d))
        return bound * (np.sign(tokens) if entries == "signs" else tokens)

    query, *keys = [draw() for _ in range(order)]
    return query, keys, [rng.uniform(-1.0, 1.0, (n, columns)) for _ in keys]
