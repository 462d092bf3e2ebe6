"""``cubicwall threshold``: both sides of the wall on one axis, measured, drawn and reported."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from .console import BrokenPromiseError, Output

Quick = Annotated[bool, typer.Option("--quick", help="A larger sweep: under 3 minutes on 2 cores.")]
Full = Annotated[bool, typer.Option("--full", help="The whole sweep: under 2 hours on 2 cores.")]
Folder = Annotated[Path, typer.Option("-o", "--output", help="The folder for results, figures and report.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the results that the folder holds.")]
Scheduler = Annotated[
    str | None, typer.Option("--scheduler", help="Address of a Dask scheduler, instead of processes here.")
]

STORE = "cells.sqlite"


def threshold(
    out: Output,
    quick: Quick = False,
    full: Full = False,
    folder: Folder = Path("wall"),
    resume: Resume = False,
    scheduler: Scheduler = None,
) -> int:
    """Sweep over entry bounds on both sides of the wall; writes tables, figures and report.html."""
    if quick and full:
        raise ValueError("Arguments 'quick' and 'full' must not be given together.")
    _prepare(folder, resume)

    from ..experiments.report import verdict_line, write_report
    from ..experiments.store import open_store
    from ..experiments.sweeps import CellError, run_cells
    from ..experiments.threshold import cells

    planned = cells("full" if full else "quick" if quick else "small")
    with open_store(folder / STORE) as store:
        with out.progress(f"{len(planned)} cells") as advance:
            try:
                computed = run_cells(planned, store, scheduler=scheduler, progress=advance)
            except CellError as failure:
                raise ValueError(f"{failure}; what was finished stays in {folder}.") from failure
        rows = store.rows(planned)
    made = write_report(rows, folder, shlex.join(["cubicwall", *sys.argv[1:]]))
    for table in made:
        out.table(table.title, table.columns, table.rows)
    out.note(f"{len(rows)} cells, {computed} computed now; {folder / 'table.csv'}, {folder / 'figures'}")
    out.line(verdict_line(rows))
    out.line(f"Report: {folder / 'report.html'}")
    out.document(
        cells=len(rows),
        computed=computed,
        verdict=verdict_line(rows),
        report=folder / "report.html",
        tables=[{"title": t.title, "columns": t.columns, "rows": t.rows} for t in made],
    )
    if "OPEN" in verdict_line(rows):
        raise BrokenPromiseError(verdict_line(rows))
    return 0


def _prepare(folder: Path, resume: bool) -> None:
    """Make the folder, or refuse one that holds something else, before any work."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"Argument 'output' must be a folder, not the file {str(folder)!r}.")
    if resume and not (folder / STORE).is_file():
        raise ValueError(f"Argument 'resume' needs a folder with {STORE}, which {str(folder)!r} lacks.")
    if not resume and folder.is_dir() and any(folder.iterdir()):
        raise ValueError(
            f"Argument 'output' must be a new or empty folder, not {str(folder)!r}; "
            "--resume goes on with what it holds."
        )
    folder.mkdir(parents=True, exist_ok=True)
