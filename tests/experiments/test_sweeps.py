from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cubicwall.experiments.cells import evaluate
from cubicwall.experiments.report import results_csv
from cubicwall.experiments.store import Row, open_store
from cubicwall.experiments.sweeps import CellError, run_cells

CELLS: list[dict[str, Any]] = [
    {
        "kind": "analytic ranks", "order": order, "c": c / 10, "accuracy": "relative 1/n",
        "log10_n": 60, "points": [0.05 * i for i in range(1, 41)],
    }
    for order in (2, 3)
    for c in range(5, 20)
]  # fmt: skip

SWEEP = """
import json, sys
from pathlib import Path
from cubicwall.experiments.store import Row, open_store
from cubicwall.experiments.sweeps import run_cells
with open_store(Path(sys.argv[1])) as store:
    run_cells(json.loads(Path(sys.argv[2]).read_text()), store, processes=2)
"""


def start(store: Path, plan: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SWEEP, str(store), str(plan)], start_new_session=True)


def finished(store: Path) -> int:
    if not store.exists():
        return 0
    with closing(sqlite3.connect(store, timeout=10)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'cells'").fetchall()
        return int(connection.execute("SELECT count(*) FROM cells").fetchone()[0]) if tables else 0


def living(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.full)])
def test_killed_sweeps_resume_to_the_table_of_an_uninterrupted_one(tmp_path: Path, kills: int) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(CELLS))
    rng = random.Random(kills)
    killed = tmp_path / "killed.sqlite"
    interrupted, seen = 0, [0]
    for _ in range(kills):
        process = start(killed, plan)
        before, deadline = finished(killed), time.monotonic() + 60
        while process.poll() is None and finished(killed) == before and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 1.5 / kills))
        process.kill()  # kill -9: the sweep's own process, not its workers
        interrupted += process.wait() == -signal.SIGKILL
        seen.append(finished(killed))
        deadline = time.monotonic() + 20
        while living(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not living(process.pid), "a worker outlives its sweep"
    assert seen == sorted(seen), "a finished cell was lost"
    assert interrupted >= kills // 2
    assert start(killed, plan).wait(timeout=120) == 0
    with open_store(killed) as store:
        resumed = results_csv(store.rows(CELLS)).encode()
    uninterrupted = [Row("", cell, evaluate(cell), "") for cell in CELLS]
    assert resumed == results_csv(uninterrupted).encode()
    assert resumed.count(b"\n") == len(CELLS) + 1


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    fractions: list[float] = []
    with open_store(tmp_path / "cells.sqlite") as store:
        assert run_cells(CELLS[:2], store, processes=1, progress=fractions.append) == 2
        assert run_cells(CELLS[:2], store, processes=1) == 0
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


def test_a_failing_cell_is_named_and_others_stay(tmp_path: Path) -> None:
    bad = {**CELLS[0], "order": 1}
    with open_store(tmp_path / "cells.sqlite") as store:
        with pytest.raises(CellError, match="'order' must be at least 2"):
            run_cells([CELLS[0], bad], store, processes=1)
        with pytest.raises(ValueError, match="of a kind among"):
            run_cells([{"kind": "nonsense"}], store)
        with pytest.raises(ValueError, match="'processes'"):
            run_cells(CELLS, store, processes=0)


def test_a_dask_cluster_finds_the_same(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    cells = [*CELLS[:3], {"kind": "easy source", "order": 3, "c": 1.0, "size": 32, "seed": 1}]
    texts = []
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        for name, scheduler in (("here", None), ("there", cluster.scheduler_address)):
            with open_store(tmp_path / name) as store:
                assert run_cells(cells, store, processes=1, scheduler=scheduler) == 4
                texts.append(results_csv(store.rows(cells)))
    assert texts[0] == texts[1]
