"""The figures of the wall: what is analytic is drawn as lines and areas, what was measured as points.

Each function draws from rows of the store and returns the figure; `FIGURES` names them with their captions,
which say which is which. A figure without rows is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from .exponents import ACCURACIES, critical_limit, limit_exponent
from .figures import BLUE, GREY, ORANGE
from .findings import of_kind
from .growth import required_entry_bound
from .store import Row
from .threshold import C_GRID
from .window import decode_limit, easy_line


@dataclass(frozen=True)
class Picture:
    """A figure's file name, its caption, and what draws it."""

    name: str
    caption: str
    draw: Callable[[Sequence[Row]], Figure | None]


def collapse(rows: Sequence[Row]) -> Figure | None:
    """Draw ρ against b for all n."""
    curves = [
        row
        for row in of_kind(rows, "analytic ranks", order=3, accuracy="relative 1/n")
        if row.configuration["log10_n"] >= 3  # below, d and g are too small to be smooth
    ]
    if not curves:
        return None
    figure, axes = _axes("entry bound b = B/(ln n)^(1/3)", "rank exponent ρ = ln R/ln n")
    sizes = sorted(row.configuration["log10_n"] for row in curves)
    for row in sorted(curves, key=lambda row: row.configuration["log10_n"]):
        size = row.configuration["log10_n"]
        shade = 0.25 + 0.6 * sizes.index(size) / max(1, len(sizes) - 1)
        label = f"n = 10^{size:g}" if size in (sizes[0], 12, sizes[-1]) else None
        points = row.configuration["points"]
        axes.plot(points, row.outcome.result["exponent"], color=_blue(shade), lw=1.0, label=label)
    axes.plot(points, [limit_exponent(b) for b in points], "--", color="black", lw=1.2, label="n → ∞")
    for n, marker in ((256, "o"), (1000, "s"), (4096, "^"), (16384, "D")):
        seen = [r for r in of_kind(rows, "algorithm rank", order=3, n=n) if r.outcome.result["exponent"]]
        if seen:
            axes.plot(
                [r.configuration["b"] for r in seen], [r.outcome.result["exponent"] for r in seen],
                marker, color=ORANGE, ms=4, label=f"the algorithm, n = {n}",
            )  # fmt: skip
    axes.axhline(2.0, color=GREY, lw=0.8)
    axes.text(0.12, 2.03, "as dear as the exact algorithm", fontsize=8, color=GREY)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def phases(rows: Sequence[Row]) -> Figure | None:
    """Draw the plane of n and b, coloured by ρ, with the boundary from which on reductions decide."""
    curves = sorted(
        of_kind(rows, "analytic ranks", order=3, accuracy="relative 1/n"),
        key=lambda row: row.configuration["log10_n"],
    )
    if len(curves) < 2:
        return None
    figure, axes = _axes("n = 10^x", "entry bound b = B/(ln n)^(1/3)")
    sizes = np.array([row.configuration["log10_n"] for row in curves], dtype=np.float64)
    points = np.array(curves[0].configuration["points"])
    exponents = np.array([row.outcome.result["exponent"] for row in curves]).T
    norm = TwoSlopeNorm(2.0, 0.0, 4.0)
    colours = axes.contourf(sizes, points, exponents, 33, norm=norm, cmap="RdBu_r")
    axes.contour(sizes, points, exponents, [2.0], colors="black", linewidths=1.2)
    figure.colorbar(colours, ax=axes, label="rank exponent ρ (black: ρ = 2, cubic)", ticks=[0, 1, 2, 3, 4])
    kappa = 32 / 15
    boundary = [
        required_entry_bound("gap", s * math.log(10), 0.17, kappa=kappa) / (s * math.log(10)) ** (1 / 3)
        for s in sizes
    ]
    axes.plot(sizes, boundary, "--", color="black", lw=1.4, label="decodes above (exact formula, κ = 32/15)")
    seen = [
        row
        for row in of_kind(rows, "decode", family="saturated", order=3, epsilon=0.17)
        if row.outcome.result["measured"]
    ]
    axes.plot(
        [math.log10(row.outcome.result["tokens"]) for row in seen],
        [row.outcome.result["measured"] for row in seen],
        "o", color="black", ms=5, label="decodes from here (measured)",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.legend(fontsize=8, loc="lower right")
    return figure


def timing(rows: Sequence[Row]) -> Figure | None:
    """Draw seconds against n on both sides."""
    cells = of_kind(rows, "times")
    if not cells:
        return None
    figure, axes = _axes("tokens n", "seconds")
    groups = sorted({(r.configuration["method"], r.configuration["b"]) for r in cells})
    for i, (method, b) in enumerate(groups):
        own = sorted(of_kind(cells, "times", method=method, b=b), key=lambda row: row.configuration["n"])
        sizes = [row.configuration["n"] for row in own]
        least = [min(row.outcome.measured["seconds"]) for row in own]
        most = [max(row.outcome.measured["seconds"]) for row in own]
        colour = ORANGE if method == "exact" else _blue(0.4 + 0.15 * i)
        label = "exact, any b" if method == "exact" else f"fast, b = {b:g}"
        axes.plot(sizes, least, "o-", color=colour, ms=4, lw=1.0, label=label)
        axes.fill_between(sizes, least, most, color=colour, alpha=0.2, lw=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(fontsize=8)
    return figure


def decoding(rows: Sequence[Row]) -> Figure | None:
    """Draw the share of right answers against b for several N."""
    cells = of_kind(rows, "decode", family="saturated", order=3, epsilon=0.1)
    cells = [row for row in cells if math.isclose(row.configuration["kappa"], 16 / 15)]
    sparse = of_kind(rows, "decode", family="sparse", order=3)
    if not cells:
        return None
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    for axes, own, title in zip(
        figure.subplots(1, 2, sharey=True), (cells, sparse), ("saturated, ε = 0.1", "random, ε = 0.17"),
        strict=True,
    ):  # fmt: skip
        for i, row in enumerate(sorted(own, key=lambda row: row.configuration["size"])):
            result = row.outcome.result
            colour = _blue(0.3 + 0.6 * i / max(1, len(own) - 1))
            axes.plot(
                result["points"], result["answers"], "o-", ms=3, lw=0.9, color=colour,
                label=f"N = {row.configuration['size']}",
            )  # fmt: skip
            axes.axvline(result["predicted"], color=colour, ls="--", lw=0.8)
        if own:
            axes.axvline(own[0].outcome.result["limit"], color="black", ls=":", lw=1.0)
            axes.legend(fontsize=8, loc="upper left")
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("entry bound b = B/(ln n)^(1/3)")
    figure.axes[0].set_ylabel("share of instances read right")
    return figure


def growth(rows: Sequence[Row]) -> Figure | None:
    """Draw the B that decides against n for both encodings."""
    gaps = of_kind(rows, "decode", family="saturated", order=3, epsilon=0.17)
    direct = of_kind(rows, "decode", family="vectors", order=3, epsilon=0.17)
    if not gaps:
        return None
    figure, axes = _axes("ln N", "entry bound B that decides, ε = 0.17")
    logarithms = np.geomspace(math.log(16), 1e3, 60)
    for encoding, cells, colour, slope in (
        ("direct", direct, ORANGE, "2/3"),
        ("gap", gaps, BLUE, "1/3"),
    ):
        kappa = 32 / 15
        exact = [required_entry_bound(encoding, float(x), 0.17, kappa=kappa) for x in logarithms]
        axes.plot(
            logarithms, exact, color=colour, lw=1.2, label=f"{encoding}: exact formula, slope → {slope}"
        )
        axes.plot(
            [math.log(row.configuration["size"]) for row in cells if row.outcome.result["entry_bound"]],
            [row.outcome.result["entry_bound"] for row in cells if row.outcome.result["entry_bound"]],
            "o", color=colour, ms=5, label=f"{encoding}: measured",
        )  # fmt: skip
        # the same without the offset: ln A = 0
        bare = [
            x * (4 * x + 2) * 2 if encoding == "direct" else kappa * 2 * x for x in map(float, logarithms)
        ]
        axes.plot(logarithms, np.cbrt(bare), ":", color=colour, lw=1.0)
    axes.plot([], [], ":", color=GREY, label="without the ln A under the logarithm")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(fontsize=8)
    return figure


def plane(rows: Sequence[Row]) -> Figure | None:
    """Draw the (c, b) plane with both sides and the easy line."""
    if not of_kind(rows, "critical curve", order=3):
        return None
    figure, axes = _axes("c: d = c ln n", "entry bound b = B/(ln n)^(1/3)")
    shades = dict(zip(ACCURACIES, (GREY, "#44aa77", "#aa8844", BLUE), strict=True))
    for accuracy, colour in shades.items():
        limit = [critical_limit(c=c, accuracy=accuracy) for c in C_GRID]
        axes.plot(C_GRID, limit, color=colour, lw=1.3, label=f"b_alg, {accuracy}, n → ∞")
        for row in of_kind(rows, "critical curve", order=3, accuracy=accuracy):
            axes.plot(C_GRID, row.outcome.result["b"], color=colour, lw=0.6, ls="--")
    for kappa in (1.0, 2.0):
        axes.axhline(decode_limit(kappa, 3), color=ORANGE, lw=1.2, ls="-" if kappa == 2.0 else ":")
        axes.text(0.42, decode_limit(kappa, 3) + 0.02, f"b_dec, κ = {kappa:g}", color=ORANGE, fontsize=8)
    axes.axvspan(C_GRID[0], easy_line(3), color=GREY, alpha=0.12, lw=0)
    axes.text(0.42, 0.12, "c < 3/ln 2: the source is easy", fontsize=8, color=GREY)
    for row in of_kind(rows, "window", order=3):
        result = row.outcome.result
        axes.plot([result["c"]] * 2, [result["fast_up_to"], result["decides_from"]], color=GREY, lw=0.6)
        axes.plot(result["c"], result["fast_up_to"], "v", color=BLUE, ms=5)
        axes.plot(result["c"], result["decides_from"], "^", color=ORANGE, ms=5)
    axes.plot([], [], "v", color=BLUE, label="fast up to here (measured)")
    axes.plot([], [], "^", color=ORANGE, label="decides from here (measured)")
    axes.set_xscale("log")
    axes.set_ylim(0.0, 2.6)
    axes.legend(fontsize=7, ncols=2, loc="upper right")
    return figure


def matrix(rows: Sequence[Row]) -> Figure | None:
    """Draw the numerical rank of the attention matrix against b."""
    cells = of_kind(rows, "matrix rank", order=3)
    if not cells:
        return None
    figure, axes = _axes("entry bound b = B/(ln n)^(1/3)", "numerical rank / n")
    families = sorted({(row.configuration["entries"], row.configuration["n"]) for row in cells})
    for (entries, n), marker in zip(families, "os^Dvx", strict=False):
        own = of_kind(cells, "matrix rank", entries=entries, n=n)
        axes.plot(
            [row.configuration["b"] for row in own], [row.outcome.result["rank"] / n for row in own],
            marker + "-", ms=4, lw=0.9, label=f"{entries}, n = {n}",
        )  # fmt: skip
    axes.legend(fontsize=8)
    return figure


PICTURES = (
    Picture(
        "collapse",
        "The exponent curves collapse: the rank exponent of the polynomial method against b, k = 3, c = "
        "1, accuracy 1/n. Lines are analytic (Chebyshev series, d and g rounded); points are ranks that "
        "the real algorithm planned on random signs ±B. It takes the minimax polynomial and, where "
        "better, an absolute error, and so stays below the lines.",
        collapse,
    ),
    Picture(
        "phases",
        "Phase diagram, k = 3, c = 1: n against b. Colour and the black contour ρ = 2 are analytic, and "
        "so is the dashed boundary (exact read-out formula, ε = 0.17); the dots are measured on saturated"
        " gap instances.",
        phases,
    ),
    Picture(
        "times",
        "Time against n on both sides, k = 3, c = 1, accuracy 1/n, random signs ±B: measured. Points are the "
        "least of several repetitions, bands reach to the largest.",
        timing,
    ),
    Picture(
        "decoding",
        "Share of gap instances all of whose rows are read right, every answer moved by ε in the worst "
        "direction: measured. Dashed: predicted by the exact read-out formula at that N and ε; dotted: "
        "the limit ((k−1)κ)^(1/k) (analytic). Left saturated instances (κ = 32/15), right random ones, "
        "whose NO half is right long before the bound.",
        decoding,
    ),
    Picture(
        "growth",
        "Entries that decide against N, k = 3: the direct encoding (m = 4 ln N) grows like (ln N)^(2/3), "
        "the gap encoding (κ = 32/15) like (ln N)^(1/3). Points were measured on saturated instances, "
        "lines are the exact read-out formula; dotted, without the constant A ≈ 8 beside N² under the "
        "logarithm.",
        growth,
    ),
    Picture(
        "plane",
        "The (c, b) plane, k = 3. Analytic: b_alg for four kinds of accuracy (full: n → ∞, dashed: finite"
        " n), b_dec in the limit, the line c = 3/ln 2. Measured, on the same saturated gap instances: the"
        " largest b at which the fast algorithm is subcubic and the least from which on every answer is "
        "right. Right of the line the window between them is shut.",
        plane,
    ),
    Picture(
        "matrix",
        "Numerical rank (relative Frobenius tail 1/n) of the attention matrix itself, k = 3: measured. "
        "Random tokens (c = 1), an encoded 3-SAT formula (direct) and an encoded random gap instance "
        "(gap); at large b the rest token takes over the rows and the rank falls again.",
        matrix,
    ),
)


def _axes(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _blue(depth: float) -> tuple[float, float, float]:
    """Return a blue, from pale at 0 to deep at 1."""
    return (0.8 - 0.75 * depth, 0.9 - 0.6 * depth, 0.97 - 0.4 * depth)
