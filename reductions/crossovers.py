"""Crossovers: from which n on the distributed PCP has smaller entries than the direct encoding.

What it takes to pay. With all coordinates κ ≥ q^((k-1)T) length/(length - agreement), and m ≤ T L, so
q^((k-1)T) < T L + 2^(k-1) - 2 is needed.
- Reed-Solomon: k(L-1) < q and T < q, so L < q/k + 1. That leaves no solution, for any k.
- Hermitian over GF(r²), q = r²: L ≤ s + 1 and ks < r³, so L < r³/k + 1. With T < r that leaves k = 2 and
  T = 1 only, and then the numbers themselves say r ≥ 11. There m = L ≈ 190 pays in entries; but the
  messages outnumber the 2^n assignments by far: small entries that prove no hardness.
- A tower of curves over GF(r²) with length ≥ (r-1) genus at every length (Garcia, Stichtenoth)
  gives both, small entries and few messages: `tower_crossover` finds the n, of thousands of digits.

Glossary
--------
κ          kappa: d/(t - t_no), or d for the direct encoding; B^k = κ ln(8 Π(N_t+1)) for all of them.
density    clauses per variable: m = density · n, N = 2^(n/k).

References
----------
[R18] Rubinstein. Hardness of approximate nearest neighbor search. STOC 2018.
Garcia, Stichtenoth. On the asymptotic behaviour of some towers of function fields over finite
fields. Journal of Number Theory, 1996.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, inf, log, log2, log10

from .codes import Hermitian, pole_orders
from .finite_fields import least_prime_above, prime_powers


@dataclass(frozen=True, slots=True)
class Crossover:
    """Where a family of codes first beats the direct encoding in entries.

    Parameters
    ----------
    variables : float
        n, the number of variables; infinite only where log10_variables says more.
    log10_variables : float
        Its logarithm.
    field, rows, columns : int
        q, T and L of the scheme; 0 columns where only a rate is known.
    message_bits : float
        log2 of the number of messages, per variable: a reduction says something about SAT where
        this is below 1/k.
    """

    variables: float
    log10_variables: float
    field: int
    rows: int
    columns: int
    message_bits: float


def crossover(family: str, order: int, *, density: float = 4.26) -> Crossover | None:
    """Find the least n at which some scheme of a family has a smaller κ than the direct encoding.

    All coordinates are counted: compressed ones grow with N and are no constants.

    Parameters
    ----------
    family : str
        ``reed-solomon`` or ``hermitian``.
    order : int
        k ≥ 2.
    density : float
        Clauses per variable.

    Returns
    -------
    Crossover or None
        None where none ever does, as the head of this file shows.

    Examples
    --------
    >>> found = crossover("hermitian", 2)
    >>> found.field, found.rows, found.columns, round(found.variables), found.message_bits > 1
    (121, 1, 192, 45, True)
    >>> crossover("hermitian", 3) is crossover("reed-solomon", 2) is None
    True
    """
    if family not in ("reed-solomon", "hermitian"):
        raise ValueError(f"Argument 'family' must be reed-solomon or hermitian, not {family!r}.")
    if family == "reed-solomon" or order > 2:
        return None
    # From r = 11 on some L pays, and a larger r needs a larger L > r²: the first r that pays is the best.
    for root in prime_powers():
        length = root**3
        for L, (pole, _, _) in enumerate(pole_orders(root, (length - 1) // order), start=1):
            if length * root**2 < L * (length - order * pole):
                code = Hermitian(root**2, L)
                bits = 2 * log2(root) * code.freedom(order) * density / L
                return Crossover(L / density, log10(L / density), root**2, 1, L, bits)
    raise AssertionError("unreachable: r = 11 pays")


def tower_crossover(order: int, *, density: float = 4.26, share: float = 0.5) -> Crossover:
    """Find the n at which codes from a tower of curves beat the direct encoding and still prove hardness.

    One-point codes on curves with length ≥ (r-1) genus, at half the length in poles (agreement/length =
    λ = ½): L = s + 1 - genus, at most q^((k-1)s) messages. Per variable their logarithm is

        density (k-1) log2(q)/T · 1/(1 - k/(λ(r-1))),    to be at most share/k,

    and κ = q^((k-1)T)/(1-λ), which must be below m = density · n.

    Parameters
    ----------
    order : int
        k ≥ 2.
    density : float
        Clauses per variable.
    share : float
        In (0, 1): the messages may number N^share, so that attention in n^(k-share) time is what
        the reduction speaks of.

    Examples
    --------
    >>> found = tower_crossover(3)
    >>> found.rows > 100, found.log10_variables > 1000
    (True, True)
    """
    if not 0 < share < 1:
        raise ValueError(f"Argument 'share' must lie in (0, 1), not {share}.")
    half = 0.5
    rows = 1
    while True:
        root = least_prime_above(max(rows, ceil(order / half) + 1))
        bits = density * (order - 1) * 2 * log2(root) / rows / (1 - order / (half * (root - 1)))
        if bits <= share / order:
            break
        rows += 1
    logarithm = ((order - 1) * rows * 2 * log(root) - log((1 - half) * density)) / log(10)
    return Crossover(_exp(logarithm * log(10)), logarithm, root**2, rows, 0, bits)


def _exp(exponent: float) -> float:
    return exp(exponent) if exponent < 709 else inf
