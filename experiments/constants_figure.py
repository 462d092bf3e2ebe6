"""The picture of the constants: κ against n, for codes with few messages and with any number.

All encodings have B^k = κ ln(8 Π(N_t+1)), so the one with the smaller κ has the smaller entries.
With m = density · n clauses, N = 2^(n/k), and up to the roundings of q, T and L to numbers that exist:

    direct                    κ = m
    compressed, saturated     κ = N^(k-1)
    all coordinates           κ = q^((k-1)T) · length/(length - agreement), the least over the layouts
        Reed-Solomon          q ≥ T, length = q, agreement = kL
        Hermitian over r²     r ≥ T, length = r³, agreement = k(L + r(r-1)/2)
        few messages          (k-1) L log2 q ≤ n/(2k): at most N^(1/2) of them
    tower of curves           κ constant, see `crossovers.tower_crossover`

n reaches 10^46000, so everything here is the logarithm of a number.

Glossary
--------
x, y    log10 of n and log10 of κ.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ..reductions.crossovers import crossover, saturated_until, tower_crossover
from .figures import BLUE, GREY, ORANGE, save

GREEN = "#3d7a3d"
SHARE = 0.5  # few messages: N^SHARE

Floats = npt.NDArray[np.float64]


def draw_constants(orders: Sequence[int], file: Path, *, density: float = 4.26) -> None:
    """Draw log κ against log n, a panel for each order.

    Parameters
    ----------
    orders : sequence of int
        The orders k.
    file : pathlib.Path
        Where the picture goes.
    density : float
        Clauses per variable.
    """
    figure = Figure(figsize=(5.2 * len(orders), 5.4), layout="constrained")
    panels = figure.subplots(1, len(orders), squeeze=False)[0]
    styles = {
        "direct encoding": (GREY, "-"),
        "any code, compressed (saturated)": (ORANGE, "-"),
        "Reed-Solomon, any number of messages": (BLUE, ":"),
        "Hermitian, any number of messages": (GREEN, ":"),
        "Reed-Solomon, few messages": (BLUE, "-"),
        "tower of curves, few messages": (GREEN, "-"),
    }
    for order, axes in zip(orders, panels, strict=True):
        tower = tower_crossover(order, density=density, share=SHARE)
        x = np.geomspace(0.5, 10 * tower.log10_variables, 200)
        for label, y in curves(order, x, density=density).items():
            colour, line = styles[label]
            shown = np.where(y < 100 * x[-1], y, np.nan)
            axes.plot(x, shown, line, color=colour, lw=2, label=label)
        for at, text in _meetings(order, density):
            here = (at, at + np.log10(density))
            axes.plot(*here, "o", color="black", ms=5)
            axes.annotate(text, here, xytext=(7, -11), textcoords="offset points", fontsize=9)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(0.5, 20 * tower.log10_variables)
        ticks = [t for t in (1, 10, 100, 1000, 10_000, 100_000) if t <= x[-1]]
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(_fixed(ticks))
            axis.set_major_formatter(lambda t, _: f"$10^{{{t:g}}}$")
        axes.set_xlabel("n, variables")
        axes.set_ylabel("κ = d / gap" if order == orders[0] else "")
        axes.set_title(f"order {order}", loc="left")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    figure.suptitle(
        f"What one violation costs: B = (κ ln(8 N^(k-1)))^(1/k), {density:g} clauses per variable. "
        "Below the grey line a code pays.",
        fontsize=11,
    )
    save(figure, file)


def curves(order: int, x: Floats, *, density: float = 4.26) -> dict[str, Floats]:
    """Return log10 κ by name at log10 n = x, each of the shape of x.

    Examples
    --------
    >>> found = curves(2, np.array([1.0, 2.0]))
    >>> found["direct encoding"].round(2).tolist()
    [1.63, 2.63]
    """
    m = x + np.log10(density)
    tower = tower_crossover(order, density=density, share=SHARE)
    with np.errstate(over="ignore"):
        saturated = (order - 1) / order * np.log10(2) * 10.0**x
    few = SHARE / (order * (order - 1) * density)  # bits of a message per row and clause
    return {
        "direct encoding": m,
        "any code, compressed (saturated)": saturated,
        "Reed-Solomon, any number of messages": _least(order, m, np.inf, hermitian=False),
        "Hermitian, any number of messages": _least(order, m, np.inf, hermitian=True),
        "Reed-Solomon, few messages": _least(order, m, few, hermitian=False),
        "tower of curves, few messages": np.full_like(x, tower.log10_variables + np.log10(density)),
    }


def _least(order: int, m: Floats, most_bits: float, *, hermitian: bool) -> Floats:
    """Minimise log10 κ over rows T and the length of the code; `most_bits` bounds log2(q)/T.

    The length is k times the poles of one word, times a slack c > 1; where T asks for more, it is that.
    """
    rows = np.concatenate([np.arange(1.0, 17), np.geomspace(17, 1e8, 300)])[:, None, None]
    slack = np.geomspace(1.02, 50, 40)[None, :, None]
    columns = m[None, None, :] - np.log10(rows)  # log10 L
    if hermitian:
        # length r³ = c k (L + r²/2): the least r from either term, since c k r²/2 ≤ r³/2 iff r ≥ c k.
        root = np.maximum((np.log10(2 * slack * order) + columns) / 3, np.log10(slack * order))
        root = np.maximum(root, np.log10(rows + 1))
        field, length = 2 * root, 3 * root
        poles = np.logaddexp(np.log(10) * columns, np.log(10) * (2 * root - np.log10(2))) / np.log(10)
    else:
        field = np.maximum(np.log10(slack * order) + columns, np.log10(rows + 1))
        length, poles = field, columns
    share = 10.0 ** np.minimum(np.log10(order) + poles - length, 0)  # agreement/length
    with np.errstate(divide="ignore"):
        y = (order - 1) * rows * field - np.log10(1 - share)
    y = np.where((columns >= 0) & (field * np.log2(10) <= most_bits * rows), y, np.inf)
    return np.asarray(y.min(axis=(0, 1)))


def _meetings(order: int, density: float) -> list[tuple[float, str]]:
    """Where a curve meets that of the direct encoding: log10 n and what to write there."""
    last = saturated_until(order, density=density)
    found = [(float(np.log10(last)), f"n = {last}")] if last > 1 else []
    hermitian = crossover("hermitian", order, density=density)
    if hermitian is not None:
        found.append((hermitian.log10_variables, f"n = {hermitian.variables:.0f}"))
    tower = tower_crossover(order, density=density, share=SHARE).log10_variables
    return [*found, (tower, f"$n = 10^{{{tower:.0f}}}$")]


def _fixed(ticks: Sequence[int]) -> object:
    from matplotlib.ticker import FixedLocator

    return FixedLocator(ticks)
