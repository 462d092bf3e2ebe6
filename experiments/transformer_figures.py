"""Pictures of what `transformer` measured: errors against depth, seconds against tokens, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .figures import BLUE, GREY, ORANGE, save
from .transformer import DepthRow, TimeRow
from .transformer_comparison import Run


def draw_depth(rows: Sequence[DepthRow], file: Path) -> None:
    """Draw the input gradient's error against depth, measured and claimed, a pair of lines for each b."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for b, colour in zip(sorted({row.b for row in rows}), (BLUE, ORANGE, GREY, "black"), strict=False):
        chosen = [row for row in rows if row.b == b]
        depth = [row.layers for row in chosen]
        axes.semilogy(
            depth, [row.input_error for row in chosen], "o-", color=colour, label=f"measured, b = {b:g}"
        )
        axes.semilogy(
            depth, [row.input_bound for row in chosen], "--", color=colour, label=f"claimed, b = {b:g}"
        )
    axes.set(xlabel="layers", ylabel="relative error of the gradient by the input")
    axes.legend(frameon=False, fontsize="small")
    save(figure, file)


def draw_times(rows: Sequence[TimeRow], file: Path) -> None:
    """Draw seconds against tokens, exact and fast."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    sizes = [row.n for row in rows]
    for name, seconds, colour in (
        ("exact", [row.exact_seconds for row in rows], ORANGE),
        ("fast", [row.fast_seconds for row in rows], BLUE),
    ):
        axes.loglog(sizes, seconds, "o-", base=2, color=colour, label=name)
    axes.set(xlabel="tokens", ylabel="seconds, forward and reverse")
    axes.legend(frameon=False)
    save(figure, file)


def draw_layers(run: Run, file: Path) -> None:
    """Draw seconds and errors of a run, layer by layer."""
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    layers = [row.layer for row in run.rows]
    left.semilogy(layers, [row.exact_seconds for row in run.rows], "o-", color=ORANGE, label="exact")
    left.semilogy(layers, [row.fast_seconds for row in run.rows], "o-", color=BLUE, label="fast")
    left.set(xlabel="layer", ylabel="seconds")
    right.semilogy(layers, [row.error for row in run.rows], "o-", color=BLUE, label="measured")
    right.semilogy(layers, [row.certificate for row in run.rows], "--", color=GREY, label="claimed")
    right.set(xlabel="layer", ylabel="relative error of the gradient by its input")
    for axes in (left, right):
        axes.legend(frameon=False)
    save(figure, file)
