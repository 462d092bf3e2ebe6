"""The sparsification lemma: one k-CNF -> an OR of few k-CNFs with few clauses [IPZ01].

A *flower* of F is a set of literals H, the heart, that lies in many clauses C of one size c; the
petals are the C∖H, of size j = c - |H|. An assignment satisfies F iff it satisfies F ∪ {H} or F
together with all petals. Branch so while some (c, j), c ascending and then j ascending, has a flower
of at least θ_j clauses; π keeps the minimal clauses only.

Why few leaves. Call a clause added when a step puts it in; hearts and petals are nonempty, and never
implied by a clause that is there (else π would have dropped the clauses they came from), so no
clause is added twice on a path. Let A_i bound the added clauses of size i on a path, i < k.
- A_1 = 2n, the number of literals.
- Let H have h < i literals. Just before a step that adds clauses of size i, fewer than θ_{i-h}
  clauses of size i contain H, as flowers of size i < c come first. The step adds either one heart, or
  petals C∖H' of size i = j; those which contain H come from clauses C ⊇ H ∪ H', fewer than θ_{j-h} of
  them since j - h < j comes first. So afterwards, and until the next such step, at most
  2(θ_{i-h} - 1) clauses of size i contain H.
- With h = 1: at most 2n · 2(θ_{i-1} - 1)/i added clauses of size i are there at any time. The others
  were dropped because of an added clause of a size h < i, and each of those drops at most
  2(θ_{i-h} - 1):

      A_i = ⌊4n(θ_{i-1} - 1)/i⌋ + Σ_{h<i} 2(θ_{i-h} - 1) A_h.

A path is a word over {heart, petals} of at most ΣA_i letters. At most A_j/θ_j of them are "petals of
size j", since such a step adds at least θ_j clauses. Leaves are such words, none a prefix of another:

      leaves ≤ Σ_{r ≤ R} C(ΣA_i, r),   R = Σ_j ⌊A_j/θ_j⌋.

Why few clauses. In a leaf each of the 2n literals lies in at most θ_{c-1} - 1 clauses of size c. And
no step makes the formula longer: a heart replaces two clauses or more, petals as many as they are.

The lemma's θ_j = αβ_j with β_1 = 2, β_i = Σ_{h<i} 4αβ_hβ_{i-h} has A_i ≤ β_i n, so at most
Σ_{r≤(k-1)n/α} C(nΣβ_i, r) leaves; `alpha_for` finds the α for which that stays below 2^(εn). At sizes
that one can run those α are so large that there are no flowers (k = 3, ε = ½: α ≈ 66.2, and the first
flower needs 68 variables): `least_branching` says from which n on anything branches, and smaller α
or θ show the branching at work.

Cost: O(leaves · depth · m 2^k) time.

Glossary
--------
width      k, the length of the longest clause.
alpha      α; thresholds θ_1..θ_{k-1} by the size of the petals.
heart, petals, flower   as above.

References
----------
[IPZ01] Impagliazzo, Paturi, Zane. Which problems have strongly exponential complexity? The proof
follows Calabro, Impagliazzo, Paturi. A duality between clause width and clause density for SAT. 2006.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from math import ceil, comb, log2

from ..instances.answer import Answer
from ..instances.cnf import CNF, CNFSize
from ..instances.provenance import Provenance
from .disjunction import any_of
from .reduction import Claim, Steps, reduction

Clause = frozenset[int]


def _claim(
    size: CNFSize,
    *,
    epsilon: float = 0.5,
    alpha: float | None = None,
    thresholds: Sequence[int] | None = None,
) -> Claim:
    theta = flower_thresholds(size.width, epsilon=epsilon, alpha=alpha, thresholds=thresholds)
    target = CNFSize(size.variables, most_clauses(size, theta), size.width)
    return Claim(calls=most_leaves(size, theta), target=target, exact=frozenset({"n"}))


@reduction(
    source=CNF,
    target=CNF,
    claim=_claim,
    statement="sparse SAT in 2^((1-δ/{k})n) time ⇒ SAT in 2^((1-δ/{k}+ε)n) time",
    reference="[IPZ01]",
)
def sparsify(
    cnf: CNF,
    *,
    epsilon: float = 0.5,
    alpha: float | None = None,
    thresholds: Sequence[int] | None = None,
) -> Steps[CNF, Answer, Answer]:
    """Ask whether one of few sparse formulas is satisfiable; they are made as they are asked.

    Parameters
    ----------
    cnf : CNF
        n variables, clauses of width at most k.
    epsilon : float
        ε > 0: at most 2^(εn) leaves. Chooses α unless that is given.
    alpha : float, optional
        α > 0; θ_j = max(2, ⌈αβ_j⌉) unless thresholds are given.
    thresholds : sequence of int, optional
        θ_1, ..., θ_{k-1}, each at least 2; more than k - 1 are allowed.

    Yields
    ------
    CNF
        A leaf over the same variables. Tautologies are left out.

    Returns
    -------
    Answer
        ``Yes(model)`` with the model of a leaf, which is one of the source.

    Raises
    ------
    ValueError
        If `epsilon` or `alpha` is not positive, or a threshold is missing or below 2.

    Examples
    --------
    >>> from cubicwall.instances.cnf import CNF
    >>> steps = sparsify(CNF.from_clauses([[1, 2], [1, 3], [-1, 4]]), thresholds=[2])
    >>> next(steps).clauses
    ((1,), (-1, 4))
    """
    theta = flower_thresholds(cnf.size.width, epsilon=epsilon, alpha=alpha, thresholds=thresholds)
    provenance = Provenance(f"sparsify(thresholds={list(theta)}) of {cnf.provenance.maker}")
    leaves = (
        CNF.from_clauses(_readable(leaf), cnf.variables, provenance=provenance)
        for leaf in _leaves(_minimal(cnf.clauses), theta)
    )
    return (yield from any_of(leaves))


def flower_thresholds(
    width: int,
    *,
    epsilon: float = 0.5,
    alpha: float | None = None,
    thresholds: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Return θ_1..θ_{k-1} from ε, from α, or as they are given; parameters as for `sparsify`.

    Examples
    --------
    >>> flower_thresholds(3, alpha=2), flower_thresholds(3, thresholds=[2, 3])
    ((4, 64), (2, 3))
    """
    petals = max(0, width - 1)
    if thresholds is not None:
        if len(thresholds) < petals:
            raise ValueError(f"Argument 'thresholds' must hold {petals} numbers, not {len(thresholds)}.")
        if min(thresholds, default=2) < 2:
            raise ValueError(f"Argument 'thresholds' must be at least 2 throughout, not {list(thresholds)}.")
        return tuple(int(theta) for theta in thresholds[:petals])
    alpha = alpha_for(width, epsilon) if alpha is None else alpha
    if not alpha > 0:
        raise ValueError(f"Argument 'alpha' must be positive, not {alpha}.")
    return tuple(max(2, ceil(alpha * beta)) for beta in _betas(width, alpha))


