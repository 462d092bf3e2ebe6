"""The report, its tables, and the command that makes them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cubicwall.cli import app
from cubicwall.experiments import report, threshold
from cubicwall.experiments.cells import evaluate
from cubicwall.experiments.findings import tables
from cubicwall.experiments.report import results_csv, verdict_line, write_report
from cubicwall.experiments.store import Outcome, Row
from typer.testing import CliRunner


def tiny(extent: str) -> list[dict[str, Any]]:
    """One or two cells of every kind, small enough for a test."""
    points = [0.2, 0.5, 1.0, 1.5]
    common = {"order": 3, "c": 1.0, "seed": 1}
    gap = {"target": 16, "bound": 1, "kappa": 16 / 15}
    made: list[dict[str, Any]] = [
        {"kind": "analytic ranks", "order": 3, "c": 1.0, "accuracy": "relative 1/n", "log10_n": s,
         "points": points}
        for s in (3, 12, 50)
    ]  # fmt: skip
    made += [
        {"kind": "decode", "family": "saturated", "order": 3, "size": 16, "epsilon": e, "seed": 1, **gap}
        for e in (0.1, 0.17)
    ]
    made += [
        {"kind": "times", **common, "n": n, "b": 0.5, "method": m, "repetitions": 2}
        for n in (32, 64)
        for m in ("fast", "exact")
    ]
    made += [
        {"kind": "algorithm rank", **common, "n": 256, "b": 0.5, "entries": "signs"},
        {"kind": "matrix rank", "order": 3, "n": 16, "b": 0.5, "entries": "gap", "seed": 1},
        {"kind": "critical curve", "order": 3, "accuracy": "absolute constant", "log10_n": 3,
         "points": list(threshold.C_GRID)},
        {"kind": "window", "order": 3, "c": 8.0, "n": 32, "epsilon": 0.17, "seed": 1},
        {"kind": "easy source", "order": 3, "c": 1.0, "size": 32, "seed": 1},
    ]  # fmt: skip
    return made


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [Row("", cell, evaluate(cell), "0") for cell in tiny("small")]


def test_the_report_is_one_file_that_needs_no_other(rows: list[Row], tmp_path: Path) -> None:
    made = write_report(rows, tmp_path, "cubicwall threshold -o <here>")
    page = (tmp_path / "report.html").read_text()
    assert set(re.findall(r'(?:src|href)="([^"]{0,11})', page)) == {"data:image/"}
    assert "cubicwall threshold -o &lt;here&gt;" in page
    for fact in ("numpy ", "Seeds: 1", "window between fast and decided is shut"):
        assert fact in page
    assert all(table.rows and table.title in page.replace("&gt;", ">") for table in made)
    pictures = {path.name for path in (tmp_path / "figures").iterdir()}
    for name in ("collapse", "phases", "times", "decoding", "growth", "plane", "matrix"):
        assert {f"{name}.svg", f"{name}.png"} <= pictures
    assert page.count("measured") > 5
    assert page.count("analytic") > 3


def test_tables_hold_what_the_cells_found(rows: list[Row]) -> None:
    made = {table.title.split(",")[0].split(":")[0]: table for table in tables(rows)}
    collapse = made["Rank exponents at fixed b"]
    assert [row[0] for row in collapse.rows] == [0.2, 0.5, 1.0, 1.5]
    for _, least, largest, spread, _, _ in collapse.rows:
        assert spread == pytest.approx(largest - least)
    assert sum(table.timed for table in made.values()) >= 2
    assert tables([]) == []


def test_the_table_of_results_leaves_out_what_differs_from_run_to_run(rows: list[Row]) -> None:
    elsewhere = [
        Row("", row.configuration, Outcome(row.outcome.result, {"seconds": [9.9]}, "elsewhere"), "0")
        for row in rows
    ]
    assert results_csv(rows) == results_csv(elsewhere)
    read = list(csv.DictReader(io.StringIO(results_csv(rows))))
    assert [json.loads(line["configuration"]) for line in read] == [row.configuration for row in rows]


def test_an_open_window_right_of_the_line_is_news() -> None:
    result = {
        "c": 9.0, "dimension": 40, "kappa": 2.1, "fast_up_to": 1.9, "rank": 7, "reason": "rank",
        "decides_from": 1.7, "predicted": 1.7, "factor": 0.9,
    }  # fmt: skip
    row = Row("", {"kind": "window", "order": 3, "c": 9.0, "n": 64}, Outcome(result), "0")
    assert "OPEN" in verdict_line([row])


def test_the_command_sweeps_resumes_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold, "cells", tiny)
    monkeypatch.setattr(report, "PICTURES", report.PICTURES[:1])  # the others are drawn above
    folder = tmp_path / "wall"
    runner = CliRunner()
    done = runner.invoke(app, ["threshold", "-o", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["computed"] == found["cells"] == len(tiny("small"))
    assert "shut" in found["verdict"]
    before = (folder / "table.csv").read_bytes()
    done = runner.invoke(app, ["threshold", "-o", str(folder), "--resume"])
    assert done.exit_code == 0, done.output
    assert "0 computed now" in done.stdout
    assert (folder / "table.csv").read_bytes() == before
    for arguments, message in (
        (["-o", str(folder)], "must be a new or empty folder"),
        (["-o", str(tmp_path / "none"), "--resume"], "'resume' needs a folder"),
        (["-o", str(folder / "table.csv")], "must be a folder"),
        (["--quick", "--full"], "must not be given together"),
    ):
        done = runner.invoke(app, ["threshold", *arguments])
        assert done.exit_code == 2
        assert message in done.stderr
