"""Both sides of the wall on the same instances, and the sources that are easy anyway.

Over the plane (c, b), d = c ln n, lie three curves: b_alg(c), up to which the polynomial method has rank at
most n^{k−1}; b_dec, from which on attention decides gap instances, ((k−1)κ)^{1/k} in the limit; and the line
c = k/ln 2, left of which k-OV in d coordinates falls to superset counts in 2^d < n^k steps. Where b_dec < b <
b_alg left of the line there is no contradiction, since the source is easy. Right of it the window must be
shut, b_alg < b_dec: else SETH, or this program, is wrong. (With 0/1 columns the polynomial method itself has
at most 2^d monomials, so that it, too, is subcubic for every b left of c = (k−1)/ln 2.)

A *window* cell takes saturated gap instances, whose d = D + t coordinates are spent as well as they can be
(t_no = 1, t = ⌊d/2⌋, κ = d/(t−1), just above 2), at the accuracy ε that decides them, and finds on them the
largest b at which the fast algorithm is subcubic and the least from which on every answer is right.

Cost: that of `decoding`, and some dozens of plans.
"""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np

from ..algorithms.certificate import WallError
from ..algorithms.fast_attention import plan
from ..algorithms.supersets import count_by_supersets
from ..algorithms.vectors import count_orthogonal
from ..instances.attention import TensorAttention
from ..instances.gap_families import saturated_gap
from ..instances.vector_families import random_orthogonal_vectors
from .decoding import gap_case, search
from .exponents import Accuracy, critical_finite, dimension_for
from .store import Configuration, Outcome

WIDEST, RESOLUTION = 4.0, 0.005


def easy_line(order: int) -> float:
    """Return c = k/ln 2, below which superset counts are subcubic (for order k: below n^k).

    Examples
    --------
    >>> round(easy_line(3), 2)
    4.33
    """
    return order / math.log(2.0)


def decode_limit(kappa: float, order: int) -> float:
    """Return b_dec(κ) = ((k−1)κ)^{1/k}, the limit of what decoding needs.

    Examples
    --------
    >>> [round(decode_limit(2.0, k), 3) for k in (2, 3, 4)]
    [1.414, 1.587, 1.565]
    """
    return float(((order - 1) * kappa) ** (1.0 / order))


def window(*, order: int, c: float, n: int, epsilon: float, seed: int) -> Outcome:
    """Find b_alg and b_dec on one pair of saturated gap instances.

    Parameters
    ----------
    order, c, n : int, float, int
        k; d = round(c ln n), at least 6; tokens, one of them the rest token.
    epsilon : float
        Accuracy, the same on both sides.
    seed : int
        Of the instances.

    Returns
    -------
    Outcome
        ``fast_up_to`` and ``decides_from`` with their ``factor``, below 1 where the window is open;
        ``rank`` at ``fast_up_to`` and ``reason``: what stops the fast algorithm beyond, ``rank`` or
        ``float64``.
    """
    d = max(6, dimension_for(c, math.log(n)))
    target = d // 2
    kappa = (d - target) / (target - 1)
    rng = np.random.default_rng(seed)
    twins = [
        saturated_gap([n - 1] * order, target=target, bound=1, kappa=kappa, rng=rng, planted=planted)
        for planted in (True, False)
    ]
    cases = [gap_case(twin) for twin in twins]
    decided = search(cases, order, epsilon).result
    dimension = decided["dimension"]
    fast, rank, reason = 0.0, 0, "rank"
    outside = WIDEST
    while outside - fast > RESOLUTION:
        middle = (fast + outside) / 2
        beta = middle**order * math.log(n) / dimension
        ranks = [_rank(case.encode(beta), epsilon) for case in cases]
        if None not in ranks and max(r for r in ranks if r is not None) <= n ** (order - 1):
            fast, rank = middle, max(r for r in ranks if r is not None)
        else:
            outside, reason = middle, "float64" if None in ranks else "rank"
    decides = decided["measured"]
    return Outcome(
        {
            "c": dimension / math.log(n),
            "dimension": dimension,
            "kappa": decided["kappa"],
            "fast_up_to": fast,
            "rank": rank,
            "reason": reason if outside < WIDEST else "none",
            "decides_from": decides,
            "predicted": decided["predicted"],
            "factor": decides / fast if fast else None,
        }
    )


def easy_source(*, order: int, c: float, size: int, seed: int) -> Outcome:
    """Time superset counts and brute force on random orthogonal vectors in d = round(c ln N) coordinates.

    Parameters
    ----------
    order, c, size
        k, c and N.
    seed : int
        Of the vectors.

    Returns
    -------
    Outcome
        The ``count``, on which both must agree; measured ``supersets`` and ``brute_force`` seconds.

    Raises
    ------
    ArithmeticError
        If they disagree.
    """
    d = dimension_for(c, math.log(size))
    vectors = random_orthogonal_vectors([size] * order, d, 0.5, rng=np.random.default_rng(seed))
    supersets, brute = count_by_supersets(vectors), count_orthogonal(vectors)
    if supersets != brute:
        raise ArithmeticError(f"superset counts say {supersets}, brute force {brute} for {vectors}")
    seconds = {}
    for name, solver in (("supersets", count_by_supersets), ("brute_force", count_orthogonal)):
        began = perf_counter()
        solver(vectors)
        seconds[name] = perf_counter() - began
    return Outcome({"dimension": d, "count": brute}, seconds)


def critical_curve(*, order: int, accuracy: Accuracy, log10_n: float, points: list[float]) -> Outcome:
    """Compute b_alg at a finite n for every c of `points`.

    Returns
    -------
    Outcome
        The list ``b``.
    """
    ln_n = log10_n * math.log(10.0)
    return Outcome({"b": [critical_finite(ln_n, order=order, c=c, accuracy=accuracy) for c in points]})


def critical_seconds(configuration: Configuration) -> float:
    """Guess how long `critical_curve` takes."""
    return 1e-3 * len(configuration["points"]) * (1 + float(configuration["log10_n"]))


def expected_seconds(configuration: Configuration) -> float:
    """Guess how long `window` takes."""
    return float(0.8 + 80 * 1e-9 * configuration["n"] ** configuration["order"])


def easy_seconds(configuration: Configuration) -> float:
    """Guess how long `easy_source` takes."""
    size, order = configuration["size"], configuration["order"]
    return float(0.1 + 1e-10 * size**order + 1e-8 * 2 ** (configuration["c"] * math.log(size)))


def _rank(instance: TensorAttention, epsilon: float) -> int | None:
    """Return the planned rank at accuracy ε, or None where float64 refuses."""
    try:
        return plan(
            instance.query,
            instance.keys,
            instance.values,
            scale=instance.scale,
            tolerance=epsilon,
            method="fast",
            max_rank=4 * max(instance.tokens) ** (instance.order - 1),
        ).rank
    except WallError as wall:
        return wall.rank
