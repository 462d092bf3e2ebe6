"""The report of a sweep: one self-contained HTML file, the figures, and its tables as CSV.

    report.html       figures, tables, verdict, versions, seeds, machines and the command
    figures/*.svg, *.png
    table.csv         every cell's configuration and result: the same bytes for the same cells
    times.csv         what was measured by the clock

Cost: some seconds, for the figures.
"""

from __future__ import annotations

import base64
import csv
import io
import platform
from collections.abc import Iterable, Sequence
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

from ..instances.archives import atomic_write
from ..instances.provenance import VERSION
from .figures import save
from .findings import Table, limits, tables, window_is_shut
from .store import Row, canonical
from .wall_figures import PICTURES

LIBRARIES = ("numpy", "numba", "scipy", "matplotlib")

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
body { color: #222 } figure { margin: 2rem 0 } img { max-width: 100% }
figcaption { color: #555; font-size: .9rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } caption { text-align: left; font-weight: 600 }
.scroll { overflow-x: auto; margin: 2rem 0 } .verdict { border-left: 4px solid #1f6f9f; padding-left: 1rem }
"""


def write_report(rows: Sequence[Row], folder: Path, command: str) -> list[Table]:
    """Write report.html, the figures and the CSV tables into a folder.

    Parameters
    ----------
    rows : sequence of Row
        The cells of the sweep, in the order of its plan.
    folder : pathlib.Path
        An existing folder; what stands there is replaced.
    command : str
        How the sweep was started.

    Returns
    -------
    list of Table
        The tables of the report.
    """
    pictures = folder / "figures"
    pictures.mkdir(exist_ok=True)
    shown = []
    for picture in PICTURES:
        figure = picture.draw(rows)
        if figure is None:
            continue
        for suffix in ("svg", "png"):
            save(figure, pictures / f"{picture.name}.{suffix}")
        shown.append((picture.caption, (pictures / f"{picture.name}.svg").read_bytes()))
    made = tables(rows)
    _write(folder / "table.csv", results_csv(rows))
    _write(folder / "times.csv", times_csv(rows))
    _write(folder / "report.html", _page(rows, made, shown, command))
    return made


def results_csv(rows: Iterable[Row]) -> str:
    """Write the table of results: what depends on the configurations alone, in the order given.

    Examples
    --------
    >>> from cubicwall.experiments.store import Outcome
    >>> print(results_csv([Row("", {"kind": "example", "n": 3, "seed": 1}, Outcome({"r": 9}), "0")]), end="")
    kind,seed,configuration,result
    example,1,"{""kind"":""example"",""n"":3,""seed"":1}","{""r"":9}"
    """
    return _csv(
        ("kind", "seed", "configuration", "result"),
        (
            (
                row.configuration["kind"],
                row.configuration.get("seed", ""),
                canonical(row.configuration),
                canonical(row.outcome.result),
            )
            for row in rows
        ),
    )


def times_csv(rows: Iterable[Row]) -> str:
    """Write what was measured by the clock, and on what machine."""
    return _csv(
        ("kind", "configuration", "measured", "machine"),
        (
            (
                row.configuration["kind"], canonical(row.configuration), canonical(row.outcome.measured),
                row.outcome.machine,
            )
            for row in rows
            if row.outcome.measured
        ),
    )  # fmt: skip


def verdict_line(rows: Sequence[Row]) -> str:
    """Say whether the window is shut, and what the limits are."""
    shut = "shut" if window_is_shut(rows) else "OPEN: news about SETH, or a bug"
    return f"Right of the easy line the window between fast and decided is {shut}. {limits()}."


def _page(
    rows: Sequence[Row], made: Sequence[Table], shown: Sequence[tuple[str, bytes]], command: str
) -> str:
    versions = {"cubicwall": VERSION, "Python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in LIBRARIES}
    seeds = sorted({row.configuration["seed"] for row in rows if "seed" in row.configuration})
    facts = {
        "Command": command,
        "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "Seeds": ", ".join(map(str, seeds)),
        "Machines": "; ".join(sorted({row.outcome.machine for row in rows})),
        "Cells": str(len(rows)),
    }
    figures = "".join(
        f'<figure><img alt="{escape(caption)}" src="data:image/svg+xml;base64,'
        f'{base64.b64encode(svg).decode()}"><figcaption>{escape(caption)}</figcaption></figure>\n'
        for caption, svg in shown
    )
    listed = "".join(f"<li>{escape(name)}: {escape(value)}</li>\n" for name, value in facts.items())
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>The wall, measured</title><style>{_STYLE}</style></head>\n<body>\n<h1>The wall, "
        "measured</h1>\n<p>Tensor attention of order k on n tokens with d = c ln n coordinates and "
        "entries up to B = b (ln n)<sup>1/k</sup>: almost linear time for small b, n<sup>k−o(1)</sup> for"
        " large b unless SETH fails. Both sides, on one axis.</p>\n"
        f'<p class="verdict">{escape(verdict_line(rows))}</p>\n'
        f"{figures}{''.join(map(_table, made))}"
        f"<h2>How this was made</h2>\n<ul>\n{listed}</ul>\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    note = " (seconds differ from run to run)" if table.timed else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row) + "</tr>\n"
        for row in table.rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(table.title + note)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _write(file: Path, text: str) -> None:
    with atomic_write(file) as stream:
        stream.write(text.encode())