def alpha_for(width: int, epsilon: float) -> float:
    """Return the least α, to a part in 10⁹, at which the lemma promises at most 2^(εn) leaves for every n.

    It bounds log2 Σ_{r≤pN} C(N, r) by N·H(p), H the binary entropy, p ≤ ½.

    Examples
    --------
    >>> round(alpha_for(3, 0.5), 1)
    66.2
    """
    if not epsilon > 0:
        raise ValueError(f"Argument 'epsilon' must be positive, not {epsilon}.")

    def promised(alpha: float) -> bool:
        total = sum(_betas(width, alpha))
        share = (width - 1) / (alpha * total)
        return share <= 0.5 and total * _entropy(share) <= epsilon

    if width < 2:
        return 1.0
    low, high = 0.0, 1.0
    while not promised(high):
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if promised(middle) else (middle, high)
    return high


def most_leaves(size: CNFSize, theta: Sequence[int]) -> int:
    """Bound the number of leaves, see the head of this file; 1 where no flower is possible."""
    n, m = size.variables, size.clauses
    petal_sizes = [j for j, t in enumerate(theta, start=1) if t <= min(m, _neighbours(n, j))]
    if not petal_sizes:
        return 1
    added = [0]
    for i in range(1, len(theta) + 1):
        present = 4 * n * (theta[i - 2] - 1) // i if i > 1 else 2 * n
        dropped = sum(2 * (theta[i - h - 1] - 1) * added[h] for h in range(1, i))
        added.append(min(present + dropped, comb(n, i) * 2**i))
    steps, petals = sum(added), sum(added[j] // theta[j - 1] for j in petal_sizes)
    leaves = words = 1
    for r in range(1, petals + 1):
        words = words * (steps - r + 1) // r
        leaves += words
    return leaves


def most_clauses(size: CNFSize, theta: Sequence[int]) -> int:
    """Bound the clauses of a leaf: m of the source, and 2n Σ_c (θ_{c-1} - 1)/c plus 2n units.

    A formula with an empty clause has one clause, whatever n is.
    """
    n = size.variables
    sparse = 2 * n + sum(2 * n * (t - 1) // c for c, t in enumerate(theta, start=2))
    return min(size.clauses, max(1, sparse))


def least_branching(theta: Sequence[int]) -> int | None:
    """Return the least number of variables at which some formula has a flower; None for width below 2.

    Examples
    --------
    >>> least_branching(flower_thresholds(3, epsilon=0.5))
    68
    """
    if not theta:
        return None
    n = 1
    while all(_neighbours(n, j) < t for j, t in enumerate(theta, start=1)):
        n += 1
    return n


def _neighbours(variables: int, petal: int) -> int:
    """Count the clauses of size petal + 1 that contain a given literal and are no tautologies."""
    return comb(max(0, variables - 1), petal) << petal


def _leaves(root: frozenset[Clause], theta: tuple[int, ...]) -> Iterator[frozenset[Clause]]:
    pending = [root]
    while pending:
        formula = pending.pop()
        flower = _flower(formula, theta)
        if flower is None:
            yield formula
            continue
        heart, petals = flower
        pending.append(_with(formula, petals))
        pending.append(_with(formula, [heart]))


def _flower(formula: frozenset[Clause], theta: tuple[int, ...]) -> tuple[Clause, list[Clause]] | None:
    """Find the first flower, the largest for its (c, j) and among those the one with the least heart."""
    by_size: dict[int, list[Clause]] = defaultdict(list)
    for clause in formula:
        by_size[len(clause)].append(clause)
    for size, clauses in sorted(by_size.items()):
        for petal in range(1, size):
            if len(clauses) < theta[petal - 1]:
                continue
            hearts = Counter(
                heart for clause in clauses for heart in combinations(sorted(clause), size - petal)
            )
            heart, count = min(hearts.items(), key=lambda found: (-found[1], found[0]))
            if count >= theta[petal - 1]:
                core = frozenset(heart)
                return core, [clause - core for clause in clauses if core <= clause]
    return None


def _with(formula: frozenset[Clause], added: list[Clause]) -> frozenset[Clause]:
    """Add clauses of one size that nothing in `formula` implies, and drop their supersets."""
    kept = (clause for clause in formula if not any(new <= clause for new in added))
    return frozenset(added).union(kept)


def _minimal(clauses: Iterable[Iterable[int]]) -> frozenset[Clause]:
    """Leave out tautologies, repetitions and supersets of other clauses."""
    sets = {frozenset(clause) for clause in clauses}
    kept: dict[int, list[Clause]] = defaultdict(list)  # each clause under its least literal, 0 if empty
    for clause in sorted(sets, key=len):
        tautology = any(-literal in clause for literal in clause)
        if not tautology and not any(other <= clause for key in (0, *clause) for other in kept[key]):
            kept[min(clause, default=0)].append(clause)
    return frozenset(clause for bucket in kept.values() for clause in bucket)


def _readable(formula: frozenset[Clause]) -> list[list[int]]:
    clauses = [sorted(clause, key=lambda literal: (abs(literal), literal)) for clause in formula]
    return sorted(clauses, key=lambda clause: (len(clause), [abs(literal) for literal in clause], clause))


def _betas(width: int, alpha: float) -> list[float]:
    """β_1..β_{k-1} of the lemma."""
    betas = [2.0]
    for _ in range(width - 2):
        betas.append(4 * alpha * sum(a * b for a, b in zip(betas, reversed(betas), strict=True)))
    return betas[: max(0, width - 1)]


def _entropy(share: float) -> float:
    return -share * log2(share) - (1 - share) * log2(1 - share)
