"""The monomials that matter where columns are uneven: a downward closed set with certified loss.

With reach u_l of column l, the term of α is at most v(α) = |c_m| (m!/α!) u^α, m = |α|, and all of them
together Σ_m |c_m| (u_1 + ... + u_d)^m. The largest terms are kept until what is left out, that sum less the
kept ones, fits the budget. The set {v > θ} need not contain α − e_l with α, where u_l > 1 or |c_m| m! grows;
but

    s(α) = max_{m ≥ |α|} |c_m| m! · Π_l max_{a ≥ α_l} u_l^a / a!

is at least v(α) and falls along every coordinate, so {s > θ} is downward closed; where every u_l ≤ 1 and
|c_m| m! does not grow, s = v and nothing is lost. Every monomial then has its parent, and each α − e_l that
derivatives ask for.

Glossary
    d, g    number of columns and degree of the polynomial
    u_l     reach of column l: σ max_i|Q_il| Π_t max_j|K_t[j,l]|
    v, s    term bound, and the majorant of it that ranks the monomials
    θ       threshold: monomials with s > θ are kept
    δ       dropped mass Σ v(α) over the α left out, rounded up

Reference: MATH.md section 2; the terms are those of [AS24, Lemma 3.4].
Cost: O(R log R) time and O(R) memory for R kept monomials, whatever C(d+g, g) is.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from .monomial_levels import Level, extend, root
from .monomials import MAX_RANK, MultiIndices, RankExceeded, assemble, rank, require_count

_UNITS = 2**20  # to one doubling of s
_NEVER = -(2**50)  # the score of what has no mass
_EVERYTHING = -(2**49)


def pruned(
    dimension: int,
    degree: int,
    reaches: ArrayLike,
    coefficients: ArrayLike,
    budget: float,
    *,
    max_rank: int = MAX_RANK,
) -> tuple[MultiIndices, float]:
    """Keep the monomials that matter: a downward closed set whose complement weighs at most `budget`.

    Parameters
    ----------
    dimension, degree : int
        d ≥ 0 and g ≥ 0.
    reaches : (d,) array_like
        u_l ≥ 0, finite, scale included: |scale · y_l| ≤ u_l.
    coefficients : (g+1,) array_like
        c_0..c_g of the polynomial.
    budget : float
        The mass that may be dropped, ≥ 0: an absolute change of p, so that η + δ e^{−lo} takes the place of
        η.
    max_rank : int
        Refuse larger sets.

    Returns
    -------
    indices : MultiIndices
        The set, of all columns; those that matter most are extended first.
    dropped : float
        δ ≥ Σ |c_m| (m!/α!) u^α over the α with |α| ≤ g left out, at most `budget`; 0 where none of them has
        mass.

    Raises
    ------
    RankExceeded
        If more than `max_rank` monomials are needed.
    ValueError
        If an argument is outside its range.

    Notes ----- Complexity: O(R log R) for R kept monomials. δ is a difference, known to (3g+19)·2⁻⁵³ of the
    whole mass; a budget below that keeps every monomial with mass.

    Examples
    --------
    >>> indices, dropped = pruned(8, 5, 2.0 ** -np.arange(8), 1 / np.cumprod([1, 1, 2, 3, 4, 5]), 1e-2)
    >>> len(indices), rank(8, 5), dropped <= 1e-2
    (390, 1287, True)
    """
    terms = _bounded_terms(dimension, degree, reaches, coefficients)
    if not 0.0 <= budget < math.inf:
        raise ValueError(f"Argument 'budget' must be finite and ≥ 0, not {budget}.")
    if budget <= terms.blur:
        return assemble(dimension, _above(_EVERYTHING, terms, max_rank).levels), 0.0
    threshold = max(min(math.floor(math.log2(budget) * _UNITS), terms.top) - 1, _EVERYTHING)
    while True:
        kept = _above(threshold, terms, max_rank)
        dropped = terms.missing(kept.masses)
        if dropped <= budget:
            return _trimmed(kept, terms, dropped, budget)
        if len(kept.masses) == terms.rank:
            return assemble(dimension, kept.levels), 0.0
        # the lower the score the more monomials have it, so mass falls more slowly than the threshold
        threshold -= max(_UNITS, math.floor(math.log2(dropped / budget) * _UNITS))


@dataclass(frozen=True, eq=False)
class _Terms:
    """What bounds the terms; variables are numbered by falling reach, `order` names their columns.

    Scores are log2 s in units of 2^−20, integers, so that sums over variables do not depend on their order
    and the closure holds to the last bit.
    """

    order: NDArray[np.int64]
    reaches: NDArray[np.float64]  # (d,) falling
    sizes: NDArray[np.float64]  # (g+1,) |c_m|
    by_degree: NDArray[np.int64]  # (g+1,) log2 max_{m' ≥ m} |c_m'| m'!
    by_exponent: NDArray[np.int64]  # (d, g+1) log2 max_{a' ≥ a} u_l^a' / a'!
    total: Fraction
    rank: int  # monomials that may have mass

    @property
    def top(self) -> int:
        """The score of the constant, the highest."""
        return int(self.by_degree[0] + self.by_exponent[:, 0].sum())

    @property
    def relative_blur(self) -> float:
        """Relative rounding of a term bound: g of u^α, 2g of the multinomial, a few more."""
        return (3 * len(self.sizes) + 16) * 2.0**-53

    @property
    def blur(self) -> float:
        """How well a difference of masses is known."""
        return float(self.total) * self.relative_blur

    def missing(self, masses: NDArray[np.float64]) -> float:
        """Bound the mass of the monomials that are not there."""
        kept = Fraction(math.fsum(masses)) * (1 - Fraction(self.relative_blur))
        return math.nextafter(float(self.total - kept), math.inf)


@dataclass(frozen=True, eq=False)
class _Kept:
    """The monomials above a threshold, by degree, with their bounds and scores."""

    levels: list[Level]  # variables are columns again
    masses: NDArray[np.float64]
    scores: NDArray[np.int64]


def _bounded_terms(dimension: int, degree: int, reaches: ArrayLike, coefficients: ArrayLike) -> _Terms:
    d, g = require_count("dimension", dimension), require_count("degree", degree)
    u = np.asarray(reaches, dtype=np.float64)
    c = np.abs(np.asarray(coefficients, dtype=np.float64))
    if u.shape != (d,) or not (np.isfinite(u) & (u >= 0.0)).all():
        raise ValueError(f"Argument 'reaches' must hold {d} finite numbers ≥ 0, not {reaches!r}.")
    if c.shape != (g + 1,) or not np.isfinite(c).all():
        raise ValueError(f"Argument 'coefficients' must hold {g + 1} finite numbers, not {coefficients!r}.")
    order = np.argsort(-u, kind="stable")
    u = u[order]
    log_factorials = gammaln(np.arange(g + 1) + 1.0) / math.log(2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_degree = np.log2(c) + log_factorials
        by_exponent = np.arange(g + 1) * np.log2(u)[:, None] - log_factorials
    by_exponent[:, 0] = 0.0  # u^0 = 1 also where u = 0
    mass = sum((Fraction(value) for value in u.tolist()), Fraction(0))
    total = sum((Fraction(value) * mass**m for m, value in enumerate(c.tolist())), Fraction(0))
    return _Terms(
        order=order,
        reaches=u,
        sizes=c,
        by_degree=_falling(by_degree),
        by_exponent=_falling(by_exponent),
        total=total,
        rank=rank(int((u > 0.0).sum()), int(np.max(np.flatnonzero(c), initial=0))),
    )


def _falling(logarithms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Replace each entry by the largest from it on, and round to units of a score."""
    highest = np.maximum.accumulate(logarithms[..., ::-1], axis=-1)[..., ::-1]
    return np.where(np.isfinite(highest), np.floor(highest * _UNITS), _NEVER).astype(np.int64)


