"""Pictures, drawn with matplotlib into SVG (or whatever format the file's suffix names)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from ..instances.archives import atomic_write
from ..reductions.encoding import ACCURACY, NO_AT_MOST, YES_AT_LEAST

if TYPE_CHECKING:
    import networkx as nx

BLUE, ORANGE, GREY = "#1f6f9f", "#c8501e", "#777777"


def save(figure: Figure, file: Path) -> None:
    """Write `figure` to `file`, whole or not at all; the same figure gives the same bytes of SVG."""
    kind = picture_kind(file)
    with mpl.rc_context({"svg.hashsalt": "cubicwall"}), atomic_write(file) as stream:
        figure.savefig(stream, format=kind, metadata={"Date": None} if kind == "svg" else None)


def picture_kind(file: Path) -> str:
    """Return what kind of picture a file is to be; called before long work, it loses nothing.

    Raises
    ------
    ValueError
        If the suffix names no picture, or the folder is not there.
    """
    kind = file.suffix.lstrip(".") or "svg"
    if kind not in FigureCanvasBase.get_supported_filetypes():
        raise ValueError(
            f"Argument 'file' must end in a picture's suffix such as .svg or .png, not {str(file)!r}."
        )
    if not file.parent.is_dir():
        raise ValueError(f"Argument 'file' must be in a folder that exists, not {str(file.parent)!r}.")
    return kind


def draw_arrows(graph: nx.MultiDiGraph, file: Path) -> None:
    """Draw the graph of arrows: a column of instances by distance from the source, an arrow a reduction."""
    import networkx as nx

    onward = nx.DiGraph((source, target) for source, target in graph.edges() if source != target)
    depth: dict[str, int] = {}
    for node in nx.topological_sort(onward):
        depth[node] = max((depth[p] + 1 for p in onward.predecessors(node)), default=0)
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
    xs, ys = zip(*place.values(), strict=True)
    axes.set_xlim(min(xs) - 1.1, max(xs) + 1.1)
    axes.set_ylim(min(ys) - 1.0, max(ys) + 1.0)
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": GREY}
    nodes = {
        node: axes.text(x, y, node, ha="center", va="center", bbox=box, zorder=3)
        for node, (x, y) in place.items()
    }
    figure.draw_without_rendering()  # the boxes get their sizes, so that arrows can end at them
    for source, target in sorted(set(graph.edges())):
        names = sorted(graph[source][target])
        if source == target:
            x, y = place[source]
            axes.text(x, y + 0.3, "↻ " + ", ".join(names), ha="center", color=BLUE, fontsize=8)
            continue
        for i, name in enumerate(names):
            # One that leaves out a column goes around what stands there, above and below in turn.
            around = depth[target] > depth[source] + 1
            bend = (0.26 + 0.1 * (i // 2)) * (-1) ** i if around else 0.28 * (i - (len(names) - 1) / 2)
            counting = graph[source][target][name]["counting"]
            _arrow(axes, nodes[source], nodes[target], name, bend, ORANGE if counting else BLUE)
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
    figure = Figure(figsize=(9.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.axhspan(YES_AT_LEAST, 1.0, color=BLUE, alpha=0.12, lw=0)
    axes.axhspan(0.0, NO_AT_MOST, color=ORANGE, alpha=0.12, lw=0)
    for i, (label, masses) in enumerate(rows):
        spread = i + 0.7 * (np.arange(len(masses)) / max(1, len(masses) - 1) - 0.5 * (len(masses) > 1))
        colour = BLUE if masses.max(initial=0.0) >= YES_AT_LEAST else ORANGE
        axes.errorbar(
            spread, np.sort(masses), yerr=ACCURACY, fmt="o", ms=3, color=colour, ecolor=GREY, elinewidth=0.4
        )
        axes.text(i, 1.08, label.replace(", ", "\n"), ha="center", va="bottom", fontsize=8)
    axes.set_xlim(-0.6, len(rows) - 0.4)
    axes.set_ylim(-0.2, 1.28)
    axes.set_xticks([])
    axes.set_ylabel("softmax mass on tuples of real tokens")
    axes.set_title(
        f"One point a query row; bars are the error ±{ACCURACY} that every oracle may make.\n"
        "A row with a model lies above 8/17 (blue), one without below 1/9 (orange): "
        "no bar of one kind reaches the other.",
        loc="left",
        fontsize=9,
    )
    save(figure, file)


def _arrow(axes: Any, start: Any, end: Any, name: str, bend: float, colour: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1.4, "connectionstyle": f"arc3,rad={-bend}"}
    style |= {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
    tail, head = np.array(start.get_position()), np.array(end.get_position())
    axes.annotate("", xy=head, xytext=tail, arrowprops=style)
    across = np.array([tail[1] - head[1], head[0] - tail[0]])
    x, y = (tail + head) / 2 + across * bend / 2
    axes.text(x, y + 0.07, name, ha="center", va="bottom", fontsize=8, color=colour)
