"""The sweep behind ``cubicwall threshold``: which cells show both sides of the wall, in three extents.

One coordinate for everything, b = B/(ln n)^{1/k}, with d = c ln n:

    analytic ranks   ρ from n = 10³ to 10^1000                          exponents
    algorithm rank   ρ as the real algorithm plans it                   exponents_measured
    matrix rank      numerical rank of the attention matrix             matrix_ranks
    decode           least b at which reductions decide under error ε   decoding
    critical curve   b_alg(c) at finite n                               window
    window           both sides on the same instances                   window
    times, crossover, easy source                                       scaling, window: they measure time

A cell is a plain dict of JSON values, so that it can be hashed, stored and sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from .exponents import ACCURACIES

Extent = Literal["small", "quick", "full"]
Cell = dict[str, Any]

SEED = 20_240_731
LISTED = (0.2, 0.5, 0.7, 1.0, 1.5)  # b at which MATH.md lists exponents
B_GRID = tuple(round(0.05 * i, 2) for i in range(2, 41))
C_GRID = tuple(round(float(c), 3) for c in np.geomspace(0.4, 20.0, 24))
EPSILONS = (0.05, 0.1, 0.2)
GAPS = (
    {"target": 16, "bound": 1, "kappa": 16 / 15},  # κ = 32/15 with the target's own coordinates
    {"target": 8, "bound": 4, "kappa": 4.0},  # κ = 6
    {"target": 12, "bound": 4, "kappa": 3.0},  # κ = 4.5
)


def cells(extent: Extent) -> list[Cell]:
    """List the cells of a sweep.

    Parameters
    ----------
    extent : {"small", "quick", "full"}
        Under a minute, under three minutes, under two hours on two cores.

    Returns
    -------
    list of dict
        Configurations, each once. A smaller extent's are not all among a larger one's.

    Raises
    ------
    ValueError
        If there is no such extent.

    Examples
    --------
    >>> len(cells("small")) < len(cells("quick")) < len(cells("full"))
    True
    """
    if extent not in get_args(Extent):
        raise ValueError(f"Argument 'extent' must be one of {get_args(Extent)}, not {extent!r}.")
    level = get_args(Extent).index(extent)
    parts = (_exponents, _matrix_ranks, _decoding, _plane, _timed)
    unique = {repr(sorted(cell.items())): cell for part in parts for cell in part(level)}
    return list(unique.values())


def _exponents(level: int) -> Iterator[Cell]:
    sizes: tuple[float, ...] = (1.5, 2, 2.5, 3, 4, 5, 6, 8, 12, 20, 50, 100, 200, 500, 1000)
    if level == 2:
        sizes = tuple(sorted({*sizes, 7, 9, 10, 15, 30, 70, 140, 300, 700}))
    for order in (3, 2, 4):
        if order != 3 and level == 0:
            continue
        for accuracy in ACCURACIES if level == 2 else ACCURACIES[:1]:
            for size in sizes:
                yield {
                    "kind": "analytic ranks", "order": order, "c": 1.0, "accuracy": accuracy,
                    "log10_n": size, "points": list(B_GRID),
                }  # fmt: skip
    planned = ((256, 1000), (256, 1000, 4096), (256, 1000, 4096, 16384))[level]
    for order in ((3,), (2, 3, 4), (2, 3, 4))[level]:
        for n in planned:
            for b in (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, *((1.1,) if n < 4096 else ())):
                yield {
                    "kind": "algorithm rank", "order": order, "c": 1.0, "n": n, "b": b,
                    "entries": "signs", "seed": SEED,
                }  # fmt: skip


def _matrix_ranks(level: int) -> Iterator[Cell]:
    points = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 4.0)
    sizes = (
        {3: {"uniform": 128, "direct": 64, "gap": 64}},
        {
            2: {"uniform": 512, "direct": 256, "gap": 256},
            3: {"uniform": 256, "signs": 256, "direct": 64, "gap": 128},
            4: {"uniform": 32},
        },
        {
            2: {"uniform": 2048, "signs": 2048, "direct": 1024, "gap": 1024},
            3: {"uniform": 512, "signs": 512, "direct": 128, "gap": 256},
            4: {"uniform": 64, "signs": 64, "direct": 32, "gap": 32},
        },
    )[level]
    for order, families in sizes.items():
        for entries, n in families.items():
            for b in points:
                yield {
                    "kind": "matrix rank", "order": order, "n": n, "b": b, "entries": entries, "seed": SEED,
                }  # fmt: skip


def _decoding(level: int) -> Iterator[Cell]:
    sizes = (
        {2: (64, 1024), 3: (64, 128)},
        {2: (64, 128, 256, 512, 1024), 3: (16, 32, 64, 128, 256), 4: (16,)},
        {2: (64, 128, 256, 512, 1024, 4096), 3: (16, 32, 64, 128, 256, 512, 1024), 4: (16, 32, 64)},
    )[level]
    for order, own in sizes.items():
        for size in own:
            for gap in GAPS[: 1 + level] if size**order < 10**9 else GAPS[:1]:
                for epsilon in EPSILONS:
                    yield _decode("saturated", order, size, epsilon, **gap)
            for epsilon in (0.17,):  # what the encodings promise, for the growth of B
                yield _decode("saturated", order, size, epsilon, **GAPS[0])
                yield _decode("vectors", order, size, epsilon, dimension=round(4 * np.log(size)))
            if size <= 256:
                yield _decode(
                    "sparse", order, size, 0.17, target=8, bound=4, kappa=12.0, copies=(1, 3, 10)[level]
                )
    for variables in ((9,), (9, 12, 15), (9, 12, 15, 18))[level]:
        for order in ((3,), (2, 3), (2, 3, 4))[level]:
            yield _decode("formulas", order, variables, 0.17, ratio=5.0, copies=(2, 5, 20)[level])


def _plane(level: int) -> Iterator[Cell]:
    for order in ((3,), (2, 3, 4), (2, 3, 4))[level]:
        for accuracy in ACCURACIES:
            for size in ((3,), (3, 12), (3, 6, 12, 100))[level]:
                yield {
                    "kind": "critical curve", "order": order, "accuracy": accuracy, "log10_n": size,
                    "points": list(C_GRID),
                }  # fmt: skip
    grid = (1.5, 2.0, 3.0, 4.0, 4.5, 5.0, 6.0, 8.0, 12.0)
    for order, n in (((3, 64),), ((2, 256), (3, 64)), ((2, 256), (2, 1024), (3, 64), (3, 128), (3, 256)))[
        level
    ]:
        for c in grid[1::2] if level == 0 else grid:
            yield {"kind": "window", "order": order, "c": c, "n": n, "epsilon": 0.17, "seed": SEED}


def _timed(level: int) -> Iterator[Cell]:
    # the largest n, as a power of 2, that each b can afford
    fast = (
        {0.3: 13, 0.5: 13, 0.7: 12},
        {0.3: 14, 0.5: 14, 0.7: 13},
        {0.3: 17, 0.5: 16, 0.7: 14},
    )[level]
    exact = ((128, 256, 512), (128, 256, 512, 1024), (128, 256, 512, 1024, 2048))
    repetitions = (3, 5, 9)[level]
    for n in exact[level]:
        yield _times(n, 0.5, "exact", repetitions)
    for b, largest in fast.items():
        for power in range(10, largest + 1):
            yield _times(2**power, b, "fast", repetitions)
    for order, n in (
        ((3, 256),),
        ((3, 256), (3, 512), (3, 1000)),
        ((2, 1024), (2, 4096), (3, 256), (3, 512), (3, 1000), (3, 1500), (4, 64), (4, 100)),
    )[level]:
        yield {"kind": "crossover", "order": order, "c": 1.0, "n": n, "seed": SEED}
    for size in ((512,), (512, 1024), (512, 1024, 2048))[level]:
        for c in (1.0, 1.5, 2.0, 2.5, 3.0):
            yield {"kind": "easy source", "order": 3, "c": c, "size": size, "seed": SEED}


def _decode(family: str, order: int, size: int, epsilon: float, **more: Any) -> Cell:
    return {
        "kind": "decode", "family": family, "order": order, "size": size, "epsilon": epsilon,
        "seed": SEED, **more,
    }  # fmt: skip


def _times(n: int, b: float, method: str, repetitions: int) -> Cell:
    return {
        "kind": "times", "order": 3, "c": 1.0, "n": n, "b": b, "method": method, "seed": SEED,
        "repetitions": repetitions,
    }  # fmt: skip
