"""Pictures, drawn with matplotlib into SVG (or whatever format the file's suffix names)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from ..instances.archives import atomic_write
from ..reductions.encoding import ACCURACY, NO_AT_MOST, YES_AT_LEAST

if TYPE_CHECKING:
    import networkx as nx

BLUE, ORANGE, GREY = "#1f6f9f", "#c8501e", "#777777"


def save(figure: Figure, file: Path) -> None:
    """Write `figure` to `file`, whole or not at all; the same figure gives the same bytes of SVG."""
    kind = file.suffix.lstrip(".") or "svg"
    if kind not in figure.canvas.get_supported_filetypes():
        raise ValueError(
            f"Argument 'file' must end in a picture's suffix such as .svg or .png, not {str(file)!r}."
        )
    with mpl.rc_context({"svg.hashsalt": "cubicwall"}), atomic_write(file) as stream:
        figure.savefig(stream, format=kind, metadata={"Date": None} if kind == "svg" else None)


def draw_arrows(graph: nx.MultiDiGraph, file: Path) -> None:
    """Draw the graph of arrows: a column of instances by distance from the source, an arrow a reduction."""
    import networkx as nx

    depth: dict[str, int] = {}
    for node in nx.topological_sort(graph):
        depth[node] = max((depth[p] + 1 for p in graph.predecessors(node)), default=0)
    rows: dict[int, list[str]] = {}
    for node, column in depth.items():
        rows.setdefault(column, []).append(node)
    place = {
        node: (3.4 * column, -1.5 * (i - (len(nodes) - 1) / 2))
        for column, nodes in rows.items()
        for i, node in enumerate(nodes)
    }
    figure = Figure(figsize=(3.6 * len(rows), 1.6 + 1.5 * max(map(len, rows.values()))), layout="constrained")
    axes = figure.add_subplot()
    for source, target in sorted(set(graph.edges())):
        names = sorted(graph[source][target])
        for i, name in enumerate(names):
            bend = 0.28 * (i - (len(names) - 1) / 2) + 0.12 * (depth[target] - depth[source] - 1)
            counting = graph[source][target][name]["counting"]
            _arrow(axes, place[source], place[target], name, bend, ORANGE if counting else BLUE)
    for node, (x, y) in place.items():
        box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": GREY}
        axes.text(x, y, node, ha="center", va="center", bbox=box, zorder=3)
    xs, ys = zip(*place.values(), strict=True)
    axes.set_xlim(min(xs) - 1.1, max(xs) + 1.1)
    axes.set_ylim(min(ys) - 1.0, max(ys) + 1.0)
    axes.set_axis_off()
    axes.set_title("Arrows of cubicwall: blue decides, orange counts", loc="left", fontsize=11)
    save(figure, file)


def draw_decisions(rows: Sequence[tuple[str, npt.NDArray[np.float64]]], file: Path) -> None:
    """Draw what attention says, row by row, for several formulas.

    Parameters
    ----------
    rows : sequence of (str, array of shape (N,))
        A label and the mass O_0 of the all-real tuples of every query row.
    file : pathlib.Path
        Where the picture goes.
    """
    figure = Figure(figsize=(8.0, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.axhspan(YES_AT_LEAST, 1.0, color=BLUE, alpha=0.12, lw=0)
    axes.axhspan(0.0, NO_AT_MOST, color=ORANGE, alpha=0.12, lw=0)
    for i, (label, masses) in enumerate(rows):
        spread = i + 0.7 * (np.arange(len(masses)) / max(1, len(masses) - 1) - 0.5 * (len(masses) > 1))
        colour = BLUE if masses.max(initial=0.0) >= YES_AT_LEAST else ORANGE
        axes.errorbar(
            spread, np.sort(masses), yerr=ACCURACY, fmt="o", ms=3, color=colour, ecolor=GREY, elinewidth=0.4
        )
        axes.text(i, 1.06, label, ha="center", fontsize=8)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(-0.2, 1.18)
    axes.set_xticks([])
    axes.set_ylabel("softmax mass on tuples of real tokens")
    axes.set_title(
        f"One point a query row; bars are the error ±{ACCURACY} that every oracle may make.\n"
        f"A row with a model lies above 8/17 (blue), one without below 1/9 (orange): no bar of one kind reaches the other.",
        loc="left",
        fontsize=9,
    )
    save(figure, file)


def _arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], name: str, bend: float, colour: str
) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "shrinkA": 55, "shrinkB": 60, "lw": 1.4}
    style["connectionstyle"] = f"arc3,rad={-bend}"
    axes.annotate("", xy=end, xytext=start, arrowprops=style)
    middle = np.add(start, end) / 2
    across = np.array([-(end[1] - start[1]), end[0] - start[0]])
    x, y = middle + across * bend / 2
    axes.text(x, y + 0.07, name, ha="center", va="bottom", fontsize=8, color=colour)
