"""The entries that a reduction needs as n grows: slopes 2/k and 1/k in ln ln n, direct and through a gap.

The exact read-out formula (`readout_formula`) gives the least inverse temperature β for any N, in logarithms,
so that ln N = 10³ is no harder than N = 64. With κ = d/g,

    direct   B^k = (m + 2^{k−1} − 2) β,   m = c ln N          gap   B^k = κ β g

β g = ln A + (k−1) ln N, so the slope d ln B/d ln ln N is (1/k) (k−1) ln N/(ln A + (k−1) ln N), and for the
direct encoding another 1/k from m.

The factor A, which is 8 in the closed form of the encodings, is an offset under the logarithm: it bends the
curve at small n by the share ln A/(ln A + (k−1) ln N), 22% at N = 64 for k = 3 and 0.2% at ln N = 10³. It is
computed here and not fitted away.

Glossary
    c       coordinates of the source per ln N
    B, κ    entry bound, d/g
"""

from __future__ import annotations

import math

from scipy.special import logsumexp

from .readout_formula import ReadOut


def required_entry_bound(
    encoding: str, ln_size: float, epsilon: float, *, order: int = 3, c: float = 4.0, kappa: float = 2.0
) -> float:
    """Return the least B at which the exact read-out formula decides under errors of ε.

    Parameters
    ----------
    encoding : {"direct", "gap"}
        Which encoding.
    ln_size : float
        ln N > 0, N vectors a set.
    epsilon : float
        In (0, 1/4).
    order : int
        k.
    c : float
        The direct encoding's source has m = c ln N coordinates.
    kappa : float
        κ = d/(t − t_no) of the gap encoding; mixtures lose at least t − t_no.

    Returns
    -------
    float
        B.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> import math
    >>> [round(required_entry_bound(e, math.log(64), 0.17), 2) for e in ("direct", "gap")]
    [5.71, 2.71]
    """
    if encoding not in ("direct", "gap"):
        raise ValueError(f"Argument 'encoding' must be direct or gap, not {encoding!r}.")
    if not 0.0 < ln_size < math.inf:
        raise ValueError(f"Argument 'ln_size' must be positive and finite, not {ln_size}.")
    beta = formula(ln_size, order).least_beta(epsilon)
    dimension = c * ln_size + 2 ** (order - 1) - 2 if encoding == "direct" else kappa
    return float((beta * dimension) ** (1.0 / order))


def formula(ln_size: float, order: int) -> ReadOut:
    """Describe an encoding of k sets of N vectors each, of any size, with g = h = 1."""
    # Π(N_t+1) − ΠN_t − 1 = Σ_{0<j<k−1} C(k−1, j) N^j
    terms = [math.log(math.comb(order - 1, j)) + j * ln_size for j in range(1, order - 1)]
    return ReadOut((order - 1) * ln_size, float(logsumexp(terms)) if terms else -math.inf, 1.0, 1.0)


def growth_exponent(
    encoding: str, ln_size: float, epsilon: float, *, order: int = 3, c: float = 4.0, kappa: float = 2.0
) -> float:
    """Return d ln B/d ln ln n at ln N, by a central difference of 1%.

    Parameters
    ----------
    encoding, ln_size, epsilon, order, c, kappa
        As for `required_entry_bound`.

    Examples
    --------
    >>> [round(growth_exponent(encoding, 1e3, 0.17), 3) for encoding in ("direct", "gap")]
    [0.666, 0.333]
    """
    below, above = (
        math.log(required_entry_bound(encoding, ln_size * factor, epsilon, order=order, c=c, kappa=kappa))
        for factor in (0.99, 1.01)
    )
    return (above - below) / math.log(1.01 / 0.99)


def explained_exponent(
    encoding: str, ln_size: float, factor: float, *, order: int = 3, c: float = 4.0
) -> float:
    """Return the same slope from the closed form with A = `factor` under the logarithm.

    Examples
    --------
    >>> round(explained_exponent("gap", 4.16, 8.0), 3), round(explained_exponent("direct", 4.16, 8.0), 3)
    (0.267, 0.564)
    """
    logarithm = (order - 1) * ln_size
    slope = logarithm / (math.log(factor) + logarithm)
    if encoding == "direct":
        slope += c * ln_size / (c * ln_size + 2 ** (order - 1) - 2)
    return slope / order


def exact_factor(epsilon: float) -> float:
    """Return A = 1/S with 1/2 − S/(S+1) = 2ε: what stands beside ΠN_t once mixtures weigh nothing.

    Examples
    --------
    >>> round(exact_factor(0.17), 2)
    5.25
    """
    largest_no = 0.5 - 2.0 * epsilon
    return (1.0 - largest_no) / largest_no
