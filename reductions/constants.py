"""The constants of the hard side: what a scheme of the distributed PCP costs, compressed and not.

For entries B the encodings of order k satisfy B^k = κ ln(8 Π(N_t+1)), where
    direct       κ = m + 2^(k-1) - 2                          (signed encoding of m coordinates)
    general      κ = (D + t)/(t - t_no)                       (after the distributed PCP)
    complement   κ = D/(t - t_no) + (2^(k-1) - 2) r/(t - t_no),   r the copies of a marker,
so the PCP pays in entries once its κ is below m, which grows like ln n while κ belongs to the scheme
alone: see crossovers.py. As n grows, b = B/(ln n)^(1/k) tends to ((k-1)κ)^(1/k).

How small κ can be. The general form has κ ≥ 2, as D ≥ t. In the complement the markers must
outweigh about N^(k-2) mixtures, so r/(t - t_no) → (k-2)/(k-1) and κ → 1 is possible for k = 2 only,
κ → 2 for k = 3, κ → 5 for k = 4: from order 3 on it is no better than the general form.

Glossary
--------
κ          kappa: d/(t - t_no), or d for the direct encoding, what one unit of violation costs.
b          coordinate: B/(ln n)^(1/k), n the most tokens.
regime     ``genuine`` where coordinates are shared between tuples, ``saturated`` where there is one
           for each point and tuple of the first k-1 sets: brute force in disguise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, inf, log, log2

from ..instances.max_inner_product import GapSize
from ..instances.orthogonal_vectors import VectorsSize
from .arrows import Path
from .encoding import decision_beta
from .gap import distributed_pcp
from .reduction import Size
from .schemes import Scheme, choose_scheme
from .threshold_encodings import marker_copies, threshold_beta


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


def scheme_constants(size: VectorsSize, scheme: Scheme) -> Constants:
    """Work out the constants of `scheme` for a source of `size`.

    Examples
    --------
    >>> size = VectorsSize((8, 8, 8), 60)
    >>> found = scheme_constants(size, choose_scheme(size))
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


def path_constants(path: Path, size: Size) -> Constants:
    """Work out the constants of the scheme that a path through the distributed PCP would choose.

    Parameters
    ----------
    path : Path
        Has `distributed_pcp` in it, such as ``find_path("gap", CNF)``.
    size : Size
        Of the path's source.

    Raises
    ------
    ValueError
        If the path does not go through the distributed PCP.

    Examples
    --------
    >>> from cubicwall.instances.cnf import CNF, CNFSize
    >>> from cubicwall.reductions.arrows import find_path
    >>> path_constants(find_path("gap", CNF, order=3), CNFSize(9, 60, 3)).messages
    961
    """
    sizes = [size, *(claim.target for claim in path.claims(size))]
    for before, arrow, options in zip(sizes, path.arrows, path.options, strict=False):
        if arrow is distributed_pcp and isinstance(before, VectorsSize):
            chosen = {name: value for name, value in options.items() if name != "compress"}
            return scheme_constants(before, choose_scheme(before, **chosen))
    raise ValueError(f"Argument 'path' must go through distributed_pcp, not {list(path.names)}.")


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
        scheme_constants(size, choose_scheme(size, family=family, columns=L))
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
