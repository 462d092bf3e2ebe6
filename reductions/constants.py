"""The constants of the hard side: what a scheme of the distributed PCP costs, and when it would pay.

For entries B the encodings of order k satisfy B^k = κ ln(8 Π(N_t+1)), where
    direct       κ = m + 2^(k-1) - 2                          (signed encoding of m coordinates)
    general      κ = (D + t)/(t - t_no)                       (after the distributed PCP)
    complement   κ = D/(t - t_no) + (2^(k-1) - 2) r/(t - t_no),   r the copies of a marker,
so the PCP pays in entries once its κ is below m, which grows like ln n while κ belongs to the scheme
alone. As n grows, b = B/(ln n)^(1/k) tends to ((k-1)κ)^(1/k).

How small κ can be. The general form has κ ≥ 2, as D ≥ t. In the complement the markers must
outweigh about N^(k-2) mixtures, so r/(t - t_no) → (k-2)/(k-1) and κ → 1 is possible for k = 2 only,
κ → 2 for k = 3, κ → 5 for k = 4: from order 3 on it is no better than the general form.

What it takes to pay. With all coordinates κ ≥ q^((k-1)T) length/(length - agreement), while m ≤ T L.
- Reed-Solomon: k(L-1) < q, so q^((k-1)T) < T(q/k + 1) + 2^(k-1) - 2 would have to hold with q > T: never.
- Hermitian over GF(r²): L ≤ s + 1 ≤ r³/k, so r^(2(k-1)T) < T r³/k + 2^(k-1) - 2: only for k = 2 and T = 1,
  from r = 11 on. Then m = L ≈ 190 already pays in entries; but the messages outnumber the 2^n
  assignments by far: an encoding with small entries that proves no hardness.
- A tower of curves over GF(r²) with length ≥ (r-1) genus at every length (Garcia, Stichtenoth)
  gives both, small entries and few messages: `tower_crossover` finds the n, of thousands of digits.

Glossary
--------
κ          kappa: d/(t - t_no), or d for the direct encoding, what one unit of violation costs.
b          coordinate: B/(ln n)^(1/k), n the most tokens.
regime     ``genuine`` where coordinates are shared between tuples, ``saturated`` where there is one
           for each point and tuple of the first k-1 sets: brute force in disguise.
density    clauses per variable: m = density · n, N = 2^(n/k).

References
----------
[R18] Rubinstein. Hardness of approximate nearest neighbor search. STOC 2018.
Garcia, Stichtenoth. On the asymptotic behaviour of some towers of function fields over finite fields. 1996.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, exp, inf, log, log2, log10

from ..instances.max_inner_product import GapSize
from ..instances.orthogonal_vectors import VectorsSize
from .codes import Hermitian, pole_orders
from .encoding import decision_beta
from .finite_fields import least_prime_above, prime_powers
from .schemes import Scheme, choose_scheme
from .threshold_encoding import marker_copies, threshold_beta


@dataclass(frozen=True, slots=True)
class Encoded:
    """What an encoding makes of one instance: dimension d, κ, entry bound B and b = B/(ln n)^(1/k).

    Numbers too large for a float are infinite; the dimension is exact.
    """

    dimension: int
    kappa: float
    entry_bound: float
    coordinate: float


@dataclass(frozen=True, slots=True)
class Constants:
    """All constants of a scheme for a source of a given size.

    `full` and `compressed` are D before and after dropping dead coordinates (an upper bound);
    `message_bits` is log2 of the number of messages.
    """

    size: VectorsSize
    scheme: Scheme
    regime: str
    messages: int
    message_bits: float
    full: int
    compressed: int
    general: Encoded
    complement: Encoded
    general_full: Encoded
    complement_full: Encoded
    direct: Encoded

    @property
    def beats_direct(self) -> bool:
        """Whether the better encoding of the compressed instance has smaller entries than the direct one."""
        return min(self.general.kappa, self.complement.kappa) < self.direct.kappa


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


def constants(size: VectorsSize, scheme: Scheme) -> Constants:
    """Work out the constants of `scheme` for a source of `size`.

    Examples
    --------
    >>> size = VectorsSize((8, 8, 8), 60)
    >>> found = constants(size, choose_scheme(size))
    >>> found.regime, found.messages, found.compressed, round(found.general.kappa, 1)
    ('saturated', 961, 1984, 72.0)
    """
    full, compressed = scheme.dimension, scheme.compressed(size.sets)
    target, bound = scheme.code.length, scheme.agreement
    instances = [GapSize(size.sets, dimension, target, bound) for dimension in (compressed, full)]
    return Constants(
        size=size,
        scheme=scheme,
        regime="genuine" if scheme.genuine(size.sets) else "saturated",
        messages=scheme.messages,
        message_bits=log2(scheme.code.field) * scheme.code.freedom(scheme.order),
        full=full,
        compressed=compressed,
        general=_general(instances[0]),
        complement=_complement(instances[0]),
        general_full=_general(instances[1]),
        complement_full=_complement(instances[1]),
        direct=_encoded(size.sets, size.dimension + 2 ** (scheme.order - 1) - 2, 1),
    )


def constants_table(size: VectorsSize, columns: Iterable[int] = (1, 2, 3, 4)) -> list[Constants]:
    """Return the constants of the least Reed-Solomon and Hermitian schemes for each number of columns.

    Parameters
    ----------
    size : VectorsSize
        k sets, m coordinates.
    columns : iterable of int
        The numbers L of columns.

    Examples
    --------
    >>> for row in constants_table(VectorsSize((8, 8, 8), 6), columns=[3]):
    ...     print(row.scheme, row.messages, row.full, row.compressed)
    ReedSolomon(field=7, columns=3), rows=2 2401 16807 448
    Hermitian(field=9, columns=3), rows=2 4782969 177147 1728
    """
    return [
        constants(size, choose_scheme(size, family=family, columns=L))
        for L in columns
        for family in ("reed-solomon", "hermitian")
    ]


def limit_coordinate(order: int, kappa: float) -> float:
    """Return b_dec(κ) = ((k-1)κ)^(1/k): where the reduction decides as n grows.

    Examples
    --------
    >>> [round(limit_coordinate(k, 1), 3) for k in (2, 3, 4)]
    [1.0, 1.26, 1.316]
    """
    return float(((order - 1) * kappa) ** (1 / order))


def decision_coordinate(order: int, kappa: float, vectors: int) -> float:
    """Return the b that the encodings use for k sets of N vectors: B^k = κ ln(8 (N+1)^(k-1)), n = N + 1.

    Examples
    --------
    >>> round(decision_coordinate(3, 1, 10**6), 3), round(decision_coordinate(3, 1, 10**100), 3)
    (1.291, 1.262)
    """
    tokens = log(vectors + 1)
    return float((kappa * (log(8) + (order - 1) * tokens) / tokens) ** (1 / order))


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


def _general(size: GapSize) -> Encoded:
    return _encoded(size.sets, size.dimension + size.target, size.target - size.bound)


def _complement(size: GapSize) -> Encoded:
    copies = marker_copies(size.sets, threshold_beta(size))
    markers = copies * (2 ** (len(size.sets) - 1) - 2)
    return _encoded(size.sets, size.dimension + markers, size.target - size.bound)


def _encoded(sets: tuple[int, ...], dimension: int, gap: int) -> Encoded:
    order, tokens = len(sets), max(sets[0], *(n + 1 for n in sets[1:]))
    log_kappa = log(dimension) - log(gap) if dimension else -inf
    bound = _exp((log_kappa + log(decision_beta(sets))) / order)
    coordinate = bound / log(tokens) ** (1 / order) if tokens > 1 else inf
    return Encoded(dimension, _exp(log_kappa), bound, coordinate)


def _exp(exponent: float) -> float:
    return exp(exponent) if exponent < 709 else inf
