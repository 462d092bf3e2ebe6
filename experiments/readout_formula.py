"""The exact read-out formula: at which inverse temperature an encoding withstands errors of ε.

A row with a tuple at the target has mass at least Y = 1/(2 + M), one without at most N = S/(S + 1 + M), where
S = ΠN_t e^{−βg} and M = mixed e^{−βh}. Some cut tells them apart under every error ε iff Y − N ≥ 2ε.
Everything works on logarithms, so that N may be far beyond floats.

Glossary
    β, ε    inverse temperature, error of the oracle
    Y, N    least mass of a row that says yes, largest of one that says no
    g, h    what a wrong tuple and a mixture cost, in units of β

Reference: reductions/encoding.py, reductions/threshold_encodings.py.
Cost: some dozens of evaluations a root.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import brentq

LARGEST_ERROR = 0.25  # Y − N < 1/2 for every β


@dataclass(frozen=True)
class ReadOut:
    """What the exact read-out formula needs to know of an encoding.

    Parameters
    ----------
    log_tuples : float
        ln ΠN_t over the key sets.
    log_mixed : float
        ln of the number of tuples with both real and rest tokens, −∞ for order 2.
    gap : float
        g: what one tuple below the target loses at least, in units of β.
    mixed_gap : float
        h: what a mixture loses.
    """

    log_tuples: float
    log_mixed: float
    gap: float
    mixed_gap: float

    def masses(self, beta: float) -> tuple[float, float]:
        """Return Y and N at an inverse temperature.

        Examples
        --------
        >>> yes, no = read_out((8, 8, 8), 1, 1).masses(math.log(8 * 81))
        >>> yes > 8 / 17, no < 1 / 9
        (True, True)
        """
        wrong = math.exp(min(700.0, self.log_tuples - beta * self.gap))
        mixed = math.exp(min(700.0, self.log_mixed - beta * self.mixed_gap))
        return 1.0 / (2.0 + mixed), wrong / (wrong + 1.0 + mixed)

    def least_beta(self, epsilon: float) -> float:
        """Return the least β at which the cut (Y+N)/2 withstands every error ε.

        Raises
        ------
        ValueError
            If ε is not in (0, 1/4): no β would do.

        Examples
        --------
        >>> beta = read_out((64, 64), 1, 1).least_beta(0.17)
        >>> round(beta, 3), round(math.log(8 * 65), 3)  # the closed form is on the safe side
        (5.817, 6.254)
        """
        if not 0.0 < epsilon < LARGEST_ERROR:
            raise ValueError(f"Argument 'epsilon' must lie in (0, {LARGEST_ERROR}), not {epsilon}.")

        def spare(beta: float) -> float:
            yes, no = self.masses(beta)
            return yes - no - 2.0 * epsilon

        top = max(self.log_tuples / self.gap, max(0.0, self.log_mixed) / self.mixed_gap) + 1.0
        while spare(top) < 0.0:
            top *= 1.5
        return float(brentq(spare, 0.0, top, xtol=1e-13, rtol=1e-14))


def read_out(sizes: Sequence[int], gap: float, mixed_gap: float) -> ReadOut:
    """Describe an encoding of sets of the given sizes.

    Examples
    --------
    >>> read_out((4, 3, 2), 1, 1).log_mixed == math.log(4 * 3 - 3 * 2 - 1)
    True
    """
    tuples = math.prod(sizes[1:])
    mixed = math.prod(n + 1 for n in sizes[1:]) - tuples - 1
    return ReadOut(math.log(tuples), math.log(mixed) if mixed else -math.inf, gap, mixed_gap)


def closed_form(epsilon: float) -> float:
    """Return A(ε): the factor of Π(N_t+1) at which S = M = 1/A leave room for ε on both sides.

    Examples
    --------
    >>> round(closed_form((8 / 17 - 1 / 9) / 2), 6)
    8.0
    """
    if not 0.0 < epsilon < LARGEST_ERROR:
        raise ValueError(f"Argument 'epsilon' must lie in (0, {LARGEST_ERROR}), not {epsilon}.")
    return float(brentq(lambda a: a / (2 * a + 1) - 1 / (a + 1) - 2 * epsilon, 1.0, 1e9, rtol=1e-14))