def _above(threshold: int, terms: _Terms, max_rank: int) -> _Kept:
    """Enumerate {score > threshold}; the constant is always in."""
    level, scores, powers = root(), np.array([terms.top]), np.ones(1)
    levels, all_scores, masses = [level], [scores], [terms.sizes[:1]]
    size = 1
    first_use = terms.by_exponent[:, 0] - terms.by_exponent[:, min(1, len(terms.sizes) - 1)]  # (d,) rising
    for m in range(1, len(terms.sizes)):
        scores = scores + (terms.by_degree[m] - terms.by_degree[m - 1])
        first = np.maximum(level.variables, 0)
        # new variables fit up to a point, since reaches fall; the variable used last is tried by itself
        stop = np.maximum(np.searchsorted(first_use, scores - threshold), level.variables + 1)
        fewest = size + int((stop - first).sum()) - len(first)  # of a parent's children one at most fails
        if fewest > max_rank:
            raise RankExceeded(
                f"The monomials that 'budget' asks for are more than 'max_rank' = {max_rank:,}.",
                fewest,
                max_rank,
            )
        level = extend(level, m, first, stop)
        longer = terms.by_exponent[level.variables, level.runs]
        scores = scores[level.parents] + longer - terms.by_exponent[level.variables, level.runs - 1]
        powers = powers[level.parents] * terms.reaches[level.variables]
        fits = scores > threshold
        level, scores, powers = level.where(fits), scores[fits], powers[fits]
        if not len(scores):
            break
        size += len(scores)
        levels.append(level)
        all_scores.append(scores)
        masses.append(terms.sizes[m] * level.multinomials * powers)
    columns = [levels[0], *(level.renamed(terms.order) for level in levels[1:])]
    return _Kept(columns, np.concatenate(masses), np.concatenate(all_scores))


def _trimmed(kept: _Kept, terms: _Terms, dropped: float, budget: float) -> tuple[MultiIndices, float]:
    """Take away the lowest scores, among equals the highest degrees, while the budget lasts."""
    degrees = np.repeat(np.arange(len(kept.levels)), [len(level.parents) for level in kept.levels])
    lowest_first = np.lexsort((-degrees, kept.scores))[:-1]  # all but the constant, which comes last
    removed = np.cumsum(kept.masses[lowest_first])
    removed *= 1.0 + 2.0**-52 * (len(removed) + 1) + 2 * terms.relative_blur
    count = int(np.searchsorted(dropped + removed, budget, side="right"))
    if count:
        dropped = math.nextafter(dropped + float(removed[count - 1]), math.inf)
    stays = np.ones(len(degrees), dtype=bool)
    stays[lowest_first[:count]] = False
    levels, start, survivors = [], 0, np.ones(1, dtype=np.int64)
    for level in kept.levels:
        mask = stays[start : start + len(level.parents)]
        start += len(level.parents)
        levels.append(level.where(mask, survivors))
        survivors = np.cumsum(mask) - 1
    return assemble(len(terms.order), levels), dropped
