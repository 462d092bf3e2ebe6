from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from cubicwall.experiments.store import SCHEMA, Outcome, canonical, cell_key, open_store

WRITER = """
import sys
from pathlib import Path
from cubicwall.experiments.store import Outcome, open_store
with open_store(Path(sys.argv[1])) as store:
    cells = [({"kind": "example", "n": n}, Outcome({"square": n * n})) for n in range(200)]
    print(sum(store.add(*cell) for cell in cells))
"""


def test_two_processes_may_write_at_once_and_share_the_cells(tmp_path: Path) -> None:
    path = tmp_path / "cells.sqlite"
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    new = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    assert sum(new) == 200
    with open_store(path) as store:
        rows = store.rows([{"kind": "example", "n": n} for n in range(200)])
    assert [row.outcome.result["square"] for row in rows] == [n * n for n in range(200)]


def test_a_finished_cell_is_never_replaced(tmp_path: Path) -> None:
    cell = {"kind": "example", "seed": 7}
    with open_store(tmp_path / "cells.sqlite") as store:
        assert store.add(cell, Outcome({"x": 1}, {"seconds": 0.5}, "here"))
        assert not store.add(cell, Outcome({"x": 2}))
        (row,) = store.rows([cell])
    assert (row.outcome.result, row.outcome.measured, row.outcome.machine) == (
        {"x": 1},
        {"seconds": 0.5},
        "here",
    )


def test_rows_come_in_the_order_asked_for_and_missing_ones_are_left_out(tmp_path: Path) -> None:
    with open_store(tmp_path / "cells.sqlite") as store:
        for n in (1, 2, 3):
            store.add({"kind": "example", "n": n}, Outcome({"n": n}))
        rows = store.rows([{"kind": "example", "n": n} for n in (3, 9, 1)])
        assert [row.outcome.result["n"] for row in rows] == [3, 1]
        assert len(store.keys()) == 3


def test_keys_do_not_depend_on_the_order_of_entries() -> None:
    assert cell_key({"kind": "a", "n": 1}) == cell_key({"n": 1, "kind": "a"})
    assert cell_key({"kind": "a", "n": 1}) != cell_key({"kind": "a", "n": 2})
    assert canonical({"b": 0.1, "a": None}) == '{"a":null,"b":0.1}'


def test_nan_is_refused_and_leaves_no_row(tmp_path: Path) -> None:
    with open_store(tmp_path / "cells.sqlite") as store:
        with pytest.raises(ValueError, match="not JSON compliant"):
            store.add({"kind": "example"}, Outcome({"x": float("nan")}))
        assert not store.keys()


def test_files_that_are_no_stores_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to be looked at\n" * 20)
    with pytest.raises(ValueError, match="is no store"), open_store(tmp_path / "text"):
        pass
    with sqlite3.connect(tmp_path / "newer") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    with pytest.raises(ValueError, match="newer"), open_store(tmp_path / "newer"):
        pass
    with pytest.raises(ValueError, match="existing directory"), open_store(tmp_path / "no" / "where"):
        pass
