"""Families of gap instances with a chosen κ = D/(t - t_no): slack, saturated and without a gap.

sparse     every vector but the planted ones has weight t_no, so no other tuple can exceed the
           bound; typical inner products are far below it, and an encoding decides with room to spare.
saturated  every tuple sits exactly at the bound, one planted tuple exactly at the target: the
           worst case, where the bounds of an encoding are met with equality.
gap-free   random vectors and t_no = t - 1, which is exact maximum inner product: the promise is empty.

Every family is a deterministic function of its generator's state. Cost: O(D Σ N_g).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .max_inner_product import GapMaxInnerProduct
from .orthogonal_vectors import Bits
from .provenance import Provenance


def sparse_gap(
    sizes: Sequence[int],
    *,
    target: int,
    bound: int,
    kappa: float,
    rng: np.random.Generator,
    planted: bool,
) -> GapMaxInnerProduct:
    """Draw vectors of weight t_no and, if asked, plant one tuple that reaches the target.

    Parameters
    ----------
    sizes : sequence of k int
        N_g ≥ 1 vectors in set g.
    target, bound : int
        0 ≤ t_no < t.
    kappa : float
        D = round(κ(t - t_no)) coordinates, at least t.
    rng : numpy.random.Generator
        The source of randomness.
    planted : bool
        Whether to plant: a YES or a NO instance.

    Raises
    ------
    ValueError
        If a set is empty or D falls below t.

    Examples
    --------
    >>> instance = sparse_gap([4, 4], target=6, bound=2, kappa=8, rng=np.random.default_rng(1), planted=True)
    >>> instance.dimension, int((instance.sets[0].astype(int) @ instance.sets[1].T == 6).sum())
    (32, 1)
    """
    dimension = _dimension(sizes, target, bound, kappa)
    sets = []
    for count in sizes:
        places = rng.random((count, dimension)).argpartition(bound, axis=1)[:, :bound]
        vectors = np.zeros((count, dimension), dtype=np.uint8)
        np.put_along_axis(vectors, places, 1, axis=1)
        sets.append(vectors)
    if planted:
        # The planted vectors have t ones, the others t_no: only their own tuple can exceed the bound.
        shared = rng.choice(dimension, size=target, replace=False)
        for vectors in sets:
            row = rng.integers(len(vectors))
            vectors[row] = 0
            vectors[row, shared] = 1
    return _made("sparse_gap", sets, target, bound, planted)


def saturated_gap(
    sizes: Sequence[int],
    *,
    target: int,
    bound: int,
    kappa: float,
    rng: np.random.Generator,
    planted: bool,
) -> GapMaxInnerProduct:
    """Put every tuple exactly at the bound and, if asked, one at the target.

    Most coordinates form t_no blocks. In each block a vector of the first set picks one
    coordinate, every coordinate is picked by some vector, and the other sets are 1 throughout:
    every tuple meets exactly once a block, and no coordinate is idle. The planted tuple alone
    is 1 in t - t_no more coordinates.

    Parameters
    ----------
    sizes, target, bound, rng, planted
        As for `sparse_gap`, with t_no ≥ 1.
    kappa : float
        D = round(κ(t - t_no)), of which t - t_no belong to the planted tuple; the rest must lie
        between t_no and t_no N_1, the shortest and longest blocks.

    Raises
    ------
    ValueError
        If a set is empty, t_no is 0, or D is out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> instance = saturated_gap([3, 2], target=4, bound=2, kappa=3, rng=rng, planted=True)
    >>> np.sort((instance.sets[0].astype(int) @ instance.sets[1].T).ravel()).tolist()
    [2, 2, 2, 2, 2, 4]
    """
    if bound < 1:
        raise ValueError(f"Argument 'bound' must be at least 1 for a saturated instance, not {bound}.")
    dimension = _dimension(sizes, target, bound, kappa)
    extra = target - bound if planted else 0
    if not bound <= dimension - extra <= bound * sizes[0]:
        raise ValueError(
            f"Argument 'kappa' must give between {bound + extra} and {bound * sizes[0] + extra} coordinates "
            f"for blocks of 1..{sizes[0]}, not {dimension}."
        )
    sets = [np.ones((count, dimension), dtype=np.uint8) for count in sizes]
    sets[0][:] = 0
    rows = np.arange(sizes[0])
    for block in np.array_split(np.arange(dimension - extra), bound):
        sets[0][rows, block[rng.permutation(sizes[0]) % len(block)]] = 1
    if planted:
        for vectors in sets:
            vectors[:, dimension - extra :] = 0
            vectors[rng.integers(len(vectors)), dimension - extra :] = 1
    return _made("saturated_gap", sets, target, bound, planted)


def gap_free(
    sizes: Sequence[int], *, dimension: int, target: int, density: float, rng: np.random.Generator
) -> GapMaxInnerProduct:
    """Draw independent bits; t_no = t - 1, so the promise holds whatever was drawn.

    Parameters
    ----------
    sizes : sequence of k int
        N_g vectors in set g.
    dimension : int
        D.
    target : int
        t ≥ 1.
    density : float
        The probability, in [0, 1], that a bit is 1.
    rng : numpy.random.Generator
        The source of randomness.

    Examples
    --------
    >>> gap_free([3, 5, 2], dimension=9, target=4, density=0.5, rng=np.random.default_rng(1))
    GapMaxInnerProduct(sizes=(3, 5, 2), dimension=9, target=4, bound=3)
    """
    if not 0 <= density <= 1:
        raise ValueError(f"Argument 'density' must lie in [0, 1], not {density}.")
    sets = [rng.random((count, dimension)) < density for count in sizes]
    return GapMaxInnerProduct(sets, target, target - 1, Provenance(f"gap_free(density={density:g})"))


def _dimension(sizes: Sequence[int], target: int, bound: int, kappa: float) -> int:
    if min(sizes) < 1:
        raise ValueError(f"Argument 'sizes' must be at least 1 throughout, not {tuple(sizes)}.")
    if not 0 <= bound < target:
        raise ValueError(f"Argument 'bound' must be in 0..{target - 1}, below the target, not {bound}.")
    dimension = round(kappa * (target - bound))
    if dimension < target:
        raise ValueError(
            f"Argument 'kappa' must be at least {target / (target - bound):g}, so that the target fits in "
            f"the dimension, not {kappa:g}."
        )
    return dimension


def _made(family: str, sets: list[Bits], target: int, bound: int, planted: bool) -> GapMaxInnerProduct:
    return GapMaxInnerProduct(sets, target, bound, Provenance(f"{family}(planted={planted})"))
